/* What happens to a job between its attempts and after them: retries, marks, dead letters that are sent
 * again, and the purge of what has ended. */
#include "tests/store/suite_parts.h"
#include "tests/unit/scratch.h"

#include <stdlib.h>

/* Every field but id, state and payload, which a test may have changed or not. */
static void expect_same(const struct job *a, const struct job *b)
{
    assert_int_equal(a->kind, b->kind);
    assert_string_equal(a->tenant, b->tenant);
    assert_string_equal(a->type, b->type);
    assert_string_equal(a->idem, b->idem);
    assert_string_equal(a->host, b->host);
    assert_true(id_equal(&a->integration, &b->integration));
    assert_int_equal(a->priority, b->priority);
    assert_int_equal(a->attempts, b->attempts);
    assert_int_equal(a->max_attempts, b->max_attempts);
    assert_int_equal(a->crashes, b->crashes);
    assert_int_equal(a->cancel_asked, b->cancel_asked);
    assert_int_equal(a->created_at_ms, b->created_at_ms);
    assert_int_equal(a->not_before_ms, b->not_before_ms);
    assert_int_equal(a->deadline_ms, b->deadline_ms);
    assert_int_equal(a->finished_at_ms, b->finished_at_ms);
}

/* One that has a value in every field. */
static struct job full_job(uint64_t n)
{
    struct job job = suite_job(n, "acme", "key");
    job.kind = JOB_VALIDATE;
    memcpy(job.host, "api.stripe.com", sizeof "api.stripe.com");
    job.priority = PRIORITY_LOW;
    job.attempts = 3;
    job.max_attempts = 7;
    job.crashes = 1;
    job.not_before_ms = 5000;
    job.deadline_ms = INT64_MAX;
    return job;
}

static pb_err retry(void **state, uint64_t n, uint32_t attempts, uint32_t crashes, int64_t not_before_ms)
{
    struct store_op op = {
        .kind = STORE_RETRY_JOB,
        .job = {.id = suite_id(n), .attempts = attempts, .crashes = crashes, .not_before_ms = not_before_ms}};
    return suite_commit(state, &op);
}

static pb_err mark(void **state, uint64_t n, uint32_t crashes, bool cancel_asked)
{
    struct store_op op = {.kind = STORE_MARK_JOB,
                          .job = {.id = suite_id(n), .crashes = crashes, .cancel_asked = cancel_asked}};
    return suite_commit(state, &op);
}

/* Only the outcome. */
static pb_err revive(void **state, uint64_t n)
{
    struct store_op op = {.kind = STORE_REVIVE_JOB, .job = {.id = suite_id(n)}};
    pb_err err = suite_commit(state, &op);
    job_fini(&op.job);
    return err;
}

static pb_err finish_at(void **state, uint64_t n, enum job_state end, int64_t finished_at_ms)
{
    struct store_op op = {.kind = STORE_FINISH_JOB,
                          .job = {.id = suite_id(n), .state = end, .finished_at_ms = finished_at_ms}};
    return suite_commit(state, &op);
}

static void append_ended(void **state, uint64_t n, enum job_state end, int64_t finished_at_ms)
{
    struct job job = suite_job(n, "acme", "");
    assert_int_equal(suite_append(state, &job), PB_OK);
    assert_int_equal(finish_at(state, n, end, finished_at_ms), PB_OK);
}

/* -- retry and mark -- */

static void store_retry_sets_attempts_crashes_and_date_and_nothing_else(void **state)
{
    struct job job = full_job(1);
    assert_int_equal(suite_append(state, &job), PB_OK);
    assert_int_equal(retry(state, 1, 4, 2, 99), PB_OK);
    assert_int_equal(retry(state, 1, 4, 2, 99), PB_OK);
    suite_reopen(state);
    struct job back = suite_get(state, 1);
    job.attempts = 4;
    job.crashes = 2;
    job.not_before_ms = 99;
    expect_same(&back, &job);
    assert_int_equal(back.state, JOB_WAITING);
    assert_int_equal(back.payload_len, job.payload_len);
    job_fini(&back);
    assert_int_equal(retry(state, 1, 0, 0, 0), PB_OK); /* as it was told, smaller ones, too */
    back = suite_get(state, 1);
    assert_int_equal(back.attempts + back.crashes + back.not_before_ms, 0);
    job_fini(&back);
}

