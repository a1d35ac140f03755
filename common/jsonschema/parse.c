/* The second stage of parsing: walks the token positions that simdjson found and fills the flat document.
 * Nothing is read beyond the last byte of the text, so it needs no padding. */
#include "common/jsonschema/dom.h"
#include "common/jsonschema/limits.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#ifdef __SSE2__
#include <emmintrin.h>
#endif

struct parser {
    const char *text;
    const uint32_t *at;
    size_t len;
    uint32_t token, count; /* the next token, and how many there are */
    struct js_document *doc;
    struct js_value *out; /* where the next value goes */
    const char *problem;
    size_t problem_at;
};

static bool refuse(struct parser *p, size_t at, const char *problem)
{
    if (!p->problem) {
        p->problem = problem;
        p->problem_at = at;
    }
    return false;
}

static size_t here(const struct parser *p)
{
    return p->token < p->count ? p->at[p->token] : p->len;
}

/* The first byte of the next token, 0 at the end. */
static char peek(const struct parser *p)
{
    return p->token < p->count ? p->text[p->at[p->token]] : '\0';
}

static bool ends_scalar(const struct parser *p, size_t i)
{
    return i >= p->len || memchr(" \t\n\r,]}:[{\"", p->text[i], 11) != NULL;
}

/* The position of the next quote or backslash from i on. The scan before made sure that one exists. */
static size_t string_stop(const struct parser *p, size_t i)
{
#ifdef __SSE2__
    const __m128i quote = _mm_set1_epi8('"'), slash = _mm_set1_epi8('\\');
    for (; i + 16 <= p->len; i += 16) {
        __m128i x = _mm_loadu_si128((const __m128i *)(const void *)(p->text + i));
        int hits = _mm_movemask_epi8(_mm_or_si128(_mm_cmpeq_epi8(x, quote), _mm_cmpeq_epi8(x, slash)));
        if (hits)
            return i + (size_t)__builtin_ctz((unsigned)hits);
    }
#endif
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

/* *i is behind the \u; moves behind the digits, both halves of a pair. */
static bool unicode_escape(struct parser *p, size_t *i, char *to, size_t *n)
{
    uint32_t c, low;
    if (!hex4(p, *i, &c))
        return refuse(p, *i, "\\u needs four hexadecimal digits");
    *i += 4;
    if (c >= 0xD800 && c < 0xE000) {
        if (c >= 0xDC00 || *i + 6 > p->len || p->text[*i] != '\\' || p->text[*i + 1] != 'u' ||
            !hex4(p, *i + 2, &low) || low < 0xDC00 || low > 0xDFFF)
            return refuse(p, *i, "half of a surrogate pair stands alone");
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
        return refuse(p, *i - 2, "no such escape");
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
        return refuse(p, 0, "out of memory"); /* cannot be: the first string made it large enough */
    free(doc->text);
    doc->text = malloc(p->len);
    doc->text_cap = doc->text ? p->len : 0;
    return doc->text ? true : refuse(p, 0, "out of memory");
}

static bool escaped_string(struct parser *p, size_t start, size_t stop, struct js_value *v)
{
    if (!need_text(p))
        return false;
    char *to = p->doc->text + p->doc->text_len;
    size_t n = 0, i = start;
    while (stop < p->len && p->text[stop] == '\\') {
        memcpy(to + n, p->text + i, stop - i);
        n += stop - i;
        i = stop;
        if (!one_escape(p, &i, to, &n))
            return false;
        stop = string_stop(p, i);
    }
    if (stop >= p->len)
        return refuse(p, start, "a string has no end");
    memcpy(to + n, p->text + i, stop - i);
    n += stop - i;
    v->len = (uint32_t)n;
    v->u.text = to;
    p->doc->text_len += n;
    return true;
}

static bool parse_string(struct parser *p)
{
    size_t start = p->at[p->token++] + 1u, stop = string_stop(p, start);
    struct js_value *v = p->out++;
    v->type = T_STR;
    if (stop < p->len && p->text[stop] == '"') {
        v->len = (uint32_t)(stop - start);
        v->u.text = p->text + start;
        return true;
    }
    return escaped_string(p, start, stop, v);
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

static bool parse_number(struct parser *p)
{
    size_t start = p->at[p->token++], i = start + (p->text[start] == '-'), first = i;
    int64_t n = 0;
    struct js_value *v = p->out++;
    for (; i < p->len && p->text[i] >= '0' && p->text[i] <= '9' && i - first < 18; i++)
        n = n * 10 + (p->text[i] - '0');
    if (i > first && (p->text[first] != '0' || i - first == 1) && ends_scalar(p, i)) {
        v->type = T_INT;
        v->len = (uint32_t)(i - start);
        v->u.integer = first > start ? -n : n;
        return true;
    }
    i = number_end(p, start);
    if (!i)
        return refuse(p, start, "not a number");
    js_number_set(v, p->text + start, (uint32_t)(i - start));
    return true;
}

static bool parse_word(struct parser *p)
{
    static const struct {
        const char *word;
        uint8_t len, type, truth;
    } words[] = {{"true", 4, T_BOOL, 1}, {"false", 5, T_BOOL, 0}, {"null", 4, T_NULL, 0}};
    size_t start = p->at[p->token++];
    for (size_t i = 0; i < sizeof words / sizeof words[0]; i++) {
        if (p->len - start < words[i].len || memcmp(p->text + start, words[i].word, words[i].len) != 0)
            continue;
        if (!ends_scalar(p, start + words[i].len))
            break;
        *p->out++ = (struct js_value){.type = words[i].type, .len = words[i].truth};
        return true;
    }
    return refuse(p, start, "not a JSON value");
}

static bool parse_value(struct parser *p, int depth);

static bool parse_items(struct parser *p, int depth, uint32_t *count)
{
    if (peek(p) == ']') {
        p->token++;
        return true;
    }
    for (;;) {
        if (!parse_value(p, depth))
            return false;
        ++*count;
        char c = peek(p);
        p->token++;
        if (c == ']')
            return true;
        if (c != ',') {
            p->token--;
            return refuse(p, here(p), "expected , or ]");
        }
    }
}

static bool parse_members(struct parser *p, int depth, uint32_t *count)
{
    if (peek(p) == '}') {
        p->token++;
        return true;
    }
    for (;;) {
        if (peek(p) != '"')
            return refuse(p, here(p), "expected a member's name in quotes");
        if (!parse_string(p))
            return false;
        if (peek(p) != ':')
            return refuse(p, here(p), "expected : behind a member's name");
        p->token++;
        if (!parse_value(p, depth))
            return false;
        ++*count;
        char c = peek(p);
        if (c != '}' && c != ',')
            return refuse(p, here(p), "expected , or }");
        p->token++;
        if (c == '}')
            return true;
    }
}

static bool parse_container(struct parser *p, int depth, bool object)
{
    struct js_value *v = p->out++;
    uint32_t count = 0;
    if (depth >= JS_LIMIT_DEPTH)
        return refuse(p, here(p), "nested too deeply");
    p->token++;
    if (!(object ? parse_members(p, depth + 1, &count) : parse_items(p, depth + 1, &count)))
        return false;
    v->type = object ? T_OBJ : T_ARR;
    v->len = count;
    v->u.at.span = (uint32_t)(p->out - v);
    v->u.at.mark = 0;
    return true;
}

static bool parse_value(struct parser *p, int depth)
{
    char c = peek(p);
    if (c == '"')
        return parse_string(p);
    if (c == '{' || c == '[')
        return parse_container(p, depth, c == '{');
    if (c == '-' || (c >= '0' && c <= '9'))
        return parse_number(p);
    if (p->token >= p->count)
        return refuse(p, p->len, "the text ends too early");
    return parse_word(p);
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

pb_err js_parse(struct js_index *ix, const char *text, size_t len, struct js_document *doc,
                struct pb_why *why)
{
    struct parser p = {.text = text, .len = len, .doc = doc};
    char at[32] = "";
    if (len > JS_LIMIT_DOCUMENT_BYTES)
        return pb_fail(why, PB_E_LIMIT, "", "the document is larger than %u bytes", JS_LIMIT_DOCUMENT_BYTES);
    if (!len)
        return pb_fail(why, PB_E_INVALID, "", "the document is empty");
    pb_err err = js_index_scan(ix, text, len, &p.at, &p.count);
    if (err == PB_E_MEMORY || (!err && !need_values(doc, p.count)))
        return pb_fail(why, PB_E_MEMORY, "", "out of memory");
    if (err)
        return pb_fail(why, err, "",
                       "not JSON: bad UTF-8, a string without end, a control character, or nothing");
    doc->text_len = 0;
    p.out = doc->values;
    bool ok = parse_value(&p, 0);
    if (ok && p.token != p.count)
        ok = refuse(&p, here(&p), "something follows the value");
    if (!ok) {
        snprintf(at, sizeof at, "byte %zu", p.problem_at);
        return pb_fail(why, PB_E_INVALID, at, "not JSON: %s", p.problem);
    }
    doc->value_count = (size_t)(p.out - doc->values);
    return PB_OK;
}

void js_document_fini(struct js_document *doc)
{
    free(doc->values);
    free(doc->text);
    memset(doc, 0, sizeof *doc);
}
