/* How the MongoDB store finds things: the commands that it really sends are caught by the driver's
 * monitoring, and the server is asked how it would answer each one's query. None may look at a whole
 * collection, or sort.
 */
#include "common/store.h"
#include "common/store_mongo.h"
#include "tests/store/ignore.h"
#include "tests/store/mongo_place.h"
#include "tests/store/must.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
/* cmocka wants setjmp and stdarg before it */
#include <cmocka.h>

#define CAUGHT_MAX 64

struct scene {
    struct mongo_place place;
    struct store *store;
    bson_t *caught[CAUGHT_MAX]; /* as finds */
    size_t count;
    bool vague; /* the server's explain does not tell what it does */
};

/* -- catching -- */

static void keep(struct scene *s, const char *collection, const bson_iter_t *query, const bson_iter_t *hint)
{
    const uint8_t *bytes;
    uint32_t len;
    bson_t filter, *find = bson_new();
    assert_true(s->count < CAUGHT_MAX);
    assert_true(BSON_ITER_HOLDS_DOCUMENT(query));
    bson_iter_document(query, &len, &bytes);
    assert_true(bson_init_static(&filter, bytes, len));
    BSON_APPEND_UTF8(find, "find", collection);
    BSON_APPEND_DOCUMENT(find, "filter", &filter);
    if (hint)
        bson_append_iter(find, "hint", -1, hint);
    s->caught[s->count++] = find;
}

/* {find: .., filter: .., ...} without what explain does not take. */
static void keep_find(struct scene *s, const bson_t *command)
{
    static const char *const kept[] = {"find", "filter", "sort", "hint", "limit", "projection"};
    bson_t *find = bson_new();
    bson_iter_t at;
    assert_true(s->count < CAUGHT_MAX);
    for (size_t i = 0; i < sizeof kept / sizeof kept[0]; i++)
        if (bson_iter_init_find(&at, command, kept[i]))
            bson_append_iter(find, kept[i], -1, &at);
    s->caught[s->count++] = find;
}

/* The q of every element of updates or deletes. */
static void keep_writes(struct scene *s, const bson_t *command, const char *array, const char *collection)
{
    bson_iter_t at, inside, one;
    assert_true(bson_iter_init_find(&at, command, array) && bson_iter_recurse(&at, &inside));
    while (bson_iter_next(&inside))
        if (bson_iter_recurse(&inside, &one) && bson_iter_find(&one, "q"))
            keep(s, collection, &one, NULL);
}

/* The $match that a count begins with. */
static void keep_count(struct scene *s, const bson_t *command, const char *collection)
{
    bson_iter_t at, match, hint;
    assert_true(bson_iter_init(&at, command) && bson_iter_find_descendant(&at, "pipeline.0.$match", &match));
    bool hinted = bson_iter_init_find(&hint, command, "hint");
    keep(s, collection, &match, hinted ? &hint : NULL);
}

static void on_command(const mongoc_apm_command_started_t *event)
{
    struct scene *s = mongoc_apm_command_started_get_context(event);
    const bson_t *command = mongoc_apm_command_started_get_command(event);
    const char *name = mongoc_apm_command_started_get_command_name(event);
    bson_iter_t at;
    assert_true(bson_iter_init_find(&at, command, name));
    const char *collection = BSON_ITER_HOLDS_UTF8(&at) ? bson_iter_utf8(&at, NULL) : "";
    if (strcmp(name, "find") == 0)
        keep_find(s, command);
    else if (strcmp(name, "update") == 0)
        keep_writes(s, command, "updates", collection);
    else if (strcmp(name, "delete") == 0)
        keep_writes(s, command, "deletes", collection);
    else if (strcmp(name, "aggregate") == 0)
        keep_count(s, command, collection);
    else if (strcmp(name, "findAndModify") == 0 && bson_iter_init_find(&at, command, "query"))
        keep(s, collection, &at, NULL);
}

static void forget(struct scene *s)
{
    for (size_t i = 0; i < s->count; i++)
        bson_destroy(s->caught[i]);
    s->count = 0;
}

/* -- asking -- */

