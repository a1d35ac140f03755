#include "common/clock.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <time.h>
/* cmocka wants the four before it */
#include <cmocka.h>

static void clock_text_is_rfc_3339_in_utc(void **state)
{
    static const struct {
        int64_t ms;
        const char *text;
    } cases[] = {
        {0, "1970-01-01T00:00:00.000Z"},
        {1, "1970-01-01T00:00:00.001Z"},
        {-1, "1969-12-31T23:59:59.999Z"},
        {-1000, "1969-12-31T23:59:59.000Z"},
        {951782400000, "2000-02-29T00:00:00.000Z"},
        {1767225599999, "2025-12-31T23:59:59.999Z"},
        {1764000000123, "2025-11-24T16:00:00.123Z"},
        {-62135596800000, "0001-01-01T00:00:00.000Z"},
        {-59011459200001, "0099-12-31T23:59:59.999Z"},
        {253402300799999, "9999-12-31T23:59:59.999Z"},
    };
    char out[CLOCK_TEXT_BYTES];
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        clock_text(cases[i].ms, out);
        assert_string_equal(out, cases[i].text);
    }
}

static void clock_text_gives_the_nearest_end_when_the_year_has_no_four_digits(void **state)
{
    char out[CLOCK_TEXT_BYTES];
    (void)state;
    clock_text(INT64_MIN, out);
    assert_string_equal(out, "0001-01-01T00:00:00.000Z");
    clock_text(-62135596800001, out);
    assert_string_equal(out, "0001-01-01T00:00:00.000Z");
    clock_text(253402300800000, out);
    assert_string_equal(out, "9999-12-31T23:59:59.999Z");
    clock_text(INT64_MAX, out);
    assert_string_equal(out, "9999-12-31T23:59:59.999Z");
}

static void clock_mono_never_goes_back_and_counts_milliseconds(void **state)
{
    const struct timespec nap = {.tv_nsec = 20000000};
    (void)state;
    uint64_t before = clock_mono_ms();
    nanosleep(&nap, NULL);
    uint64_t passed = clock_mono_ms() - before;
    assert_in_range(passed, 19, 20000);
}

static void clock_wall_agrees_with_time(void **state)
{
    int64_t seconds = (int64_t)time(NULL);
    (void)state;
    assert_in_range((uint64_t)(clock_wall_ms() / 1000 - seconds + 2), 0, 12);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(clock_text_is_rfc_3339_in_utc),
        cmocka_unit_test(clock_text_gives_the_nearest_end_when_the_year_has_no_four_digits),
        cmocka_unit_test(clock_mono_never_goes_back_and_counts_milliseconds),
        cmocka_unit_test(clock_wall_agrees_with_time),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