static void store_mark_sets_crashes_and_never_takes_a_cancellation_back(void **state)
{
    struct job job = full_job(1);
    assert_int_equal(suite_append(state, &job), PB_OK);
    assert_int_equal(mark(state, 1, 2, false), PB_OK);
    struct job back = suite_get(state, 1);
    job.crashes = 2;
    expect_same(&back, &job);
    job_fini(&back);
    assert_int_equal(mark(state, 1, 2, true), PB_OK);
    assert_int_equal(mark(state, 1, 0, false), PB_OK);
    suite_reopen(state);
    back = suite_get(state, 1);
    job.crashes = 0;
    job.cancel_asked = true;
    expect_same(&back, &job);
    assert_int_equal(back.state, JOB_WAITING);
    assert_int_equal(back.payload_len, job.payload_len);
    job_fini(&back);
    assert_int_equal(retry(state, 1, 4, 0, 0), PB_OK);
    back = suite_get(state, 1);
    assert_true(back.cancel_asked); /* an attempt that ends does not, either */
    job_fini(&back);
}

static void store_retry_and_mark_conflict_with_an_end(void **state)
{
    static const enum job_state ends[] = {JOB_DONE, JOB_FAILED, JOB_CANCELLED, JOB_DEAD};
    for (uint64_t i = 0; i < 4; i++) {
        struct job job = suite_job(i, "acme", "");
        assert_int_equal(suite_append(state, &job), PB_OK);
        assert_int_equal(suite_finish(state, i, ends[i]), PB_OK);
        assert_int_equal(retry(state, i, 9, 9, 9), PB_E_CONFLICT);
        assert_int_equal(mark(state, i, 9, true), PB_E_CONFLICT);
        struct job back = suite_get(state, i);
        assert_int_equal(back.attempts + back.crashes + back.not_before_ms, 0);
        assert_false(back.cancel_asked);
        job_fini(&back);
    }
}

static void store_does_not_mark_or_revive_a_job_that_is_not_known(void **state)
{
    assert_int_equal(retry(state, 1, 1, 1, 1), PB_E_NOT_FOUND);
    assert_int_equal(mark(state, 1, 1, true), PB_E_NOT_FOUND);
    assert_int_equal(revive(state, 1), PB_E_NOT_FOUND);
    assert_int_equal(suite_state_of(state, 1), 0);
}

/* -- dead letters -- */

static void store_finish_keeps_the_payload_of_a_dead_job(void **state)
{
    struct job job = full_job(1);
    assert_int_equal(suite_append(state, &job), PB_OK);
    for (int again = 0; again < 2; again++) {
        assert_int_equal(suite_finish(state, 1, JOB_DEAD), PB_OK);
        struct job back = suite_get(state, 1);
        job.finished_at_ms = 77;
        expect_same(&back, &job);
        assert_int_equal(back.state, JOB_DEAD);
        assert_string_equal(back.result, "{\"code\":\"ok\"}");
        assert_int_equal(back.payload_len, job.payload_len);
        assert_memory_equal(back.payload, job.payload, job.payload_len);
        job_fini(&back);
        suite_reopen(state);
    }
    assert_int_equal(suite_finish(state, 1, JOB_DONE), PB_E_CONFLICT);
    assert_int_equal(suite_finish(state, 1, JOB_FAILED), PB_E_CONFLICT);
}

