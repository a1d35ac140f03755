/* The broker's loop: one thread that owns all state, one descriptor set, one turn at a time. */
#ifndef PB_LOOP_H
#define PB_LOOP_H

#include "common/err.h"

struct broker;
struct loop;

/* Watches the parts of the broker, which must be open, and the signals SIGTERM and SIGINT, which must be
 * blocked. */
pb_err loop_open(struct broker *b, struct loop **out, struct pb_why *why) PB_CHECKED;
void loop_close(struct loop *l);
/* Until a signal asks to stop. */
void loop_run(struct broker *b);

#endif
