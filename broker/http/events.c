/* POST /v1/integrations/{id}/events/{eventType}/validate, and :batch: payloads of an integration's event,
 * checked by a worker in jobs that live in memory alone. Many payloads become several jobs of bounded size,
 * of which some are under way at a time; the answers are joined in the payloads' order. Either all have an
 * answer or the request has none. */
#include "broker/broker.h"
#include "broker/http/desk.h"
#include "broker/http/jobs.h"
#include "broker/http/routes.h"
#include "broker/intake.h"
#include "common/clock.h"
#include "common/integration.h"
#include "common/limits.h"
#include "common/wire.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MS_PER_SECOND 1000
#define WAIT_SECONDS  30   /* without Prefer */
#define MARGIN_MS     2000 /* for an attempt that ends at its deadline to be heard of */
#define PAYLOAD_BYTES (LIMIT_EVENT_BYTES + 1024)

struct chunk {
    struct wire_bytes payload; /* of the body */
    char *answer;
    size_t len;
};

struct checking {
    struct http_request *r;
    struct pb_id id;
    bool many;
    struct integration doc;
    struct chunk *chunks;
    size_t count, next; /* next: the first that is not submitted */
    size_t waiting;     /* submitted and not answered, and one more while submitting */
    int64_t deadline_ms;
    const char *refusal; /* a problem's code: of the request, or of the first job that failed */
    char detail[256];
    bool job_failed; /* then state and result are that job's */
    enum job_state state;
    char *result;
};

/* A chunk under way. */
struct ticket {
    struct checking *checking;
    size_t chunk;
};

static void checking_free(struct checking *c)
{
    for (size_t i = 0; i < c->count; i++)
        free(c->chunks[i].answer);
    free(c->chunks);
    free(c->result);
    integration_fini(&c->doc);
    free(c);
}

