/* The second stage of parsing: walks the token positions that simdjson found and fills the flat document.
 * Nothing is read beyond the last byte of the text, so it needs no padding. */
#include "common/jsonschema/dom.h"
#include "common/jsonschema/limits.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct parser {
    const char *text;
    size_t len;
    size_t slash; /* the next backslash from where parsing is, or len */
    struct js_document *doc;
    const char *problem;
    size_t problem_at;
};

/* Where parsing is: the next token's position, and where the next value goes. In registers, which is why
 * functions take and return it whole. out is NULL once the text is refused. Behind the last position stand
 * two that are the text's length. */
struct cursor {
    const uint32_t *at;
    struct js_value *out;
};

static struct cursor refuse(struct parser *p, size_t at, const char *problem)
{
    if (!p->problem) {
        p->problem = problem;
        p->problem_at = at;
    }
    return (struct cursor){NULL, NULL};
}

/* The first byte of the next token, 0 at the end. */
static inline char peek(const struct parser *p, struct cursor c)
{
    return *c.at < p->len ? p->text[*c.at] : '\0';
}

/* A quote does not: the scan takes one that follows a scalar for a part of it. */
static inline bool ends_scalar(const struct parser *p, size_t i)
{
    static const bool ends[256] = {[' '] = true, ['\t'] = true, ['\n'] = true, ['\r'] = true, [','] = true,
                                   [']'] = true, ['}'] = true,  [':'] = true,  ['['] = true,  ['{'] = true};
    return i >= p->len || ends[(uint8_t)p->text[i]];
}

/* The position of the next quote or backslash from i on. The scan before made sure that one exists. */
static size_t string_stop(const struct parser *p, size_t i)
{
    while (i < p->len && p->text[i] != '"' && p->text[i] != '\\')
        i++;
    return i;
}

static bool hex4(const struct parser *p, size_t i, uint32_t *out)
{
    uint32_t n = 0;
    if (i + 4 > p->len)
        return false;
    for (size_t k = i; k < i + 4; k++) {
        char c = p->text[k], low = (char)(c | 32);
        if (c >= '0' && c <= '9')
            n = n * 16 + (uint32_t)(c - '0');
        else if (low >= 'a' && low <= 'f')
            n = n * 16 + (uint32_t)(low - 'a' + 10);
        else
            return false;
    }
    *out = n;
    return true;
}

static size_t put_utf8(char *to, uint32_t c)
{
    if (c < 0x80) {
        to[0] = (char)c;
        return 1;
    }
    if (c < 0x800) {
        to[0] = (char)(0xC0 | c >> 6);
        to[1] = (char)(0x80 | (c & 63));
        return 2;
    }
    if (c < 0x10000) {
        to[0] = (char)(0xE0 | c >> 12);
        to[1] = (char)(0x80 | (c >> 6 & 63));
        to[2] = (char)(0x80 | (c & 63));
        return 3;
    }
    to[0] = (char)(0xF0 | c >> 18);
    to[1] = (char)(0x80 | (c >> 12 & 63));
    to[2] = (char)(0x80 | (c >> 6 & 63));
    to[3] = (char)(0x80 | (c & 63));
    return 4;
}

static bool fail(struct parser *p, size_t at, const char *problem)
{
    refuse(p, at, problem);
    return false;
}

/* *i is behind the \u; moves behind the digits, both halves of a pair. */
static bool unicode_escape(struct parser *p, size_t *i, char *to, size_t *n)
{
    uint32_t c, low;
    if (!hex4(p, *i, &c))
        return fail(p, *i, "\\u needs four hexadecimal digits");
    *i += 4;
    if (c >= 0xD800 && c < 0xE000) {
        if (c >= 0xDC00 || *i + 6 > p->len || p->text[*i] != '\\' || p->text[*i + 1] != 'u' ||
            !hex4(p, *i + 2, &low) || low < 0xDC00 || low > 0xDFFF)
            return fail(p, *i, "half of a surrogate pair stands alone");
        c = 0x10000 + ((c - 0xD800) << 10) + (low - 0xDC00);
        *i += 6;
    }
    *n += put_utf8(to + *n, c);
    return true;
}

static bool one_escape(struct parser *p, size_t *i, char *to, size_t *n)
{
    static const char from[] = "\"\\/bfnrt", into[] = "\"\\/\b\f\n\r\t";
    char c = *i + 1 < p->len ? p->text[*i + 1] : '\0';
    const char *hit = c ? strchr(from, c) : NULL;
    *i += 2;
    if (c == 'u')
        return unicode_escape(p, i, to, n);
    if (!hit)
        return fail(p, *i - 2, "no such escape");
    to[(*n)++] = into[hit - from];
    return true;
}

/* Unescaped text is never longer than its source, so one allocation of the document's size is enough for all.
 */
