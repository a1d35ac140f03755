/* Keeps every integration checked: tests each when its record says that it is due (nextValidation), which is
 * how confirming probes, retries after failures and the daily round come about. The times are spread when
 * they are set, so there is no wave after a restart or an import; what fell due while nothing ran is worked
 * off by and by, within the providers' limits and behind everything that somebody waits for.
 *
 * Left out are inactive ones, types without a package here, and those whose test costs money. The jobs live
 * in memory: what a crash takes is still due. On the loop's thread. */
#ifndef PB_KEEPER_H
#define PB_KEEPER_H

#include "broker/board/board.h"
#include "common/store.h"

struct broker;
struct keeper;

/* at_a_time: jobs on the board; 0: nothing is tested unasked. */
pb_err keeper_open(struct broker *b, size_t at_a_time, struct keeper **out) PB_CHECKED;
void keeper_close(struct keeper *k);

/* Asks the store what is due; gives the time of the next look. */
uint64_t keeper_tick(struct broker *b);

/* -- for effects.c: as batches_finished() and batches_rejected() -- */
bool keeper_finished(struct broker *b, const struct board_effect *finish, struct store_op *op);
bool keeper_rejected(struct broker *b, const struct pb_id *job);

/* -- for intake.c: as batches_yield() -- */
void keeper_yield(struct broker *b, const struct pb_id *integration);

/* Since the start. */
struct keeper_stats {
    uint64_t tested;
    size_t under_way;
};
struct keeper_stats keeper_stats(const struct keeper *k);

#endif
