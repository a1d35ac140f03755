/* Bulk writes of one kind (inserts, or updates and replacements), unordered, in as few commands as fit, with
 * what became of each.
 *
 * libmongoc tells only how many were matched, and which failed: so a caller whose operations have conditions
 * reads back when some are missing. One command at a time, because libmongoc lets a write error of one hide
 * that the next one's connection broke. */
#ifndef PB_STORE_MONGO_BULK_H
#define PB_STORE_MONGO_BULK_H

#include "common/store_mongo.h"

/* Adds operation i; gives how large it is. */
typedef size_t mongo_bulk_add(void *arg, size_t i, mongoc_bulk_operation_t *bulk);

struct mongo_bulk {
    enum mongo_collection where;
    size_t count;
    mongo_bulk_add *add;
    void *arg;
    bool *duplicate; /* of each: MONGO_DUPLICATE. Cleared first */
};

/* missing: how many operations changed nothing: duplicates, and conditions that did not hold. */
pb_err mongo_bulk_run(struct mongo *m, const struct mongo_bulk *b, size_t *missing,
                      struct pb_why *why) PB_CHECKED;

/* add() in the usual ways. */
size_t mongo_bulk_insert(mongoc_bulk_operation_t *bulk, const bson_t *doc);
size_t mongo_bulk_replace(mongoc_bulk_operation_t *bulk, const bson_t *filter, const bson_t *doc,
                          bool upsert);
size_t mongo_bulk_update(mongoc_bulk_operation_t *bulk, const bson_t *filter, const bson_t *update,
                         bool upsert);

#endif
