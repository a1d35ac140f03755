/* The board's jobs: a slot each, named by its number and found by the job's id, and the lists that slots are
 * linked into. Slots lie in chunks that never move, so that a million more cost no copying. Part of the
 * board: same thread, nothing blocks. */
#ifndef PB_SLOTS_H
#define PB_SLOTS_H

#include "broker/board/index.h"
#include "common/err.h"
#include "common/id.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define NONE       UINT32_MAX
#define SEAT_NONE  UINT16_MAX
#define SLOT_CHUNK 4096

enum slot_state {
    FREE,
    APPENDING,  /* not durable yet */
    READY,      /* in its line */
    BLOCKED,    /* another job of its integration comes first */
    DELAYED,    /* not before due_ms */
    HELD,       /* loaded after a restart: does a worker still have it? */
    RUNNING,    /* with a worker */
    COMMITTING, /* its outcome is being made durable */
    SUSPECT,    /* was with a worker that died: in a group, waiting for a worker of its own */
    MARKING,    /* a suspect about to run alone, which is being written down first */
    SLOT_STATES
};

enum slot_flag {
    SLOT_MEMORY = 1,    /* never stored */
    SLOT_CANCELLED = 2, /* it is not to run (any more) */
    SLOT_EXPIRED = 4,   /* its deadline has passed */
    SLOT_MARKED = 8,    /* the store counts one crash more than we: a run alone has been written down */
    SLOT_IN_LANE = 16,
    SLOT_LOST = 32,     /* of a memory job: its worker is gone */
    SLOT_CHARGED = 64,  /* its newest attempt ran alone, and its worker's death was charged to it */
    SLOT_RETRIED = 128, /* of a memory job: it is tried again as a stored one is */
};

struct slot {
    struct pb_id id, integration;
    uint64_t fence; /* the newest; 0: never dispatched by this broker nor claimed by a worker */
    union {
        uint64_t due_ms;   /* DELAYED; COMMITTING a retry: how long to wait then */
        uint64_t ready_ms; /* READY: since when */
        uint64_t nth;      /* RUNNING: the how-manieth attempt of its session; 0: adopted */
    };
    uint32_t prev, next; /* in a list; BLOCKED: prev is the one before it in its lane */
    uint32_t lane_next;
    union {
        uint32_t heap_at; /* DELAYED */
        uint32_t held_ms; /* HELD: until when; the lower half of the board's clock */
        uint32_t group;   /* SUSPECT, MARKING */
    };
    uint32_t deadline_at; /* place in the heap of deadlines */
    uint32_t deadline_s;  /* of the board's clock; 0: none */
    uint32_t line;
    uint16_t seat;
    uint16_t attempts, max_attempts;
    uint8_t state, flags, crashes;
};

struct list {
    uint32_t head, tail;
};
#define EMPTY_LIST ((struct list){NONE, NONE})

struct slots {
    struct slot **chunks;
    size_t max, used; /* slots past used were never taken */
    uint32_t free_head;
    struct index by_id;
    size_t counts[SLOT_STATES];
};

pb_err slots_init(struct slots *s, size_t max) PB_CHECKED;
void slots_fini(struct slots *s);

static inline struct slot *slot_at(const struct slots *s, uint32_t i)
{
    return &s->chunks[i / SLOT_CHUNK][i % SLOT_CHUNK];
}

/* PB_E_EXISTS: the id is known. PB_E_BUSY: max are taken. The slot's state is APPENDING, all else zero or
 * NONE. */
pb_err slots_take(struct slots *s, const struct pb_id *id, uint32_t *out) PB_CHECKED;
void slots_give(struct slots *s, uint32_t i);
uint32_t slots_find(const struct slots *s, const struct pb_id *id); /* NONE: not there */
void slots_set_state(struct slots *s, uint32_t i, enum slot_state state);

/* Ids end in random bits, so those are the hash. */
uint64_t slots_hash(const struct pb_id *id);

void list_push(const struct slots *s, struct list *l, uint32_t i);
void list_remove(const struct slots *s, struct list *l, uint32_t i);

#endif
