/* Regular expressions as ECMA-262 writes them (with its u flag), on PCRE2. */
#ifndef JS_PATTERN_H
#define JS_PATTERN_H

#include "common/err.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct js_pattern;
struct js_matcher; /* the scratch memory of one thread */

/* reason gets a sentence. PB_E_INVALID: not ECMA-262; PB_E_LIMIT: too large; PB_E_UNSUPPORTED: PCRE2 cannot.
 */
pb_err js_pattern_new(const char *source, size_t len, struct js_pattern **out, char *reason,
                      size_t reason_size) PB_CHECKED;
void js_pattern_free(struct js_pattern *p);
size_t js_pattern_memory(const struct js_pattern *p); /* in bytes */

struct js_matcher *js_matcher_new(void);
void js_matcher_free(struct js_matcher *m);
/* PB_OK: matches somewhere. PB_E_NOT_FOUND. PB_E_LIMIT: too much work to tell. text is UTF-8. Takes from
 * *fuel, little for most and much for what has to try a lot. */
pb_err js_pattern_match(const struct js_pattern *p, struct js_matcher *m, const char *text, size_t len,
                        int64_t *fuel) PB_CHECKED;

/* Whether a text is a valid pattern, by the letter: the format "regex". Patterns of schemas may also have a
 * lone {, } or ] and needless escapes, which ECMA-262 allows without the u flag and people write. */
bool js_pattern_valid(const char *source, size_t len);

#endif
