/* The journal makes the board's transitions durable, many at a time: a thread that takes whatever waits,
 * hands it to the store as one commit, and gives it back when that is synced. There is no timer: while a
 * commit is being synced the next one gathers.
 *
 * What waits, what a commit takes and what becomes of it when it fails is broker/group.h's; here are the
 * thread, the lock and the bell. When the store fails, appends are given back with the error (their
 * submitters are told), and everything else stays and is tried again every second: an outcome is not lost
 * because a disk was full for a minute. */
#ifndef PB_JOURNAL_H
#define PB_JOURNAL_H

#include "common/err.h"
#include "common/histogram.h"
#include "common/log.h"
#include "common/store.h"

#include <stdbool.h>

struct journal;

/* On the loop's thread. The operation is the callee's again; each operation's own verdict is op->outcome, and
 * err is not PB_OK only for an append that the store could not take. */
typedef void journal_done(void *arg, struct store_op *op, pb_err err);

/* Takes the store. */
pb_err journal_open(struct store *store, const struct log *log, struct journal **out,
                    struct pb_why *why) PB_CHECKED;
/* Commits what waits (one try), then ends the thread. Operations that could not be committed are given back
 * with PB_E_CLOSED. */
void journal_close(struct journal *j);

int journal_fd(const struct journal *j);
void journal_turn(struct journal *j);

/* PB_E_BUSY: LIMIT_JOURNAL_OPS wait; for appends only. PB_E_CLOSED: journal_close() is giving back what
 * is left. The operation is the journal's until done(). */
pb_err journal_submit(struct journal *j, struct store_op *op, journal_done *done, void *arg) PB_CHECKED;
/* Is the last commit one that failed? */
bool journal_is_failing(struct journal *j);

/* Has everything been given back? */
bool journal_is_idle(struct journal *j);

/* Since it was opened. */
struct journal_stats {
    uint64_t commits, ops; /* that are durable, and the operations in them */
    uint64_t failures;     /* commits that the store refused, each try counted */
    struct histogram commit_time;
};
void journal_stats(struct journal *j, struct journal_stats *out);

/* A new, empty operation; and its end, with all it points to. */
struct store_op *journal_op_new(enum store_op_kind kind);
void journal_op_free(struct store_op *op);

#endif
