/* The Integration record: one configured instance of a type. It is what the store keeps, what a worker
 * writes, and (without its credentials) what the API shows. Three forms: this struct, msgpack between broker
 * and worker (schemas/messages.md), JSON in answers (schemas/integration.schema.json). */
#ifndef PB_INTEGRATION_H
#define PB_INTEGRATION_H

#include "common/buf.h"
#include "common/err.h"
#include "common/id.h"
#include "common/limits.h"
#include "common/seal.h"

#include <jansson.h>
#include <stdint.h>

enum integration_status { STATUS_ACTIVE = 1, STATUS_INACTIVE = 2, STATUS_ERROR = 3 };
enum integration_health { HEALTH_OK = 1, HEALTH_DEGRADED = 2, HEALTH_UNKNOWN = 3 };

/* Zeroed is empty. Strings are owned; NULL where there is none. Times are wall-clock ms, 0 for "never". */
struct integration {
    struct pb_id id;
    char *tenant, *name, *type;
    enum integration_status status;
    enum integration_health health;
    struct seal_box credentials;
    char *fields;           /* JSON object: display copy of the fields that are not secret */
    char *supported_events; /* JSON array of {eventType, schemaReference, description} */
    char *result;           /* JSON object: the newest test's result, see common/result.h */
    char *account_id, *account_label;
    char *host; /* the provider host that was tested */
    char *manifest_version, *manifest_hash;
    uint32_t failures; /* tests failed in a row */
    int64_t first_failed_at_ms, suspect_since_ms, last_validated_ms, next_validation_ms;
    int64_t created_at_ms, updated_at_ms;
    int64_t generation; /* rises with every change of credentials */
    int64_t revision;   /* rises with every write */
    uint64_t fence;     /* of the attempt that wrote it last */
};

void integration_fini(struct integration *in);
/* Deep copy. */
pb_err integration_copy(const struct integration *from, struct integration *to) PB_CHECKED;

/* The whole record as one msgpack map, appended to out; and back. unpack checks every length and number. */
pb_err integration_pack(const struct integration *in, struct buf *out) PB_CHECKED;
pb_err integration_unpack(const uint8_t *bytes, size_t len, struct integration *out) PB_CHECKED;

/* As API answers show it: no credentials, no fence. A new reference, NULL without memory. */
json_t *integration_json(const struct integration *in);

const char *integration_status_name(enum integration_status status); /* NULL for no such */
const char *integration_health_name(enum integration_health health);
pb_err integration_status_parse(const char *name, enum integration_status *out) PB_CHECKED;
pb_err integration_health_parse(const char *name, enum integration_health *out) PB_CHECKED;

#endif
