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
        if (s[i] != '~' && s[i] != '/')
            continue;
        js_text_bytes(t, s + start, i - start);
        js_text_bytes(t, s[i] == '~' ? "~0" : "~1", 2);
        start = i + 1;
    }
    js_text_bytes(t, s + start, n - start);
}

void js_text_end(struct js_text *t)
{
    t->at[t->len] = '\0';
}
