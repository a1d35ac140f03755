#include "broker/http/jobs.h"

#include "broker/broker.h"
#include "broker/http/routes.h"
#include "broker/intake.h"
#include "broker/links.h"
#include "common/clock.h"
#include "common/json.h"
#include "common/limits.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MS_PER_SECOND 1000

/* -- as JSON -- */

static json_t *json_result(const struct job *job)
{
    json_t *result = job->result ? json_loads(job->result, 0, NULL) : NULL;
    return result ? result : json_null();
}

json_t *jobs_json(const struct job *job)
{
    return json_pack("{s:o, s:s, s:s, s:s, s:o, s:o, s:s, s:I, s:I, s:o, s:o, s:o, s:o, s:o}", "id",
                     json_id(&job->id, ID_JOB), "kind", job_kind_name(job->kind), "state",
                     job_state_name(job->state), "tenant", job->tenant, "type",
                     job->type[0] ? json_string(job->type) : json_null(), "integration",
                     json_id(&job->integration, ID_INTEGRATION), "priority",
                     job_priority_name(job->priority ? job->priority : PRIORITY_NORMAL), "attempts",
                     (json_int_t)job->attempts, "maxAttempts",
                     (json_int_t)(job->max_attempts ? job->max_attempts : LIMIT_JOB_ATTEMPTS), "notBefore",
                     json_time(job->not_before_ms), "deadline", json_time(job->deadline_ms), "createdAt",
                     json_time(job->created_at_ms), "finishedAt", json_time(job->finished_at_ms), "result",
                     json_result(job));
}

json_t *jobs_json_accepted(const struct job *job)
{
    json_t *json = jobs_json(job);
    json_object_set_new(json, "durability", json_string(job_is_durable(job) ? "durable" : "memory"));
    return json;
}

/* -- answers -- */

void jobs_answer(struct http_request *r, const struct job *job)
{
    http_answer_json(r, 200, jobs_json(job));
}

/* 202 with the job and its place. */
static void answer_accepted(struct http_request *r, const struct job *job)
{
    char id[ID_TEXT_BYTES];
    id_text(&job->id, ID_JOB, id);
    http_header(r, "Location", "/v1/jobs/%s", id);
    http_answer_json(r, 202, jobs_json_accepted(job));
}

static const char *text_of(const json_t *result, const char *key, const char *otherwise)
{
    const char *text = json_string_value(json_object_get(result, key));
    return text && *text ? text : otherwise;
}

/* Which member of the request the result blames; false: none. */
static bool find_fault(const json_t *result, struct fields_fault *out)
{
    const char *field = text_of(result, "field", NULL);
    bool name = strcmp(text_of(result, "code", ""), "name_taken") == 0;
    if (!field && !name)
        return false;
    if (name)
        snprintf(out->pointer, sizeof out->pointer, "/name");
    else
        snprintf(out->pointer, sizeof out->pointer, "/credentials/%s", field);
    snprintf(out->message, sizeof out->message, "%s", text_of(result, "message", "is at fault"));
    return true;
}

void jobs_answer_failed(struct http_request *r, const struct job *job)
{
    json_t *result = json_result(job);
    struct fields_fault fault;
    struct problem p = {
        .code = text_of(result, "code", "internal"),
        .detail = text_of(result, "message", "the job failed without saying why"),
        .result = json_is_object(result) ? result : NULL,
        .faults = &fault,
        .fault_count = find_fault(result, &fault),
    };
    if (job->state == JOB_CANCELLED)
        p = (struct problem){.code = "cancelled", .detail = "the job was cancelled before it had an outcome"};
    http_answer_problem(r, &p);
    json_decref(result);
}

/* -- submitting -- */

const char *jobs_refusal_code(pb_err err)
{
    return err == PB_E_BUSY ? "overloaded" : problem_code(err);
}

bool jobs_has_worker(struct http_request *r)
{
    if (links_worker_count(r->broker->links))
        return true;
    http_refuse(r, "no_worker", "no worker is connected; start patchbay-worker and try again");
    return false;
}

