#include "common/cron.h"

#include "common/limits.h"

#include <ctype.h>
#include <stdbool.h>
#include <string.h>
#include <strings.h>

#define FIELDS 5

enum { MINUTE, HOUR, DAY, MONTH, WEEKDAY };

static const char *const month_names[] = {"jan", "feb", "mar", "apr", "may", "jun", "jul",
                                          "aug", "sep", "oct", "nov", "dec", NULL};
static const char *const day_names[] = {"sun", "mon", "tue", "wed", "thu", "fri", "sat", NULL};

static const struct kind {
    const char *name;
    int min, max;
    const char *const *names; /* of min and so on */
} kinds[FIELDS] = {[MINUTE] = {"minute", 0, 59, NULL},
                   [HOUR] = {"hour", 0, 23, NULL},
                   [DAY] = {"day of month", 1, 31, NULL},
                   [MONTH] = {"month", 1, 12, month_names},
                   [WEEKDAY] = {"day of week", 0, 7, day_names}};

static const struct {
    const char *name, *means;
} nicknames[] = {{"@hourly", "0 * * * *"},
                 {"@daily", "0 0 * * *"},
                 {"@midnight", "0 0 * * *"},
                 {"@weekly", "0 0 * * 0"},
                 {"@monthly", "0 0 1 * *"}};

/* -- one field: [at, end) -- */

struct field {
    const struct kind *kind;
    const char *at, *end;
    struct pb_why *why;
};

static pb_err fault(const struct field *f, const char *what)
{
    const struct kind *k = f->kind;
    return pb_fail(f->why, PB_E_INVALID, "cron", "the %s %s; it is *, or numbers from %d to %d%s", k->name,
                   what, k->min, k->max,
                   k->names == month_names ? " or jan to dec"
                   : k->names              ? " or sun to sat"
                                           : "");
}

static bool read_name(struct field *f, int *out)
{
    for (int i = 0; f->kind->names && f->kind->names[i]; i++)
        if (f->end - f->at >= 3 && strncasecmp(f->at, f->kind->names[i], 3) == 0) {
            f->at += 3;
            *out = f->kind->min + i;
            return true;
        }
    return false;
}

static bool read_number(struct field *f, int *out)
{
    int n = 0, digits = 0;
    for (; f->at < f->end && isdigit((unsigned char)*f->at) && digits < 4; digits++)
        n = n * 10 + (*f->at++ - '0');
    *out = n;
    return digits;
}

static bool passes(struct field *f, char c)
{
    bool is = f->at < f->end && *f->at == c;
    f->at += is;
    return is;
}

static pb_err read_value(struct field *f, int *out)
{
    if (f->at == f->end)
        return fault(f, "has nothing where a value must stand");
    if (!read_name(f, out) && !read_number(f, out))
        return fault(f, "has something that is no value of it");
    return *out < f->kind->min || *out > f->kind->max ? fault(f, "has a value out of its range") : PB_OK;
}

static pb_err read_step(struct field *f, bool may_step, int *out)
{
    *out = 1;
    if (!passes(f, '/'))
        return PB_OK;
    if (!may_step)
        return fault(f, "has a step behind a single value, where it needs a star or a range before it");
    if (!read_number(f, out) || *out < 1 || *out > f->kind->max)
        return fault(f, "has a step that is no number of at least 1 within its range");
    return PB_OK;
}

/* "*", "a", "a-b", each but "a" with "/step". */
static pb_err read_range(struct field *f, uint64_t *bits)
{
    int from = f->kind->min, to = f->kind->max, step;
    bool star = passes(f, '*'), range = false;
    pb_err err = star ? PB_OK : read_value(f, &from);
    if (!err && !star) {
        to = from;
        range = passes(f, '-');
        if (range)
            err = read_value(f, &to);
        if (f->kind == &kinds[WEEKDAY] && to == 0 && from > 0)
            to = 7; /* sat-sun */
    }
    if (!err && to < from)
        err = fault(f, "has a range whose end is before its beginning");
    if (!err)
        err = read_step(f, star || range, &step);
    for (int n = from; !err && n <= to; n += step)
        *bits |= UINT64_C(1) << n;
    return err;
}

