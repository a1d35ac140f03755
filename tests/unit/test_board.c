/* The board alone: no sockets, threads or clocks. A small harness steps it, collects the effects, and plays
 * store and workers where a test does not. */
#include "tests/unit/test_board_bench.h"

static void board_accepts_only_after_the_commit(void **state)
{
    struct bench *t = *state;
    submit(t, 1, 0);
    assert_int_equal(count_of(t, BOARD_APPEND), 1);
    assert_int_equal(count_of(t, BOARD_ACCEPT), 0);
    struct pb_id job = id_of(1);
    assert_false(board_has(t->board, &job));
    appended(t, 1, PB_OK);
    assert_int_equal(count_of(t, BOARD_ACCEPT), 1);
    assert_true(board_has(t->board, &job));
}

static void board_rejects_when_the_append_fails(void **state)
{
    struct bench *t = *state;
    submit(t, 1, 0);
    appended(t, 1, PB_E_STORE);
    assert_int_equal(only(t, BOARD_REJECT).err, PB_E_STORE);
    assert_int_equal(board_live(t->board), 0);
}

static void board_dispatches_nothing_before_the_commit(void **state)
{
    struct bench *t = *state;
    join(t, 1);
    beat(t, 1, 0, 10, 0, 0);
    submit(t, 1, 0);
    assert_int_equal(count_of(t, BOARD_DISPATCH), 0);
    appended(t, 1, PB_OK);
    assert_int_equal(count_of(t, BOARD_DISPATCH), 1);
}

static void board_rejects_when_it_is_full(void **state)
{
    struct board_settings small = {.epoch = 1, .backoff_ms = 1, .backoff_max_ms = 1, .jobs_max = 2};
    struct bench t = {.now_ms = 1};
    (void)state;
    assert_int_equal(board_new(&small, &t.board), PB_OK);
    submit(&t, 1, 0);
    submit(&t, 2, 0);
    submit(&t, 3, 0);
    assert_int_equal(only(&t, BOARD_REJECT).err, PB_E_BUSY);
    board_free(t.board);
}

static void board_holds_to_the_credit(void **state)
{
    struct bench *t = *state;
    join(t, 1);
    for (unsigned i = 1; i <= 5; i++)
        accept(t, i, 0);
    beat(t, 1, 0, 3, 0, 0);
    assert_int_equal(count_of(t, BOARD_DISPATCH), 3);
    /* The same credit said again, before anything came: what is on the way counts against it. */
    beat(t, 1, 0, 3, 0, 0);
    assert_int_equal(count_of(t, BOARD_DISPATCH), 0);
    /* Two came and are running, one is on the way, three more would fit. */
    beat(t, 1, 2, 3, 2, 0);
    assert_int_equal(count_of(t, BOARD_DISPATCH), 2);
}

static void board_shares_work_among_sessions(void **state)
{
    struct bench *t = *state;
    join(t, 1);
    join(t, 2);
    beat(t, 1, 0, 10, 0, 0);
    beat(t, 2, 0, 10, 0, 0);
    for (unsigned i = 1; i <= 10; i++)
        accept(t, i, 0);
    assert_int_equal(board_running_of(t->board, 1), 5);
    assert_int_equal(board_running_of(t->board, 2), 5);
}

static void board_raises_the_fence_with_every_dispatch(void **state)
{
    struct bench *t = *state;
    uint64_t first = run_one(t, 1, 1);
    assert_int_equal(first >> 32, 7);
    outcome(t, 1, 1, first, OUTCOME_RETURNED);
    beat(t, 1, 1, 1, 0, 0);
    uint64_t second = only(t, BOARD_DISPATCH).fence;
    assert_true(second > first);
}

