#include "common/buf.h"

#include <sodium.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void buf_init(struct buf *b, size_t max_bytes)
{
    *b = (struct buf){.max_bytes = max_bytes};
}

/* Gives memory back, wiped if what it held is secret. */
static void release(struct buf *b)
{
    if (b->secret && b->data)
        sodium_memzero(b->data, b->cap);
    free(b->data);
}

void buf_fini(struct buf *b)
{
    release(b);
    *b = (struct buf){0};
}

void buf_reset(struct buf *b)
{
    b->len = 0;
    b->failed = false;
    if (b->data)
        b->data[0] = 0;
}

static bool reserve(struct buf *b, size_t more)
{
    if (b->failed || more > b->max_bytes - b->len) {
        b->failed = true;
        return false;
    }
    size_t need = b->len + more + 1;
    if (need <= b->cap)
        return true;
    size_t cap = b->cap ? b->cap : 128;
    while (cap < need)
        cap *= 2;
    uint8_t *data = b->secret ? malloc(cap) : realloc(b->data, cap);
    if (!data) {
        b->failed = true;
        return false;
    }
    if (b->secret) { /* realloc() would leave a copy behind */
        if (b->len)
            memcpy(data, b->data, b->len);
        release(b);
    }
    b->data = data;
    b->cap = cap;
    return true;
}

void buf_append(struct buf *b, const void *bytes, size_t len)
{
    if (!len || !reserve(b, len))
        return;
    memcpy(b->data + b->len, bytes, len);
    b->len += len;
    b->data[b->len] = 0;
}

void buf_text(struct buf *b, const char *text)
{
    buf_append(b, text, strlen(text));
}

void buf_printf(struct buf *b, const char *format, ...)
{
    va_list args, again;
    va_start(args, format);
    va_copy(again, args);
    int len = vsnprintf(NULL, 0, format, args);
    if (len < 0) {
        b->failed = true;
    } else if (reserve(b, (size_t)len)) {
        vsnprintf((char *)b->data + b->len, (size_t)len + 1, format, again);
        b->len += (size_t)len;
    }
    va_end(again);
    va_end(args);
}

/* The length of the well-formed UTF-8 sequence at text, 0 if there is none (RFC 3629: no surrogates, no
 * overlong forms, nothing past U+10FFFF). */
static size_t utf8_sequence(const uint8_t *text, size_t len)
{
    if (text[0] < 0x80)
        return 1;
    size_t need = text[0] >= 0xf0 ? 4 : text[0] >= 0xe0 ? 3 : 2;
    if (text[0] < 0xc2 || text[0] > 0xf4 || len < need)
        return 0;
    for (size_t i = 1; i < need; i++)
        if ((text[i] & 0xc0) != 0x80)
            return 0;
    if ((text[0] == 0xe0 && text[1] < 0xa0) || (text[0] == 0xed && text[1] > 0x9f) ||
        (text[0] == 0xf0 && text[1] < 0x90) || (text[0] == 0xf4 && text[1] > 0x8f))
        return 0;
    return need;
}

static size_t escape_one(struct buf *b, const uint8_t *at, size_t left)
{
    size_t run = utf8_sequence(at, left);
    if (run == 0) {
        buf_text(b, "\xef\xbf\xbd");
        return 1;
    }
    if (*at == '"' || *at == '\\')
        buf_printf(b, "\\%c", *at);
    else if (*at == '\n')
        buf_text(b, "\\n");
    else if (*at < 0x20 || *at == 0x7f)
        buf_printf(b, "\\u%04x", *at);
    else
        buf_append(b, at, run);
    return run;
}

void buf_json_escape(struct buf *b, const char *text, size_t len)
{
    const uint8_t *at = (const uint8_t *)text;
    for (size_t i = 0; i < len && !b->failed;)
        i += escape_one(b, at + i, len - i);
}

void buf_utf8(struct buf *b, const char *text, size_t len)
{
    const uint8_t *at = (const uint8_t *)text;
    for (size_t i = 0; i < len && !b->failed;) {
        size_t run = utf8_sequence(at + i, len - i);
        if (run)
            buf_append(b, at + i, run);
        else
            buf_text(b, "\xef\xbf\xbd");
        i += run ? run : 1;
    }
}

bool buf_is_utf8(const char *text, size_t len)
{
    const uint8_t *at = (const uint8_t *)text;
    for (size_t i = 0; i < len;) {
        size_t run = utf8_sequence(at + i, len - i);
        if (run == 0)
            return false;
        i += run;
    }
    return true;
}

char *buf_take(struct buf *b, size_t *len)
{
    char *data = NULL;
    if (!b->failed && reserve(b, 0)) {
        data = (char *)b->data;
        data[b->len] = 0;
        if (len)
            *len = b->len;
        b->data = NULL;
    }
    size_t max_bytes = b->max_bytes;
    buf_fini(b);
    b->max_bytes = max_bytes;
    return data;
}

const char *buf_peek(const struct buf *b)
{
    return b->data ? (const char *)b->data : "";
}
