/* Formats of the network: URIs (RFC 3986), IRIs (RFC 3987), templates (RFC 6570), hosts, addresses, mail. */
#include "common/jsonschema/format.h"

#include <arpa/inet.h>
#include <string.h>
#ifdef __SSE2__
#include <tmmintrin.h>
#endif

/* What a byte may be in: one bit per place. */
enum { UNRESERVED = 1, SUBDELIM = 2, PCHAR_MORE = 4, SLASH = 8, ASK = 16, DIGIT = 32, ALPHA = 64, HEX = 128 };
#define LETTER (UNRESERVED | ALPHA)

static const uint8_t kinds_of[256] = {
    ['0' ... '9'] = UNRESERVED | DIGIT | HEX,
    ['A' ... 'F'] = LETTER | HEX,
    ['G' ... 'Z'] = LETTER,
    ['a' ... 'f'] = LETTER | HEX,
    ['g' ... 'z'] = LETTER,
    ['-'] = UNRESERVED,
    ['.'] = UNRESERVED,
    ['_'] = UNRESERVED,
    ['~'] = UNRESERVED,
    ['!'] = SUBDELIM,
    ['$'] = SUBDELIM,
    ['&'] = SUBDELIM,
    ['\''] = SUBDELIM,
    ['('] = SUBDELIM,
    [')'] = SUBDELIM,
    ['*'] = SUBDELIM,
    ['+'] = SUBDELIM,
    [','] = SUBDELIM,
    [';'] = SUBDELIM,
    ['='] = SUBDELIM,
    [':'] = PCHAR_MORE,
    ['@'] = PCHAR_MORE,
    ['/'] = SLASH,
    ['?'] = ASK,
};

static inline bool is(unsigned char c, unsigned kinds)
{
    return (kinds_of[c] & kinds) != 0;
}

#define PLAIN (UNRESERVED | SUBDELIM | PCHAR_MORE | SLASH | ASK) /* in a path or a query as it is */

#ifdef __SSE2__
static inline __m128i one_of(__m128i x, char a, char b)
{
    return _mm_or_si128(_mm_cmpeq_epi8(x, _mm_set1_epi8(a)), _mm_cmpeq_epi8(x, _mm_set1_epi8(b)));
}

/* Of each byte's halves: bit h of row l stands for the byte h << 4 | l, in a table of the PLAIN ones below
 * 0x80. */
#define PLAIN_ROWS                                                                                           \
    (char)0xb8, (char)0xfc, (char)0xf8, (char)0xf8, (char)0xfc, (char)0xf8, (char)0xfc, (char)0xfc,          \
        (char)0xfc, (char)0xfc, (char)0xfc, (char)0x5c, (char)0x54, (char)0x5c, (char)0xd4, (char)0x7c

/* One bit for each of 16 bytes that is not PLAIN. Every processor of the last fifteen years has pshufb. */
__attribute__((target("ssse3"))) static inline unsigned not_plain(const char *s)
{
    const __m128i rows = _mm_setr_epi8(PLAIN_ROWS),
                  bits = _mm_setr_epi8(1, 2, 4, 8, 16, 32, 64, -128, 0, 0, 0, 0, 0, 0, 0, 0),
                  low = _mm_set1_epi8(15);
    __m128i x = _mm_loadu_si128((const __m128i *)(const void *)s);
    __m128i row = _mm_shuffle_epi8(rows, _mm_and_si128(x, low));
    __m128i bit = _mm_shuffle_epi8(bits, _mm_and_si128(_mm_srli_epi16(x, 4), low));
    return (unsigned)_mm_movemask_epi8(_mm_cmpeq_epi8(_mm_and_si128(row, bit), _mm_setzero_si128()));
}

/* 16 bytes a step; n is 16 at least. */
__attribute__((target("ssse3"))) static size_t plain_run_wide(const char *s, size_t n)
{
    unsigned bad;
    for (size_t i = 0; i + 16 <= n; i += 16)
        if ((bad = not_plain(s + i)))
            return i + (size_t)__builtin_ctz(bad);
    bad = n % 16 ? not_plain(s + n - 16) : 0;
    return bad ? n - 16 + (size_t)__builtin_ctz(bad) : n;
}
#endif

/* How many bytes from the start are PLAIN. Almost all of real URIs is. */
static size_t plain_run(const char *s, size_t n)
{
    size_t i = 0;
#ifdef __SSE2__
    if (n >= 16 && __builtin_cpu_supports("ssse3"))
        return plain_run_wide(s, n);
#endif
    while (i < n && is((uint8_t)s[i], PLAIN))
        i++;
    return i;
}

