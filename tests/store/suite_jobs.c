/* Jobs, tokens, meta and the epoch; and what a commit of many operations does. */
#include "tests/store/suite_parts.h"

#include <stdio.h>
#include <stdlib.h>

static void store_keeps_every_field_of_a_job(void **state)
{
    struct job job = suite_job(1, "acme", "key/1 \xc3\xa9");
    job.kind = JOB_DELETE;
    job.attempts = UINT32_MAX;
    job.max_attempts = 5;
    job.crashes = 1;
    job.priority = PRIORITY_HIGH;
    job.cancel_asked = true;
    job.not_before_ms = 7;
    job.deadline_ms = INT64_MAX;
    snprintf(job.host, sizeof job.host, "api.stripe.com");
    assert_int_equal(suite_append(state, &job), PB_OK);
    struct job back = suite_get(state, 1);
    assert_true(id_equal(&back.id, &job.id));
    assert_int_equal(back.kind, JOB_DELETE);
    assert_int_equal(back.state, JOB_WAITING);
    assert_string_equal(back.tenant, "acme");
    assert_string_equal(back.type, "stripe");
    assert_string_equal(back.idem, "key/1 \xc3\xa9");
    assert_true(id_equal(&back.integration, &job.integration));
    assert_int_equal(back.attempts, UINT32_MAX);
    assert_int_equal(back.max_attempts, 5);
    assert_int_equal(back.crashes, 1);
    assert_int_equal(back.priority, PRIORITY_HIGH);
    assert_true(back.cancel_asked);
    assert_int_equal(back.not_before_ms, 7);
    assert_int_equal(back.deadline_ms, INT64_MAX);
    assert_string_equal(back.host, "api.stripe.com");
    assert_int_equal(back.created_at_ms, 1000);
    assert_int_equal(back.finished_at_ms, 0);
    assert_int_equal(back.payload_len, job.payload_len);
    assert_memory_equal(back.payload, job.payload, job.payload_len);
    assert_null(back.result);
    job_fini(&back);
}

static void store_keeps_a_job_with_the_longest_texts_and_no_payload(void **state)
{
    struct job job = suite_job(1, "", "");
    memset(job.tenant, 't', LIMIT_TENANT_CHARS);
    memset(job.type, 'y', LIMIT_TYPE_CHARS);
    memset(job.idem, 'i', LIMIT_IDEM_CHARS);
    memset(job.host, 'h', LIMIT_HOST_CHARS);
    job.payload = NULL;
    job.payload_len = 0;
    assert_int_equal(suite_append(state, &job), PB_OK);
    struct job back = suite_get(state, 1);
    assert_string_equal(back.tenant, job.tenant);
    assert_string_equal(back.type, job.type);
    assert_string_equal(back.idem, job.idem);
    assert_string_equal(back.host, job.host);
    assert_null(back.payload);
    assert_int_equal(back.payload_len, 0);
    job_fini(&back);
}

static void store_does_not_know_a_job_that_was_not_appended(void **state)
{
    struct pb_id id = suite_id(1);
    struct job job = {.attempts = 42};
    struct pb_why why = {0};
    assert_int_equal(store_get_job(suite_store(state), &id, &job, &why), PB_E_NOT_FOUND);
    assert_int_equal(job.attempts, 42); /* written only on success */
    assert_int_equal(suite_finish(state, 1, JOB_DONE), PB_E_NOT_FOUND);
    struct store_op retry = {.kind = STORE_RETRY_JOB, .job = {.id = id, .attempts = 1}};
    assert_int_equal(suite_commit(state, &retry), PB_E_NOT_FOUND);
    assert_int_equal(suite_state_of(state, 1), 0);
}

/* -- idempotency -- */

static pb_err append_known(void **state, const struct job *job, uint64_t expected)
{
    struct store_op op = {.kind = STORE_APPEND_JOB, .job = *job};
    pb_err err = suite_commit(state, &op);
    struct pb_id existing = suite_id(expected);
    if (err)
        assert_true(id_equal(&op.existing_job, &existing));
    else
        assert_true(id_is_nil(&op.existing_job));
    return err;
}

