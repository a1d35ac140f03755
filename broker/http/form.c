#include "broker/http/form.h"

#include "broker/http/request.h"
#include "common/nearest.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

/* -- faults -- */

void form_fault(struct fields_report *report, const char *member, const char *format, ...)
{
    if (report->count == FIELDS_FAULTS_MAX)
        return;
    struct fields_fault *f = &report->faults[report->count++];
    size_t len = 0;
    for (; *member && len < sizeof f->pointer - 3; member++) { /* RFC 6901, section 3 */
        if (len == 0)
            f->pointer[len++] = '/';
        if (*member == '~' || *member == '/')
            f->pointer[len++] = '~';
        f->pointer[len++] = *member == '~' ? '0' : *member == '/' ? '1' : *member;
    }
    f->pointer[len] = 0;
    va_list args;
    va_start(args, format);
    vsnprintf(f->message, sizeof f->message, format, args);
    va_end(args);
}

void form_add(struct fields_report *to, const char *member, const struct fields_report *from)
{
    for (size_t i = 0; i < from->count && to->count < FIELDS_FAULTS_MAX; i++) {
        struct fields_fault *f = &to->faults[to->count++];
        *f = from->faults[i];
        if (*member)
            snprintf(f->pointer, sizeof f->pointer, "/%.30s%.60s", member, from->faults[i].pointer);
    }
}

/* -- members -- */

static size_t place_of(const char *name, const char *const *names)
{
    size_t i = 0;
    while (names[i] && strcmp(names[i], name) != 0)
        i++;
    return i;
}

static size_t count_of(const char *const *names)
{
    size_t count = 0;
    while (names[count])
        count++;
    return count;
}

void form_check_known(const json_t *object, const char *const *known, const char *what,
                      struct fields_report *report)
{
    size_t count = count_of(known);
    const char *name;
    json_t *value;
    json_object_foreach((json_t *)(uintptr_t)object, name, value)
    {
        const char *near = NULL;
        if (place_of(name, known) < count)
            continue;
        near = nearest(name, known, count);
        if (near)
            form_fault(report, name, "is not known; did you mean %s?", near);
        else
            form_fault(report, name, "is not known; %s", what);
    }
}

const char *form_text(const json_t *object, const char *member, bool required, struct fields_report *report)
{
    const json_t *value = json_object_get(object, member);
    if (!value && required)
        form_fault(report, member, "is required");
    else if (value && !json_is_string(value))
        form_fault(report, member, "must be a string");
    return json_string_value(value);
}

bool form_integer(const json_t *object, const char *member, int64_t min, int64_t max, int64_t *out,
                  struct fields_report *report)
{
    const json_t *value = json_object_get(object, member);
    if (!value)
        return false;
    if (!json_is_integer(value) || json_integer_value(value) < min || json_integer_value(value) > max) {
        form_fault(report, member, "must be a whole number from %lld to %lld", (long long)min,
                   (long long)max);
        return false;
    }
    *out = json_integer_value(value);
    return true;
}

bool form_seconds(const json_t *object, const char *member, int64_t max, int64_t *out_ms,
                  struct fields_report *report)
{
    const json_t *value = json_object_get(object, member);
    double seconds = json_number_value(value);
    if (!value)
        return false;
    if (!json_is_number(value) || !(seconds >= 0 && seconds <= (double)max)) {
        form_fault(report, member, "must be a number of seconds from 0 to %lld", (long long)max);
        return false;
    }
    *out_ms = (int64_t)(seconds * 1000 + 0.5);
    return true;
}

bool form_choice(const json_t *object, const char *member, const char *const *names, size_t *out,
                 struct fields_report *report)
{
    const char *text = form_text(object, member, false, report), *near;
    size_t count = count_of(names), at = text ? place_of(text, names) : count;
    char all[160] = "";
    if (!text)
        return false;
    if (at < count) {
        *out = at;
        return true;
    }
    near = nearest(text, names, count);
    for (size_t i = 0, len = 0; i < count && len < sizeof all; i++)
        len += (size_t)snprintf(all + len, sizeof all - len, "%s%s",
                                i == 0          ? ""
                                : i + 1 < count ? ", "
                                                : " or ",
                                names[i]);
    if (near)
        form_fault(report, member, "must be %s; did you mean %s?", all, near);
    else
        form_fault(report, member, "must be %s", all);
    return false;
}

/* -- times -- */

/* Exactly count digits; moves *at behind them. -1: there are fewer. */
static int digits(const char **at, int count)
{
    int n = 0;
    for (int i = 0; i < count; i++, (*at)++) {
        if (**at < '0' || **at > '9')
            return -1;
        n = n * 10 + (**at - '0');
    }
    return n;
}

