#include "broker/http/entry.h"
#include "broker/http/form.h"
#include "broker/http/queue.h"
#include "broker/http/rates.h"
#include "common/clock.h"
#include "common/limits.h"

#include <setjmp.h>
#include <sodium.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
/* cmocka wants the four before it */
#include <cmocka.h>

#define COUNT(t) (sizeof(t) / sizeof((t)[0]))

/* -- times -- */

static void time_is_read_as_rfc_3339_has_it(void **state)
{
    static const struct {
        const char *text;
        int64_t ms; /* -1: it is none */
    } cases[] = {
        {"1970-01-01T00:00:00Z", 0},
        {"2026-01-31T12:00:00Z", 1769860800000},
        {"2026-01-31t12:00:00.5z", 1769860800500},
        {"2026-01-31 12:00:00.123456Z", 1769860800123},
        {"2026-01-31T14:30:00+02:30", 1769860800000},
        {"2026-01-31T09:00:00-03:00", 1769860800000},
        {"2016-12-31T23:59:60Z", 1483228800000},
        {"2024-02-29T00:00:00Z", 1709164800000},
        {"2026-02-29T00:00:00Z", -1},
        {"2026-02-31T12:00:00Z", -1},
        {"2026-04-31T12:00:30Z", -1},
        {"2026-13-01T00:00:00Z", -1},
        {"2026-01-31T24:00:00Z", -1},
        {"2026-01-31T12:60:00Z", -1},
        {"2026-01-31T12:00:00", -1},
        {"2026-01-31T12:00:00.Z", -1},
        {"2026-01-31T12:00:00+2:30", -1},
        {"2026-01-31T12:00:00Zx", -1},
        {"2026-01-31T12:00Z", -1},
        {"2026-01-31", -1},
        {"0000-01-01T00:00:00Z", -1},
        {"12026-01-31T12:00:00Z", -1},
        {"", -1},
    };
    (void)state;
    for (size_t i = 0; i < COUNT(cases); i++) {
        int64_t ms = -1;
        bool is_time = form_parse_time(cases[i].text, &ms);
        if (is_time != (cases[i].ms >= 0) || ms != cases[i].ms)
            fail_msg("\"%s\": %d %lld", cases[i].text, is_time, (long long)ms);
    }
}

static void time_before_1970_is_not_taken_for_none(void **state)
{
    static const char *const texts[] = {"1970-01-01T00:00:00Z", "0001-01-01T00:00:00Z",
                                        "1969-12-31T23:59:59Z"};
    (void)state;
    for (size_t i = 0; i < COUNT(texts); i++) {
        struct fields_report report = {0};
        json_t *object = json_pack("{s:s}", "deadline", texts[i]);
        int64_t ms = 0;
        assert_true(form_time(object, "deadline", &ms, &report));
        assert_int_equal(ms, 1);
        json_decref(object);
    }
}

/* -- jobs -- */

/* A ping asks neither the store nor the packages. */
static struct entry read_ping(const char *text)
{
    struct entry e = {0};
    struct entry_context c = {.tenant = "acme"};
    json_t *json = json_loads(text, JSON_DECODE_ANY, NULL);
    assert_non_null(json);
    assert_int_equal(entry_read(&e, json, &c, NULL, NULL), PB_OK);
    json_decref(json);
    return e;
}

static void entry_has_what_was_asked_for(void **state)
{
    (void)state;
    struct entry e =
        read_ping("{\"kind\":\"ping\",\"payload\":\"hi\",\"idempotencyKey\":\"k 1\",\"priority\":\"low\","
                  "\"delaySeconds\":1.5,\"deadlineSeconds\":60,\"maxAttempts\":3}");
    assert_null(e.code);
    assert_int_equal(e.job.kind, JOB_PING);
    assert_int_equal(e.job.state, JOB_WAITING);
    assert_string_equal(e.job.tenant, "acme");
    assert_string_equal(e.job.idem, "k 1");
    assert_int_equal(e.job.priority, PRIORITY_LOW);
    assert_int_equal(e.job.not_before_ms, e.job.created_at_ms + 1500);
    assert_int_equal(e.job.deadline_ms, e.job.created_at_ms + 60000);
    assert_int_equal(e.job.max_attempts, 3);
    assert_int_equal(e.job.payload_len, 2);
    assert_memory_equal(e.job.payload, "hi", 2);
    entry_fini(&e);
}

