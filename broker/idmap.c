#include "broker/idmap.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

struct idmap_entry {
    struct pb_id key;
    uint32_t value; /* IDMAP_NONE: free */
};

/* Ids end in 62 random bits, so those are the hash; an id that a client made up can at worst make a probe
 * longer for its own tenant's lane, and job ids are never the client's. */
static size_t home(const struct idmap *m, const struct pb_id *key)
{
    uint64_t tail;
    memcpy(&tail, key->bytes + 8, sizeof tail);
    tail *= UINT64_C(0x9e3779b97f4a7c15);
    return (size_t)(tail >> 20) & (m->capacity - 1);
}

/* Where key is, or the free place where it would go. */
static size_t probe(const struct idmap *m, const struct pb_id *key)
{
    size_t at = home(m, key);
    while (m->entries[at].value != IDMAP_NONE && !id_equal(&m->entries[at].key, key))
        at = (at + 1) & (m->capacity - 1);
    return at;
}

static pb_err grow(struct idmap *m)
{
    struct idmap bigger = {.capacity = m->capacity ? m->capacity * 2 : 64, .count = m->count};
    bigger.entries = malloc(bigger.capacity * sizeof *bigger.entries);
    if (!bigger.entries)
        return PB_E_MEMORY;
    for (size_t i = 0; i < bigger.capacity; i++)
        bigger.entries[i].value = IDMAP_NONE;
    for (size_t i = 0; i < m->capacity; i++)
        if (m->entries[i].value != IDMAP_NONE)
            bigger.entries[probe(&bigger, &m->entries[i].key)] = m->entries[i];
    free(m->entries);
    *m = bigger;
    return PB_OK;
}

void idmap_fini(struct idmap *m)
{
    free(m->entries);
    *m = (struct idmap){0};
}

uint32_t idmap_get(const struct idmap *m, const struct pb_id *key)
{
    return m->capacity ? m->entries[probe(m, key)].value : IDMAP_NONE;
}

pb_err idmap_put(struct idmap *m, const struct pb_id *key, uint32_t value)
{
    assert(value != IDMAP_NONE);
    if ((m->count + 1) * 4 > m->capacity * 3) {
        pb_err err = grow(m);
        if (err)
            return err;
    }
    struct idmap_entry *e = &m->entries[probe(m, key)];
    m->count += e->value == IDMAP_NONE;
    *e = (struct idmap_entry){*key, value};
    return PB_OK;
}

/* Closes the gap at hole by moving back every later entry of the run that may stand there, so that no
 * tombstones are needed. */
static void close_gap(struct idmap *m, size_t hole)
{
    size_t mask = m->capacity - 1;
    for (size_t at = (hole + 1) & mask; m->entries[at].value != IDMAP_NONE; at = (at + 1) & mask) {
        size_t from_home = (at - home(m, &m->entries[at].key)) & mask;
        if (from_home >= ((at - hole) & mask)) {
            m->entries[hole] = m->entries[at];
            hole = at;
        }
    }
    m->entries[hole].value = IDMAP_NONE;
}

void idmap_remove(struct idmap *m, const struct pb_id *key)
{
    if (!m->capacity)
        return;
    size_t at = probe(m, key);
    if (m->entries[at].value == IDMAP_NONE)
        return;
    m->count--;
    close_gap(m, at);
}