static void store_append_is_idempotent_per_tenant_and_key(void **state)
{
    struct job first = suite_job(1, "acme", "k"), same = suite_job(2, "acme", "k");
    struct job other_key = suite_job(3, "acme", "K"), other_tenant = suite_job(4, "beta", "k");
    assert_int_equal(append_known(state, &first, 0), PB_OK);
    assert_int_equal(append_known(state, &same, 1), PB_E_EXISTS);
    assert_int_equal(suite_state_of(state, 2), 0);
    assert_int_equal(append_known(state, &other_key, 0), PB_OK);
    assert_int_equal(append_known(state, &other_tenant, 0), PB_OK);
    struct job mixed = suite_job(5, "ac", "mek"); /* the same letters in a row */
    assert_int_equal(append_known(state, &mixed, 0), PB_OK);
}

static void store_append_without_a_key_is_always_new(void **state)
{
    struct job a = suite_job(1, "acme", ""), b = suite_job(2, "acme", "");
    assert_int_equal(append_known(state, &a, 0), PB_OK);
    assert_int_equal(append_known(state, &b, 0), PB_OK);
}

static void store_append_knows_the_id_again(void **state)
{
    struct job first = suite_job(1, "acme", "k"), again = suite_job(1, "beta", "");
    assert_int_equal(append_known(state, &first, 0), PB_OK);
    assert_int_equal(append_known(state, &again, 1), PB_E_EXISTS);
    struct job back = suite_get(state, 1);
    assert_string_equal(back.tenant, "acme"); /* as it was */
    job_fini(&back);
}

static void store_append_knows_the_key_of_a_finished_job(void **state)
{
    struct job first = suite_job(1, "acme", "k"), same = suite_job(2, "acme", "k");
    assert_int_equal(suite_append(state, &first), PB_OK);
    assert_int_equal(suite_finish(state, 1, JOB_FAILED), PB_OK);
    assert_int_equal(append_known(state, &same, 1), PB_E_EXISTS);
    suite_reopen(state);
    assert_int_equal(append_known(state, &same, 1), PB_E_EXISTS);
}

static void store_append_knows_a_key_of_the_same_commit(void **state)
{
    struct store_op a = {.kind = STORE_APPEND_JOB, .job = suite_job(1, "acme", "k")};
    struct store_op b = {.kind = STORE_APPEND_JOB, .job = suite_job(2, "acme", "k")};
    struct store_op c = {.kind = STORE_APPEND_JOB, .job = suite_job(3, "acme", "l")};
    struct store_op *ops[] = {&a, &b, &c};
    struct pb_id first = suite_id(1);
    suite_commit_all(state, ops, 3);
    assert_int_equal(a.outcome, PB_OK);
    assert_int_equal(b.outcome, PB_E_EXISTS);
    assert_true(id_equal(&b.existing_job, &first));
    assert_int_equal(c.outcome, PB_OK);
    assert_int_equal(suite_state_of(state, 2), 0);
    assert_int_equal(suite_state_of(state, 3), JOB_WAITING);
}

/* -- finishing -- */

static void store_finish_keeps_the_result_and_erases_the_payload(void **state)
{
    static const enum job_state ends[] = {JOB_DONE, JOB_FAILED, JOB_CANCELLED};
    for (uint64_t i = 0; i < 3; i++) {
        struct job job = suite_job(i, "acme", "");
        job.attempts = 2;
        assert_int_equal(suite_append(state, &job), PB_OK);
        assert_int_equal(suite_finish(state, i, ends[i]), PB_OK);
        struct job back = suite_get(state, i);
        assert_int_equal(back.state, ends[i]);
        assert_string_equal(back.result, "{\"code\":\"ok\"}");
        assert_int_equal(back.finished_at_ms, 77);
        assert_null(back.payload);
        assert_int_equal(back.payload_len, 0);
        assert_int_equal(back.attempts, 2);
        assert_string_equal(back.tenant, "acme");
        job_fini(&back);
    }
}

