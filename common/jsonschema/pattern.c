/* ECMA-262 patterns (u flag) rewritten for PCRE2. What PCRE2 reads otherwise is spelled out: \s and . have
 * other sets, $ stands only at the end, \v is one character, [] never matches. What ECMA-262 does not have
 * (\A \Z \Q (?i) (*VERB) a++
 * [[:alpha:]]) is refused or taken literally, so nothing of Perl's gets in.
 *
 * Matching is bounded by PCRE2's match and depth limits. */
#include "common/jsonschema/pattern.h"
#include "common/jsonschema/limits.h"
#include "common/jsonschema/simple.h"

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SPACES                                                                                               \
    "\\t\\n\\x0b\\f\\r\\x20\\xa0\\x{1680}\\x{2000}-\\x{200a}\\x{2028}\\x{2029}\\x{202f}\\x{205f}\\x{3000}"   \
    "\\x{feff}"
#define NOT_SPACES                                                                                           \
    "\\x{0}-\\x{8}\\x{e}-\\x{1f}\\x{21}-\\x{9f}\\x{a1}-\\x{167f}\\x{1681}-\\x{1fff}\\x{200b}-\\x{2027}"      \
    "\\x{202a}-\\x{202e}\\x{2030}-\\x{205e}\\x{2060}-\\x{2fff}\\x{3001}-\\x{fefe}\\x{ff00}-\\x{10ffff}"
#define LOOKBEHIND_NOT_FIXED 125 /* of PCRE2: good in ECMA-262, but not here */
#define LIGHT_FUEL           20
#define GROWTH               256 /* the rewritten pattern is never longer than this much more, plus 16 times the source */

struct js_pattern {
    pcre2_code *code;
    char *literal; /* the pattern is only ^literal, for extension prefixes: no regular expression at all */
    size_t literal_len;
    struct js_simple *simple; /* or NULL */
};

struct js_matcher {
    pcre2_match_data *data;
    pcre2_match_context *limits;
};

struct writer {
    const char *p, *end;
    char *out;
    size_t len, cap;
    const char *problem;
    bool repeatable; /* something stands before that a quantifier may follow */
    bool strict;     /* nothing but ECMA-262 with its u flag; otherwise also what browsers take without it */
    int groups, open;
};

static bool refuse(struct writer *w, const char *problem)
{
    if (!w->problem)
        w->problem = problem;
    return false;
}

static bool put(struct writer *w, const char *text, size_t n)
{
    if (w->len + n > w->cap)
        return refuse(w, "it grows too long");
    memcpy(w->out + w->len, text, n);
    w->len += n;
    return true;
}

static bool puts_text(struct writer *w, const char *text)
{
    return put(w, text, strlen(text));
}

static bool put_code(struct writer *w, uint32_t c)
{
    char text[16];
    snprintf(text, sizeof text, "\\x{%x}", c);
    return puts_text(w, text);
}

static int hex(char c)
{
    char low = (char)(c | 32);
    return c >= '0' && c <= '9' ? c - '0' : low >= 'a' && low <= 'f' ? low - 'a' + 10 : -1;
}

static bool hex_digits(struct writer *w, int count, uint32_t *out)
{
    uint32_t n = 0;
    for (int i = 0; i < count; i++, w->p++) {
        int d = w->p < w->end ? hex(*w->p) : -1;
        if (d < 0)
            return refuse(w, "an escape needs more hexadecimal digits");
        n = n * 16 + (uint32_t)d;
    }
    *out = n;
    return true;
}

static bool braced_code(struct writer *w, uint32_t *out)
{
    uint32_t n = 0;
    const char *start = ++w->p;
    for (; w->p < w->end && hex(*w->p) >= 0 && n <= 0x10FFFF; w->p++)
        n = n * 16 + (uint32_t)hex(*w->p);
    if (w->p == start || w->p >= w->end || *w->p != '}' || n > 0x10FFFF)
        return refuse(w, "\\u{...} needs a code point");
    w->p++;
    *out = n;
    return true;
}

static bool unicode_escape(struct writer *w)
{
    uint32_t c, low;
    if (w->p < w->end && *w->p == '{')
        return braced_code(w, &c) && put_code(w, c);
    if (!hex_digits(w, 4, &c))
        return false;
    if (c >= 0xD800 && c < 0xDC00 && w->end - w->p >= 6 && w->p[0] == '\\' && w->p[1] == 'u') {
        w->p += 2;
        if (!hex_digits(w, 4, &low) || low < 0xDC00 || low > 0xDFFF)
            return refuse(w, "half of a surrogate pair stands alone");
        c = 0x10000 + ((c - 0xD800) << 10) + (low - 0xDC00);
    }
    /* half a pair can match nothing in UTF-8: a private code point stands for it */
    return put_code(w, c >= 0xD800 && c < 0xE000 ? 0x10FFFE : c);
}

