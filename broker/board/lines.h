/* Who is next: the jobs that could run now, and what keeps some of them waiting.
 *
 * Jobs that share tenant, type, host, kind and priority are as good as each other but for their order, so
 * they stand in one line, and the line is what is scheduled. Each of the four names has a gate: it is open,
 * or closed because it is paused, at its concurrency limit or out of tokens. A line whose gates are all open
 * waits for its turn; one that meets a closed gate when its turn comes goes to wait at that gate, and comes
 * back when the gate has room. So a closed gate costs a move for each line, not for each job, and holds up
 * nobody else.
 *
 * Turns are taken by priority; within a priority by tenant, deficit round robin; within a tenant by line.
 * Those who wait at a gate come back in the same order of turns, so a tenant with 100,000 jobs at a gate
 * stands before another's one job for one turn and not for 100,000.
 *
 * Part of the board: same thread, nothing blocks, time comes in. */
#ifndef PB_LINES_H
#define PB_LINES_H

#include "broker/board/gates.h"
#include "broker/board/slots.h"
#include "common/err.h"
#include "common/job.h"

struct lines;

pb_err lines_new(struct slots *slots, const struct board_limit defaults[KEYS], struct lines **out) PB_CHECKED;
void lines_free(struct lines *l);

/* A job's line, made if need be; the job counts for its gates from now on, until lines_leave(). names: hashes
 * of the four names, 0: none (but the tenant's). host_limit: what the host's gate is to let through, or NULL.
 * capped: PB_E_LIMIT if the tenant has as many jobs as it may have. PB_E_MEMORY. */
pb_err lines_enter(struct lines *l, const uint64_t names[KEYS], const struct board_limit *host_limit,
                   enum job_priority priority, bool capped, uint32_t *line) PB_CHECKED;
void lines_leave(struct lines *l, uint32_t line);

void lines_push(struct lines *l, uint32_t slot); /* at the end of its line */
void lines_remove(struct lines *l, uint32_t slot);

/* The job whose turn it is, taken out of its line; its gates have let it through. NONE: nobody's. */
uint32_t lines_next(struct lines *l, uint64_t now_ms);
/* An attempt that did not come by lines_next() goes through (it has a worker of its own). */
void lines_pass(struct lines *l, uint32_t line, uint64_t now_ms);
/* One that went through before is under way again. */
void lines_resume(struct lines *l, uint32_t line);
bool lines_is_open(struct lines *l, uint32_t line, uint64_t now_ms);
/* An attempt that went through is over. */
void lines_return(struct lines *l, uint32_t line);

/* Sets what a gate lets through, or takes the setting back (NULL). It stays when no job is left. */
pb_err lines_limit(struct lines *l, enum board_key key, uint64_t name,
                   const struct board_limit *limit) PB_CHECKED;
pb_err lines_pause(struct lines *l, enum board_key key, uint64_t name, bool paused) PB_CHECKED;

/* When a gate opens by itself; UINT64_MAX: never. */
uint64_t lines_due_ms(const struct lines *l);
/* The time of the oldest job's id that is ready, or UINT64_MAX. Looks at every line. */
uint64_t lines_oldest_ms(const struct lines *l);
size_t lines_bytes(const struct lines *l); /* memory that grows with lines and gates */

#endif