/* The server's plan, as JSON; bson_free() it. */
static char *plan_of(const struct scene *s, const bson_t *find)
{
    bson_t command = BSON_INITIALIZER, reply;
    bson_iter_t at, plan;
    bson_error_t error;
    BSON_APPEND_DOCUMENT(&command, "explain", find);
    BSON_APPEND_UTF8(&command, "verbosity", "queryPlanner");
    if (!mongoc_client_command_simple(s->place.client, s->place.database, &command, NULL, &reply, &error))
        fail_msg("%s", error.message);
    assert_true(bson_iter_init(&at, &reply) &&
                bson_iter_find_descendant(&at, "queryPlanner.winningPlan", &plan));
    bson_t winning = BSON_INITIALIZER;
    bson_append_iter(&winning, "plan", -1, &plan);
    char *json = bson_as_relaxed_extended_json(&winning, NULL);
    bson_destroy(&winning);
    bson_destroy(&reply);
    bson_destroy(&command);
    return json;
}

/* IDHACK, EXPRESS_..: by _id. SORT_MERGE merges what is in order already. */
static bool uses_index(const char *plan)
{
    static const char *const by_index[] = {"\"IXSCAN\"", "\"IDHACK\"", "\"EXPRESS_", "\"COUNT_SCAN\""};
    for (size_t i = 0; i < sizeof by_index / sizeof by_index[0]; i++)
        if (strstr(plan, by_index[i]))
            return true;
    return false;
}

/* What every MongoDB finds by its _id and then looks at; a server made for tests may explain it otherwise.
 * Then it counts that there is a way to an index, and sorts are not looked at. */
static bool is_vague(const struct scene *s)
{
    bson_t *find = BCON_NEW("find", "Jobs", "filter", "{", "_id", "x", "finishedAt", "{", "$exists",
                            BCON_BOOL(false), "}", "}");
    char *plan = plan_of(s, find);
    bool vague = !uses_index(plan);
    bson_free(plan);
    bson_destroy(find);
    return vague;
}

static bool asks_by_id(const bson_t *find)
{
    bson_iter_t at, id;
    return bson_iter_init(&at, find) && bson_iter_find_descendant(&at, "filter._id", &id) &&
           (BSON_ITER_HOLDS_UTF8(&id) || (bson_iter_recurse(&id, &at) && bson_iter_find(&at, "$in")));
}

static bool is_good(const struct scene *s, const bson_t *find, const char *plan)
{
    if (s->vague)
        return uses_index(plan) || asks_by_id(find);
    return uses_index(plan) && !strstr(plan, "\"COLLSCAN\"") && !strstr(plan, "\"SORT\"");
}

static int open_scene(void **state)
{
    struct scene *s = *state;
    char url[SUITE_URL_BYTES];
    struct pb_why why = {0};
    mongoc_apm_callbacks_t *callbacks = mongoc_apm_callbacks_new();
    mongo_place_fresh(&s->place, url);
    assert_int_equal(store_open(url, false, &s->store, &why), PB_OK);
    mongoc_apm_set_command_started_cb(callbacks, on_command);
    assert_true(mongoc_client_set_apm_callbacks(((struct mongo *)s->store)->client, callbacks, s));
    mongoc_apm_callbacks_destroy(callbacks);
    s->vague = is_vague(s);
    return 0;
}

static int close_scene(void **state)
{
    struct scene *s = *state;
    forget(s);
    store_close(s->store);
    forget(s);
    return 0;
}

/* Every query caught since the last time uses an index: at least so many of them. */
static void expect_indexes(struct scene *s, size_t at_least)
{
    if (s->count < at_least)
        fail_msg("only %zu queries were caught, not %zu", s->count, at_least);
    for (size_t i = 0; i < s->count; i++) {
        char *plan = plan_of(s, s->caught[i]);
        if (!is_good(s, s->caught[i], plan))
            fail_msg("%s\n%s", bson_as_relaxed_extended_json(s->caught[i], NULL), plan);
        bson_free(plan);
    }
    forget(s);
}

static void expect_index_named(struct scene *s, const char *name)
{
    char quoted[64];
    assert_int_equal(s->count, 1);
    snprintf(quoted, sizeof quoted, "\"indexName\" : \"%s\"", name);
    char *plan = plan_of(s, s->caught[0]);
    if (!strstr(plan, quoted))
        fail_msg("not by %s: %s", name, plan);
    bson_free(plan);
    expect_indexes(s, 1);
}

/* -- lists -- */