/* ECMA-262 names general categories in full, PCRE2 by their letters; scripts and binary properties agree. */
static const struct {
    const char *name, *letters;
} categories[] = {
    {"Letter", "L"},
    {"Cased_Letter", "L&"},
    {"LC", "L&"},
    {"Uppercase_Letter", "Lu"},
    {"Lowercase_Letter", "Ll"},
    {"Titlecase_Letter", "Lt"},
    {"Modifier_Letter", "Lm"},
    {"Other_Letter", "Lo"},
    {"Mark", "M"},
    {"Combining_Mark", "M"},
    {"Nonspacing_Mark", "Mn"},
    {"Spacing_Mark", "Mc"},
    {"Enclosing_Mark", "Me"},
    {"Number", "N"},
    {"Decimal_Number", "Nd"},
    {"digit", "Nd"},
    {"Letter_Number", "Nl"},
    {"Other_Number", "No"},
    {"Punctuation", "P"},
    {"punct", "P"},
    {"Connector_Punctuation", "Pc"},
    {"Dash_Punctuation", "Pd"},
    {"Open_Punctuation", "Ps"},
    {"Close_Punctuation", "Pe"},
    {"Initial_Punctuation", "Pi"},
    {"Final_Punctuation", "Pf"},
    {"Other_Punctuation", "Po"},
    {"Symbol", "S"},
    {"Math_Symbol", "Sm"},
    {"Currency_Symbol", "Sc"},
    {"Modifier_Symbol", "Sk"},
    {"Other_Symbol", "So"},
    {"Separator", "Z"},
    {"Space_Separator", "Zs"},
    {"Line_Separator", "Zl"},
    {"Paragraph_Separator", "Zp"},
    {"Other", "C"},
    {"Control", "Cc"},
    {"cntrl", "Cc"},
    {"Format", "Cf"},
    {"Surrogate", "Cs"},
    {"Private_Use", "Co"},
    {"Unassigned", "Cn"},
};

static size_t property_prefix(const char *s, size_t n)
{
    static const char *const prefixes[] = {
        "General_Category=", "gc=", "Script=", "sc=", "Script_Extensions=", "scx="};
    for (size_t i = 0; i < sizeof prefixes / sizeof prefixes[0]; i++)
        if (n > strlen(prefixes[i]) && memcmp(s, prefixes[i], strlen(prefixes[i])) == 0)
            return strlen(prefixes[i]);
    return 0;
}

static bool property(struct writer *w, char kind)
{
    const char *close = w->p < w->end && *w->p == '{' ? memchr(w->p, '}', (size_t)(w->end - w->p)) : NULL;
    char text[80];
    if (!close)
        return refuse(w, "\\p needs a property in braces");
    const char *name = w->p + 1;
    size_t skip = property_prefix(name, (size_t)(close - name)), len = (size_t)(close - name) - skip;
    name += skip;
    if (!len || len > 60)
        return refuse(w, "no such property");
    for (size_t i = 0; i < len; i++)
        if (!(name[i] == '_' || (name[i] >= '0' && name[i] <= '9') ||
              ((name[i] | 32) >= 'a' && (name[i] | 32) <= 'z')))
            return refuse(w, "no such property");
    snprintf(text, sizeof text, "\\%c{%.*s}", kind, (int)len, name);
    for (size_t i = 0; i < sizeof categories / sizeof categories[0]; i++)
        if (strlen(categories[i].name) == len && memcmp(categories[i].name, name, len) == 0)
            snprintf(text, sizeof text, "\\%c{%s}", kind, categories[i].letters);
    w->p = close + 1;
    return puts_text(w, text);
}

static bool control(struct writer *w)
{
    char c = w->p < w->end ? *w->p : '\0', low = (char)(c | 32);
    if (low < 'a' || low > 'z')
        return refuse(w, "\\c needs a letter");
    w->p++;
    return put_code(w, (uint32_t)(c & 31));
}

static bool back_reference(struct writer *w, char first)
{
    char text[16];
    int n = first - '0';
    for (; w->p < w->end && *w->p >= '0' && *w->p <= '9' && n < 10000; w->p++)
        n = n * 10 + (*w->p - '0');
    if (n > w->groups)
        return refuse(w, "a reference to a group that does not exist");
    snprintf(text, sizeof text, "\\g{%d}", n);
    return puts_text(w, text);
}

