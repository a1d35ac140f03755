/* The MongoDB that tests use: databases of their own on the server at PATCHBAY_TEST_MONGODB_URI, which are
 * dropped when they are done. */
#ifndef PB_TESTS_STORE_MONGO_PLACE_H
#define PB_TESTS_STORE_MONGO_PLACE_H

#include "tests/store/suite.h"

#include <mongoc/mongoc.h>
#include <stdbool.h>

struct mongo_place {
    const char *uri; /* of the server */
    mongoc_client_t *client;
    char database[64]; /* the newest that mongo_place_fresh() has named */
    int count;
};

/* false: there is no server to test on; says so as a skipped test, for scripts/test to count. */
bool mongo_place_open(struct mongo_place *p);
void mongo_place_close(struct mongo_place *p);

/* For struct suite_subject: the URL of a database that does not exist; drops the one before. */
void mongo_place_fresh(void *place, char url[SUITE_URL_BYTES]);
/* The server's URI with another database, and with options added ("a=b&c=d"; may be ""). */
void mongo_place_url(const struct mongo_place *p, const char *database, const char *options,
                     char url[SUITE_URL_BYTES]);
/* Of the newest database. The caller's (mongoc_collection_destroy). */
mongoc_collection_t *mongo_place_collection(const struct mongo_place *p, const char *name);
/* The newest database's only document with this _id, as relaxed JSON; bson_free() it. NULL: none. */
char *mongo_place_document(const struct mongo_place *p, const char *collection, const char *id);

#endif