static void entry_has_defaults(void **state)
{
    (void)state;
    struct entry e = read_ping("{\"kind\":\"ping\",\"notBefore\":\"2001-01-01T00:00:00Z\"}");
    assert_null(e.code);
    assert_int_equal(e.job.priority, PRIORITY_NORMAL);
    assert_int_equal(e.job.not_before_ms, 0); /* what has passed is no delay */
    assert_int_equal(e.job.deadline_ms, 0);
    assert_int_equal(e.job.max_attempts, 0);
    assert_int_equal(e.job.payload_len, 0);
    entry_fini(&e);
}

static void entry_names_its_faults(void **state)
{
    static const struct {
        const char *text, *pointer, *says;
    } cases[] = {
        {"7", "", "must be an object"},
        {"{}", "/kind", "is required"},
        {"{\"kind\":7}", "/kind", "must be a string"},
        {"{\"kind\":\"pong\"}", "/kind", "did you mean ping?"},
        {"{\"kind\":\"test\"}", "/kind", "must be setup, validate, delete or ping"},
        {"{\"kind\":\"ping\",\"paylod\":1}", "/paylod", "did you mean payload?"},
        {"{\"kind\":\"ping\",\"integration\":\"x\"}", "/integration", "a ping has payload"},
        {"{\"kind\":\"ping\",\"payload\":{}}", "/payload", "must be a string"},
        {"{\"kind\":\"ping\",\"priority\":\"hihg\"}", "/priority", "did you mean high?"},
        {"{\"kind\":\"ping\",\"delaySeconds\":-1}", "/delaySeconds", "from 0 to"},
        {"{\"kind\":\"ping\",\"delaySeconds\":\"5\"}", "/delaySeconds", "a number"},
        {"{\"kind\":\"ping\",\"delaySeconds\":1e300}", "/delaySeconds", "from 0 to"},
        {"{\"kind\":\"ping\",\"notBefore\":\"tomorrow\"}", "/notBefore", "RFC 3339"},
        {"{\"kind\":\"ping\",\"notBefore\":\"9999-01-01T00:00:00Z\"}", "/notBefore", "within the next"},
        {"{\"kind\":\"ping\",\"delaySeconds\":1,\"notBefore\":\"2030-01-01T00:00:00Z\"}", "/notBefore",
         "exclude"},
        {"{\"kind\":\"ping\",\"deadline\":\"2001-01-01T00:00:00Z\"}", "/deadline", "in the future"},
        {"{\"kind\":\"ping\",\"deadlineSeconds\":0}", "/deadlineSeconds", "in the future"},
        {"{\"kind\":\"ping\",\"delaySeconds\":9,\"deadlineSeconds\":9}", "/deadlineSeconds", "later than"},
        {"{\"kind\":\"ping\",\"maxAttempts\":0}", "/maxAttempts", "from 1 to 20"},
        {"{\"kind\":\"ping\",\"maxAttempts\":2.5}", "/maxAttempts", "whole number"},
        {"{\"kind\":\"ping\",\"idempotencyKey\":\"\"}", "/idempotencyKey", "printable"},
        {"{\"kind\":\"validate\"}", "/integration", "is required"},
        {"{\"kind\":\"delete\",\"integration\":\"int_7\"}", "/integration", "must be an id"},
    };
    (void)state;
    for (size_t i = 0; i < COUNT(cases); i++) {
        struct entry e = read_ping(cases[i].text);
        if (!e.code || strcmp(e.code, "invalid_request") != 0 || !e.faults)
            fail_msg("%s is taken", cases[i].text);
        const struct fields_fault *f = &e.faults[0];
        if (e.fault_count != 1 || strcmp(f->pointer, cases[i].pointer) != 0 ||
            !strstr(f->message, cases[i].says))
            fail_msg("%s: %zu, %s %s", cases[i].text, e.fault_count, f->pointer, f->message);
        entry_fini(&e);
    }
}

