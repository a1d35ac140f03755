/* Poison is contained: what a worker ran when it died runs again in halves, and alone before anything is
 * charged. */
#include "broker/board/parts.h"
#include "tests/unit/test_board_bench.h"

#include <stdio.h>

static void leave_with(struct bench *t, unsigned count)
{
    join(t, 1);
    for (unsigned i = 1; i <= count; i++)
        accept(t, i, 0);
    beat(t, 1, 0, count, 0, 0);
    leave(t, 1);
}

/* A new worker with room for so many. */
static void come(struct bench *t, uint64_t session, uint32_t room)
{
    join(t, session);
    beat(t, session, 0, room, 0, 0);
}

/* As come(), and then the suspects' first wait is over. */
static void take(struct bench *t, uint64_t session, uint32_t room)
{
    come(t, session, room);
    tick(t, 200);
}

/* The only suspect, job 1, is marked and sent to the new worker; gives the fence. */
static uint64_t take_alone(struct bench *t, uint64_t session)
{
    take(t, session, 10);
    marked(t, 1);
    return only(t, BOARD_DISPATCH).fence;
}

static size_t suspects_of(const struct bench *t)
{
    struct board_counts c;
    board_count(t->board, &c);
    return c.suspect;
}

static void suspects_run_in_halves(void **state)
{
    struct bench *t = *state;
    leave_with(t, 8);
    join(t, 2);
    join(t, 3);
    join(t, 4);
    join(t, 5);
    for (uint64_t s = 2; s <= 5; s++)
        beat(t, s, 0, 100, 0, 0);
    tick(t, 200);
    assert_int_equal(count_of(t, BOARD_DISPATCH), 8);
    for (uint64_t s = 2; s <= 5; s++)
        assert_true(board_running_of(t->board, s) == 4 || board_running_of(t->board, s) == 0);
}

static void suspects_share_a_worker_with_nobody(void **state)
{
    struct bench *t = *state;
    leave_with(t, 2);
    take(t, 2, 100);
    struct board_effect mark = only(t, BOARD_MARK);
    accept(t, 3, 0);
    assert_int_equal(count_of(t, BOARD_DISPATCH), 0); /* the worker is kept while the mark is written */
    step(t, (struct board_event){.kind = BOARD_MARKED, .job = mark.job});
    assert_true(only(t, BOARD_DISPATCH).alone);
    accept(t, 4, 0);
    assert_int_equal(count_of(t, BOARD_DISPATCH), 0);
}

static void suspects_leave_half_of_the_workers_to_others(void **state)
{
    struct bench *t = *state;
    leave_with(t, 8);
    join(t, 2);
    join(t, 3);
    beat(t, 2, 0, 100, 0, 0);
    beat(t, 3, 0, 100, 0, 0);
    tick(t, 200);
    assert_int_equal(count_of(t, BOARD_DISPATCH), 4);
    accept(t, 9, 0);
    assert_int_equal(count_of(t, BOARD_DISPATCH), 1);
}

static void suspects_that_are_paused_keep_no_worker_from_others(void **state)
{
    struct bench *t = *state;
    struct board_spec other = plain;
    other.names[KEY_TENANT] = 2;
    leave_with(t, 1);
    assert_int_equal(board_pause(t->board, KEY_TENANT, 1, true), PB_OK);
    come(t, 2, 10);
    accept_spec(t, 2, &other); /* it is busy, so that it would have to be waited for */
    assert_int_equal(count_of(t, BOARD_DISPATCH), 1);
    beat(t, 2, 1, 9, 1, only(t, BOARD_DISPATCH).fence);
    for (int i = 0; i < 10; i++) {
        tick(t, 500);
        accept_spec(t, 10 + (unsigned)i, &other);
        assert_int_equal(count_of(t, BOARD_DISPATCH), 1);
        beat(t, 2, (uint64_t)i + 2, 8, (uint32_t)i + 2, 0);
    }
}

/* The job's dispatch, and the other one of its session. */
static size_t pair_of(const struct bench *t, unsigned job, struct board_effect out[2])
{
    struct pb_id id = id_of(job);
    size_t n = 0;
    for (size_t i = 0; i < t->fx.count; i++)
        if (t->fx.items[i].kind == BOARD_DISPATCH && id_equal(&t->fx.items[i].job, &id))
            out[n++] = t->fx.items[i];
    for (size_t i = 0; i < t->fx.count; i++)
        if (t->fx.items[i].kind == BOARD_DISPATCH && !id_equal(&t->fx.items[i].job, &id) &&
            t->fx.items[i].session == out[0].session)
            out[n++] = t->fx.items[i];
    return n;
}

