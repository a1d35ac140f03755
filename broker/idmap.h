/* A map from id to a 32-bit number: open addressing with linear probing, 20 bytes an entry at a load of at
 * most 3/4. For the board, whose jobs are too many for a node each. One thread. */
#ifndef PB_IDMAP_H
#define PB_IDMAP_H

#include "common/err.h"
#include "common/id.h"

#include <stddef.h>
#include <stdint.h>

#define IDMAP_NONE UINT32_MAX

struct idmap {
    struct idmap_entry *entries;
    size_t capacity, count; /* capacity is 0 or a power of two */
};

void idmap_fini(struct idmap *m);
uint32_t idmap_get(const struct idmap *m, const struct pb_id *key); /* IDMAP_NONE: not there */
/* Adds or replaces; value is not IDMAP_NONE. PB_E_MEMORY leaves the map as it was. */
pb_err idmap_put(struct idmap *m, const struct pb_id *key, uint32_t value) PB_CHECKED;
void idmap_remove(struct idmap *m, const struct pb_id *key);

#endif
