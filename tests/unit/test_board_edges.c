/* The board where it is easy to get wrong: each test here failed once. */
#include "tests/unit/test_board_bench.h"

static void board_takes_fence_0_for_no_attempt(void **state)
{
    struct bench *t = *state;
    accept(t, 1, 0); /* never dispatched: its fence is 0, too */
    join(t, 1);
    held(t, 1, 1, 0);
    assert_int_equal(count_of(t, BOARD_CANCEL), 1);
    outcome(t, 1, 1, 0, OUTCOME_DONE);
    assert_int_equal(count_of(t, BOARD_STALE), 1);
    assert_int_equal(count_of(t, BOARD_COMMIT), 0);
}

static void board_does_not_run_a_cancelled_job_that_was_loaded_behind_another(void **state)
{
    struct bench *t = *state;
    struct board_spec cancelled = plain;
    cancelled.cancelled = true;
    load(t, 1, 5, &plain);
    load(t, 2, 5, &cancelled);
    join(t, 1);
    beat(t, 1, 0, 10, 0, 0);
    tick(t, 1000);
    tick(t, 200);
    dispatches_only(t, 1);
    outcome(t, 1, 1, only(t, BOARD_DISPATCH).fence, OUTCOME_DONE);
    committed(t, 1, OUTCOME_DONE, PB_OK);
    assert_int_equal(count_of(t, BOARD_DISPATCH), 0);
    tick(t, 0);
    assert_int_equal(only(t, BOARD_COMMIT).outcome, OUTCOME_CANCELLED);
}

static void board_keeps_a_rate_over_jobs_that_come_one_at_a_time(void **state)
{
    (void)state;
    static struct bench t;
    const struct board_limit slow = {.interval_us = 1000000};
    bench_open_with(&t, KEY_HOST, &slow);
    struct board_spec spec = plain;
    spec.names[KEY_HOST] = 9;
    join(&t, 1);
    beat(&t, 1, 0, 10, 0, 0);
    accept_spec(&t, 1, &spec);
    outcome(&t, 1, 1, only(&t, BOARD_DISPATCH).fence, OUTCOME_DONE);
    committed(&t, 1, OUTCOME_DONE, PB_OK); /* the host's last job leaves the board */
    accept_spec(&t, 2, &spec);
    assert_int_equal(count_of(&t, BOARD_DISPATCH), 0);
    tick(&t, 999);
    assert_int_equal(count_of(&t, BOARD_DISPATCH), 0);
    tick(&t, 1);
    assert_int_equal(count_of(&t, BOARD_DISPATCH), 1);
    board_free(t.board);
}

static void board_keeps_the_default_of_a_host_whose_jobs_say_no_limit(void **state)
{
    (void)state;
    static struct bench t;
    const struct board_limit one = {.concurrency = 1};
    bench_open_with(&t, KEY_HOST, &one);
    struct board_spec spec = plain;
    spec.names[KEY_HOST] = 9;
    join(&t, 1);
    beat(&t, 1, 0, 10, 0, 0);
    accept_spec(&t, 1, &spec);
    accept_spec(&t, 2, &spec);
    assert_int_equal(count_of(&t, BOARD_DISPATCH), 0);
    board_free(t.board);
}

static void board_loads_more_than_a_tenant_may_submit(void **state)
{
    (void)state;
    static struct bench t;
    const struct board_limit two = {.jobs_max = 2};
    bench_open_with(&t, KEY_TENANT, &two);
    for (unsigned i = 1; i <= 3; i++) { /* the cap was lowered over the restart: what is durable stays */
        load(&t, i, 0, &plain);
        assert_int_equal(count_of(&t, BOARD_REJECT), 0);
    }
    submit(&t, 4, 0);
    assert_int_equal(only(&t, BOARD_REJECT).err, PB_E_LIMIT);
    board_free(t.board);
}

static void board_makes_a_cancel_durable_while_a_retry_is_committed(void **state)
{
    struct bench *t = *state;
    uint64_t fence = run_one(t, 1, 1);
    outcome(t, 1, 1, fence, OUTCOME_RETRY);
    cancel(t, 1);
    assert_int_equal(count_of(t, BOARD_NOTE), 1); /* a crash now must not bring the job back */
    committed(t, 1, OUTCOME_RETRY, PB_OK);
    tick(t, 0); /* and it does not sit out its backoff */
    assert_int_equal(only(t, BOARD_COMMIT).outcome, OUTCOME_CANCELLED);
}

static void board_ends_a_cancelled_job_that_is_handed_back_for_later(void **state)
{
    struct bench *t = *state;
    uint64_t fence = run_one(t, 1, 1);
    cancel(t, 1);
    assert_int_equal(only(t, BOARD_STOP).fence, fence);
    step(t, (struct board_event){.kind = BOARD_OUTCOME,
                                 .session = 1,
                                 .job = id_of(1),
                                 .fence = fence,
                                 .outcome = OUTCOME_RETURNED,
                                 .retry_after_ms = 60000});
    assert_int_equal(only(t, BOARD_COMMIT).outcome, OUTCOME_CANCELLED);
}

