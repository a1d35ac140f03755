/* What the queue is doing, gathered from the parts that know: for GET /v1/queue and /metrics. On the loop's
 * thread. */
#ifndef PB_HTTP_QUEUE_H
#define PB_HTTP_QUEUE_H

#include "broker/board/board.h"
#include "broker/journal.h"

struct broker;

struct queue_state {
    struct board_counts jobs;
    struct board_stats stats;
    struct journal_stats journal;
    struct histogram waits;
    uint64_t oldest_ready_ms; /* how long it has waited; UINT64_MAX: none is ready */
    size_t live, board_bytes;
    bool store_failing;
};
void queue_read(struct broker *b, struct queue_state *out);

/* Once a turn: looks at what rises, so that a rate can be told. */
void queue_look(struct broker *b);

/* The states of jobs on the board, as GET /v1/jobs/{id} spells them; false past the last. */
bool queue_phase(const struct board_counts *c, size_t i, const char **name, size_t *count);

/* An upper bound of the value that a share (0 to 1) of all does not pass; 0: there is none. */
double queue_quantile_ms(const struct histogram *h, double share);

#endif