/* Where the first of / ? : @ stands; n if none does. */
static size_t authority_run(const char *s, size_t n)
{
    size_t i = 0;
#ifdef __SSE2__
    for (; i + 16 <= n; i += 16) {
        __m128i x = _mm_loadu_si128((const __m128i *)(const void *)(s + i));
        unsigned hits = (unsigned)_mm_movemask_epi8(_mm_or_si128(one_of(x, '/', '?'), one_of(x, ':', '@')));
        if (hits)
            return i + (size_t)__builtin_ctz(hits);
    }
#endif
    while (i < n && !is((uint8_t)s[i], SLASH | ASK | PCHAR_MORE))
        i++;
    return i;
}

/* iprivate of RFC 3987 is for queries alone; noncharacters and the specials are nowhere. */
static bool iri_char(const char *s, size_t n, size_t *len, bool query)
{
    uint32_t c = (uint8_t)s[0];
    *len = c >= 0xF0 ? 4 : c >= 0xE0 ? 3 : 2;
    if (*len > n)
        return false;
    c &= *len == 4 ? 7u : *len == 3 ? 15u : 31u;
    for (size_t i = 1; i < *len; i++)
        c = c << 6 | ((uint8_t)s[i] & 63);
    if ((c >= 0xE000 && c <= 0xF8FF) || c >= 0xF0000)
        return query;
    return c >= 0xA0 && !(c >= 0xFDD0 && c <= 0xFDEF) && !(c >= 0xFFF0 && c <= 0xFFFF) &&
           (c & 0xFFFE) != 0xFFFE;
}

static bool span(const char *s, size_t n, unsigned kinds, bool iri, bool query)
{
    for (size_t i = 0, len; i < n; i += len) {
        len = 1;
        if (s[i] == '%') {
            if (i + 2 >= n || !is((uint8_t)s[i + 1], HEX) || !is((uint8_t)s[i + 2], HEX))
                return false;
            len = 3;
        } else if ((uint8_t)s[i] >= 0x80) {
            if (!iri || !iri_char(s + i, n - i, &len, query))
                return false;
        } else if (!is((uint8_t)s[i], kinds)) {
            return false;
        }
    }
    return true;
}

static bool ip_literal(const char *s, size_t n)
{
    if (n > 3 && (s[0] | 32) == 'v') {
        size_t i = 1;
        while (i < n && is((uint8_t)s[i], HEX))
            i++;
        if (i == 1 || i + 1 >= n || s[i] != '.')
            return false;
        for (i++; i < n; i++)
            if (!is((uint8_t)s[i], UNRESERVED | SUBDELIM) && s[i] != ':')
                return false;
        return true;
    }
    return js_format_ipv6(s, n);
}

static bool authority(const char *s, size_t n, bool iri)
{
    const char *at = memrchr(s, '@', n);
    if (at) {
        for (size_t i = 0; i < (size_t)(at - s); i++)
            if (s[i] == '@')
                return false;
        if (!span(s, (size_t)(at - s), UNRESERVED | SUBDELIM | PCHAR_MORE, iri, false))
            return false;
        n -= (size_t)(at + 1 - s);
        s = at + 1;
    }
    const char *port = memrchr(s, ':', n), *close = memrchr(s, ']', n);
    size_t host = port && (!close || port > close) ? (size_t)(port - s) : n;
    for (size_t i = host + 1; i < n; i++)
        if (!is((uint8_t)s[i], DIGIT))
            return false;
    if (host && s[0] == '[')
        return s[host - 1] == ']' && ip_literal(s + 1, host - 2);
    return span(s, host, UNRESERVED | SUBDELIM, iri, false);
}

/* The scheme's length; 0: none. */
static size_t scheme(const char *s, size_t n)
{
    size_t i = 0;
    while (i < n && (is((uint8_t)s[i], i ? ALPHA | DIGIT : ALPHA) || (i && strchr("+-.", s[i]) && s[i])))
        i++;
    return i && i < n && s[i] == ':' ? i : 0;
}

