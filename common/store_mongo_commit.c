#include "common/store_mongo_commit.h"

#include "common/store_mongo_changes.h"
#include "common/store_mongo_docs.h"
#include "common/store_mongo_jobs.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define KEYS_MAX  4 /* of one operation */
#define EPOCH_KEY "epoch"
#define EPOCH_MAX INT64_C(2147483647)

/* -- what an operation touches -- */

static uint64_t mixed(uint64_t hash, const void *bytes, size_t len)
{
    for (size_t i = 0; i < len; i++)
        hash = (hash ^ ((const uint8_t *)bytes)[i]) * UINT64_C(1099511628211); /* FNV-1a */
    return hash;
}

/* Two different keys with one hash cost a round, nothing more. */
static uint64_t key_of(char what, const void *bytes, size_t len)
{
    return mixed(mixed(UINT64_C(14695981039346656037), &what, 1), bytes, len) | 1;
}

static uint64_t text_key(char what, const char *a, const char *b)
{
    return mixed(key_of(what, a, strlen(a) + 1), b, strlen(b)) | 1;
}

static size_t keys_of_change(const struct store_change *c, uint64_t *out)
{
    const struct integration *in = &c->doc;
    if (c->kind == CHANGE_NONE)
        return 0;
    out[0] = key_of('d', in->id.bytes, sizeof in->id.bytes);
    if (c->kind == CHANGE_DELETE)
        return 1;
    out[1] = text_key('n', in->tenant, in->name);
    return 2;
}

static size_t keys_of_job(const struct store_op *op, uint64_t *out)
{
    size_t n = 0;
    out[n++] = key_of('j', op->job.id.bytes, sizeof op->job.id.bytes);
    if (op->kind == STORE_APPEND_JOB && op->job.idem[0])
        out[n++] = text_key('i', op->job.tenant, op->job.idem);
    return op->kind == STORE_FINISH_JOB ? n + keys_of_change(&op->change, out + n) : n;
}

static size_t keys_of(const struct store_op *op, uint64_t out[KEYS_MAX])
{
    switch (op->kind) {
    case STORE_SET_META:
        out[0] = text_key('m', op->meta_key, "");
        return 1;
    case STORE_RAISE_EPOCH:
        out[0] = text_key('m', EPOCH_KEY, "");
        return 1;
    case STORE_ADD_TOKEN:
        out[0] = key_of('t', op->token.hash, sizeof op->token.hash);
        return 1;
    case STORE_CHANGE:
        return keys_of_change(&op->change, out);
    case STORE_PUT_BATCH:
        out[0] = key_of('b', op->batch.id.bytes, sizeof op->batch.id.bytes);
        return 1;
    case STORE_PUT_SCHEDULE:
    case STORE_DROP_SCHEDULE:
        out[0] = text_key('s', op->schedule.tenant, op->schedule.name);
        return 1;
    case STORE_PURGE_JOBS:
        return 0; /* everything: see is_alone() */
    default:
        return keys_of_job(op, out);
    }
}

/* -- a set of keys, as large as a commit's at most -- */

struct keys {
    uint64_t *slots;
    size_t mask;
};

static pb_err keys_init(struct keys *k, size_t ops)
{
    size_t size = 16;
    while (size < 2 * KEYS_MAX * ops)
        size *= 2;
    *k = (struct keys){.slots = calloc(size, sizeof k->slots[0]), .mask = size - 1};
    return k->slots ? PB_OK : PB_E_MEMORY;
}

static void keys_reset(struct keys *k)
{
    memset(k->slots, 0, (k->mask + 1) * sizeof k->slots[0]);
}

/* Was it new? */
static bool keys_add(struct keys *k, uint64_t key)
{
    size_t i = (size_t)(key >> 32) & k->mask;
    for (; k->slots[i]; i = (i + 1) & k->mask)
        if (k->slots[i] == key)
            return false;
    k->slots[i] = key;
    return true;
}

static bool add_all(struct keys *k, const struct store_op *op)
{
    uint64_t keys[KEYS_MAX];
    size_t count = keys_of(op, keys);
    bool all_new = true;
    for (size_t i = 0; i < count; i++)
        all_new = keys_add(k, keys[i]) && all_new;
    return all_new;
}

/* -- the operations that are one command each -- */

