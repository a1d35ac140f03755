/* How the embedded store finds things: the statements that it really runs are caught by a trace, and SQLite
 * is asked how it would answer them. None may read the whole table of jobs where an index can do, or sort. */
#include "common/store.h"
#include "tests/store/ignore.h"
#include "tests/unit/scratch.h"

#include <setjmp.h>
#include <sqlite3.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
/* cmocka wants setjmp and stdarg before it */
#include <cmocka.h>

#define CAUGHT_MAX 64

struct scene {
    struct scratch scratch;
    char url[320], path[256];
    struct store *store;
    char *caught[CAUGHT_MAX];
    size_t count;
};

/* SQLite's hooks take no argument: the one scene there is. */
static struct scene *scene;

static int on_statement(unsigned kind, void *arg, void *statement, void *unused)
{
    struct scene *s = arg;
    (void)kind;
    (void)unused;
    assert_true(s->count < CAUGHT_MAX);
    s->caught[s->count++] = strdup(sqlite3_sql(statement));
    return 0;
}

static int on_open(sqlite3 *db, char **message, const struct sqlite3_api_routines *api)
{
    (void)message;
    (void)api;
    return sqlite3_trace_v2(db, SQLITE_TRACE_STMT, on_statement, scene);
}

static void forget(struct scene *s)
{
    for (size_t i = 0; i < s->count; i++)
        free(s->caught[i]);
    s->count = 0;
}

static int open_scene(void **state)
{
    struct scene *s = calloc(1, sizeof *s);
    struct pb_why why = {0};
    assert_non_null(s);
    scratch_open(&s->scratch);
    scratch_path(&s->scratch, "plans.db", s->path);
    snprintf(s->url, sizeof s->url, "sqlite:%s", s->path);
    scene = s;
    assert_int_equal(sqlite3_auto_extension((void (*)(void))on_open), SQLITE_OK);
    assert_int_equal(store_open(s->url, false, &s->store, &why), PB_OK);
    forget(s);
    *state = s;
    return 0;
}

static int close_scene(void **state)
{
    struct scene *s = *state;
    store_close(s->store);
    sqlite3_cancel_auto_extension((void (*)(void))on_open);
    forget(s);
    scratch_close(&s->scratch);
    free(s);
    return 0;
}

/* SQLite's plan for a statement, its lines joined by "; ". */
static char *plan_of(struct scene *s, const char *sql)
{
    sqlite3 *db = NULL;
    sqlite3_stmt *st = NULL;
    char *question = sqlite3_mprintf("EXPLAIN QUERY PLAN %s", sql), *plan = calloc(1, 4096);
    assert_true(question && plan);
    sqlite3_cancel_auto_extension((void (*)(void))on_open);
    assert_int_equal(sqlite3_open(s->path, &db), SQLITE_OK);
    assert_int_equal(sqlite3_prepare_v2(db, question, -1, &st, NULL), SQLITE_OK);
    while (sqlite3_step(st) == SQLITE_ROW)
        snprintf(plan + strlen(plan), 4096 - strlen(plan), "%s; ", sqlite3_column_text(st, 3));
    sqlite3_finalize(st);
    sqlite3_close(db);
    sqlite3_free(question);
    return plan;
}

static size_t count_of(const char *text, const char *word)
{
    size_t n = 0;
    for (; (text = strstr(text, word)); text += strlen(word))
        n++;
    return n;
}

/* The list with this filter is walked by this index and these of its columns, so many times. */
struct expected {
    struct store_job_filter filter;
    const char *how;
    size_t times;
};

static void expect_walk(struct scene *s, const struct expected *e, bool newest_first)
{
    struct store_job_filter f = e->filter;
    struct pb_id nil = {{0}};
    struct pb_why why = {0};
    char how[128];
    f.newest_first = newest_first;
    snprintf(how, sizeof how, e->how, newest_first ? '<' : '>');
    assert_int_equal(store_list_jobs(s->store, &f, &nil, 10, ignore_job, NULL, &why), PB_OK);
    assert_int_equal(s->count, 1);
    char *plan = plan_of(s, s->caught[0]);
    if (count_of(plan, how) != e->times || strstr(plan, "SCAN jobs") || strstr(plan, "TEMP B-TREE"))
        fail_msg("expected %s, not: %s", how, plan);
    free(plan);
    forget(s);
}

