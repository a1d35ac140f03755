/* Answers of the broker as text for a person: what went well, what did not, and what to do about it. Pure. */
#ifndef PB_CLIENT_ANSWER_H
#define PB_CLIENT_ANSWER_H

#include "common/buf.h"

#include <jansson.h>
#include <stdbool.h>

#define ANSWER_TEXT_BYTES (256 * 1024)

/* "no  invalid_credentials: Invalid API Key provided (HTTP 401)", a line for each field at fault, and one
 * that says what to do. body may be no problem document, or NULL: then the status has to do. */
void answer_problem(const json_t *body, int status, bool color, struct buf *out);

/* A connection test's result: "ok  connected to acct_1 (Acme), 214 ms", or "no  ..." as above. */
void answer_result(const json_t *result, bool color, struct buf *out);
/* Did it pass? A result of class "none" (nothing could be tested) is no failure. */
bool answer_passed(const json_t *result);

/* An event's check, {isValid, errors}: "ok  NAME", or "no  NAME" with a line for each error and the place in
 * the schema that it comes from. */
void answer_check(const json_t *check, const char *name, bool color, struct buf *out);

#endif