static void board_spreads_what_is_handed_back_for_the_same_time(void **state)
{
    struct bench *t = *state;
    uint64_t fences[101];
    join(t, 1);
    beat(t, 1, 0, 100, 0, 0);
    for (unsigned i = 1; i <= 100; i++) {
        accept(t, i, 0);
        fences[i] = only(t, BOARD_DISPATCH).fence;
    }
    for (unsigned i = 1; i <= 100; i++)
        step(t, (struct board_event){.kind = BOARD_OUTCOME,
                                     .session = 1,
                                     .job = id_of(i),
                                     .fence = fences[i],
                                     .outcome = OUTCOME_RETURNED,
                                     .retry_after_ms = 1000,
                                     .undelivered = true});
    tick(t, 1010);
    assert_true(count_of(t, BOARD_DISPATCH) < 50);
}

static void board_reclaims_what_was_sent_after_one_that_never_left(void **state)
{
    struct bench *t = *state;
    join(t, 1);
    beat(t, 1, 0, 2, 0, 0);
    accept(t, 1, 0);
    uint64_t first = only(t, BOARD_DISPATCH).fence;
    accept(t, 2, 0);
    step(t, (struct board_event){.kind = BOARD_OUTCOME,
                                 .session = 1,
                                 .job = id_of(1),
                                 .fence = first,
                                 .outcome = OUTCOME_RETURNED,
                                 .retry_after_ms = 100000,
                                 .undelivered = true});
    beat(t, 1, 1, 1, 0, 0); /* the second came, and the worker had no memory for it */
    assert_int_equal(count_of(t, BOARD_ASK), 1);
    t->fx.count = 0;
    board_reconcile(t->board, t->now_ms, 1, listed_none, NULL, &t->fx);
    assert_int_equal(board_running_of(t->board, 1), 0);
}

static void board_lets_go_of_loaded_jobs_some_at_a_time(void **state)
{
    struct bench *t = *state;
    for (unsigned i = 1; i <= 9000; i++)
        load(t, i, 0, &plain);
    struct board_counts c;
    size_t before = 9000;
    t->now_ms += 1000;
    for (int turns = 0; before; turns++) { /* a million must not stop the loop */
        assert_true(board_due_ms(t->board) <= t->now_ms && turns < 10);
        tick(t, 0);
        board_count(t->board, &c);
        assert_true(before - c.held <= 5000);
        before = c.held;
    }
}

static void board_says_why_it_ended_a_job(void **state)
{
    struct bench *t = *state;
    accept(t, 1, 0);
    cancel(t, 1);
    committed(t, 1, OUTCOME_CANCELLED, PB_OK);
    assert_int_equal(only(t, BOARD_FINISH).reason, REASON_CANCELLED);
    accept(t, 2, 0);
    join(t, 1);
    beat(t, 1, 0, 1, 0, 0);
    outcome(t, 1, 2, only(t, BOARD_DISPATCH).fence, OUTCOME_DONE);
    cancel(t, 2);
    committed(t, 2, OUTCOME_DONE, PB_OK);
    assert_int_equal(only(t, BOARD_FINISH).reason, REASON_NONE);
}

static void board_charges_no_tokens_for_what_a_worker_lists(void **state)
{
    (void)state;
    static struct bench t;
    const struct board_limit slow = {.interval_us = 1000000, .burst = 3};
    bench_open_with(&t, KEY_TENANT, &slow);
    uint64_t fence = run_one(&t, 1, 1);
    for (int i = 0; i < 10; i++)
        held(&t, 1, 1, fence); /* after each list that was asked for */
    beat(&t, 1, 1, 10, 1, fence);
    accept(&t, 2, 0);
    assert_int_equal(count_of(&t, BOARD_DISPATCH), 1);
    board_free(t.board);
}

static void board_holds_a_loaded_job_no_longer_because_others_are_loaded(void **state)
{
    struct bench *t = *state;
    join(t, 1);
    beat(t, 1, 0, 100, 0, 0);
    load(t, 1, 0, &plain);
    size_t dispatched = 0;
    for (unsigned i = 2; i <= 12 && !dispatched; i++) { /* dead letters that are sent again, one by one */
        tick(t, 200);
        dispatched += count_of(t, BOARD_DISPATCH);
        load(t, i, 0, &plain);
        dispatched += count_of(t, BOARD_DISPATCH);
    }
    assert_true(dispatched);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(board_takes_fence_0_for_no_attempt),
        T(board_does_not_run_a_cancelled_job_that_was_loaded_behind_another),
        T(board_keeps_a_rate_over_jobs_that_come_one_at_a_time),
        T(board_keeps_the_default_of_a_host_whose_jobs_say_no_limit),
        T(board_loads_more_than_a_tenant_may_submit),
        T(board_makes_a_cancel_durable_while_a_retry_is_committed),
        T(board_ends_a_cancelled_job_that_is_handed_back_for_later),
        T(board_spreads_what_is_handed_back_for_the_same_time),
        T(board_reclaims_what_was_sent_after_one_that_never_left),
        T(board_lets_go_of_loaded_jobs_some_at_a_time),
        T(board_says_why_it_ended_a_job),
        T(board_charges_no_tokens_for_what_a_worker_lists),
        T(board_holds_a_loaded_job_no_longer_because_others_are_loaded),
    };
    return cmocka_run_group_tests_name("board_edges", tests, NULL, NULL);
}
