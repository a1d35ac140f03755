/* Batches, changes without a job, and what the filters and counts that batches need give. */
#include "tests/store/suite_parts.h"

#include <stdio.h>
#include <stdlib.h>

/* -- batches -- */

static pb_err put_batch(void **state, uint64_t n, enum batch_state batch_state, const char *tenant,
                        const char *body)
{
    struct store_op op = {.kind = STORE_PUT_BATCH,
                          .batch = {.id = suite_id(n),
                                    .state = batch_state,
                                    .created_at_ms = (int64_t)n,
                                    .finished_at_ms = batch_state >= BATCH_DONE ? (int64_t)n + 1 : 0,
                                    .body = (char *)(uintptr_t)body}};
    snprintf(op.batch.tenant, sizeof op.batch.tenant, "%s", tenant);
    return suite_commit(state, &op);
}

static void expect_batch(void **state, uint64_t n, enum batch_state batch_state, const char *tenant,
                         const char *body)
{
    struct pb_id id = suite_id(n);
    struct store_batch b = {0};
    struct pb_why why = {0};
    assert_int_equal(store_get_batch(suite_store(state), &id, &b, &why), PB_OK);
    assert_true(id_equal(&b.id, &id));
    assert_int_equal(b.state, batch_state);
    assert_string_equal(b.tenant, tenant);
    assert_string_equal(b.body, body);
    assert_int_equal(b.created_at_ms, n);
    assert_int_equal(b.finished_at_ms, batch_state >= BATCH_DONE ? n + 1 : 0);
    store_batch_fini(&b);
}

static void store_batch_is_written_as_it_is_new_or_not(void **state)
{
    static const char *const bodies[] = {"{}", "{\"a\":{\"b.c\":[1,2.5,null]}}", "{ \"spaced\" : 1 }", ""};
    struct pb_id unknown = suite_id(9);
    struct store_batch b = {.created_at_ms = 42};
    struct pb_why why = {0};
    assert_int_equal(store_get_batch(suite_store(state), &unknown, &b, &why), PB_E_NOT_FOUND);
    assert_int_equal(b.created_at_ms, 42);
    for (size_t i = 0; i < 4; i++) {
        enum batch_state batch_state = BATCH_RUNNING + i;
        assert_int_equal(put_batch(state, 1, batch_state, i % 2 ? "*" : "acme", bodies[i]), PB_OK);
        suite_reopen(state);
        expect_batch(state, 1, batch_state, i % 2 ? "*" : "acme", bodies[i]);
    }
}

struct batches {
    uint64_t seen[16];
    size_t count, most;
};

static pb_err take_batch(void *arg, const struct store_batch *b)
{
    struct batches *l = arg;
    if (l->count == l->most)
        return PB_E_BUSY;
    l->seen[l->count++] = b->id.bytes[15];
    return PB_OK;
}

static void expect_batches(void **state, const char *tenant, enum batch_state batch_state, uint64_t before,
                           size_t limit, const uint64_t *expected)
{
    struct batches l = {.most = 16};
    struct pb_id place = before ? suite_id(before) : (struct pb_id){0};
    struct pb_why why = {0};
    assert_int_equal(
        store_list_batches(suite_store(state), tenant, batch_state, &place, limit, take_batch, &l, &why),
        PB_OK);
    for (size_t i = 0; expected[i] || i < l.count; i++)
        assert_int_equal(i < l.count ? l.seen[i] : 0, expected[i]);
}
#define EXPECT_BATCHES(tenant, batch_state, before, limit, ...)                                              \
    expect_batches(state, tenant, batch_state, before, limit, (const uint64_t[]){__VA_ARGS__, 0})

static void store_list_batches_gives_the_newest_first(void **state)
{
    static const enum batch_state states[] = {BATCH_DONE, BATCH_RUNNING, BATCH_PAUSED, BATCH_RUNNING,
                                              BATCH_CANCELLED};
    struct batches one = {.most = 1};
    struct pb_id nil = {{0}};
    struct pb_why why = {0};
    EXPECT_BATCHES(NULL, 0, 0, 9, 0);
    for (uint64_t n = 1; n <= 5; n++)
        assert_int_equal(put_batch(state, n, states[n - 1], n % 2 ? "acme" : "beta", "{}"), PB_OK);
    EXPECT_BATCHES(NULL, 0, 0, 9, 5, 4, 3, 2, 1);
    EXPECT_BATCHES(NULL, 0, 4, 2, 3, 2);
    EXPECT_BATCHES("acme", 0, 0, 9, 5, 3, 1);
    EXPECT_BATCHES("acme", 0, 5, 1, 3);
    EXPECT_BATCHES(NULL, BATCH_RUNNING, 0, 9, 4, 2);
    EXPECT_BATCHES("acme", BATCH_RUNNING, 0, 9, 0);
    EXPECT_BATCHES("acme", BATCH_PAUSED, 0, 9, 3);
    EXPECT_BATCHES("acm", 0, 0, 9, 0);
    EXPECT_BATCHES(NULL, 0, 0, 0, 0);
    assert_int_equal(store_list_batches(suite_store(state), NULL, 0, &nil, 9, take_batch, &one, &why),
                     PB_E_BUSY);
}

