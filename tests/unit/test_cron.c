#include "common/cron.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#define COUNT(t) (sizeof(t) / sizeof((t)[0]))

/* "2026-03-29 01:59", in UTC. */
static int64_t moment(const char *text)
{
    int year, month, day, hour, minute;
    assert_int_equal(sscanf(text, "%d-%d-%d %d:%d", &year, &month, &day, &hour, &minute), 5);
    return zone_days(year, month, day) * ZONE_DAY_S + hour * 3600 + minute * 60;
}

static void next_text(const char *expression, const char *zone, const char *after, char out[24])
{
    struct cron c;
    struct zone *z = NULL;
    struct pb_why why = {0};
    int64_t year;
    int month, day;
    assert_int_equal(zone_open(NULL, zone, &z, &why), PB_OK);
    assert_int_equal(cron_parse(expression, &c, &why), PB_OK);
    int64_t at_s = cron_next_s(&c, z, moment(after)), of_day = at_s % ZONE_DAY_S;
    zone_date(at_s / ZONE_DAY_S, &year, &month, &day);
    snprintf(out, 24, "%04d-%02d-%02d %02d:%02d", (int)(year % 10000), month, day, (int)(of_day / 3600),
             (int)(of_day / 60 % 60));
    zone_close(z);
}

static void cron_next_is_the_first_that_fits(void **state)
{
    (void)state;
    static const struct {
        const char *expression, *zone, *after, *next; /* UTC */
    } cases[] = {
        {"* * * * *", "UTC", "2026-01-01 00:00", "2026-01-01 00:01"},
        {"30 4 * * *", "UTC", "2026-01-01 04:30", "2026-01-02 04:30"},
        {"59 23 31 12 *", "UTC", "2026-01-01 00:00", "2026-12-31 23:59"},
        {"0 0 1 1 *", "UTC", "2026-12-31 23:59", "2027-01-01 00:00"},
        {"@monthly", "UTC", "2026-12-01 00:00", "2027-01-01 00:00"},
        {"@weekly", "UTC", "2026-11-26 12:00", "2026-11-29 00:00"},
        {"@Daily", "Asia/Kolkata", "2026-11-26 12:00", "2026-11-26 18:30"},
        {"@hourly", "Asia/Kolkata", "2026-11-26 12:00", "2026-11-26 12:30"},
        /* leap days */
        {"0 12 29 2 *", "UTC", "2026-01-01 00:00", "2028-02-29 12:00"},
        {"0 12 29 feb *", "UTC", "2096-03-01 00:00", "2104-02-29 12:00"},
        {"0 0 29 2 */7", "UTC", "2026-01-01 00:00", "2032-02-29 00:00"},
        /* both days: either; one with a star: both */
        {"0 0 13 * fri", "UTC", "2026-11-26 00:00", "2026-11-27 00:00"},
        {"0 0 28 * fri", "UTC", "2026-11-27 00:00", "2026-11-28 00:00"},
        {"0 0 */2 * fri", "UTC", "2026-11-26 00:00", "2026-11-27 00:00"},
        {"0 0 */2 * fri", "UTC", "2026-11-27 00:00", "2026-12-11 00:00"},
        {"0 0 * * 7", "UTC", "2026-11-26 00:00", "2026-11-29 00:00"},
        {"0 0 * * sat-sun", "UTC", "2026-11-28 00:00", "2026-11-29 00:00"},
        {"*/20,50 6-8/2 * * *", "UTC", "2026-11-26 06:41", "2026-11-26 06:50"},
        {"*/20,50 6-8/2 * * *", "UTC", "2026-11-26 06:50", "2026-11-26 08:00"},
        {"  5   1 * *\t* ", "UTC", "2026-11-26 00:00", "2026-11-26 01:05"},
        /* Berlin leaps from 02:00 to 03:00 on 29 March, and is set back from 03:00 on 25 October 2026 */
        {"30 2 * * *", "Europe/Berlin", "2026-03-28 12:00", "2026-03-29 01:00"},
        {"30 2 * * *", "Europe/Berlin", "2026-03-29 01:00", "2026-03-30 00:30"},
        {"*/30 * * * *", "Europe/Berlin", "2026-03-29 00:30", "2026-03-29 01:00"},
        {"*/30 * * * *", "Europe/Berlin", "2026-03-29 01:00", "2026-03-29 01:30"},
        {"30 2 * * *", "Europe/Berlin", "2026-10-24 12:00", "2026-10-25 00:30"},
        {"30 2 * * *", "Europe/Berlin", "2026-10-25 00:30", "2026-10-26 01:30"},
        {"30 2 * * *", "Europe/Berlin", "2026-10-25 01:10", "2026-10-26 01:30"},
        {"*/30 * * * *", "Europe/Berlin", "2026-10-25 00:30", "2026-10-25 02:00"},
        {"30 2 * * *", "Europe/Berlin", "2055-03-27 12:00", "2055-03-28 01:00"},
        /* New York: 8 March and 1 November 2026 */
        {"15 2 * * *", "America/New_York", "2026-03-07 12:00", "2026-03-08 07:00"},
        {"15 1 * * *", "America/New_York", "2026-10-31 12:00", "2026-11-01 05:15"},
        {"15 1 * * *", "America/New_York", "2026-11-01 05:15", "2026-11-02 06:15"},
        /* Lord Howe: half an hour, 5 April and 4 October 2026 */
        {"15 2 * * *", "Australia/Lord_Howe", "2026-10-03 00:00", "2026-10-03 15:30"},
        {"45 1 * * *", "Australia/Lord_Howe", "2026-04-04 00:00", "2026-04-04 14:45"},
        {"45 1 * * *", "Australia/Lord_Howe", "2026-04-04 14:45", "2026-04-05 15:15"},
        {"0 0 * * *", "Asia/Kolkata", "2026-12-31 00:00", "2026-12-31 18:30"},
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        char text[24];
        next_text(cases[i].expression, cases[i].zone, cases[i].after, text);
        if (strcmp(text, cases[i].next) != 0)
            fail_msg("%s in %s after %s: %s, not %s", cases[i].expression, cases[i].zone, cases[i].after,
                     text, cases[i].next);
    }
}

