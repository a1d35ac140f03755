#include "common/store_mongo_jobs.h"

#include "common/store_mongo_bulk.h"
#include "common/store_mongo_docs.h"

#include <stdlib.h>
#include <string.h>

/* The operations of one bulk, and what is looked up for them. */
struct batch {
    struct store_op *const *ops;
    size_t count;
    bool *duplicate;
    struct pb_id *ids;
    enum job_state *states;
};

static void batch_fini(struct batch *b)
{
    free(b->duplicate);
    free(b->ids);
    free(b->states);
}

static pb_err batch_init(struct batch *b, struct store_op *const *ops, size_t count)
{
    *b = (struct batch){.ops = ops,
                        .count = count,
                        .duplicate = calloc(count, sizeof b->duplicate[0]),
                        .ids = calloc(count, sizeof b->ids[0]),
                        .states = calloc(count, sizeof b->states[0])};
    if (b->duplicate && b->ids && b->states)
        return PB_OK;
    batch_fini(b);
    return PB_E_MEMORY;
}

/* -- appending -- */

static size_t add_append(void *arg, size_t i, mongoc_bulk_operation_t *bulk)
{
    const struct batch *b = arg;
    bson_t doc = BSON_INITIALIZER;
    mongo_job_put(&doc, &b->ops[i]->job);
    size_t size = mongo_bulk_insert(bulk, &doc);
    bson_destroy(&doc);
    return size;
}

static void on_same_id(void *arg, size_t i, const bson_t *doc)
{
    struct batch *b = arg;
    (void)doc;
    b->states[i] = JOB_WAITING; /* only: it is there */
}

static pb_err take_owner(void *arg, const bson_t *doc, struct pb_why *why)
{
    (void)why;
    mongo_get_id(doc, "_id", ID_JOB, arg);
    return PB_OK;
}

/* Which job has its key? */
static pb_err find_key(struct mongo *m, struct store_op *op, struct pb_why *why)
{
    char idem[MONGO_IDEM_BYTES];
    bson_t filter = BSON_INITIALIZER, *opts = BCON_NEW("projection", "{", "_id", BCON_INT32(1), "}");
    mongo_idem(&op->job, idem);
    BSON_APPEND_UTF8(&filter, "idem", idem);
    pb_err err = mongo_find(m, MONGO_JOBS, &filter, opts, take_owner, &op->existing_job, why);
    if (!err && id_is_nil(&op->existing_job))
        err = pb_fail(why, PB_E_STORE, m->shown, "a job with the same key came and went at the same time");
    bson_destroy(&filter);
    bson_destroy(opts);
    return err;
}

static pb_err judge_append(struct mongo *m, struct store_op *op, bool same_id, struct pb_why *why)
{
    if (same_id && m->repeating) /* it was this very operation, whose answer was lost */
        return PB_OK;
    op->outcome = PB_E_EXISTS;
    if (!same_id)
        return find_key(m, op, why);
    op->existing_job = op->job.id;
    return PB_OK;
}

pb_err mongo_jobs_append(struct mongo *m, struct store_op *const *ops, size_t count, struct pb_why *why)
{
    struct batch b;
    size_t missing = 0;
    pb_err err = count ? batch_init(&b, ops, count) : PB_OK;
    if (err || !count)
        return err;
    struct mongo_bulk bulk = {MONGO_JOBS, count, add_append, &b, b.duplicate};
    err = mongo_bulk_run(m, &bulk, &missing, why);
    if (!err && missing) {
        for (size_t i = 0; i < count; i++)
            b.ids[i] = ops[i]->job.id;
        err = mongo_find_ids(m, MONGO_JOBS, ID_JOB, b.ids, count, "{\"_id\": 1}", on_same_id, &b, why);
        for (size_t i = 0; i < count && !err; i++)
            if (b.duplicate[i])
                err = judge_append(m, ops[i], b.states[i] != 0, why);
    }
    batch_fini(&b);
    return err;
}

/* -- updates of waiting jobs -- */

/* The parts of an update. */
struct update {
    bson_t set, unset, max;
};

static void update_init(struct update *u)
{
    bson_init(&u->set);
    bson_init(&u->unset);
    bson_init(&u->max);
}

