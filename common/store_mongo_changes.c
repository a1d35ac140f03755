#include "common/store_mongo_changes.h"

#include "common/clock.h"
#include "common/store_mongo_bulk.h"
#include "common/store_mongo_docs.h"

#include <stdlib.h>

#define PASSES_MAX 5 /* of changes that others' writes come between */

/* The changes that a pass is about. All arrays are as long as count was at first. */
struct pass {
    struct store_op **ops;
    struct store_seen *stored;
    struct pb_id *ids;
    bool *duplicate;
    size_t count;
    struct store_op *const *all; /* of the bulk, for whose names are just being freed */
    size_t all_count;
};

/* -- the conditions -- */

static void on_stored(void *arg, size_t i, const bson_t *doc)
{
    struct pass *p = arg;
    bool deleted = mongo_has(doc, "deletedAt");
    p->stored[i] = (struct store_seen){.exists = !deleted,
                                       .deleted = deleted,
                                       .fence = (uint64_t)mongo_get_number(doc, "fence"),
                                       .generation = mongo_get_number(doc, "generation"),
                                       .revision = mongo_get_number(doc, "revision")};
}

static pb_err read_stored(struct mongo *m, struct pass *p, struct pb_why *why)
{
    for (size_t i = 0; i < p->count; i++) {
        p->ids[i] = p->ops[i]->change.doc.id;
        p->stored[i] = (struct store_seen){0};
    }
    return mongo_find_ids(m, MONGO_INTEGRATIONS, ID_INTEGRATION, p->ids, p->count,
                          "{\"fence\": 1, \"generation\": 1, \"revision\": 1, \"deletedAt\": 1}", on_stored,
                          p, why);
}

static bool is_changed_here(const struct pass *p, const struct store_op *op, const struct pb_id *id)
{
    for (size_t i = 0; i < p->all_count; i++)
        if (p->all[i] != op && id_equal(&p->all[i]->change.doc.id, id))
            return true;
    return false;
}

/* Is the name another's? Then it is taken, unless the other one's is being changed together with this. */
static pb_err judge_name(struct mongo *m, const struct pass *p, struct store_op *op, struct pb_why *why)
{
    const struct integration *in = &op->change.doc;
    struct pb_id owner;
    pb_err err = mongo_name_owner(m, in->tenant, in->name, &owner, why);
    if (err == PB_E_NOT_FOUND)
        return PB_OK;
    if (!err && !id_equal(&owner, &in->id))
        op->outcome = is_changed_here(p, op, &owner) ? PB_E_AGAIN : PB_E_EXISTS;
    return err;
}

/* -- writing -- */

static void put_fence_below(bson_t *filter, const char *comparison, uint64_t fence)
{
    bson_t part;
    BSON_APPEND_DOCUMENT_BEGIN(filter, "fence", &part);
    BSON_APPEND_INT64(&part, comparison, (int64_t)fence);
    bson_append_document_end(filter, &part);
}

/* A deleted one has a fence, too: it must not match, so that the insert behind an upsert meets its _id. */
static void put_not_deleted(bson_t *filter)
{
    bson_t part;
    BSON_APPEND_DOCUMENT_BEGIN(filter, "deletedAt", &part);
    BSON_APPEND_BOOL(&part, "$exists", false);
    bson_append_document_end(filter, &part);
}

/* The record is the one that was read. */
static void put_version(bson_t *filter, const struct store_change *c)
{
    BSON_APPEND_INT64(filter, "generation", c->if_generation);
    if (c->if_revision)
        BSON_APPEND_INT64(filter, "revision", c->if_revision);
}

static size_t add_create(mongoc_bulk_operation_t *bulk, bson_t *filter, const struct store_change *c)
{
    bson_t doc = BSON_INITIALIZER;
    put_fence_below(filter, "$lt", c->fence);
    put_not_deleted(filter);
    mongo_integration_put(&doc, &c->doc, c->fence);
    size_t size = mongo_bulk_replace(bulk, filter, &doc, true);
    bson_destroy(&doc);
    return size;
}

static size_t add_replace(mongoc_bulk_operation_t *bulk, bson_t *filter, const struct store_change *c)
{
    bson_t doc = BSON_INITIALIZER;
    put_fence_below(filter, "$lt", c->fence);
    put_version(filter, c);
    mongo_integration_put(&doc, &c->doc, c->fence);
    size_t size = mongo_bulk_replace(bulk, filter, &doc, false);
    bson_destroy(&doc);
    return size;
}

/* An attempt may delete what it has written itself: its own fence is no obstacle. */
static size_t add_delete(mongoc_bulk_operation_t *bulk, bson_t *filter, const struct store_change *c)
{
    bson_t doc = BSON_INITIALIZER;
    put_fence_below(filter, "$lte", c->fence);
    put_version(filter, c);
    put_not_deleted(filter);
    mongo_put_id(&doc, "_id", ID_INTEGRATION, &c->doc.id);
    BSON_APPEND_INT64(&doc, "fence", (int64_t)c->fence);
    BSON_APPEND_DATE_TIME(&doc, "deletedAt", clock_wall_ms());
    size_t size = mongo_bulk_replace(bulk, filter, &doc, false);
    bson_destroy(&doc);
    return size;
}

