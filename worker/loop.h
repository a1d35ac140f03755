/* The worker's loop: link, provider requests and signals on one thread. */
#ifndef PB_WORKER_LOOP_H
#define PB_WORKER_LOOP_H

#include "common/err.h"

struct link;
struct runner;
struct transfer;

/* Runs until the worker is told to stop: SIGTERM, SIGINT or the broker drains it (no new work; what runs is
 * finished, reported and settled), a second signal leaves at once. Both must be blocked. */
pb_err loop_run(struct link *link, struct transfer *transfer, struct runner *runner,
                struct pb_why *why) PB_CHECKED;

#endif