/* As MongoDB wants it: without parts that are empty. */
static void update_take(struct update *u, bson_t *out)
{
    if (!bson_empty(&u->set))
        BSON_APPEND_DOCUMENT(out, "$set", &u->set);
    if (!bson_empty(&u->unset))
        BSON_APPEND_DOCUMENT(out, "$unset", &u->unset);
    if (!bson_empty(&u->max))
        BSON_APPEND_DOCUMENT(out, "$max", &u->max);
    bson_destroy(&u->set);
    bson_destroy(&u->unset);
    bson_destroy(&u->max);
}

static void put_date_or_unset(struct update *u, const char *key, int64_t wall_ms)
{
    if (wall_ms)
        mongo_put_date(&u->set, key, wall_ms);
    else
        BSON_APPEND_BOOL(&u->unset, key, true);
}

static void put_finish(struct update *u, const struct job *job)
{
    mongo_put_state(&u->set, "state", job->state);
    mongo_put_date(&u->set, "finishedAt", job->finished_at_ms);
    mongo_put_result(&u->set, job->result);
    BSON_APPEND_INT64(&u->max, "attempts", job->attempts);
    if (job->state != JOB_DEAD)
        BSON_APPEND_BOOL(&u->unset, "payload", true);
}

static void put_retry(struct update *u, const struct job *job)
{
    BSON_APPEND_INT64(&u->set, "attempts", job->attempts);
    BSON_APPEND_INT64(&u->set, "crashes", job->crashes);
    put_date_or_unset(u, "notBefore", job->not_before_ms);
}

static void put_mark(struct update *u, const struct job *job)
{
    BSON_APPEND_INT64(&u->set, "crashes", job->crashes);
    if (job->cancel_asked)
        BSON_APPEND_BOOL(&u->set, "cancelAsked", true);
}

/* A job waits as long as it has no end. Not asked by its state: that has an index, and a planner that takes
 * it looks at every waiting job for each one. */
static void put_waiting(bson_t *filter)
{
    bson_t part;
    BSON_APPEND_DOCUMENT_BEGIN(filter, "finishedAt", &part);
    BSON_APPEND_BOOL(&part, "$exists", false);
    bson_append_document_end(filter, &part);
}

static size_t add_update(void *arg, size_t i, mongoc_bulk_operation_t *bulk)
{
    static void (*const puts[])(struct update *, const struct job *) = {
        [STORE_FINISH_JOB] = put_finish, [STORE_RETRY_JOB] = put_retry, [STORE_MARK_JOB] = put_mark};
    const struct batch *b = arg;
    const struct store_op *op = b->ops[i];
    bson_t filter = BSON_INITIALIZER, update = BSON_INITIALIZER;
    struct update u;
    update_init(&u);
    puts[op->kind](&u, &op->job);
    update_take(&u, &update);
    mongo_put_id(&filter, "_id", ID_JOB, &op->job.id);
    put_waiting(&filter);
    size_t size = mongo_bulk_update(bulk, &filter, &update, false);
    bson_destroy(&filter);
    bson_destroy(&update);
    return size;
}

static void on_state(void *arg, size_t i, const bson_t *doc)
{
    struct batch *b = arg;
    b->states[i] = mongo_get_state(doc);
}

static pb_err read_states(struct mongo *m, struct batch *b, struct pb_why *why)
{
    for (size_t i = 0; i < b->count; i++)
        b->ids[i] = b->ops[i]->job.id;
    return mongo_find_ids(m, MONGO_JOBS, ID_JOB, b->ids, b->count, "{\"state\": 1}", on_state, b, why);
}

/* By what the store has after the update: a job that waits was retried or marked; one that has ended as it
 * was to, has ended by this or before. */
static pb_err verdict_of(const struct store_op *op, enum job_state state)
{
    enum job_state wanted = op->kind == STORE_FINISH_JOB ? op->job.state : JOB_WAITING;
    return !state ? PB_E_NOT_FOUND : state == wanted ? PB_OK : PB_E_CONFLICT;
}

pb_err mongo_jobs_update(struct mongo *m, struct store_op *const *ops, size_t count, struct pb_why *why)
{
    struct batch b;
    size_t missing = 0;
    pb_err err = count ? batch_init(&b, ops, count) : PB_OK;
    if (err || !count)
        return err;
    struct mongo_bulk bulk = {MONGO_JOBS, count, add_update, &b, b.duplicate};
    err = mongo_bulk_run(m, &bulk, &missing, why);
    if (!err && missing)
        err = read_states(m, &b, why);
    for (size_t i = 0; i < count && !err && missing; i++)
        ops[i]->outcome = verdict_of(ops[i], b.states[i]);
    batch_fini(&b);
    return err;
}

