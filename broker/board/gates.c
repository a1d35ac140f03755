#include "broker/board/gates.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

/* -- by name -- */

struct gate_name {
    enum board_key key;
    uint64_t name;
};

static uint64_t hash_name(enum board_key key, uint64_t name)
{
    return index_mix(name + (uint64_t)key);
}

static uint64_t hash_gate(const void *owner, uint32_t item)
{
    const struct gates *g = owner;
    return hash_name(g->items[item].key, g->items[item].name);
}

static bool is_gate(const void *owner, uint32_t item, const void *key)
{
    const struct gates *g = owner;
    const struct gate_name *n = key;
    return g->items[item].key == n->key && g->items[item].name == n->name;
}

static uint64_t opening_ms(const void *owner, uint32_t item)
{
    const struct gates *g = owner;
    return g->items[item].opens_ms;
}

static uint32_t *opening_at(void *owner, uint32_t item)
{
    struct gates *g = owner;
    return &g->items[item].heap_at;
}

void gates_init(struct gates *g, const struct board_limit defaults[KEYS])
{
    *g = (struct gates){.free_head = NONE, .look = NONE};
    memcpy(g->defaults, defaults, sizeof g->defaults);
    g->by_name = (struct index){.hash = hash_gate, .is = is_gate, .owner = g};
    g->opening = (struct heap){.time = opening_ms, .place = opening_at, .owner = g};
}

void gates_fini(struct gates *g)
{
    index_fini(&g->by_name);
    heap_fini(&g->opening);
    free(g->items);
}

static pb_err grow(struct gates *g)
{
    if (g->free_head != NONE || g->used < g->capacity)
        return PB_OK;
    size_t capacity = g->capacity ? g->capacity * 2 : 64;
    struct gate *items = realloc(g->items, capacity * sizeof *items);
    if (!items)
        return PB_E_MEMORY;
    g->items = items;
    g->capacity = capacity;
    return PB_OK;
}

static pb_err new_gate(struct gates *g, enum board_key key, uint64_t name, uint32_t *out)
{
    if (grow(g) != PB_OK || heap_reserve(&g->opening, g->capacity) != PB_OK)
        return PB_E_MEMORY;
    uint32_t i = g->free_head != NONE ? g->free_head : (uint32_t)g->used;
    pb_err err = index_add(&g->by_name, hash_name(key, name), i);
    if (err)
        return err;
    if (i == g->free_head)
        g->free_head = g->items[i].next;
    else
        g->used++;
    g->items[i] = (struct gate){.name = name, .key = key, .heap_at = HEAP_NOWHERE, .limit = g->defaults[key]};
    turns_init(&g->items[i].waiting, i + 1);
    *out = i;
    return PB_OK;
}

pb_err gates_need(struct gates *g, enum board_key key, uint64_t name, uint32_t *out)
{
    const struct gate_name n = {key, name};
    uint32_t i = index_get(&g->by_name, hash_name(key, name), &n);
    if (i == NONE)
        return new_gate(g, key, name, out);
    *out = i;
    return PB_OK;
}

/* -- tokens -- */

static uint64_t burst_us(const struct gate *gate)
{
    return (uint64_t)gate->limit.interval_us * (gate->limit.burst ? gate->limit.burst : 1);
}

static uint64_t tokens(const struct gate *gate, uint64_t now_us)
{
    uint64_t ahead_us = gate->virtual_us > now_us ? gate->virtual_us - now_us : 0;
    return ahead_us < burst_us(gate) ? (burst_us(gate) - ahead_us) / gate->limit.interval_us : 0;
}

uint64_t gate_room(const struct gate *gate, uint64_t now_ms)
{
    const struct board_limit *limit = &gate->limit;
    uint64_t n = gate->paused ? 0 : UINT64_MAX;
    if (n && limit->concurrency)
        n = limit->concurrency > gate->running ? limit->concurrency - gate->running : 0;
    if (n && limit->interval_us) {
        uint64_t some = tokens(gate, now_ms * 1000);
        n = some < n ? some : n;
    }
    return n;
}

void gates_pass(struct gates *g, uint32_t i, uint64_t now_ms)
{
    struct gate *gate = &g->items[i];
    uint64_t now_us = now_ms * 1000;
    g->now_ms = now_ms;
    gate->running++;
    if (gate->limit.interval_us)
        gate->virtual_us = (gate->virtual_us > now_us ? gate->virtual_us : now_us) + gate->limit.interval_us;
}

/* -- time -- */

static void stand_in_heap(struct gates *g, uint32_t i, uint64_t at_ms)
{
    if (g->items[i].heap_at != HEAP_NOWHERE)
        heap_remove(&g->opening, i);
    g->items[i].opens_ms = at_ms;
    if (at_ms != UINT64_MAX)
        heap_put(&g->opening, i);
}

/* When it opens by time alone; UINT64_MAX: something else must happen. */
static uint64_t opens_ms(const struct gate *gate)
{
    bool full = gate->limit.concurrency && gate->running >= gate->limit.concurrency;
    if (gate->paused || full || !gate->limit.interval_us)
        return UINT64_MAX;
    uint64_t next_us = gate->virtual_us + gate->limit.interval_us, burst = burst_us(gate);
    return next_us > burst ? (next_us - burst + 999) / 1000 : 0;
}

void gates_await(struct gates *g, uint32_t i)
{
    stand_in_heap(g, i, g->items[i].waiting.count ? opens_ms(&g->items[i]) : UINT64_MAX);
}

/* A rate holds over jobs that come one at a time: a gate is not forgotten while tokens are out. */
void gates_drop(struct gates *g, uint32_t i)
{
    struct gate *gate = &g->items[i];
    if (gate->lines || gate->running || gate->pinned || gate->paused || gate->looked_at)
        return;
    if (gate->limit.interval_us && gate->virtual_us > g->now_ms * 1000) {
        stand_in_heap(g, i, (gate->virtual_us + 999) / 1000);
        return;
    }
    stand_in_heap(g, i, UINT64_MAX);
    index_remove(&g->by_name, hash_gate(g, i), i);
    gate->next = g->free_head;
    g->free_head = i;
}

void gates_set_limit(struct gates *g, uint32_t i, const struct board_limit *limit)
{
    if (memcmp(&g->items[i].limit, limit, sizeof *limit) == 0)
        return;
    g->items[i].limit = *limit;
    gates_look_again(g, i);
}

/* -- who is to be looked at -- */

void gates_look_again(struct gates *g, uint32_t i)
{
    struct gate *gate = &g->items[i];
    if (gate->looked_at || gate->waiting.count == 0)
        return;
    gate->looked_at = true;
    gate->next = g->look;
    g->look = i;
}

void gates_open_due(struct gates *g, uint64_t now_ms)
{
    g->now_ms = now_ms;
    while (heap_due(&g->opening) <= now_ms) {
        uint32_t i = g->opening.items[0];
        heap_remove(&g->opening, i);
        gates_look_again(g, i);
        gates_drop(g, i);
    }
}

uint32_t gates_take_look(struct gates *g)
{
    uint32_t i = g->look;
    if (i == NONE)
        return NONE;
    g->look = g->items[i].next;
    g->items[i].looked_at = false;
    return i;
}

uint64_t gates_due_ms(const struct gates *g)
{
    return g->look != NONE ? 0 : heap_due(&g->opening);
}

size_t gates_bytes(const struct gates *g)
{
    return g->capacity * sizeof *g->items + (g->by_name.capacity + g->opening.capacity) * sizeof(uint32_t);
}