static bool named_reference(struct writer *w)
{
    const char *close = w->p < w->end && *w->p == '<' ? memchr(w->p, '>', (size_t)(w->end - w->p)) : NULL;
    if (!close)
        return refuse(w, "\\k needs a name in angle brackets");
    bool ok = puts_text(w, "\\k") && put(w, w->p, (size_t)(close + 1 - w->p));
    w->p = close + 1;
    return ok;
}

static const struct {
    char letter;
    const char *outside, *inside; /* a class */
} escapes[] = {
    {'d', "[0-9]", "0-9"},
    {'D', "[^0-9]", "\\D"},
    {'w', "[A-Za-z0-9_]", "A-Za-z0-9_"},
    {'W', "[^A-Za-z0-9_]", "\\W"},
    {'s', "[" SPACES "]", SPACES},
    {'S', "[^" SPACES "]", NOT_SPACES},
    {'t', "\\t", "\\t"},
    {'n', "\\n", "\\n"},
    {'v', "\\x0b", "\\x0b"},
    {'f', "\\f", "\\f"},
    {'r', "\\r", "\\r"},
    {'b', "\\b", "\\x08"},
    {'B', "\\B", NULL},
};

static bool letter_escape(struct writer *w, char c, bool inside)
{
    for (size_t i = 0; i < sizeof escapes / sizeof escapes[0]; i++) {
        const char *text = inside ? escapes[i].inside : escapes[i].outside;
        if (escapes[i].letter == c && text)
            return puts_text(w, text);
    }
    return refuse(w, "ECMA-262 has no such escape");
}

/* w->p stands behind the backslash. */
static bool escape(struct writer *w, bool inside)
{
    uint32_t code;
    char c = w->p < w->end ? *w->p : '\0';
    if (w->p >= w->end)
        return refuse(w, "it ends in a backslash");
    w->p++;
    w->repeatable = inside || (c != 'b' && c != 'B');
    if (c == 'u')
        return unicode_escape(w);
    if (c == 'x')
        return hex_digits(w, 2, &code) && put_code(w, code);
    if (c == 'p' || c == 'P')
        return property(w, c);
    if (c == 'c')
        return control(w);
    if (c == '0' && !(w->p < w->end && *w->p >= '0' && *w->p <= '9'))
        return put_code(w, 0);
    if (c >= '1' && c <= '9' && !inside)
        return back_reference(w, c);
    if (c == 'k' && !inside)
        return named_reference(w);
    if ((c >= '0' && c <= '9') || ((c | 32) >= 'a' && (c | 32) <= 'z'))
        return letter_escape(w, c, inside);
    if ((unsigned char)c >= 0x80 || (w->strict && !memchr("^$\\.*+?()[]{}|/-", c, 15 + inside)))
        return refuse(w, "ECMA-262 has no such escape");
    return put(w, (char[]){'\\', c}, 2);
}

static bool class(struct writer *w)
{
    bool negated = w->p < w->end && *w->p == '^';
    w->p += negated;
    if (w->p < w->end && *w->p == ']') {
        w->p++;
        w->repeatable = true;
        return puts_text(w, negated ? "[\\x{0}-\\x{10ffff}]" : "(?!)");
    }
    bool ok = puts_text(w, negated ? "[^" : "[");
    while (ok && w->p < w->end && *w->p != ']') {
        char c = *w->p++;
        if (c == '\\')
            ok = escape(w, true);
        else if (c == '[')
            ok = puts_text(w, "\\["); /* no [:alpha:] */
        else
            ok = put(w, &c, 1);
    }
    if (ok && w->p >= w->end)
        return refuse(w, "a class has no end");
    w->p++;
    w->repeatable = true;
    return ok && puts_text(w, "]");
}

static bool group(struct writer *w)
{
    static const char *const kinds[] = {"?:", "?=", "?!", "?<=", "?<!"};
    size_t left = (size_t)(w->end - w->p), n = 0;
    w->open++;
    w->repeatable = false;
    for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++)
        if (left >= strlen(kinds[i]) && memcmp(w->p, kinds[i], strlen(kinds[i])) == 0)
            n = strlen(kinds[i]);
    if (!n && left && *w->p == '?' && !(left > 2 && w->p[1] == '<'))
        return refuse(w, "ECMA-262 has no such group");
    const char *close = !n && left && *w->p == '?' ? memchr(w->p, '>', left) : NULL;
    if (!n && left && *w->p == '?' && !close)
        return refuse(w, "the name of a group has no end");
    if (close)
        n = (size_t)(close + 1 - w->p);
    bool ok = puts_text(w, "(") && put(w, w->p, n);
    w->p += n;
    return ok;
}

