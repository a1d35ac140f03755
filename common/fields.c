#include "common/fields.h"

#include "common/limits.h"
#include "common/nearest.h"
#include "common/regex.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void fault(struct fields_report *r, const char *field, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

static void fault(struct fields_report *r, const char *field, const char *format, ...)
{
    if (r->count == FIELDS_FAULTS_MAX)
        return;
    struct fields_fault *f = &r->faults[r->count++];
    char *out = f->pointer, *end = f->pointer + sizeof f->pointer - 2;
    out += snprintf(out, sizeof f->pointer, "/credentials%s", field ? "/" : "");
    for (; field && *field && out < end; field++) { /* RFC 6901, section 3 */
        if (*field == '~' || *field == '/')
            *out++ = '~';
        *out++ = *field == '~' ? '0' : *field == '/' ? '1' : *field;
    }
    for (; field && (*field & 0xc0) == 0x80; field--) /* a character is there whole or not at all */
        out--;
    *out = 0;
    va_list args;
    va_start(args, format);
    vsnprintf(f->message, sizeof f->message, format, args);
    va_end(args);
}

/* -- from JSON -- */

static const char *shape_fault(const json_t *value)
{
    if (!json_is_string(value))
        return "must be a string";
    const char *text = json_string_value(value);
    size_t len = json_string_length(value);
    if (len > LIMIT_CREDENTIAL_BYTES)
        return "is too long: at most 16 KiB";
    if (memchr(text, 0, len) || memchr(text, '\r', len) || memchr(text, '\n', len))
        return "must not contain line breaks or NUL; was it copied with something around it?";
    return NULL;
}

pb_err fields_from_json(const json_t *object, struct credentials *out, struct fields_report *report)
{
    const char *name;
    json_t *value;
    size_t total = 0;
    struct credentials c = {0};
    pb_err err = PB_OK;
    if (!json_is_object(object)) {
        fault(report, NULL, "must be an object of field names and values");
        return PB_OK;
    }
    json_object_foreach((json_t *)(uintptr_t)object, name, value)
    {
        const char *wrong = shape_fault(value);
        total += wrong ? 0 : json_string_length(value);
        if (wrong)
            fault(report, name, "%s", wrong);
        else if (total > LIMIT_CREDENTIALS_BYTES)
            fault(report, name, "is too much: all fields together may have 64 KiB");
        else if (!err)
            err = credentials_add(&c, name, json_string_value(value), json_string_length(value));
    }
    if (err || report->count)
        credentials_fini(&c);
    else
        *out = c;
    return err;
}

/* -- against the schema -- */

static const struct field *find(const struct manifest *m, const char *name)
{
    for (size_t i = 0; i < m->field_count; i++)
        if (strcmp(m->fields[i].name, name) == 0)
            return &m->fields[i];
    return NULL;
}

static void check_unknown(const struct manifest *m, const char *name, struct fields_report *report)
{
    const char *known[LIMIT_PACKAGE_FIELDS];
    for (size_t i = 0; i < m->field_count; i++)
        known[i] = m->fields[i].name;
    const char *near = nearest(name, known, m->field_count);
    if (near)
        fault(report, name, "is not a field of %s; did you mean %s?", m->name, near);
    else
        fault(report, name, "is not a field of %s; GET /v1/types/%s lists them", m->name, m->type);
}

static bool is_visible(const struct field *f, const struct credentials *c)
{
    if (!f->visible_when_field)
        return true;
    const struct secret *other = credentials_get(c, f->visible_when_field);
    return other && strcmp(other->data, f->visible_when_equals) == 0;
}

static bool is_option(const struct field *f, const char *value)
{
    size_t i;
    json_t *option;
    json_array_foreach(f->options, i, option)
    {
        if (strcmp(json_string_value(json_object_get(option, "value")), value) == 0)
            return true;
    }
    return false;
}