static void lists_of_jobs_use_an_index(void **state)
{
    static const struct pb_id id = {{1}}, places[] = {{{0}}, {{1}}};
    static const struct {
        struct store_job_filter filter;
        const char *index;
    } lists[] = {
        {{0}, "_id_"},
        {{.type = "t", .kind = JOB_SETUP}, "_id_"},
        {{.state = JOB_WAITING}, "state"},
        {{.state = JOB_DEAD, .type = "t", .code = "x"}, "state"},
        {{.tenant = "a"}, "tenant"},
        {{.tenant = "a", .state = JOB_DONE}, "tenant"},
        {{.tenant = "a", .code = "x"}, "code"},
        {{.tenant = "a", .state = JOB_DEAD, .code = "x"}, "code"},
        {{.integration = &id}, "integration"},
        {{.integration = &id, .tenant = "a", .state = JOB_DONE, .code = "x"}, "integration"},
    };
    struct scene *s = *state;
    struct pb_why why = {0};
    for (size_t i = 0; i < 4 * sizeof lists / sizeof lists[0]; i++) {
        struct store_job_filter f = lists[i / 4].filter;
        f.newest_first = i & 1;
        assert_int_equal(store_list_jobs(s->store, &f, &places[i >> 1 & 1], 10, ignore_job, NULL, &why),
                         PB_OK);
        expect_index_named(s, lists[i / 4].index);
    }
}

static void lists_of_integrations_and_tokens_use_an_index(void **state)
{
    static const struct pb_id places[] = {{{0}}, {{1}}};
    static const struct {
        struct store_filter filter;
        const char *index;
    } lists[] = {
        {{0}, "_id_"},
        {{.text = "x", .status = STATUS_ERROR}, "_id_"},
        {{.tenant = "a"}, "tenant"},
        {{.tenant = "a", .type = "t", .text = "x"}, "tenant_type"},
        {{.type = "t", .health = HEALTH_OK}, "type"},
    };
    struct scene *s = *state;
    struct pb_why why = {0};
    for (size_t i = 0; i < 2 * sizeof lists / sizeof lists[0]; i++) {
        assert_int_equal(store_list_integrations(s->store, &lists[i / 2].filter, &places[i & 1], 10,
                                                 ignore_integration, NULL, &why),
                         PB_OK);
        expect_index_named(s, lists[i / 2].index);
    }
    for (size_t i = 0; i < 3; i++) {
        static const char *const names[] = {"_id_", "state", "tenant"};
        assert_int_equal(store_list_batches(s->store, i == 2 ? "a" : NULL, i == 1 ? BATCH_PAUSED : 0,
                                            &places[0], 10, ignore_batch, NULL, &why),
                         PB_OK);
        expect_index_named(s, names[i]);
    }
    for (size_t i = 0; i < sizeof lists / sizeof lists[0]; i++) {
        assert_int_equal(store_count_integrations(s->store, &lists[i].filter, ignore_count, NULL, &why),
                         PB_OK);
        expect_index_named(s, lists[i].index);
    }
    for (size_t i = 0; i < 2; i++) {
        assert_int_equal(store_list_due(s->store, 5000, 1000, &places[i], 10, ignore_integration, NULL, &why),
                         PB_OK);
        expect_index_named(s, "due");
    }
    assert_int_equal(store_list_meta(s->store, ignore_meta, NULL, &why), PB_OK);
    expect_index_named(s, "_id_");
    assert_int_equal(store_list_deleted(s->store, ignore_deleted, NULL, &why), PB_OK);
    expect_index_named(s, "deleted");
    assert_int_equal(store_list_tokens(s->store, ignore_token, NULL, &why), PB_OK);
    expect_index_named(s, "created");
    for (size_t i = 0; i < 2; i++) {
        assert_int_equal(store_list_schedules(s->store, i ? "a" : NULL, ignore_schedule, NULL, &why), PB_OK);
        expect_index_named(s, "tenant");
    }
}

static void reads_of_one_use_an_index(void **state)
{
    struct scene *s = *state;
    struct pb_id id = {{1}};
    struct pb_why why = {0};
    struct integration in;
    struct job job;
    char *value;
    assert_int_equal(store_get_integration(s->store, &id, &in, &why), PB_E_NOT_FOUND);
    assert_int_equal(store_get_job(s->store, &id, &job, &why), PB_E_NOT_FOUND);
    assert_int_equal(store_get_meta(s->store, "k", &value, &why), PB_E_NOT_FOUND);
    expect_indexes(s, 3);
    assert_int_equal(store_find_name(s->store, "a", "b", &id, &why), PB_E_NOT_FOUND);
    expect_index_named(s, "name");
}

