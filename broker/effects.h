/* Between the board and the world: steps the board and carries out what it says. On the loop's thread. */
#ifndef PB_EFFECTS_H
#define PB_EFFECTS_H

#include "broker/board/board.h"
#include "common/histogram.h"

struct broker;
struct effects;

pb_err effects_open(struct effects **out) PB_CHECKED;
void effects_close(struct effects *fx);

/* Steps the board at the turn's time and carries out every effect. May be called from within an effect: the
 * step is then taken after the current one. The cargo of BOARD_SUBMIT and BOARD_OUTCOME is a struct store_op
 * that the journal commits. */
void effects_step(struct broker *b, const struct board_event *event);
/* board_reconcile() and its effects; not from within an effect. */
void effects_reconcile(struct broker *b, uint64_t session, bool (*listed)(void *arg, uint64_t fence),
                       void *arg);

/* How long jobs that could run waited for a worker. */
const struct histogram *effects_waits(const struct effects *fx);

#endif
