#include "common/store_mongo.h"

#include "common/store_mongo_commit.h"
#include "common/store_mongo_docs.h"
#include "common/store_mongo_lists.h"
#include "common/store_mongo_uri.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define WIRE_VERSION_MIN 9 /* MongoDB 4.4 */

static struct mongo *of(struct store *s)
{
    return (struct mongo *)s;
}

const char *mongo_collection_name(enum mongo_collection c)
{
    static const char *const names[] = {"Integrations", "Jobs", "Batches", "Schedules", "Tokens", "Meta"};
    return names[c];
}

/* -- errors -- */

/* What to do about an error of libmongoc's; the first line that fits. code 0: any. */
static const struct remedy {
    uint32_t domain, code;
    bool passes; /* by itself, soon */
    const char *text;
} remedies[] = {
    {MONGOC_ERROR_CLIENT, MONGOC_ERROR_CLIENT_AUTHENTICATE, false,
     "; check the user's name and password in --store, and that authSource names the database that knows "
     "the user"},
    {MONGOC_ERROR_SERVER_SELECTION, 0, false,
     "; is MongoDB running there, is its replica set's name as in --store, and can this machine reach it?"},
    {MONGOC_ERROR_STREAM, 0, true, ""},
    {MONGOC_ERROR_WRITE_CONCERN, 0, true, "; has the replica set a majority of its members?"},
    {MONGOC_ERROR_SERVER, 13, false, "; the user needs the role readWrite on this database"},
    {MONGOC_ERROR_SERVER, 18, false, "; check the user's name and password in --store"},
    {MONGOC_ERROR_SERVER, 85, false, "; an index of the same name was made by hand: remove it"},
    {MONGOC_ERROR_SERVER, 86, false, "; an index of the same name was made by hand: remove it"},
    {MONGOC_ERROR_SERVER, 10107, true, ""},
    {MONGOC_ERROR_SERVER, 13435, true, ""},
    {MONGOC_ERROR_SERVER, 11600, true, ""},
    {MONGOC_ERROR_SERVER, 11602, true, ""},
    {MONGOC_ERROR_SERVER, 189, true, ""},
    {MONGOC_ERROR_SERVER, 91, true, ""},
};

pb_err mongo_fail(struct mongo *m, const bson_error_t *error, struct pb_why *why)
{
    static const struct remedy none = {.text = ""};
    const struct remedy *r = &none;
    for (size_t i = 0; i < sizeof remedies / sizeof remedies[0] && r == &none; i++)
        if (remedies[i].domain == error->domain && (!remedies[i].code || remedies[i].code == error->code))
            r = &remedies[i];
    m->transient = r->passes;
    return pb_fail(why, PB_E_STORE, m->shown, "%.300s%s", error->message, r->text);
}

/* -- finding -- */

pb_err mongo_find(struct mongo *m, enum mongo_collection c, const bson_t *filter, const bson_t *opts,
                  mongo_each *each, void *arg, struct pb_why *why)
{
    mongoc_cursor_t *cursor = mongoc_collection_find_with_opts(m->collections[c], filter, opts, NULL);
    const bson_t *doc;
    bson_error_t error;
    pb_err err = PB_OK;
    while (!err && mongoc_cursor_next(cursor, &doc))
        err = each(arg, doc, why);
    if (!err && mongoc_cursor_error(cursor, &error))
        err = mongo_fail(m, &error, why);
    mongoc_cursor_destroy(cursor);
    return err;
}

/* Many ids, in an order in which they can be searched. */
struct lookup {
    const struct pb_id *ids;
    size_t *order, count;
    const char *prefix;
    mongo_found *found;
    void *arg;
};

static int by_id(const void *a, const void *b, void *ids)
{
    const struct pb_id *all = ids;
    return memcmp(all[*(const size_t *)a].bytes, all[*(const size_t *)b].bytes, sizeof all->bytes);
}

