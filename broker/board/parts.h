/* What the files of the board share: its struct, and the moves between states. Nobody else includes this.
 *   board.c     the step, fences, dispatching, time
 *   arrivals.c  sessions.c  outcomes.c  verdicts.c   what each event does
 *   moves.c     from one state to the next; the end of a job
 *   lanes.c     one integration, one job
 *   lines.c turns.c suspects.c seats.c slots.c heap.c index.c   know nothing of events */
#ifndef PB_BOARD_PARTS_H
#define PB_BOARD_PARTS_H

#include "broker/board/board.h"
#include "broker/board/heap.h"
#include "broker/board/seats.h"
#include "broker/board/slots.h"
#include "broker/board/suspects.h"

struct board {
    struct board_settings settings;
    struct slots slots;
    struct lines *lines;
    struct seats seats;
    struct suspects suspects;
    struct heap delays, deadlines;
    struct index lanes; /* by integration: the last job of its lane */
    struct list held;
    uint64_t held_until_ms; /* the last of them */
    uint32_t epoch, fence_counter;
    bool raising; /* an epoch has been asked for */
    uint64_t random;
    struct board_stats stats;
};

static inline struct slot *board_slot(const struct board *b, uint32_t i)
{
    return slot_at(&b->slots, i);
}
static inline uint32_t board_find(const struct board *b, const struct pb_id *job)
{
    return slots_find(&b->slots, job); /* NONE: it is not on the board */
}
static inline struct seat *board_seat_of(struct board *b, const struct slot *s)
{
    return &b->seats.items[s->seat];
}

/* -- moves.c -- */

struct board_effect *board_effect(struct board_effects *out, enum board_effect_kind kind);
void board_tell(struct board_effects *out, enum board_effect_kind kind, uint64_t session, uint64_t fence);
/* Is there room for one more event's worth of effects? Else says that there is more to do. */
bool board_has_room(struct board_effects *out);
/* Full jitter: uniform in 0 .. backoff_ms << attempts. */
uint64_t board_backoff(struct board *b, uint32_t attempts);

/* Takes a job out of wherever it waits or runs; its state is the caller's to set. */
void board_unlist(struct board *b, uint32_t i);
void board_delay(struct board *b, uint32_t i, uint64_t due_ms);
/* Its turn in the lane has come, or it needs none: due_ms says whether it is wanted yet. */
void board_start_waiting(struct board *b, uint64_t now_ms, uint32_t i);

/* The worker is gone that ran it: of a memory job that is the end, unless it is one that is retried. */
void board_note_loss(struct slot *s);

/* Why the job is not to wait or run any more; REASON_NONE: it may. */
enum board_reason board_fate(const struct slot *s);
enum job_outcome board_verdict(enum board_reason reason);
/* The board's own verdict; board_fate() says which. The job is unlisted. */
void board_end(struct board *b, uint64_t now_ms, uint32_t i, struct board_effects *out);
void board_end_or_ready(struct board *b, uint64_t now_ms, uint32_t i, struct board_effects *out);
/* It is over, and forgotten. */
void board_finish(struct board *b, uint64_t now_ms, uint32_t i, const struct board_effect *how,
                  struct board_effects *out);
void board_forget(struct board *b, uint64_t now_ms, uint32_t i);

/* -- board.c -- */

/* May another attempt be sent (a fence is left)? */
bool board_may_send(const struct board *b);
/* To a session, now. What it has passed is the caller's business (lines_pass). */
void board_send(struct board *b, uint64_t now_ms, uint32_t i, struct seat *seat, bool alone,
                struct board_effects *out);
/* The job runs in that seat from now on. nth: the how-manieth attempt of its session; 0: adopted. */
void board_sit(struct board *b, uint32_t i, struct seat *seat, uint64_t nth);
void board_dispatch(struct board *b, uint64_t now_ms, struct board_effects *out);

/* -- lanes.c: the jobs of one integration -- */

/* first: nobody is before it. Else it is BLOCKED. PB_E_MEMORY: it is in no lane. */
pb_err lanes_enter(struct board *b, uint32_t i, bool *first) PB_CHECKED;
/* If it was the head, the next one may go. */
void lanes_leave(struct board *b, uint64_t now_ms, uint32_t i);

/* -- what events do -- */

typedef void board_handler(struct board *b, uint64_t now_ms, const struct board_event *e,
                           struct board_effects *out);
board_handler board_on_submit, board_on_appended, board_on_loaded;         /* arrivals.c */
board_handler board_on_join, board_on_held, board_on_beat, board_on_leave; /* sessions.c */
board_handler board_on_outcome, board_on_committed;                        /* outcomes.c */
board_handler board_on_cancel_job, board_on_marked;                        /* verdicts.c */

/* Those that were held for their workers for long enough go their way. */
void board_release_held(struct board *b, uint64_t now_ms);
uint64_t board_held_due_ms(const struct board *b); /* the first of them; UINT64_MAX: none */
void board_count_attempt(struct slot *s);
/* Those whose time is over are given up. */
void board_expire(struct board *b, uint64_t now_ms, struct board_effects *out);

#endif
