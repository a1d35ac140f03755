/* How fast is the MongoDB store? Fenced changes of DOCS integrations in commits of GROUP, as a worker's
 * batches of validations are, beside the same updates as a bare bulk-write loop of libmongoc against the same
 * server: the difference is what fences, documents and outcomes cost. Then jobs, appended and finished.
 *
 *   make build/tests/bench/mongo
 *   scripts/mongo run -- build/tests/bench/mongo [DOCS [GROUP]] */
#include "common/clock.h"
#include "common/store.h"
#include "common/store_mongo_docs.h"

#include <mongoc/mongoc.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct bench {
    char url[256], database[64];
    struct store *store;
    size_t docs, group;
    struct pb_id *ids;
    struct store_op *ops, **refs;
    uint64_t fence;
};

static char tenant[] = "acme", type[] = "stripe", label[] = "Acme Inc.", host[] = "api.stripe.com";
static char result[] =
    "{\"code\":\"ok\",\"class\":\"ok\",\"httpStatus\":200,\"attempt\":1,\"durationMs\":12}";
static char events[] =
    "[{\"eventType\":\"charge.refunded\",\"schemaReference\":\"integrations/stripe/schemas/"
    "charge.refunded.json\","
    "\"description\":\"A charge was refunded.\"},{\"eventType\":\"invoice.paid\",\"schemaReference\":"
    "\"integrations/stripe/schemas/invoice.paid.json\",\"description\":\"An invoice was paid.\"}]";
static uint8_t box[200];

static void report(const char *what, size_t count, uint64_t began_us)
{
    double seconds = (double)(clock_mono_us() - began_us) / 1e6;
    printf("%-44s %8.0f a second\n", what, (double)count / seconds);
    fflush(stdout);
}

static void die(const struct pb_why *why)
{
    fprintf(stderr, "bench: %s: %s\n", why->at, why->text);
    exit(1);
}

static void fill_change(struct bench *b, size_t n, struct store_op *op)
{
    static char names[64][40];
    char *name = names[n % 64];
    snprintf(name, sizeof names[0], "integration %zu", n);
    (void)b;
    *op = (struct store_op){
        .kind = STORE_CHANGE,
        .change = {.kind = b->fence == 1 ? CHANGE_CREATE : CHANGE_REPLACE,
                   .fence = b->fence,
                   .if_generation = 1,
                   .doc = {.id = b->ids[n],
                           .tenant = tenant,
                           .name = strdup(name),
                           .type = type,
                           .status = STATUS_ACTIVE,
                           .health = HEALTH_OK,
                           .supported_events = events,
                           .result = result,
                           .account_label = label,
                           .host = host,
                           .last_validated_ms = clock_wall_ms(),
                           .generation = 1,
                           .credentials = {.version = 1, .kid = "k1", .bytes = box, .len = sizeof box}}}};
}

static void fill_append(struct bench *b, size_t n, struct store_op *op)
{
    *op = (struct store_op){.kind = STORE_APPEND_JOB,
                            .job = {.id = b->ids[n],
                                    .kind = JOB_VALIDATE,
                                    .state = JOB_WAITING,
                                    .tenant = "acme",
                                    .type = "stripe",
                                    .integration = b->ids[n],
                                    .payload = box,
                                    .payload_len = sizeof box}};
}

static void fill_finish(struct bench *b, size_t n, struct store_op *op)
{
    *op = (struct store_op){
        .kind = STORE_FINISH_JOB,
        .job = {.id = b->ids[n], .state = JOB_DONE, .finished_at_ms = clock_wall_ms(), .result = result}};
}

static void run(struct bench *b, const char *what, void (*fill)(struct bench *, size_t, struct store_op *))
{
    struct pb_why why = {0};
    uint64_t began_us = clock_mono_us();
    for (size_t n = 0; n < b->docs;) {
        size_t count = 0;
        for (; count < b->group && n < b->docs; count++, n++)
            fill(b, n, &b->ops[count]);
        if (store_commit(b->store, b->refs, count, &why) != PB_OK)
            die(&why);
        for (size_t i = 0; i < count; i++) {
            if (b->ops[i].outcome)
                fprintf(stderr, "bench: %s\n", pb_err_name(b->ops[i].outcome));
            free(b->ops[i].change.doc.name);
        }
    }
    report(what, b->docs, began_us);
}

