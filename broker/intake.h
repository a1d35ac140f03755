/* Where work comes in: a job is appended, acknowledged after its commit, and whoever waits for its outcome is
 * told. On the loop's thread. */
#ifndef PB_INTAKE_H
#define PB_INTAKE_H

#include "common/err.h"
#include "common/job.h"

#include <stdbool.h>

struct broker;

struct intake_answer {
    pb_err err; /* PB_OK: accepted (or it was known by its idempotency key); PB_E_BUSY: the board is full;
                   PB_E_LIMIT: the tenant has too many jobs; PB_E_STORE; PB_E_CLOSED: draining;
                   PB_E_CONFLICT: revived a job that is not dead (any more) */
    struct pb_id job; /* the first one's, where the idempotency key was known */
    bool duplicate;
    bool finished; /* false: accepted, and the wait was over before the outcome */
    enum job_state state;
    const char *result; /* JSON text of the outcome, or NULL; lent for the call */
    const char *why;    /* with err: a sentence; else NULL */
};

/* Called exactly once; never from within intake_submit() or intake_wait(), unless memory is out
 * or the broker has stopped. */
typedef void intake_done(void *arg, const struct intake_answer *answer);

/* Takes what *job points to (payload), also on failure. wait_ms 0 answers as soon as the job is durable;
 * otherwise with its outcome, or when the time is over. */
void intake_submit(struct broker *b, struct job *job, uint32_t wait_ms, intake_done *done, void *arg);

/* Sends a job that is JOB_DEAD again, as new, not before a time on the wall (0: at once). dead: as the store
 * has it; lent for the call. Else as intake_submit(). */
void intake_revive(struct broker *b, const struct job *dead, int64_t not_before_ms, uint32_t wait_ms,
                   intake_done *done, void *arg);

/* Waits for a job that is live. PB_E_NOT_FOUND: none such is live (it may have finished: ask the store). Then
 * done() will not be called. */
pb_err intake_wait(struct broker *b, const struct pb_id *job, uint32_t wait_ms, intake_done *done,
                   void *arg) PB_CHECKED;

/* -- for effects.c -- */

struct store_op;
void intake_accepted(struct broker *b, const struct pb_id *job);
/* With PB_E_EXISTS op names the job that was there first. */
void intake_rejected(struct broker *b, const struct pb_id *job, pb_err err, const struct store_op *op);
void intake_finished(struct broker *b, const struct pb_id *job, enum job_state state, const char *result);

/* -- for the loop -- */

struct intake;
pb_err intake_open(struct intake **out) PB_CHECKED;
/* Answers whose time is over; gives the time of the next one. */
uint64_t intake_tick(struct broker *b);
/* Answers everyone who still waits: accepted and not finished, or PB_E_CLOSED. */
void intake_close(struct broker *b);

#endif