static void refuse(struct checking *c, const char *code, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* The first reason counts. */
static void refuse(struct checking *c, const char *code, const char *format, ...)
{
    va_list args;
    if (c->refusal)
        return;
    c->refusal = code;
    va_start(args, format);
    vsnprintf(c->detail, sizeof c->detail, format, args);
    va_end(args);
}

/* -- the integration and its events, on the reader's thread -- */

static void refuse_event(struct checking *c, const json_t *events)
{
    size_t count = json_array_size(events);
    const char **names = calloc(count + 1, sizeof *names);
    for (size_t i = 0; names && i < count; i++) {
        const char *name = json_string_value(json_object_get(json_array_get(events, i), "eventType"));
        names[i] = name ? name : "";
    }
    c->refusal = "not_found";
    desk_say_unknown("this integration", "GET /v1/integrations/{id} lists its events", c->r->args[1], names,
                     names ? count : 0, c->detail, sizeof c->detail);
    free(names);
}

static void find_event(struct checking *c)
{
    json_t *events = c->doc.supported_events ? json_loads(c->doc.supported_events, 0, NULL) : NULL, *event;
    bool found = false;
    size_t i;
    json_array_foreach(events, i, event)
    {
        const char *name = json_string_value(json_object_get(event, "eventType"));
        found = found || (name && strcmp(name, c->r->args[1]) == 0);
    }
    if (!found)
        refuse_event(c, events);
    json_decref(events);
}

/* -- the body in parts -- */

static bool fits(const struct chunk *chunk, size_t lines, const char *line, size_t len)
{
    size_t bytes = (size_t)(line + len - (const char *)chunk->payload.data);
    return lines < LIMIT_EVENT_CHUNK_LINES && bytes <= LIMIT_EVENT_CHUNK_BYTES;
}

/* A line is in one part, whatever its length; too long a one is refused by itself. */
static void split(struct checking *c, struct event_lines lines)
{
    const char *line;
    size_t len, in_chunk = 0;
    while (event_lines_next(&lines, &line, &len)) {
        struct chunk *last = c->count ? &c->chunks[c->count - 1] : NULL;
        if (len > LIMIT_EVENT_BYTES) { /* a job cannot hold it: as much of it as says that it is too long */
            len = LIMIT_EVENT_BYTES + 1;
            last = NULL;
        }
        if (!last || last->payload.len > LIMIT_EVENT_BYTES || !fits(last, in_chunk, line, len)) {
            last = &c->chunks[c->count++];
            last->payload.data = (const uint8_t *)line;
            in_chunk = 0;
        }
        last->payload.len = (size_t)(line + len - (const char *)last->payload.data);
        in_chunk++;
    }
}

static pb_err take_body(struct checking *c)
{
    struct event_lines lines = {buf_peek(&c->r->body), c->r->body.len};
    size_t count = c->many ? event_lines_count(lines) : 1;
    const char *code = desk_refusal(c->many, count, c->detail, sizeof c->detail);
    if (code) {
        c->refusal = code;
        return PB_OK;
    }
    c->chunks = calloc(count, sizeof *c->chunks);
    if (!c->chunks)
        return PB_E_MEMORY;
    if (c->many) {
        split(c, lines);
    } else {
        c->count = 1;
        c->chunks[0].payload = (struct wire_bytes){(const uint8_t *)lines.at, lines.left};
    }
    return PB_OK;
}

static pb_err look_read(struct store *store, void *arg, struct pb_why *why)
{
    struct checking *c = arg;
    pb_err err = store_get_integration(store, &c->id, &c->doc, why);
    if (!err && !http_sees(c->r, c->doc.tenant))
        err = PB_E_NOT_FOUND;
    if (err)
        return err;
    find_event(c);
    return c->refusal ? PB_OK : take_body(c);
}

/* -- the answer -- */

static void refuse_late(struct http_request *r)
{
    http_refuse(r, "no_outcome",
                "the payloads were not checked in time; GET /v1/queue and /v1/workers show what is busy");
}

static void answer_failed(struct checking *c)
{
    struct job job = {.state = c->state, .result = c->result};
    if (c->result && strstr(c->result, "\"deadline_exceeded\""))
        refuse_late(c->r);
    else
        jobs_answer_failed(c->r, &job);
}

static void answer_checked(struct checking *c)
{
    struct buf all;
    size_t len = 0;
    buf_init(&all, SIZE_MAX / 2);
    for (size_t i = 0; i < c->count; i++)
        buf_append(&all, c->chunks[i].answer, c->chunks[i].len);
    char *text = buf_take(&all, &len);
    if (text)
        http_answer_text(c->r, 200, c->many ? "application/x-ndjson" : "application/json", text, len);
    else
        http_refuse_error(c->r, PB_E_MEMORY, NULL);
}

static void end(struct checking *c)
{
    if (c->job_failed)
        answer_failed(c);
    else if (c->refusal && strcmp(c->refusal, "no_outcome") == 0)
        refuse_late(c->r);
    else if (c->refusal)
        http_refuse(c->r, c->refusal, "%s", c->detail);
    else
        answer_checked(c);
    checking_free(c);
}

/* -- the jobs, on the loop's thread -- */

static void submit_some(struct checking *c);

static void keep_answer(struct checking *c, struct chunk *chunk, const char *result)
{
    chunk->answer = strdup(result);
    chunk->len = chunk->answer ? strlen(chunk->answer) : 0;
    if (!chunk->answer)
        refuse(c, "overloaded", "the broker is out of memory; try again in a moment");
}

static void keep_failure(struct checking *c, const struct intake_answer *a)
{
    if (c->refusal)
        return;
    refuse(c, "internal", "a job failed");
    c->job_failed = true;
    c->state = a->state;
    c->result = a->result ? strdup(a->result) : NULL;
}

static void on_answer(void *arg, const struct intake_answer *a)
{
    struct ticket *t = arg;
    struct checking *c = t->checking;
    if (a->err)
        refuse(c, jobs_refusal_code(a->err), "%s", a->why ? a->why : "the payloads were refused");
    else if (a->finished && a->state == JOB_DONE && a->result)
        keep_answer(c, &c->chunks[t->chunk], a->result);
    else if (a->finished)
        keep_failure(c, a);
    else if (c->r->broker->stopped)
        refuse(c, problem_code(PB_E_CLOSED), "the broker is stopping; try again when it is back");
    else
        refuse(c, "no_outcome", " ");
    free(t);
    c->waiting--;
    submit_some(c);
}

static pb_err pack(const struct checking *c, const struct chunk *chunk, struct job *job)
{
    struct wire_event event = {
        .event_type = {c->r->args[1], strlen(c->r->args[1])}, .lines = c->many, .payload = chunk->payload};
    struct buf packed;
    buf_init(&packed, PAYLOAD_BYTES);
    pb_err err = wire_pack_event(&event, &packed);
    job->payload = err ? NULL : (uint8_t *)buf_take(&packed, &job->payload_len);
    buf_fini(&packed);
    return err || !job->payload ? PB_E_MEMORY : PB_OK;
}

/* One payload is waited for; of many, each job lets others go first. */
static void submit(struct checking *c, size_t i)
{
    struct job job = jobs_new(c->r, JOB_VALIDATE_EVENT, c->doc.tenant, c->doc.type);
    struct ticket *t = malloc(sizeof *t);
    int64_t left_ms = c->deadline_ms - job.created_at_ms;
    job.idem[0] = 0; /* what is not stored cannot be known again */
    job.deadline_ms = c->deadline_ms;
    if (c->many)
        job.priority = PRIORITY_NORMAL;
    if (left_ms <= 0) {
        refuse(c, "no_outcome", " ");
    } else if (!t || pack(c, &c->chunks[i], &job) != PB_OK) {
        refuse(c, "overloaded", "the broker is out of memory; try again in a moment");
    } else {
        *t = (struct ticket){c, i};
        c->waiting++;
        intake_submit(c->r->broker, &job, (uint32_t)left_ms + MARGIN_MS, on_answer, t);
        return;
    }
    free(t);
    job_fini(&job);
}

/* Keeps some jobs under way; ends when all are answered, or none is under way after a refusal. */
static void submit_some(struct checking *c)
{
    size_t limit = LIMIT_EVENT_CHUNKS;
    c->waiting++;
    while (!c->refusal && c->next < c->count && c->waiting <= limit)
        submit(c, c->next++);
    if (--c->waiting == 0)
        end(c);
}

/* -- the request -- */

static void looked(void *arg, pb_err err, const struct pb_why *why)
{
    struct checking *c = arg;
    struct http_request *r = c->r;
    if (!err && !c->refusal) {
        submit_some(c);
        return;
    }
    if (err == PB_E_NOT_FOUND)
        http_refuse(r, "not_found", "there is no such integration; GET /v1/integrations lists them");
    else if (err)
        http_refuse_error(r, err, why);
    else
        http_refuse(r, c->refusal, "%s", c->detail);
    checking_free(c);
}

static void take(struct http_request *r, bool many)
{
    struct pb_id id;
    if (!http_arg_id(r, ID_INTEGRATION, &id) || !desk_takes(r, many) || !jobs_has_worker(r))
        return;
    struct checking *c = calloc(1, sizeof *c);
    pb_err err = c ? PB_OK : PB_E_MEMORY;
    if (c) {
        uint32_t wait_s = r->wait_seconds ? r->wait_seconds : WAIT_SECONDS;
        *c = (struct checking){.r = r, .id = id, .many = many};
        c->deadline_ms = clock_wall_ms() + wait_s * (int64_t)MS_PER_SECOND;
        http_say_waits(r);
        err = http_read(r, look_read, looked, c);
    }
    if (err) {
        free(c);
        http_refuse_error(r, err, NULL);
    }
}

void events_check(struct http_request *r)
{
    take(r, false);
}

void events_check_lines(struct http_request *r)
{
    take(r, true);
}