static pb_err raise_epoch(struct mongo *m, struct store_op *op, struct pb_why *why)
{
    mongoc_find_and_modify_opts_t *opts = mongoc_find_and_modify_opts_new();
    bson_t *filter = BCON_NEW("_id", EPOCH_KEY, "value", "{", "$lt", BCON_INT64(EPOCH_MAX), "}");
    bson_t *update = BCON_NEW("$inc", "{", "value", BCON_INT64(1), "}"), reply;
    bson_iter_t at, value;
    bson_error_t error = {0};
    pb_err err = PB_OK;
    mongoc_find_and_modify_opts_set_update(opts, update);
    mongoc_find_and_modify_opts_set_flags(opts,
                                          MONGOC_FIND_AND_MODIFY_UPSERT | MONGOC_FIND_AND_MODIFY_RETURN_NEW);
    bool ok =
        mongoc_collection_find_and_modify_with_opts(m->collections[MONGO_META], filter, opts, &reply, &error);
    if (ok && bson_iter_init(&at, &reply) && bson_iter_find_descendant(&at, "value.value", &value))
        op->epoch = (uint32_t)bson_iter_as_int64(&value);
    else if (error.code == MONGO_DUPLICATE) /* it is there, and not below its end */
        op->outcome = PB_E_LIMIT;
    else
        err = mongo_fail(m, &error, why);
    bson_destroy(&reply);
    bson_destroy(filter);
    bson_destroy(update);
    mongoc_find_and_modify_opts_destroy(opts);
    return err;
}

static pb_err add_token(struct mongo *m, struct store_op *op, struct pb_why *why)
{
    bson_t doc = BSON_INITIALIZER;
    bson_error_t error;
    pb_err err = PB_OK;
    mongo_token_put(&doc, &op->token);
    if (!mongoc_collection_insert_one(m->collections[MONGO_TOKENS], &doc, NULL, NULL, &error)) {
        if (error.code != MONGO_DUPLICATE)
            err = mongo_fail(m, &error, why);
        else if (!m->repeating)
            op->outcome = PB_E_EXISTS;
    }
    bson_destroy(&doc);
    return err;
}

/* The whole document, in the place of an older one if there is one. Takes filter and doc. */
static pb_err put_whole(struct mongo *m, enum mongo_collection where, bson_t *filter, bson_t *doc,
                        struct pb_why *why)
{
    bson_t *opts = BCON_NEW("upsert", BCON_BOOL(true));
    bson_error_t error;
    pb_err err = PB_OK;
    if (!mongoc_collection_replace_one(m->collections[where], filter, doc, opts, NULL, &error))
        err = mongo_fail(m, &error, why);
    bson_destroy(filter);
    bson_destroy(doc);
    bson_destroy(opts);
    return err;
}

static pb_err put_batch(struct mongo *m, struct store_op *op, struct pb_why *why)
{
    bson_t filter = BSON_INITIALIZER, doc = BSON_INITIALIZER;
    mongo_put_id(&filter, "_id", ID_BATCH, &op->batch.id);
    mongo_batch_put(&doc, &op->batch);
    return put_whole(m, MONGO_BATCHES, &filter, &doc, why);
}

static pb_err put_schedule(struct mongo *m, struct store_op *op, struct pb_why *why)
{
    bson_t filter = BSON_INITIALIZER, doc = BSON_INITIALIZER;
    mongo_put_schedule_id(&filter, op->schedule.tenant, op->schedule.name);
    mongo_schedule_put(&doc, &op->schedule);
    return put_whole(m, MONGO_SCHEDULES, &filter, &doc, why);
}

static pb_err drop_schedule(struct mongo *m, struct store_op *op, struct pb_why *why)
{
    bson_t filter = BSON_INITIALIZER;
    bson_error_t error;
    pb_err err = PB_OK;
    mongo_put_schedule_id(&filter, op->schedule.tenant, op->schedule.name);
    if (!mongoc_collection_delete_one(m->collections[MONGO_SCHEDULES], &filter, NULL, NULL, &error))
        err = mongo_fail(m, &error, why);
    bson_destroy(&filter);
    return err;
}

/* The epoch is a number, which findAndModify can raise; all else is text. */
static void put_meta_value(bson_t *set, const char *key, const char *text)
{
    char *end;
    errno = 0;
    long long n = strtoll(text, &end, 10);
    if (strcmp(key, EPOCH_KEY) == 0 && !errno && end != text && !*end)
        BSON_APPEND_INT64(set, "value", n);
    else
        BSON_APPEND_UTF8(set, "value", text);
}

