#include "broker/schedule.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <sodium.h>

static struct schedule_spec read_spec(const char *text, const char *tenant, struct fields_report *report)
{
    struct schedule_spec spec;
    json_t *body = json_loads(text, 0, NULL);
    assert_non_null(body);
    *report = (struct fields_report){0};
    schedule_spec_read(body, tenant, NULL, &spec, report);
    json_decref(body);
    return spec;
}

static struct schedule make(const char *text)
{
    struct fields_report report;
    struct schedule s = {.tenant = "acme", .name = "nightly", .spec = read_spec(text, "acme", &report)};
    assert_int_equal(report.count, 0);
    return s;
}

static void schedule_spec_has_defaults(void **state)
{
    (void)state;
    struct schedule s = make("{\"cron\": \"@daily\", \"kind\": \"revalidate\"}");
    assert_string_equal(s.spec.zone_name, "UTC");
    assert_non_null(s.spec.zone);
    assert_true(s.spec.enabled);
    assert_int_equal(s.spec.missed, MISSED_RUN_ONCE);
    assert_int_equal(s.spec.per_second, 0);
    assert_int_equal(s.spec.jitter_s, 0);
    assert_string_equal(s.spec.filter.tenant, "acme");
    schedule_spec_fini(&s.spec);
}

static void schedule_filter_is_the_tenants(void **state)
{
    (void)state;
    static const char of_beta[] =
        "{\"cron\": \"@daily\", \"kind\": \"revalidate\", \"filter\": {\"tenant\": \"beta\"}}";
    struct fields_report report;
    struct schedule_spec spec = read_spec(of_beta, "acme", &report);
    assert_int_equal(report.count, 1);
    assert_string_equal(report.faults[0].pointer, "/filter/tenant");
    schedule_spec_fini(&spec);
    spec = read_spec(of_beta, "*", &report);
    assert_int_equal(report.count, 0);
    assert_string_equal(spec.filter.tenant, "beta");
    schedule_spec_fini(&spec);
}

static void schedule_comes_back_from_its_body(void **state)
{
    (void)state;
    struct schedule s =
        make("{\"cron\": \"5 4 * * sun\", \"kind\": \"revalidate\", \"timeZone\": \"Europe/Berlin\","
             " \"filter\": {\"type\": \"stripe\", \"status\": \"error\", \"health\": \"degraded\"},"
             " \"ratePerSecond\": 9, \"missed\": \"skip\", \"enabled\": false, \"jitterSeconds\": 3}");
    s.due_ms = 1, s.planned_ms = 2, s.run_ms = 3, s.skipped_ms = 4;
    s.started = true;
    s.skipped_why = SKIP_MISSED;
    memset(s.batch.bytes, 7, sizeof s.batch.bytes);
    struct store_schedule stored = {.tenant = "acme", .name = "nightly", .body = schedule_body(&s)};
    struct schedule back;
    assert_int_equal(schedule_read_body(&stored, &back), PB_OK);
    char *again = schedule_body(&back);
    assert_string_equal(again, stored.body);
    assert_int_equal(back.spec.filter.status, STATUS_ERROR);
    assert_int_equal(back.spec.missed, MISSED_SKIP);
    assert_true(id_equal(&back.batch, &s.batch));
    free(again);
    store_schedule_fini(&stored);
    schedule_spec_fini(&back.spec);
    schedule_spec_fini(&s.spec);
}

static void schedule_body_that_is_damaged_is_refused(void **state)
{
    (void)state;
    static const char *const bodies[] = {
        "",
        "[]",
        "{}",
        "{\"spec\": {}, \"batch\": \"bat_00000000000000000000000000000000\"}",
        "{\"spec\": {\"cron\": \"@daily\", \"kind\": \"revalidate\"}}",
        "{\"spec\": {\"cron\": \"@daily\", \"kind\": \"revalidate\"}, \"batch\": \"no\"}"};
    for (size_t i = 0; i < sizeof bodies / sizeof bodies[0]; i++) {
        struct store_schedule stored = {.tenant = "*", .name = "x", .body = (char *)(uintptr_t)bodies[i]};
        struct schedule s;
        assert_int_equal(schedule_read_body(&stored, &s), PB_E_INVALID);
        assert_null(s.spec.zone);
    }
}

static void schedule_jitter_is_spread_and_stays(void **state)
{
    (void)state;
    struct schedule s = make("{\"cron\": \"* * * * *\", \"kind\": \"revalidate\", \"jitterSeconds\": 10}");
    int64_t least = INT64_MAX, most = 0;
    for (int64_t n = 1; n <= 200; n++) {
        s.due_ms = n * 60000;
        int64_t jitter = schedule_next_ms(&s) - s.due_ms;
        assert_true(jitter >= 0 && jitter <= 10000);
        assert_int_equal(schedule_next_ms(&s) - s.due_ms, jitter);
        least = jitter < least ? jitter : least;
        most = jitter > most ? jitter : most;
    }
    assert_true(least < 2000 && most > 8000);
    s.spec.enabled = false;
    assert_int_equal(schedule_next_ms(&s), 0);
    schedule_spec_fini(&s.spec);
}

static void schedule_names_are_checked(void **state)
{
    (void)state;
    char longest[LIMIT_SCHEDULE_CHARS + 2];
    memset(longest, 'a', sizeof longest);
    longest[LIMIT_SCHEDULE_CHARS + 1] = '\0';
    assert_false(schedule_name_is_valid(longest));
    longest[LIMIT_SCHEDULE_CHARS] = '\0';
    assert_true(schedule_name_is_valid(longest));
    assert_true(schedule_name_is_valid("7-nightly"));
    static const char *const wrong[] = {"", "-a", "A", "a/b", "a b", "a.b", "\xc3\xa4"};
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++)
        assert_false(schedule_name_is_valid(wrong[i]));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(schedule_spec_has_defaults),
        cmocka_unit_test(schedule_filter_is_the_tenants),
        cmocka_unit_test(schedule_comes_back_from_its_body),
        cmocka_unit_test(schedule_body_that_is_damaged_is_refused),
        cmocka_unit_test(schedule_jitter_is_spread_and_stays),
        cmocka_unit_test(schedule_names_are_checked),
    };
    if (sodium_init() < 0)
        return 1;
    return cmocka_run_group_tests(tests, NULL, NULL);
}
