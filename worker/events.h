/* Validation of event payloads: compiled schemas in one cache, and threads of their own that check documents
 * with them, because one check may take tenths of a second and the loop must answer the broker meanwhile.
 *
 * All functions on the loop's thread. The loop polls events_fd() for reading and then calls events_turn(). */
#ifndef PB_WORKER_EVENTS_H
#define PB_WORKER_EVENTS_H

#include "common/err.h"
#include "common/manifest.h"
#include "common/wire.h"

struct events;
struct events_task;

struct events_outcome {
    enum job_outcome outcome; /* done with an answer; failed, with {code, message}; retry */
    const char *result;       /* lent for the call; NULL: none */
    size_t result_len;
};

/* Called once for each task that is not cancelled, from events_turn(). */
typedef void events_done(void *arg, const struct events_outcome *outcome);

/* Starts the threads. */
pb_err events_open(struct events **out) PB_CHECKED;
/* Ends them, after the payload that each is checking; tasks under way end without done(). Accepts NULL. */
void events_close(struct events *e);

int events_fd(const struct events *e);
void events_turn(struct events *e);

/* Queues a check of an attempt's payload by the package, which must live as long as events does; deadline_ms
 * is how long it may take, the wait included. PB_E_BUSY: too many bytes wait already. PB_E_INVALID: the
 * payload is none. PB_E_NOT_FOUND: the package has no such event. */
pb_err events_start(struct events *e, const struct manifest *m, const struct wire_attempt *attempt,
                    events_done *done, void *arg, struct events_task **out) PB_CHECKED;
/* Ends a task without done(). */
void events_cancel(struct events_task *task);

#endif