/* -- changes without a job -- */

static pb_err change(void **state, enum store_change_kind kind, const struct integration *doc, uint64_t fence,
                     int64_t if_generation, int64_t if_revision)
{
    struct store_op op = {.kind = STORE_CHANGE, .change = suite_change(kind, doc, fence, if_generation)};
    op.change.if_revision = if_revision;
    return suite_commit(state, &op);
}

static void store_change_alone_is_fenced_like_any(void **state)
{
    struct integration in = suite_record(1, "acme", "one"), other = suite_record(2, "acme", "one");
    assert_int_equal(change(state, CHANGE_REPLACE, &in, 5, 1, 0), PB_E_NOT_FOUND);
    assert_int_equal(change(state, CHANGE_CREATE, &in, 5, 0, 0), PB_OK);
    assert_int_equal(change(state, CHANGE_CREATE, &in, 5, 0, 0), PB_OK);
    assert_int_equal(change(state, CHANGE_CREATE, &other, 6, 0, 0), PB_E_EXISTS);
    assert_int_equal(change(state, CHANGE_REPLACE, &in, 4, 1, 0), PB_E_CONFLICT);
    assert_int_equal(change(state, CHANGE_REPLACE, &in, 6, 2, 0), PB_E_CONFLICT);
    assert_int_equal(change(state, CHANGE_REPLACE, &in, 6, 1, 0), PB_OK);
    assert_true(suite_has(state, 1, "one", 1, 6));
    assert_int_equal(change(state, CHANGE_DELETE, &in, 7, 1, 0), PB_OK);
    assert_int_equal(change(state, CHANGE_DELETE, &in, 7, 1, 0), PB_OK);
    assert_true(suite_is_gone(state, 1));
    assert_int_equal(change(state, CHANGE_CREATE, &in, 8, 0, 0), PB_E_NOT_FOUND);
}

static void store_change_of_a_revision_needs_that_one(void **state)
{
    struct integration in = suite_record(1, "acme", "one");
    in.revision = 3;
    assert_int_equal(change(state, CHANGE_CREATE, &in, 5, 0, 0), PB_OK);
    in.revision = 4;
    assert_int_equal(change(state, CHANGE_REPLACE, &in, 6, 1, 2), PB_E_CONFLICT);
    assert_int_equal(change(state, CHANGE_REPLACE, &in, 6, 1, 3), PB_OK);
    assert_int_equal(change(state, CHANGE_REPLACE, &in, 6, 1, 3), PB_OK); /* repeated */
    in.revision = 5;
    assert_int_equal(change(state, CHANGE_REPLACE, &in, 7, 1, 3), PB_E_CONFLICT);
    assert_int_equal(change(state, CHANGE_REPLACE, &in, 7, 1, 0), PB_OK);
}

/* Changes of one integration within a commit, with a job and without, come one after the other. */
static void store_changes_of_one_integration_keep_their_order(void **state)
{
    struct integration one = suite_record(1, "acme", "one"), two = suite_record(1, "acme", "two");
    struct job job = suite_job(1, "acme", "");
    struct store_op append = {.kind = STORE_APPEND_JOB, .job = job};
    struct store_op create = {.kind = STORE_CHANGE, .change = suite_change(CHANGE_CREATE, &one, 5, 0)};
    struct store_op finish = {.kind = STORE_FINISH_JOB,
                              .job = {.id = job.id, .state = JOB_DONE},
                              .change = suite_change(CHANGE_REPLACE, &two, 6, 1)};
    struct store_op stale = {.kind = STORE_CHANGE, .change = suite_change(CHANGE_REPLACE, &one, 4, 1)};
    struct store_op remove = {.kind = STORE_CHANGE, .change = suite_change(CHANGE_DELETE, &one, 7, 1)};
    struct store_op *ops[] = {&append, &create, &finish, &stale, &remove};
    suite_commit_all(state, ops, 5);
    assert_int_equal(create.outcome, PB_OK);
    assert_int_equal(finish.outcome, PB_OK);
    assert_int_equal(stale.outcome, PB_E_CONFLICT);
    assert_int_equal(remove.outcome, PB_OK);
    assert_true(suite_is_gone(state, 1));
    assert_int_equal(suite_state_of(state, 1), JOB_DONE);
}

static void store_finish_keeps_the_larger_number_of_attempts(void **state)
{
    static const uint32_t told[] = {0, 2, 9}, kept[] = {5, 5, 9};
    for (uint64_t i = 0; i < 3; i++) {
        struct job job = suite_job(i, "acme", ""), back = {0};
        struct pb_why why = {0};
        job.attempts = 5;
        assert_int_equal(suite_append(state, &job), PB_OK);
        struct store_op op = {.kind = STORE_FINISH_JOB,
                              .job = {.id = job.id, .state = JOB_DONE, .attempts = told[i]}};
        assert_int_equal(suite_commit(state, &op), PB_OK);
        assert_int_equal(store_get_job(suite_store(state), &job.id, &back, &why), PB_OK);
        assert_int_equal(back.attempts, kept[i]);
        job_fini(&back);
    }
}