static void suspects_are_charged_only_when_sent_alone(void **state)
{
    struct bench *t = *state;
    leave_with(t, 1);
    uint64_t fence = take_alone(t, 2);
    outcome(t, 2, 1, fence, OUTCOME_RETURNED); /* marked, and handed back: it runs among others now */
    beat(t, 2, 1, 10, 0, 0);
    assert_false(only(t, BOARD_DISPATCH).alone);
    for (unsigned i = 2; i <= 4; i++)
        accept(t, i, 0);
    leave(t, 2); /* with four: two groups of two */
    for (uint64_t session = 3; session <= 8; session++)
        come(t, session, 2);
    tick(t, 200);
    struct board_effect both[2]; /* the marked one; and its companion, which is done first */
    assert_int_equal(pair_of(t, 1, both), 2);
    assert_false(both[0].alone);
    step(t, (struct board_event){.kind = BOARD_OUTCOME,
                                 .session = both[1].session,
                                 .job = both[1].job,
                                 .fence = both[1].fence,
                                 .outcome = OUTCOME_DONE});
    leave(t, both[1].session);
    tick(t, 2000);
    dispatches_only(t, 1);
    assert_int_equal(only(t, BOARD_DISPATCH).attempts, 0);
}

static void suspects_take_back_a_claim_while_marked(void **state)
{
    struct bench *t = *state;
    uint64_t fence = run_one(t, 1, 1);
    leave(t, 1);
    take(t, 2, 10);
    assert_int_equal(count_of(t, BOARD_MARK), 1);
    join(t, 3); /* it was not dead, only cut off */
    held(t, 3, 1, fence);
    assert_int_equal(count_of(t, BOARD_CANCEL), 0);
    marked(t, 1);
    assert_int_equal(count_of(t, BOARD_DISPATCH), 0);
    outcome(t, 3, 1, fence, OUTCOME_DONE);
    assert_int_equal(only(t, BOARD_COMMIT).outcome, OUTCOME_DONE);
    accept(t, 2, 0); /* and no worker is kept any more */
    assert_int_equal(count_of(t, BOARD_DISPATCH), 1);
}

static void suspects_are_not_charged_for_a_broker_that_ended_while_they_ran_alone(void **state)
{
    struct bench *t = *state;
    struct board_spec marked_twice = plain;
    marked_twice.crashes = 2;
    load(t, 1, 0, &marked_twice); /* the second mark was of the run that goes on */
    join(t, 1);
    held(t, 1, 1, (uint64_t)6 << 32 | 5);
    assert_int_equal(count_of(t, BOARD_STOP), 0);
    outcome(t, 1, 1, (uint64_t)6 << 32 | 5, OUTCOME_RETRY);
    assert_int_equal(only(t, BOARD_COMMIT).outcome, OUTCOME_RETRY);
    assert_int_equal(only(t, BOARD_COMMIT).crashes, 1);
}

static void suspects_dead_after_two_runs_alone(void **state)
{
    struct bench *t = *state;
    leave_with(t, 1);
    for (uint64_t session = 2; session <= 3; session++) {
        come(t, session, 10);
        tick(t, 1000);
        assert_int_equal(only(t, BOARD_MARK).crashes, session - 1);
        marked(t, 1);
        assert_true(only(t, BOARD_DISPATCH).alone);
        leave(t, session);
    }
    tick(t, 0);
    struct board_effect end = only(t, BOARD_COMMIT);
    assert_int_equal(end.outcome, OUTCOME_DEAD);
    assert_int_equal(end.reason, REASON_POISON);
    assert_int_equal(end.crashes, 2);
}

/* Plays workers, one of whose jobs is poison, until all has ended. */
struct hunt {
    struct bench t;
    unsigned poison, count;
    uint64_t session, received;
    unsigned deaths, alone, done, dead, attempts_lost;
    bool killed; /* this session is about to die */
    struct pb_id marks[8];
    size_t mark_count;
};

static void hunt_look(struct hunt *h);

static void hunt_step(struct hunt *h, struct board_event e)
{
    step(&h->t, e);
    hunt_look(h);
}

static void hunt_outcome(struct hunt *h, const struct board_effect *fx)
{
    struct board_event o = {.kind = BOARD_OUTCOME,
                            .session = fx->session,
                            .job = fx->job,
                            .fence = fx->fence,
                            .outcome = OUTCOME_DONE};
    struct board_event c = {.kind = BOARD_COMMITTED, .job = fx->job, .outcome = OUTCOME_DONE};
    hunt_step(h, o);
    hunt_step(h, c);
}

