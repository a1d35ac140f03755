/* Who goes first, and how jobs end that nobody finishes: turns and gates, pauses, deadlines, cancels,
 * attempts, jobs in memory, epochs; and what a waiting job costs. */
#include "broker/board/parts.h"
#include "tests/unit/test_board_bench.h"

/* -- who goes first -- */

static struct board_spec of(enum board_key key, uint64_t name)
{
    struct board_spec spec = plain;
    spec.names[key] = name;
    return spec;
}

static unsigned job_of(const struct board_effect *fx)
{
    unsigned n;
    memcpy(&n, fx->job.bytes + 10, sizeof n);
    return n;
}

static void board_starts_tenant_bs_job_within_two_rounds_of_100000_of_tenant_a(void **state)
{
    (void)state;
    static struct bench t;
    const struct board_limit none = {0};
    const struct board_spec a = of(KEY_TENANT, 1), b = of(KEY_TENANT, 2);
    bench_open_with(&t, KEY_TENANT, &none);
    for (unsigned i = 1; i <= 100000; i++)
        accept_spec(&t, i, &a);
    join(&t, 1);
    beat(&t, 1, 0, 5, 0, 0);
    accept_spec(&t, 200000, &b);
    beat(&t, 1, 5, 2, 5, 0);
    size_t at = 0;
    for (size_t i = 0, dispatches = 0; i < t.fx.count; i++)
        if (t.fx.items[i].kind == BOARD_DISPATCH && ++dispatches && job_of(&t.fx.items[i]) == 200000)
            at = dispatches;
    assert_in_range(at, 1, 2);
    board_free(t.board);
}

static void board_parks_only_the_jobs_of_a_limited_key(void **state)
{
    struct bench *t = *state;
    const struct board_limit one = {.concurrency = 1};
    const struct board_spec limited = of(KEY_HOST, 7);
    assert_int_equal(board_limit(t->board, KEY_HOST, 7, &one), PB_OK);
    for (unsigned i = 1; i <= 50; i++)
        accept_spec(t, i, &limited);
    for (unsigned i = 51; i <= 60; i++)
        accept(t, i, 0);
    join(t, 1);
    beat(t, 1, 0, 100, 0, 0);
    assert_int_equal(count_of(t, BOARD_DISPATCH), 11);
    struct board_effect first = t->fx.items[0];
    for (size_t i = 0; i < t->fx.count; i++)
        if (job_of(&t->fx.items[i]) <= 50)
            first = t->fx.items[i];
    outcome(t, 1, job_of(&first), first.fence, OUTCOME_DONE);
    assert_int_equal(count_of(t, BOARD_DISPATCH), 1); /* the next one, at once */
}

static void board_holds_to_a_rate(void **state)
{
    struct bench *t = *state;
    const struct board_limit ten_a_second = {.interval_us = 100000, .burst = 2};
    assert_int_equal(board_limit(t->board, KEY_TENANT, 1, &ten_a_second), PB_OK);
    for (unsigned i = 1; i <= 20; i++)
        accept(t, i, 0);
    join(t, 1);
    beat(t, 1, 0, 100, 0, 0);
    size_t started = count_of(t, BOARD_DISPATCH);
    assert_int_equal(started, 2);
    for (int i = 0; i < 10; i++) {
        t->now_ms = board_due_ms(t->board);
        tick(t, 0);
        started += count_of(t, BOARD_DISPATCH);
    }
    assert_int_equal(started, 12);
    assert_int_equal(t->now_ms, 2000); /* ten more took a second */
}

static void board_prefers_higher_priorities(void **state)
{
    struct bench *t = *state;
    struct board_spec spec = plain;
    for (unsigned i = 3; i; i--) {
        spec.priority = (enum job_priority)i;
        accept_spec(t, i, &spec);
    }
    join(t, 1);
    beat(t, 1, 0, 1, 0, 0);
    dispatches_only(t, 1);
    beat(t, 1, 1, 1, 1, 0);
    assert_int_equal(count_of(t, BOARD_DISPATCH), 1);
}

static void board_dispatches_nothing_through_a_paused_gate(void **state)
{
    struct bench *t = *state;
    const struct board_spec ping = of(KEY_KIND, 5);
    join(t, 1);
    beat(t, 1, 0, 10, 0, 0);
    assert_int_equal(board_pause(t->board, KEY_KIND, 5, true), PB_OK);
    accept_spec(t, 1, &ping);
    assert_int_equal(count_of(t, BOARD_DISPATCH), 0);
    accept(t, 2, 0);
    assert_int_equal(count_of(t, BOARD_DISPATCH), 1);
    assert_int_equal(board_pause(t->board, KEY_KIND, 5, false), PB_OK);
    assert_true(board_due_ms(t->board) <= t->now_ms); /* so that the owner ticks */
    tick(t, 0);
    dispatches_only(t, 1);
}

