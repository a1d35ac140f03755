/* A binary heap of numbered items by time, the earliest first. The items stay with their owner, who tells
 * each one's time and keeps its place, so that any of them can be taken out. Four bytes an item. One thread.
 */
#ifndef PB_HEAP_H
#define PB_HEAP_H

#include "common/err.h"

#include <stddef.h>
#include <stdint.h>

#define HEAP_NOWHERE UINT32_MAX

struct heap {
    uint64_t (*time)(const void *owner, uint32_t item); /* must not change while the item is in the heap */
    uint32_t *(*place)(void *owner, uint32_t item);     /* where the heap notes the item's place */
    void *owner;
    uint32_t *items;
    size_t count, capacity;
};

void heap_fini(struct heap *h);
/* Makes room for so many items in all: heap_put() cannot fail up to there. */
pb_err heap_reserve(struct heap *h, size_t count) PB_CHECKED;
void heap_put(struct heap *h, uint32_t item);
/* The item must be in the heap; its place is HEAP_NOWHERE then. */
void heap_remove(struct heap *h, uint32_t item);
/* The first item's time; UINT64_MAX: the heap is empty. */
uint64_t heap_due(const struct heap *h);

#endif
