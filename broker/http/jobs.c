#include "broker/http/jobs.h"

#include "broker/broker.h"
#include "broker/http/routes.h"
#include "broker/intake.h"
#include "common/clock.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MS_PER_SECOND 1000

/* -- as JSON -- */

static json_t *json_time(int64_t wall_ms)
{
    char text[CLOCK_TEXT_BYTES];
    if (!wall_ms)
        return json_null();
    clock_text(wall_ms, text);
    return json_string(text);
}

static json_t *json_result(const struct job *job)
{
    json_t *result = job->result ? json_loads(job->result, 0, NULL) : NULL;
    return result ? result : json_null();
}

json_t *jobs_json(const struct job *job)
{
    char id[ID_TEXT_BYTES], integration[ID_TEXT_BYTES];
    id_text(&job->id, ID_JOB, id);
    id_text(&job->integration, ID_INTEGRATION, integration);
    return json_pack("{s:s, s:s, s:s, s:s, s:s, s:I, s:o, s:o, s:o}", "id", id, "kind",
                     job_kind_name(job->kind), "state", job_state_name(job->state), "type", job->type,
                     "integration", integration, "attempts", (json_int_t)job->attempts, "createdAt",
                     json_time(job->created_at_ms), "finishedAt", json_time(job->finished_at_ms), "result",
                     json_result(job));
}

/* -- answers -- */

void jobs_answer(struct http_request *r, const struct job *job)
{
    http_answer_json(r, 200, jobs_json(job));
}

static void answer_accepted(struct http_request *r, const struct job *job)
{
    char id[ID_TEXT_BYTES];
    id_text(&job->id, ID_JOB, id);
    http_header(r, "Location", "/v1/jobs/%s", id);
    http_answer_json(r, 202, jobs_json(job));
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

struct job jobs_new(const struct http_request *r, enum job_kind kind, const char *tenant, const char *type)
{
    struct job job = {.kind = kind, .state = JOB_WAITING, .created_at_ms = clock_wall_ms()};
    id_new(&job.id, job.created_at_ms);
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

/* A key that belongs to another request is a mistake of the caller's, and answering with that request's
 * outcome would hide it. What a setup was to set up is sealed, so that much cannot be compared. */
static bool is_same_request(const struct job *asked, const struct job *stored)
{
    return asked->kind == stored->kind && strcmp(asked->type, stored->type) == 0 &&
           (asked->kind == JOB_SETUP || id_equal(&asked->integration, &stored->integration));
}

static void outcome_done(void *arg, pb_err err, const struct pb_why *why)
{
    struct submission *s = arg;
    if (err)
        http_refuse_error(s->r, err, why);
    else if (!is_same_request(&s->asked, &s->stored))
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
        http_refuse(s->r, problem_code(a->err), "%s", a->why ? a->why : "the job was refused");
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
    if (r->wait_seconds)
        http_header(r, "Preference-Applied", "wait=%u", (unsigned)r->wait_seconds);
    intake_submit(r->broker, job, r->wait_seconds * MS_PER_SECOND, submitted, s);
}

/* -- GET /v1/jobs/{id} -- */

struct lookup {
    struct http_request *r;
    struct pb_id id;
    bool waited; /* once is enough */
    struct job job;
};

static void look(struct lookup *l);

static pb_err look_read(struct store *store, void *arg, struct pb_why *why)
{
    struct lookup *l = arg;
    return store_get_job(store, &l->id, &l->job, why);
}

static void look_again(void *arg, const struct intake_answer *a)
{
    (void)a; /* over, or the wait is: either way the store knows */
    look(arg);
}

/* With Prefer: wait, once, for a job that was not over when the store was read. Meanwhile it may be: then the
 * store is asked again. */
static bool wait_for(struct lookup *l)
{
    struct http_request *r = l->r;
    if (!r->wait_seconds || l->waited || l->job.state != JOB_WAITING || r->broker->stopped)
        return false;
    l->waited = true;
    http_header(r, "Preference-Applied", "wait=%u", (unsigned)r->wait_seconds);
    pb_err err = intake_wait(r->broker, &l->id, r->wait_seconds * MS_PER_SECOND, look_again, l);
    if (err == PB_E_NOT_FOUND)
        look(l);
    return err == PB_OK || err == PB_E_NOT_FOUND;
}

static void look_done(void *arg, pb_err err, const struct pb_why *why)
{
    struct lookup *l = arg;
    if (!err && !http_sees(l->r, l->job.tenant))
        err = PB_E_NOT_FOUND;
    if (!err && wait_for(l))
        return;
    if (!err)
        jobs_answer(l->r, &l->job);
    else if (err == PB_E_NOT_FOUND)
        http_refuse(l->r, "not_found", "there is no such job");
    else
        http_refuse_error(l->r, err, why);
    job_fini(&l->job);
    free(l);
}

static void look(struct lookup *l)
{
    job_fini(&l->job);
    pb_err err = http_read(l->r, look_read, look_done, l);
    if (err) {
        http_refuse_error(l->r, err, NULL);
        free(l);
    }
}

void jobs_get(struct http_request *r)
{
    struct pb_id id;
    if (!http_arg_id(r, ID_JOB, &id))
        return;
    struct lookup *l = calloc(1, sizeof *l);
    if (!l) {
        http_refuse_error(r, PB_E_MEMORY, NULL);
        return;
    }
    *l = (struct lookup){.r = r, .id = id};
    look(l);
}
