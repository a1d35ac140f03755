#include "broker/http/parse.h"

#include "common/limits.h"
#include "common/nearest.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define COUNT(table) (sizeof(table) / sizeof((table)[0]))

/* -- the request target -- */

static int hex_digit(char c)
{
    static const char digits[] = "0123456789abcdef";
    const char *at = c ? strchr(digits, c >= 'A' && c <= 'F' ? c + ('a' - 'A') : c) : NULL;
    return at ? (int)(at - digits) : -1;
}

/* Decodes in place, which only ever shortens. False: a "%" without two digits, or a NUL. */
static bool decode(char *text, bool plus_is_space)
{
    char *out = text;
    for (const char *in = text; *in; in++) {
        if (*in != '%') {
            *out++ = plus_is_space && *in == '+' ? ' ' : *in;
            continue;
        }
        int high = hex_digit(in[1]), low = high < 0 ? -1 : hex_digit(in[2]);
        if (low < 0 || high + low == 0)
            return false;
        *out++ = (char)(high * 16 + low);
        in += 2;
    }
    *out = 0;
    return true;
}

/* Ends the part at *rest at the next of the separator and moves *rest behind it; NULL when there is none
 * left. */
static char *next_part(char **rest, char separator)
{
    char *part = *rest;
    if (!part)
        return NULL;
    char *end = strchr(part, separator);
    if (end)
        *end++ = 0;
    *rest = end;
    return part;
}

static pb_err bad_escape(const char *where, struct pb_why *why)
{
    return pb_fail(why, PB_E_INVALID, where,
                   "every %% must be followed by two hexadecimal digits, other than %%00");
}

/* Before anything is decoded, so that an encoded ":" stays within its part. */
static pb_err take_verb(struct http_target *t, char *path, struct pb_why *why)
{
    char *last = strrchr(path, '/'), *colon = last ? strrchr(last, ':') : NULL;
    if (!colon)
        return PB_OK;
    *colon = 0;
    t->verb = colon + 1;
    return decode(colon + 1, false) ? PB_OK : bad_escape("path", why);
}

static pb_err take_path(struct http_target *t, char *path, struct pb_why *why)
{
    char *rest = path + 1;
    if (path[0] != '/')
        return pb_fail(why, PB_E_INVALID, "path", "must start with /");
    for (char *part; (part = next_part(&rest, '/'));) {
        if (t->segment_count == HTTP_SEGMENTS_MAX)
            return pb_fail(why, PB_E_LIMIT, "path", "has more than %d parts", HTTP_SEGMENTS_MAX);
        if (!decode(part, false))
            return bad_escape("path", why);
        t->segments[t->segment_count++] = part;
    }
    return PB_OK;
}

static pb_err take_query(struct http_target *t, char *query, struct pb_why *why)
{
    for (char *value; (value = next_part(&query, '&'));) {
        char *name = next_part(&value, '=');
        if (!*name && !value)
            continue;
        if (t->param_count == HTTP_PARAMS_MAX)
            return pb_fail(why, PB_E_LIMIT, "query", "has more than %d parameters", HTTP_PARAMS_MAX);
        if (!decode(name, true) || (value && !decode(value, true)))
            return bad_escape("query", why);
        t->params[t->param_count++] = (struct http_param){name, value ? value : ""};
    }
    return PB_OK;
}

pb_err http_target_parse(const char *raw, struct http_target *out, struct pb_why *why)
{
    struct http_target t = {.text = strdup(raw)};
    if (!t.text)
        return PB_E_MEMORY;
    char *query = strchr(t.text, '?');
    if (query)
        *query++ = 0;
    pb_err err = take_verb(&t, t.text, why);
    if (!err)
        err = take_path(&t, t.text, why);
    if (!err)
        err = take_query(&t, query, why);
    if (err)
        http_target_fini(&t);
    else
        *out = t;
    return err;
}

void http_target_fini(struct http_target *t)
{
    free(t->text);
    *t = (struct http_target){0};
}

const char *http_target_param(const struct http_target *t, const char *name)
{
    for (size_t i = 0; i < t->param_count; i++)
        if (strcmp(t->params[i].name, name) == 0)
            return t->params[i].value;
    return NULL;
}

/* -- the query -- */

static pb_err unknown_param(const char *name, const char *const *known, size_t count, struct pb_why *why)
{
    char all[160] = "";
    const char *near = nearest(name, known, count);
    if (near)
        return pb_fail(why, PB_E_INVALID, name, "is not known here; did you mean %s?", near);
    for (size_t i = 0, len = 0; i < count && len < sizeof all; i++)
        len += (size_t)snprintf(all + len, sizeof all - len, "%s%s", i ? ", " : "", known[i]);
    if (count)
        return pb_fail(why, PB_E_INVALID, name, "is not known here; known are %s", all);
    return pb_fail(why, PB_E_INVALID, name, "is not known here: this address takes no parameters");
}

static bool is_among(const char *name, const char *const *names, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (strcmp(names[i], name) == 0)
            return true;
    return false;
}

pb_err http_target_check(const struct http_target *t, const char *const *known, struct pb_why *why)
{
    size_t count = 0;
    while (known && known[count])
        count++;
    for (size_t i = 0; i < t->param_count; i++) {
        const char *name = t->params[i].name;
        if (!is_among(name, known, count))
            return unknown_param(name, known, count, why);
        if (http_target_param(t, name) != t->params[i].value)
            return pb_fail(why, PB_E_INVALID, name, "is given twice");
    }
    return PB_OK;
}