static void lists_of_jobs_use_an_index(void **state)
{
    static const struct pb_id id = {{1}};
    static const struct expected expectations[] = {
        {{0}, "SEARCH jobs USING PRIMARY KEY (id%c?)", 1},
        {{.type = "t"}, "SEARCH jobs USING PRIMARY KEY (id%c?)", 1},
        {{.kind = JOB_SETUP}, "SEARCH jobs USING PRIMARY KEY (id%c?)", 1},
        {{.code = "x"}, "SEARCH jobs USING PRIMARY KEY (id%c?)", 1},
        {{.state = JOB_WAITING}, "USING INDEX jobs_state (state=? AND id%c?)", 1},
        {{.state = JOB_DEAD, .type = "t", .code = "x"}, "USING INDEX jobs_state (state=? AND id%c?)", 1},
        {{.tenant = "a"}, "USING INDEX jobs_tenant (tenant=? AND state=? AND id%c?)", 5},
        {{.tenant = "a", .type = "t"}, "USING INDEX jobs_tenant (tenant=? AND state=? AND id%c?)", 5},
        {{.tenant = "a", .code = "ok"}, "USING INDEX jobs_tenant (tenant=? AND state=? AND id%c?)", 5},
        {{.tenant = "a", .state = JOB_DONE}, "USING INDEX jobs_tenant (tenant=? AND state=? AND id%c?)", 1},
        {{.tenant = "a", .code = "x"}, "USING INDEX jobs_code (tenant=? AND code=? AND id%c?)", 1},
        {{.tenant = "a", .state = JOB_DEAD, .code = "x"},
         "INDEX jobs_code (tenant=? AND code=? AND id%c?)",
         1},
        {{.integration = &id}, "USING INDEX jobs_integration (integration=? AND id%c?)", 1},
        {{.integration = &id, .tenant = "a", .state = JOB_DONE, .code = "x"},
         "USING INDEX jobs_integration (integration=? AND id%c?)",
         1},
    };
    for (size_t i = 0; i < sizeof expectations / sizeof expectations[0]; i++) {
        expect_walk(*state, &expectations[i], false);
        expect_walk(*state, &expectations[i], true);
    }
}

/* The one statement since the last look is answered like this, without sorting. */
static void expect_plan(struct scene *s, const char *how)
{
    assert_int_equal(s->count, 1);
    char *plan = plan_of(s, s->caught[0]);
    if (!strstr(plan, how) || strstr(plan, "TEMP B-TREE"))
        fail_msg("expected %s, not: %s", how, plan);
    free(plan);
    forget(s);
}

static void reads_of_batches_use_an_index(void **state)
{
    struct scene *s = *state;
    struct pb_id nil = {{0}}, last = {{0xff}};
    struct pb_why why = {0};
    struct store_filter page = {.type = "stripe", .tenant = "a", .not_since_ms = 5, .up_to = &last};
    struct store_filter all = {.up_to = &last, .tenant = ""};
    struct store_batch batch;
    assert_int_equal(store_list_integrations(s->store, &page, &nil, 9, ignore_integration, NULL, &why),
                     PB_OK);
    expect_plan(s, "USING INDEX integrations_type (type=? AND id>?)");
    assert_int_equal(store_count_integrations(s->store, &all, ignore_count, NULL, &why), PB_OK);
    expect_plan(s, "USING COVERING INDEX integrations_type");
    assert_int_equal(store_list_batches(s->store, NULL, BATCH_RUNNING, &nil, 9, ignore_batch, NULL, &why),
                     PB_OK);
    expect_plan(s, "SEARCH batches USING PRIMARY KEY (id<?)");
    assert_int_equal(store_get_batch(s->store, &nil, &batch, &why), PB_E_NOT_FOUND);
    expect_plan(s, "SEARCH batches USING PRIMARY KEY (id=?)");
}

