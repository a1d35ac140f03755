/* What is committed when a job moves: an attempt's outcome, or the board's own verdict, as an operation of
 * the store. */
#ifndef PB_VERDICT_H
#define PB_VERDICT_H

#include "broker/board/board.h"
#include "common/store.h"
#include "common/wire.h"

/* An outcome that a worker reported. NULL: no memory, or its document is not one. */
struct store_op *verdict_of_outcome(const struct wire_outcome *o);
/* An end that needs no worker: state, code and message for a person. NULL: no memory. */
struct store_op *verdict_new(const struct pb_id *job, enum job_state state, const char *code,
                             const char *message);

/* Completes the operation of a BOARD_COMMIT by what the board decided (op is its cargo, or NULL where the
 * board ends the job by itself). NULL: no memory; op is the caller's still. */
struct store_op *verdict_complete(struct store_op *op, const struct board_effect *commit);

/* The store refused the change (the name is taken, the integration is gone): the job ends without it, as a
 * failure that says why. false: there is nothing to change, or no memory. */
bool verdict_fail_instead(struct store_op *op);

enum job_outcome verdict_outcome(const struct store_op *op);
enum job_state verdict_state(enum job_outcome outcome);

#endif