static size_t add_change(void *arg, size_t i, mongoc_bulk_operation_t *bulk)
{
    static size_t (*const adds[])(mongoc_bulk_operation_t *, bson_t *, const struct store_change *) = {
        [CHANGE_CREATE] = add_create, [CHANGE_REPLACE] = add_replace, [CHANGE_DELETE] = add_delete};
    const struct pass *p = arg;
    const struct store_change *c = &p->ops[i]->change;
    bson_t filter = BSON_INITIALIZER;
    mongo_put_id(&filter, "_id", ID_INTEGRATION, &c->doc.id);
    size_t size = adds[c->kind](bulk, &filter, c);
    bson_destroy(&filter);
    return size;
}

/* -- passes -- */

static void pass_fini(struct pass *p)
{
    free(p->ops);
    free(p->stored);
    free(p->ids);
    free(p->duplicate);
}

static pb_err pass_init(struct pass *p, struct store_op *const *ops, size_t count)
{
    *p = (struct pass){.ops = calloc(count, sizeof(struct store_op *)),
                       .stored = calloc(count, sizeof p->stored[0]),
                       .ids = calloc(count, sizeof p->ids[0]),
                       .duplicate = calloc(count, sizeof p->duplicate[0]),
                       .count = count,
                       .all = ops,
                       .all_count = count};
    if (!p->ops || !p->stored || !p->ids || !p->duplicate) {
        pass_fini(p);
        return PB_E_MEMORY;
    }
    for (size_t i = 0; i < count; i++)
        p->ops[i] = ops[i];
    return PB_OK;
}

/* Fewer were changed than sent: which, and why not? What could be done now stays for the next pass. */
static pb_err sort_out(struct mongo *m, struct pass *p, struct pb_why *why)
{
    pb_err err = read_stored(m, p, why);
    size_t left = 0;
    for (size_t i = 0; i < p->count && !err; i++) {
        struct store_op *op = p->ops[i];
        bool again;
        op->outcome = store_judge(&op->change, &p->stored[i], &again);
        if (op->outcome || again)
            continue;
        if (p->duplicate[i])
            err = judge_name(m, p, op, why);
        if (err || op->outcome)
            continue;
        p->duplicate[left] = p->duplicate[i];
        p->ops[left++] = op;
    }
    p->count = left;
    return err;
}

/* What could be done each time it was looked at, and was not when it was tried: one record that others fight
 * over must not hold up the rest of the journal. */
static void give_up(const struct pass *p)
{
    for (size_t i = 0; i < p->count; i++)
        p->ops[i]->outcome = p->duplicate[i] ? PB_E_EXISTS : PB_E_CONFLICT;
}

static bool any_deletes(struct store_op *const *ops, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (ops[i]->change.kind == CHANGE_DELETE)
            return true;
    return false;
}

/* What was deleted more than seven days ago is forgotten. */
static pb_err purge_tombstones(struct mongo *m, struct pb_why *why)
{
    bson_t *filter =
        BCON_NEW("deletedAt", "{", "$lt", BCON_DATE_TIME(clock_wall_ms() - STORE_TOMBSTONE_KEEP_MS), "}");
    bson_error_t error;
    pb_err err = PB_OK;
    if (!mongoc_collection_delete_many(m->collections[MONGO_INTEGRATIONS], filter, NULL, NULL, &error))
        err = mongo_fail(m, &error, why);
    bson_destroy(filter);
    return err;
}

pb_err mongo_changes_write(struct mongo *m, struct store_op *const *ops, size_t count, struct pb_why *why)
{
    struct pass p;
    pb_err err = count ? pass_init(&p, ops, count) : PB_OK;
    if (err || !count)
        return err;
    for (int passes = 0; p.count && !err && passes < PASSES_MAX; passes++) {
        struct mongo_bulk bulk = {MONGO_INTEGRATIONS, p.count, add_change, &p, p.duplicate};
        size_t missing = 0;
        err = mongo_bulk_run(m, &bulk, &missing, why);
        if (!err && missing)
            err = sort_out(m, &p, why);
        else
            p.count = 0;
    }
    give_up(&p);
    if (!err && any_deletes(ops, count))
        err = purge_tombstones(m, why);
    pass_fini(&p);
    return err;
}

pb_err mongo_changes_judge(struct mongo *m, struct store_op *const *ops, size_t count, struct pb_why *why)
{
    struct pass p;
    pb_err err = count ? pass_init(&p, ops, count) : PB_OK;
    if (err || !count)
        return err;
    err = read_stored(m, &p, why);
    for (size_t i = 0; i < count && !err; i++) {
        bool again;
        ops[i]->outcome = store_judge(&ops[i]->change, &p.stored[i], &again);
        if (!ops[i]->outcome && !again && ops[i]->change.kind != CHANGE_DELETE)
            err = judge_name(m, &p, ops[i], why);
    }
    pass_fini(&p);
    return err;
}
