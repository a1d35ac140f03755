/* The version of what stands in the database, and its indexes. They are named, so that reads can insist on
 * one: a read that cannot use its index fails in the first test instead of scanning. */
#include "common/store_mongo.h"
#include "common/store_mongo_docs.h"

#include <assert.h>

#define SCHEMA_VERSION 1

/* Deleted integrations leave a document without tenant and name: sparse, so that they are in nobody's way. An
 * index that a filter makes partial is used only by reads that imply the filter. */
static const struct index {
    enum mongo_collection where;
    const char *spec;
} indexes[] = {
    {MONGO_INTEGRATIONS, "{\"name\": \"name\", \"key\": {\"tenant\": 1, \"name\": 1}, \"unique\": true, "
                         "\"sparse\": true}"},
    {MONGO_INTEGRATIONS, "{\"name\": \"tenant\", \"key\": {\"tenant\": 1, \"_id\": 1}}"},
    {MONGO_INTEGRATIONS, "{\"name\": \"type\", \"key\": {\"type\": 1, \"_id\": 1}}"},
    {MONGO_INTEGRATIONS, "{\"name\": \"tenant_type\", \"key\": {\"tenant\": 1, \"type\": 1, \"_id\": 1}}"},
    {MONGO_INTEGRATIONS,
     "{\"name\": \"due\", \"key\": {\"nextValidation\": 1, \"_id\": 1}, \"sparse\": true}"},
    {MONGO_INTEGRATIONS, "{\"name\": \"deleted\", \"key\": {\"deletedAt\": 1}, \"sparse\": true}"},
    {MONGO_JOBS, "{\"name\": \"idem\", \"key\": {\"idem\": 1}, \"unique\": true, \"sparse\": true}"},
    {MONGO_JOBS, "{\"name\": \"state\", \"key\": {\"state\": 1, \"_id\": 1}}"},
    {MONGO_JOBS, "{\"name\": \"tenant\", \"key\": {\"tenant\": 1, \"state\": 1, \"_id\": 1}}"},
    {MONGO_JOBS, "{\"name\": \"integration\", \"key\": {\"integration\": 1, \"_id\": 1}}"},
    {MONGO_JOBS, "{\"name\": \"code\", \"key\": {\"tenant\": 1, \"code\": 1, \"_id\": 1}, "
                 "\"partialFilterExpression\": {\"code\": {\"$exists\": true}}}"},
    {MONGO_JOBS, "{\"name\": \"ended\", \"key\": {\"state\": 1, \"finishedAt\": 1, \"_id\": 1}}"},
    {MONGO_BATCHES, "{\"name\": \"state\", \"key\": {\"state\": 1, \"_id\": 1}}"},
    {MONGO_BATCHES, "{\"name\": \"tenant\", \"key\": {\"tenant\": 1, \"_id\": 1}}"},
    {MONGO_SCHEDULES, "{\"name\": \"tenant\", \"key\": {\"tenant\": 1, \"name\": 1}}"},
    {MONGO_TOKENS, "{\"name\": \"created\", \"key\": {\"createdAt\": 1, \"_id\": 1}}"},
};

static void append_index(bson_t *array, uint32_t i, const char *spec)
{
    char digits[16];
    const char *key;
    bson_error_t error;
    bson_t *doc = bson_new_from_json((const uint8_t *)spec, -1, &error);
    size_t len = bson_uint32_to_string(i, &key, digits, sizeof digits);
    assert(doc);
    bson_append_document(array, key, (int)len, doc);
    bson_destroy(doc);
}

static uint32_t append_indexes(bson_t *command, enum mongo_collection where)
{
    bson_t array;
    uint32_t count = 0;
    BSON_APPEND_ARRAY_BEGIN(command, "indexes", &array);
    for (size_t i = 0; i < sizeof indexes / sizeof indexes[0]; i++)
        if (indexes[i].where == where)
            append_index(&array, count++, indexes[i].spec);
    bson_append_array_end(command, &array);
    return count;
}

static pb_err make_indexes(struct mongo *m, enum mongo_collection where, struct pb_why *why)
{
    bson_t command = BSON_INITIALIZER, concern, reply;
    bson_error_t error;
    BSON_APPEND_UTF8(&command, "createIndexes", mongo_collection_name(where));
    bool any = append_indexes(&command, where) > 0;
    BSON_APPEND_DOCUMENT_BEGIN(&command, "writeConcern", &concern);
    BSON_APPEND_UTF8(&concern, "w", "majority");
    bson_append_document_end(&command, &concern);
    pb_err err = PB_OK;
    if (any) {
        if (!mongoc_database_write_command_with_opts(m->database, &command, NULL, &reply, &error))
            err = mongo_fail(m, &error, why);
        bson_destroy(&reply);
    }
    bson_destroy(&command);
    return err;
}

/* -- the version -- */

static pb_err take_version(void *arg, const bson_t *doc, struct pb_why *why)
{
    (void)why;
    *(int64_t *)arg = mongo_get_number(doc, "value");
    return PB_OK;
}

static pb_err read_version(struct mongo *m, int64_t *out, struct pb_why *why)
{
    bson_t filter = BSON_INITIALIZER;
    BSON_APPEND_UTF8(&filter, "_id", "schema");
    *out = 0;
    pb_err err = mongo_find(m, MONGO_META, &filter, NULL, take_version, out, why);
    bson_destroy(&filter);
    return err;
}

static pb_err write_version(struct mongo *m, struct pb_why *why)
{
    bson_t *filter = BCON_NEW("_id", "schema");
    bson_t *update = BCON_NEW("$set", "{", "value", BCON_INT64(SCHEMA_VERSION), "}");
    bson_t *opts = BCON_NEW("upsert", BCON_BOOL(true));
    bson_error_t error;
    pb_err err = PB_OK;
    if (!mongoc_collection_update_one(m->collections[MONGO_META], filter, update, opts, NULL, &error))
        err = mongo_fail(m, &error, why);
    bson_destroy(filter);
    bson_destroy(update);
    bson_destroy(opts);
    return err;
}

pb_err mongo_schema_open(struct mongo *m, bool read_only, struct pb_why *why)
{
    int64_t version;
    pb_err err = read_version(m, &version, why);
    if (err)
        return err;
    if (version > SCHEMA_VERSION)
        return pb_fail(why, PB_E_UNSUPPORTED, m->shown,
                       "was written by a newer Patchbay (schema %lld, this one knows %d); update this one",
                       (long long)version, SCHEMA_VERSION);
    if (read_only)
        return version ? PB_OK
                       : pb_fail(why, PB_E_STORE, m->shown,
                                 "has no collections of Patchbay's; start a broker on it first");
    for (int c = 0; c < MONGO_COLLECTIONS && !err; c++)
        err = make_indexes(m, (enum mongo_collection)c, why);
    return err || version == SCHEMA_VERSION ? err : write_version(m, why);
}