static void store_finish_again_is_done_only_in_the_same_state(void **state)
{
    struct job job = suite_job(1, "acme", "");
    assert_int_equal(suite_append(state, &job), PB_OK);
    assert_int_equal(suite_finish(state, 1, JOB_DONE), PB_OK);
    struct store_op again = {.kind = STORE_FINISH_JOB,
                             .job = {.id = suite_id(1), .state = JOB_DONE, .finished_at_ms = 99}};
    assert_int_equal(suite_commit(state, &again), PB_OK);
    assert_int_equal(suite_finish(state, 1, JOB_FAILED), PB_E_CONFLICT);
    assert_int_equal(suite_finish(state, 1, JOB_CANCELLED), PB_E_CONFLICT);
    struct job back = suite_get(state, 1);
    assert_int_equal(back.state, JOB_DONE);
    assert_int_equal(back.finished_at_ms, 77); /* the first one counts */
    job_fini(&back);
}

/* -- many operations -- */

static void store_commit_leaves_out_only_what_its_condition_refuses(void **state)
{
    struct integration a = suite_record(50, "acme", "one"), b = suite_record(51, "acme", "one");
    struct job jobs[] = {suite_job(1, "acme", ""), suite_job(2, "acme", ""), suite_job(3, "acme", "")};
    for (int i = 0; i < 3; i++)
        assert_int_equal(suite_append(state, &jobs[i]), PB_OK);
    struct store_op first = {.kind = STORE_FINISH_JOB,
                             .job = {.id = suite_id(1), .state = JOB_DONE},
                             .change = suite_change(CHANGE_CREATE, &a, 10, 0)};
    struct store_op taken = {.kind = STORE_FINISH_JOB,
                             .job = {.id = suite_id(2), .state = JOB_DONE},
                             .change = suite_change(CHANGE_CREATE, &b, 11, 0)};
    struct store_op unknown = {.kind = STORE_RETRY_JOB, .job = {.id = suite_id(99)}};
    struct store_op last = {.kind = STORE_FINISH_JOB, .job = {.id = suite_id(3), .state = JOB_FAILED}};
    struct store_op meta = {.kind = STORE_SET_META, .meta_key = "k", .meta_value = "v"};
    struct store_op *ops[] = {&first, &taken, &unknown, &last, &meta};
    suite_commit_all(state, ops, 5);
    assert_int_equal(first.outcome, PB_OK);
    assert_int_equal(taken.outcome, PB_E_EXISTS);
    assert_int_equal(unknown.outcome, PB_E_NOT_FOUND);
    assert_int_equal(last.outcome, PB_OK);
    assert_int_equal(meta.outcome, PB_OK);
    suite_reopen(state);
    assert_int_equal(suite_state_of(state, 1), JOB_DONE);
    assert_int_equal(suite_state_of(state, 2), JOB_WAITING);
    assert_int_equal(suite_state_of(state, 3), JOB_FAILED);
    assert_true(suite_has(state, 50, "one", 1, 10));
    assert_true(suite_is_gone(state, 51));
}

static void store_commit_runs_operations_in_order(void **state)
{
    struct integration doc = suite_record(50, "acme", "one"), other = suite_record(51, "acme", "one");
    struct store_op append = {.kind = STORE_APPEND_JOB, .job = suite_job(1, "acme", "k")};
    struct store_op append2 = {.kind = STORE_APPEND_JOB, .job = suite_job(2, "acme", "")};
    struct store_op append3 = {.kind = STORE_APPEND_JOB, .job = suite_job(3, "acme", "")};
    struct store_op create = {.kind = STORE_FINISH_JOB,
                              .job = {.id = suite_id(1), .state = JOB_DONE},
                              .change = suite_change(CHANGE_CREATE, &doc, 10, 0)};
    struct store_op remove = {.kind = STORE_FINISH_JOB,
                              .job = {.id = suite_id(2), .state = JOB_DONE},
                              .change = suite_change(CHANGE_DELETE, &doc, 11, 1)};
    struct store_op reuse = {.kind = STORE_FINISH_JOB,
                             .job = {.id = suite_id(3), .state = JOB_DONE},
                             .change =
                                 suite_change(CHANGE_CREATE, &other, 12, 0)}; /* the name is free again */
    struct store_op *ops[] = {&append, &append2, &append3, &create, &remove, &reuse};
    suite_commit_all(state, ops, 6);
    for (size_t i = 0; i < 6; i++)
        assert_int_equal(ops[i]->outcome, PB_OK);
    assert_true(suite_is_gone(state, 50));
    assert_true(suite_has(state, 51, "one", 1, 12));
}

