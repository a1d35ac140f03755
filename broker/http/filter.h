/* What a batch does and to which integrations, as the API takes it. Pure. */
#ifndef PB_HTTP_FILTER_H
#define PB_HTTP_FILTER_H

#include "broker/batches.h"
#include "common/fields.h"
#include "common/manifest.h"

#include <jansson.h>

#define FILTER_PER_SECOND_MAX 100000 /* of a batch's ratePerSecond */

enum filter_use { FILTER_ONCE, FILTER_RECURRING }; /* recurring: without notValidatedSince, a fixed moment */

/* The body's member kind: what a batch does. */
void filter_read_kind(const json_t *body, struct fields_report *report);
/* The body's member filter; none selects all. own: the only tenant that it may select; NULL: any. types NULL:
 * whether there is such a type is not looked up. */
void filter_read(const json_t *body, enum filter_use use, const char *own, const struct manifests *types,
                 struct batch_filter *out, struct fields_report *report);

#endif