static void store_revive_makes_a_dead_job_wait_as_new(void **state)
{
    struct job job = full_job(1);
    job.cancel_asked = true;
    assert_int_equal(suite_append(state, &job), PB_OK);
    assert_int_equal(suite_finish(state, 1, JOB_DEAD), PB_OK);
    struct store_op op = {.kind = STORE_REVIVE_JOB, .job = {.id = suite_id(1), .not_before_ms = 12345}};
    assert_int_equal(suite_commit(state, &op), PB_OK);
    suite_reopen(state);
    struct job stored = suite_get(state, 1), *both[] = {&op.job, &stored};
    job.attempts = job.crashes = 0;
    job.cancel_asked = false;
    job.deadline_ms = 0;
    job.not_before_ms = 12345;
    for (int i = 0; i < 2; i++) {
        assert_true(id_equal(&both[i]->id, &job.id));
        assert_int_equal(both[i]->state, JOB_WAITING);
        expect_same(both[i], &job);
        assert_null(both[i]->result);
        assert_int_equal(both[i]->payload_len, job.payload_len);
        assert_memory_equal(both[i]->payload, job.payload, job.payload_len);
        job_fini(both[i]);
    }
}

static void store_revive_conflicts_in_every_other_state(void **state)
{
    static const enum job_state others[] = {JOB_WAITING, JOB_DONE, JOB_FAILED, JOB_CANCELLED};
    for (uint64_t i = 0; i < 4; i++) {
        struct job job = suite_job(i, "acme", "");
        struct store_op op = {.kind = STORE_REVIVE_JOB, .job = {.id = suite_id(i), .not_before_ms = 5}};
        assert_int_equal(suite_append(state, &job), PB_OK);
        if (others[i] != JOB_WAITING)
            assert_int_equal(suite_finish(state, i, others[i]), PB_OK);
        assert_int_equal(suite_commit(state, &op), PB_E_CONFLICT);
        assert_true(id_equal(&op.job.id, &job.id)); /* what was asked, and nothing else */
        assert_int_equal(op.job.not_before_ms, 5);
        assert_int_equal(op.job.state, 0);
        assert_null(op.job.payload);
        assert_int_equal(suite_state_of(state, i), others[i]);
    }
}

/* Dead, alive and dead again, with its key known all the while. */
static void store_revived_job_lives_and_ends_like_any(void **state)
{
    struct job job = full_job(1), same = suite_job(2, "acme", "key");
    assert_int_equal(suite_append(state, &job), PB_OK);
    for (int life = 0; life < 3; life++) {
        assert_int_equal(retry(state, 1, 2, 1, 0), PB_OK);
        assert_int_equal(mark(state, 1, 2, true), PB_OK);
        assert_int_equal(suite_finish(state, 1, JOB_DEAD), PB_OK);
        assert_int_equal(suite_append(state, &same), PB_E_EXISTS);
        assert_int_equal(revive(state, 1), PB_OK);
        assert_int_equal(revive(state, 1), PB_E_CONFLICT);
        assert_int_equal(suite_append(state, &same), PB_E_EXISTS);
    }
    assert_int_equal(suite_finish(state, 1, JOB_DONE), PB_OK);
    assert_int_equal(revive(state, 1), PB_E_CONFLICT);
    struct job back = suite_get(state, 1);
    assert_int_equal(back.state, JOB_DONE);
    assert_null(back.payload);
    job_fini(&back);
}

/* -- purge -- */

static size_t purge(void **state, int64_t ended_before_ms, int64_t dead_before_ms, uint64_t keep_count)
{
    struct store_op op = {.kind = STORE_PURGE_JOBS,
                          .purge = {.ended_before_ms = ended_before_ms,
                                    .dead_before_ms = dead_before_ms,
                                    .keep_count = keep_count,
                                    .removed = 42}};
    assert_int_equal(suite_commit(state, &op), PB_OK);
    return op.purge.removed;
}

/* Of the ids first..last exactly those in kept (which ends with 0) are there. */
static void expect_kept(void **state, uint64_t first, uint64_t last, const uint64_t *kept)
{
    for (uint64_t n = first; n <= last; n++) {
        bool wanted = *kept == n;
        if (wanted)
            kept++;
        if ((suite_state_of(state, n) != 0) != wanted)
            fail_msg("job %d is %s", (int)n, wanted ? "gone" : "still there");
    }
    assert_int_equal(*kept, 0);
}
#define EXPECT_KEPT(first, last, ...) expect_kept(state, first, last, (const uint64_t[]){__VA_ARGS__, 0})

