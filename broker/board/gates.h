/* Gates: what keeps jobs waiting that could run. One for each tenant, type, host and kind that has jobs, or
 * that somebody has set: it is open, or closed because it is paused, at its concurrency limit or out of
 * tokens. Part of lines.c.
 *
 * Tokens are the generic cell rate algorithm (virtual scheduling): a gate keeps the time at which it would
 * have let through all that it did at its steady rate; it lets one more through while that is no more than a
 * burst ahead of now. No timer, no fractions. */
#ifndef PB_GATES_H
#define PB_GATES_H

#include "broker/board/heap.h"
#include "broker/board/index.h"
#include "broker/board/turns.h"
#include "common/err.h"

#include <stdbool.h>
#include <stdint.h>

enum board_key { KEY_TENANT, KEY_TYPE, KEY_HOST, KEY_KIND, KEYS };

/* What one gate lets through. Zeros: no limit. */
struct board_limit {
    uint32_t interval_us; /* one start in so many microseconds, on average */
    uint32_t burst;       /* so many at once after a pause; 0 is 1 */
    uint32_t concurrency; /* attempts under way */
    uint32_t jobs_max;    /* on the board; of a tenant */
    uint32_t weight;      /* turns of a tenant in a round; 0 is 1 */
};

struct gate {
    uint64_t name;
    enum board_key key;
    bool paused, pinned; /* pinned: its limit was set from outside */
    bool looked_at;      /* is in the list of gates to be looked at */
    uint32_t next;       /* in that list; free: in the list of free ones */
    uint32_t heap_at;    /* until it opens by itself, or can be forgotten */
    uint32_t lines, jobs, running;
    uint64_t opens_ms; /* what it stands in the heap for */
    uint64_t virtual_us;
    struct board_limit limit;
    struct turns waiting;
};

struct gates {
    struct gate *items;
    size_t capacity, used;
    uint32_t free_head, look; /* look: head of the list of gates to be looked at */
    struct index by_name;
    struct heap opening; /* gates that something happens to with time alone */
    struct board_limit defaults[KEYS];
    uint64_t now_ms; /* the latest that was said */
};

void gates_init(struct gates *g, const struct board_limit defaults[KEYS]);
void gates_fini(struct gates *g);

static inline struct gate *gates_at(const struct gates *g, uint32_t i)
{
    return &g->items[i];
}

/* The gate of that name, made if need be. Pointers to gates are good until the next one is made. */
pb_err gates_need(struct gates *g, enum board_key key, uint64_t name, uint32_t *out) PB_CHECKED;
/* Forgets it, if nobody stands in its lines, nobody has set it, and its tokens are all back. */
void gates_drop(struct gates *g, uint32_t i);
void gates_set_limit(struct gates *g, uint32_t i, const struct board_limit *limit);

/* How many more attempts the gate lets through now. */
uint64_t gate_room(const struct gate *gate, uint64_t now_ms);
void gates_pass(struct gates *g, uint32_t i, uint64_t now_ms);

/* Something has changed: who waits at it may have room. */
void gates_look_again(struct gates *g, uint32_t i);
/* The same for those that have opened with time. */
void gates_open_due(struct gates *g, uint64_t now_ms);
/* The next gate to be looked at, or NONE. */
uint32_t gates_take_look(struct gates *g);
/* Who still waits at a gate that has given what room it had waits for its time, if it has one. */
void gates_await(struct gates *g, uint32_t i);

uint64_t gates_due_ms(const struct gates *g);
size_t gates_bytes(const struct gates *g);

#endif