static void hunt_run(struct hunt *h, const struct board_effect *fx, size_t count)
{
    struct pb_id poison = id_of(h->poison);
    for (size_t i = 0; i < count; i++)
        h->killed |= fx[i].kind == BOARD_DISPATCH && id_equal(&fx[i].job, &poison);
    for (size_t i = 0; i < count; i++) {
        h->alone += fx[i].kind == BOARD_DISPATCH && fx[i].alone;
        h->received += fx[i].kind == BOARD_DISPATCH;
        h->attempts_lost += fx[i].kind == BOARD_DISPATCH && fx[i].attempts && !id_equal(&fx[i].job, &poison);
    }
}

/* Effects may hold up to all jobs at a time, so that they are copied. */
static void hunt_look(struct hunt *h)
{
    size_t count = h->t.fx.count;
    struct board_effect *fx = malloc((count + 1) * sizeof *fx);
    memcpy(fx, h->t.fx.items, count * sizeof *fx);
    bool more = h->t.fx.more;
    hunt_run(h, fx, count);
    for (size_t i = 0; i < count; i++) {
        if (fx[i].kind == BOARD_MARK)
            h->marks[h->mark_count++] = fx[i].job;
        h->done += fx[i].kind == BOARD_FINISH && fx[i].outcome == OUTCOME_DONE;
        h->dead += fx[i].kind == BOARD_FINISH && fx[i].outcome == OUTCOME_DEAD;
        if (fx[i].kind == BOARD_COMMIT && fx[i].outcome == OUTCOME_DEAD)
            hunt_step(
                h, (struct board_event){.kind = BOARD_COMMITTED, .job = fx[i].job, .outcome = OUTCOME_DEAD});
    }
    if (more)
        hunt_step(h, (struct board_event){.kind = BOARD_TICK});
    for (size_t i = 0; i < count && !h->killed; i++)
        if (fx[i].kind == BOARD_DISPATCH)
            hunt_outcome(h, &fx[i]);
    free(fx);
}

static void hunt_worker(struct hunt *h)
{
    if (h->killed) {
        hunt_step(h, (struct board_event){.kind = BOARD_LEAVE, .session = h->session});
        h->deaths++;
        h->session = 0;
    }
    h->killed = false;
    if (!h->session) {
        h->session = 10 + h->deaths;
        h->received = 0;
        hunt_step(h, (struct board_event){.kind = BOARD_JOIN, .session = h->session});
    }
    hunt_step(h, (struct board_event){.kind = BOARD_BEAT,
                                      .session = h->session,
                                      .beat = {.received = h->received, .free = 5000}});
}

static void suspects_cost_a_handful_of_runs_alone_of_5000(void **state)
{
    (void)state;
    static struct hunt h;
    const struct board_limit none = {0};
    bench_open_with(&h.t, KEY_TENANT, &none);
    h.poison = 3210;
    h.count = 5000;
    for (unsigned i = 1; i <= h.count; i++)
        accept(&h.t, i, 0);
    for (int round = 0; round < 1000 && h.done + h.dead < h.count; round++) {
        hunt_worker(&h);
        while (h.mark_count) {
            struct pb_id job = h.marks[--h.mark_count];
            hunt_step(&h, (struct board_event){.kind = BOARD_MARKED, .job = job});
        }
        h.t.now_ms += 500;
        hunt_step(&h, (struct board_event){.kind = BOARD_TICK});
    }
    print_message("of 5000 jobs with one that is poison: %u deaths, %u runs alone, %u done, %u dead\n",
                  h.deaths, h.alone, h.done, h.dead);
    assert_int_equal(h.dead, 1);
    assert_int_equal(h.done, 4999);
    assert_int_equal(h.attempts_lost, 0);
    assert_true(h.alone <= 5);
    assert_true(h.deaths <= 17);
    board_free(h.t.board);
}

static void suspects_can_be_cancelled_and_expire(void **state)
{
    struct bench *t = *state;
    struct board_spec late = plain;
    late.deadline_ms = 3000;
    join(t, 1);
    accept(t, 1, 0);
    accept_spec(t, 2, &late);
    beat(t, 1, 0, 2, 0, 0);
    leave(t, 1);
    assert_int_equal(suspects_of(t), 2);
    cancel(t, 1);
    assert_int_equal(only(t, BOARD_COMMIT).outcome, OUTCOME_CANCELLED);
    tick(t, 1999);
    assert_int_equal(count_of(t, BOARD_COMMIT), 0);
    tick(t, 1);
    assert_int_equal(only(t, BOARD_COMMIT).reason, REASON_DEADLINE);
    assert_int_equal(suspects_of(t), 0);
}

