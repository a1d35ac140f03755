/* Fenced changes of integrations: each one conditional write of one document, many in a bulk. A deleted
 * integration's document is replaced by {_id, fence, deletedAt}, so that deleting is one write, too. */
#ifndef PB_STORE_MONGO_CHANGES_H
#define PB_STORE_MONGO_CHANGES_H

#include "common/store_mongo.h"

/* Writes the changes of operations that concern different integrations, and sets each one's outcome.
 * PB_E_AGAIN: the name belongs to an integration that another of these operations has changed: try again
 * after them. Repeated, it comes to the same. */
pb_err mongo_changes_write(struct mongo *m, struct store_op *const *ops, size_t count,
                           struct pb_why *why) PB_CHECKED;
/* Only says what their outcomes would be. */
pb_err mongo_changes_judge(struct mongo *m, struct store_op *const *ops, size_t count,
                           struct pb_why *why) PB_CHECKED;

#endif
