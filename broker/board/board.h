/* The board: who may run what next.
 *
 * A pure state machine. It does no I/O, has no clock and no threads: board_step(board, now, event) changes
 * the board and says in effects what the owner has to do. Time comes in with the event, randomness from the
 * seed it was given, so the code that runs in production runs in tests under any interleaving, and a run can
 * be replayed.
 *
 * A job's life:   submit -> APPENDING -> READY -> RUNNING -> COMMITTING -> gone
 * with detours:   BLOCKED (another job of its integration comes first), DELAYED (backing off, or not wanted
 * earlier), HELD (loaded after a restart, waiting whether a worker still has it), SUSPECT and MARKING (its
 * worker died, see below).
 *
 * What it promises (tests/unit/test_board.c shows each, tests/sim under every interleaving a seed can name):
 *   - ACCEPT comes only after the owner said that the append was committed (but for a memory job).
 *   - Each dispatch has a fence larger than any before. Only an outcome that carries a job's newest fence
 * counts; every other is answered STALE. SETTLE comes only after the outcome was committed.
 *   - A session never holds more than its credit.
 *   - Jobs of one integration run one at a time, in the order they were committed.
 *   - Whatever ends an attempt without an outcome, the job goes back through backoff with full jitter.
 *   - Priority first; within a priority tenants take turns; what is over a limit or paused waits aside and
 * keeps nobody from his turn (lines.h).
 *   - A job that is cancelled, too late, out of attempts or poison ends, in whatever state it is; which of
 * these applies is decided in one place, when it is about to wait or run again.
 *   - A worker's death makes what it ran suspects: they run again in halves, each half on a worker that runs
 * nothing else. Only one that ran alone is charged with a crash, which was made durable before it was sent.
 *
 * One thread. Nothing blocks. No function fails but board_new and the settings; a submit that finds no memory
 * is a REJECT. */
#ifndef PB_BOARD_H
#define PB_BOARD_H

#include "broker/board/lines.h"
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
    struct board_limit defaults[KEYS]; /* of gates that nobody has set */
    uint64_t seed;
};

enum board_event_kind {
    BOARD_SUBMIT = 1, /* job, integration, spec, cargo: a new job, not yet durable */
    BOARD_APPENDED,   /* job, err, cargo: its append was committed, or not */
    BOARD_LOADED,     /* job, integration, spec: found waiting in the store at the start */
    BOARD_JOIN,       /* session */
    BOARD_HELD,       /* session, job, fence: what a joining session still has */
    BOARD_BEAT,       /* session, beat: credit and what it runs */
    BOARD_LEAVE,      /* session, graceful: it is over */
    BOARD_OUTCOME,    /* session, job, fence, outcome, retry_after_ms, undelivered, cargo */
    BOARD_COMMITTED,  /* job, fence, outcome, err, cargo: what was committed in the end */
    BOARD_MARKED, /* job: what BOARD_MARK asked for is durable, or the job is no longer there to be marked */
    BOARD_CANCEL_JOB, /* job: it is not to run (any more); one that is not on the board is ignored */
    BOARD_EPOCH,      /* epoch: what BOARD_RAISE asked for */
    BOARD_TICK,
};

/* What the board knows of a job beside its ids. */
struct board_spec {
    uint64_t names[KEYS]; /* hashes of its tenant, type, host and kind; 0: none (but the tenant) */
    struct board_limit host_limit;
    enum job_priority priority;
    uint32_t attempts, max_attempts, crashes; /* max_attempts 0: LIMIT_JOB_ATTEMPTS */
    uint64_t not_before_ms, deadline_ms;      /* of the board's clock; 0: none */
    bool memory, cancelled;
    bool retried; /* of a memory job: its worker's death does not end it, since somebody stands for it */
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
    uint32_t epoch;
    bool undelivered; /* the attempt never left the broker */
    bool graceful;    /* the worker said goodbye: its death is no crash */
    pb_err err;       /* APPENDED: PB_OK or why not. COMMITTED: PB_OK, or PB_E_CONFLICT: run it again */
    struct board_beat beat;
    struct board_spec spec;
    void *cargo; /* handed through to the effect, never looked at */
};

