/* A connection test as a state machine: which request comes next, what its answer means, the result at the
 * end. Does no I/O, so that recorded answers go through the very code that live ones do. */
#ifndef PB_EXAM_H
#define PB_EXAM_H

#include "common/manifest.h"
#include "common/result.h"
#include "common/seal.h"
#include "worker/transfer.h"

#include <stdint.h>

struct exam;

/* Manifest and credentials must outlive it. A package that has no test, or a wrong one, gives an exam that is
 * over at once, with the result that says so. now_ms is the wall clock. */
pb_err exam_new(const struct manifest *m, const struct credentials *c, int64_t now_ms,
                struct exam **out) PB_CHECKED;
void exam_free(struct exam *e);

/* The request to send now, lent until its answer is given; NULL: the exam is over. */
const struct transfer_request *exam_request(const struct exam *e);
void exam_answer(struct exam *e, const struct transfer_answer *answer, int64_t now_ms);
/* Complete once the exam is over. */
const struct result *exam_result(const struct exam *e);

#endif
