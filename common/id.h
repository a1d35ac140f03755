/* Ids: UUID version 7 (RFC 9562, section 5.7), so that they sort by the time they were made. As text they are
 * a prefix that says of what, and 32 lower-case hex digits: "int_0193b0c4d5e67f808a9bacbdcedfe0f1". */
#ifndef PB_ID_H
#define PB_ID_H

#include "common/err.h"

#include <stdbool.h>
#include <stdint.h>

struct pb_id {
    uint8_t bytes[16];
};

#define ID_INTEGRATION "int_"
#define ID_JOB         "job_"
#define ID_WORKER      "wrk_"
#define ID_BATCH       "bat_"
#define ID_TEXT_BYTES  40 /* the longest prefix, 32 digits, NUL */

void id_new(struct pb_id *out, int64_t wall_ms); /* thread-safe; needs sodium_init() */

/* Ids that sort in the order they were made in, also within one millisecond (RFC 9562, section 6.2, method
 * 1). Zeroed before; one thread. The time never goes back, and runs ahead where 4,096 in a millisecond do not
 * do. */
struct id_series {
    int64_t ms;
    uint32_t n; /* made in that millisecond */
};
void id_next(struct id_series *s, int64_t wall_ms, struct pb_id *out);

void id_text(const struct pb_id *id, const char *prefix, char out[ID_TEXT_BYTES]);
pb_err id_parse(const char *text, const char *prefix, struct pb_id *out) PB_CHECKED;
uint64_t id_ms(const struct pb_id *id);   /* when it was made, wall clock */
struct pb_id id_last_of(int64_t wall_ms); /* none made then or before comes after it */
bool id_equal(const struct pb_id *a, const struct pb_id *b);
bool id_is_nil(const struct pb_id *id);

#endif
