/* The body of a setup or a test, read and checked, and its credentials sealed to the workers' key. */
#ifndef PB_HTTP_SETUP_H
#define PB_HTTP_SETUP_H

#include "common/fields.h"
#include "common/job.h"
#include "common/manifest.h"
#include "common/seal.h"

struct setup {
    const struct manifest *manifest;
    const char *name; /* the body's */
    struct credentials credentials;
};

/* From {type, name, credentials}. Every fault goes to report, and *out is written only when there are none.
 * The credentials are the caller's to fini. */
pb_err setup_read(const struct manifests *types, const json_t *body, struct setup *out,
                  struct fields_report *report) PB_CHECKED;

/* From {type, credentials}: name is "". */
pb_err setup_read_test(const struct manifests *types, const json_t *body, struct setup *out,
                       struct fields_report *report) PB_CHECKED;
/* The same members within a larger object, whose other members are the caller's business. */
pb_err setup_read_members(const struct manifests *types, const json_t *body, bool named, struct setup *out,
                          struct fields_report *report) PB_CHECKED;

/* Makes the job's payload; tenant, type and integration are set. Takes about 0.2 ms. */
pb_err setup_seal(const uint8_t key[SEAL_PUBLIC_BYTES], const struct setup *s, struct job *job) PB_CHECKED;

struct http_request;
/* Has a worker told its key? If none has, the request was refused. */
bool setup_can_seal(struct http_request *r);

#endif
