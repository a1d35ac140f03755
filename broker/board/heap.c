#include "broker/board/heap.h"

#include <assert.h>
#include <stdlib.h>

static void set(struct heap *h, size_t at, uint32_t item)
{
    h->items[at] = item;
    *h->place(h->owner, item) = (uint32_t)at;
}

static uint64_t time_at(const struct heap *h, size_t at)
{
    return h->time(h->owner, h->items[at]);
}

static void swap(struct heap *h, size_t x, size_t y)
{
    uint32_t was = h->items[x];
    set(h, x, h->items[y]);
    set(h, y, was);
}

static void up(struct heap *h, size_t at)
{
    for (; at && time_at(h, at) < time_at(h, (at - 1) / 2); at = (at - 1) / 2)
        swap(h, at, (at - 1) / 2);
}

static void down(struct heap *h, size_t at)
{
    for (;;) {
        size_t least = at;
        for (size_t child = 2 * at + 1; child <= 2 * at + 2 && child < h->count; child++)
            if (time_at(h, child) < time_at(h, least))
                least = child;
        if (least == at)
            return;
        swap(h, at, least);
        at = least;
    }
}

void heap_fini(struct heap *h)
{
    free(h->items);
    h->items = NULL;
    h->count = h->capacity = 0;
}

pb_err heap_reserve(struct heap *h, size_t count)
{
    if (count <= h->capacity)
        return PB_OK;
    size_t capacity = h->capacity ? h->capacity + h->capacity / 2 : 64;
    if (capacity < count)
        capacity = count;
    uint32_t *items = realloc(h->items, capacity * sizeof *items);
    if (!items)
        return PB_E_MEMORY;
    h->items = items;
    h->capacity = capacity;
    return PB_OK;
}

void heap_put(struct heap *h, uint32_t item)
{
    assert(h->count < h->capacity);
    set(h, h->count, item);
    up(h, h->count++);
}

void heap_remove(struct heap *h, uint32_t item)
{
    size_t at = *h->place(h->owner, item), last = --h->count;
    assert(at <= last && h->items[at] == item);
    *h->place(h->owner, item) = HEAP_NOWHERE;
    if (at == last)
        return;
    set(h, at, h->items[last]);
    up(h, at);
    down(h, at);
}

uint64_t heap_due(const struct heap *h)
{
    return h->count ? time_at(h, 0) : UINT64_MAX;
}
