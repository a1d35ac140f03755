/* The body of a setup, read and checked. Pure. */
#ifndef PB_HTTP_SETUP_H
#define PB_HTTP_SETUP_H

#include "common/fields.h"
#include "common/manifest.h"

struct setup {
    const struct manifest *manifest;
    const char *name; /* the body's */
    struct credentials credentials;
};

/* From {type, name, credentials}. Every fault goes to report, and *out is written only when there are none.
 * The credentials are the caller's to fini. */
pb_err setup_read(const struct manifests *types, const json_t *body, struct setup *out,
                  struct fields_report *report) PB_CHECKED;

#endif
