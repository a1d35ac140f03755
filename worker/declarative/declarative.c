/* The declarative connector: carries an exam's requests out, one after the other. */
#include "common/clock.h"
#include "worker/connector.h"
#include "worker/declarative/exam.h"
#include "worker/transfer.h"

#include <stdlib.h>

struct connector_test {
    struct transfer *transfer;
    struct transfer_call *call; /* under way */
    struct exam *exam;
    uint64_t started_ms, until_ms;
    connector_done *done;
    void *arg;
};

static void test_free(struct connector_test *t)
{
    exam_free(t->exam);
    free(t);
}

static void finish(struct connector_test *t)
{
    struct result r = *exam_result(t->exam);
    r.duration_ms = (uint32_t)(clock_mono_ms() - t->started_ms);
    t->done(t->arg, &r);
    test_free(t);
}

static void on_answer(void *arg, const struct transfer_answer *answer);

/* The request has what is left of the whole test's time, and at most its own. */
static pb_err send_request(struct connector_test *t)
{
    struct transfer_request request = *exam_request(t->exam);
    uint64_t now_ms = clock_mono_ms();
    uint64_t left_ms = t->until_ms > now_ms ? t->until_ms - now_ms : 1;
    if (request.timeout_ms == 0 || request.timeout_ms > left_ms)
        request.timeout_ms = (uint32_t)left_ms;
    return transfer_start(t->transfer, &request, on_answer, t, &t->call);
}

static void give_up(struct connector_test *t, pb_err err)
{
    const struct transfer_answer none = {
        .failure = RESULT_INTERNAL,
        .why = err == PB_E_BUSY ? "this worker has too many requests under way" : "no memory for a request",
        .headers = "",
        .body = "",
    };
    exam_answer(t->exam, &none, clock_wall_ms());
}

static void on_answer(void *arg, const struct transfer_answer *answer)
{
    struct connector_test *t = arg;
    t->call = NULL;
    exam_answer(t->exam, answer, clock_wall_ms());
    pb_err err = exam_request(t->exam) ? send_request(t) : PB_OK;
    if (err)
        give_up(t, err);
    if (!exam_request(t->exam))
        finish(t);
}

static pb_err start(struct transfer *transfer, const struct manifest *manifest,
                    const struct credentials *credentials, uint32_t deadline_ms, connector_done *done,
                    void *arg, struct connector_test **out)
{
    struct connector_test *t = calloc(1, sizeof *t);
    if (!t)
        return PB_E_MEMORY;
    uint64_t now_ms = clock_mono_ms();
    *t = (struct connector_test){.transfer = transfer, .started_ms = now_ms, .done = done, .arg = arg};
    t->until_ms = now_ms + deadline_ms;
    pb_err err = exam_new(manifest, credentials, clock_wall_ms(), &t->exam);
    if (!err && exam_request(t->exam))
        err = send_request(t);
    if (err) {
        test_free(t);
        return err;
    }
    *out = t;
    if (!exam_request(t->exam)) /* over before it began */
        finish(t);
    return PB_OK;
}

static void cancel(struct connector_test *t)
{
    if (t->call)
        transfer_cancel(t->call);
    test_free(t);
}

const struct connector declarative_connector = {.name = "declarative", .test = start, .cancel = cancel};