/* Runs operations and looks at every statement: none scans jobs, but by the indexes named. */
static void expect_no_scan(struct scene *s, struct store_op *const *ops, size_t count, const char *allowed)
{
    struct pb_why why = {0};
    assert_int_equal(store_commit(s->store, ops, count, &why), PB_OK);
    assert_true(s->count > 2); /* more than begin and commit */
    for (size_t i = 0; i < s->count; i++) {
        char *plan = plan_of(s, s->caught[i]);
        if (strstr(plan, "TEMP B-TREE") || (strstr(plan, "SCAN") && !(allowed && strstr(plan, allowed))))
            fail_msg("%s: %s", s->caught[i], plan);
        free(plan);
    }
    forget(s);
}

static struct store_op op_of(enum store_op_kind kind, enum job_state job_state)
{
    return (struct store_op){.kind = kind,
                             .job = {.id = {{1}}, .state = job_state, .tenant = "acme", .idem = "k"}};
}

static void writes_of_jobs_use_an_index(void **state)
{
    struct store_op append = op_of(STORE_APPEND_JOB, JOB_WAITING), known = append;
    struct store_op retry = op_of(STORE_RETRY_JOB, JOB_WAITING), mark = op_of(STORE_MARK_JOB, JOB_WAITING);
    struct store_op die = op_of(STORE_FINISH_JOB, JOB_DEAD), again = die;
    struct store_op revive = {.kind = STORE_REVIVE_JOB, .job = {.id = {{1}}}};
    struct store_op done = op_of(STORE_FINISH_JOB, JOB_DONE);
    struct store_op *ops[] = {&append, &known, &retry, &mark, &die, &again, &revive, &done};
    expect_no_scan(*state, ops, 8, NULL);
    for (size_t i = 0; i < 8; i++)
        assert_int_equal(ops[i]->outcome, ops[i] == &known ? PB_E_EXISTS : PB_OK);
    job_fini(&revive.job);
}

static void purge_walks_what_has_ended_by_date(void **state)
{
    struct store_op append = op_of(STORE_APPEND_JOB, JOB_WAITING), done = op_of(STORE_FINISH_JOB, JOB_DONE);
    struct store_op purge = {.kind = STORE_PURGE_JOBS}, *ops[] = {&append, &done, &purge};
    expect_no_scan(*state, ops, 3, "USING COVERING INDEX jobs_");
    assert_int_equal(purge.purge.removed, 1);
}

static void changes_of_integrations_use_an_index(void **state)
{
    char tenant[] = "acme", name[] = "one", type[] = "stripe";
    struct store_op append = op_of(STORE_APPEND_JOB, JOB_WAITING), create = op_of(STORE_FINISH_JOB, JOB_DONE);
    struct store_op append2 = append, remove = create;
    create.change = (struct store_change){.kind = CHANGE_CREATE,
                                          .fence = 1,
                                          .doc = {.id = {{2}}, .tenant = tenant, .name = name, .type = type}};
    append2.job.id.bytes[0] = remove.job.id.bytes[0] = 3;
    append2.job.idem[0] = 0;
    remove.change = (struct store_change){.kind = CHANGE_DELETE, .fence = 2, .doc = {.id = {{2}}}};
    struct store_op *ops[] = {&append, &create, &append2, &remove};
    expect_no_scan(*state, ops, 4, NULL);
    assert_int_equal(create.outcome, PB_OK);
    assert_int_equal(remove.outcome, PB_OK);
}

int main(void)
{
#define PLAN(test) cmocka_unit_test_setup_teardown(test, open_scene, close_scene)
    const struct CMUnitTest tests[] = {
        PLAN(lists_of_jobs_use_an_index),           PLAN(reads_of_batches_use_an_index),
        PLAN(writes_of_jobs_use_an_index),          PLAN(purge_walks_what_has_ended_by_date),
        PLAN(changes_of_integrations_use_an_index),
    };
    return cmocka_run_group_tests_name("plans", tests, NULL, NULL);
}
