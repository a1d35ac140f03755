/* Refusals as RFC 9457 problem documents. What a code means (status, title, when to come back) is one table.
 */
#ifndef PB_HTTP_PROBLEM_H
#define PB_HTTP_PROBLEM_H

#include "common/err.h"
#include "common/fields.h"

#include <jansson.h>

#define PROBLEM_TYPE "application/problem+json"

struct problem_kind {
    const char *code;
    int status;
    const char *title;
    int retry_after_seconds; /* 0: trying again as it is does not help */
};

/* By code. What is not in the table is a result code of a connection test: 422. Never NULL. */
const struct problem_kind *problem_kind(const char *code);
/* The code for an error of the store, the reader or the intake: "busy", "store_unavailable", ... */
const char *problem_code(pb_err err);

struct problem {
    const char *code;
    const char *detail; /* what is wrong and what to do */
    const struct fields_fault *faults;
    size_t fault_count;
    json_t *result; /* of the connection test; lent; NULL: none */
};

/* {type, title, status, code, detail, errors?, result?}. New reference, NULL without memory. Text that is not
 * UTF-8 is mended. */
json_t *problem_json(const struct problem *p);

#endif