static void board_refuses_more_than_a_tenant_may_have(void **state)
{
    struct bench *t = *state;
    const struct board_limit two = {.jobs_max = 2};
    const struct board_spec other = of(KEY_TENANT, 2);
    assert_int_equal(board_limit(t->board, KEY_TENANT, 1, &two), PB_OK);
    accept(t, 1, 0);
    accept(t, 2, 0);
    submit(t, 3, 0);
    assert_int_equal(only(t, BOARD_REJECT).err, PB_E_LIMIT);
    submit_spec(t, 4, &other);
    assert_int_equal(count_of(t, BOARD_REJECT), 0);
    cancel(t, 1);
    committed(t, 1, OUTCOME_CANCELLED, PB_OK);
    submit(t, 5, 0);
    assert_int_equal(count_of(t, BOARD_REJECT), 0);
}

/* -- waiting for a time -- */

static void board_runs_nothing_before_it_is_wanted(void **state)
{
    struct bench *t = *state;
    struct board_spec later = plain;
    later.not_before_ms = 5000;
    join(t, 1);
    beat(t, 1, 0, 10, 0, 0);
    accept_spec(t, 1, &later);
    tick(t, 3999);
    assert_int_equal(count_of(t, BOARD_DISPATCH), 0);
    assert_int_equal(board_due_ms(t->board), 5000);
    tick(t, 1);
    assert_int_equal(count_of(t, BOARD_DISPATCH), 1);
}

static void board_gives_up_a_job_past_its_deadline_wherever_it_waits(void **state)
{
    struct bench *t = *state;
    struct board_spec soon = plain, later = plain;
    soon.deadline_ms = later.deadline_ms = 2500;
    later.not_before_ms = 100000;
    accept_spec(t, 1, &soon);  /* ready */
    accept_spec(t, 2, &later); /* delayed */
    accept(t, 3, 9);
    step(t, (struct board_event){
                .kind = BOARD_SUBMIT, .job = id_of(4), .integration = id_of(1000009), .spec = soon});
    appended(t, 4, PB_OK); /* blocked */
    tick(t, 1499);
    assert_int_equal(count_of(t, BOARD_COMMIT), 0);
    tick(t, 501);
    assert_int_equal(count_of(t, BOARD_COMMIT), 3);
    for (size_t i = 0; i < t->fx.count; i++) {
        assert_int_equal(t->fx.items[i].outcome, OUTCOME_DEAD);
        assert_int_equal(t->fx.items[i].reason, REASON_DEADLINE);
    }
}

static void board_gives_up_what_is_held_or_tried_again_past_its_deadline(void **state)
{
    struct bench *t = *state;
    struct board_spec soon = plain;
    soon.deadline_ms = 3000;
    load(t, 1, 0, &soon); /* held until 2000: in time */
    accept_spec(t, 2, &soon);
    join(t, 1);
    beat(t, 1, 0, 1, 0, 0);
    outcome(t, 1, 2, only(t, BOARD_DISPATCH).fence, OUTCOME_RETRY);
    t->now_ms = 2500;
    load(t, 3, 0, &soon); /* held until 3500: past it */
    t->now_ms = 3000;
    tick(t, 0);
    assert_int_equal(only(t, BOARD_COMMIT).reason, REASON_DEADLINE); /* the first, which waits by now */
    committed(t, 2, OUTCOME_RETRY, PB_OK);
    tick(t, 0);
    assert_int_equal(only(t, BOARD_COMMIT).reason, REASON_DEADLINE);
    tick(t, 499);
    assert_int_equal(count_of(t, BOARD_COMMIT), 0);
    tick(t, 1);
    assert_int_equal(only(t, BOARD_COMMIT).reason, REASON_DEADLINE);
}