/* -- writes -- */

static struct store_op op_of(enum store_op_kind kind, uint8_t job, enum job_state job_state)
{
    return (struct store_op){.kind = kind, .job = {.id = {{job}}, .state = job_state, .tenant = "acme"}};
}

static void commit(struct scene *s, struct store_op *const *ops, size_t count)
{
    must_commit(s->store, ops, count);
}

static void writes_of_jobs_use_an_index(void **state)
{
    struct store_op append = op_of(STORE_APPEND_JOB, 1, JOB_WAITING);
    struct store_op same = op_of(STORE_APPEND_JOB, 2, JOB_WAITING);
    struct store_op known = append, retry = op_of(STORE_RETRY_JOB, 1, JOB_WAITING);
    struct store_op mark = op_of(STORE_MARK_JOB, 1, JOB_WAITING), die = op_of(STORE_FINISH_JOB, 1, JOB_DEAD);
    struct store_op again = die, revive = {.kind = STORE_REVIVE_JOB, .job = {.id = {{1}}}}, vain = revive;
    struct store_op done = op_of(STORE_FINISH_JOB, 1, JOB_DONE), purge = {.kind = STORE_PURGE_JOBS};
    struct store_op epoch = {.kind = STORE_RAISE_EPOCH};
    struct store_op set = {.kind = STORE_SET_META, .meta_key = "k", .meta_value = "v"}, unset = set;
    struct store_op *ops[] = {&append, &same, &known, &retry, &mark, &die,   &again,
                              &revive, &vain, &purge, &epoch, &set,  &unset, &done};
    append.job.idem[0] = same.job.idem[0] = known.job.idem[0] = 'k';
    unset.meta_value = NULL;
    commit(*state, ops, sizeof ops / sizeof ops[0]);
    job_fini(&revive.job);
    assert_int_equal(same.outcome, PB_E_EXISTS);
    assert_int_equal(vain.outcome, PB_E_CONFLICT);
    assert_int_equal(done.outcome, PB_OK);
    expect_indexes(*state, 20);
    struct store_op *last[] = {&purge};
    commit(*state, last, 1);
    assert_int_equal(purge.purge.removed, 1);
    expect_indexes(*state, 9); /* four counts, four walks, what is removed */
}

static void changes_of_integrations_use_an_index(void **state)
{
    static const enum store_change_kind kinds[] = {CHANGE_CREATE, CHANGE_CREATE, CHANGE_REPLACE,
                                                   CHANGE_REPLACE, CHANGE_DELETE};
    char tenant[] = "acme", name[] = "one", type[] = "stripe";
    for (uint8_t i = 0; i < 5; i++) {
        struct store_op append = op_of(STORE_APPEND_JOB, (uint8_t)(i + 1), JOB_WAITING);
        struct store_op finish = op_of(STORE_FINISH_JOB, (uint8_t)(i + 1), JOB_DONE);
        struct store_op *ops[] = {&append, &finish};
        finish.change = (struct store_change){
            .kind = kinds[i],
            .fence = 10U + i,
            .doc = {.id = {{i == 1 ? 3 : 2}}, .tenant = tenant, .name = name, .type = type}};
        if (i == 3)
            finish.change.fence = 1; /* refused, and so judged */
        commit(*state, ops, 2);
        assert_int_equal(finish.outcome, i == 1 ? PB_E_EXISTS : i == 3 ? PB_E_CONFLICT : PB_OK);
        expect_indexes(*state, i == 1 || i == 3 ? 3 : 2);
    }
}

int main(void)
{
    struct scene s = {0};
#define PLAN(test) cmocka_unit_test_prestate_setup_teardown(test, open_scene, close_scene, &s)
    const struct CMUnitTest tests[] = {
        PLAN(lists_of_jobs_use_an_index),
        PLAN(lists_of_integrations_and_tokens_use_an_index),
        PLAN(reads_of_one_use_an_index),
        PLAN(writes_of_jobs_use_an_index),
        PLAN(changes_of_integrations_use_an_index),
    };
    if (!mongo_place_open(&s.place))
        return 0;
    int failed = cmocka_run_group_tests_name("mongo plans", tests, NULL, NULL);
    mongo_place_close(&s.place);
    return failed;
}