static void suspects_cancelled_while_marked_never_run(void **state)
{
    struct bench *t = *state;
    leave_with(t, 1);
    take(t, 2, 10);
    assert_int_equal(count_of(t, BOARD_MARK), 1);
    cancel(t, 1);
    assert_int_equal(count_of(t, BOARD_NOTE), 1);
    marked(t, 1);
    assert_int_equal(count_of(t, BOARD_DISPATCH), 0);
    assert_int_equal(only(t, BOARD_COMMIT).outcome, OUTCOME_CANCELLED);
    committed(t, 1, OUTCOME_CANCELLED, PB_OK);
    accept(t, 2, 0); /* the worker that was kept is free again */
    assert_int_equal(count_of(t, BOARD_DISPATCH), 1);
}

static void suspects_are_not_charged_for_a_worker_that_was_only_silent(void **state)
{
    struct bench *t = *state;
    leave_with(t, 1);
    uint64_t fence = take_alone(t, 2);
    leave(t, 2); /* silent for a lease: charged */
    join(t, 3);
    held(t, 3, 1, fence);
    outcome(t, 3, 1, fence, OUTCOME_RETRY);
    assert_int_equal(only(t, BOARD_COMMIT).crashes, 0);
    assert_int_equal(only(t, BOARD_COMMIT).attempts, 1);
}

static void suspects_wait_for_fences_as_everybody(void **state)
{
    struct bench *t = *state;
    leave_with(t, 8);
    t->board->fence_counter = UINT32_MAX - 2; /* the store has not raised the epoch for a long time */
    take(t, 2, 10);
    assert_int_equal(count_of(t, BOARD_DISPATCH), 2);
    step(t, (struct board_event){.kind = BOARD_EPOCH, .epoch = 9});
    assert_int_equal(t->board->fence_counter, 0);
}

static void suspects_take_a_worker_that_is_idle_rather_than_wait_for_one(void **state)
{
    struct bench *t = *state;
    leave_with(t, 1);
    come(t, 2, 10);
    accept(t, 2, 0);
    uint64_t long_one = only(t, BOARD_DISPATCH).fence;
    beat(t, 2, 1, 9, 1, long_one);
    tick(t, 200);
    accept(t, 3, 0);
    assert_int_equal(count_of(t, BOARD_DISPATCH), 0); /* the only worker is kept until its job is over */
    come(t, 3, 10);
    assert_int_equal(count_of(t, BOARD_MARK), 1);
    dispatches_only(t, 3); /* and the first one is free again */
    assert_int_equal(only(t, BOARD_DISPATCH).session, 2);
}

static void suspects_give_up_what_is_marked_past_its_deadline(void **state)
{
    struct bench *t = *state;
    struct board_spec soon = plain;
    soon.deadline_ms = 3000;
    run_spec(t, 1, 1, &soon);
    leave(t, 1);
    take(t, 2, 10);
    assert_int_equal(count_of(t, BOARD_MARK), 1);
    tick(t, 2000);
    assert_int_equal(t->fx.count, 0);
    marked(t, 1);
    assert_int_equal(only(t, BOARD_COMMIT).reason, REASON_DEADLINE);
    accept(t, 2, 0);
    assert_int_equal(count_of(t, BOARD_DISPATCH), 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(suspects_run_in_halves),
        T(suspects_share_a_worker_with_nobody),
        T(suspects_leave_half_of_the_workers_to_others),
        T(suspects_that_are_paused_keep_no_worker_from_others),
        T(suspects_are_charged_only_when_sent_alone),
        T(suspects_take_back_a_claim_while_marked),
        T(suspects_are_not_charged_for_a_broker_that_ended_while_they_ran_alone),
        T(suspects_dead_after_two_runs_alone),
        T(suspects_cost_a_handful_of_runs_alone_of_5000),
        T(suspects_give_up_what_is_marked_past_its_deadline),
        T(suspects_can_be_cancelled_and_expire),
        T(suspects_cancelled_while_marked_never_run),
        T(suspects_are_not_charged_for_a_worker_that_was_only_silent),
        T(suspects_wait_for_fences_as_everybody),
        T(suspects_take_a_worker_that_is_idle_rather_than_wait_for_one),
    };
    return cmocka_run_group_tests_name("suspects", tests, NULL, NULL);
}