static void board_stops_an_attempt_at_its_deadline_and_takes_what_it_came_to(void **state)
{
    struct bench *t = *state;
    struct board_spec soon = plain;
    soon.deadline_ms = 2000;
    join(t, 1);
    beat(t, 1, 0, 10, 0, 0);
    accept_spec(t, 1, &soon);
    uint64_t first = only(t, BOARD_DISPATCH).fence;
    accept_spec(t, 2, &soon);
    uint64_t second = only(t, BOARD_DISPATCH).fence;
    tick(t, 1000);
    assert_int_equal(count_of(t, BOARD_STOP), 2);
    outcome(t, 1, 1, first, OUTCOME_DONE); /* it was done just then */
    assert_int_equal(only(t, BOARD_COMMIT).outcome, OUTCOME_DONE);
    outcome(t, 1, 2, second, OUTCOME_CANCELLED);
    assert_int_equal(only(t, BOARD_COMMIT).outcome, OUTCOME_DEAD);
    assert_int_equal(only(t, BOARD_COMMIT).reason, REASON_DEADLINE);
}

static void board_gives_up_a_job_after_its_last_attempt(void **state)
{
    struct bench *t = *state;
    struct board_spec twice = plain;
    twice.max_attempts = 2;
    outcome(t, 1, 1, run_spec(t, 1, 1, &twice), OUTCOME_RETRY);
    assert_int_equal(only(t, BOARD_COMMIT).outcome, OUTCOME_RETRY);
    committed(t, 1, OUTCOME_RETRY, PB_OK);
    beat(t, 1, 1, 1, 0, 0);
    tick(t, 1000);
    outcome(t, 1, 1, only(t, BOARD_DISPATCH).fence, OUTCOME_RETRY);
    assert_int_equal(only(t, BOARD_COMMIT).outcome, OUTCOME_DEAD);
    assert_int_equal(only(t, BOARD_COMMIT).reason, REASON_ATTEMPTS);
    assert_int_equal(only(t, BOARD_COMMIT).attempts, 2);
}

/* -- cancelling, in every state -- */

static void cancels_at_once(struct bench *t, unsigned job)
{
    cancel(t, job);
    assert_int_equal(only(t, BOARD_COMMIT).outcome, OUTCOME_CANCELLED);
    cancel(t, job);
    assert_int_equal(t->fx.count, 0);
    committed(t, job, OUTCOME_CANCELLED, PB_OK);
    assert_int_equal(only(t, BOARD_FINISH).outcome, OUTCOME_CANCELLED);
}

static void board_cancels_what_waits_at_once(void **state)
{
    struct bench *t = *state;
    struct board_spec later = plain;
    later.not_before_ms = 100000;
    accept(t, 1, 5);
    accept(t, 2, 5);
    accept(t, 3, 5);
    accept_spec(t, 4, &later);
    cancels_at_once(t, 2); /* from the middle of its lane */
    cancels_at_once(t, 4);
    cancels_at_once(t, 1);
    join(t, 1);
    beat(t, 1, 0, 10, 0, 0);
    dispatches_only(t, 3);
}

static void board_ignores_a_cancel_of_a_job_that_it_does_not_know(void **state)
{
    struct bench *t = *state;
    cancel(t, 99);
    assert_int_equal(t->fx.count, 0);
}

static void board_cancels_what_is_not_durable_yet_when_it_is(void **state)
{
    struct bench *t = *state;
    submit(t, 1, 0);
    cancel(t, 1);
    assert_int_equal(t->fx.count, 0);
    join(t, 1);
    beat(t, 1, 0, 10, 0, 0);
    appended(t, 1, PB_OK);
    assert_int_equal(only(t, BOARD_COMMIT).outcome, OUTCOME_CANCELLED);
    assert_int_equal(count_of(t, BOARD_DISPATCH), 0);
}

static void board_asks_an_attempt_to_stop_when_its_job_is_cancelled(void **state)
{
    struct bench *t = *state;
    uint64_t fence = run_one(t, 1, 1);
    cancel(t, 1);
    assert_int_equal(only(t, BOARD_STOP).fence, fence);
    assert_int_equal(count_of(t, BOARD_NOTE), 1);
    outcome(t, 1, 1, fence, OUTCOME_RETRY); /* it did not hear, and failed by itself */
    assert_int_equal(only(t, BOARD_COMMIT).outcome, OUTCOME_CANCELLED);
}

static void board_ends_a_cancelled_job_whose_worker_is_lost(void **state)
{
    struct bench *t = *state;
    run_one(t, 1, 1);
    cancel(t, 1);
    leave(t, 1);
    tick(t, 0);
    assert_int_equal(only(t, BOARD_COMMIT).outcome, OUTCOME_CANCELLED);
}