static bool reference(const char *s, size_t n, bool iri, bool absolute)
{
    const unsigned pchar = UNRESERVED | SUBDELIM | PCHAR_MORE;
    size_t k = scheme(s, n);
    if (absolute && !k)
        return false;
    const char *p = k ? s + k + 1 : s, *end = s + n;
    const char *hash = memchr(p, '#', (size_t)(end - p));
    if (hash) {
        if (!span(hash + 1, (size_t)(end - hash - 1), pchar | SLASH | ASK, iri, false))
            return false;
        end = hash;
    }
    const char *ask = memchr(p, '?', (size_t)(end - p));
    if (ask) {
        if (!span(ask + 1, (size_t)(end - ask - 1), pchar | SLASH | ASK, iri, true))
            return false;
        end = ask;
    }
    if (end - p >= 2 && p[0] == '/' && p[1] == '/') {
        const char *slash = memchr(p + 2, '/', (size_t)(end - p - 2));
        const char *stop = slash ? slash : end;
        if (!authority(p + 2, (size_t)(stop - p - 2), iri))
            return false;
        p = stop;
    } else if (!k) {
        /* without a scheme the first segment has no colon */
        const char *slash = memchr(p, '/', (size_t)(end - p));
        if (memchr(p, ':', (size_t)((slash ? slash : end) - p)))
            return false;
    }
    return span(p, (size_t)(end - p), pchar | SLASH, iri, false);
}

/* scheme://name/..., all of it plain, neither user nor port before the path: a plain name is one, whatever it
 * is. */
static bool plain_uri(const char *s, size_t n)
{
    size_t i = n > 8 && memcmp(s, "https:", 6) == 0 ? 5 : scheme(s, n);
    if (!i || n - i < 4 || s[i + 1] != '/' || s[i + 2] != '/')
        return false;
    size_t name = authority_run(s + i + 3, n - i - 3) + i + 3;
    return (name == n || s[name] == '/' || s[name] == '?') && plain_run(s + i, n - i) == n - i;
}

bool js_format_uri(const char *s, size_t n)
{
    return plain_uri(s, n) || reference(s, n, false, true);
}

bool js_format_uri_reference(const char *s, size_t n)
{
    return reference(s, n, false, false);
}

bool js_format_iri(const char *s, size_t n)
{
    return reference(s, n, true, true);
}

bool js_format_iri_reference(const char *s, size_t n)
{
    return reference(s, n, true, false);
}

/* varname *( "," varname ), each with an optional :1..9999 or * (RFC 6570, sections 2.3 and 2.4). */
static bool variable(const char *s, size_t n)
{
    size_t i = 0;
    bool dot = true; /* a name neither begins nor ends with a dot, and has no two in a row */
    for (; i < n && s[i] != ':' && s[i] != '*'; i++) {
        if (s[i] == '.') {
            if (dot)
                return false;
            dot = true;
            continue;
        }
        dot = false;
        if (s[i] == '%') {
            if (i + 2 >= n || !is((uint8_t)s[i + 1], HEX) || !is((uint8_t)s[i + 2], HEX))
                return false;
            i += 2;
        } else if (!is((uint8_t)s[i], ALPHA | DIGIT) && s[i] != '_') {
            return false;
        }
    }
    if (dot)
        return false;
    if (i == n || (s[i] == '*' && i + 1 == n))
        return true;
    if (s[i] != ':' || n - i < 2 || n - i > 5 || s[i + 1] == '0')
        return false;
    for (i++; i < n; i++)
        if (!is((uint8_t)s[i], DIGIT))
            return false;
    return true;
}

static bool is_operator(unsigned char c)
{
    static const bool operators[256] = {
        ['+'] = true, ['#'] = true, ['.'] = true, ['/'] = true, [';'] = true, ['?'] = true,
        ['&'] = true, ['='] = true, [','] = true, ['!'] = true, ['@'] = true, ['|'] = true};
    return operators[c];
}

static bool expression(const char *s, size_t n)
{
    if (n && is_operator((uint8_t)s[0])) {
        s++;
        n--;
    }
    for (;;) {
        const char *comma = memchr(s, ',', n);
        size_t len = comma ? (size_t)(comma - s) : n;
        if (!variable(s, len))
            return false;
        if (!comma)
            return true;
        s += len + 1;
        n -= len + 1;
    }
}

/* {name}, {/name,name}: the length, or 0 for what is more than that. */
static size_t plain_expression(const char *s, size_t n)
{
    size_t i = n > 1 && is_operator((uint8_t)s[1]) ? 2 : 1, start;
    do {
        start = i;
        while (i < n && (is((uint8_t)s[i], ALPHA | DIGIT) || s[i] == '_'))
            i++;
        if (i == start || i == n)
            return 0;
    } while (s[i++] == ',');
    return s[i - 1] == '}' ? i : 0;
}

