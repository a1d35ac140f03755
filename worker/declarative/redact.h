/* Takes secrets out of what a provider said: providers echo keys. Pure. */
#ifndef PB_REDACT_H
#define PB_REDACT_H

#include "common/buf.h"
#include "common/manifest.h"
#include "common/seal.h"

#define REDACTED "[redacted]"

/* Shorter values stay: taking them out would say more about them than leaving them in. */
#define REDACT_LEAST_CHARS 3

struct redact;

/* Learns every secret field's value, as it is, percent-encoded and in base64 (both alphabets). */
pb_err redact_new(const struct manifest *m, const struct credentials *c, struct redact **out) PB_CHECKED;
void redact_free(struct redact *r); /* wipes */
/* Learns one more: a header that was made from secrets. */
pb_err redact_add(struct redact *r, const char *value, size_t len) PB_CHECKED;

/* Appends text with every secret in it, whatever its case, replaced; what is more than out can hold is not even
 * looked at: a provider chooses how long its text is, and a long secret takes time to find. */
void redact_text(const struct redact *r, const char *text, size_t len, struct buf *out);

#endif