struct job jobs_new(const struct http_request *r, enum job_kind kind, const char *tenant, const char *type)
{
    struct job job = {
        .kind = kind, .state = JOB_WAITING, .priority = PRIORITY_HIGH, .created_at_ms = clock_wall_ms()};
    id_next(&r->broker->job_ids, job.created_at_ms, &job.id);
    snprintf(job.tenant, sizeof job.tenant, "%s", tenant);
    snprintf(job.type, sizeof job.type, "%s", type);
    snprintf(job.idem, sizeof job.idem, "%s", r->idem ? r->idem : "");
    return job;
}

/* A job on its way, from the request to the answer. */
struct submission {
    struct http_request *r;
    jobs_finished *finished;
    struct job asked;  /* as the request has it, without a payload */
    struct job stored; /* as the store has it in the end: an idempotency key may lead to an older one */
    struct integration doc;
};

static void submission_free(struct submission *s)
{
    job_fini(&s->stored);
    integration_fini(&s->doc);
    free(s);
}

static pb_err outcome_read(struct store *store, void *arg, struct pb_why *why)
{
    struct submission *s = arg;
    struct pb_id id = s->stored.id;
    pb_err err = store_get_job(store, &id, &s->stored, why);
    if (err || s->stored.kind != JOB_SETUP || s->stored.state != JOB_DONE)
        return err;
    err = store_get_integration(store, &s->stored.integration, &s->doc, why);
    return err == PB_E_NOT_FOUND ? PB_OK : err; /* deleted since */
}

bool jobs_is_same_request(const struct job *asked, const struct job *stored)
{
    return asked->kind == stored->kind && strcmp(asked->type, stored->type) == 0 &&
           (asked->kind == JOB_SETUP || id_equal(&asked->integration, &stored->integration));
}

static void outcome_done(void *arg, pb_err err, const struct pb_why *why)
{
    struct submission *s = arg;
    if (err)
        http_refuse_error(s->r, err, why);
    else if (!jobs_is_same_request(&s->asked, &s->stored))
        http_refuse(s->r, "idempotency_key_reused",
                    "this Idempotency-Key was used for another request; take a new one for each request");
    else if (s->stored.state == JOB_WAITING)
        answer_accepted(s->r, &s->stored);
    else
        s->finished(s->r, &s->stored, s->doc.name ? &s->doc : NULL);
    submission_free(s);
}

static void refuse_submission(const struct submission *s, const struct intake_answer *a)
{
    char id[ID_TEXT_BYTES];
    id_text(&s->asked.id, ID_JOB, id);
    if (a->err == PB_E_CLOSED && s->r->wait_seconds)
        http_refuse(s->r, "draining",
                    "the broker is stopping; if it had taken the job in, GET /v1/jobs/%s finds it when the "
                    "broker is back",
                    id);
    else
        http_refuse(s->r, jobs_refusal_code(a->err), "%s", a->why ? a->why : "the job was refused");
}

/* A job that has ended, or that was there before, is shown as the store has it. */
static void submitted(void *arg, const struct intake_answer *a)
{
    struct submission *s = arg;
    if (a->err) {
        refuse_submission(s, a);
        submission_free(s);
        return;
    }
    if (!a->finished && !a->duplicate) {
        answer_accepted(s->r, &s->asked);
        submission_free(s);
        return;
    }
    s->stored.id = a->job;
    pb_err err = http_read(s->r, outcome_read, outcome_done, s);
    if (err) {
        http_refuse_error(s->r, err, NULL);
        submission_free(s);
    }
}

void jobs_submit(struct http_request *r, struct job *job, jobs_finished *finished)
{
    struct submission *s = calloc(1, sizeof *s);
    if (!s || r->broker->stopped) {
        free(s);
        job_fini(job);
        http_refuse_error(r, s ? PB_E_CLOSED : PB_E_MEMORY, NULL);
        return;
    }
    *s = (struct submission){.r = r, .finished = finished, .asked = *job};
    s->asked.payload = NULL;
    s->asked.payload_len = 0;
    http_say_waits(r);
    intake_submit(r->broker, job, r->wait_seconds * MS_PER_SECOND, submitted, s);
}