static void board_tells_whoever_claims_a_cancelled_job_to_stop(void **state)
{
    struct bench *t = *state;
    load(t, 1, 0, &plain);
    cancel(t, 1);
    assert_int_equal(count_of(t, BOARD_NOTE), 1);
    join(t, 1);
    held(t, 1, 1, (uint64_t)6 << 32 | 9);
    assert_int_equal(count_of(t, BOARD_STOP), 1);
    leave(t, 1);
    tick(t, 0);
    assert_int_equal(only(t, BOARD_COMMIT).outcome, OUTCOME_CANCELLED);
}

static void board_lets_an_outcome_stand_that_came_before_the_cancel(void **state)
{
    struct bench *t = *state;
    uint64_t fence = run_one(t, 1, 1);
    outcome(t, 1, 1, fence, OUTCOME_DONE);
    cancel(t, 1);
    committed(t, 1, OUTCOME_DONE, PB_OK);
    assert_int_equal(only(t, BOARD_FINISH).outcome, OUTCOME_DONE);
}

/* -- jobs in memory -- */

static struct board_spec in_memory(void)
{
    struct board_spec spec = plain;
    spec.memory = true;
    return spec;
}

static void board_never_stores_a_job_in_memory(void **state)
{
    struct bench *t = *state;
    const struct board_spec memory = in_memory();
    int cargo;
    join(t, 1);
    beat(t, 1, 0, 1, 0, 0);
    step(t, (struct board_event){.kind = BOARD_SUBMIT, .job = id_of(1), .spec = memory, .cargo = &cargo});
    assert_ptr_equal(only(t, BOARD_ACCEPT).cargo, &cargo);
    assert_int_equal(count_of(t, BOARD_APPEND), 0);
    uint64_t fence = only(t, BOARD_DISPATCH).fence;
    outcome(t, 1, 1, fence, OUTCOME_RETRY);
    assert_int_equal(count_of(t, BOARD_COMMIT), 0);
    beat(t, 1, 1, 1, 0, 0);
    tick(t, 1000);
    outcome(t, 1, 1, only(t, BOARD_DISPATCH).fence, OUTCOME_DONE);
    assert_int_equal(count_of(t, BOARD_COMMIT), 0);
    assert_int_equal(only(t, BOARD_FINISH).outcome, OUTCOME_DONE);
    assert_int_equal(board_live(t->board), 0);
}

static void board_ends_a_job_in_memory_whose_worker_is_lost(void **state)
{
    struct bench *t = *state;
    const struct board_spec memory = in_memory();
    join(t, 1);
    beat(t, 1, 0, 1, 0, 0);
    accept_spec(t, 1, &memory);
    leave(t, 1);
    tick(t, 0);
    assert_int_equal(only(t, BOARD_FINISH).reason, REASON_LOST);
    assert_int_equal(count_of(t, BOARD_COMMIT), 0);
}

/* -- sessions -- */

static void board_suspects_nobody_when_a_worker_says_goodbye(void **state)
{
    struct bench *t = *state;
    run_one(t, 1, 1);
    step(t, (struct board_event){.kind = BOARD_LEAVE, .session = 1, .graceful = true});
    struct board_counts c;
    board_count(t->board, &c);
    assert_int_equal(c.suspect, 0);
    assert_int_equal(c.delayed, 1);
}

/* -- fences -- */

static void board_asks_for_an_epoch_when_half_of_its_fences_are_used(void **state)
{
    struct bench *t = *state;
    join(t, 1);
    beat(t, 1, 0, 10, 0, 0);
    t->board->fence_counter = UINT32_MAX / 2 - 1;
    accept(t, 1, 0);
    assert_int_equal(count_of(t, BOARD_RAISE), 0);
    accept(t, 2, 0);
    assert_int_equal(count_of(t, BOARD_RAISE), 1);
    uint64_t before = only(t, BOARD_DISPATCH).fence;
    accept(t, 3, 0);
    assert_int_equal(count_of(t, BOARD_RAISE), 0); /* once */
    step(t, (struct board_event){.kind = BOARD_EPOCH, .epoch = 9});
    accept(t, 4, 0);
    assert_int_equal(only(t, BOARD_DISPATCH).fence, (uint64_t)9 << 32 | 1);
    assert_true(only(t, BOARD_DISPATCH).fence > before);
}

static void board_sends_nothing_without_a_fence(void **state)
{
    struct bench *t = *state;
    join(t, 1);
    beat(t, 1, 0, 10, 0, 0);
    t->board->fence_counter = UINT32_MAX - 1;
    accept(t, 1, 0);
    assert_int_equal(count_of(t, BOARD_DISPATCH), 1);
    accept(t, 2, 0);
    assert_int_equal(count_of(t, BOARD_DISPATCH), 0);
    step(t, (struct board_event){.kind = BOARD_EPOCH, .epoch = 8});
    assert_int_equal(count_of(t, BOARD_DISPATCH), 1);
}