static void board_finishes_only_after_the_commit(void **state)
{
    struct bench *t = *state;
    uint64_t fence = run_one(t, 1, 1);
    outcome(t, 1, 1, fence, OUTCOME_DONE);
    assert_int_equal(only(t, BOARD_COMMIT).outcome, OUTCOME_DONE);
    assert_int_equal(count_of(t, BOARD_SETTLE), 0);
    assert_int_equal(count_of(t, BOARD_FINISH), 0);
    committed(t, 1, OUTCOME_DONE, PB_OK);
    assert_int_equal(only(t, BOARD_SETTLE).fence, fence);
    assert_int_equal(only(t, BOARD_FINISH).outcome, OUTCOME_DONE);
    assert_int_equal(board_live(t->board), 0);
}

static void board_ignores_an_outcome_sent_again(void **state)
{
    struct bench *t = *state;
    uint64_t fence = run_one(t, 1, 1);
    outcome(t, 1, 1, fence, OUTCOME_DONE);
    outcome(t, 1, 1, fence, OUTCOME_DONE);
    assert_int_equal(count_of(t, BOARD_DUPLICATE), 1);
    assert_int_equal(count_of(t, BOARD_COMMIT), 0);
    committed(t, 1, OUTCOME_DONE, PB_OK);
    outcome(t, 1, 1, fence, OUTCOME_DONE); /* and once more after all was over */
    assert_int_equal(only(t, BOARD_STALE).fence, fence);
}

static void board_refuses_an_older_attempt(void **state)
{
    struct bench *t = *state;
    uint64_t old = run_one(t, 1, 1);
    step(t, (struct board_event){.kind = BOARD_LEAVE, .session = 1});
    join(t, 2);
    beat(t, 2, 0, 1, 0, 0);
    tick(t, 10000);
    assert_int_equal(only(t, BOARD_MARK).crashes, 1); /* its worker died: it is about to run alone */
    step(t, (struct board_event){.kind = BOARD_MARKED, .job = id_of(1)});
    uint64_t new = only(t, BOARD_DISPATCH).fence;
    outcome(t, 1, 1, old, OUTCOME_DONE);
    assert_int_equal(count_of(t, BOARD_STALE), 1);
    assert_int_equal(count_of(t, BOARD_COMMIT), 0);
    outcome(t, 2, 1, new, OUTCOME_DONE);
    assert_int_equal(count_of(t, BOARD_COMMIT), 1);
}

static void board_suspects_what_a_lost_session_ran(void **state)
{
    struct bench *t = *state;
    join(t, 1);
    for (unsigned i = 1; i <= 50; i++)
        accept(t, i, 0);
    beat(t, 1, 0, 50, 0, 0);
    step(t, (struct board_event){.kind = BOARD_LEAVE, .session = 1});
    struct board_counts counts;
    board_count(t->board, &counts);
    assert_int_equal(counts.suspect, 50);
}

static void board_takes_back_a_finished_attempt_of_a_session_that_left(void **state)
{
    struct bench *t = *state;
    uint64_t fence = run_one(t, 1, 1);
    step(t, (struct board_event){.kind = BOARD_LEAVE, .session = 1});
    join(t, 2); /* the same worker again, with its work done */
    held(t, 2, 1, fence);
    assert_int_equal(count_of(t, BOARD_CANCEL), 0);
    tick(t, 10000);
    assert_int_equal(count_of(t, BOARD_DISPATCH), 0);
    outcome(t, 2, 1, fence, OUTCOME_DONE);
    assert_int_equal(count_of(t, BOARD_COMMIT), 1);
}

static void board_cancels_what_a_worker_has_no_right_to(void **state)
{
    struct bench *t = *state;
    join(t, 1);
    held(t, 1, 99, 5);
    assert_int_equal(only(t, BOARD_CANCEL).fence, 5);
}

