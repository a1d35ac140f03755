#include "common/store_mongo_bulk.h"

#include "common/store_mongo_docs.h"

#include <string.h>

#define CHUNK_BYTES (32 * 1024 * 1024) /* a message may have 48 MB */

/* -- adding -- */

/* Ours are sound by construction, and libmongoc's look at every key costs more than sending it. */
static bson_t *unchecked(bool upsert)
{
    bson_t *opts = BCON_NEW("validate", BCON_BOOL(false));
    if (upsert)
        BSON_APPEND_BOOL(opts, "upsert", true);
    return opts;
}

size_t mongo_bulk_insert(mongoc_bulk_operation_t *bulk, const bson_t *doc)
{
    bson_t *opts = unchecked(false);
    bson_error_t error; /* it cannot fail without a check; if it did, the operation would be missing */
    mongoc_bulk_operation_insert_with_opts(bulk, doc, opts, &error);
    bson_destroy(opts);
    return doc->len;
}

size_t mongo_bulk_replace(mongoc_bulk_operation_t *bulk, const bson_t *filter, const bson_t *doc, bool upsert)
{
    bson_t *opts = unchecked(upsert);
    bson_error_t error;
    mongoc_bulk_operation_replace_one_with_opts(bulk, filter, doc, opts, &error);
    bson_destroy(opts);
    return filter->len + doc->len;
}

size_t mongo_bulk_update(mongoc_bulk_operation_t *bulk, const bson_t *filter, const bson_t *update,
                         bool upsert)
{
    bson_t *opts = unchecked(upsert);
    bson_error_t error;
    mongoc_bulk_operation_update_one_with_opts(bulk, filter, update, opts, &error);
    bson_destroy(opts);
    return filter->len + update->len;
}

/* -- running -- */

static size_t effects_of(const bson_t *reply)
{
    static const char *const counts[] = {"nInserted", "nMatched", "nUpserted", "nRemoved"};
    int64_t n = 0;
    for (size_t i = 0; i < sizeof counts / sizeof counts[0]; i++)
        n += mongo_get_number(reply, counts[i]);
    return (size_t)n;
}

/* The first element of an array of errors, as an error; false: there is none. */
static bool first_error(const bson_t *reply, const char *array, uint32_t domain, bson_error_t *out)
{
    bson_iter_t at, inside;
    if (!bson_iter_init_find(&at, reply, array) || !bson_iter_recurse(&at, &inside) ||
        !bson_iter_next(&inside) || !bson_iter_recurse(&inside, &at))
        return false;
    bson_set_error(out, domain, 0, "%s", "without a message");
    while (bson_iter_next(&at))
        if (strcmp(bson_iter_key(&at), "code") == 0)
            out->code = (uint32_t)bson_iter_as_int64(&at);
        else if (strcmp(bson_iter_key(&at), "errmsg") == 0 && BSON_ITER_HOLDS_UTF8(&at))
            bson_strncpy(out->message, bson_iter_utf8(&at, NULL), sizeof out->message);
    return true;
}

struct write_error {
    int64_t index, code;
    const char *message;
};

static struct write_error write_error_of(bson_iter_t *at)
{
    struct write_error e = {.index = -1, .message = "without a message"};
    while (bson_iter_next(at))
        if (strcmp(bson_iter_key(at), "index") == 0)
            e.index = bson_iter_as_int64(at);
        else if (strcmp(bson_iter_key(at), "code") == 0)
            e.code = bson_iter_as_int64(at);
        else if (strcmp(bson_iter_key(at), "errmsg") == 0 && BSON_ITER_HOLDS_UTF8(at))
            e.message = bson_iter_utf8(at, NULL);
    return e;
}

/* Marks what met a unique index. Any other write error is the commit's: *error. */
static bool take_write_errors(const bson_t *reply, bool *duplicate, size_t count, bson_error_t *error)
{
    bson_iter_t at, inside, one;
    if (!bson_iter_init_find(&at, reply, "writeErrors") || !bson_iter_recurse(&at, &inside))
        return true;
    while (bson_iter_next(&inside) && bson_iter_recurse(&inside, &one)) {
        struct write_error e = write_error_of(&one);
        if (e.code != MONGO_DUPLICATE || e.index < 0 || (size_t)e.index >= count) {
            bson_set_error(error, MONGOC_ERROR_SERVER, (uint32_t)e.code, "%s", e.message);
            return false;
        }
        duplicate[e.index] = true;
    }
    return true;
}

/* Did the command come to its end, with nothing but duplicates to complain of? */
static bool is_settled(bool ok, const bson_t *reply, bool *duplicate, size_t count, bson_error_t *error)
{
    if (ok)
        return true;
    if (first_error(reply, "writeConcernErrors", MONGOC_ERROR_WRITE_CONCERN, error))
        return false;
    return error->domain == MONGOC_ERROR_SERVER && error->code == MONGO_DUPLICATE &&
           take_write_errors(reply, duplicate, count, error);
}

/* Runs operations from begin on, as many as fit into a command; gives where it ended. */
static pb_err run_chunk(struct mongo *m, const struct mongo_bulk *b, size_t begin, size_t *end,
                        size_t *missing, struct pb_why *why)
{
    bson_t *opts = BCON_NEW("ordered", BCON_BOOL(false)), reply;
    mongoc_bulk_operation_t *bulk =
        mongoc_collection_create_bulk_operation_with_opts(m->collections[b->where], opts);
    bson_error_t error = {0};
    size_t i = begin, bytes = 0;
    for (; i < b->count && bytes < CHUNK_BYTES; i++)
        bytes += b->add(b->arg, i, bulk);
    bool ok = mongoc_bulk_operation_execute(bulk, &reply, &error) != 0;
    pb_err err = PB_OK;
    if (is_settled(ok, &reply, b->duplicate + begin, i - begin, &error)) {
        size_t done = effects_of(&reply);
        *missing += done < i - begin ? i - begin - done : 0;
        *end = i;
    } else {
        err = mongo_fail(m, &error, why);
    }
    bson_destroy(&reply);
    bson_destroy(opts);
    mongoc_bulk_operation_destroy(bulk);
    return err;
}

pb_err mongo_bulk_run(struct mongo *m, const struct mongo_bulk *b, size_t *missing, struct pb_why *why)
{
    pb_err err = PB_OK;
    size_t lacking = 0;
    if (b->count)
        memset(b->duplicate, 0, b->count * sizeof b->duplicate[0]);
    for (size_t i = 0; i < b->count && !err;)
        err = run_chunk(m, b, i, &i, &lacking, why);
    if (!err)
        *missing = lacking;
    return err;
}