/* Decimal digits alone; what is too large becomes most + 1. */
static bool read_number(const char *text, size_t len, size_t most, size_t *out)
{
    size_t n = 0;
    for (size_t i = 0; i < len; i++) {
        if (text[i] < '0' || text[i] > '9')
            return false;
        n = n > most ? n : n * 10 + (size_t)(text[i] - '0');
    }
    *out = n > most ? most + 1 : n;
    return len > 0;
}

pb_err http_page_parse(const struct http_target *t, struct http_page *out, struct pb_why *why)
{
    const char *limit = http_target_param(t, "limit"), *after = http_target_param(t, "after");
    struct http_page page = {.limit = LIMIT_HTTP_PAGE_DEFAULT, .after = after ? after : ""};
    if (limit && (!read_number(limit, strlen(limit), LIMIT_HTTP_PAGE, &page.limit) || page.limit < 1 ||
                  page.limit > LIMIT_HTTP_PAGE))
        return pb_fail(why, PB_E_INVALID, "limit", "must be a number from 1 to %d", LIMIT_HTTP_PAGE);
    *out = page;
    return PB_OK;
}

/* -- headers -- */

static const char *skip_blanks(const char *at)
{
    return at + strspn(at, " \t");
}

/* The value of the preference at *at, if it is wait=N or wait="N"; moves *at behind the preference and its
 * comma. */
static bool read_preference(const char **at, size_t *seconds)
{
    const char *name = skip_blanks(*at), *end = name + strcspn(name, ",");
    const char *name_end = name + strcspn(name, " \t=;,"), *value = skip_blanks(name_end);
    *at = *end ? end + 1 : end;
    if (name_end - name != 4 || strncasecmp(name, "wait", 4) != 0 || *value != '=')
        return false;
    value = skip_blanks(value + 1);
    value += *value == '"';
    return read_number(value, strcspn(value, " \t\";,"), LIMIT_HTTP_WAIT_SECONDS, seconds);
}

uint32_t http_prefer_wait(const char *prefer)
{
    size_t seconds = 0;
    for (const char *at = prefer; at && *at;)
        if (read_preference(&at, &seconds)) /* the first one counts (RFC 7240, section 2) */
            return (uint32_t)(seconds > LIMIT_HTTP_WAIT_SECONDS ? LIMIT_HTTP_WAIT_SECONDS : seconds);
    return 0;
}

bool http_is_type(const char *content_type, const char *type)
{
    if (!content_type)
        return false;
    content_type = skip_blanks(content_type);
    size_t len = strcspn(content_type, " \t;");
    return len == strlen(type) && strncasecmp(content_type, type, len) == 0;
}

bool http_is_json_type(const char *content_type)
{
    static const char suffix[] = "+json";
    if (http_is_type(content_type, "application/json"))
        return true;
    const char *type = content_type ? skip_blanks(content_type) : "";
    size_t len = strcspn(type, " \t;");
    return len >= sizeof suffix &&
           strncasecmp(type + len - (sizeof suffix - 1), suffix, sizeof suffix - 1) == 0;
}

bool http_is_idem(const char *key)
{
    size_t len = strlen(key);
    for (size_t i = 0; i < len; i++)
        if (key[i] < 0x20 || key[i] > 0x7e)
            return false;
    return len >= 1 && len <= LIMIT_IDEM_CHARS;
}

/* -- JSON -- */

static const struct {
    enum json_error_code code;
    const char *text;
} json_faults[] = {
    {json_error_premature_end_of_input, "the text ends too early; is a bracket or quote missing?"},
    {json_error_end_of_input_expected, "something follows the end of the value"},
    {json_error_duplicate_key, "a member is there twice"},
    {json_error_invalid_utf8, "a character is not UTF-8"},
    {json_error_null_character, "a string has a \\u0000 in it, which is not allowed"},
    {json_error_null_byte_in_key, "a member's name has a \\u0000 in it, which is not allowed"},
    {json_error_numeric_overflow, "a number is too large"},
    {json_error_stack_overflow, "it is nested too deep"},
    {json_error_invalid_syntax, "expected a value, a comma or a closing bracket, as in RFC 8259"},
};

/* Where the nesting passes the limit: jansson's own is 2,048. */
static bool too_deep(const char *text, size_t len)
{
    bool in_string = false;
    int depth = 0;
    for (size_t i = 0; i < len; i++) {
        char c = text[i];
        if (in_string && c == '\\')
            i++;
        else if (c == '"')
            in_string = !in_string;
        else if (!in_string && (c == '{' || c == '['))
            depth++;
        else if (!in_string && (c == '}' || c == ']'))
            depth--;
        if (depth > LIMIT_JSON_DEPTH)
            return true;
    }
    return false;
}

static const char *json_fault(const json_error_t *error)
{
    for (size_t i = 0; i < COUNT(json_faults); i++)
        if (json_faults[i].code == json_error_code(error))
            return json_faults[i].text;
    return "it is not JSON (RFC 8259)";
}

pb_err http_json_parse(const char *text, size_t len, json_t **out, struct pb_why *why)
{
    json_error_t error;
    char at[48];
    if (len == 0)
        return pb_fail(why, PB_E_INVALID, "", "the body is empty; send a JSON object");
    if (too_deep(text, len))
        return pb_fail(why, PB_E_LIMIT, "", "the body is nested deeper than %d", LIMIT_JSON_DEPTH);
    json_t *json = json_loadb(text, len, JSON_REJECT_DUPLICATES | JSON_DECODE_ANY, &error);
    if (json) {
        *out = json;
        return PB_OK;
    }
    if (json_error_code(&error) == json_error_out_of_memory)
        return PB_E_MEMORY;
    snprintf(at, sizeof at, "line %d, column %d", error.line, error.column);
    return pb_fail(why, PB_E_INVALID, at, "%s", json_fault(&error));
}