static void board_holds_loaded_jobs_for_their_workers(void **state)
{
    struct bench *t = *state;
    for (unsigned i = 1; i <= 2; i++)
        step(t, (struct board_event){.kind = BOARD_LOADED, .job = id_of(i), .spec = plain});
    join(t, 1);
    beat(t, 1, 0, 10, 0, 0);
    assert_int_equal(count_of(t, BOARD_DISPATCH), 0);
    held(t, 1, 1, (uint64_t)6 << 32 | 17); /* of the broker before */
    tick(t, 1000);
    tick(t, 200);
    assert_int_equal(count_of(t, BOARD_DISPATCH), 1); /* only the other one runs again */
    assert_true(only(t, BOARD_DISPATCH).fence > ((uint64_t)6 << 32 | 17));
    outcome(t, 1, 1, (uint64_t)6 << 32 | 17, OUTCOME_DONE);
    assert_int_equal(count_of(t, BOARD_COMMIT), 1);
}

static void board_prefers_the_newest_claim_on_a_loaded_job(void **state)
{
    struct bench *t = *state;
    step(t, (struct board_event){.kind = BOARD_LOADED, .job = id_of(1), .spec = plain});
    join(t, 1);
    join(t, 2);
    held(t, 1, 1, (uint64_t)6 << 32 | 3);
    held(t, 2, 1, (uint64_t)6 << 32 | 9);
    outcome(t, 1, 1, (uint64_t)6 << 32 | 3, OUTCOME_DONE);
    assert_int_equal(count_of(t, BOARD_STALE), 1);
    outcome(t, 2, 1, (uint64_t)6 << 32 | 9, OUTCOME_DONE);
    assert_int_equal(count_of(t, BOARD_COMMIT), 1);
}

static void board_runs_an_integrations_jobs_one_by_one_in_order(void **state)
{
    struct bench *t = *state;
    join(t, 1);
    beat(t, 1, 0, 10, 0, 0);
    accept(t, 1, 5);
    struct board_effect first = only(t, BOARD_DISPATCH);
    accept(t, 2, 5);
    accept(t, 3, 5);
    accept(t, 4, 6);
    assert_int_equal(count_of(t, BOARD_DISPATCH), 1); /* the other integration's */
    outcome(t, 1, 1, first.fence, OUTCOME_DONE);
    assert_int_equal(count_of(t, BOARD_DISPATCH), 0);
    committed(t, 1, OUTCOME_DONE, PB_OK);
    dispatches_only(t, 2);
}

static void board_keeps_the_order_when_the_first_is_retried(void **state)
{
    struct bench *t = *state;
    join(t, 1);
    beat(t, 1, 0, 10, 0, 0);
    accept(t, 1, 5);
    uint64_t fence = only(t, BOARD_DISPATCH).fence;
    accept(t, 2, 5);
    outcome(t, 1, 1, fence, OUTCOME_RETRY);
    committed(t, 1, OUTCOME_RETRY, PB_OK);
    assert_int_equal(count_of(t, BOARD_DISPATCH), 0);
    tick(t, 10000);
    dispatches_only(t, 1);
}

static void board_waits_as_long_as_the_provider_asked(void **state)
{
    struct bench *t = *state;
    uint64_t fence = run_one(t, 1, 1);
    step(t, (struct board_event){.kind = BOARD_OUTCOME,
                                 .session = 1,
                                 .job = id_of(1),
                                 .fence = fence,
                                 .outcome = OUTCOME_RETRY,
                                 .retry_after_ms = 30000});
    assert_int_equal(only(t, BOARD_COMMIT).attempts, 1);
    committed(t, 1, OUTCOME_RETRY, PB_OK);
    beat(t, 1, 1, 1, 0, 0);
    tick(t, 29999);
    assert_int_equal(count_of(t, BOARD_DISPATCH), 0);
    tick(t, 200);
    assert_int_equal(count_of(t, BOARD_DISPATCH), 1);
}

static void board_counts_no_attempt_for_what_was_returned(void **state)
{
    struct bench *t = *state;
    uint64_t fence = run_one(t, 1, 1);
    outcome(t, 1, 1, fence, OUTCOME_RETURNED);
    beat(t, 1, 1, 1, 0, 0);
    assert_int_equal(only(t, BOARD_DISPATCH).attempts, 0);
}

