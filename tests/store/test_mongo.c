/* The contract on MongoDB, and what is its own: documents, URIs, failures. Runs where
 * PATCHBAY_TEST_MONGODB_URI names a server; what needs failpoints runs where that has them. */
#include "common/clock.h"
#include "common/store.h"
#include "common/store_mongo.h"
#include "common/store_mongo_json.h"
#include "tests/store/mongo_place.h"
#include "tests/store/must.h"
#include "tests/store/suite.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
/* cmocka wants setjmp and stdarg before it */
#include <cmocka.h>

#define DAY_MS (INT64_C(24) * 3600 * 1000)

static struct mongo_place *place_of(void **state)
{
    return *state;
}

static struct store *fresh_store(void **state, char url[SUITE_URL_BYTES])
{
    mongo_place_fresh(*state, url);
    return must_open(url, false);
}

/* It does not open: with this error and these words, and without anything that is secret. */
static void refused(const char *url, bool read_only, pb_err err, const char *words)
{
    struct store *s = NULL;
    struct pb_why why = {0};
    pb_err got = store_open(url, read_only, &s, &why);
    if (got != err || s || !strstr(why.text, words) || strstr(why.text, "s3cr") || strstr(why.at, "s3cr") ||
        strstr(why.at, "joe"))
        fail_msg("%s: %s: %s: %s", url, pb_err_name(got), why.at, why.text);
}

static struct store_op append_op(uint8_t job)
{
    return (struct store_op){
        .kind = STORE_APPEND_JOB,
        .job = {.id = {{job}}, .kind = JOB_SETUP, .state = JOB_WAITING, .tenant = "acme"}};
}

static struct store_op finish_op(uint8_t job, enum store_change_kind kind, uint8_t id, uint64_t fence)
{
    static char tenant[] = "acme", type[] = "stripe", names[256][8];
    snprintf(names[id], sizeof names[id], "n%u", id);
    return (struct store_op){.kind = STORE_FINISH_JOB,
                             .job = {.id = {{job}}, .state = JOB_DONE, .finished_at_ms = 5},
                             .change = {.kind = kind,
                                        .fence = fence,
                                        .doc = {.id = {{id}},
                                                .tenant = tenant,
                                                .name = names[id],
                                                .type = type,
                                                .status = STATUS_ACTIVE,
                                                .health = HEALTH_OK}}};
}

static pb_err apply(struct store *s, uint8_t job, enum store_change_kind kind, uint8_t id, uint64_t fence)
{
    struct store_op append = append_op(job), finish = finish_op(job, kind, id, fence);
    struct store_op *ops[] = {&append, &finish};
    must_commit(s, ops, 2);
    return finish.outcome;
}

/* -- documents -- */

static void expect_document(void **state, const char *collection, const char *id, const char *const *parts)
{
    char *json = mongo_place_document(*state, collection, id);
    assert_non_null(json);
    for (; *parts; parts++)
        if (!strstr(json, *parts))
            fail_msg("no %s in %s", *parts, json);
    bson_free(json);
}
#define EXPECT_DOCUMENT(collection, id, ...)                                                                 \
    expect_document(state, collection, id, (const char *const[]){__VA_ARGS__, NULL})

static void mongo_documents_are_words_dates_and_documents(void **state)
{
    char url[SUITE_URL_BYTES];
    struct store *s = fresh_store(state, url);
    char events[] = "[{\"eventType\":\"charge.refunded\"}]", result[] = "{\"code\":\"ok\",\"n\":7}";
    char fields[] = "{\"a.b\":1}", label[] = "Acme";
    struct store_op append = append_op(1), finish = finish_op(1, CHANGE_CREATE, 2, 9),
                    *ops[] = {&append, &finish};
    struct integration *in = &finish.change.doc;
    in->supported_events = events;
    in->result = finish.job.result = result;
    in->fields = fields;
    in->account_label = label;
    in->last_validated_ms = INT64_C(1700000000000);
    in->next_validation_ms = INT64_MAX;
    must_commit(s, ops, 2);
    EXPECT_DOCUMENT("Integrations", "int_02000000000000000000000000000000", "\"status\" : \"active\"",
                    "\"supportedEvents\" : [ { \"eventType\" : \"charge.refunded\" } ]",
                    "\"lastValidated\" : { \"$date\" : \"2023-11-14T22:13:20Z\" }",
                    "\"result\" : { \"code\" : \"ok\", \"n\" : 7 }", "\"account\" : { \"label\" : \"Acme\" }",
                    "\"fields\" : \"{\\\"a.b\\\":1}\"", /* a key that MongoDB does not take */
                    "\"nextValidation\" : 9223372036854775807", "\"fence\" : 9");
    EXPECT_DOCUMENT("Jobs", "job_01000000000000000000000000000000", "\"state\" : \"done\"",
                    "\"kind\" : \"setup\"", "\"code\" : \"ok\"",
                    "\"result\" : { \"code\" : \"ok\", \"n\" : 7 }");
    store_close(s);
}