static void store_commit_of_nothing_is_fine(void **state)
{
    suite_commit_all(state, NULL, 0);
}

static void store_commit_takes_as_many_operations_as_a_commit_may_have(void **state)
{
    struct store_op *all = calloc(LIMIT_COMMIT_OPS, sizeof *all),
                    **ops = calloc(LIMIT_COMMIT_OPS, sizeof(struct store_op *));
    assert_true(all && ops);
    for (uint64_t i = 0; i < LIMIT_COMMIT_OPS; i++) {
        all[i] = (struct store_op){.kind = STORE_APPEND_JOB, .job = suite_job(i, "acme", "")};
        ops[i] = &all[i];
    }
    suite_commit_all(state, ops, LIMIT_COMMIT_OPS);
    for (uint64_t i = 0; i < LIMIT_COMMIT_OPS; i++)
        assert_int_equal(all[i].outcome, PB_OK);
    assert_int_equal(suite_state_of(state, LIMIT_COMMIT_OPS - 1), JOB_WAITING);
    free(all);
    free(ops);
}

/* -- meta and epoch -- */

static void expect_meta(void **state, const char *key, const char *expected)
{
    char *value = NULL;
    struct pb_why why = {0};
    pb_err err = store_get_meta(suite_store(state), key, &value, &why);
    assert_int_equal(err, expected ? PB_OK : PB_E_NOT_FOUND);
    if (expected)
        assert_string_equal(value, expected);
    else
        assert_null(value);
    free(value);
}

static pb_err set_meta(void **state, const char *key, const char *value)
{
    struct store_op op = {.kind = STORE_SET_META, .meta_key = key, .meta_value = value};
    return suite_commit(state, &op);
}

static void store_meta_is_set_replaced_and_removed(void **state)
{
    expect_meta(state, "k", NULL);
    assert_int_equal(set_meta(state, "k", "one"), PB_OK);
    assert_int_equal(set_meta(state, "K", ""), PB_OK);
    expect_meta(state, "k", "one");
    expect_meta(state, "K", "");
    assert_int_equal(set_meta(state, "k", "two"), PB_OK);
    suite_reopen(state);
    expect_meta(state, "k", "two");
    assert_int_equal(set_meta(state, "k", NULL), PB_OK);
    assert_int_equal(set_meta(state, "k", NULL), PB_OK); /* nothing there: fine */
    expect_meta(state, "k", NULL);
    expect_meta(state, "K", "");
}

static void store_epoch_begins_with_one_and_only_rises(void **state)
{
    struct pb_why why = {0};
    for (uint32_t expected = 1; expected <= 5; expected++) {
        uint32_t epoch = 0;
        assert_int_equal(store_next_epoch(suite_store(state), &epoch, &why), PB_OK);
        assert_int_equal(epoch, expected);
        if (expected % 2)
            suite_reopen(state);
    }
}

static void store_epoch_is_raised_within_a_commit(void **state)
{
    struct pb_why why = {0};
    uint32_t epoch = 0;
    assert_int_equal(store_next_epoch(suite_store(state), &epoch, &why), PB_OK);
    struct store_op first = {.kind = STORE_RAISE_EPOCH}, meta = {.kind = STORE_SET_META, .meta_key = "k"};
    struct store_op second = first, *ops[] = {&first, &meta, &second};
    meta.meta_value = "v";
    suite_commit_all(state, ops, 3);
    assert_int_equal(first.outcome, PB_OK);
    assert_int_equal(first.epoch, 2);
    assert_int_equal(second.epoch, 3);
    suite_reopen(state);
    assert_int_equal(store_next_epoch(suite_store(state), &epoch, &why), PB_OK);
    assert_int_equal(epoch, 4);
}

/* -- tokens -- */

struct tokens {
    struct store_token items[4];
    size_t count, most;
};