pb_err mongo_jobs_judge(struct mongo *m, struct store_op *const *ops, size_t count, struct pb_why *why)
{
    struct batch b;
    pb_err err = count ? batch_init(&b, ops, count) : PB_OK;
    if (err || !count)
        return err;
    err = read_states(m, &b, why);
    for (size_t i = 0; i < count && !err; i++)
        ops[i]->outcome = b.states[i] == JOB_WAITING ? PB_OK : verdict_of(ops[i], b.states[i]);
    batch_fini(&b);
    return err;
}

/* -- revival -- */

static void put_revival(bson_t *update, int64_t not_before_ms)
{
    static const char *const gone[] = {"deadline", "finishedAt", "result", "code"};
    struct update u;
    update_init(&u);
    mongo_put_state(&u.set, "state", JOB_WAITING);
    BSON_APPEND_INT64(&u.set, "attempts", 0);
    BSON_APPEND_INT64(&u.set, "crashes", 0);
    BSON_APPEND_BOOL(&u.set, "cancelAsked", false);
    put_date_or_unset(&u, "notBefore", not_before_ms);
    for (size_t i = 0; i < sizeof gone / sizeof gone[0]; i++)
        BSON_APPEND_BOOL(&u.unset, gone[i], true);
    update_take(&u, update);
}

static pb_err find_and_revive(struct mongo *m, const struct store_op *op, bson_t *reply, struct pb_why *why)
{
    mongoc_find_and_modify_opts_t *opts = mongoc_find_and_modify_opts_new();
    bson_t filter = BSON_INITIALIZER, update = BSON_INITIALIZER;
    bson_error_t error;
    mongo_put_id(&filter, "_id", ID_JOB, &op->job.id);
    mongo_put_state(&filter, "state", JOB_DEAD);
    put_revival(&update, op->job.not_before_ms);
    mongoc_find_and_modify_opts_set_update(opts, &update);
    mongoc_find_and_modify_opts_set_flags(opts, MONGOC_FIND_AND_MODIFY_RETURN_NEW);
    bool ok =
        mongoc_collection_find_and_modify_with_opts(m->collections[MONGO_JOBS], &filter, opts, reply, &error);
    bson_destroy(&filter);
    bson_destroy(&update);
    mongoc_find_and_modify_opts_destroy(opts);
    return ok ? PB_OK : mongo_fail(m, &error, why);
}

/* The job that was revived; false: none was. */
static bool revived_of(const bson_t *reply, bson_t *out)
{
    bson_iter_t at;
    const uint8_t *bytes;
    uint32_t len;
    if (!bson_iter_init_find(&at, reply, "value") || !BSON_ITER_HOLDS_DOCUMENT(&at))
        return false;
    bson_iter_document(&at, &len, &bytes);
    return bson_init_static(out, bytes, len);
}

static bool looks_just_revived(const struct job *job)
{
    return job->state == JOB_WAITING && !job->attempts && !job->crashes && !job->cancel_asked;
}

/* None was: it is not known, or in another state. Or, repeating, it was revived and the answer was lost. */
static pb_err judge_revival(struct mongo *m, struct store_op *op, struct pb_why *why)
{
    struct job job = {0};
    pb_err err = m->base.ops->get_job(&m->base, &op->job.id, &job, why);
    if (err == PB_E_NOT_FOUND) {
        op->outcome = PB_E_NOT_FOUND;
        return PB_OK;
    }
    if (!err && m->repeating && looks_just_revived(&job)) {
        op->job = job;
        return PB_OK;
    }
    job_fini(&job);
    if (!err)
        op->outcome = PB_E_CONFLICT;
    return err;
}

pb_err mongo_jobs_revive(struct mongo *m, struct store_op *op, struct pb_why *why)
{
    bson_t reply, doc;
    store_forget_revived(op);
    pb_err err = find_and_revive(m, op, &reply, why);
    if (!err && revived_of(&reply, &doc))
        err = mongo_job_get(&doc, &op->job, why);
    else if (!err)
        err = judge_revival(m, op, why);
    bson_destroy(&reply);
    return err;
}