enum board_effect_kind {
    BOARD_APPEND = 1, /* job, cargo: make it durable, then say APPENDED */
    BOARD_ACCEPT,     /* job: its submitter may be told. cargo: of a memory job, else NULL */
    BOARD_REJECT,   /* job, err, cargo: refused (PB_E_BUSY: the board is full, PB_E_LIMIT: its tenant has too
                       many), or not made durable; it is forgotten */
    BOARD_DISPATCH, /* session, job, integration, fence, attempts, alone, waited_ms, deadline_ms: bring it
                       there */
    BOARD_COMMIT, /* session, job, fence, outcome, attempts, crashes, reason, cargo: make it durable, then say
                     COMMITTED. Without cargo it is the board's own verdict. not_before_in_ms: with a retry */
    BOARD_MARK,   /* job, crashes: make it durable, then say MARKED */
    BOARD_NOTE,   /* job, crashes: make it durable that the job is cancelled; nothing waits for it */
    BOARD_STALE,  /* session, job, fence, cargo: the outcome does not count; the worker may forget it */
    BOARD_DUPLICATE, /* cargo: an outcome whose commit is under way; nothing to do */
    BOARD_SETTLE,    /* session, fence: the worker may forget it */
    BOARD_FINISH, /* job, outcome, reason, cargo: over; tell who waits. Without cargo: a memory job that the
                     board has ended by itself */
    BOARD_CANCEL, /* session, fence: the worker has an attempt that is no longer its own */
    BOARD_STOP,   /* session, fence: the worker is to end this attempt and report how */
    BOARD_ASK,    /* session: let it list what it holds */
    BOARD_RAISE,  /* raise the epoch, then say EPOCH: half of this one's fences are used up */
};

/* Why the board has ended a job. */
enum board_reason {
    REASON_NONE,
    REASON_CANCELLED,
    REASON_DEADLINE, /* it was not finished in time */
    REASON_ATTEMPTS, /* none is left */
    REASON_POISON,   /* LIMIT_JOB_CRASHES workers died while they ran it alone */
    REASON_LOST,     /* a memory job whose worker is gone */
};

struct board_effect {
    enum board_effect_kind kind;
    struct pb_id job, integration;
    uint64_t session, fence;
    enum job_outcome outcome;
    enum board_reason reason;
    uint32_t attempts, crashes;
    bool alone;
    uint64_t waited_ms, deadline_ms, not_before_in_ms;
    pb_err err;
    void *cargo;
};

#define BOARD_EFFECTS_MAX 1024

/* Filled by a step; the owner carries them out, in order, before the next step and empties it. */
struct board_effects {
    struct board_effect items[BOARD_EFFECTS_MAX];
    size_t count;
    bool more; /* the step stopped for want of room here: step again with BOARD_TICK */
};

pb_err board_new(const struct board_settings *settings, struct board **out) PB_CHECKED;
void board_free(struct board *b);

void board_step(struct board *b, uint64_t now_ms, const struct board_event *event, struct board_effects *out);

/* After a session listed what it holds: what it should have (dispatched and received) and does not is lost,
 * and runs again. listed() tells whether a fence was in the list. */
void board_reconcile(struct board *b, uint64_t now_ms, uint64_t session,
                     bool (*listed)(void *arg, uint64_t fence), void *arg, struct board_effects *out);

/* What a gate lets through (NULL: the default again), and whether it is closed altogether. They hold until
 * they are changed; jobs that may go now do so with the next step. PB_E_MEMORY changes nothing. */
pb_err board_limit(struct board *b, enum board_key key, uint64_t name,
                   const struct board_limit *limit) PB_CHECKED;
pb_err board_pause(struct board *b, enum board_key key, uint64_t name, bool paused) PB_CHECKED;

/* When the next BOARD_TICK has something to do; UINT64_MAX: never. */
uint64_t board_due_ms(const struct board *b);

struct board_counts {
    size_t appending, ready, blocked, delayed, held, running, committing, suspect;
};
void board_count(const struct board *b, struct board_counts *out);
/* Since the board was made. */
struct board_stats {
    uint64_t dispatched, retried, lost, stale, finished[OUTCOME_DEAD + 1];
};
void board_get_stats(const struct board *b, struct board_stats *out);
size_t board_live(const struct board *b); /* jobs on the board */
/* Is this job on the board, and durable (or a memory job)? */
bool board_has(const struct board *b, const struct pb_id *job);
/* "ready", "running" and so on; NULL: it is not on the board. Set: it is to be cancelled. */
const char *board_state_of(const struct board *b, const struct pb_id *job, bool *cancelled);
uint32_t board_running_of(const struct board *b, uint64_t session);
/* Wall-clock milliseconds in the id of the oldest job that could run now; UINT64_MAX: none. Looks at every
 * line. */
uint64_t board_oldest_ready_ms(const struct board *b);
size_t board_bytes(const struct board *b); /* memory that grows with jobs */

#endif
