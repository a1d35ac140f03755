#include "common/zone.h"

#include "common/limits.h"

#include <ctype.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define HEADER_BYTES 44
#define OFFSET_MAX_S (26 * 3600)
#define HOUR_S       3600
#define FIRST_S      (-(INT64_C(1) << 59)) /* RFC 9636, section 3.2: nothing is before the Big Bang */

/* A day of each year, as in a TZ string: Mm.w.d, Jn or n, and the second of the day. */
struct rule_day {
    char form; /* 'M', 'J', '0' */
    int month, week, day;
    int32_t second;
};

struct zone {
    size_t count;
    int64_t *times;       /* of the transitions, ascending */
    int32_t *offsets;     /* from each on */
    int32_t first_offset; /* before all of them */
    bool has_rule, has_dst;
    int32_t std, dst;
    struct rule_day starts, ends; /* of daylight saving time */
};

/* -- the calendar -- */

/* Years begin in March here, so that the leap day is the last. */
int64_t zone_days(int64_t year, int month, int day)
{
    year -= month <= 2;
    int64_t era = (year >= 0 ? year : year - 399) / 400, of_era = year - era * 400;
    int64_t of_year = (153 * (month + (month > 2 ? -3 : 9)) + 2) / 5 + day - 1;
    return era * 146097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719468;
}

void zone_date(int64_t days, int64_t *year, int *month, int *day)
{
    days += 719468;
    int64_t era = (days >= 0 ? days : days - 146096) / 146097, of_era = days - era * 146097;
    int64_t years = (of_era - of_era / 1460 + of_era / 36524 - of_era / 146096) / 365;
    int64_t of_year = of_era - (365 * years + years / 4 - years / 100), m = (5 * of_year + 2) / 153;
    *day = (int)(of_year - (153 * m + 2) / 5 + 1);
    *month = (int)(m < 10 ? m + 3 : m - 9);
    *year = years + era * 400 + (*month <= 2);
}

