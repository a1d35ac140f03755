/* The attempts that this worker has: running, or finished and not yet settled. What is finished stays until
 * the broker says that it is durable, and is reported again until then; a new session begins by telling all
 * of it.
 *
 * Pure: no sockets, time comes in. Part of link.c. */
#ifndef PB_HOLDING_H
#define PB_HOLDING_H

#include "common/err.h"
#include "common/wire.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct held;

struct holding {
    struct held *all;
    uint32_t running, unsettled; /* unsettled: finished */
    uint32_t unsent;             /* of those: not reported in this session */
    uint64_t running_sum;        /* of the fences of what runs */
};

void holding_fini(struct holding *h);

/* PB_E_EXISTS: it is there already; PB_E_MEMORY. */
pb_err holding_add(struct holding *h, const struct pb_id *job, uint64_t fence) PB_CHECKED;
/* The job of an attempt that runs; NULL: it does not (any more). Lent until the attempt ends. */
const struct pb_id *holding_running(const struct holding *h, uint64_t fence);
/* Copies the outcome of an attempt that runs; of any other, or without memory, nothing happens: then it stays
 * "running", and draining or a restart hands it back. */
void holding_finish(struct holding *h, const struct wire_outcome *outcome);
void holding_drop(struct holding *h, uint64_t fence);
/* What is finished and durable is dropped; nothing else is. */
void holding_settle(struct holding *h, uint64_t fence);

/* A new session: everything unsettled is reported anew, since the broker may be another one. */
void holding_begin_session(struct holding *h);
size_t holding_count(const struct holding *h);
/* All of them; at most holding_count() are written. */
size_t holding_list(const struct holding *h, struct wire_held *out);
/* The outcomes of the next report, as many as fit: never reported in this session, or resend_ms ago, so that
 * the report or its settling may be lost. They count as reported at now_ms; strings are lent until they are
 * dropped. */
size_t holding_report(struct holding *h, uint64_t now_ms, uint64_t resend_ms,
                      struct wire_outcome out[LIMIT_BATCH_ENTRIES]);
/* What runs and what has finished unreported: that is what the broker, too, counts as running. */
void holding_count_running(const struct holding *h, uint32_t *running, uint64_t *sum);

#endif
