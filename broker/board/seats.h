/* The workers' sessions as the board sees them: a seat each, with the credit it was given and the attempts it
 * holds. Seats that can take work stand in a ring and are asked in turn. Part of the board: same thread. */
#ifndef PB_SEATS_H
#define PB_SEATS_H

#include "broker/board/index.h"
#include "broker/board/slots.h"
#include "common/limits.h"

struct seat {
    uint64_t session; /* 0: free */
    uint64_t sent, received;
    uint64_t running_sum; /* of the fences of what it runs */
    uint32_t free, running;
    struct list slots; /* RUNNING and COMMITTING */
    uint16_t prev, next;
    bool in_ring;
    bool reserved;  /* kept for suspects: gets nothing else, and nothing until it is idle */
    bool alone;     /* runs suspects and nothing else */
    bool solo;      /* was sent one that is marked: its death is charged to that */
    uint32_t level; /* of those suspects: how many deaths they have seen */
};

struct seats {
    struct seat items[LIMIT_SESSIONS];
    size_t used, count; /* seats past used were never taken */
    uint16_t ring;      /* who is asked next; SEAT_NONE: nobody has credit */
    uint16_t free_head; /* linked by next */
    struct index by_session;
};

void seats_init(struct seats *s);
void seats_fini(struct seats *s);
struct seat *seats_find(struct seats *s, uint64_t session); /* NULL: it is gone */
/* The session must be new, and fewer than LIMIT_SESSIONS be seated. NULL: no memory. */
struct seat *seats_join(struct seats *s, uint64_t session);
void seats_leave(struct seats *s, struct seat *seat);
uint16_t seats_number(const struct seats *s, const struct seat *seat);

/* How many attempts more the seat can take. */
uint64_t seat_credit(const struct seat *seat);
static inline bool seat_is_idle(const struct seat *seat)
{
    return seat->running == 0 && seat->received == seat->sent;
}

/* To be called when credit, reserved or alone of a seat have changed. */
void seats_update(struct seats *s, struct seat *seat);
/* A seat with credit, each in its turn; NULL: none. */
struct seat *seats_next(struct seats *s);

#endif