static bool need_text(struct parser *p)
{
    struct js_document *doc = p->doc;
    if (doc->text_cap >= p->len)
        return true;
    if (doc->text_len)
        return fail(p, 0, "out of memory"); /* cannot be: the first string made it large enough */
    free(doc->text);
    doc->text = malloc(p->len);
    doc->text_cap = doc->text ? p->len : 0;
    return doc->text ? true : fail(p, 0, "out of memory");
}

static bool escaped_string(struct parser *p, size_t start, struct js_value *v)
{
    if (!need_text(p))
        return false;
    char *to = p->doc->text + p->doc->text_len;
    size_t n = 0, i = start, stop = string_stop(p, start);
    while (stop < p->len && p->text[stop] == '\\') {
        memcpy(to + n, p->text + i, stop - i);
        n += stop - i;
        i = stop;
        if (!one_escape(p, &i, to, &n))
            return false;
        stop = string_stop(p, i);
    }
    if (stop >= p->len)
        return fail(p, start, "a string has no end");
    memcpy(to + n, p->text + i, stop - i);
    n += stop - i;
    v->len = (uint32_t)n;
    v->u.text = to;
    p->doc->text_len += n;
    return true;
}

static void find_slash(struct parser *p, size_t from)
{
    const char *hit = memchr(p->text + from, '\\', p->len - from);
    p->slash = hit ? (size_t)(hit - p->text) : p->len;
}

/* Strings with escapes, or with space between the closing quote and the next token. */
static bool uncommon_string(struct parser *p, size_t start, struct js_value *v)
{
    if (p->slash < start)
        find_slash(p, start);
    const char *quote = memchr(p->text + start, '"', p->len - start);
    if (!quote || (size_t)(quote - p->text) > p->slash)
        return escaped_string(p, start, v);
    v->len = (uint32_t)((size_t)(quote - p->text) - start);
    v->u.text = p->text + start;
    return true;
}

/* Mostly the closing quote is the byte before the next token, and no backslash comes sooner: then there is
 * nothing to search. */
static inline struct cursor parse_string(struct parser *p, struct cursor c)
{
    size_t start = c.at[0] + 1u, stop = c.at[1] - 1u;
    struct js_value *v = c.out;
    v->type = T_STR;
    v->len = (uint32_t)(stop - start);
    v->u.text = p->text + start;
    if (p->text[stop] != '"' || stop > p->slash || p->slash < start)
        if (!uncommon_string(p, start, v))
            return refuse(p, start, "a string has no end");
    return (struct cursor){c.at + 1, c.out + 1};
}

static size_t digits_end(const struct parser *p, size_t i)
{
    while (i < p->len && p->text[i] >= '0' && p->text[i] <= '9')
        i++;
    return i;
}

/* The end of a number that is more than a short integer; 0 if it breaks the grammar. */
static size_t number_end(const struct parser *p, size_t i)
{
    size_t start = i + (p->text[i] == '-'), end = digits_end(p, start);
    if (end == start || (p->text[start] == '0' && end - start > 1))
        return 0;
    if (end < p->len && p->text[end] == '.') {
        start = end + 1;
        end = digits_end(p, start);
        if (end == start)
            return 0;
    }
    if (end < p->len && (p->text[end] | 32) == 'e') {
        start = end + 1;
        if (start < p->len && (p->text[start] == '-' || p->text[start] == '+'))
            start++;
        end = digits_end(p, start);
        if (end == start)
            return 0;
    }
    return ends_scalar(p, end) ? end : 0;
}

static struct cursor long_number(struct parser *p, struct cursor c)
{
    size_t start = *c.at, end = number_end(p, start);
    if (!end)
        return refuse(p, start, "not a number");
    js_number_set(c.out, p->text + start, (uint32_t)(end - start));
    return (struct cursor){c.at + 1, c.out + 1};
}

static struct cursor parse_number(struct parser *p, struct cursor c)
{
    size_t start = *c.at, i = start + (p->text[start] == '-'), first = i;
    int64_t n = 0;
    for (; i < p->len && p->text[i] >= '0' && p->text[i] <= '9' && i - first < 18; i++)
        n = n * 10 + (p->text[i] - '0');
    if (i == first || (p->text[first] == '0' && i - first > 1) || !ends_scalar(p, i))
        return long_number(p, c);
    c.out->type = T_INT;
    c.out->len = (uint32_t)(i - start);
    c.out->u.integer = first > start ? -n : n;
    return (struct cursor){c.at + 1, c.out + 1};
}

static struct cursor parse_word(struct parser *p, struct cursor c)
{
    static const struct {
        char word[6];
        uint8_t len, type, truth;
    } words[] = {{"true", 4, T_BOOL, 1}, {"false", 5, T_BOOL, 0}, {"null", 4, T_NULL, 0}};
    size_t start = *c.at;
    for (size_t i = 0; i < sizeof words / sizeof words[0]; i++) {
        uint32_t len = words[i].len;
        if (p->len - start < len || !js_same(p->text + start, words[i].word, len))
            continue;
        if (!ends_scalar(p, start + len))
            break;
        *c.out = (struct js_value){.type = words[i].type, .len = words[i].truth};
        return (struct cursor){c.at + 1, c.out + 1};
    }
    return refuse(p, start, "not a JSON value");
}

