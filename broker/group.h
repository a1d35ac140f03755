/* The journal's logic without its thread: operations that wait, the group of them that is being committed,
 * and those that are to be given back.
 *
 * Pure: no lock, no clock, no thread, no I/O; the owner (broker/journal.c, and the simulator) sees to those.
 * Operations are committed and given back in the order in which they were submitted, but for what a failed
 * commit brings: of its group the appends are given back with the error, so that their submitters are told,
 * and the rest goes back to the head of what waits, in the order it had. */
#ifndef PB_GROUP_H
#define PB_GROUP_H

#include "common/err.h"
#include "common/limits.h"
#include "common/store.h"

#include <stdbool.h>
#include <stddef.h>

struct group;

/* The operation is the callee's again; its own verdict is op->outcome. err is not PB_OK only where it was not
 * committed: the store's error, of an append; PB_E_CLOSED. */
typedef void group_done(void *arg, struct store_op *op, pb_err err);

struct group_verdict {
    struct store_op *op;
    group_done *done;
    void *arg;
    pb_err err;
};

pb_err group_new(struct group **out) PB_CHECKED;
void group_free(struct group *g); /* forgets what is in it; the operations stay whose they were */

/* PB_E_BUSY: LIMIT_JOURNAL_OPS wait; for appends only, everything else concerns what was promised before.
 * PB_E_CLOSED: after group_close(). The operation is lent until it is given back. */
pb_err group_submit(struct group *g, struct store_op *op, group_done *done, void *arg) PB_CHECKED;
/* From now on what fails is given back with PB_E_CLOSED and not tried again. */
void group_close(struct group *g);

/* The next commit: up to LIMIT_COMMIT_OPS of what waits, oldest first. After a commit that failed, and when
 * nothing waits, it is a write of the group's own, which shows whether the store is well again: a broker that
 * is not ready gets no work. 0: there is nothing to commit. One at a time, and each is ended by
 * group_settle(). */
size_t group_take(struct group *g, struct store_op *ops[LIMIT_COMMIT_OPS]);
/* err: of the commit as a whole. */
void group_settle(struct group *g, pb_err err);

/* The next that is to be given back; false: none. It counts no longer. */
bool group_give_back(struct group *g, struct group_verdict *out);

bool group_is_closing(const struct group *g);
/* Did the last commit fail? */
bool group_is_failing(const struct group *g);
/* Would group_take() give something? */
bool group_has_work(const struct group *g);

size_t group_count(const struct group *g);    /* submitted and not given back */
size_t group_finished(const struct group *g); /* of those: to be given back */

#endif
