/* What a commit takes, and what becomes of it. An operation is named by its job's number of attempts. */
#include "broker/group.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
/* cmocka wants the four before it */
#include <cmocka.h>

#define OPS_MAX (LIMIT_JOURNAL_OPS + LIMIT_COMMIT_OPS)

struct scene {
    struct group *group;
    struct store_op *ops; /* by number */
    struct store_op *taken[LIMIT_COMMIT_OPS];
    size_t count; /* of what was taken last */
};

static void open_scene(struct scene *s)
{
    memset(s, 0, sizeof *s);
    s->ops = calloc(OPS_MAX, sizeof *s->ops);
    assert_non_null(s->ops);
    assert_int_equal(group_new(&s->group), PB_OK);
}

static void close_scene(struct scene *s)
{
    group_free(s->group);
    free(s->ops);
}

static void on_done(void *arg, struct store_op *op, pb_err err)
{
    (void)arg;
    (void)op;
    (void)err;
}

static pb_err submit(struct scene *s, uint32_t number, enum store_op_kind kind)
{
    s->ops[number] = (struct store_op){.kind = kind, .job = {.attempts = number}};
    return group_submit(s->group, &s->ops[number], on_done, s);
}

/* kinds: 'a' an append, 'f' an outcome; numbered from first. */
static void submit_all(struct scene *s, uint32_t first, const char *kinds)
{
    for (uint32_t i = 0; kinds[i]; i++)
        assert_int_equal(submit(s, first + i, kinds[i] == 'a' ? STORE_APPEND_JOB : STORE_FINISH_JOB), PB_OK);
}

static size_t take(struct scene *s)
{
    return s->count = group_take(s->group, s->taken);
}

static void assert_taken(struct scene *s, size_t count, uint32_t first)
{
    assert_int_equal(take(s), count);
    for (size_t i = 0; i < count; i++)
        assert_int_equal(s->taken[i]->job.attempts, first + i);
}

static void assert_given_back(struct scene *s, uint32_t number, pb_err err)
{
    struct group_verdict v;
    assert_true(group_give_back(s->group, &v));
    assert_ptr_equal(v.op, &s->ops[number]);
    assert_ptr_equal(v.arg, s);
    assert_true(v.done == on_done);
    assert_int_equal(v.err, err);
}

static void assert_nothing_given_back(struct scene *s)
{
    struct group_verdict v;
    assert_int_equal(group_finished(s->group), 0);
    assert_false(group_give_back(s->group, &v));
}

static void group_commits_what_waits_in_order(void **state)
{
    struct scene s;
    (void)state;
    open_scene(&s);
    assert_false(group_has_work(s.group));
    assert_int_equal(take(&s), 0);
    submit_all(&s, 0, "afa");
    assert_true(group_has_work(s.group));
    assert_taken(&s, 3, 0);
    submit_all(&s, 3, "f"); /* while the commit is under way */
    assert_nothing_given_back(&s);
    group_settle(s.group, PB_OK);
    assert_int_equal(group_count(s.group), 4);
    for (uint32_t i = 0; i < 3; i++)
        assert_given_back(&s, i, PB_OK);
    assert_nothing_given_back(&s);
    assert_taken(&s, 1, 3);
    group_settle(s.group, PB_OK);
    assert_given_back(&s, 3, PB_OK);
    assert_int_equal(group_count(s.group), 0);
    assert_false(group_has_work(s.group));
    close_scene(&s);
}

static void group_takes_no_more_than_a_commit_may_hold(void **state)
{
    struct scene s;
    (void)state;
    open_scene(&s);
    for (uint32_t i = 0; i < LIMIT_COMMIT_OPS + 1; i++)
        assert_int_equal(submit(&s, i, STORE_FINISH_JOB), PB_OK);
    assert_taken(&s, LIMIT_COMMIT_OPS, 0);
    group_settle(s.group, PB_OK);
    assert_int_equal(group_finished(s.group), LIMIT_COMMIT_OPS);
    assert_taken(&s, 1, LIMIT_COMMIT_OPS);
    group_settle(s.group, PB_OK);
    close_scene(&s);
}

static void group_refuses_appends_when_too_many_wait_and_nothing_else(void **state)
{
    struct scene s;
    (void)state;
    open_scene(&s);
    for (uint32_t i = 0; i < LIMIT_JOURNAL_OPS; i++)
        assert_int_equal(submit(&s, i, STORE_APPEND_JOB), PB_OK);
    assert_int_equal(submit(&s, LIMIT_JOURNAL_OPS, STORE_APPEND_JOB), PB_E_BUSY);
    assert_int_equal(group_count(s.group), LIMIT_JOURNAL_OPS);
    assert_int_equal(submit(&s, LIMIT_JOURNAL_OPS, STORE_FINISH_JOB), PB_OK);
    assert_taken(&s, LIMIT_COMMIT_OPS, 0);
    assert_int_equal(submit(&s, LIMIT_JOURNAL_OPS + 1, STORE_APPEND_JOB), PB_OK); /* there is room again */
    group_settle(s.group, PB_OK);
    close_scene(&s);
}

static void group_gives_appends_back_when_a_commit_fails_and_keeps_the_rest(void **state)
{
    struct scene s;
    (void)state;
    open_scene(&s);
    submit_all(&s, 0, "affaf");
    assert_taken(&s, 5, 0);
    submit_all(&s, 5, "af"); /* not in the group: they fail only if their own commit does */
    group_settle(s.group, PB_E_STORE);
    assert_true(group_is_failing(s.group));
    assert_given_back(&s, 0, PB_E_STORE);
    assert_given_back(&s, 3, PB_E_STORE);
    assert_nothing_given_back(&s);
    static const uint32_t order[] = {1, 2, 4, 5, 6};
    assert_int_equal(take(&s), 5);
    for (size_t i = 0; i < 5; i++)
        assert_int_equal(s.taken[i]->job.attempts, order[i]);
    group_settle(s.group, PB_OK);
    assert_false(group_is_failing(s.group));
    for (size_t i = 0; i < 5; i++)
        assert_given_back(&s, order[i], PB_OK); /* without the error of the try before */
    close_scene(&s);
}

