/* A commit's operations in their order, as few bulk writes as that allows: in rounds. A round takes every
 * operation that touches nothing (job, key, integration, name, ...) that one before it, in this round or left
 * for a later one, touches; so within a round the order makes no difference. */
#ifndef PB_STORE_MONGO_COMMIT_H
#define PB_STORE_MONGO_COMMIT_H

#include "common/store_mongo.h"

pb_err mongo_commit(struct store *base, struct store_op *const *ops, size_t count,
                    struct pb_why *why) PB_CHECKED;

#endif