/* {n}, {n,} or {n,m} behind w->p - 1; 0 if it is none. */
static size_t braces(const struct writer *w)
{
    const char *p = w->p;
    size_t digits = 0;
    for (; p < w->end && *p >= '0' && *p <= '9'; p++)
        digits++;
    if (!digits)
        return 0;
    if (p < w->end && *p == ',')
        for (p++; p < w->end && *p >= '0' && *p <= '9';)
            p++;
    return p < w->end && *p == '}' ? (size_t)(p + 1 - w->p) : 0;
}

static bool quantifier(struct writer *w, char c)
{
    size_t n = c == '{' ? braces(w) : 0;
    if (c == '{' && !n && w->strict)
        return refuse(w, "a { has to be escaped");
    if (c == '{' && !n)
        return puts_text(w, "\\{");
    if (!w->repeatable)
        return refuse(w, "there is nothing to repeat");
    bool ok = put(w, &c, 1) && put(w, w->p, n);
    w->p += n;
    if (w->p < w->end && *w->p == '?') {
        ok = ok && puts_text(w, "?");
        w->p++;
    }
    w->repeatable = false;
    return ok;
}

static bool closing(struct writer *w)
{
    w->repeatable = true;
    return --w->open >= 0 ? puts_text(w, ")") : refuse(w, "a ) closes nothing");
}

static bool one(struct writer *w)
{
    char c = *w->p++;
    if (c == '\\')
        return escape(w, false);
    if (c == '[')
        return class(w);
    if (c == '(')
        return group(w);
    if (c == ')')
        return closing(w);
    if (c == '*' || c == '+' || c == '?' || c == '{')
        return quantifier(w, c);
    w->repeatable = c != '|' && c != '^' && c != '$';
    if (c == '.')
        return puts_text(w, "[^\\n\\r\\x{2028}\\x{2029}]");
    if ((c == '}' || c == ']') && w->strict)
        return refuse(w, "a } or ] has to be escaped");
    if (c == '}' || c == ']')
        return put(w, (char[]){'\\', c}, 2);
    return c ? put(w, &c, 1) : put_code(w, 0);
}

static int count_groups(const char *p, const char *end)
{
    int count = 0;
    bool inside = false;
    for (; p < end; p++) {
        if (*p == '\\')
            p++;
        else if (*p == '[')
            inside = true;
        else if (*p == ']')
            inside = false;
        else if (*p == '(' && !inside)
            count += end - p < 2 || p[1] != '?' || (end - p > 3 && p[2] == '<' && p[3] != '=' && p[3] != '!');
    }
    return count;
}

static bool rewrite(struct writer *w)
{
    w->groups = count_groups(w->p, w->end);
    while (w->p < w->end && w->len < w->cap)
        if (!one(w))
            return false;
    return w->open ? refuse(w, "a group has no end") : true;
}

static pb_err build(struct js_pattern *p, const char *source, size_t len, bool strict, char *reason,
                    size_t size)
{
    struct writer w = {.p = source, .end = source + len, .cap = len * 32 + GROWTH, .strict = strict};
    const uint32_t options =
        PCRE2_UTF | PCRE2_DOLLAR_ENDONLY | PCRE2_MATCH_UNSET_BACKREF | PCRE2_NEVER_BACKSLASH_C;
    int code = 0;
    PCRE2_SIZE at = 0;
    w.out = malloc(w.cap);
    if (!w.out)
        return PB_E_MEMORY;
    pb_err err = PB_OK;
    if (!rewrite(&w)) {
        snprintf(reason, size, "%s, at position %zu", w.problem, (size_t)(w.p - source));
        err = PB_E_INVALID;
        goto out;
    }
    p->code = pcre2_compile((PCRE2_SPTR)w.out, w.len, options, &code, &at, NULL);
    if (!p->code) {
        PCRE2_UCHAR text[120];
        pcre2_get_error_message(code, text, sizeof text);
        snprintf(reason, size, "%s", (const char *)text);
        err = code == LOOKBEHIND_NOT_FIXED ? PB_E_UNSUPPORTED : PB_E_INVALID;
        goto out;
    }
    (void)pcre2_jit_compile(p->code, PCRE2_JIT_COMPLETE); /* without a JIT the interpreter does it */
out:
    free(w.out);
    return err;
}