static pb_err read_field(struct field *f, uint64_t *bits)
{
    pb_err err;
    *bits = 0;
    do
        err = read_range(f, bits);
    while (!err && passes(f, ','));
    return !err && f->at != f->end ? fault(f, "has something that is no value of it") : err;
}

/* -- the whole -- */

static pb_err read_fields(const char *text, uint64_t bits[FIELDS], bool stars[FIELDS], struct pb_why *why)
{
    size_t count = 0;
    for (const char *at = text + strspn(text, " \t"); *at; at += strspn(at, " \t")) {
        size_t len = strcspn(at, " \t");
        if (count < FIELDS) {
            struct field f = {&kinds[count], at, at + len, why};
            stars[count] = *at == '*';
            pb_err err = read_field(&f, &bits[count]);
            if (err)
                return err;
        }
        count++;
        at += len;
    }
    if (count == FIELDS)
        return PB_OK;
    return pb_fail(
        why, PB_E_INVALID, "cron",
        "has %zu fields of 5: minute, hour, day of month, month and day of week, as in 30 4 * * *, or "
        "is one of @hourly, @daily, @weekly and @monthly",
        count);
}

static bool has_a_day(const struct cron *c)
{
    static const int longest[] = {31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    for (int m = 0; m < 12; m++)
        if (c->months >> (m + 1) & 1 && c->days & ((UINT64_C(2) << longest[m]) - 1))
            return true;
    return c->either_day;
}

pb_err cron_parse(const char *text, struct cron *out, struct pb_why *why)
{
    uint64_t bits[FIELDS] = {0};
    bool stars[FIELDS] = {false};
    if (strlen(text) > LIMIT_CRON_CHARS)
        return pb_fail(why, PB_E_LIMIT, "cron", "must have at most %d characters", LIMIT_CRON_CHARS);
    for (size_t i = 0; i < sizeof nicknames / sizeof nicknames[0]; i++)
        if (strcasecmp(text, nicknames[i].name) == 0)
            text = nicknames[i].means;
    pb_err err = read_fields(text, bits, stars, why);
    if (err)
        return err;
    struct cron c = {.minutes = bits[MINUTE],
                     .hours = (uint32_t)bits[HOUR],
                     .days = (uint32_t)bits[DAY],
                     .months = (uint32_t)bits[MONTH],
                     .weekdays = (uint8_t)((bits[WEEKDAY] & 0x7f) | (bits[WEEKDAY] >> 7 & 1)),
                     .either_day = !stars[DAY] && !stars[WEEKDAY]};
    if (!has_a_day(&c))
        return pb_fail(why, PB_E_INVALID, "cron", "the day of month names no day that its months have");
    *out = c;
    return PB_OK;
}

/* -- the next -- */

static bool is_day(const struct cron *c, int64_t days)
{
    int64_t year;
    int month, day;
    zone_date(days, &year, &month, &day);
    bool in_days = c->days >> day & 1, in_week = c->weekdays >> ((days + 4) % 7) & 1; /* day 0: a Thursday */
    return c->months >> month & 1 && (c->either_day ? in_days || in_week : in_days && in_week);
}

/* The first minute of a day from this one on; -1: none. */
static int minute_of_day(const struct cron *c, int from)
{
    for (int m = from; m < 24 * 60; m++)
        if (c->hours >> (m / 60) & 1 && c->minutes >> (m % 60) & 1)
            return m;
    return -1;
}

/* The first local minute from this one on, in minutes. What parses has one: in the worst case the 29th of
 * February, forty years later where it must also be a certain weekday and a century begins in between. */
static int64_t next_local(const struct cron *c, int64_t minutes)
{
    int64_t day = minutes / (24 * 60);
    int minute = minute_of_day(c, (int)(minutes % (24 * 60)));
    while (minute < 0 || !is_day(c, day)) {
        day++;
        minute = minute_of_day(c, 0);
    }
    return day * 24 * 60 + minute;
}

int64_t cron_next_s(const struct cron *c, const struct zone *z, int64_t after_s)
{
    int64_t local_s = after_s + zone_offset_s(z, after_s), at_s;
    int64_t minutes = (local_s > 0 ? local_s : 0) / 60;
    do {
        minutes = next_local(c, minutes);
        at_s = zone_moment_s(z, minutes * 60);
        minutes++;
    } while (at_s <= after_s);
    return at_s;
}
