#include "common/store_copy.h"

#include <sodium.h>
#include <stdlib.h>
#include <string.h>

#define GROUP 500 /* operations in a commit; and jobs of which the ids are read at a time */

const char *store_part_name(enum store_part part)
{
    static const char *const names[] = {[PART_INTEGRATIONS] = "integrations",
                                        [PART_DELETED] = "deleted",
                                        [PART_JOBS] = "jobs",
                                        [PART_BATCHES] = "batches",
                                        [PART_SCHEDULES] = "schedules",
                                        [PART_TOKENS] = "tokens",
                                        [PART_META] = "meta"};
    return names[part];
}

/* -- all jobs, payloads included -- */

typedef pb_err each_job(void *arg, struct job *job);

struct job_page {
    struct pb_id ids[GROUP];
    size_t count;
};

static pb_err note_job(void *arg, const struct job *job)
{
    struct job_page *page = arg;
    page->ids[page->count++] = job->id;
    return PB_OK;
}

/* A job is lent to each(), which may take what it points to and zero that. */
static pb_err walk_page(struct store *s, const struct job_page *page, each_job *each, void *arg,
                        struct pb_why *why)
{
    pb_err err = PB_OK;
    for (size_t i = 0; i < page->count && !err; i++) {
        struct job job = {0};
        err = store_get_job(s, &page->ids[i], &job, why);
        if (!err)
            err = each(arg, &job);
        job_fini(&job);
    }
    return err;
}

static pb_err walk_jobs(struct store *s, each_job *each, void *arg, struct pb_why *why)
{
    static const struct store_job_filter all = {0};
    struct job_page page = {.count = GROUP};
    struct pb_id after = {{0}};
    pb_err err = PB_OK;
    while (!err && page.count == GROUP) {
        page.count = 0;
        err = store_list_jobs(s, &all, &after, GROUP, note_job, &page, why);
        if (!err && page.count)
            err = walk_page(s, &page, each, arg, why);
        if (page.count)
            after = page.ids[page.count - 1];
    }
    return err;
}

static const struct pb_id from_first = {{0}};
static const struct store_filter all_integrations = {0};

/* -- digests -- */

struct digesting {
    struct store_digest digest;
    struct buf buf;
};

static void add(struct digesting *d, enum store_part part)
{
    uint8_t hash[32];
    crypto_generichash(hash, sizeof hash, d->buf.data, d->buf.len, NULL, 0);
    for (size_t i = 0; i < sizeof hash; i++)
        d->digest.parts[part].hash[i] ^= hash[i];
    d->digest.parts[part].count++;
    buf_reset(&d->buf);
}

/* Texts end with a NUL, so that none runs into the next; NULL is not "". */
static void put_text(struct digesting *d, const char *text)
{
    buf_append(&d->buf, text ? "=" : "-", 1);
    if (text)
        buf_append(&d->buf, text, strlen(text) + 1);
}

static void put_number(struct digesting *d, int64_t n)
{
    buf_append(&d->buf, &n, sizeof n);
}

static void put_id(struct digesting *d, const struct pb_id *id)
{
    buf_append(&d->buf, id->bytes, sizeof id->bytes);
}

static pb_err digest_integration(void *arg, const struct integration *in)
{
    struct digesting *d = arg;
    pb_err err = integration_pack(in, &d->buf);
    if (!err)
        add(d, PART_INTEGRATIONS);
    return err;
}

static pb_err digest_deleted(void *arg, const struct pb_id *id, uint64_t fence)
{
    struct digesting *d = arg;
    put_id(d, id);
    put_number(d, (int64_t)fence);
    add(d, PART_DELETED);
    return PB_OK;
}

static pb_err digest_job(void *arg, struct job *j)
{
    struct digesting *d = arg;
    const int64_t numbers[] = {j->kind,          j->state,       j->priority,      j->attempts,
                               j->max_attempts,  j->crashes,     j->cancel_asked,  j->created_at_ms,
                               j->not_before_ms, j->deadline_ms, j->finished_at_ms};
    put_id(d, &j->id);
    put_id(d, &j->integration);
    for (size_t i = 0; i < sizeof numbers / sizeof numbers[0]; i++)
        put_number(d, numbers[i]);
    put_text(d, j->tenant);
    put_text(d, j->type);
    put_text(d, j->idem);
    put_text(d, j->host);
    put_text(d, j->result);
    put_number(d, j->payload ? (int64_t)j->payload_len : -1);
    buf_append(&d->buf, j->payload, j->payload_len);
    add(d, PART_JOBS);
    return PB_OK;
}

