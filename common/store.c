/* The door to every store: picks the implementation, and asserts what callers owe it. */
#include "common/store.h"

#include "common/store_mongo_uri.h"
#include "common/store_ops.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

static const struct store_ops *const implementations[] = {&store_sqlite_ops, &store_mongo_ops};
#define IMPLEMENTATIONS (sizeof implementations / sizeof implementations[0])

static const struct store_ops *find_ops(const char *url)
{
    for (size_t i = 0; i < IMPLEMENTATIONS; i++)
        if (strncmp(url, implementations[i]->scheme, strlen(implementations[i]->scheme)) == 0)
            return implementations[i];
    return NULL;
}

pb_err store_open(const char *url, bool read_only, struct store **out, struct pb_why *why)
{
    const struct store_ops *ops = find_ops(url);
    char shown[STORE_SHOWN_BYTES];
    store_shown(url, shown);
    if (!ops)
        return pb_fail(why, PB_E_UNSUPPORTED, shown,
                       "is no store that this program knows; write it like %s or %s",
                       implementations[0]->example, implementations[1]->example);
    struct store *s;
    pb_err err = ops->open(url, read_only, &s, why);
    if (err)
        return err;
    s->ops = ops;
    s->read_only = read_only;
    *out = s;
    return PB_OK;
}

/* A user's name and password stand before the last @, whatever they hold; options may hold secrets, too. */
void store_shown(const char *url, char out[STORE_SHOWN_BYTES])
{
    const char *scheme = strstr(url, "://"), *at = strrchr(url, '@');
    if (!scheme) {
        snprintf(out, STORE_SHOWN_BYTES, "%s", url);
        return;
    }
    const char *rest = at && at > scheme ? at + 1 : scheme + 3;
    snprintf(out, STORE_SHOWN_BYTES, "%.*s://%s%.*s", (int)(scheme - url), url, at ? "***@" : "",
             (int)strcspn(rest, "?"), rest);
}

void store_log(const struct log *log)
{
    mongo_uri_log(log);
}

void store_close(struct store *s)
{
    if (s)
        s->ops->close(s);
}

/* -- writing -- */

static bool change_is_whole(const struct store_change *c)
{
    bool writes_doc = c->kind == CHANGE_CREATE || c->kind == CHANGE_REPLACE;
    return c->fence <= INT64_MAX && (!writes_doc || (c->doc.tenant && c->doc.name && c->doc.type));
}

static bool op_is_whole(const struct store_op *op)
{
    switch (op->kind) {
    case STORE_APPEND_JOB:
        return op->job.state == JOB_WAITING && op->job.tenant[0];
    case STORE_FINISH_JOB:
        return op->job.state != JOB_WAITING && job_state_name(op->job.state) && change_is_whole(&op->change);
    case STORE_CHANGE:
        return op->change.kind != CHANGE_NONE && change_is_whole(&op->change);
    case STORE_PUT_BATCH:
        return batch_state_name(op->batch.state) && op->batch.tenant[0] && op->batch.body;
    case STORE_PUT_SCHEDULE:
        return op->schedule.tenant[0] && op->schedule.name[0] && op->schedule.body;
    case STORE_DROP_SCHEDULE:
        return op->schedule.tenant[0] && op->schedule.name[0];
    case STORE_RETRY_JOB:
    case STORE_MARK_JOB:
    case STORE_REVIVE_JOB:
    case STORE_PURGE_JOBS:
    case STORE_RAISE_EPOCH:
    case STORE_ADD_TOKEN:
        return true;
    case STORE_SET_META:
        return op->meta_key;
    }
    return false;
}

static pb_err refuse_to_write(const struct store *s, struct pb_why *why)
{
    return s->read_only ? pb_fail(why, PB_E_DENIED, "store", "this handle was opened for reading only")
                        : PB_OK;
}

pb_err store_commit(struct store *s, struct store_op *const *ops, size_t count, struct pb_why *why)
{
    for (size_t i = 0; i < count; i++) {
        assert(op_is_whole(ops[i]));
        ops[i]->outcome = PB_OK;
    }
    store_undo_answers(ops, count);
    pb_err err = refuse_to_write(s, why);
    return err || !count ? err : s->ops->commit(s, ops, count, why);
}

pb_err store_next_epoch(struct store *s, uint32_t *out, struct pb_why *why)
{
    struct store_op op = {.kind = STORE_RAISE_EPOCH}, *ops[] = {&op};
    pb_err err = store_commit(s, ops, 1, why);
    if (err)
        return err;
    if (op.outcome)
        return pb_fail(why, op.outcome, "store", "the epoch has come to its end");
    *out = op.epoch;
    return PB_OK;
}

/* -- what the implementations share -- */

pb_err store_judge(const struct store_change *c, const struct store_seen *s, bool *again)
{
    bool create = c->kind == CHANGE_CREATE, remove = c->kind == CHANGE_DELETE;
    *again = false;
    if (s->deleted) {
        *again = remove && s->fence == c->fence;
        return *again ? PB_OK : create && s->fence >= c->fence ? PB_E_CONFLICT : PB_E_NOT_FOUND;
    }
    if (!s->exists)
        return create ? PB_OK : PB_E_NOT_FOUND;
    if (s->fence > c->fence)
        return PB_E_CONFLICT;
    *again = s->fence == c->fence && !remove;
    if (*again || create)
        return PB_OK;
    bool same = s->generation == c->if_generation && (!c->if_revision || s->revision == c->if_revision);
    return same ? PB_OK : PB_E_CONFLICT;
}