static const char *const format_patterns[] = {
    [FORMAT_URI] =
        "^[A-Za-z][A-Za-z0-9+.-]*://(?:\\[[0-9A-Fa-f:.]+\\]|[^\\s/?#@:\\[\\]\\\\]+)(?::\\d+)?(?:[/?#]\\S*)?$",
    [FORMAT_EMAIL] = "^[^\\s@]+@[^\\s@.]+(?:\\.[^\\s@.]+)+$",
    [FORMAT_HOSTNAME] = "^(?=.{1,253}$)[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?(?:\\.[A-Za-z0-9](?:[A-"
                        "Za-z0-9-]{0,61}[A-Za-z0-9])?)*$",
    [FORMAT_UUID] = "^[0-9A-Fa-f]{8}(?:-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}$",
};
static const char *const format_names[] = {
    [FORMAT_URI] = "an address with its scheme, as https://example.com",
    [FORMAT_EMAIL] = "an e-mail address",
    [FORMAT_HOSTNAME] = "a host name, as example.com, without https://",
    [FORMAT_UUID] = "a UUID",
};

static bool has_format(enum field_format format, const struct secret *value)
{
    void *regex = NULL;
    char reason[8];
    if (regex_compile(format_patterns[format], &regex, reason, sizeof reason) != PB_OK)
        return false;
    bool ok = regex_match(regex, value->data, value->len) == PB_OK;
    regex_free(regex);
    return ok;
}

static void check_value(const struct field *f, const struct secret *value, struct fields_report *report)
{
    if (f->options && !is_option(f, value->data))
        fault(report, f->name, "%s must be one of the offered values", f->label);
    else if (f->format && !has_format(f->format, value))
        fault(report, f->name, "%s must be %s", f->label, format_names[f->format]);
    else if (f->regex && regex_match(f->regex, value->data, value->len) != PB_OK)
        fault(report, f->name, "%s does not look right%s%s; was it copied whole?", f->label,
              f->placeholder ? ": it looks like " : "", f->placeholder ? f->placeholder : "");
}

/* A default can make another field visible that has a default itself, wherever it stands in the form: so
 * rounds, until one adds nothing. */
static pb_err fill_defaults(const struct manifest *m, struct credentials *c)
{
    size_t before;
    pb_err err = PB_OK;
    do {
        before = c->count;
        for (size_t i = 0; i < m->field_count && !err; i++) {
            const struct field *f = &m->fields[i];
            if (f->default_value && !credentials_get(c, f->name) && is_visible(f, c))
                err = credentials_add(c, f->name, f->default_value, strlen(f->default_value));
        }
    } while (!err && c->count > before);
    return err;
}

static void check_field(const struct field *f, const struct credentials *c, struct fields_report *report)
{
    const struct secret *value = credentials_get(c, f->name);
    bool empty = !value || value->len == 0;
    if (empty && f->required && is_visible(f, c))
        fault(report, f->name, "%s is required", f->label);
    else if (!empty)
        check_value(f, value, report);
}

pb_err fields_check(const struct manifest *m, struct credentials *c, struct fields_report *report)
{
    pb_err err = fill_defaults(m, c);
    /* Looking for the nearest name takes time, and a client chooses how many there are. */
    for (size_t i = 0; i < c->count && !err && report->count < FIELDS_FAULTS_MAX; i++)
        if (!find(m, c->items[i].name))
            check_unknown(m, c->items[i].name, report);
    for (size_t i = 0; i < m->field_count && !err; i++)
        check_field(&m->fields[i], c, report);
    return err;
}

char *fields_public_json(const struct manifest *m, const struct credentials *c)
{
    json_t *json = json_object();
    for (size_t i = 0; i < m->field_count; i++) {
        const struct secret *value = m->fields[i].secret ? NULL : credentials_get(c, m->fields[i].name);
        if (value)
            json_object_set_new(json, m->fields[i].name, json_stringn(value->data, value->len));
    }
    char *text = json ? json_dumps(json, JSON_COMPACT) : NULL;
    json_decref(json);
    return text;
}
