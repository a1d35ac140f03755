/* Payloads of an event checked against its schema, and the answer as jobs and the API have it, a line each:
 *
 *   {"isValid":true,"errors":[]}
 *   {"isValid":false,"errors":[{"instanceLocation":"/data/amount","keywordLocation":"/properties/...",
 *    "absoluteKeywordLocation":"package://...","message":"..."}],"truncated":true}
 *
 * What is no JSON has one error that says where it breaks off; what took more work than the engine spends on
 * one document has one that says so. Neither is valid. A checker is one thread's; the compiled schemas may be
 * shared. A check blocks for as long as it takes: microseconds as a rule, at worst some tenths of a second.
 */
#ifndef PB_EVENT_CHECK_H
#define PB_EVENT_CHECK_H

#include "common/buf.h"
#include "common/err.h"
#include "common/jsonschema/jsonschema.h"

#include <stdbool.h>
#include <stddef.h>

#define EVENT_ANSWER_MIN 512 /* bytes that any answer can be cut down to */

struct event_checker;

struct event_checker *event_checker_new(void); /* NULL: no memory */
void event_checker_free(struct event_checker *c);

/* Appends the answer for one payload and a newline: at most room bytes (EVENT_ANSWER_MIN or more), errors
 * that do not fit are left out and "truncated" says so. Only PB_E_MEMORY. */
pb_err event_check(struct event_checker *c, const struct js_schema *schema, const char *text, size_t len,
                   size_t room, struct buf *out) PB_CHECKED;

/* What is left of NDJSON, lent. Lines of nothing but blanks do not count. */
struct event_lines {
    const char *at;
    size_t left;
};
bool event_lines_next(struct event_lines *lines, const char **line, size_t *len);
size_t event_lines_count(struct event_lines lines);

/* The room of the next of count answers that share room bytes. */
size_t event_share(size_t room, size_t count);

#endif
