/* Copies everything from one store to another, and tells whether two stores hold the same. Blocks; memory
 * does not grow with the stores. Nobody else may write to either meanwhile. */
#ifndef PB_STORE_COPY_H
#define PB_STORE_COPY_H

#include "common/store.h"

enum store_part {
    PART_INTEGRATIONS,
    PART_DELETED, /* what is left of integrations that were deleted */
    PART_JOBS,
    PART_BATCHES,
    PART_SCHEDULES,
    PART_TOKENS,
    PART_META,
    STORE_PARTS,
};
const char *store_part_name(enum store_part part);

/* Of a part: how many, and one hash over all of them, whatever their order. */
struct store_digest {
    struct {
        uint64_t count;
        uint8_t hash[32]; /* BLAKE2b-256 of each one's every field, added up bitwise (exclusive or) */
    } parts[STORE_PARTS];
};
pb_err store_digest(struct store *s, struct store_digest *out, struct pb_why *why) PB_CHECKED;
bool store_digest_is_empty(const struct store_digest *d);

/* to must be empty. PB_E_STORE: one of them failed; to holds a part then. */
pb_err store_copy(struct store *from, struct store *to, struct pb_why *why) PB_CHECKED;

#endif