static bool take(const char **at, const char *letters)
{
    if (!**at || !strchr(letters, **at))
        return false;
    (*at)++;
    return true;
}

static bool read_date(const char **at, struct tm *t)
{
    t->tm_year = digits(at, 4) - 1900;
    bool ok = take(at, "-");
    t->tm_mon = ok ? digits(at, 2) - 1 : -1;
    ok = ok && take(at, "-");
    t->tm_mday = ok ? digits(at, 2) : 0;
    return ok && t->tm_year > -1900 && t->tm_mon >= 0 && t->tm_mon < 12 && t->tm_mday >= 1 &&
           t->tm_mday <= 31;
}

static bool read_clock(const char **at, struct tm *t)
{
    t->tm_hour = digits(at, 2);
    bool ok = take(at, ":");
    t->tm_min = ok ? digits(at, 2) : -1;
    ok = ok && take(at, ":");
    t->tm_sec = ok ? digits(at, 2) : -1;
    return ok && t->tm_hour >= 0 && t->tm_hour < 24 && t->tm_min >= 0 && t->tm_min < 60 && t->tm_sec >= 0 &&
           t->tm_sec <= 60;
}

/* ".25", of which milliseconds count. */
static bool read_fraction(const char **at, int64_t *ms)
{
    int64_t unit = 100;
    if (!take(at, "."))
        return true;
    if (**at < '0' || **at > '9')
        return false;
    for (; **at >= '0' && **at <= '9'; (*at)++, unit /= 10)
        *ms += unit * (**at - '0');
    return true;
}

static bool read_offset(const char **at, int64_t *ms)
{
    int sign = **at == '-' ? -1 : 1;
    if (take(at, "Zz"))
        return true;
    if (!take(at, "+-"))
        return false;
    int hours = digits(at, 2);
    if (hours < 0 || hours > 23 || !take(at, ":"))
        return false;
    int minutes = digits(at, 2);
    *ms = sign * INT64_C(60000) * (hours * 60 + minutes);
    return minutes >= 0 && minutes < 60;
}

bool form_parse_time(const char *text, int64_t *out_ms)
{
    struct tm t = {0};
    int64_t fraction_ms = 0, offset_ms = 0;
    const char *at = text;
    if (!read_date(&at, &t) || !take(&at, "Tt ") || !read_clock(&at, &t) ||
        !read_fraction(&at, &fraction_ms) || !read_offset(&at, &offset_ms) || *at)
        return false;
    int day = t.tm_mday, leap = t.tm_sec == 60;
    t.tm_sec -= leap; /* a leap second may be the last of its day */
    int64_t seconds = timegm(&t);
    if (t.tm_mday != day) /* the 31st of a month that has 30 */
        return false;
    *out_ms = (seconds + leap) * 1000 + fraction_ms - offset_ms;
    return true;
}

bool form_time(const json_t *object, const char *member, int64_t *out_ms, struct fields_report *report)
{
    const char *text = form_text(object, member, false, report);
    if (!text)
        return false;
    if (form_parse_time(text, out_ms)) {
        if (*out_ms < 1) /* 0 stands for no time at all */
            *out_ms = 1;
        return true;
    }
    form_fault(report, member, "must be a time of RFC 3339, such as 2026-01-31T12:00:00Z");
    return false;
}

/* -- with a request -- */

pb_err form_read(struct http_request *r, json_t **out)
{
    struct pb_why why = {0};
    if (!http_is_json_type(r->content_type)) {
        http_refuse(r, "unsupported_media_type", "send JSON, with Content-Type: application/json");
        return PB_E_INVALID;
    }
    pb_err err = http_json_parse(buf_peek(&r->body), r->body.len, out, &why);
    buf_fini(&r->body); /* jansson's own memory is wiped as it is freed (listener.c) */
    if (err == PB_E_MEMORY)
        http_refuse_error(r, err, NULL);
    else if (err)
        http_refuse(r, "invalid_json", "%s%s%s", why.at, why.at[0] ? ": " : "", why.text);
    return err;
}

void form_refuse(struct http_request *r, const struct fields_report *report)
{
    char detail[sizeof report->faults[0].pointer + sizeof report->faults[0].message + 64];
    const struct fields_fault *first = &report->faults[0];
    snprintf(detail, sizeof detail, "%s%s%s", first->pointer, first->pointer[0] ? " " : "", first->message);
    if (report->count > 1)
        snprintf(detail, sizeof detail, "%zu faults; errors lists each with its place", report->count);
    struct problem p = {
        .code = "invalid_request", .detail = detail, .faults = report->faults, .fault_count = report->count};
    http_answer_problem(r, &p);
}
