#include "broker/payloads.h"

#include "broker/broker.h"
#include "broker/effects.h"
#include "broker/journal.h"
#include "broker/links.h"
#include "broker/outage.h"
#include "broker/reader.h"
#include "broker/verdict.h"
#include "common/integration.h"
#include "common/limits.h"

#include <stdlib.h>
#include <string.h>
#include <uthash.h>

#define ATTEMPT_DEADLINE_MS 60000
#define STORE_RETRY_MS      1000
#define CACHED_OVERHEAD     256 /* bytes that an entry costs beside its payload */

struct cached {
    struct job job; /* its payload is the cache's */
    UT_hash_handle hh;
};

struct payloads {
    struct broker *broker;
    struct cached *by_job; /* in order of arrival */
    struct cached *pinned; /* of memory jobs, which are nowhere else; as many as the board admits */
    size_t bytes;          /* of by_job */
};

/* One dispatch on its way through the reader. */
struct fetch {
    struct payloads *payloads;
    struct board_effect dispatch;
    bool have_job; /* the cache had it */
    struct job job;
    struct integration doc;
};

/* -- the cache -- */

static struct cached *cached(struct payloads *p, const struct pb_id *job)
{
    struct cached *c;
    HASH_FIND(hh, p->by_job, job, sizeof *job, c);
    if (!c)
        HASH_FIND(hh, p->pinned, job, sizeof *job, c);
    return c;
}

static void drop(struct payloads *p, struct cached *c)
{
    if (job_is_durable(&c->job)) {
        HASH_DEL(p->by_job, c);
        p->bytes -= c->job.payload_len + CACHED_OVERHEAD;
    } else {
        HASH_DEL(p->pinned, c);
    }
    job_fini(&c->job);
    free(c);
}

void payloads_keep(struct payloads *p, struct job *job)
{
    struct cached *c = cached(p, &job->id) ? NULL : calloc(1, sizeof *c);
    if (!c)
        return;
    c->job = *job;
    c->job.result = NULL;
    job->payload = NULL;
    if (!job_is_durable(&c->job)) {
        HASH_ADD(hh, p->pinned, job.id, sizeof c->job.id, c);
        return;
    }
    HASH_ADD(hh, p->by_job, job.id, sizeof c->job.id, c);
    p->bytes += c->job.payload_len + CACHED_OVERHEAD;
    while (p->bytes > LIMIT_PAYLOAD_CACHE_BYTES)
        drop(p, p->by_job);
}

void payloads_forget(struct payloads *p, const struct pb_id *job)
{
    struct cached *c = cached(p, job);
    if (c)
        drop(p, c);
}

pb_err payloads_open(struct broker *b, struct payloads **out)
{
    struct payloads *p = calloc(1, sizeof *p);
    if (!p)
        return PB_E_MEMORY;
    p->broker = b;
    *out = p;
    return PB_OK;
}

void payloads_close(struct payloads *p)
{
    struct cached *c, *next;
    if (!p)
        return;
    HASH_ITER(hh, p->by_job, c, next)
    {
        drop(p, c);
    }
    HASH_ITER(hh, p->pinned, c, next)
    {
        drop(p, c);
    }
    free(p);
}

/* -- dispatching -- */

static uint32_t time_left_ms(const struct payloads *p, const struct board_effect *d)
{
    uint64_t now_ms = p->broker->now_ms;
    if (!d->deadline_ms || d->deadline_ms >= now_ms + ATTEMPT_DEADLINE_MS)
        return ATTEMPT_DEADLINE_MS;
    return d->deadline_ms > now_ms ? (uint32_t)(d->deadline_ms - now_ms) : 1;
}

static uint32_t flags_of(const struct payloads *p, const struct board_effect *d, const struct job *job)
{
    bool hold = outages_is_on(p->broker->outages, job->type, p->broker->now_ms);
    return (d->alone ? WIRE_ALONE : 0u) | (hold ? WIRE_HOLD_FLIPS : 0u);
}

/* Does an attempt of this kind work on the integration as it is stored? The others bring all they need. */
static bool works_on_document(enum job_kind kind)
{
    return kind == JOB_VALIDATE || kind == JOB_DELETE;
}

static struct wire_bytes own_payload(const struct job *job)
{
    return (struct wire_bytes){job->payload, job->payload_len};
}