/* -- filters and counts -- */

static void fill(void **state)
{
    static char slack[] = "slack", github[] = "github";
    static const int64_t validated[] = {0, 100, 200, 300, 0, 200};
    for (uint64_t n = 1; n <= 6; n++) {
        char name[16];
        snprintf(name, sizeof name, "n%d", (int)n);
        struct integration in = suite_record(n, n <= 4 ? "acme" : "beta", name);
        in.type = n == 2 ? slack : n == 6 ? github : in.type;
        in.last_validated_ms = validated[n - 1];
        assert_int_equal(change(state, CHANGE_CREATE, &in, 5, 0, 0), PB_OK);
    }
    struct integration gone = suite_record(7, "acme", "n7");
    assert_int_equal(change(state, CHANGE_CREATE, &gone, 5, 0, 0), PB_OK);
    assert_int_equal(change(state, CHANGE_DELETE, &gone, 6, 1, 0), PB_OK);
}

struct counted {
    char text[128];
};

static pb_err add_count(void *arg, const char *type, uint64_t count)
{
    struct counted *c = arg;
    size_t len = strlen(c->text);
    snprintf(c->text + len, sizeof c->text - len, "%s %d, ", type, (int)count);
    return PB_OK;
}

static void expect_counts(void **state, const struct store_filter *f, const char *expected)
{
    struct counted c = {{0}};
    struct pb_why why = {0};
    assert_int_equal(store_count_integrations(suite_store(state), f, add_count, &c, &why), PB_OK);
    assert_string_equal(c.text, expected);
}

static void store_count_tells_how_many_of_which_type(void **state)
{
    struct pb_id three = suite_id(3);
    struct store_filter none = {0}, acme = {.tenant = "acme"}, slack = {.type = "slack"};
    struct store_filter both = {.tenant = "beta", .type = "stripe"}, old = {.not_since_ms = 200};
    struct store_filter some = {.up_to = &three, .status = STATUS_ACTIVE}, text = {.text = "N3"};
    struct store_filter nobody = {.tenant = "gamma"};
    expect_counts(state, &none, "");
    fill(state);
    expect_counts(state, &none, "github 1, slack 1, stripe 4, ");
    expect_counts(state, &acme, "slack 1, stripe 3, ");
    expect_counts(state, &slack, "slack 1, ");
    expect_counts(state, &both, "stripe 1, ");
    expect_counts(state, &old, "slack 1, stripe 2, ");
    expect_counts(state, &some, "slack 1, stripe 2, ");
    expect_counts(state, &text, "stripe 1, ");
    expect_counts(state, &nobody, "");
}

static pb_err add_digit(void *arg, const struct integration *in)
{
    struct counted *c = arg;
    size_t len = strlen(c->text);
    snprintf(c->text + len, sizeof c->text - len, "%d", in->id.bytes[15]);
    return PB_OK;
}

static void expect_page(void **state, const struct store_filter *f, uint64_t after, const char *expected)
{
    struct counted c = {{0}};
    struct pb_id place = after ? suite_id(after) : (struct pb_id){0};
    struct pb_why why = {0};
    assert_int_equal(store_list_integrations(suite_store(state), f, &place, 50, add_digit, &c, &why), PB_OK);
    assert_string_equal(c.text, expected);
}

static void store_list_goes_as_far_as_an_id_and_back_to_a_date(void **state)
{
    struct pb_id three = suite_id(3), last = {{0xff}};
    struct store_filter up_to = {.up_to = &three}, all = {.up_to = &last}, old = {.not_since_ms = 200};
    struct store_filter typed = {.type = "stripe", .up_to = &three, .not_since_ms = 201};
    struct store_filter owned = {.tenant = "acme", .type = "stripe", .not_since_ms = 1};
    fill(state);
    expect_page(state, &up_to, 0, "123");
    expect_page(state, &up_to, 2, "3");
    expect_page(state, &up_to, 3, "");
    expect_page(state, &all, 4, "56");
    expect_page(state, &old, 0, "125");
    expect_page(state, &typed, 0, "13");
    expect_page(state, &typed, 1, "3");
    expect_page(state, &owned, 0, "1");
}

static const struct suite_test tests[] = {
    SUITE_TEST(store_batch_is_written_as_it_is_new_or_not),
    SUITE_TEST(store_list_batches_gives_the_newest_first),
    SUITE_TEST(store_change_alone_is_fenced_like_any),
    SUITE_TEST(store_change_of_a_revision_needs_that_one),
    SUITE_TEST(store_changes_of_one_integration_keep_their_order),
    SUITE_TEST(store_finish_keeps_the_larger_number_of_attempts),
    SUITE_TEST(store_count_tells_how_many_of_which_type),
    SUITE_TEST(store_list_goes_as_far_as_an_id_and_back_to_a_date),
};
const struct suite_part suite_batches = {tests, sizeof tests / sizeof tests[0]};
