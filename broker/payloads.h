/* Brings each dispatched attempt what it works on: a setup its sealed credentials (from a bounded cache of
 * what came in lately, else from the store), everything else the integration as the store has it now. The
 * board knows nothing of payloads, so its memory does not grow with them. On the loop's thread. */
#ifndef PB_PAYLOADS_H
#define PB_PAYLOADS_H

#include "broker/board/board.h"
#include "common/err.h"
#include "common/id.h"
#include "common/job.h"

struct broker;
struct payloads;

pb_err payloads_open(struct broker *b, struct payloads **out) PB_CHECKED;
void payloads_close(struct payloads *p);

/* Keeps what a dispatch of this job needs beside the integration: kind, tenant, type and the payload, which
 * it takes from the job. Past LIMIT_PAYLOAD_CACHE_BYTES the oldest go; they are in the store. A memory job's
 * stays until it is forgotten. */
void payloads_keep(struct payloads *p, struct job *job);
void payloads_forget(struct payloads *p, const struct pb_id *job);

/* Sends the attempt to its session, now or when the store has answered. If there is nothing to send (the
 * integration is gone, the store does not answer) the board gets the attempt's outcome. */
void payloads_dispatch(struct payloads *p, const struct board_effect *dispatch);

#endif
