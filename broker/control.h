/* What people ask of the queue: cancel a job; pause and resume by tenant, type, host or kind; send the dead
 * again, a few a second. On the loop's thread. */
#ifndef PB_CONTROL_H
#define PB_CONTROL_H

#include "broker/board/board.h"
#include "common/store.h"

struct broker;
struct control;

/* err: PB_OK once it is durable; PB_E_STORE or PB_E_CLOSED. Called exactly once; never from within the call
 * that asked. */
typedef void control_done(void *arg, pb_err err);

/* Reads the pauses back and closes their gates. Blocks. */
pb_err control_open(struct broker *b, struct store *store, struct control **out,
                    struct pb_why *why) PB_CHECKED;
void control_close(struct control *c);

/* The job is not to run (any more): what waits ends, what runs is told to stop and ends as its worker reports
 * (or when its worker is lost). PB_E_NOT_FOUND: it is not on the board (it may have ended: ask the store). */
pb_err control_cancel(struct broker *b, const struct pb_id *job) PB_CHECKED;

/* Closes or opens the gate of a tenant, type, host or kind, for good: a restarted broker keeps to it. What
 * runs goes on. PB_E_LIMIT: LIMIT_PAUSES are closed already; PB_E_MEMORY: nothing was done. Else done() is
 * called. */
pb_err control_pause(struct broker *b, enum board_key key, const char *name, bool paused, control_done *done,
                     void *arg) PB_CHECKED;
void control_each_pause(const struct control *c,
                        void (*each)(void *arg, enum board_key key, const char *name), void *arg);

/* Sends every dead job that the filter selects again, per_second of them each second, one page after the
 * other. What a broker that is stopped has not reached stays dead. The filter's strings are copied; its state
 * is JOB_DEAD whatever it says. PB_E_BUSY: LIMIT_REPLAYS are under way. */
pb_err control_replay(struct broker *b, const struct store_job_filter *filter,
                      uint32_t per_second) PB_CHECKED;
struct control_replay {
    uint32_t per_second;
    uint64_t sent, refused; /* so far; refused: no longer dead, or no room for it */
};
void control_each_replay(const struct control *c, void (*each)(void *arg, const struct control_replay *r),
                         void *arg);

#endif