static pb_err set_meta(struct mongo *m, struct store_op *op, struct pb_why *why)
{
    bson_t filter = BSON_INITIALIZER, update = BSON_INITIALIZER, set, *opts;
    bson_error_t error;
    BSON_APPEND_UTF8(&filter, "_id", op->meta_key);
    bool ok;
    if (op->meta_value) {
        BSON_APPEND_DOCUMENT_BEGIN(&update, "$set", &set);
        put_meta_value(&set, op->meta_key, op->meta_value);
        bson_append_document_end(&update, &set);
        opts = BCON_NEW("upsert", BCON_BOOL(true));
        ok = mongoc_collection_update_one(m->collections[MONGO_META], &filter, &update, opts, NULL, &error);
        bson_destroy(opts);
    } else {
        ok = mongoc_collection_delete_one(m->collections[MONGO_META], &filter, NULL, NULL, &error);
    }
    bson_destroy(&filter);
    bson_destroy(&update);
    return ok ? PB_OK : mongo_fail(m, &error, why);
}

/* -- a round -- */

typedef pb_err single(struct mongo *m, struct store_op *op, struct pb_why *why);

static single *const singles[] = {
    [STORE_REVIVE_JOB] = mongo_jobs_revive,
    [STORE_PURGE_JOBS] = mongo_jobs_purge,
    [STORE_RAISE_EPOCH] = raise_epoch,
    [STORE_ADD_TOKEN] = add_token,
    [STORE_SET_META] = set_meta,
    [STORE_PUT_BATCH] = put_batch,
    [STORE_PUT_SCHEDULE] = put_schedule,
    [STORE_DROP_SCHEDULE] = drop_schedule,
};

struct round {
    struct store_op **taken, **some; /* some: of a stage */
    size_t count;
};

typedef bool is_of(const struct store_op *op);

/* Adds what is wanted, and not refused yet, behind the n that some has already; gives how many it has then.
 */
static size_t add_ops(const struct round *r, size_t n, is_of *wanted)
{
    for (size_t i = 0; i < r->count; i++)
        if (!r->taken[i]->outcome && wanted(r->taken[i]))
            r->some[n++] = r->taken[i];
    return n;
}

static size_t select_ops(const struct round *r, is_of *wanted)
{
    return add_ops(r, 0, wanted);
}

static bool is_append(const struct store_op *op)
{
    return op->kind == STORE_APPEND_JOB;
}

static bool ends_with_change(const struct store_op *op)
{
    return op->kind == STORE_FINISH_JOB && op->change.kind != CHANGE_NONE;
}

static bool is_change_alone(const struct store_op *op)
{
    return op->kind == STORE_CHANGE;
}

static bool is_update(const struct store_op *op)
{
    return op->kind == STORE_FINISH_JOB || op->kind == STORE_RETRY_JOB || op->kind == STORE_MARK_JOB;
}

static bool is_single(const struct store_op *op)
{
    return !is_append(op) && !is_update(op) && !is_change_alone(op);
}

/* Of changes whose jobs refuse their ends nothing is written; what the change itself would have met counts
 * first, as where both are one transaction. Leaves those that are to be written in some; gives how many. */
static pb_err leave_out_refused(struct mongo *m, struct round *r, size_t *count, struct pb_why *why)
{
    size_t n = *count, refused = 0;
    pb_err verdicts[LIMIT_COMMIT_OPS];
    struct store_op *ops[LIMIT_COMMIT_OPS];
    pb_err err = mongo_jobs_judge(m, r->some, n, why);
    *count = 0;
    for (size_t i = 0; i < n && !err; i++) {
        if (!r->some[i]->outcome) {
            r->some[(*count)++] = r->some[i];
            continue;
        }
        verdicts[refused] = r->some[i]->outcome;
        ops[refused++] = r->some[i];
    }
    if (!err)
        err = mongo_changes_judge(m, ops, refused, why);
    for (size_t i = 0; i < refused && !err; i++)
        if (!ops[i]->outcome)
            ops[i]->outcome = verdicts[i];
    return err;
}

static pb_err write_changes(struct mongo *m, struct round *r, struct pb_why *why)
{
    size_t count = select_ops(r, ends_with_change);
    pb_err err = count ? leave_out_refused(m, r, &count, why) : PB_OK;
    if (err)
        return err;
    count = add_ops(r, count, is_change_alone);
    return mongo_changes_write(m, r->some, count, why);
}

/* Documents first, then the outcomes of the jobs whose documents are written. */
static pb_err run_round(struct mongo *m, struct round *r, struct pb_why *why)
{
    pb_err err = write_changes(m, r, why);
    if (!err)
        err = mongo_jobs_append(m, r->some, select_ops(r, is_append), why);
    if (!err)
        err = mongo_jobs_update(m, r->some, select_ops(r, is_update), why);
    size_t count = err ? 0 : select_ops(r, is_single);
    for (size_t i = 0; i < count && !err; i++)
        err = singles[r->some[i]->kind](m, r->some[i], why);
    return err;
}

