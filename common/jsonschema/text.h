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
/* A key as a token of a JSON pointer: ~ and / escaped. A NUL, which would end the text, becomes \u0000. */
void js_text_pointer(struct js_text *t, const char *s, size_t n);
/* For people: at most max bytes, cut at a whole character, controls and the characters of escaped escaped. */
void js_text_shown(struct js_text *t, const char *s, size_t n, size_t max, const char *escaped);
void js_text_end(struct js_text *t);

#endif
