#include "common/jsonschema/text.h"

#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

void js_text_bytes(struct js_text *t, const char *s, size_t n)
{
    size_t room = t->size - 1 - t->len;
    n = n < room ? n : room;
    memcpy(t->at + t->len, s, n);
    t->len += n;
}

static void add_number(struct js_text *t, uint64_t n, bool negative)
{
    char digits[24], *p = digits + sizeof digits;
    do
        *--p = (char)('0' + n % 10);
    while (n /= 10);
    if (negative)
        *--p = '-';
    js_text_bytes(t, p, (size_t)(digits + sizeof digits - p));
}

/* Adds what one directive asks for; returns what follows it. */
static const char *add_one(struct js_text *t, const char *p, va_list *args)
{
    if (*p == 's') {
        const char *s = va_arg(*args, const char *);
        js_text_bytes(t, s, strlen(s));
    } else if (*p == 'u') {
        add_number(t, va_arg(*args, unsigned), false);
    } else if (*p == 'c') {
        char c = (char)va_arg(*args, int);
        js_text_bytes(t, &c, 1);
    } else if (*p == '.') { /* .*s */
        int n = va_arg(*args, int);
        js_text_bytes(t, va_arg(*args, const char *), (size_t)n);
        return p + 3;
    } else { /* lld */
        long long n = va_arg(*args, long long);
        add_number(t, n < 0 ? 0 - (uint64_t)n : (uint64_t)n, n < 0);
        return p + 3;
    }
    return p + 1;
}

void js_text_add(struct js_text *t, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    for (const char *p = format, *q; *p; p = add_one(t, q + 1, &args)) {
        q = strchrnul(p, '%');
        js_text_bytes(t, p, (size_t)(q - p));
        if (!*q)
            break;
    }
    va_end(args);
}

void js_text_pointer(struct js_text *t, const char *s, size_t n)
{
    size_t start = 0;
    for (size_t i = 0; i < n; i++) {
        if (s[i] != '~' && s[i] != '/' && s[i])
            continue;
        js_text_bytes(t, s + start, i - start);
        js_text_add(t, "%s", s[i] == '~' ? "~0" : s[i] ? "~1" : "\\u0000");
        start = i + 1;
    }
    js_text_bytes(t, s + start, n - start);
}

/* How many of the first max bytes are whole characters. */
static size_t whole(const char *s, size_t n, size_t max)
{
    if (n <= max)
        return n;
    while (max && (s[max] & 0xC0) == 0x80)
        max--;
    return max;
}

void js_text_shown(struct js_text *t, const char *s, size_t n, size_t max, const char *escaped)
{
    size_t shown = whole(s, n, max);
    for (size_t i = 0; i < shown; i++) {
        if ((unsigned char)s[i] < 0x20)
            js_text_add(t, "\\u00%c%c", '0' + (s[i] >> 4), "0123456789abcdef"[s[i] & 15]);
        else
            js_text_add(t, strchr(escaped, s[i]) ? "\\%c" : "%c", s[i]);
    }
    if (shown < n)
        js_text_add(t, "...");
}

void js_text_end(struct js_text *t)
{
    size_t start = t->len;
    while (start && (t->at[start - 1] & 0xC0) == 0x80)
        start--;
    /* a character that did not fit whole is left out */
    if (start && t->len == t->size - 1 && (t->at[start - 1] & 0x80)) {
        unsigned char lead = (unsigned char)t->at[start - 1];
        size_t need = lead >= 0xF0 ? 4 : lead >= 0xE0 ? 3 : 2;
        if (t->len - (start - 1) < need)
            t->len = start - 1;
    }
    t->at[t->len] = '\0';
}
