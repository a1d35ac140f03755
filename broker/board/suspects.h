/* What a worker ran when it died. One of these jobs may have killed it, or none; whoever runs them all again
 * would die again. So they wait in groups, and each group gets a worker of its own, which runs nothing else.
 * A group that kills its worker comes back as two halves, so that of 5,000 jobs one culprit stands alone
 * after thirteen deaths; what comes to an outcome is cleared. A job on its own is marked in the store before
 * it is sent, so that a death that takes the broker along is counted too.
 *
 * Part of the board: same thread, nothing blocks. */
#ifndef PB_SUSPECTS_H
#define PB_SUSPECTS_H

#include "broker/board/heap.h"
#include "broker/board/slots.h"

struct board;
struct board_effects;
struct seat;

struct suspect_group {
    struct list slots;
    uint32_t count, level; /* level: how many deaths its jobs have seen together */
    uint64_t due_ms;
    uint32_t heap_at;    /* until it is due */
    uint32_t prev, next; /* when it is due: in the list of those; free: next */
    bool due;
    uint64_t session; /* kept for it, while its one job is marked; 0: none */
};

struct suspects {
    struct suspect_group *groups;
    size_t capacity, used;
    uint32_t free_head, due_head, due_tail;
    struct heap waiting; /* by due_ms */
    size_t reserved;     /* seats that are kept for a group */
    size_t alone;        /* seats that run suspects and nothing else */
};

void suspects_init(struct suspects *s);
void suspects_fini(struct suspects *s);

/* The worker in this seat died: all that it ran comes back as suspects. */
void suspects_take(struct board *b, uint64_t now_ms, struct seat *seat);
/* A suspect leaves its group, for whatever reason. */
void suspects_leave(struct board *b, uint32_t slot);
/* Groups that are due go to idle workers; else workers are kept free for them. */
void suspects_dispatch(struct board *b, uint64_t now_ms, struct board_effects *out);
/* A suspect's mark is durable: it may run alone. */
void suspects_marked(struct board *b, uint64_t now_ms, uint32_t slot, struct board_effects *out);
/* The seat may be idle now. */
void suspects_seat_changed(struct board *b, struct seat *seat);
/* The seat is about to be left for good. */
void suspects_seat_gone(struct board *b, struct seat *seat);
uint64_t suspects_due_ms(const struct board *b);

#endif
