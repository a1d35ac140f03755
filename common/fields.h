/* Checks credentials against a manifest's credentialSchema. One function, run by whoever holds the plaintext:
 * the broker on arrival, and always again the worker. */
#ifndef PB_FIELDS_H
#define PB_FIELDS_H

#include "common/manifest.h"
#include "common/seal.h"

#define FIELDS_FAULTS_MAX 16

struct fields_fault {
    char pointer[96];  /* RFC 6901, e.g. "/credentials/apiKey" */
    char message[256]; /* never contains a value */
};

struct fields_report {
    struct fields_fault faults[FIELDS_FAULTS_MAX];
    size_t count; /* 0: all is well */
};

/* From a request's JSON object (field -> string). Every fault of shape goes to report: not an object, a value
 * that is not a string, too long, with a NUL, CR or LF. *out holds the strings (and is empty when there are
 * faults). */
pb_err fields_from_json(const json_t *object, struct credentials *out,
                        struct fields_report *report) PB_CHECKED;

/* Fills in defaults, then: unknown names (with the nearest known one: "did you mean apiKey?"), missing
 * required ones (those not hidden by visibleWhen), pattern, format, options. */
pb_err fields_check(const struct manifest *m, struct credentials *c, struct fields_report *report) PB_CHECKED;

/* The display copy: JSON object of the fields that are not secret (malloc'ed, NULL without memory). */
char *fields_public_json(const struct manifest *m, const struct credentials *c);

#endif