static void store_purge_removes_by_age_each_group_with_its_own_limit(void **state)
{
    static const enum job_state ends[] = {JOB_DONE, JOB_FAILED, JOB_CANCELLED, JOB_DEAD};
    assert_int_equal(purge(state, INT64_MAX, INT64_MAX, 0), 0); /* nothing there */
    for (uint64_t n = 1; n <= 8; n++)                           /* 1-4 ended at 100, 5-8 at 200 */
        append_ended(state, n, ends[(n - 1) % 4], n <= 4 ? 100 : 200);
    struct job waiting = suite_job(9, "acme", "");
    assert_int_equal(suite_append(state, &waiting), PB_OK);
    assert_int_equal(purge(state, 0, 0, UINT64_MAX), 0);
    assert_int_equal(purge(state, 100, 100, UINT64_MAX), 0); /* not before 100 */
    assert_int_equal(purge(state, 101, 0, UINT64_MAX), 3);
    EXPECT_KEPT(1, 9, 4, 5, 6, 7, 8, 9);
    assert_int_equal(purge(state, 101, 200, UINT64_MAX), 1);
    EXPECT_KEPT(1, 9, 5, 6, 7, 8, 9);
    suite_reopen(state);
    EXPECT_KEPT(1, 9, 5, 6, 7, 8, 9);
    assert_int_equal(purge(state, INT64_MAX, INT64_MAX, UINT64_MAX), 4);
    EXPECT_KEPT(1, 9, 9); /* never what waits */
}

static void store_purge_keeps_so_many_of_each_group(void **state)
{
    for (uint64_t n = 1; n <= 6; n++)
        append_ended(state, n, n % 2 ? JOB_DONE : JOB_CANCELLED, (int64_t)(100 - n)); /* 6 ended first */
    for (uint64_t n = 7; n <= 9; n++)
        append_ended(state, n, JOB_DEAD, (int64_t)n);
    assert_int_equal(purge(state, 0, 0, 6), 0);
    assert_int_equal(purge(state, 0, 0, 4), 2);
    EXPECT_KEPT(1, 9, 1, 2, 3, 4, 7, 8, 9);
    assert_int_equal(purge(state, 0, 0, 2), 3);
    EXPECT_KEPT(1, 9, 1, 2, 8, 9);
    assert_int_equal(purge(state, 0, 9, 2), 1); /* whichever limit is met */
    EXPECT_KEPT(1, 9, 1, 2, 9);
    assert_int_equal(purge(state, 0, 0, 0), 3);
    EXPECT_KEPT(1, 9, 0);
}

static void store_purge_takes_the_smaller_id_of_those_that_ended_together(void **state)
{
    static const uint64_t order[] = {3, 1, 4, 2};
    for (size_t i = 0; i < 4; i++)
        append_ended(state, order[i], JOB_DONE, 50);
    assert_int_equal(purge(state, 0, 0, 3), 1);
    EXPECT_KEPT(1, 4, 2, 3, 4);
    assert_int_equal(purge(state, 0, 0, 1), 2);
    EXPECT_KEPT(1, 4, 4);
}

