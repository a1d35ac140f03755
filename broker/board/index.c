#include "broker/board/index.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

static size_t mask(const struct index *x)
{
    return x->capacity - 1;
}

static void place(uint32_t *cells, size_t in, uint64_t hash, uint32_t item)
{
    size_t at = (size_t)hash & in;
    while (cells[at] != INDEX_NONE)
        at = (at + 1) & in;
    cells[at] = item;
}

static pb_err grow_to(struct index *x, size_t capacity)
{
    uint32_t *cells = malloc(capacity * sizeof *cells);
    if (!cells)
        return PB_E_MEMORY;
    memset(cells, 0xff, capacity * sizeof *cells); /* INDEX_NONE everywhere */
    for (size_t i = 0; i < x->capacity; i++)
        if (x->cells[i] != INDEX_NONE)
            place(cells, capacity - 1, x->hash(x->owner, x->cells[i]), x->cells[i]);
    free(x->cells);
    x->cells = cells;
    x->capacity = capacity;
    return PB_OK;
}

void index_fini(struct index *x)
{
    free(x->cells);
    x->cells = NULL;
    x->capacity = x->count = 0;
}

uint32_t index_get(const struct index *x, uint64_t hash, const void *key)
{
    if (!x->capacity)
        return INDEX_NONE;
    size_t at = (size_t)hash & mask(x);
    while (x->cells[at] != INDEX_NONE && !x->is(x->owner, x->cells[at], key))
        at = (at + 1) & mask(x);
    return x->cells[at];
}

pb_err index_reserve(struct index *x, size_t count)
{
    size_t capacity = x->capacity ? x->capacity : 64;
    while (count * 4 > capacity * 3)
        capacity *= 2;
    return capacity > x->capacity ? grow_to(x, capacity) : PB_OK;
}

pb_err index_add(struct index *x, uint64_t hash, uint32_t item)
{
    assert(item != INDEX_NONE);
    pb_err err = index_reserve(x, x->count + 1);
    if (err)
        return err;
    place(x->cells, mask(x), hash, item);
    x->count++;
    return PB_OK;
}

static size_t cell_of(const struct index *x, uint64_t hash, uint32_t item)
{
    size_t at = (size_t)hash & mask(x);
    while (x->cells[at] != item) {
        assert(x->cells[at] != INDEX_NONE);
        at = (at + 1) & mask(x);
    }
    return at;
}

void index_replace(struct index *x, uint64_t hash, uint32_t old, uint32_t item)
{
    x->cells[cell_of(x, hash, old)] = item;
}

/* Closes the gap by moving back every later item of the run that may stand there, so that no tombstones are
 * needed. */
void index_remove(struct index *x, uint64_t hash, uint32_t item)
{
    size_t hole = cell_of(x, hash, item), in = mask(x);
    for (size_t at = (hole + 1) & in; x->cells[at] != INDEX_NONE; at = (at + 1) & in) {
        size_t from_home = (at - (size_t)x->hash(x->owner, x->cells[at])) & in;
        if (from_home >= ((at - hole) & in)) {
            x->cells[hole] = x->cells[at];
            hole = at;
        }
    }
    x->cells[hole] = INDEX_NONE;
    x->count--;
}