/* -- a commit -- */

struct commit {
    struct store_op **pending;
    size_t count;
    struct round round;
    struct keys keys;
};

/* A purge concerns every job: it runs when all before it has, and nothing runs beside it. */
static bool is_alone(const struct store_op *op)
{
    return op->kind == STORE_PURGE_JOBS;
}

/* Moves what the next round takes from pending to it. */
static void take_round(struct commit *c)
{
    size_t left = 0, i = 0;
    c->round.count = 0;
    keys_reset(&c->keys);
    if (is_alone(c->pending[0]))
        c->round.taken[c->round.count++] = c->pending[i++];
    else
        for (; i < c->count && !is_alone(c->pending[i]); i++)
            if (add_all(&c->keys, c->pending[i]))
                c->round.taken[c->round.count++] = c->pending[i];
            else
                c->pending[left++] = c->pending[i];
    memmove(&c->pending[left], &c->pending[i], (c->count - i) * sizeof c->pending[0]);
    c->count = left + c->count - i;
}

/* What is to be tried again goes first in the next round: all that conflicts with it comes after it. */
static size_t put_back(struct commit *c)
{
    size_t n = 0;
    for (size_t i = 0; i < c->round.count; i++)
        if (c->round.taken[i]->outcome == PB_E_AGAIN)
            c->round.some[n++] = c->round.taken[i];
    memmove(&c->pending[n], c->pending, c->count * sizeof c->pending[0]);
    for (size_t i = 0; i < n; i++) {
        c->pending[i] = c->round.some[i];
        c->pending[i]->outcome = PB_OK;
    }
    c->count += n;
    return n;
}

static pb_err commit_init(struct commit *c, struct store_op *const *ops, size_t count)
{
    *c = (struct commit){.pending = calloc(count, sizeof(struct store_op *)), .count = count};
    c->round.taken = calloc(count, sizeof(struct store_op *));
    c->round.some = calloc(count, sizeof(struct store_op *));
    pb_err err = keys_init(&c->keys, count);
    if (!c->pending || !c->round.taken || !c->round.some)
        return PB_E_MEMORY;
    for (size_t i = 0; i < count; i++)
        c->pending[i] = ops[i];
    return err;
}

static void commit_fini(struct commit *c)
{
    free(c->pending);
    free(c->round.taken);
    free(c->round.some);
    free(c->keys.slots);
}

/* What has been put back too often has lost its name for good: it must not hold up the rest. */
#define VAIN_ROUNDS 10

static void refuse_again(struct round *r)
{
    for (size_t i = 0; i < r->count; i++)
        if (r->taken[i]->outcome == PB_E_AGAIN)
            r->taken[i]->outcome = PB_E_EXISTS;
}

static pb_err run_rounds(struct mongo *m, struct commit *c, struct pb_why *why)
{
    pb_err err = PB_OK;
    for (int vain = 0; c->count && !err;) {
        take_round(c);
        err = run_round(m, &c->round, why);
        if (vain == VAIN_ROUNDS)
            refuse_again(&c->round);
        else if (!err && put_back(c) == c->round.count)
            vain++;
    }
    return err;
}

static pb_err try_commit(struct mongo *m, struct store_op *const *ops, size_t count, struct pb_why *why)
{
    struct commit c;
    for (size_t i = 0; i < count; i++)
        ops[i]->outcome = PB_OK;
    pb_err err = commit_init(&c, ops, count);
    if (!err)
        err = run_rounds(m, &c, why);
    commit_fini(&c);
    return err;
}

/* A failure that passes (a new primary, a connection that broke) is worth a second try at once: libmongoc
 * repeats single commands once, and the rest of the commit is still to do. */
pb_err mongo_commit(struct store *base, struct store_op *const *ops, size_t count, struct pb_why *why)
{
    struct mongo *m = (struct mongo *)base;
    pb_err err = PB_E_STORE;
    assert(count <= LIMIT_COMMIT_OPS);
    for (int tries = 0; tries < 2; tries++) {
        m->transient = false;
        err = try_commit(m, ops, count, why);
        m->repeating = err != PB_OK;
        if (!err)
            return PB_OK;
        store_undo_answers(ops, count);
        if (!m->transient)
            return err;
    }
    return err;
}