/* An expression in braces; its length, or 0 if it is none. */
static size_t braced(const char *s, size_t n)
{
    size_t len = plain_expression(s, n);
    const char *close = len ? NULL : memchr(s, '}', n);
    if (close && expression(s + 1, (size_t)(close - s) - 1))
        len = (size_t)(close - s) + 1;
    return len;
}

static bool template_literal(const char *s, size_t n, size_t *len)
{
    *len = 1;
    if (s[0] == '%') {
        *len = 3;
        return n > 2 && is((uint8_t)s[1], HEX) && is((uint8_t)s[2], HEX);
    }
    if ((uint8_t)s[0] >= 0x80)
        return iri_char(s, n, len, true);
    return (uint8_t)s[0] > 0x20 && s[0] != 0x7F && !strchr("\"<>\\^`{|}", s[0]);
}

bool js_format_uri_template(const char *s, size_t n)
{
    for (size_t i = plain_run(s, n), len; i < n; i += len) {
        if (s[i] == '{') {
            len = braced(s + i, n - i);
            if (!len)
                return false;
        } else if (!template_literal(s + i, n - i, &len)) {
            return false;
        }
    }
    return true;
}

bool js_format_ipv4(const char *s, size_t n)
{
    struct in_addr a;
    char text[16];
    if (n > 15 || memchr(s, 0, n))
        return false;
    memcpy(text, s, n);
    text[n] = '\0';
    return inet_pton(AF_INET, text, &a) == 1;
}

bool js_format_ipv6(const char *s, size_t n)
{
    struct in6_addr a;
    char text[46];
    if (n > 45 || memchr(s, 0, n))
        return false;
    memcpy(text, s, n);
    text[n] = '\0';
    return inet_pton(AF_INET6, text, &a) == 1;
}

static bool ascii_label(const char *s, size_t n)
{
    if (!n || n > 63 || s[0] == '-' || s[n - 1] == '-')
        return false;
    for (size_t i = 0; i < n; i++)
        if (!is((uint8_t)s[i], ALPHA | DIGIT) && s[i] != '-')
            return false;
    if (n > 3 && s[2] == '-' && s[3] == '-')
        return (s[0] | 32) == 'x' && (s[1] | 32) == 'n' && js_idn_ok(s, n);
    return true;
}

bool js_format_hostname(const char *s, size_t n)
{
    if (!n || n > 253)
        return false;
    for (;;) {
        const char *dot = memchr(s, '.', n);
        size_t len = dot ? (size_t)(dot - s) : n;
        if (!ascii_label(s, len))
            return false;
        if (!dot)
            return true;
        s += len + 1;
        n -= len + 1;
    }
}

static bool quoted_local(const char *s, size_t n)
{
    for (size_t i = 1; i + 1 < n; i++) {
        if (s[i] == '\\')
            i++;
        else if (s[i] == '"' || (uint8_t)s[i] < 0x20)
            return false;
    }
    return n > 1 && s[n - 1] == '"';
}

static bool local_part(const char *s, size_t n, bool idn)
{
    bool dot = true;
    if (!n || n > 64)
        return false;
    if (s[0] == '"')
        return quoted_local(s, n);
    for (size_t i = 0; i < n; i++) {
        if (s[i] == '.' && dot)
            return false;
        dot = s[i] == '.';
        bool atext = is((uint8_t)s[i], ALPHA | DIGIT) || (s[i] && strchr("!#$%&'*+-/=?^_`{|}~", s[i]));
        if (!dot && !atext && !(idn && (uint8_t)s[i] >= 0x80))
            return false;
    }
    return !dot;
}

static bool mail(const char *s, size_t n, bool idn)
{
    const char *at = memrchr(s, '@', n);
    if (!at || !local_part(s, (size_t)(at - s), idn))
        return false;
    const char *d = at + 1;
    size_t len = n - (size_t)(d - s);
    if (len > 2 && d[0] == '[' && d[len - 1] == ']') {
        if (len > 7 && strncasecmp(d + 1, "IPv6:", 5) == 0)
            return js_format_ipv6(d + 6, len - 7);
        return js_format_ipv4(d + 1, len - 2);
    }
    return idn ? js_format_idn_hostname(d, len) : js_format_hostname(d, len);
}

bool js_format_email(const char *s, size_t n)
{
    return mail(s, n, false);
}

bool js_format_idn_email(const char *s, size_t n)
{
    return mail(s, n, true);
}