/* Texts come back byte for byte, whether they became documents or not. */
static void mongo_json_keeps_every_text(void **state)
{
    static const char *const texts[] = {"",
                                        "{}",
                                        "[]",
                                        "{ }",
                                        "null",
                                        "7",
                                        "\"x\"",
                                        "{",
                                        "{\"a\":1,\"a\":2}",
                                        "{\"\":1}",
                                        "{\"$a\":1}",
                                        "{\"a\":{\"b.c\":[1,{\"d\":null}]}}",
                                        "[1,-1,2147483648,-9223372036854775808,1.5,1e300,true,false,null]",
                                        "{\"b\":1,\"a\":\"\\u0000\"}",
                                        "{\"t\":\"\xc3\xa9\\n\"}",
                                        "[[[[[]]]]]",
                                        "{\"a\":1.0}",
                                        "{\"a\":1.10}"};
    (void)state;
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        bson_t doc = BSON_INITIALIZER;
        bson_iter_t at;
        assert_true(mongo_json_append(&doc, "k", texts[i]));
        assert_true(bson_iter_init_find(&at, &doc, "k"));
        char *back = mongo_json_text(&at);
        assert_string_equal(back, texts[i]);
        free(back);
        bson_destroy(&doc);
    }
}

static void set_deleted_at(void **state, const char *id, int64_t wall_ms)
{
    mongoc_collection_t *c = mongo_place_collection(*state, "Integrations");
    bson_t *filter = BCON_NEW("_id", BCON_UTF8(id));
    bson_t *update = BCON_NEW("$set", "{", "deletedAt", BCON_DATE_TIME(wall_ms), "}");
    assert_true(mongoc_collection_update_one(c, filter, update, NULL, NULL, NULL));
    bson_destroy(filter);
    bson_destroy(update);
    mongoc_collection_destroy(c);
}

static void mongo_tombstones_are_purged_after_seven_days(void **state)
{
    static const char *const ids[] = {NULL, "int_01000000000000000000000000000000",
                                      "int_02000000000000000000000000000000"};
    char url[SUITE_URL_BYTES];
    struct store *s = fresh_store(state, url);
    for (uint8_t id = 1; id <= 2; id++) {
        assert_int_equal(apply(s, (uint8_t)(10 * id), CHANGE_CREATE, id, 5), PB_OK);
        assert_int_equal(apply(s, (uint8_t)(10 * id + 1), CHANGE_DELETE, id, 6), PB_OK);
        EXPECT_DOCUMENT("Integrations", ids[id], "\"fence\" : 6", "\"deletedAt\" : { \"$date\"");
    }
    set_deleted_at(state, ids[1], clock_wall_ms() - 7 * DAY_MS - 1000);
    set_deleted_at(state, ids[2], clock_wall_ms() - 7 * DAY_MS + 60000);
    assert_int_equal(apply(s, 40, CHANGE_CREATE, 4, 7), PB_OK);
    assert_int_equal(apply(s, 41, CHANGE_DELETE, 4, 8), PB_OK);
    assert_null(mongo_place_document(*state, "Integrations", ids[1]));
    assert_int_equal(apply(s, 42, CHANGE_CREATE, 2, 9), PB_E_NOT_FOUND);
    store_close(s);
}

/* A person has been at the database: words that say which document, and no crash. */
static void mongo_strange_documents_are_named(void **state)
{
    char url[SUITE_URL_BYTES];
    struct store *s = fresh_store(state, url);
    mongoc_collection_t *c = mongo_place_collection(*state, "Integrations");
    bson_t *doc = BCON_NEW("_id", "int_05000000000000000000000000000000", "tenant", BCON_INT32(7));
    struct pb_id id = {{5}};
    struct integration in;
    struct pb_why why = {0};
    assert_true(mongoc_collection_insert_one(c, doc, NULL, NULL, NULL));
    assert_int_equal(store_get_integration(s, &id, &in, &why), PB_E_STORE);
    assert_string_equal(why.at, "Integrations");
    assert_non_null(strstr(why.text, "int_05000000000000000000000000000000 has no usable tenant"));
    bson_destroy(doc);
    mongoc_collection_destroy(c);
    store_close(s);
}

