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

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(board_takes_fence_0_for_no_attempt),
    };
    return cmocka_run_group_tests_name("board_edges", tests, NULL, NULL);
}
