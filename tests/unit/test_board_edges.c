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

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(board_takes_fence_0_for_no_attempt),
        T(board_does_not_run_a_cancelled_job_that_was_loaded_behind_another),
    };
    return cmocka_run_group_tests_name("board_edges", tests, NULL, NULL);
}
