/* An index of numbered items by whatever names them: open addressing with linear probing, four bytes a cell,
 * at most three quarters full. The items stay with their owner, who says how they are hashed and compared.
 * For the board, whose jobs are too many for a node each. One thread. */
#ifndef PB_INDEX_H
#define PB_INDEX_H

#include "common/err.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define INDEX_NONE UINT32_MAX

struct index {
    uint64_t (*hash)(const void *owner, uint32_t item); /* of an item that is in the index */
    bool (*is)(const void *owner, uint32_t item, const void *key);
    const void *owner;
    uint32_t *cells;
    size_t capacity, count; /* capacity is 0 or a power of two */
};

void index_fini(struct index *x);
/* The item that key names, or INDEX_NONE. */
uint32_t index_get(const struct index *x, uint64_t hash, const void *key);
/* Makes room for so many items in all: index_add() cannot fail up to there. */
pb_err index_reserve(struct index *x, size_t count) PB_CHECKED;
/* Adds an item whose key is not there yet. PB_E_MEMORY leaves the index as it was. */
pb_err index_add(struct index *x, uint64_t hash, uint32_t item) PB_CHECKED;
/* Puts another item in the place of one that has the same hash and is there. */
void index_replace(struct index *x, uint64_t hash, uint32_t old, uint32_t item);
/* The item must be there. */
void index_remove(struct index *x, uint64_t hash, uint32_t item);

/* Of 64 bits that are already near random: a multiply and a fold. */
static inline uint64_t index_mix(uint64_t bits)
{
    bits *= UINT64_C(0x9e3779b97f4a7c15);
    return bits ^ (bits >> 32);
}

#endif