static struct cursor parse_value(struct parser *p, struct cursor c, int depth);

static inline struct cursor parse_items(struct parser *p, struct cursor c, int depth, uint32_t *count)
{
    char next = peek(p, c) == ']' ? ']' : ',';
    c.at += next == ']';
    while (next == ',') {
        c = parse_value(p, c, depth);
        if (!c.out)
            return c;
        ++*count;
        next = peek(p, c);
        if (next != ',' && next != ']')
            return refuse(p, *c.at, "expected , or ]");
        c.at++;
    }
    return c;
}

static inline struct cursor parse_members(struct parser *p, struct cursor c, int depth, uint32_t *count)
{
    char next = peek(p, c) == '}' ? '}' : ',';
    c.at += next == '}';
    while (next == ',') {
        if (peek(p, c) != '"')
            return refuse(p, *c.at, "expected a member's name in quotes");
        c = parse_string(p, c);
        if (!c.out || peek(p, c) != ':')
            return c.out ? refuse(p, *c.at, "expected : behind a member's name") : c;
        c.at++;
        c = peek(p, c) == '"' ? parse_string(p, c) : parse_value(p, c, depth);
        if (!c.out)
            return c;
        ++*count;
        next = peek(p, c);
        if (next != ',' && next != '}')
            return refuse(p, *c.at, "expected , or }");
        c.at++;
    }
    return c;
}

static struct cursor parse_container(struct parser *p, struct cursor c, int depth, bool object)
{
    struct js_value *v = c.out;
    uint32_t count = 0;
    if (depth >= JS_LIMIT_DEPTH)
        return refuse(p, *c.at, "nested too deeply");
    c.at++;
    c.out++;
    c = object ? parse_members(p, c, depth + 1, &count) : parse_items(p, c, depth + 1, &count);
    if (!c.out)
        return c;
    v->type = object ? T_OBJ : T_ARR;
    v->len = count;
    v->u.at.span = (uint32_t)(c.out - v);
    v->u.at.mark = 0;
    return c;
}

static struct cursor parse_value(struct parser *p, struct cursor c, int depth)
{
    char first = peek(p, c);
    if (first == '"')
        return parse_string(p, c);
    if (first == '{' || first == '[')
        return parse_container(p, c, depth, first == '{');
    if (first == '-' || (first >= '0' && first <= '9'))
        return parse_number(p, c);
    if (*c.at >= p->len)
        return refuse(p, p->len, "the text ends too early");
    return parse_word(p, c);
}

/* Every value takes at least one token, so the array never grows while values are filled in. */
static bool need_values(struct js_document *doc, uint32_t count)
{
    if (doc->value_cap >= count)
        return true;
    free(doc->values);
    doc->values = malloc(count * sizeof *doc->values);
    doc->value_cap = doc->values ? count : 0;
    return doc->values != NULL;
}

static pb_err parse_tokens(struct parser *p, struct cursor c, const uint32_t *end, struct pb_why *why)
{
    char at[32];
    p->doc->text_len = 0;
    find_slash(p, 0);
    c = parse_value(p, c, 0);
    if (c.out && c.at != end)
        c = refuse(p, *c.at, "something follows the value");
    if (!c.out) {
        snprintf(at, sizeof at, "byte %zu", p->problem_at);
        return pb_fail(why, PB_E_INVALID, at, "not JSON: %s", p->problem);
    }
    p->doc->value_count = (size_t)(c.out - p->doc->values);
    return PB_OK;
}

pb_err js_parse(struct js_index *ix, const char *text, size_t len, struct js_document *doc,
                struct pb_why *why)
{
    struct parser p = {.text = text, .len = len, .doc = doc};
    struct cursor c = {NULL, NULL};
    uint32_t count = 0;
    if (len > JS_LIMIT_DOCUMENT_BYTES)
        return pb_fail(why, PB_E_LIMIT, "", "the document is larger than %u bytes", JS_LIMIT_DOCUMENT_BYTES);
    if (!len)
        return pb_fail(why, PB_E_INVALID, "", "the document is empty");
    pb_err err = js_index_scan(ix, text, len, &c.at, &count);
    if (err == PB_E_MEMORY || (!err && !need_values(doc, count)))
        return pb_fail(why, PB_E_MEMORY, "", "out of memory");
    if (err)
        return pb_fail(why, err, "",
                       "not JSON: bad UTF-8, a string without end, a control character, or nothing");
    c.out = doc->values;
    return parse_tokens(&p, c, c.at + count, why);
}

void js_document_fini(struct js_document *doc)
{
    free(doc->values);
    free(doc->text);
    memset(doc, 0, sizeof *doc);
}
