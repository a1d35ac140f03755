/* Rounds of turns, by deficit round robin: lines of jobs, grouped by tenant and priority (a flow), in rings.
 * One struct turns for those whose turn may come, and one for each gate that lines wait at. Part of lines.c.
 */
#ifndef PB_TURNS_H
#define PB_TURNS_H

#include "broker/board/index.h"
#include "broker/board/slots.h"
#include "common/job.h"

#define PRIORITIES 3 /* enum job_priority, from 0 */

struct turns {
    uint32_t number;           /* names it among all */
    uint32_t ring[PRIORITIES]; /* the flow whose turn it is; NONE: nobody waits */
    uint32_t count;            /* of lines */
};

struct flow {
    uint32_t turns, tenant; /* whose it is; the tenant's gate */
    struct list lines;      /* linked by their own prev and next */
    uint32_t prev, next;    /* in the ring; free: next */
    uint32_t deficit;       /* turns left in this round */
    uint8_t priority;
};

/* What turns need of a line. */
struct turn_links {
    uint32_t prev, next;
    uint32_t flow; /* NONE: in no turns */
};

struct flows {
    struct flow *items;
    size_t capacity, used;
    uint32_t free_head;
    struct index by_owner; /* (turns, tenant, priority) */
};

void flows_init(struct flows *f);
void flows_fini(struct flows *f);
/* Room for so many flows: each line is in one at most. */
pb_err flows_reserve(struct flows *f, size_t count) PB_CHECKED;

void turns_init(struct turns *t, uint32_t number);

/* The caller keeps the lines; links gives one's. */
struct turn_lines {
    struct turn_links *(*links)(void *owner, uint32_t line);
    void *owner;
};

void turns_add(struct flows *f, const struct turn_lines *lines, struct turns *t, uint32_t line,
               uint32_t tenant, uint32_t weight, enum job_priority priority);
void turns_remove(struct flows *f, const struct turn_lines *lines, struct turns *t, uint32_t line);
/* The line whose turn it is, or NONE. */
uint32_t turns_peek(const struct flows *f, const struct turns *t);
/* The line from turns_peek() has had its turn: another of its tenant's is next, or another tenant. */
void turns_took(struct flows *f, const struct turn_lines *lines, struct turns *t, uint32_t line,
                uint32_t weight);

#endif
