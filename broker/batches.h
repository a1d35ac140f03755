/* One job that stands for many: every integration that a filter selects is tested again.
 *
 * A batch is a row in the store; the tests it stands for live in memory alone. For each type it reads the
 * store in pages, at most a window ahead of the workers, and gives each integration to the board as a job of
 * its own with the document in hand. A window's mark is the last integration up to which all are done; marks
 * and the counts up to them are written together, so whatever happens in between, nothing is skipped, no
 * count is off, and at most a window is tested twice. Slow types hold up nobody but themselves.
 *
 * An integration that is made while a batch runs is not part of it; one that is deleted counts as deleted;
 * one that was changed after it was read is read and tested again. A passing failure (the provider is down)
 * is a result like any other: it is counted, the record says when to try again, and the batch goes on.
 *
 * On the loop's thread; the store's pages are read on the reader's. */
#ifndef PB_BATCHES_H
#define PB_BATCHES_H

#include "broker/board/board.h"
#include "common/err.h"
#include "common/integration.h"
#include "common/store.h"

#include <jansson.h>

struct broker;
struct batches;

struct batch_filter {
    char tenant[LIMIT_TENANT_CHARS + 1]; /* empty: every tenant */
    char type[LIMIT_TYPE_CHARS +
              1]; /* empty: every type that has a package, but for those whose test costs money */
    enum integration_status status; /* 0: any, likewise health */
    enum integration_health health;
    int64_t not_since_ms; /* last validated before this (wall clock), or never; 0: all */
};

/* Goes on with what was under way when the last broker ended. Blocks. */
pb_err batches_open(struct broker *b, struct store *store, struct batches **out,
                    struct pb_why *why) PB_CHECKED;
void batches_close(struct batches *all);
/* err: PB_OK once it is durable. Called exactly once, never from within the call that asked. */
typedef void batches_done(void *arg, const struct pb_id *batch, pb_err err);

/* id: one that no batch has yet; NULL: a new one. per_second 0: as fast as providers and workers allow.
 * PB_E_BUSY: LIMIT_BATCHES run already, or
 * LIMIT_BATCHES_TENANT of this tenant. */
pb_err batches_start(struct broker *b, const struct pb_id *id, const struct batch_filter *filter,
                     uint32_t per_second, batches_done *done, void *arg) PB_CHECKED;

enum batch_order { BATCH_PAUSE, BATCH_RESUME, BATCH_CANCEL };
/* PB_E_NOT_FOUND: it is not under way (it may have ended: ask the store). PB_E_CONFLICT: the order makes no
 * sense in its state. What runs when it is paused or cancelled is stopped, and tested again when it goes on.
 */
pb_err batches_order(struct broker *b, const struct pb_id *id, enum batch_order order, batches_done *done,
                     void *arg) PB_CHECKED;
pb_err batches_set_rate(struct broker *b, const struct pb_id *id, uint32_t per_second, batches_done *done,
                        void *arg) PB_CHECKED;

/* {id, kind, state, filter, ratePerSecond, total, done, counts, newlyBroken, newlyHealthy, perSecond,
 * remainingSeconds, types, createdAt, finishedAt} of one that is under way (as it is now) or of a stored one.
 * New reference; NULL: not under way, or no memory. */
json_t *batches_json(const struct batches *all, const struct pb_id *id);
json_t *batches_filter_json(const struct batch_filter *filter);
json_t *batches_stored_json(const struct store_batch *stored);
/* The tenant of one that is under way ("*": all); NULL: it is not. */
const char *batches_tenant(const struct batches *all, const struct pb_id *id);

/* -- for effects.c -- */

/* A job that the board has ended or refused: true if it was a batch's, which takes op (NULL: the board ended
 * it). */
bool batches_finished(struct broker *b, const struct board_effect *finish, struct store_op *op);
bool batches_rejected(struct broker *b, const struct pb_id *job);

/* -- for intake.c -- */

/* Somebody asks for a job of this integration: a batch that has it waiting, perhaps behind thousands at its
 * provider's limit, lets that job go first. */
void batches_yield(struct broker *b, const struct pb_id *integration);

/* -- for the loop -- */

/* Reads, feeds and checkpoints; gives the time of the next such need. */
uint64_t batches_tick(struct broker *b);

#endif