static pb_err found_one(void *arg, const bson_t *doc, struct pb_why *why)
{
    const struct lookup *l = arg;
    struct pb_id id;
    (void)why;
    if (!mongo_get_id(doc, "_id", l->prefix, &id))
        return PB_OK;
    size_t low = 0, high = l->count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (memcmp(l->ids[l->order[middle]].bytes, id.bytes, sizeof id.bytes) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    if (low < l->count && id_equal(&l->ids[l->order[low]], &id))
        l->found(l->arg, l->order[low], doc);
    return PB_OK;
}

static pb_err run_lookup(struct mongo *m, enum mongo_collection c, struct lookup *l, const char *projection,
                         struct pb_why *why)
{
    bson_t filter = BSON_INITIALIZER, opts = BSON_INITIALIZER;
    bson_error_t error;
    bson_t *fields = bson_new_from_json((const uint8_t *)projection, -1, &error);
    if (fields)
        BSON_APPEND_DOCUMENT(&opts, "projection", fields);
    mongo_put_ids(&filter, l->prefix, l->ids, l->count);
    pb_err err = mongo_find(m, c, &filter, &opts, found_one, l, why);
    bson_destroy(fields);
    bson_destroy(&filter);
    bson_destroy(&opts);
    return err;
}

pb_err mongo_find_ids(struct mongo *m, enum mongo_collection c, const char *prefix, const struct pb_id *ids,
                      size_t count, const char *projection, mongo_found *found, void *arg, struct pb_why *why)
{
    struct lookup l = {.ids = ids, .count = count, .prefix = prefix, .found = found, .arg = arg};
    if (!count)
        return PB_OK;
    l.order = calloc(count, sizeof l.order[0]);
    if (!l.order)
        return PB_E_MEMORY;
    for (size_t i = 0; i < count; i++)
        l.order[i] = i;
    qsort_r(l.order, count, sizeof l.order[0], by_id, (void *)(uintptr_t)ids);
    pb_err err = run_lookup(m, c, &l, projection, why);
    free(l.order);
    return err;
}

/* -- reads of one document -- */

/* What a read of one document found: PB_E_NOT_FOUND until it did. */
struct one {
    pb_err err;
    void *out;
};

static pb_err find_one(struct mongo *m, enum mongo_collection c, const bson_t *filter, const bson_t *opts,
                       mongo_each *each, void *out, struct pb_why *why)
{
    struct one one = {.err = PB_E_NOT_FOUND, .out = out};
    pb_err err = mongo_find(m, c, filter, opts, each, &one, why);
    return err ? err : one.err;
}

static pb_err find_by_id(struct store *base, enum mongo_collection c, const char *prefix,
                         const struct pb_id *id, mongo_each *each, void *out, struct pb_why *why)
{
    bson_t filter = BSON_INITIALIZER;
    mongo_put_id(&filter, "_id", prefix, id);
    pb_err err = find_one(of(base), c, &filter, NULL, each, out, why);
    bson_destroy(&filter);
    return err;
}

static pb_err take_integration(void *arg, const bson_t *doc, struct pb_why *why)
{
    struct one *one = arg;
    if (mongo_has(doc, "deletedAt"))
        return PB_OK;
    one->err = mongo_integration_get(doc, one->out, why);
    return one->err;
}

static pb_err get_integration(struct store *base, const struct pb_id *id, struct integration *out,
                              struct pb_why *why)
{
    return find_by_id(base, MONGO_INTEGRATIONS, ID_INTEGRATION, id, take_integration, out, why);
}

static pb_err take_id(void *arg, const bson_t *doc, struct pb_why *why)
{
    struct one *one = arg;
    (void)why;
    if (mongo_get_id(doc, "_id", ID_INTEGRATION, one->out))
        one->err = PB_OK;
    return PB_OK;
}

pb_err mongo_name_owner(struct mongo *m, const char *tenant, const char *name, struct pb_id *out,
                        struct pb_why *why)
{
    bson_t filter = BSON_INITIALIZER;
    bson_t *opts = BCON_NEW("hint", "name", "projection", "{", "_id", BCON_INT32(1), "}");
    BSON_APPEND_UTF8(&filter, "tenant", tenant);
    BSON_APPEND_UTF8(&filter, "name", name);
    pb_err err = find_one(m, MONGO_INTEGRATIONS, &filter, opts, take_id, out, why);
    bson_destroy(&filter);
    bson_destroy(opts);
    return err;
}

static pb_err find_name(struct store *base, const char *tenant, const char *name, struct pb_id *out,
                        struct pb_why *why)
{
    return mongo_name_owner(of(base), tenant, name, out, why);
}

static pb_err take_job(void *arg, const bson_t *doc, struct pb_why *why)
{
    struct one *one = arg;
    one->err = mongo_job_get(doc, one->out, why);
    return one->err;
}

static pb_err get_job(struct store *base, const struct pb_id *id, struct job *out, struct pb_why *why)
{
    return find_by_id(base, MONGO_JOBS, ID_JOB, id, take_job, out, why);
}

static pb_err take_batch(void *arg, const bson_t *doc, struct pb_why *why)
{
    struct one *one = arg;
    one->err = mongo_batch_get(doc, one->out, why);
    return one->err;
}

static pb_err get_batch(struct store *base, const struct pb_id *id, struct store_batch *out,
                        struct pb_why *why)
{
    return find_by_id(base, MONGO_BATCHES, ID_BATCH, id, take_batch, out, why);
}

static pb_err take_schedule(void *arg, const bson_t *doc, struct pb_why *why)
{
    struct one *one = arg;
    one->err = mongo_schedule_get(doc, one->out, why);
    return one->err;
}

static pb_err get_schedule(struct store *base, const char *tenant, const char *name,
                           struct store_schedule *out, struct pb_why *why)
{
    bson_t filter = BSON_INITIALIZER;
    mongo_put_schedule_id(&filter, tenant, name);
    pb_err err = find_one(of(base), MONGO_SCHEDULES, &filter, NULL, take_schedule, out, why);
    bson_destroy(&filter);
    return err;
}

static pb_err take_meta(void *arg, const bson_t *doc, struct pb_why *why)
{
    struct one *one = arg;
    char **out = one->out;
    bson_iter_t at;
    (void)why;
    if (!bson_iter_init_find(&at, doc, "value"))
        return PB_OK;
    if (BSON_ITER_HOLDS_UTF8(&at))
        *out = strdup(bson_iter_utf8(&at, NULL));
    else if (asprintf(out, "%lld", (long long)bson_iter_as_int64(&at)) < 0)
        *out = NULL;
    one->err = *out ? PB_OK : PB_E_MEMORY;
    return one->err;
}

static pb_err get_meta(struct store *base, const char *key, char **out, struct pb_why *why)
{
    bson_t filter = BSON_INITIALIZER;
    BSON_APPEND_UTF8(&filter, "_id", key);
    pb_err err = find_one(of(base), MONGO_META, &filter, NULL, take_meta, out, why);
    bson_destroy(&filter);
    return err;
}

/* -- opening -- */

/* Majority and journal for every write, what a majority has for every read. */
static void open_collections(struct mongo *m)
{
    mongoc_write_concern_t *durable = mongoc_write_concern_new();
    mongoc_read_concern_t *committed = mongoc_read_concern_new();
    const mongoc_write_concern_t *asked = mongoc_client_get_write_concern(m->client);
    mongoc_write_concern_set_wmajority(durable, mongoc_write_concern_get_wtimeout(asked));
    mongoc_write_concern_set_journal(durable, true);
    mongoc_read_concern_set_level(committed, MONGOC_READ_CONCERN_LEVEL_MAJORITY);
    for (int c = 0; c < MONGO_COLLECTIONS; c++) {
        m->collections[c] =
            mongoc_database_get_collection(m->database, mongo_collection_name((enum mongo_collection)c));
        mongoc_collection_set_write_concern(m->collections[c], durable);
        mongoc_collection_set_read_concern(m->collections[c], committed);
    }
    mongoc_write_concern_destroy(durable);
    mongoc_read_concern_destroy(committed);
}

static pb_err check_server(struct mongo *m, struct pb_why *why)
{
    bson_error_t error;
    mongoc_server_description_t *server = mongoc_client_select_server(m->client, true, NULL, &error);
    if (!server)
        return mongo_fail(m, &error, why);
    int64_t version = mongo_get_number(mongoc_server_description_hello_response(server), "maxWireVersion");
    mongoc_server_description_destroy(server);
    return version >= WIRE_VERSION_MIN ? PB_OK
                                       : pb_fail(why, PB_E_UNSUPPORTED, m->shown,
                                                 "MongoDB 4.4 or later is needed; update the server");
}

static void close_store(struct store *base)
{
    struct mongo *m = of(base);
    for (int c = 0; c < MONGO_COLLECTIONS; c++)
        mongoc_collection_destroy(m->collections[c]);
    mongoc_database_destroy(m->database);
    mongoc_client_destroy(m->client);
    free(m);
}

static pb_err open_client(struct mongo *m, const mongoc_uri_t *uri, struct pb_why *why)
{
    const char *name = mongoc_uri_get_database(uri);
    m->client = mongoc_client_new_from_uri(uri);
    if (!m->client)
        return pb_fail(why, PB_E_INVALID, m->shown,
                       "the driver cannot use this URI; are the files that its TLS options name readable?");
    mongoc_client_set_error_api(m->client, MONGOC_ERROR_API_VERSION_2);
    if (!mongoc_uri_get_appname(uri))
        mongoc_client_set_appname(m->client, "patchbay");
    m->database = mongoc_client_get_database(m->client, name ? name : MONGO_DATABASE);
    open_collections(m);
    return check_server(m, why);
}

static pb_err open_store(const char *url, bool read_only, struct store **out, struct pb_why *why)
{
    mongoc_uri_t *uri = NULL;
    struct mongo *m = calloc(1, sizeof *m);
    if (!m)
        return PB_E_MEMORY;
    mongo_uri_begin();
    m->base.ops = &store_mongo_ops;
    store_shown(url, m->shown);
    pb_err err = mongo_uri_parse(url, m->shown, &uri, why);
    if (!err)
        err = open_client(m, uri, why);
    if (!err)
        err = mongo_schema_open(m, read_only, why);
    mongoc_uri_destroy(uri);
    if (err)
        close_store(&m->base);
    else
        *out = &m->base;
    return err;
}

const struct store_ops store_mongo_ops = {
    .scheme = "mongodb",
    .example = "mongodb://db1,db2,db3/patchbay?replicaSet=rs0",
    .open = open_store,
    .close = close_store,
    .commit = mongo_commit,
    .get_integration = get_integration,
    .find_name = find_name,
    .get_job = get_job,
    .get_meta = get_meta,
    .list_integrations = mongo_list_integrations,
    .list_due = mongo_list_due,
    .count_integrations = mongo_count_integrations,
    .get_batch = get_batch,
    .list_batches = mongo_list_batches,
    .get_schedule = get_schedule,
    .list_schedules = mongo_list_schedules,
    .list_jobs = mongo_list_jobs,
    .list_meta = mongo_list_meta,
    .list_deleted = mongo_list_deleted,
    .list_tokens = mongo_list_tokens,
};
