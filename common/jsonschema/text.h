/* Text built up in memory of a fixed size: what does not fit is left out. */
#ifndef JS_TEXT_H
#define JS_TEXT_H

#include <stddef.h>

struct js_text {
    char *at;
    size_t len, size; /* size counts the NUL that js_text_end() writes */
};

/* Of printf: %s, %.*s, %c, %u and %lld, nothing else. Errors are made of dozens of small pieces, and printf
 * took a third of the time that listing them took. */
void js_text_add(struct js_text *t, const char *format, ...) __attribute__((format(printf, 2, 3)));
void js_text_bytes(struct js_text *t, const char *s, size_t n);
/* A key as a token of a JSON pointer: ~ and / escaped. */
void js_text_pointer(struct js_text *t, const char *s, size_t n);
void js_text_end(struct js_text *t);

#endif