/* -- many at once -- */

static size_t drain(struct bench *t, enum board_effect_kind kind)
{
    size_t n = count_of(t, kind);
    while (t->fx.more) {
        tick(t, 0);
        n += count_of(t, kind);
    }
    return n;
}

static void board_does_in_several_steps_what_one_cannot_hold(void **state)
{
    struct bench *t = *state;
    struct board_spec late = plain;
    late.deadline_ms = 50000;
    for (unsigned i = 1; i <= 5000; i++)
        accept_spec(t, i, &late);
    join(t, 1);
    beat(t, 1, 0, 4000, 0, 0);
    assert_int_equal(drain(t, BOARD_DISPATCH), 4000);
    tick(t, 60000);
    assert_int_equal(count_of(t, BOARD_STOP) + count_of(t, BOARD_COMMIT), t->fx.count);
    size_t stops = count_of(t, BOARD_STOP), ends = count_of(t, BOARD_COMMIT);
    while (t->fx.more) {
        tick(t, 0);
        stops += count_of(t, BOARD_STOP);
        ends += count_of(t, BOARD_COMMIT);
    }
    assert_int_equal(stops, 4000);
    assert_int_equal(ends, 1000);
    leave(t, 1);
    assert_int_equal(drain(t, BOARD_COMMIT), 0);
    tick(t, 0);
    assert_int_equal(drain(t, BOARD_COMMIT), 4000); /* too late to be tried again */
}

static void board_needs_about_100_bytes_for_a_waiting_job(void **state)
{
    (void)state;
    static struct bench t;
    const struct board_limit none = {0};
    struct board_spec spec = plain;
    bench_open_with(&t, KEY_TENANT, &none);
    for (unsigned i = 1; i <= 1000000; i++) {
        spec.names[KEY_TENANT] = 1 + i % 100;
        spec.names[KEY_TYPE] = 1 + i % 50;
        t.fx.count = 0;
        board_step(
            t.board, t.now_ms,
            &(struct board_event){
                .kind = BOARD_SUBMIT, .job = id_of(i), .integration = id_of(2000000 + i / 2), .spec = spec},
            &t.fx);
        appended(&t, i, PB_OK);
    }
    size_t bytes = board_bytes(t.board) / 1000000;
    print_message("%zu bytes for each of 1,000,000 jobs that wait\n", bytes);
    assert_true(bytes <= 128);
    board_free(t.board);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(board_starts_tenant_bs_job_within_two_rounds_of_100000_of_tenant_a),
        T(board_parks_only_the_jobs_of_a_limited_key),
        T(board_holds_to_a_rate),
        T(board_prefers_higher_priorities),
        T(board_dispatches_nothing_through_a_paused_gate),
        T(board_refuses_more_than_a_tenant_may_have),
        T(board_runs_nothing_before_it_is_wanted),
        T(board_gives_up_a_job_past_its_deadline_wherever_it_waits),
        T(board_gives_up_what_is_held_or_tried_again_past_its_deadline),
        T(board_stops_an_attempt_at_its_deadline_and_takes_what_it_came_to),
        T(board_gives_up_a_job_after_its_last_attempt),
        T(board_cancels_what_waits_at_once),
        T(board_ignores_a_cancel_of_a_job_that_it_does_not_know),
        T(board_cancels_what_is_not_durable_yet_when_it_is),
        T(board_asks_an_attempt_to_stop_when_its_job_is_cancelled),
        T(board_ends_a_cancelled_job_whose_worker_is_lost),
        T(board_tells_whoever_claims_a_cancelled_job_to_stop),
        T(board_lets_an_outcome_stand_that_came_before_the_cancel),
        T(board_never_stores_a_job_in_memory),
        T(board_ends_a_job_in_memory_whose_worker_is_lost),
        T(board_suspects_nobody_when_a_worker_says_goodbye),
        T(board_asks_for_an_epoch_when_half_of_its_fences_are_used),
        T(board_sends_nothing_without_a_fence),
        T(board_does_in_several_steps_what_one_cannot_hold),
        T(board_needs_about_100_bytes_for_a_waiting_job),
    };
    return cmocka_run_group_tests_name("board_life", tests, NULL, NULL);
}
