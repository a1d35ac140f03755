/* Between the board and the world: steps the board and carries out what it says. On the loop's thread. */
#ifndef PB_EFFECTS_H
#define PB_EFFECTS_H

#include "broker/board.h"
#include "broker/links.h"
#include "common/job.h"

struct broker;

/* Steps the board at the turn's time and carries out every effect. May be called from within an effect: the
 * step is then taken after the current one. */
void effects_step(struct broker *b, const struct board_event *event);

/* The cargo of BOARD_SUBMIT and BOARD_OUTCOME is a struct store_op that the journal commits. */

/* Called by links. */
extern const struct links_events effects_of_links;

struct effects;
pb_err effects_open(struct effects **out) PB_CHECKED;
void effects_close(struct effects *fx);

#endif