static pb_err digest_batch(void *arg, const struct store_batch *b)
{
    struct digesting *d = arg;
    put_id(d, &b->id);
    put_number(d, b->state);
    put_number(d, b->created_at_ms);
    put_number(d, b->finished_at_ms);
    put_text(d, b->tenant);
    put_text(d, b->body);
    add(d, PART_BATCHES);
    return PB_OK;
}

static pb_err digest_schedule(void *arg, const struct store_schedule *s)
{
    struct digesting *d = arg;
    put_text(d, s->tenant);
    put_text(d, s->name);
    put_number(d, s->created_at_ms);
    put_number(d, s->updated_at_ms);
    put_text(d, s->body);
    add(d, PART_SCHEDULES);
    return PB_OK;
}

static pb_err digest_token(void *arg, const struct store_token *t)
{
    struct digesting *d = arg;
    buf_append(&d->buf, t->hash, sizeof t->hash);
    put_text(d, t->tenant);
    put_text(d, t->role);
    put_text(d, t->name);
    put_number(d, t->created_at_ms);
    add(d, PART_TOKENS);
    return PB_OK;
}

static pb_err digest_meta(void *arg, const char *key, const char *value)
{
    struct digesting *d = arg;
    put_text(d, key);
    put_text(d, value);
    add(d, PART_META);
    return PB_OK;
}

pb_err store_digest(struct store *s, struct store_digest *out, struct pb_why *why)
{
    struct digesting d = {0};
    buf_init(&d.buf, LIMIT_MESSAGE_BYTES);
    pb_err err =
        store_list_integrations(s, &all_integrations, &from_first, INT64_MAX, digest_integration, &d, why);
    if (!err)
        err = store_list_deleted(s, digest_deleted, &d, why);
    if (!err)
        err = walk_jobs(s, digest_job, &d, why);
    if (!err)
        err = store_list_batches(s, NULL, 0, &from_first, INT64_MAX, digest_batch, &d, why);
    if (!err)
        err = store_list_schedules(s, NULL, digest_schedule, &d, why);
    if (!err)
        err = store_list_tokens(s, digest_token, &d, why);
    if (!err)
        err = store_list_meta(s, digest_meta, &d, why);
    if (!err && d.buf.failed)
        err = pb_fail(why, PB_E_LIMIT, NULL, "a record is larger than any message may be");
    if (!err)
        *out = d.digest;
    buf_fini(&d.buf);
    return err;
}

bool store_digest_is_empty(const struct store_digest *d)
{
    for (int i = 0; i < STORE_PARTS; i++)
        if (d->parts[i].count)
            return false;
    return true;
}

/* -- copying -- */

/* The operations of the next commit. What they point to is owned. */
struct copying {
    struct store *to;
    struct store_op ops[GROUP], *refs[GROUP];
    char *texts[GROUP]; /* key and value of meta */
    size_t count;
    struct pb_why *why;
};

static void forget(struct copying *c)
{
    for (size_t i = 0; i < c->count; i++) {
        job_fini(&c->ops[i].job);
        integration_fini(&c->ops[i].change.doc);
        store_batch_fini(&c->ops[i].batch);
        store_schedule_fini(&c->ops[i].schedule);
        free(c->texts[i]);
        c->texts[i] = NULL;
    }
    c->count = 0;
}

static pb_err flush(struct copying *c)
{
    pb_err err = c->count ? store_commit(c->to, c->refs, c->count, c->why) : PB_OK;
    for (size_t i = 0; i < c->count && !err; i++)
        if (c->ops[i].outcome)
            err = pb_fail(c->why, PB_E_STORE, NULL, "a record that was copied is there already (%s)",
                          pb_err_name(c->ops[i].outcome));
    forget(c);
    return err;
}

/* Room for n operations of one commit. */
static pb_err make_room(struct copying *c, size_t n)
{
    return c->count + n > GROUP ? flush(c) : PB_OK;
}

static struct store_op *new_op(struct copying *c, enum store_op_kind kind)
{
    struct store_op *op = &c->ops[c->count];
    *op = (struct store_op){.kind = kind};
    c->refs[c->count++] = op;
    return op;
}

static pb_err copy_integration(void *arg, const struct integration *in)
{
    struct copying *c = arg;
    struct integration copy;
    pb_err err = make_room(c, 1);
    if (!err)
        err = integration_copy(in, &copy);
    if (!err)
        new_op(c, STORE_CHANGE)->change =
            (struct store_change){.kind = CHANGE_CREATE, .fence = in->fence, .doc = copy};
    return err;
}

