/* A secret value: bytes that no format string can print and that are wiped before their memory is given back.
 */
#ifndef PB_SECRET_H
#define PB_SECRET_H

#include "common/err.h"

#include <stddef.h>

struct secret {
    char *data; /* followed by a NUL byte that len does not count */
    size_t len;
};

pb_err secret_set(struct secret *s, const void *bytes,
                  size_t len) PB_CHECKED; /* copies; wipes what was there */
void secret_fini(struct secret *s);       /* wipes; accepts a zeroed one */
/* Turns core dumps and debugger attachment off for this process. */
void secret_harden_process(void);

#endif
