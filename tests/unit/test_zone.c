#include "common/zone.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#define COUNT(t) (sizeof(t) / sizeof((t)[0]))
#define HOUR_S   3600

static int64_t at(int64_t year, int month, int day, int hour, int minute)
{
    return zone_days(year, month, day) * ZONE_DAY_S + hour * HOUR_S + minute * 60;
}

static struct zone *open_zone(const char *name)
{
    struct zone *z = NULL;
    struct pb_why why = {0};
    assert_int_equal(zone_open(NULL, name, &z, &why), PB_OK);
    return z;
}

static void zone_date_is_the_inverse_of_days(void **state)
{
    (void)state;
    assert_int_equal(zone_days(1970, 1, 1), 0);
    assert_int_equal(zone_days(2000, 2, 29), 11016);
    for (int64_t n = -800000; n < 800000; n += 7) {
        int64_t year;
        int month, day;
        zone_date(n, &year, &month, &day);
        assert_true(month >= 1 && month <= 12 && day >= 1 && day <= 31);
        assert_int_equal(zone_days(year, month, day), n);
    }
}

/* The years behind the last transition of a file (2037) are its footer's. */
static void zone_offset_follows_transitions_and_rule(void **state)
{
    (void)state;
    static const struct {
        const char *zone;
        int64_t year;
        int month, day, hour, minute;
        int32_t offset_s;
    } cases[] = {
        {"UTC", 2026, 7, 1, 0, 0, 0},
        {"Europe/Berlin", 2026, 3, 29, 0, 59, HOUR_S},
        {"Europe/Berlin", 2026, 3, 29, 1, 0, 2 * HOUR_S},
        {"Europe/Berlin", 2026, 10, 25, 0, 59, 2 * HOUR_S},
        {"Europe/Berlin", 2026, 10, 25, 1, 0, HOUR_S},
        {"Europe/Berlin", 2061, 7, 1, 0, 0, 2 * HOUR_S},
        {"Europe/Berlin", 2061, 12, 31, 23, 59, HOUR_S},
        {"America/New_York", 2026, 3, 8, 6, 59, -5 * HOUR_S},
        {"America/New_York", 2026, 3, 8, 7, 0, -4 * HOUR_S},
        {"America/New_York", 2050, 1, 1, 0, 0, -5 * HOUR_S},
        {"Australia/Lord_Howe", 2026, 1, 1, 0, 0, 11 * HOUR_S},
        {"Australia/Lord_Howe", 2026, 7, 1, 0, 0, 10 * HOUR_S + HOUR_S / 2},
        {"Australia/Lord_Howe", 2090, 1, 1, 0, 0, 11 * HOUR_S},
        {"Asia/Kolkata", 2026, 1, 1, 0, 0, 5 * HOUR_S + HOUR_S / 2},
        {"Europe/Dublin", 2060, 1, 1, 0, 0, 0}, /* its winter is the exception: IST-1GMT0 */
        {"Europe/Dublin", 2060, 7, 1, 0, 0, HOUR_S},
        {"America/Nuuk", 2060, 7, 1, 0, 0, -HOUR_S}, /* its rule has times before midnight */
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        struct zone *z = open_zone(cases[i].zone);
        int64_t when = at(cases[i].year, cases[i].month, cases[i].day, cases[i].hour, cases[i].minute);
        assert_int_equal(zone_offset_s(z, when), cases[i].offset_s);
        zone_close(z);
    }
}

static void zone_moment_is_the_first_that_shows_it_or_later(void **state)
{
    (void)state;
    struct zone *z = open_zone("Europe/Berlin");
    assert_int_equal(zone_moment_s(z, at(2026, 3, 29, 1, 59)), at(2026, 3, 29, 0, 59));
    assert_int_equal(zone_moment_s(z, at(2026, 3, 29, 2, 0)), at(2026, 3, 29, 1, 0));
    assert_int_equal(zone_moment_s(z, at(2026, 3, 29, 2, 30)), at(2026, 3, 29, 1, 0));
    assert_int_equal(zone_moment_s(z, at(2026, 3, 29, 3, 0)), at(2026, 3, 29, 1, 0));
    assert_int_equal(zone_moment_s(z, at(2026, 10, 25, 2, 30)), at(2026, 10, 25, 0, 30));
    assert_int_equal(zone_moment_s(z, at(2026, 10, 25, 3, 0)), at(2026, 10, 25, 2, 0));
    assert_int_equal(zone_moment_s(z, at(2055, 3, 28, 2, 30)), at(2055, 3, 28, 1, 0));
    zone_close(z);
    z = open_zone("Pacific/Apia"); /* had no 30th of December 2011 */
    assert_int_equal(zone_moment_s(z, at(2011, 12, 30, 12, 0)), at(2011, 12, 30, 10, 0));
    zone_close(z);
}

static void zone_open_refuses_what_is_no_zone(void **state)
{
    (void)state;
    static const char *const names[] = {"",
                                        "Europe/Nowhere",
                                        "Europe",
                                        "../../../etc/passwd",
                                        "/etc/passwd",
                                        "zone.tab",
                                        "tzdata.zi",
                                        "right/Europe/Berlin",
                                        "Europe/Berlin ",
                                        "a-name-that-is-longer-than-any-that-a-zone-of-tzdata-can-ever-have"};
    for (size_t i = 0; i < COUNT(names); i++) {
        struct zone *z = NULL;
        struct pb_why why = {0};
        assert_int_equal(zone_open(NULL, names[i], &z, &why), PB_E_NOT_FOUND);
        assert_non_null(strstr(why.text, "no such time zone"));
    }
}

static void zone_open_says_that_tzdata_is_missing(void **state)
{
    (void)state;
    struct zone *z = NULL;
    struct pb_why why = {0};
    assert_int_equal(zone_open("/nowhere", "UTC", &z, &why), PB_E_NOT_FOUND);
    assert_non_null(strstr(why.text, "install tzdata"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(zone_date_is_the_inverse_of_days),
        cmocka_unit_test(zone_offset_follows_transitions_and_rule),
        cmocka_unit_test(zone_moment_is_the_first_that_shows_it_or_later),
        cmocka_unit_test(zone_open_refuses_what_is_no_zone),
        cmocka_unit_test(zone_open_says_that_tzdata_is_missing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