/* ^ and letters alone is the commonest pattern of patternProperties: a comparison. */
static bool take_literal(struct js_pattern *p, const char *source, size_t len)
{
    if (len < 1 || source[0] != '^')
        return false;
    for (size_t i = 1; i < len; i++)
        if (memchr("\\[](){}*+?.^$|/", source[i], 15) || !source[i])
            return false;
    p->literal = strndup(source + 1, len - 1);
    p->literal_len = len - 1;
    return p->literal != NULL;
}

static pb_err make(const char *source, size_t len, bool strict, struct js_pattern **out, char *reason,
                   size_t reason_size)
{
    reason[0] = '\0';
    if (len > JS_LIMIT_PATTERN_BYTES) {
        snprintf(reason, reason_size, "it is longer than %d bytes", JS_LIMIT_PATTERN_BYTES);
        return PB_E_LIMIT;
    }
    struct js_pattern *p = calloc(1, sizeof *p);
    if (!p)
        return PB_E_MEMORY;
    pb_err err = PB_OK;
    if (!take_literal(p, source, len) && !(p->simple = js_simple_new(source, len)))
        err = build(p, source, len, strict, reason, reason_size);
    if (err) {
        js_pattern_free(p);
        return err;
    }
    *out = p;
    return PB_OK;
}

pb_err js_pattern_new(const char *source, size_t len, struct js_pattern **out, char *reason,
                      size_t reason_size)
{
    return make(source, len, false, out, reason, reason_size);
}

void js_pattern_free(struct js_pattern *p)
{
    if (!p)
        return;
    pcre2_code_free(p->code);
    js_simple_free(p->simple);
    free(p->literal);
    free(p);
}

size_t js_pattern_memory(const struct js_pattern *p)
{
    size_t code = 0, jit = 0;
    if (p->code) {
        pcre2_pattern_info(p->code, PCRE2_INFO_SIZE, &code);
        pcre2_pattern_info(p->code, PCRE2_INFO_JITSIZE, &jit);
    }
    return sizeof *p + p->literal_len + code + jit + (p->simple ? js_simple_memory(p->simple) : 0);
}

struct js_matcher *js_matcher_new(void)
{
    struct js_matcher *m = calloc(1, sizeof *m);
    if (!m)
        return NULL;
    m->data = pcre2_match_data_create(1, NULL);
    m->limits = pcre2_match_context_create(NULL);
    if (!m->data || !m->limits) {
        js_matcher_free(m);
        return NULL;
    }
    pcre2_set_depth_limit(m->limits, JS_LIMIT_PATTERN_DEPTH);
    pcre2_set_heap_limit(m->limits, JS_LIMIT_PATTERN_KB);
    return m;
}

void js_matcher_free(struct js_matcher *m)
{
    if (!m)
        return;
    pcre2_match_data_free(m->data);
    pcre2_match_context_free(m->limits);
    free(m);
}

static int match(const struct js_pattern *p, struct js_matcher *m, const char *text, size_t len,
                 uint32_t limit)
{
    pcre2_set_match_limit(m->limits, limit);
    return pcre2_match(p->code, (PCRE2_SPTR)text, len, 0, PCRE2_NO_UTF_CHECK, m->data, m->limits);
}

/* Twice at most: PCRE2 does not tell what a match cost, only that it would have cost more than the limit. So
 * a document may have many light matches, or a few heavy ones. */
pb_err js_pattern_match(const struct js_pattern *p, struct js_matcher *m, const char *text, size_t len,
                        int64_t *fuel)
{
    --*fuel;
    if (p->literal)
        return len >= p->literal_len && memcmp(text, p->literal, p->literal_len) == 0 ? PB_OK
                                                                                      : PB_E_NOT_FOUND;
    *fuel -= (int64_t)(len / 8);
    if (p->simple)
        return js_simple_match(p->simple, text, len) ? PB_OK : PB_E_NOT_FOUND;
    *fuel -= LIGHT_FUEL;
    int rc = match(p, m, text, len, JS_LIMIT_PATTERN_LIGHT);
    if (rc == PCRE2_ERROR_MATCHLIMIT) {
        *fuel -= JS_LIMIT_PATTERN_WORK;
        rc = *fuel < 0 ? rc : match(p, m, text, len, JS_LIMIT_PATTERN_WORK);
    }
    return rc >= 0 ? PB_OK : rc == PCRE2_ERROR_NOMATCH ? PB_E_NOT_FOUND : PB_E_LIMIT;
}

bool js_pattern_valid(const char *source, size_t len)
{
    char reason[200];
    struct js_pattern *p = NULL;
    pb_err err = make(source, len, true, &p, reason, sizeof reason);
    js_pattern_free(p);
    return err == PB_OK || err == PB_E_UNSUPPORTED;
}