static pb_err take_token(void *arg, const struct store_token *token)
{
    struct tokens *t = arg;
    if (t->count == t->most)
        return PB_E_BUSY;
    t->items[t->count++] = *token;
    return PB_OK;
}

static void store_tokens_are_listed_with_every_field(void **state)
{
    struct store_op a = {
        .kind = STORE_ADD_TOKEN,
        .token = {.hash = {1}, .tenant = "*", .role = "admin", .name = "first \xc3\xa9", .created_at_ms = 5}};
    struct store_op b = {
        .kind = STORE_ADD_TOKEN,
        .token = {.hash = {2}, .tenant = "acme", .role = "viewer", .name = "", .created_at_ms = 6}};
    struct tokens all = {.most = 4}, one = {.most = 1};
    struct pb_why why = {0};
    assert_int_equal(store_list_tokens(suite_store(state), take_token, &all, &why), PB_OK);
    assert_int_equal(all.count, 0);
    a.token.hash[31] = 0xff;
    assert_int_equal(suite_commit(state, &a), PB_OK);
    assert_int_equal(suite_commit(state, &b), PB_OK);
    assert_int_equal(store_list_tokens(suite_store(state), take_token, &all, &why), PB_OK);
    assert_int_equal(all.count, 2);
    assert_memory_equal(all.items[0].hash, a.token.hash, 32);
    assert_string_equal(all.items[0].tenant, "*");
    assert_string_equal(all.items[0].role, "admin");
    assert_string_equal(all.items[0].name, "first \xc3\xa9");
    assert_int_equal(all.items[0].created_at_ms, 5);
    assert_string_equal(all.items[1].tenant, "acme");
    assert_string_equal(all.items[1].name, "");
    assert_int_equal(store_list_tokens(suite_store(state), take_token, &one, &why),
                     PB_E_BUSY); /* what each() said */
    assert_int_equal(one.count, 1);
}

static void store_token_exists_by_its_hash(void **state)
{
    struct store_op a = {.kind = STORE_ADD_TOKEN,
                         .token = {.hash = {1}, .tenant = "acme", .role = "viewer", .name = "a"}};
    struct store_op b = a;
    struct tokens all = {.most = 4};
    struct pb_why why = {0};
    snprintf(b.token.role, sizeof b.token.role, "admin");
    assert_int_equal(suite_commit(state, &a), PB_OK);
    assert_int_equal(suite_commit(state, &b), PB_E_EXISTS);
    assert_int_equal(store_list_tokens(suite_store(state), take_token, &all, &why), PB_OK);
    assert_int_equal(all.count, 1);
    assert_string_equal(all.items[0].role, "viewer"); /* as it was */
}

static const struct suite_test tests[] = {
    SUITE_TEST(store_keeps_every_field_of_a_job),
    SUITE_TEST(store_keeps_a_job_with_the_longest_texts_and_no_payload),
    SUITE_TEST(store_does_not_know_a_job_that_was_not_appended),
    SUITE_TEST(store_append_is_idempotent_per_tenant_and_key),
    SUITE_TEST(store_append_without_a_key_is_always_new),
    SUITE_TEST(store_append_knows_the_id_again),
    SUITE_TEST(store_append_knows_the_key_of_a_finished_job),
    SUITE_TEST(store_append_knows_a_key_of_the_same_commit),
    SUITE_TEST(store_finish_keeps_the_result_and_erases_the_payload),
    SUITE_TEST(store_finish_again_is_done_only_in_the_same_state),
    SUITE_TEST(store_commit_leaves_out_only_what_its_condition_refuses),
    SUITE_TEST(store_commit_runs_operations_in_order),
    SUITE_TEST(store_commit_of_nothing_is_fine),
    SUITE_TEST(store_commit_takes_as_many_operations_as_a_commit_may_have),
    SUITE_TEST(store_meta_is_set_replaced_and_removed),
    SUITE_TEST(store_epoch_begins_with_one_and_only_rises),
    SUITE_TEST(store_epoch_is_raised_within_a_commit),
    SUITE_TEST(store_tokens_are_listed_with_every_field),
    SUITE_TEST(store_token_exists_by_its_hash),
};
const struct suite_part suite_jobs = {tests, sizeof tests / sizeof tests[0]};
