/* The MongoDB store: one client (its handle's thread's own), six collections, and what its parts share.
 *
 *   store_mongo_uri      the URI, libmongoc's log
 *   store_mongo_docs     records as documents; store_mongo_json: the JSON within them
 *   store_mongo_schema   indexes, and the version of all this
 *   store_mongo_bulk     bulk writes with an outcome for each operation
 *   store_mongo_changes  fenced changes of integrations
 *   store_mongo_jobs     jobs: appends, ends, retries, marks, revivals
 *   store_mongo_purge    jobs that ended long ago
 *   store_mongo_commit   the order of a commit's operations
 *   store_mongo_lists    reads of many
 *   store_mongo          opening, and reads of one
 *
 * Writes wait for a majority and its journals; reads ask the primary for what a majority has. A commit is no
 * transaction here: it may be done in part when it fails, and every operation may be repeated. */
#ifndef PB_STORE_MONGO_H
#define PB_STORE_MONGO_H

#include "common/store_ops.h"

#include <mongoc/mongoc.h>

#define MONGO_DUPLICATE 11000 /* the code of an error: a unique index has the key already */

enum mongo_collection {
    MONGO_INTEGRATIONS,
    MONGO_JOBS,
    MONGO_BATCHES,
    MONGO_SCHEDULES,
    MONGO_TOKENS,
    MONGO_META,
    MONGO_COLLECTIONS,
};

struct mongo {
    struct store base;
    mongoc_client_t *client;
    mongoc_database_t *database;
    mongoc_collection_t *collections[MONGO_COLLECTIONS];
    char shown[STORE_SHOWN_BYTES]; /* the URI as errors call it */
    bool transient; /* the last failure is of the kind that passes: a lost connection, a new primary */
    bool repeating; /* the last commit failed, and may have been done in part */
};

const char *mongo_collection_name(enum mongo_collection c);

/* libmongoc's error as ours: what failed, and what to do. PB_E_STORE. */
pb_err mongo_fail(struct mongo *m, const bson_error_t *error, struct pb_why *why);

/* Calls each() for every document that matches; returning other than PB_OK it ends the read, which returns
 * the same. filter and opts (as of mongoc_collection_find_with_opts) are JSON-like documents, lent. */
typedef pb_err mongo_each(void *arg, const bson_t *doc, struct pb_why *why);
pb_err mongo_find(struct mongo *m, enum mongo_collection c, const bson_t *filter, const bson_t *opts,
                  mongo_each *each, void *arg, struct pb_why *why) PB_CHECKED;

/* Looks up many by _id, each once: each() gets the document's place in ids. projection is a JSON document of
 * the fields that are read. */
typedef void mongo_found(void *arg, size_t i, const bson_t *doc);
pb_err mongo_find_ids(struct mongo *m, enum mongo_collection c, const char *prefix, const struct pb_id *ids,
                      size_t count, const char *projection, mongo_found *found, void *arg,
                      struct pb_why *why) PB_CHECKED;

/* Whose is (tenant, name)? PB_E_NOT_FOUND: nobody's. */
pb_err mongo_name_owner(struct mongo *m, const char *tenant, const char *name, struct pb_id *out,
                        struct pb_why *why) PB_CHECKED;

/* Checks that the database is not a newer version's; for writing, makes what is missing of its indexes. */
pb_err mongo_schema_open(struct mongo *m, bool read_only, struct pb_why *why) PB_CHECKED;

#endif
