#include "worker/declarative/exam.h"

#include "worker/declarative/judge.h"
#include "worker/declarative/plan.h"
#include "worker/declarative/redact.h"
#include "worker/declarative/request.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct exam {
    const struct manifest *manifest;
    const struct credentials *credentials;
    struct plan *plan;
    struct redact *redact;
    size_t step; /* whose request is out */
    bool over;
    struct request request;
    struct result result;
};

static void end(struct exam *e, enum result_code code, const char *message)
{
    struct buf clean;
    buf_init(&clean, 4 * sizeof(struct pb_why));
    if (e->redact)
        redact_text(e->redact, message, strlen(message), &clean);
    else
        buf_text(&clean, message);
    e->over = true;
    e->result.code = code;
    result_text(e->result.message, sizeof e->result.message, buf_peek(&clean), clean.len);
    buf_fini(&clean);
}

static void end_why(struct exam *e, pb_err err, const struct pb_why *why)
{
    char text[sizeof *why + 4];
    bool ours = err == PB_E_MEMORY;
    if (err == PB_E_DENIED) { /* a value that cannot be used; at is the field */
        snprintf(e->result.field, sizeof e->result.field, "%.*s", LIMIT_FIELD_NAME_CHARS, why->at);
        end(e, RESULT_MISCONFIGURED, why->text);
        return;
    }
    snprintf(text, sizeof text, "%s%s%s", why->at, why->at[0] ? ": " : "", why->text);
    end(e, ours ? RESULT_INTERNAL : RESULT_MANIFEST_INVALID, ours ? "no memory for a test" : text);
}

/* What was made of secrets (a basic header's pair) is a secret, too. */
static pb_err learn_headers(struct exam *e)
{
    pb_err err = PB_OK;
    for (size_t i = 0; i < e->request.transfer.header_count && !err; i++) {
        const struct transfer_header *h = &e->request.headers[i];
        const char *space = h->credential ? strchr(h->value.data, ' ') : NULL;
        const char *value = space ? space + 1 : h->value.data;
        if (h->credential)
            err = redact_add(e->redact, value, h->value.len - (size_t)(value - h->value.data));
    }
    return err;
}

static void prepare(struct exam *e, int64_t now_ms)
{
    struct pb_why why = {0};
    const struct plan_step *step = &e->plan->steps[e->step];
    struct template_env env = {e->manifest, e->credentials, e->result.account_id, e->result.account_label,
                               now_ms / 1000};
    pb_err err = request_build(e->plan, step, &env, &e->request, &why);
    if (!err)
        err = learn_headers(e);
    if (err) {
        snprintf(e->result.step_id, sizeof e->result.step_id, "%s", step->id);
        end_why(e, err, &why);
    } else if (!e->result.host[0]) {
        snprintf(e->result.host, sizeof e->result.host, "%s", e->request.host);
    }
}

pb_err exam_new(const struct manifest *m, const struct credentials *c, int64_t now_ms, struct exam **out)
{
    struct pb_why why = {0};
    struct exam *e = calloc(1, sizeof *e);
    if (!e)
        return PB_E_MEMORY;
    e->manifest = m;
    e->credentials = c;
    pb_err err = redact_new(m, c, &e->redact);
    if (err) {
        exam_free(e);
        return err;
    }
    err = plan_new(m, &e->plan, &why);
    if (err == PB_E_NOT_FOUND)
        end(e, RESULT_TEST_UNAVAILABLE,
            "This type has no connection test: the credentials are stored untested.");
    else if (err)
        end_why(e, err, &why);
    else
        prepare(e, now_ms);
    *out = e;
    return PB_OK;
}

void exam_free(struct exam *e)
{
    if (!e)
        return;
    request_fini(&e->request);
    redact_free(e->redact);
    plan_free(e->plan);
    free(e);
}

const struct transfer_request *exam_request(const struct exam *e)
{
    return e->over ? NULL : &e->request.transfer;
}

void exam_answer(struct exam *e, const struct transfer_answer *answer, int64_t now_ms)
{
    judge_answer(e->plan, &e->plan->steps[e->step], e->redact, answer, now_ms, &e->result);
    request_fini(&e->request);
    e->over = e->result.code != RESULT_OK || ++e->step == e->plan->step_count;
    if (!e->over)
        prepare(e, now_ms);
}

const struct result *exam_result(const struct exam *e)
{
    return &e->result;
}