static void board_runs_a_job_again_after_a_conflict(void **state)
{
    struct bench *t = *state;
    uint64_t fence = run_one(t, 1, 1);
    outcome(t, 1, 1, fence, OUTCOME_DONE);
    committed(t, 1, OUTCOME_DONE, PB_E_CONFLICT);
    assert_int_equal(count_of(t, BOARD_FINISH), 0);
    assert_int_equal(count_of(t, BOARD_SETTLE), 1);
    beat(t, 1, 1, 1, 0, 0);
    tick(t, 200);
    assert_true(only(t, BOARD_DISPATCH).fence > fence);
}

static void board_asks_for_the_list_when_sums_differ(void **state)
{
    struct bench *t = *state;
    uint64_t fence = run_one(t, 1, 1);
    beat(t, 1, 1, 0, 1, fence);
    assert_int_equal(count_of(t, BOARD_ASK), 0);
    beat(t, 1, 1, 1, 0, 0); /* it knows nothing of the attempt it was sent */
    assert_int_equal(count_of(t, BOARD_ASK), 1);
}

static void board_runs_again_what_the_list_lacks(void **state)
{
    struct bench *t = *state;
    uint64_t fence = run_one(t, 1, 1);
    beat(t, 1, 1, 1, 0, 0);
    t->fx.count = 0;
    board_reconcile(t->board, t->now_ms, 1, listed_none, NULL, &t->fx);
    tick(t, 200);
    assert_true(only(t, BOARD_DISPATCH).fence > fence);
}

static void board_does_not_reclaim_what_is_still_on_the_way(void **state)
{
    struct bench *t = *state;
    run_one(t, 1, 1);
    t->fx.count = 0;
    board_reconcile(t->board, t->now_ms, 1, listed_none, NULL, &t->fx); /* received 0 so far */
    assert_int_equal(board_running_of(t->board, 1), 1);
}

static void board_gives_credit_back_for_what_never_left(void **state)
{
    struct bench *t = *state;
    uint64_t fence = run_one(t, 1, 1);
    step(t, (struct board_event){.kind = BOARD_OUTCOME,
                                 .session = 1,
                                 .job = id_of(1),
                                 .fence = fence,
                                 .outcome = OUTCOME_RETURNED,
                                 .retry_after_ms = 1000,
                                 .undelivered = true});
    assert_int_equal(count_of(t, BOARD_DISPATCH), 0);
    tick(t, 1100);
    assert_int_equal(count_of(t, BOARD_DISPATCH), 1); /* without a new beat */
}

static void board_settles_with_the_session_that_came_back(void **state)
{
    struct bench *t = *state;
    uint64_t fence = run_one(t, 1, 1);
    outcome(t, 1, 1, fence, OUTCOME_DONE);
    join(t, 2);
    held(t, 2, 1, fence);
    assert_int_equal(count_of(t, BOARD_CANCEL), 0);
    step(t, (struct board_event){.kind = BOARD_LEAVE, .session = 1});
    committed(t, 1, OUTCOME_DONE, PB_OK);
    assert_int_equal(only(t, BOARD_SETTLE).session, 2);
}

/* A storm of random but lawful events. After each step: every job that was accepted is somewhere, no session
 * has more than its credit, fences only rise, and at the end all jobs finish. */
struct storm {
    struct bench t;
    uint64_t fences[200];   /* newest dispatch of each job */
    uint64_t sessions[200]; /* where */
    bool done[200], committing[200];
    uint64_t last_fence, last_session;
    size_t accepted, finished;
};

static unsigned number_of(const struct pb_id *id)
{
    unsigned n;
    memcpy(&n, id->bytes + 10, sizeof n);
    return n;
}

