/* The formats' table, and those that are short: dates (RFC 3339), durations (ISO 8601), pointers (RFC 6901),
 * UUIDs. */
#include "common/jsonschema/format.h"
#include "common/jsonschema/pattern.h"

#include <string.h>

static bool digit(char c)
{
    return c >= '0' && c <= '9';
}

static bool hex(char c)
{
    return digit(c) || ((c | 32) >= 'a' && (c | 32) <= 'f');
}

static int two(const char *s)
{
    return digit(s[0]) && digit(s[1]) ? (s[0] - '0') * 10 + s[1] - '0' : -1;
}

static bool is_date(const char *s, size_t n)
{
    static const int days[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    if (n != 10 || s[4] != '-' || s[7] != '-' || two(s) < 0 || two(s + 2) < 0)
        return false;
    int year = two(s) * 100 + two(s + 2), month = two(s + 5), day = two(s + 8);
    bool leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    return month >= 1 && month <= 12 && day >= 1 && day <= days[month - 1] + (month == 2 && leap);
}

/* A leap second is 23:59:60 in UTC, whatever the offset says. */
static bool leap_second_fits(int hour, int minute, int offset)
{
    int utc = ((hour * 60 + minute - offset) % 1440 + 1440) % 1440;
    return utc == 23 * 60 + 59;
}

static bool is_time(const char *s, size_t n)
{
    size_t i = 8;
    int offset = 0;
    if (n < 9 || s[2] != ':' || s[5] != ':')
        return false;
    int hour = two(s), minute = two(s + 3), second = two(s + 6);
    if (hour < 0 || hour > 23 || minute < 0 || minute > 59 || second < 0 || second > 60)
        return false;
    if (s[i] == '.') {
        size_t start = ++i;
        while (i < n && digit(s[i]))
            i++;
        if (i == start)
            return false;
    }
    if (i + 1 == n && (s[i] | 32) == 'z')
        return second < 60 || leap_second_fits(hour, minute, 0);
    if (i + 6 != n || (s[i] != '+' && s[i] != '-') || s[i + 3] != ':')
        return false;
    int h = two(s + i + 1), m = two(s + i + 4);
    if (h < 0 || h > 23 || m < 0 || m > 59)
        return false;
    offset = (h * 60 + m) * (s[i] == '-' ? -1 : 1);
    return second < 60 || leap_second_fits(hour, minute, offset);
}

static bool is_date_time(const char *s, size_t n)
{
    return n > 11 && (s[10] | 32) == 't' && is_date(s, 10) && is_time(s + 11, n - 11);
}

/* RFC 3339, appendix A: units in order, none between two that stand left out. */
static bool duration_part(const char **p, const char *end, const char *units)
{
    size_t last = 0;
    bool any = false;
    while (*p < end && digit(**p)) {
        const char *q = *p;
        while (q < end && digit(*q))
            q++;
        const char *unit = q < end ? strchr(units, *q) : NULL;
        if (!unit || !*q)
            return false;
        size_t at = (size_t)(unit - units);
        if (any && at != last + 1)
            return false;
        last = at;
        any = true;
        *p = q + 1;
    }
    return any;
}

static bool is_duration(const char *s, size_t n)
{
    const char *p = s + 1, *end = s + n;
    if (n < 3 || s[0] != 'P')
        return false;
    if (digit(*p)) {
        const char *week = p;
        if (duration_part(&week, end, "W"))
            return week == end;
        if (!duration_part(&p, end, "YMD"))
            return false;
    }
    if (p == end)
        return true;
    if (*p != 'T')
        return false;
    p++;
    return duration_part(&p, end, "HMS") && p == end;
}

static bool format_uuid(const char *s, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (i == 8 || i == 13 || i == 18 || i == 23 ? s[i] != '-' : !hex(s[i]))
            return false;
    return n == 36;
}

static bool format_pointer(const char *s, size_t n)
{
    if (n && s[0] != '/')
        return false;
    for (size_t i = 0; i < n; i++)
        if (s[i] == '~' && (i + 1 >= n || (s[i + 1] != '0' && s[i + 1] != '1')))
            return false;
    return true;
}

static bool format_relative_pointer(const char *s, size_t n)
{
    size_t i = 0;
    while (i < n && digit(s[i]))
        i++;
    if (!i || (s[0] == '0' && i > 1))
        return false;
    return (i + 1 == n && s[i] == '#') || format_pointer(s + i, n - i);
}

static const struct {
    const char *name;
    js_format_fn *check;
} formats[] = {
    {"", NULL},
    {"date-time", is_date_time},
    {"date", is_date},
    {"time", is_time},
    {"duration", is_duration},
    {"email", js_format_email},
    {"idn-email", js_format_idn_email},
    {"hostname", js_format_hostname},
    {"idn-hostname", js_format_idn_hostname},
    {"ipv4", js_format_ipv4},
    {"ipv6", js_format_ipv6},
    {"uri", js_format_uri},
    {"uri-reference", js_format_uri_reference},
    {"iri", js_format_iri},
    {"iri-reference", js_format_iri_reference},
    {"uri-template", js_format_uri_template},
    {"uuid", format_uuid},
    {"json-pointer", format_pointer},
    {"relative-json-pointer", format_relative_pointer},
    {"regex", js_pattern_valid},
};

uint8_t js_format_find(const char *name, size_t len)
{
    for (uint8_t i = 1; i < sizeof formats / sizeof formats[0]; i++)
        if (strlen(formats[i].name) == len && memcmp(formats[i].name, name, len) == 0)
            return i;
    return 0;
}

const char *js_format_name(uint8_t format)
{
    return formats[format].name;
}

bool js_format_check(uint8_t format, const char *s, size_t n)
{
    return formats[format].check(s, n);
}