/* -- opening -- */

static void mongo_open_refuses_uris_that_it_cannot_keep_its_promises_with(void **state)
{
    static const struct {
        const char *url, *words;
    } wrong[] = {
        {"mongodb://h/?journl=true", "Unsupported URI option \"journl\""},
        {"mongodb://joe:s3cr@h/?w=1", "option w must be majority"},
        {"mongodb://h/?journal=false", "option journal must be true"},
        {"mongodb://h/?readPreference=secondary", "option readpreference must be primary"},
        {"mongodb://h/?readConcernLevel=local", "option readConcernLevel must be majority"},
        {"mongodb://h/?retryWrites=false", "option retrywrites must be true"},
        {"mongodb://h/?tls=perhaps", "cannot be read as a MongoDB URI"},
        {"mongodb://joe:s3cr/et@h/", "must be percent-encoded"},
        {"mongodb://joe:s3cr@et@h/", "must be percent-encoded"},
        {"mongodb:/h/", "cannot be read as a MongoDB URI"},
        {"mongodb://h/?tls=true&tls=true", "correct it or leave it out"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++)
        refused(wrong[i].url, false, PB_E_INVALID, wrong[i].words);
}

static void mongo_open_says_what_to_do_when_no_server_answers(void **state)
{
    uint64_t began_ms = clock_mono_ms();
    (void)state;
    refused("mongodb://joe:s3cr@127.0.0.1:1/x?serverSelectionTimeoutMS=500", false, PB_E_STORE,
            "is MongoDB running there");
    assert_true(clock_mono_ms() - began_ms < 5000);
}

static void mongo_open_refuses_a_newer_schema_and_a_reader_needs_one(void **state)
{
    char url[SUITE_URL_BYTES];
    mongo_place_fresh(*state, url);
    refused(url, true, PB_E_STORE, "start a broker on it first");
    store_close(must_open(url, false));
    store_close(must_open(url, true));
    mongoc_collection_t *c = mongo_place_collection(*state, "Meta");
    bson_t *filter = BCON_NEW("_id", "schema"), *update = BCON_NEW("$set", "{", "value", BCON_INT64(99), "}");
    assert_true(mongoc_collection_update_one(c, filter, update, NULL, NULL, NULL));
    refused(url, false, PB_E_UNSUPPORTED, "schema 99, this one knows 1");
    refused(url, true, PB_E_UNSUPPORTED, "schema 99, this one knows 1");
    bson_destroy(filter);
    bson_destroy(update);
    mongoc_collection_destroy(c);
}

static void mongo_epoch_ends_and_is_text_as_meta(void **state)
{
    char url[SUITE_URL_BYTES], *value = NULL;
    struct store *s = fresh_store(state, url);
    struct store_op op = {.kind = STORE_SET_META, .meta_key = "epoch", .meta_value = "2147483646"},
                    *ops[] = {&op};
    struct pb_why why = {0};
    uint32_t epoch = 0;
    must_commit(s, ops, 1);
    assert_int_equal(store_next_epoch(s, &epoch, &why), PB_OK);
    assert_int_equal(epoch, 2147483647);
    assert_int_equal(store_next_epoch(s, &epoch, &why), PB_E_LIMIT);
    assert_int_equal(store_get_meta(s, "epoch", &value, &why), PB_OK);
    assert_string_equal(value, "2147483647");
    free(value);
    store_close(s);
}

/* -- much -- */

static long resident_kb(void)
{
    long pages = 0, shared;
    FILE *f = fopen("/proc/self/statm", "r");
    assert_non_null(f);
    if (fscanf(f, "%*d %ld %ld", &pages, &shared) != 2)
        pages = 0;
    fclose(f);
    return pages * (sysconf(_SC_PAGESIZE) / 1024);
}

struct walk {
    size_t count;
    long most_kb;
};

static pb_err count_one(void *arg, const struct integration *in)
{
    struct walk *w = arg;
    (void)in;
    if (w->count++ % 100 == 0 && resident_kb() > w->most_kb)
        w->most_kb = resident_kb();
    return PB_OK;
}

static void insert_many(void **state, size_t count)
{
    static char filler[8192];
    mongoc_collection_t *c = mongo_place_collection(*state, "Integrations");
    memset(filler, 'x', sizeof filler - 1);
    for (size_t i = 0; i < count;) {
        mongoc_bulk_operation_t *bulk = mongoc_collection_create_bulk_operation_with_opts(c, NULL);
        for (size_t n = 0; n < 500 && i < count; n++, i++) {
            char id[64], name[32];
            snprintf(id, sizeof id, "int_%032zx", i + 1);
            snprintf(name, sizeof name, "n%zu", i);
            bson_t *doc = BCON_NEW("_id", BCON_UTF8(id), "tenant", "acme", "name", BCON_UTF8(name), "type",
                                   "stripe", "status", "active", "health", "ok", "host", BCON_UTF8(filler));
            mongoc_bulk_operation_insert(bulk, doc);
            bson_destroy(doc);
        }
        assert_int_not_equal(mongoc_bulk_operation_execute(bulk, NULL, NULL), 0);
        mongoc_bulk_operation_destroy(bulk);
    }
    mongoc_collection_destroy(c);
}

/* One list of all: 32 MB here, or as many documents as PATCHBAY_TEST_DOCUMENTS says (8 GB is a million). */
static void mongo_list_of_many_documents_takes_no_more_memory(void **state)
{
    const char *asked = getenv("PATCHBAY_TEST_DOCUMENTS");
    const size_t count = asked ? (size_t)strtoul(asked, NULL, 10) : 4000;
    char url[SUITE_URL_BYTES];
    struct store *s = fresh_store(state, url);
    struct store_filter none = {0};
    struct pb_id nil = {{0}};
    struct walk walk = {0};
    struct pb_why why = {0};
    insert_many(state, count);
    long before_kb = resident_kb();
    assert_int_equal(store_list_integrations(s, &none, &nil, SIZE_MAX, count_one, &walk, &why), PB_OK);
    assert_int_equal(walk.count, count);
#ifndef __SANITIZE_ADDRESS__ /* which keeps what is freed for a while */
    assert_true(walk.most_kb - before_kb < 20 * 1024);
#else
    (void)before_kb;
#endif
    store_close(s);
}

/* -- failures, where the server can be told to fail -- */

static bool fail_command(void **state, const char *data)
{
    char json[512];
    bson_error_t error;
    snprintf(json, sizeof json, "{\"configureFailPoint\": \"failCommand\", %s}", data);
    bson_t *command = bson_new_from_json((const uint8_t *)json, -1, &error);
    assert_non_null(command);
    bool ok = mongoc_client_command_simple(place_of(state)->client, "admin", command, NULL, NULL, &error);
    bson_destroy(command);
    return ok;
}

static void expect_state(struct store *s, uint8_t id, enum job_state expected)
{
    struct pb_id job_id = {{id}};
    struct job job = {0};
    struct pb_why why = {0};
    pb_err err = store_get_job(s, &job_id, &job, &why);
    assert_int_equal(err, expected ? PB_OK : PB_E_NOT_FOUND);
    assert_int_equal(job.state, expected);
    job_fini(&job);
}

/* Everything that a commit can hold. */
static void commit_all_kinds(void **state, const char *failure, bool settles)
{
    char url[SUITE_URL_BYTES];
    struct store *s = fresh_store(state, url);
    assert_int_equal(apply(s, 1, CHANGE_CREATE, 1, 5), PB_OK);
    assert_int_equal(apply(s, 2, CHANGE_CREATE, 2, 5), PB_OK);
    struct store_op dead = append_op(3),
                    die = {.kind = STORE_FINISH_JOB, .job = {.id = {{3}}, .state = JOB_DEAD}};
    struct store_op waiting[] = {append_op(4), append_op(5), append_op(6), append_op(7)};
    struct store_op *before[] = {&dead, &die, &waiting[0], &waiting[1], &waiting[2], &waiting[3]};
    must_commit(s, before, 6);
    struct store_op all[] = {
        append_op(8),
        finish_op(4, CHANGE_REPLACE, 1, 6),
        finish_op(5, CHANGE_DELETE, 2, 6),
        finish_op(6, CHANGE_CREATE, 3, 6),
        {.kind = STORE_RETRY_JOB, .job = {.id = {{7}}, .attempts = 2}},
        {.kind = STORE_REVIVE_JOB, .job = {.id = {{3}}}},
        {.kind = STORE_ADD_TOKEN, .token = {.hash = {1}, .tenant = "*", .role = "admin"}},
        {.kind = STORE_SET_META, .meta_key = "k", .meta_value = "v"}};
    struct store_op *ops[8];
    struct pb_why why = {0};
    for (size_t i = 0; i < 8; i++)
        ops[i] = &all[i];
    if (!fail_command(state, failure))
        skip();
    pb_err err = store_commit(s, ops, 8, &why);
    assert_true(fail_command(state, "\"mode\": \"off\""));
    assert_int_equal(err, settles ? PB_OK : PB_E_STORE);
    if (err) { /* as the journal does: the same again */
        assert_non_null(why.text[0] ? why.text : NULL);
        assert_null(all[5].job.payload);
        must_commit(s, ops, 8);
    }
    for (size_t i = 0; i < 8; i++)
        if (all[i].outcome)
            fail_msg("operation %zu: %s", i, pb_err_name(all[i].outcome));
    assert_int_equal(all[5].job.state, JOB_WAITING);
    job_fini(&all[5].job);
    for (uint8_t id = 3; id <= 8; id++)
        expect_state(s, id, id >= 4 && id <= 6 ? JOB_DONE : JOB_WAITING);
    EXPECT_DOCUMENT("Integrations", "int_01000000000000000000000000000000", "\"fence\" : 6");
    EXPECT_DOCUMENT("Integrations", "int_02000000000000000000000000000000", "\"deletedAt\"");
    EXPECT_DOCUMENT("Integrations", "int_03000000000000000000000000000000", "\"fence\" : 6");
    store_close(s);
}

#define COMMANDS "\"failCommands\": [\"insert\", \"update\", \"findAndModify\"]"

static void mongo_commit_survives_a_broken_connection(void **state)
{
    for (int times = 1; times <= 3; times++) {
        char failure[256];
        snprintf(failure, sizeof failure,
                 "\"mode\": {\"times\": %d}, \"data\": {" COMMANDS ", \"closeConnection\": true}", times);
        commit_all_kinds(state, failure, true);
    }
}

static void mongo_commit_survives_a_new_primary(void **state)
{
    commit_all_kinds(state,
                     "\"mode\": {\"times\": 2}, \"data\": {" COMMANDS
                     ", \"errorCode\": 10107, \"errorLabels\": [\"RetryableWriteError\"]}",
                     true);
}

/* Done on the server, and said not to be durable. */
static void mongo_commit_with_an_unknown_outcome_can_be_repeated(void **state)
{
    commit_all_kinds(state,
                     "\"mode\": {\"times\": 40}, \"data\": {" COMMANDS
                     ", \"writeConcernError\": {\"code\": 64, \"errmsg\": \"waited for replication\"}}",
                     false);
}

static void mongo_commit_that_the_server_refuses_can_be_repeated(void **state)
{
    for (int skipped = 0; skipped < 6; skipped++) {
        char failure[256];
        snprintf(failure, sizeof failure,
                 "\"mode\": {\"skip\": %d}, \"data\": {" COMMANDS ", \"errorCode\": 8000}", skipped);
        if (skipped < 5)
            commit_all_kinds(state, failure, false);
    }
}

int main(void)
{
    struct mongo_place place;
    if (!mongo_place_open(&place))
        return 0;
#define OWN(test) cmocka_unit_test_prestate(test, &place)
    const struct CMUnitTest own[] = {
        OWN(mongo_documents_are_words_dates_and_documents),
        OWN(mongo_json_keeps_every_text),
        OWN(mongo_tombstones_are_purged_after_seven_days),
        OWN(mongo_strange_documents_are_named),
        OWN(mongo_open_refuses_uris_that_it_cannot_keep_its_promises_with),
        OWN(mongo_open_says_what_to_do_when_no_server_answers),
        OWN(mongo_open_refuses_a_newer_schema_and_a_reader_needs_one),
        OWN(mongo_epoch_ends_and_is_text_as_meta),
        OWN(mongo_list_of_many_documents_takes_no_more_memory),
        OWN(mongo_commit_survives_a_broken_connection),
        OWN(mongo_commit_survives_a_new_primary),
        OWN(mongo_commit_with_an_unknown_outcome_can_be_repeated),
        OWN(mongo_commit_that_the_server_refuses_can_be_repeated),
    };
    const struct suite_subject subject = {.name = "mongo",
                                          .fresh = mongo_place_fresh,
                                          .arg = &place,
                                          .remote = true,
                                          .own = own,
                                          .own_count = sizeof own / sizeof own[0]};
    int failed = suite_run(&subject);
    mongo_place_close(&place);
    return failed;
}