static void entry_refuses_a_ping_that_is_too_large(void **state)
{
    struct buf b;
    (void)state;
    buf_init(&b, LIMIT_PING_BYTES + 64);
    buf_text(&b, "{\"kind\":\"ping\",\"payload\":\"");
    for (int i = 0; i <= LIMIT_PING_BYTES; i++)
        buf_text(&b, "x");
    buf_text(&b, "\"}");
    assert_false(b.failed);
    struct entry e = read_ping(buf_peek(&b));
    assert_string_equal(e.faults[0].message, "must have at most 65536 bytes");
    entry_fini(&e);
    buf_fini(&b);
}

static void entry_problem_says_which_job_it_is(void **state)
{
    (void)state;
    struct entry e = read_ping("{\"kind\":\"ping\",\"maxAttempts\":99,\"priority\":\"x\"}");
    json_t *problem = entry_problem(&e, 41), *errors = json_object_get(problem, "errors");
    assert_int_equal(json_array_size(errors), 2);
    assert_string_equal(json_string_value(json_object_get(json_array_get(errors, 0), "pointer")),
                        "/41/priority");
    assert_string_equal(json_string_value(json_object_get(json_array_get(errors, 1), "pointer")),
                        "/41/maxAttempts");
    json_decref(problem);
    entry_fini(&e);
    e = (struct entry){0};
    entry_refuse(&e, "tenant_busy", "", "too many");
    problem = entry_problem(&e, 0);
    assert_int_equal(json_integer_value(json_object_get(problem, "status")), 429);
    assert_string_equal(json_string_value(json_object_get(problem, "detail")), "too many");
    json_decref(problem);
    entry_fini(&e);
}

/* -- rates -- */

static void rate_is_that_of_the_last_seconds(void **state)
{
    struct rates r = {0};
    uint64_t counters[RATES_KINDS] = {0};
    (void)state;
    assert_true(rates_of(&r, 1000, 0, 7) == 0);
    for (uint64_t s = 0; s <= 30; s++) {
        counters[0] = s < 20 ? 0 : (s - 20) * 50;
        counters[1] = s * 3;
        rates_look(&r, 1000 * s, counters);
        rates_look(&r, 1000 * s + 500, (uint64_t[RATES_KINDS]){99, 99, 99, 99}); /* too early to count */
    }
    assert_true(rates_of(&r, 30000, 0, counters[0]) == 50);
    assert_true(rates_of(&r, 30000, 1, counters[1]) == 3);
    assert_true(rates_of(&r, 30000, 2, 0) == 0);
}

static void quantile_is_a_bucket_s_bound(void **state)
{
    struct histogram h = {0};
    (void)state;
    assert_true(queue_quantile_ms(&h, 0.99) == 0);
    for (int i = 0; i < 98; i++)
        histogram_add(&h, 900);
    histogram_add(&h, 40000);
    histogram_add(&h, UINT64_C(3600000000));
    assert_true(queue_quantile_ms(&h, 0.5) == 1);
    assert_true(queue_quantile_ms(&h, 0.99) == 50);
    assert_true(queue_quantile_ms(&h, 1) == 100000); /* the last one has no bound: the largest there is */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(time_is_read_as_rfc_3339_has_it),
        cmocka_unit_test(time_before_1970_is_not_taken_for_none),
        cmocka_unit_test(entry_has_what_was_asked_for),
        cmocka_unit_test(entry_has_defaults),
        cmocka_unit_test(entry_names_its_faults),
        cmocka_unit_test(entry_refuses_a_ping_that_is_too_large),
        cmocka_unit_test(entry_problem_says_which_job_it_is),
        cmocka_unit_test(rate_is_that_of_the_last_seconds),
        cmocka_unit_test(quantile_is_a_bucket_s_bound),
    };
    if (sodium_init() < 0)
        return 1;
    return cmocka_run_group_tests(tests, NULL, NULL);
}