/* The same documents by the same condition, made beforehand, and what came of them not looked at. */
static void run_bare(struct bench *b)
{
    mongoc_client_t *client = mongoc_client_new(b->url);
    mongoc_collection_t *c = mongoc_client_get_collection(client, b->database, "Integrations");
    mongoc_write_concern_t *durable = mongoc_write_concern_new();
    mongoc_write_concern_set_wmajority(durable, 10000);
    mongoc_write_concern_set_journal(durable, true);
    mongoc_collection_set_write_concern(c, durable);
    bson_t *opts = BCON_NEW("ordered", BCON_BOOL(false)), *unchecked = BCON_NEW("validate", BCON_BOOL(false));
    bson_t **docs = calloc(b->docs, sizeof docs[0]);
    if (!docs)
        exit(1);
    for (size_t n = 0; n < b->docs; n++) {
        struct store_op op;
        fill_change(b, n, &op);
        docs[n] = bson_new();
        mongo_integration_put(docs[n], &op.change.doc, b->fence);
        free(op.change.doc.name);
    }
    uint64_t began_us = clock_mono_us();
    for (size_t n = 0; n < b->docs;) {
        mongoc_bulk_operation_t *bulk = mongoc_collection_create_bulk_operation_with_opts(c, opts);
        bson_error_t error;
        for (size_t i = 0; i < b->group && n < b->docs; i++, n++) {
            char id[ID_TEXT_BYTES];
            id_text(&b->ids[n], ID_INTEGRATION, id);
            bson_t *filter =
                BCON_NEW("_id", BCON_UTF8(id), "fence", "{", "$lt", BCON_INT64((int64_t)b->fence), "}");
            mongoc_bulk_operation_replace_one_with_opts(bulk, filter, docs[n], unchecked, &error);
            bson_destroy(filter);
        }
        if (!mongoc_bulk_operation_execute(bulk, NULL, &error))
            fprintf(stderr, "bench: %s\n", error.message);
        mongoc_bulk_operation_destroy(bulk);
    }
    report("bare libmongoc: the same bulk writes", b->docs, began_us);
    for (size_t n = 0; n < b->docs; n++)
        bson_destroy(docs[n]);
    free(docs);
    bson_destroy(opts);
    bson_destroy(unchecked);
    mongoc_write_concern_destroy(durable);
    mongoc_collection_destroy(c);
    mongoc_client_destroy(client);
}

static void open_bench(struct bench *b)
{
    const char *uri = getenv("PATCHBAY_TEST_MONGODB_URI");
    struct pb_why why = {.at = "PATCHBAY_TEST_MONGODB_URI",
                         .text = "names no server; see scripts/mongo --help"};
    const char *hosts = uri ? strstr(uri, "://") : NULL;
    if (!hosts)
        die(&why);
    snprintf(b->database, sizeof b->database, "patchbay_bench_%d", (int)getpid());
    int before = (int)(hosts + 3 - uri) + (int)strcspn(hosts + 3, "/?");
    const char *options = strchr(uri, '?');
    snprintf(b->url, sizeof b->url, "%.*s/%s%s", before, uri, b->database, options ? options : "");
    if (store_open(b->url, false, &b->store, &why) != PB_OK)
        die(&why);
}

static void drop(struct bench *b)
{
    mongoc_client_t *client = mongoc_client_new(b->url);
    mongoc_database_t *database = mongoc_client_get_database(client, b->database);
    mongoc_database_drop(database, NULL);
    mongoc_database_destroy(database);
    mongoc_client_destroy(client);
}

int main(int argc, char **argv)
{
    struct bench b = {.docs = argc > 1 ? strtoul(argv[1], NULL, 10) : 20000,
                      .group = argc > 2 ? strtoul(argv[2], NULL, 10) : 500};
    if (sodium_init() < 0 || !b.docs || !b.group || b.group > LIMIT_COMMIT_OPS)
        return 2;
    b.ids = calloc(b.docs, sizeof b.ids[0]);
    b.ops = calloc(b.group, sizeof b.ops[0]);
    b.refs = calloc(b.group, sizeof(struct store_op *));
    if (!b.ids || !b.ops || !b.refs)
        return 1;
    for (size_t i = 0; i < b.docs; i++)
        id_new(&b.ids[i], clock_wall_ms());
    for (size_t i = 0; i < b.group; i++)
        b.refs[i] = &b.ops[i];
    open_bench(&b);
    b.fence = 1;
    run(&b, "store: integrations created", fill_change);
    b.fence = 2;
    run(&b, "store: fenced changes of integrations", fill_change);
    b.fence = 3;
    run_bare(&b);
    b.fence = 4;
    run(&b, "store: fenced changes of integrations", fill_change);
    b.fence = 5;
    run_bare(&b);
    run(&b, "store: jobs appended", fill_append);
    run(&b, "store: jobs finished", fill_finish);
    store_close(b.store);
    drop(&b);
    free(b.ids);
    free(b.ops);
    free(b.refs);
    return 0;
}