/* It is made, and deleted at once by the same attempt: so its fence is kept. */
static pb_err copy_deleted(void *arg, const struct pb_id *id, uint64_t fence)
{
    struct copying *c = arg;
    char name[ID_TEXT_BYTES];
    pb_err err = make_room(c, 2);
    if (err)
        return err;
    id_text(id, ID_INTEGRATION, name);
    struct store_change *made = &new_op(c, STORE_CHANGE)->change;
    *made = (struct store_change){.kind = CHANGE_CREATE, .fence = fence, .doc.id = *id};
    new_op(c, STORE_CHANGE)->change =
        (struct store_change){.kind = CHANGE_DELETE, .fence = fence, .doc.id = *id};
    made->doc.status = STATUS_INACTIVE;
    made->doc.health = HEALTH_UNKNOWN;
    made->doc.tenant = strdup("deleted");
    made->doc.name = strdup(name);
    made->doc.type = strdup("deleted");
    return made->doc.tenant && made->doc.name && made->doc.type ? PB_OK : PB_E_MEMORY;
}

/* One that has ended is appended as it was before, and then ends. */
static pb_err copy_job(void *arg, struct job *job)
{
    struct copying *c = arg;
    pb_err err = make_room(c, 2);
    if (err)
        return err;
    struct job *appended = &new_op(c, STORE_APPEND_JOB)->job;
    *appended = *job;
    appended->state = JOB_WAITING;
    appended->finished_at_ms = 0;
    appended->result = NULL;
    job->payload = NULL;
    if (job->state == JOB_WAITING)
        return PB_OK;
    struct job *ended = &new_op(c, STORE_FINISH_JOB)->job;
    *ended = (struct job){.id = job->id,
                          .state = job->state,
                          .attempts = job->attempts,
                          .finished_at_ms = job->finished_at_ms,
                          .result = job->result};
    job->result = NULL;
    return PB_OK;
}

static pb_err copy_batch(void *arg, const struct store_batch *batch)
{
    struct copying *c = arg;
    pb_err err = make_room(c, 1);
    if (err)
        return err;
    struct store_batch *copy = &new_op(c, STORE_PUT_BATCH)->batch;
    *copy = *batch;
    copy->body = strdup(batch->body);
    return copy->body ? PB_OK : PB_E_MEMORY;
}

static pb_err copy_schedule(void *arg, const struct store_schedule *schedule)
{
    struct copying *c = arg;
    pb_err err = make_room(c, 1);
    if (err)
        return err;
    struct store_schedule *copy = &new_op(c, STORE_PUT_SCHEDULE)->schedule;
    *copy = *schedule;
    copy->body = strdup(schedule->body);
    return copy->body ? PB_OK : PB_E_MEMORY;
}

static pb_err copy_token(void *arg, const struct store_token *token)
{
    struct copying *c = arg;
    pb_err err = make_room(c, 1);
    if (!err)
        new_op(c, STORE_ADD_TOKEN)->token = *token;
    return err;
}

static pb_err copy_meta(void *arg, const char *key, const char *value)
{
    struct copying *c = arg;
    size_t key_bytes = strlen(key) + 1, value_bytes = strlen(value) + 1;
    pb_err err = make_room(c, 1);
    char *text = err ? NULL : malloc(key_bytes + value_bytes);
    if (!text)
        return err ? err : PB_E_MEMORY;
    memcpy(text, key, key_bytes);
    memcpy(text + key_bytes, value, value_bytes);
    c->texts[c->count] = text;
    struct store_op *op = new_op(c, STORE_SET_META);
    op->meta_key = text;
    op->meta_value = text + key_bytes;
    return PB_OK;
}

/* Meta last: it says to whom the rest belongs, so what was broken off is not taken for whole. */
static pb_err copy_all(struct store *from, struct copying *c)
{
    pb_err err =
        store_list_integrations(from, &all_integrations, &from_first, INT64_MAX, copy_integration, c, c->why);
    if (!err)
        err = store_list_deleted(from, copy_deleted, c, c->why);
    if (!err)
        err = walk_jobs(from, copy_job, c, c->why);
    if (!err)
        err = store_list_batches(from, NULL, 0, &from_first, INT64_MAX, copy_batch, c, c->why);
    if (!err)
        err = store_list_schedules(from, NULL, copy_schedule, c, c->why);
    if (!err)
        err = store_list_tokens(from, copy_token, c, c->why);
    if (!err)
        err = store_list_meta(from, copy_meta, c, c->why);
    return err ? err : flush(c);
}

pb_err store_copy(struct store *from, struct store *to, struct pb_why *why)
{
    struct copying *c = calloc(1, sizeof *c);
    if (!c)
        return PB_E_MEMORY;
    c->to = to;
    c->why = why;
    pb_err err = copy_all(from, c);
    forget(c);
    free(c);
    return err;
}
