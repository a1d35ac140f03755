/* The board: who may run what next.
 *
 * A pure state machine. It does no I/O, has no clock and no threads: board_step(board, now, event) changes
 * the board and says in effects what the owner has to do. Time comes in with the event, randomness from the
 * seed it was given, so the code that runs in production runs in tests under any interleaving, and a run can
 * be replayed.
 *
 * A job's life:   submit -> APPENDING -> READY -> RUNNING -> COMMITTING -> gone
 * with detours:   BLOCKED (another job of its integration comes first), DELAYED (backing off), HELD (loaded
 * after a restart, waiting whether a worker still has it).
 *
 * What it promises (tests/unit/test_board.c shows each):
 *   - ACCEPT comes only after the owner said that the append was committed.
 *   - Each dispatch has a fence larger than any before. Only an outcome that carries a job's newest fence
 * counts; every other is answered STALE. SETTLE comes only after the outcome was committed.
 *   - A session never holds more than its credit.
 *   - Jobs of one integration run one at a time, in the order they were committed.
 *   - A lost session's jobs go back through the same backoff, with full jitter, as a failed attempt's.
 *
 * One thread. Nothing blocks. No function fails but board_new; a submit that finds no memory is a REJECT. */
#ifndef PB_BOARD_H
#define PB_BOARD_H

#include "common/err.h"
#include "common/id.h"
#include "common/job.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct board;

struct board_settings {
    uint32_t epoch;       /* the fences' upper half; larger than any broker's before on this store */
    uint32_t recovery_ms; /* how long loaded jobs are held for the workers that may still have them */
    uint32_t backoff_ms,
        backoff_max_ms; /* a wait is uniform in 0 .. min(backoff_max_ms, backoff_ms << attempts) */
    size_t jobs_max;
    uint64_t seed;
};

enum board_event_kind {
    BOARD_SUBMIT = 1, /* job, integration, cargo: a new job, not yet durable */
    BOARD_APPENDED,   /* job, err: its append was committed, or not */
    BOARD_LOADED,     /* job, integration, attempts: found waiting in the store at the start */
    BOARD_JOIN,       /* session */
    BOARD_HELD,       /* session, job, fence: what a joining session still has */
    BOARD_BEAT,       /* session, beat: credit and what it runs */
    BOARD_LEAVE,      /* session: it is over */
    BOARD_OUTCOME,    /* session, job, fence, outcome, retry_after_ms, undelivered, cargo */
    BOARD_COMMITTED,  /* job, fence, outcome, err, cargo: what was committed in the end */
    BOARD_TICK,
};

struct board_beat {
    uint64_t received;    /* attempts that came to it in this session */
    uint32_t free;        /* how many more than those it can take */
    uint32_t running;     /* of what it has, without an outcome so far */
    uint64_t running_sum; /* sum of their fences */
};

struct board_event {
    enum board_event_kind kind;
    struct pb_id job, integration;
    uint64_t session, fence;
    enum job_outcome outcome;
    uint64_t retry_after_ms; /* with OUTCOME_RETRY and OUTCOME_RETURNED: not before; 0: backoff, or at once */
    uint32_t attempts;
    bool undelivered; /* the attempt never left the broker */
    pb_err err;       /* APPENDED: PB_OK or why not. COMMITTED: PB_OK, or PB_E_CONFLICT: run it again */
    struct board_beat beat;
    void *cargo; /* handed through to the effect, never looked at */
};

enum board_effect_kind {
    BOARD_APPEND = 1, /* job, cargo: make it durable, then say APPENDED */
    BOARD_ACCEPT,     /* job: its submitter may be told */
    BOARD_REJECT,     /* job, err, cargo: refused, or not made durable; it is forgotten */
    BOARD_DISPATCH,   /* session, job, integration, fence, attempts: bring it there */
    BOARD_COMMIT,     /* session, job, fence, outcome, attempts, cargo: make it durable, then say COMMITTED */
    BOARD_STALE,      /* session, job, fence, cargo: the outcome does not count; the worker may forget it */
    BOARD_DUPLICATE,  /* cargo: an outcome whose commit is under way; nothing to do */
    BOARD_SETTLE,     /* session, fence: the worker may forget it */
    BOARD_FINISH,     /* job, outcome, cargo: over; tell who waits */
    BOARD_CANCEL,     /* session, fence: the worker has an attempt that is no longer its own */
    BOARD_ASK,        /* session: let it list what it holds */
};

struct board_effect {
    enum board_effect_kind kind;
    struct pb_id job, integration;
    uint64_t session, fence;
    enum job_outcome outcome;
    uint32_t attempts;
    pb_err err;
    void *cargo;
};

#define BOARD_EFFECTS_MAX 1024

/* Filled by a step; the owner carries them out, in order, before the next step and empties it. */
struct board_effects {
    struct board_effect items[BOARD_EFFECTS_MAX];
    size_t count;
    bool more; /* dispatching stopped for want of room here: step again with BOARD_TICK */
};

pb_err board_new(const struct board_settings *settings, struct board **out) PB_CHECKED;
void board_free(struct board *b);

void board_step(struct board *b, uint64_t now_ms, const struct board_event *event, struct board_effects *out);

/* After a session listed what it holds: what it should have (dispatched and received) and does not is lost,
 * and runs again. listed() tells whether a fence was in the list. */
void board_reconcile(struct board *b, uint64_t now_ms, uint64_t session,
                     bool (*listed)(void *arg, uint64_t fence), void *arg, struct board_effects *out);

/* When the next BOARD_TICK has something to do; UINT64_MAX: never. */
uint64_t board_due_ms(const struct board *b);

struct board_counts {
    size_t appending, ready, blocked, delayed, held, running, committing;
};
void board_count(const struct board *b, struct board_counts *out);
size_t board_live(const struct board *b); /* jobs on the board */
/* Is this job on the board, and durable? */
bool board_has(const struct board *b, const struct pb_id *job);
uint32_t board_running_of(const struct board *b, uint64_t session);

#endif