static void send_attempt(struct payloads *p, const struct board_effect *d, const struct job *job,
                         struct wire_bytes payload)
{
    struct wire_attempt a = {
        .job = d->job,
        .fence = d->fence,
        .kind = job->kind,
        .tenant = {job->tenant, strlen(job->tenant)},
        .deadline_ms = time_left_ms(p, d),
        .attempt = d->attempts + 1,
        .integration = job->integration,
        .type = {job->type, strlen(job->type)},
        .flags = flags_of(p, d, job),
        .payload = payload,
    };
    links_send_attempt(p->broker->links, d->session, &a);
}

/* The attempt comes back to the board without ever having left. */
static void come_back(struct payloads *p, const struct board_effect *d, enum job_outcome outcome,
                      struct store_op *op)
{
    struct board_event e = {
        .kind = BOARD_OUTCOME,
        .session = d->session,
        .job = d->job,
        .fence = d->fence,
        .outcome = outcome,
        .retry_after_ms = outcome == OUTCOME_RETURNED ? STORE_RETRY_MS : 0,
        .undelivered = true,
        .cargo = op,
    };
    effects_step(p->broker, &e);
}

static void fail_missing(struct payloads *p, const struct board_effect *d)
{
    struct store_op *op =
        verdict_new(&d->job, JOB_FAILED, "not_found", "the integration does not exist (any more)");
    come_back(p, d, op ? OUTCOME_FAILED : OUTCOME_RETURNED, op);
}

static void send_document(struct payloads *p, const struct fetch *f)
{
    struct buf packed;
    buf_init(&packed, LIMIT_MESSAGE_BYTES);
    if (integration_pack(&f->doc, &packed) == PB_OK)
        send_attempt(p, &f->dispatch, &f->job, (struct wire_bytes){packed.data, packed.len});
    else
        come_back(p, &f->dispatch, OUTCOME_RETURNED, NULL);
    buf_fini(&packed);
}

static pb_err fetch_read(struct store *store, void *arg, struct pb_why *why)
{
    struct fetch *f = arg;
    pb_err err = f->have_job ? PB_OK : store_get_job(store, &f->dispatch.job, &f->job, why);
    if (!err && works_on_document(f->job.kind))
        err = store_get_integration(store, &f->job.integration, &f->doc, why);
    return err;
}

static void fetch_done(void *arg, pb_err err, const struct pb_why *why)
{
    struct fetch *f = arg;
    struct payloads *p = f->payloads;
    bool cancelled = false;
    board_state_of(p->broker->board, &f->dispatch.job, &cancelled);
    if (cancelled) /* while it was read: the worker has nothing to stop */
        come_back(p, &f->dispatch, OUTCOME_CANCELLED, NULL);
    else if (err == PB_E_NOT_FOUND)
        fail_missing(p, &f->dispatch);
    else if (err)
        come_back(p, &f->dispatch, OUTCOME_RETURNED, NULL);
    else if (works_on_document(f->job.kind))
        send_document(p, f);
    else
        send_attempt(p, &f->dispatch, &f->job, own_payload(&f->job));
    if (err && err != PB_E_NOT_FOUND && err != PB_E_CLOSED)
        log_why(&p->broker->log, LOG_WARN, "a job's payload could not be read; it is tried again", err, why);
    job_fini(&f->job);
    integration_fini(&f->doc);
    free(f);
}

static void fetch(struct payloads *p, const struct board_effect *d, const struct job *job)
{
    struct fetch *f = calloc(1, sizeof *f);
    pb_err err = f ? PB_OK : PB_E_MEMORY;
    if (f) {
        *f = (struct fetch){.payloads = p, .dispatch = *d, .have_job = job};
        if (job)
            f->job = *job;
        f->job.payload = NULL;
        err = reader_submit(p->broker->reader, fetch_read, fetch_done, f);
    }
    if (err) {
        free(f);
        come_back(p, d, OUTCOME_RETURNED, NULL);
    }
}

void payloads_dispatch(struct payloads *p, const struct board_effect *dispatch)
{
    struct cached *c = cached(p, &dispatch->job);
    if (c && (c->job.payload || !works_on_document(c->job.kind)))
        send_attempt(p, dispatch, &c->job, own_payload(&c->job));
    else
        fetch(p, dispatch, c ? &c->job : NULL);
}