static bool is_leap(int64_t year)
{
    return (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
}

static int64_t floor_days(int64_t s)
{
    return (s >= 0 ? s : s - (ZONE_DAY_S - 1)) / ZONE_DAY_S;
}

/* -- the rule -- */

static int64_t week_day(const struct rule_day *r, int64_t year)
{
    int64_t first = zone_days(year, r->month, 1);
    int64_t days = (r->day - (first + 4) % 7 + 7) % 7 + 7 * (r->week - 1);
    int64_t length = zone_days(r->month == 12 ? year + 1 : year, r->month % 12 + 1, 1) - first;
    return first + (days < length ? days : days - 7);
}

/* Local seconds. first + 4 above: the day 0 was a Thursday; times of interest are after it. */
static int64_t rule_local(const struct rule_day *r, int64_t year)
{
    int64_t day;
    if (r->form == 'M')
        day = week_day(r, year);
    else
        day = zone_days(year, 1, 1) + r->day - (r->form == 'J') +
              (r->form == 'J' && r->day >= 60 && is_leap(year));
    return day * ZONE_DAY_S + r->second;
}

static int64_t year_of(const struct zone *z, int64_t at_s)
{
    int64_t year;
    int month, day;
    zone_date(floor_days(at_s + z->std), &year, &month, &day);
    return year;
}

/* The last change up to at_s decides; where an end and the next start are one moment, the start. */
static int32_t rule_offset(const struct zone *z, int64_t at_s)
{
    int64_t latest = INT64_MIN, year = z->has_dst ? year_of(z, at_s) : 0;
    int32_t offset = z->std;
    for (int64_t y = year - 1; y <= year + 1 && z->has_dst; y++) {
        int64_t start = rule_local(&z->starts, y) - z->std, end = rule_local(&z->ends, y) - z->dst;
        if (end <= at_s && end >= latest) {
            latest = end;
            offset = z->std;
        }
        if (start <= at_s && start >= latest) {
            latest = start;
            offset = z->dst;
        }
    }
    return offset;
}

static int64_t rule_next(const struct zone *z, int64_t at_s)
{
    int64_t next = INT64_MAX, year = z->has_dst ? year_of(z, at_s) : 0;
    for (int64_t y = year - 1; y <= year + 1 && z->has_dst; y++) {
        const int64_t both[] = {rule_local(&z->starts, y) - z->std, rule_local(&z->ends, y) - z->dst};
        for (int i = 0; i < 2; i++)
            if (both[i] > at_s && both[i] < next)
                next = both[i];
    }
    return next;
}

/* -- asking -- */

/* How many transitions are not after at_s. */
static size_t passed(const struct zone *z, int64_t at_s)
{
    size_t low = 0, high = z->count;
    while (low < high) {
        size_t middle = (low + high) / 2;
        if (z->times[middle] <= at_s)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

int32_t zone_offset_s(const struct zone *z, int64_t at_s)
{
    size_t n = passed(z, at_s);
    if (n == z->count && z->has_rule)
        return rule_offset(z, at_s);
    return n ? z->offsets[n - 1] : z->first_offset;
}

static int64_t next_change(const struct zone *z, int64_t at_s)
{
    size_t n = passed(z, at_s);
    return n < z->count ? z->times[n] : z->has_rule ? rule_next(z, at_s) : INT64_MAX;
}

/* Goes through the times between two changes, from one at which the local time has certainly not come yet. */
int64_t zone_moment_s(const struct zone *z, int64_t local_s)
{
    int64_t from = local_s - 2 * ZONE_DAY_S;
    for (;;) {
        int64_t at = local_s - zone_offset_s(z, from), until = next_change(z, from);
        if (at < from)
            return from; /* the change has leapt over it */
        if (at < until)
            return at;
        from = until;
    }
}

/* -- a TZ string (POSIX.1, section 8.3, with RFC 9636's hours) -- */

static bool read_number(const char **at, int max, int *out)
{
    int n = 0, digits = 0;
    for (; isdigit((unsigned char)**at) && digits < 4; digits++)
        n = n * 10 + (*(*at)++ - '0');
    *out = n;
    return digits > 0 && n <= max;
}

/* [+-]hh[:mm[:ss]] */
static bool read_time(const char **at, int hours_max, int32_t *out)
{
    int sign = 1, parts[3] = {0};
    if (**at == '+' || **at == '-')
        sign = *(*at)++ == '-' ? -1 : 1;
    if (!read_number(at, hours_max, &parts[0]))
        return false;
    for (int i = 1; i < 3 && **at == ':'; i++) {
        (*at)++;
        if (!read_number(at, 59, &parts[i]))
            return false;
    }
    *out = sign * (parts[0] * HOUR_S + parts[1] * 60 + parts[2]);
    return true;
}

static bool skip_name(const char **at)
{
    const char *from = *at;
    bool quoted = *from == '<';
    *at += quoted;
    while (isalpha((unsigned char)**at) ||
           (quoted && (isdigit((unsigned char)**at) || **at == '+' || **at == '-')))
        (*at)++;
    if (quoted && *(*at)++ != '>')
        return false;
    return *at - from >= 3;
}

static bool read_day(const char **at, struct rule_day *r)
{
    *r = (struct rule_day){.form = '0', .second = 2 * HOUR_S};
    if (*(*at)++ != ',')
        return false;
    if (**at == 'M' || **at == 'J')
        r->form = *(*at)++;
    bool ok;
    if (r->form == 'M')
        ok = read_number(at, 12, &r->month) && r->month >= 1 && *(*at)++ == '.' &&
             read_number(at, 5, &r->week) && r->week >= 1 && *(*at)++ == '.' && read_number(at, 6, &r->day);
    else
        ok = read_number(at, 365, &r->day) && (r->form == '0' || r->day >= 1);
    if (!ok || **at != '/')
        return ok;
    (*at)++;
    return read_time(at, 167, &r->second);
}

static bool read_rule(const char *at, struct zone *z)
{
    if (!skip_name(&at) || !read_time(&at, 24, &z->std))
        return false;
    z->std = -z->std;
    z->has_rule = true;
    if (!*at)
        return true;
    z->has_dst = true;
    z->dst = z->std + HOUR_S;
    if (!skip_name(&at))
        return false;
    if (*at != ',') {
        if (!read_time(&at, 24, &z->dst))
            return false;
        z->dst = -z->dst;
    }
    return read_day(&at, &z->starts) && read_day(&at, &z->ends) && !*at;
}

/* -- a file -- */

struct reader {
    const uint8_t *at;
    size_t left;
};

struct header {
    uint8_t version;
    size_t utc_count, std_count, leap_count, time_count, type_count, char_count;
};

static int64_t big_endian(const uint8_t *at, size_t bytes)
{
    uint64_t n = at[0] & 0x80 ? UINT64_MAX : 0;
    for (size_t i = 0; i < bytes; i++)
        n = n << 8 | at[i];
    return (int64_t)n;
}

static const uint8_t *take(struct reader *r, size_t bytes)
{
    const uint8_t *at = r->at;
    if (bytes > r->left)
        return NULL;
    r->at += bytes;
    r->left -= bytes;
    return at;
}

/* Every count is at most the file's bytes, so sums and products stay small. */
static bool read_header(struct reader *r, struct header *h)
{
    size_t *const counts[] = {&h->utc_count,  &h->std_count,  &h->leap_count,
                              &h->time_count, &h->type_count, &h->char_count};
    const uint8_t *at = take(r, HEADER_BYTES);
    if (!at || memcmp(at, "TZif", 4) != 0)
        return false;
    h->version = at[4];
    for (size_t i = 0; i < 6; i++) {
        int64_t n = big_endian(at + 20 + 4 * i, 4);
        if (n < 0 || n > LIMIT_ZONE_BYTES)
            return false;
        *counts[i] = (size_t)n;
    }
    return true;
}

static size_t tail_bytes(const struct header *h, size_t time_bytes)
{
    return h->char_count + h->leap_count * (time_bytes + 4) + h->std_count + h->utc_count;
}

static size_t body_bytes(const struct header *h, size_t time_bytes)
{
    return h->time_count * (time_bytes + 1) + h->type_count * 6 + tail_bytes(h, time_bytes);
}

static bool read_offset(const uint8_t *types, size_t count, size_t i, int32_t *out)
{
    int64_t offset = i < count ? big_endian(types + 6 * i, 4) : INT64_MAX;
    *out = (int32_t)offset;
    return offset >= -OFFSET_MAX_S && offset <= OFFSET_MAX_S;
}

static pb_err read_transitions(struct reader *r, const struct header *h, struct zone *z)
{
    const uint8_t *times = take(r, h->time_count * 8), *kinds = take(r, h->time_count),
                  *types = take(r, h->type_count * 6);
    if (!times || !kinds || !types || !read_offset(types, h->type_count, 0, &z->first_offset))
        return PB_E_INVALID;
    z->times = calloc(h->time_count + 1, sizeof *z->times);
    z->offsets = calloc(h->time_count + 1, sizeof *z->offsets);
    if (!z->times || !z->offsets)
        return PB_E_MEMORY;
    for (size_t i = 0; i < h->time_count; i++) {
        z->times[i] = big_endian(times + 8 * i, 8);
        if (z->times[i] < (i ? z->times[i - 1] + 1 : FIRST_S) || z->times[i] > -FIRST_S ||
            !read_offset(types, h->type_count, kinds[i], &z->offsets[i]))
            return PB_E_INVALID;
    }
    z->count = h->time_count;
    return PB_OK;
}

static bool read_footer(struct reader *r, struct zone *z)
{
    char text[128];
    const uint8_t *at = take(r, 1);
    const uint8_t *end = at && *at == '\n' ? memchr(r->at, '\n', r->left) : NULL;
    size_t len = end ? (size_t)(end - r->at) : sizeof text;
    if (len >= sizeof text || memchr(r->at, 0, len))
        return false;
    memcpy(text, r->at, len);
    text[len] = '\0';
    return !len || read_rule(text, z);
}

static pb_err read_all(struct reader *r, struct zone *z)
{
    struct header h;
    if (!read_header(r, &h) || h.version < '2' || !take(r, body_bytes(&h, 4)))
        return PB_E_INVALID;
    if (!read_header(r, &h) || h.leap_count) /* "right/...": not the seconds that clocks here count */
        return PB_E_INVALID;
    pb_err err = read_transitions(r, &h, z);
    if (!err && (!take(r, tail_bytes(&h, 8)) || !read_footer(r, z)))
        err = PB_E_INVALID;
    return err;
}

pb_err zone_parse(const uint8_t *data, size_t len, struct zone **out, struct pb_why *why)
{
    struct reader r = {data, len};
    struct zone *z = len <= LIMIT_ZONE_BYTES ? calloc(1, sizeof *z) : NULL;
    pb_err err = z ? read_all(&r, z) : len > LIMIT_ZONE_BYTES ? PB_E_LIMIT : PB_E_MEMORY;
    if (err) {
        zone_close(z);
        return pb_fail(why, err, "time zone", "its file is no TZif file of version 2 or later");
    }
    *out = z;
    return PB_OK;
}

void zone_close(struct zone *z)
{
    if (!z)
        return;
    free(z->times);
    free(z->offsets);
    free(z);
}

/* -- by name -- */

/* No dots, so no way out of the folder; what lies there beside zones has one, or is no TZif file. */
static bool is_name(const char *name)
{
    size_t len = strlen(name);
    bool ok = len > 0 && len <= LIMIT_ZONE_CHARS && name[0] != '/';
    for (const char *c = name; *c && ok; c++)
        ok = isalnum((unsigned char)*c) || strchr("/_+-", *c);
    return ok;
}

static pb_err read_file(const char *path, uint8_t *out, size_t size, size_t *len)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    ssize_t n = 1;
    *len = 0;
    while (fd >= 0 && n > 0 && *len < size) {
        n = read(fd, out + *len, size - *len);
        *len += n > 0 ? (size_t)n : 0;
    }
    if (fd >= 0)
        close(fd);
    return fd < 0 || n < 0 ? PB_E_IO : PB_OK;
}

pb_err zone_open(const char *folder, const char *name, struct zone **out, struct pb_why *why)
{
    char path[512];
    size_t len = 0;
    uint8_t *data = is_name(name) ? malloc(LIMIT_ZONE_BYTES + 1) : NULL;
    pb_err err = data ? PB_OK : is_name(name) ? PB_E_MEMORY : PB_E_NOT_FOUND;
    snprintf(path, sizeof path, "%s/%s", folder ? folder : ZONE_FOLDER, name);
    if (!err)
        err = read_file(path, data, LIMIT_ZONE_BYTES + 1, &len);
    if (!err)
        err = zone_parse(data, len, out, NULL);
    free(data);
    if (!err || err == PB_E_MEMORY)
        return err;
    if (access(folder ? folder : ZONE_FOLDER, R_OK) != 0)
        return pb_fail(why, PB_E_NOT_FOUND, "time zone",
                       "this machine has no time zones: install tzdata (%s)", ZONE_FOLDER);
    return pb_fail(why, PB_E_NOT_FOUND, "time zone",
                   "there is no such time zone; it is a name of tzdata, as in Europe/Berlin or UTC");
}
