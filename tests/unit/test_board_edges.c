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

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(board_takes_fence_0_for_no_attempt),
        T(board_does_not_run_a_cancelled_job_that_was_loaded_behind_another),
        T(board_keeps_a_rate_over_jobs_that_come_one_at_a_time),
        T(board_keeps_the_default_of_a_host_whose_jobs_say_no_limit),
        T(board_loads_more_than_a_tenant_may_submit),
    };
    return cmocka_run_group_tests_name("board_edges", tests, NULL, NULL);
}