static void cron_parse_names_the_field_at_fault(void **state)
{
    (void)state;
    static const struct {
        const char *expression, *says;
    } cases[] = {
        {"", "0 fields"},
        {"* * * *", "4 fields"},
        {"0 0 * * * *", "6 fields"},
        {"@yearly", "minute"},
        {"60 * * * *", "the minute has a value out of its range"},
        {"* 24 * * *", "the hour has a value"},
        {"* * 0 * *", "the day of month has a value"},
        {"* * * 13 *", "the month has a value"},
        {"* * * * 8", "the day of week has a value"},
        {"* * * jany *", "the month has something"},
        {"* * * 1 may", "the day of week has something"},
        {"5-1 * * * *", "the minute has a range"},
        {"* 22-4 * * *", "the hour has a range"},
        {"*/0 * * * *", "the minute has a step"},
        {"*/60 * * * *", "the minute has a step"},
        {"5/10 * * * *", "the minute has a step behind a single value"},
        {"1, * * * *", "the minute has nothing"},
        {",1 * * * *", "the minute has something"},
        {"1- * * * *", "the minute has nothing"},
        {"-1 * * * *", "the minute has something"},
        {"** * * * *", "the minute has something"},
        {"1x * * * *", "the minute has something"},
        {"99999999999 * * * *", "the minute has a value"},
        {"0 0 30 2 *", "the day of month names no day"},
        {"0 0 31 4,6 *", "the day of month names no day"},
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        struct cron c;
        struct pb_why why = {0};
        assert_int_equal(cron_parse(cases[i].expression, &c, &why), PB_E_INVALID);
        if (!strstr(why.text, cases[i].says))
            fail_msg("%s: %s", cases[i].expression, why.text);
    }
}

static void cron_parse_has_a_limit(void **state)
{
    (void)state;
    char text[600];
    struct cron c;
    struct pb_why why = {0};
    memset(text, '1', sizeof text - 1);
    text[sizeof text - 1] = '\0';
    assert_int_equal(cron_parse(text, &c, &why), PB_E_LIMIT);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(cron_next_is_the_first_that_fits),
        cmocka_unit_test(cron_parse_names_the_field_at_fault),
        cmocka_unit_test(cron_parse_has_a_limit),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
