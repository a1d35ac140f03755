/* Regular expressions, by PCRE2, with limits that keep a pattern from hanging whoever runs it. */
#ifndef PB_REGEX_H
#define PB_REGEX_H

#include "common/err.h"

#include <stdbool.h>
#include <stddef.h>

/* UTF-8, unanchored, as in JSON Schema's "pattern". *out is freed by regex_free(). */
pb_err regex_compile(const char *pattern, void **out, char *reason, size_t reason_size) PB_CHECKED;
void regex_free(void *regex);
/* PB_OK: matches. PB_E_NOT_FOUND: does not. PB_E_LIMIT: too much work to tell. Any thread. */
pb_err regex_match(const void *regex, const char *text, size_t len) PB_CHECKED;

#endif
