/* POST /v1/integrations:test: are these credentials good? Nothing is stored. The job lives in memory alone,
 * so its outcome comes by the one way back there is; the wait is its deadline, so that nothing runs for
 * nobody. */
#include "broker/broker.h"
#include "broker/http/form.h"
#include "broker/http/jobs.h"
#include "broker/http/routes.h"
#include "broker/http/setup.h"
#include "broker/intake.h"
#include "broker/spec.h"

#include <string.h>

#define MS_PER_SECOND 1000
#define WAIT_SECONDS  30   /* without Prefer */
#define MARGIN_MS     2000 /* for an attempt that ends at its deadline to be heard of */

static void refuse_late(struct http_request *r)
{
    http_refuse(
        r, "no_outcome",
        "the test had no outcome in time and was given up; GET /v1/queue and /v1/workers show what is busy");
}

static void answer_outcome(struct http_request *r, const struct intake_answer *a)
{
    json_t *result = a->result ? json_loads(a->result, 0, NULL) : NULL;
    const char *code = json_string_value(json_object_get(result, "code"));
    if (a->state == JOB_DONE && code) {
        http_answer_json(r, 200, result);
        return;
    }
    struct job job = {.state = a->state, .result = (char *)(uintptr_t)a->result}; /* lent for the call */
    if (code && strcmp(code, "deadline_exceeded") == 0)
        refuse_late(r);
    else
        jobs_answer_failed(r, &job);
    json_decref(result);
}

static void tested(void *arg, const struct intake_answer *a)
{
    struct http_request *r = arg;
    if (a->err)
        http_refuse(r, jobs_refusal_code(a->err), "%s", a->why ? a->why : "the test was refused");
    else if (a->finished)
        answer_outcome(r, a);
    else if (r->broker->stopped)
        http_refuse_error(r, PB_E_CLOSED, NULL);
    else
        refuse_late(r);
}

static void submit(struct http_request *r, const struct setup *s)
{
    uint32_t wait_ms = (r->wait_seconds ? r->wait_seconds : WAIT_SECONDS) * MS_PER_SECOND;
    struct job job = jobs_new(r, JOB_TEST, http_tenant_new(r), s->manifest->type);
    job.idem[0] = 0; /* what is not stored cannot be known again */
    job.deadline_ms = job.created_at_ms + wait_ms;
    id_new(&job.integration, job.created_at_ms);
    spec_set_host(&job, s->manifest);
    pb_err err = setup_seal(r->broker->seal_key, s, &job);
    if (err) {
        http_refuse_error(r, err, NULL);
        return;
    }
    http_say_waits(r);
    intake_submit(r->broker, &job, wait_ms + MARGIN_MS, tested, r);
}

void integrations_test(struct http_request *r)
{
    struct fields_report report = {0};
    struct setup s = {0};
    json_t *body = NULL;
    if (form_read(r, &body) != PB_OK)
        return;
    pb_err err = setup_read_test(r->broker->types, body, &s, &report);
    if (err)
        http_refuse_error(r, err, NULL);
    else if (report.count)
        form_refuse(r, &report);
    else if (jobs_has_worker(r) && setup_can_seal(r))
        submit(r, &s);
    credentials_fini(&s.credentials);
    json_decref(body);
}