static void group_keeps_order_over_failures_again_and_again(void **state)
{
    struct scene s;
    (void)state;
    open_scene(&s);
    submit_all(&s, 0, "fff");
    for (uint32_t n = 3; n < 10; n++) {
        assert_taken(&s, n, 0);
        submit_all(&s, n, "f");
        group_settle(s.group, PB_E_STORE);
        assert_nothing_given_back(&s);
        assert_int_equal(group_count(s.group), n + 1);
    }
    assert_taken(&s, 10, 0);
    group_settle(s.group, PB_OK);
    for (uint32_t i = 0; i < 10; i++)
        assert_given_back(&s, i, PB_OK);
    close_scene(&s);
}

/* All of a group were appends: the queue is empty then, and must still work. */
static void group_takes_more_after_nothing_was_kept(void **state)
{
    struct scene s;
    (void)state;
    open_scene(&s);
    submit_all(&s, 0, "aa");
    assert_taken(&s, 2, 0);
    group_settle(s.group, PB_E_STORE);
    submit_all(&s, 2, "fa");
    assert_taken(&s, 2, 2);
    group_settle(s.group, PB_OK);
    assert_given_back(&s, 0, PB_E_STORE);
    assert_given_back(&s, 1, PB_E_STORE);
    assert_given_back(&s, 2, PB_OK);
    assert_given_back(&s, 3, PB_OK);
    close_scene(&s);
}

static void group_writes_by_itself_to_see_whether_the_store_is_well(void **state)
{
    struct scene s;
    (void)state;
    open_scene(&s);
    submit_all(&s, 0, "a");
    assert_taken(&s, 1, 0);
    group_settle(s.group, PB_E_STORE);
    assert_given_back(&s, 0, PB_E_STORE);
    for (int tries = 0; tries < 3; tries++) {
        assert_true(group_has_work(s.group));
        assert_int_equal(take(&s), 1);
        assert_int_equal(s.taken[0]->kind, STORE_SET_META);
        assert_int_equal(group_count(s.group), 0); /* nobody's */
        group_settle(s.group, tries < 2 ? PB_E_STORE : PB_OK);
        assert_nothing_given_back(&s);
    }
    assert_false(group_is_failing(s.group));
    assert_false(group_has_work(s.group));
    assert_int_equal(take(&s), 0);
    close_scene(&s);
}

static void group_that_closes_commits_what_waits_once(void **state)
{
    struct scene s;
    (void)state;
    open_scene(&s);
    submit_all(&s, 0, "fa");
    group_close(s.group);
    assert_true(group_is_closing(s.group));
    assert_int_equal(submit(&s, 2, STORE_FINISH_JOB), PB_E_CLOSED);
    assert_taken(&s, 2, 0);
    group_settle(s.group, PB_OK);
    assert_given_back(&s, 0, PB_OK);
    assert_given_back(&s, 1, PB_OK);
    assert_false(group_has_work(s.group));
    assert_int_equal(take(&s), 0);
    close_scene(&s);
}

static void group_that_closes_gives_everything_back_that_fails(void **state)
{
    struct scene s;
    (void)state;
    open_scene(&s);
    submit_all(&s, 0, "fa");
    assert_taken(&s, 2, 0);
    submit_all(&s, 2, "f");
    group_close(s.group); /* while the commit is under way */
    group_settle(s.group, PB_E_STORE);
    assert_given_back(&s, 0, PB_E_CLOSED);
    assert_given_back(&s, 1, PB_E_CLOSED);
    assert_taken(&s, 1, 2);
    group_settle(s.group, PB_E_STORE);
    assert_given_back(&s, 2, PB_E_CLOSED);
    assert_false(group_has_work(s.group)); /* nor is it tried whether the store is well */
    assert_int_equal(take(&s), 0);
    assert_int_equal(group_count(s.group), 0);
    close_scene(&s);
}

static void group_forgets_what_is_in_it_when_freed(void **state)
{
    struct scene s;
    (void)state;
    open_scene(&s);
    submit_all(&s, 0, "af");
    assert_taken(&s, 2, 0);
    group_settle(s.group, PB_OK);
    submit_all(&s, 2, "af");
    assert_taken(&s, 2, 2);
    submit_all(&s, 4, "af");
    close_scene(&s); /* a broker that dies; sanitizers see a leak */
    group_free(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(group_commits_what_waits_in_order),
        cmocka_unit_test(group_takes_no_more_than_a_commit_may_hold),
        cmocka_unit_test(group_refuses_appends_when_too_many_wait_and_nothing_else),
        cmocka_unit_test(group_gives_appends_back_when_a_commit_fails_and_keeps_the_rest),
        cmocka_unit_test(group_keeps_order_over_failures_again_and_again),
        cmocka_unit_test(group_takes_more_after_nothing_was_kept),
        cmocka_unit_test(group_writes_by_itself_to_see_whether_the_store_is_well),
        cmocka_unit_test(group_that_closes_commits_what_waits_once),
        cmocka_unit_test(group_that_closes_gives_everything_back_that_fails),
        cmocka_unit_test(group_forgets_what_is_in_it_when_freed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
