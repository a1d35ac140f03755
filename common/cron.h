/* Cron expressions: which minutes they name, and the next of them in a time zone. Pure.
 *
 * "minute hour day-of-month month day-of-week", apart by blanks; each "*", "5", "1-5", with "/step" behind a
 * star or a range, or several of these with commas between; months also jan to dec, days sun to sat, 7 is
 * Sunday, too; or @hourly, @daily, @weekly, @monthly. As with Vixie's cron: where both days are given (begin
 * with no star), a day that either names is one.
 *
 * Where the zone's clock leaps forward, a time that is left out comes at the first moment after the gap;
 * where it is set back, a time that comes twice counts once, the first time. So each time comes once on every
 * day, and what runs every minute rests while an hour is repeated. */
#ifndef PB_CRON_H
#define PB_CRON_H

#include "common/err.h"
#include "common/zone.h"

#include <stdint.h>

struct cron {
    uint64_t minutes; /* bit 0: minute 0; and so on */
    uint32_t hours, days, months;
    uint8_t weekdays;   /* bit 0: Sunday */
    uint8_t either_day; /* a day that either days or weekdays names */
};

/* PB_E_INVALID: why->text names the field. What parses names at least one day that exists. */
pb_err cron_parse(const char *text, struct cron *out, struct pb_why *why) PB_CHECKED;
/* The first moment after after_s at which it is due; both in seconds since 1970 UTC, from the years
 * 1970-9000. */
int64_t cron_next_s(const struct cron *c, const struct zone *z, int64_t after_s);

#endif