void store_forget_revived(struct store_op *op)
{
    struct job asked = {.id = op->job.id, .not_before_ms = op->job.not_before_ms};
    job_fini(&op->job);
    op->job = asked;
}

void store_undo_answers(struct store_op *const *ops, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        ops[i]->existing_job = (struct pb_id){0};
        ops[i]->purge.removed = 0;
        ops[i]->epoch = 0;
        if (ops[i]->kind == STORE_REVIVE_JOB)
            store_forget_revived(ops[i]);
    }
}

/* -- reading -- */

pb_err store_get_integration(struct store *s, const struct pb_id *id, struct integration *out,
                             struct pb_why *why)
{
    return s->ops->get_integration(s, id, out, why);
}

pb_err store_find_name(struct store *s, const char *tenant, const char *name, struct pb_id *out,
                       struct pb_why *why)
{
    return s->ops->find_name(s, tenant, name, out, why);
}

pb_err store_get_job(struct store *s, const struct pb_id *id, struct job *out, struct pb_why *why)
{
    return s->ops->get_job(s, id, out, why);
}

pb_err store_get_meta(struct store *s, const char *key, char **out, struct pb_why *why)
{
    return s->ops->get_meta(s, key, out, why);
}

pb_err store_list_integrations(struct store *s, const struct store_filter *filter, const struct pb_id *after,
                               size_t limit, pb_err (*each)(void *arg, const struct integration *in),
                               void *arg, struct pb_why *why)
{
    return s->ops->list_integrations(s, filter, after, limit, each, arg, why);
}

pb_err store_list_jobs(struct store *s, const struct store_job_filter *filter, const struct pb_id *after,
                       size_t limit, pb_err (*each)(void *arg, const struct job *job), void *arg,
                       struct pb_why *why)
{
    return s->ops->list_jobs(s, filter, after, limit, each, arg, why);
}

pb_err store_list_meta(struct store *s, pb_err (*each)(void *arg, const char *key, const char *value),
                       void *arg, struct pb_why *why)
{
    return s->ops->list_meta(s, each, arg, why);
}

pb_err store_list_deleted(struct store *s, pb_err (*each)(void *arg, const struct pb_id *id, uint64_t fence),
                          void *arg, struct pb_why *why)
{
    return s->ops->list_deleted(s, each, arg, why);
}

pb_err store_list_tokens(struct store *s, pb_err (*each)(void *arg, const struct store_token *token),
                         void *arg, struct pb_why *why)
{
    return s->ops->list_tokens(s, each, arg, why);
}

pb_err store_list_due(struct store *s, int64_t due_ms, int64_t after_ms, const struct pb_id *after,
                      size_t limit, pb_err (*each)(void *arg, const struct integration *in), void *arg,
                      struct pb_why *why)
{
    return s->ops->list_due(s, due_ms, after_ms, after, limit, each, arg, why);
}

pb_err store_count_integrations(struct store *s, const struct store_filter *filter,
                                pb_err (*each)(void *arg, const char *type, uint64_t count), void *arg,
                                struct pb_why *why)
{
    return s->ops->count_integrations(s, filter, each, arg, why);
}

pb_err store_get_batch(struct store *s, const struct pb_id *id, struct store_batch *out, struct pb_why *why)
{
    return s->ops->get_batch(s, id, out, why);
}

pb_err store_list_batches(struct store *s, const char *tenant, enum batch_state state,
                          const struct pb_id *before, size_t limit,
                          pb_err (*each)(void *arg, const struct store_batch *batch), void *arg,
                          struct pb_why *why)
{
    return s->ops->list_batches(s, tenant, state, before, limit, each, arg, why);
}

pb_err store_get_schedule(struct store *s, const char *tenant, const char *name, struct store_schedule *out,
                          struct pb_why *why)
{
    return s->ops->get_schedule(s, tenant, name, out, why);
}

pb_err store_list_schedules(struct store *s, const char *tenant,
                            pb_err (*each)(void *arg, const struct store_schedule *schedule), void *arg,
                            struct pb_why *why)
{
    return s->ops->list_schedules(s, tenant, each, arg, why);
}

void store_schedule_fini(struct store_schedule *s)
{
    free(s->body);
    *s = (struct store_schedule){0};
}

void store_batch_fini(struct store_batch *b)
{
    free(b->body);
    *b = (struct store_batch){0};
}

const char *batch_state_name(enum batch_state state)
{
    static const char *const names[] = {[BATCH_RUNNING] = "running",
                                        [BATCH_PAUSED] = "paused",
                                        [BATCH_DONE] = "done",
                                        [BATCH_CANCELLED] = "cancelled"};
    return (size_t)state < sizeof names / sizeof names[0] ? names[state] : NULL;
}
