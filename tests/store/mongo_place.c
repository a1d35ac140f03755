#include "tests/store/mongo_place.h"

#include "common/store_mongo_uri.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
/* cmocka wants setjmp and stdarg before it */
#include <cmocka.h>

bool mongo_place_open(struct mongo_place *p)
{
    *p = (struct mongo_place){.uri = getenv("PATCHBAY_TEST_MONGODB_URI")};
    if (!p->uri || !p->uri[0]) {
        puts("[  SKIPPED ] 1 test(s): no MongoDB; PATCHBAY_TEST_MONGODB_URI names one, and `make test-mongo` "
             "finds or starts one");
        return false;
    }
    mongo_uri_begin();
    p->client = mongoc_client_new(p->uri);
    assert_non_null(p->client);
    return true;
}

static void drop(struct mongo_place *p)
{
    bson_error_t error;
    if (!p->database[0])
        return;
    mongoc_database_t *database = mongoc_client_get_database(p->client, p->database);
    if (!mongoc_database_drop(database, &error))
        fail_msg("%s", error.message);
    mongoc_database_destroy(database);
    p->database[0] = 0;
}

void mongo_place_close(struct mongo_place *p)
{
    drop(p);
    mongoc_client_destroy(p->client);
}

void mongo_place_url(const struct mongo_place *p, const char *database, const char *options,
                     char url[SUITE_URL_BYTES])
{
    const char *hosts = strstr(p->uri, "://");
    assert_non_null(hosts);
    size_t before = (size_t)(hosts + 3 - p->uri) + strcspn(hosts + 3, "/?");
    const char *asked = strchr(p->uri, '?');
    int len = snprintf(url, SUITE_URL_BYTES, "%.*s/%s%s%s%s", (int)before, p->uri, database,
                       asked        ? asked
                       : options[0] ? "?"
                                    : "",
                       asked && options[0] ? "&" : "", options);
    assert_true(len > 0 && len < SUITE_URL_BYTES);
}

void mongo_place_fresh(void *place, char url[SUITE_URL_BYTES])
{
    struct mongo_place *p = place;
    drop(p);
    snprintf(p->database, sizeof p->database, "patchbay_test_%d_%d", (int)getpid(), p->count++);
    mongo_place_url(p, p->database, "", url);
}

mongoc_collection_t *mongo_place_collection(const struct mongo_place *p, const char *name)
{
    return mongoc_client_get_collection(p->client, p->database, name);
}

char *mongo_place_document(const struct mongo_place *p, const char *collection, const char *id)
{
    mongoc_collection_t *c = mongo_place_collection(p, collection);
    bson_t *filter = BCON_NEW("_id", BCON_UTF8(id));
    mongoc_cursor_t *cursor = mongoc_collection_find_with_opts(c, filter, NULL, NULL);
    const bson_t *doc;
    char *json = mongoc_cursor_next(cursor, &doc) ? bson_as_relaxed_extended_json(doc, NULL) : NULL;
    mongoc_cursor_destroy(cursor);
    bson_destroy(filter);
    mongoc_collection_destroy(c);
    return json;
}
