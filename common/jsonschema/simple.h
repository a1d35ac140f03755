/* Patterns that need no regular expression engine: from the start, characters and classes of ASCII with
 * counts, as in ^ch_[A-Za-z0-9]{14,}$. They are matched in one walk without a way back, so no text can make
 * them slow. */
#ifndef JS_SIMPLE_H
#define JS_SIMPLE_H

#include <stdbool.h>
#include <stddef.h>

struct js_simple;

/* NULL: the pattern is none of these, or none at all, or there is no memory. */
struct js_simple *js_simple_new(const char *source, size_t len);
void js_simple_free(struct js_simple *s);
size_t js_simple_memory(const struct js_simple *s);
bool js_simple_match(const struct js_simple *s, const char *text, size_t len);

#endif
