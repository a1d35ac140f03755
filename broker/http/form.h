/* Bodies of requests: taken as JSON, then read member by member. What is wrong goes to a report, each fault
 * with its place, so that a caller learns of all of them at once. All but the last two functions are pure. */
#ifndef PB_HTTP_FORM_H
#define PB_HTTP_FORM_H

#include "common/fields.h"

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

/* Adds a fault at "/member", or at the whole ("") for an empty member. */
void form_fault(struct fields_report *report, const char *member, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
/* Adds from's faults, which stand below a member ("": below none). */
void form_add(struct fields_report *to, const char *member, const struct fields_report *from);

/* Faults members that are not among known (up to a NULL): with the nearest one, or with what, such as "a
 * setup has type, name and credentials". */
void form_check_known(const json_t *object, const char *const *known, const char *what,
                      struct fields_report *report);

/* Each of these reads one member, and leaves *out alone where it is absent or at fault. */
const char *form_text(const json_t *object, const char *member, bool required, struct fields_report *report);
bool form_integer(const json_t *object, const char *member, int64_t min, int64_t max, int64_t *out,
                  struct fields_report *report);
/* Seconds, with a fraction if need be, from 0 to max; as milliseconds. */
bool form_seconds(const json_t *object, const char *member, int64_t max, int64_t *out_ms,
                  struct fields_report *report);
/* A time of RFC 3339, section 5.6; one up to 1970 gives 1, for 0 stands for none. */
bool form_time(const json_t *object, const char *member, int64_t *out_ms, struct fields_report *report);
/* One of names (up to a NULL): its place. */
bool form_choice(const json_t *object, const char *member, const char *const *names, size_t *out,
                 struct fields_report *report);

/* The text of a time; false: it is none. */
bool form_parse_time(const char *text, int64_t *out_ms);

/* -- with a request -- */

struct http_request;

/* The request's body, which must be declared as JSON; it is wiped as soon as it is read. Other than PB_OK:
 * the request was refused. */
pb_err form_read(struct http_request *r, json_t **out) PB_CHECKED;
/* 422 with every fault of the report. */
void form_refuse(struct http_request *r, const struct fields_report *report);

#endif