/* The count of what has ended stays right through everything that changes it, in one commit and over many. */
static void store_purge_counts_what_ends_lives_again_and_goes(void **state)
{
    for (uint64_t n = 1; n <= 3; n++)
        append_ended(state, n, JOB_DEAD, (int64_t)n);
    assert_int_equal(purge(state, 0, 0, 3), 0);
    assert_int_equal(revive(state, 3), PB_OK);
    assert_int_equal(purge(state, 0, 0, 2), 0);
    struct store_op end = {.kind = STORE_FINISH_JOB,
                           .job = {.id = suite_id(3), .state = JOB_DEAD, .finished_at_ms = 9}};
    struct store_op again = end, before = {.kind = STORE_PURGE_JOBS, .purge = {.keep_count = 2}};
    struct store_op after = before, live = {.kind = STORE_REVIVE_JOB, .job = {.id = suite_id(2)}};
    struct store_op none = {.kind = STORE_PURGE_JOBS, .purge = {.keep_count = 1}};
    struct store_op *ops[] = {&before, &end, &again, &after, &live, &none};
    suite_commit_all(state, ops, 6);
    assert_int_equal(before.purge.removed, 0);
    assert_int_equal(again.outcome, PB_OK);
    assert_int_equal(after.purge.removed, 1); /* the repeated end counted once */
    assert_int_equal(live.outcome, PB_OK);
    assert_int_equal(none.purge.removed, 0);
    job_fini(&live.job);
    EXPECT_KEPT(1, 3, 2, 3);
    assert_int_equal(suite_state_of(state, 2), JOB_WAITING);
    suite_reopen(state);
    assert_int_equal(purge(state, 0, 0, 1), 0);
    assert_int_equal(purge(state, 0, 0, 0), 1);
    EXPECT_KEPT(1, 3, 2);
}

static void store_purge_removes_the_longest_ended_first_and_not_too_many(void **state)
{
    const uint64_t count = LIMIT_PURGE_ROWS + 100;
    struct store_op *all = calloc(count, sizeof *all), **ops = calloc(count, sizeof(struct store_op *));
    assert_true(all && ops);
    for (uint64_t n = 0; n < count; n++) {
        all[n] = (struct store_op){.kind = STORE_APPEND_JOB, .job = suite_job(n, "acme", "")};
        ops[n] = &all[n];
    }
    suite_commit_all(state, ops, count);
    for (uint64_t n = 0; n < count; n++) /* the larger the id, the earlier; dead ones among the others */
        all[n] = (struct store_op){.kind = STORE_FINISH_JOB,
                                   .job = {.id = suite_id(n),
                                           .state = n % 3 ? JOB_DONE : JOB_DEAD,
                                           .finished_at_ms = (int64_t)(count - n)}};
    suite_commit_all(state, ops, count);
    assert_int_equal(purge(state, INT64_MAX, INT64_MAX, UINT64_MAX), LIMIT_PURGE_ROWS);
    for (uint64_t n = 0; n < count; n++)
        assert_int_equal(suite_state_of(state, n) != 0, n < 100);
    assert_int_equal(purge(state, INT64_MAX, INT64_MAX, UINT64_MAX), 100);
    assert_int_equal(purge(state, INT64_MAX, INT64_MAX, 0), 0);
    free(all);
    free(ops);
}

static void store_purged_job_leaves_its_id_and_key_free(void **state)
{
    struct job job = full_job(1);
    assert_int_equal(suite_append(state, &job), PB_OK);
    assert_int_equal(suite_finish(state, 1, JOB_DONE), PB_OK);
    assert_int_equal(suite_append(state, &job), PB_E_EXISTS);
    assert_int_equal(purge(state, 0, 0, 0), 1);
    assert_int_equal(suite_finish(state, 1, JOB_DONE), PB_E_NOT_FOUND);
    job.id = suite_id(2);
    assert_int_equal(suite_append(state, &job), PB_OK);
    struct job other = suite_job(1, "acme", "");
    assert_int_equal(suite_append(state, &other), PB_OK);
}

/* -- purge against a model -- */

#define MODEL_JOBS 40

struct model {
    struct modelled {
        enum job_state state; /* 0: not there */
        int64_t at;
    } jobs[MODEL_JOBS];
};

static bool ended_after(const struct model *m, size_t a, size_t b)
{
    return m->jobs[a].at != m->jobs[b].at ? m->jobs[a].at > m->jobs[b].at : a > b;
}

static bool same_group(const struct model *m, size_t a, size_t b)
{
    return m->jobs[a].state > JOB_WAITING && m->jobs[b].state > JOB_WAITING &&
           (m->jobs[a].state == JOB_DEAD) == (m->jobs[b].state == JOB_DEAD);
}

