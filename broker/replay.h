/* Sends dead jobs again by filter: page by page from the store, each job with a time of its own, so that they
 * come at the rate that was asked for whatever happens to the broker. Part of control.c. On the loop's
 * thread. */
#ifndef PB_REPLAY_H
#define PB_REPLAY_H

#include "broker/control.h"

struct replays;

pb_err replays_open(struct broker *b, struct replays **out) PB_CHECKED;
void replays_close(struct replays *all);
/* As control_replay() and control_each_replay(). */
pb_err replays_start(struct replays *all, const struct store_job_filter *filter,
                     uint32_t per_second) PB_CHECKED;
void replays_each(const struct replays *all, void (*each)(void *arg, const struct control_replay *r),
                  void *arg);

#endif
