/* Batches as a person follows them: a bar that moves, and what came of it in the end. */
#ifndef PB_CLIENT_BATCH_H
#define PB_CLIENT_BATCH_H

#include "common/client/client.h"

/* Sends an order for the batch of that id: verb is ":pause", "", ...; body may be NULL. *out is the caller's
 * to json_decref. Gives an exit status; what is wrong has been said. */
int batch_ask(struct client *c, const char *method, const char *id, const char *verb, const char *body,
              json_t **out);

/* Shows how far it is until it has ended, then what came of it. Ctrl-C ends the watching alone, and says how
 * to go on with it. Takes the batch as it was shown last. Gives the exit status: CLIENT_NO if a test failed.
 */
int batch_follow(struct client *c, json_t *batch);

/* "type stripe, health degraded", or "all": the filter of a batch or a schedule. */
void batch_put_filter(const json_t *record, struct buf *out);

#endif