/* The header's words as code. */
static bool must_go(const struct model *m, size_t n, const struct store_purge *p)
{
    uint64_t later = 0;
    if (m->jobs[n].state <= JOB_WAITING)
        return false;
    for (size_t i = 0; i < MODEL_JOBS; i++)
        later += i != n && same_group(m, i, n) && ended_after(m, i, n);
    return later >= p->keep_count ||
           m->jobs[n].at < (m->jobs[n].state == JOB_DEAD ? p->dead_before_ms : p->ended_before_ms);
}

static void model_purge(void **state, struct model *m, uint64_t random)
{
    struct store_purge p = {.ended_before_ms = (int64_t)(random % 20),
                            .dead_before_ms = (int64_t)((random >> 8) % 20),
                            .keep_count = (random >> 16) % 16};
    bool go[MODEL_JOBS];
    size_t count = 0;
    for (size_t i = 0; i < MODEL_JOBS; i++)
        count += go[i] = must_go(m, i, &p);
    assert_int_equal(purge(state, p.ended_before_ms, p.dead_before_ms, p.keep_count), count);
    for (size_t i = 0; i < MODEL_JOBS; i++)
        if (go[i])
            m->jobs[i].state = 0;
}

static void model_step(void **state, struct model *m, uint64_t random)
{
    size_t n = random % MODEL_JOBS;
    struct modelled *j = &m->jobs[n];
    enum job_state end = JOB_DONE + (random >> 8) % 4;
    int64_t at = (int64_t)((random >> 16) % 20);
    if (!j->state) {
        struct job job = suite_job(n, "acme", "");
        assert_int_equal(suite_append(state, &job), PB_OK);
        *j = (struct modelled){.state = JOB_WAITING};
    } else if (j->state == JOB_WAITING) {
        assert_int_equal(finish_at(state, n, end, at), PB_OK);
        *j = (struct modelled){.state = end, .at = at};
    } else {
        assert_int_equal(revive(state, n), j->state == JOB_DEAD ? PB_OK : PB_E_CONFLICT);
        j->state = j->state == JOB_DEAD ? JOB_WAITING : j->state;
    }
}

static void store_purge_agrees_with_a_model_over_many_steps(void **state)
{
    uint64_t seed = 42;
    struct model m = {0};
    for (int step = 0; step < suite_steps(state, 1500); step++) {
        uint64_t random = scratch_random(&seed);
        if (random >> 32 & 15)
            model_step(state, &m, random);
        else
            model_purge(state, &m, random);
        if (step % 500 == 0)
            suite_reopen(state);
    }
    for (uint64_t n = 0; n < MODEL_JOBS; n++)
        assert_int_equal(suite_state_of(state, n), m.jobs[n].state);
}

static const struct suite_test tests[] = {
    SUITE_TEST(store_retry_sets_attempts_crashes_and_date_and_nothing_else),
    SUITE_TEST(store_mark_sets_crashes_and_never_takes_a_cancellation_back),
    SUITE_TEST(store_retry_and_mark_conflict_with_an_end),
    SUITE_TEST(store_does_not_mark_or_revive_a_job_that_is_not_known),
    SUITE_TEST(store_finish_keeps_the_payload_of_a_dead_job),
    SUITE_TEST(store_revive_makes_a_dead_job_wait_as_new),
    SUITE_TEST(store_revive_conflicts_in_every_other_state),
    SUITE_TEST(store_revived_job_lives_and_ends_like_any),
    SUITE_TEST(store_purge_removes_by_age_each_group_with_its_own_limit),
    SUITE_TEST(store_purge_keeps_so_many_of_each_group),
    SUITE_TEST(store_purge_takes_the_smaller_id_of_those_that_ended_together),
    SUITE_TEST(store_purge_counts_what_ends_lives_again_and_goes),
    SUITE_TEST(store_purge_removes_the_longest_ended_first_and_not_too_many),
    SUITE_TEST(store_purged_job_leaves_its_id_and_key_free),
    SUITE_TEST(store_purge_agrees_with_a_model_over_many_steps),
};
const struct suite_part suite_ends = {tests, sizeof tests / sizeof tests[0]};
