/* The worker's loop: link, provider requests and signals on one thread. */
#ifndef PB_WORKER_LOOP_H
#define PB_WORKER_LOOP_H

#include "common/err.h"
#include "common/log.h"

struct link;
struct transfer;

/* Runs until the worker is told to stop: SIGTERM or SIGINT drains (no new work; what runs is finished,
 * reported and settled), a second one leaves at once. Both must be blocked. */
pb_err loop_run(struct link *link, struct transfer *transfer, const struct log *log,
                struct pb_why *why) PB_CHECKED;

#endif
