#include "broker/outage.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#define MINUTE_MS UINT64_C(60000)

static int setup(void **state)
{
    struct outages *all;
    assert_int_equal(outages_open(&all), PB_OK);
    *state = all;
    return 0;
}

static int teardown(void **state)
{
    outages_close(*state);
    return 0;
}

static void note(struct outages *all, const char *type, enum result_code code, int times, uint64_t now_ms)
{
    for (int i = 0; i < times; i++)
        (void)outages_note(all, type, code, now_ms);
}

static void outage_begins_with_the_fifth_that_fails_alike(void **state)
{
    struct outages *all = *state;
    note(all, "stripe", RESULT_TIMEOUT, 4, MINUTE_MS);
    assert_false(outages_is_on(all, "stripe", MINUTE_MS));
    assert_true(outages_note(all, "stripe", RESULT_TIMEOUT, MINUTE_MS));
    assert_true(outages_is_on(all, "stripe", MINUTE_MS));
}

static void outage_needs_more_than_thirty_percent(void **state)
{
    struct outages *all = *state;
    note(all, "stripe", RESULT_OK, 70, MINUTE_MS);
    note(all, "stripe", RESULT_INVALID_CREDENTIALS, 30, MINUTE_MS);
    assert_false(outages_is_on(all, "stripe", MINUTE_MS));
    assert_true(outages_note(all, "stripe", RESULT_INVALID_CREDENTIALS, MINUTE_MS));
}

static void outage_counts_only_what_fails_alike(void **state)
{
    struct outages *all = *state;
    for (int c = RESULT_INVALID_CREDENTIALS; c < RESULT_TEST_UNAVAILABLE; c++)
        note(all, "stripe", (enum result_code)c, 4, MINUTE_MS);
    assert_false(outages_is_on(all, "stripe", MINUTE_MS));
}

static void outage_is_none_when_a_type_cannot_be_tested(void **state)
{
    note(*state, "webhooks", RESULT_TEST_UNAVAILABLE, 100, MINUTE_MS);
    assert_false(outages_is_on(*state, "webhooks", MINUTE_MS));
}

static void outage_is_one_types_alone(void **state)
{
    note(*state, "stripe", RESULT_TIMEOUT, 10, MINUTE_MS);
    assert_false(outages_is_on(*state, "slack", MINUTE_MS));
}

static void outage_is_over_five_minutes_after_the_last(void **state)
{
    struct outages *all = *state;
    note(all, "stripe", RESULT_TIMEOUT, 10, 7 * MINUTE_MS);
    assert_true(outages_is_on(all, "stripe", 11 * MINUTE_MS));
    assert_false(outages_is_on(all, "stripe", 12 * MINUTE_MS));
}

static void outage_that_has_run_out_ends_with_the_next_test_whoever_asked_before(void **state)
{
    struct outages *all = *state;
    note(all, "stripe", RESULT_TIMEOUT, 10, 7 * MINUTE_MS);
    assert_false(outages_is_on(all, "stripe", 12 * MINUTE_MS));
    assert_true(outages_note(all, "stripe", RESULT_OK, 12 * MINUTE_MS));
    assert_false(outages_is_on(all, "stripe", 12 * MINUTE_MS));
}

static void outage_ends_when_most_are_well_again(void **state)
{
    struct outages *all = *state;
    note(all, "stripe", RESULT_TIMEOUT, 6, MINUTE_MS);
    note(all, "stripe", RESULT_OK, 13, 2 * MINUTE_MS);
    assert_true(outages_note(all, "stripe", RESULT_OK, 2 * MINUTE_MS));
    assert_false(outages_is_on(all, "stripe", 2 * MINUTE_MS));
}

static void take(void *arg, const struct outage *o)
{
    *(struct outage *)arg = *o;
}

static void outage_is_told_with_its_numbers(void **state)
{
    struct outages *all = *state;
    struct outage found = {0};
    note(all, "stripe", RESULT_OK, 2, MINUTE_MS);
    note(all, "stripe", RESULT_PROVIDER_UNAVAILABLE, 8, MINUTE_MS);
    outages_each(all, MINUTE_MS, take, &found);
    assert_string_equal(found.type, "stripe");
    assert_int_equal(found.code, RESULT_PROVIDER_UNAVAILABLE);
    assert_int_equal(found.alike, 8);
    assert_int_equal(found.of, 10);
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
    const struct CMUnitTest tests[] = {
        T(outage_begins_with_the_fifth_that_fails_alike),
        T(outage_needs_more_than_thirty_percent),
        T(outage_counts_only_what_fails_alike),
        T(outage_is_none_when_a_type_cannot_be_tested),
        T(outage_is_one_types_alone),
        T(outage_is_over_five_minutes_after_the_last),
        T(outage_that_has_run_out_ends_with_the_next_test_whoever_asked_before),
        T(outage_ends_when_most_are_well_again),
        T(outage_is_told_with_its_numbers),
    };
    return cmocka_run_group_tests_name("outage", tests, NULL, NULL);
}