static void storm_look(struct storm *s)
{
    for (size_t i = 0; i < s->t.fx.count; i++) {
        const struct board_effect *fx = &s->t.fx.items[i];
        unsigned n = number_of(&fx->job);
        if (fx->kind == BOARD_DISPATCH) {
            assert_true(fx->fence > s->last_fence);
            s->last_fence = s->fences[n] = fx->fence;
            s->sessions[n] = fx->session;
        }
        s->committing[n] = fx->kind == BOARD_COMMIT || (s->committing[n] && fx->kind != BOARD_FINISH);
        if (fx->kind == BOARD_FINISH) {
            assert_false(s->done[n]);
            s->done[n] = true;
            s->finished++;
        }
    }
    struct board_counts c;
    board_count(s->t.board, &c);
    assert_int_equal(c.appending + c.ready + c.blocked + c.delayed + c.held + c.running + c.committing +
                         c.suspect,
                     board_live(s->t.board));
    assert_int_equal(board_live(s->t.board), s->accepted - s->finished);
}

static void storm_session(struct storm *s)
{
    if (s->last_session) {
        step(&s->t, (struct board_event){.kind = BOARD_LEAVE, .session = s->last_session});
        storm_look(s);
    }
    join(&s->t, ++s->last_session);
    storm_look(s);
    beat(&s->t, s->last_session, 0, 20, 0, 0);
    storm_look(s);
}

static void storm_outcome(struct storm *s, unsigned n, int dice)
{
    if (!s->fences[n] || s->done[n])
        return;
    if (s->committing[n]) {
        s->committing[n] = false;
        committed(&s->t, n, OUTCOME_DONE, dice % 5 == 0 ? PB_E_CONFLICT : PB_OK);
    } else {
        outcome(&s->t, s->sessions[n], n, s->fences[n] - (dice % 7 == 0),
                dice % 3 ? OUTCOME_DONE : OUTCOME_RETURNED);
    }
    storm_look(s);
}

static void board_loses_no_job_in_a_storm(void **state)
{
    (void)state;
    struct storm s = {0};
    unsigned seed = 1;
    bench_open(&s.t, 7);
    for (unsigned n = 1; n < 200; n++) {
        submit(&s.t, n, n % 40);
        s.accepted++;
        appended(&s.t, n, PB_OK);
        storm_look(&s);
    }
    for (int round = 0; round < 60000 && s.finished < s.accepted; round++) {
        int dice = rand_r(&seed);
        if (dice % 50 == 0)
            storm_session(&s);
        storm_outcome(&s, 1 + (unsigned)(dice / 64) % 199, dice / 16384);
        tick(&s.t, 20);
        storm_look(&s);
    }
    assert_int_equal(s.finished, s.accepted);
    assert_int_equal(board_live(s.t.board), 0);
    board_free(s.t.board);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(board_accepts_only_after_the_commit),
        T(board_rejects_when_the_append_fails),
        T(board_dispatches_nothing_before_the_commit),
        T(board_rejects_when_it_is_full),
        T(board_holds_to_the_credit),
        T(board_shares_work_among_sessions),
        T(board_raises_the_fence_with_every_dispatch),
        T(board_finishes_only_after_the_commit),
        T(board_ignores_an_outcome_sent_again),
        T(board_refuses_an_older_attempt),
        T(board_suspects_what_a_lost_session_ran),
        T(board_takes_back_a_finished_attempt_of_a_session_that_left),
        T(board_cancels_what_a_worker_has_no_right_to),
        T(board_holds_loaded_jobs_for_their_workers),
        T(board_prefers_the_newest_claim_on_a_loaded_job),
        T(board_runs_an_integrations_jobs_one_by_one_in_order),
        T(board_keeps_the_order_when_the_first_is_retried),
        T(board_waits_as_long_as_the_provider_asked),
        T(board_counts_no_attempt_for_what_was_returned),
        T(board_runs_a_job_again_after_a_conflict),
        T(board_asks_for_the_list_when_sums_differ),
        T(board_runs_again_what_the_list_lacks),
        T(board_does_not_reclaim_what_is_still_on_the_way),
        T(board_gives_credit_back_for_what_never_left),
        T(board_settles_with_the_session_that_came_back),
        T(board_loses_no_job_in_a_storm),
    };
    return cmocka_run_group_tests_name("board", tests, NULL, NULL);
}
