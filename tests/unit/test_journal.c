#include "broker/journal.h"
#include "common/store_ops.h"

#include <dlfcn.h>
#include <fcntl.h>
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdint.h>
#include <string.h>
#include <time.h>
#include <unistd.h>
/* cmocka wants the four before it */
#include <cmocka.h>

#define PATIENCE_MS  5000
#define HOUR_SECONDS 3600

/* Takes the place of libc's for this program: the wall clock is an hour ahead of what the kernel waits by, as
 * it is when somebody sets it back between a reading and a wait. */
int clock_gettime(clockid_t clock, struct timespec *out)
{
    int (*real)(clockid_t, struct timespec *) =
        (int (*)(clockid_t, struct timespec *))dlsym(RTLD_NEXT, "clock_gettime");
    int rv = real(clock, out);
    if (clock == CLOCK_REALTIME)
        out->tv_sec += HOUR_SECONDS;
    return rv;
}

/* A store that can be told to refuse, as a full disk does. */
struct fake {
    struct store base;
    atomic_bool full;
    atomic_int tries;
};

static pb_err fake_commit(struct store *s, struct store_op *const *ops, size_t count, struct pb_why *why)
{
    struct fake *f = (struct fake *)s;
    atomic_fetch_add(&f->tries, 1);
    for (size_t i = 0; i < count; i++)
        ops[i]->outcome = PB_OK;
    return atomic_load(&f->full) ? pb_fail(why, PB_E_STORE, "fake", "full") : PB_OK;
}

static void fake_close(struct store *s)
{
    (void)s;
}

static const struct store_ops fake_ops = {
    .scheme = "fake:", .example = "fake:", .close = fake_close, .commit = fake_commit};

struct scene {
    struct fake store;
    struct log log;
    struct journal *journal;
    unsigned done;
    pb_err last;
};

static void open_scene(struct scene *s, bool full)
{
    struct pb_why why = {0};
    memset(s, 0, sizeof *s);
    s->store.base.ops = &fake_ops;
    atomic_store(&s->store.full, full);
    s->log.fd = open("/dev/null", O_WRONLY | O_CLOEXEC);
    assert_int_equal(journal_open(&s->store.base, &s->log, &s->journal, &why), PB_OK);
}

static void close_scene(struct scene *s)
{
    journal_close(s->journal);
    close(s->log.fd);
}

static void on_done(void *arg, struct store_op *op, pb_err err)
{
    struct scene *s = arg;
    s->done++;
    s->last = err;
    journal_op_free(op);
}

static void submit(struct scene *s, enum store_op_kind kind)
{
    struct store_op *op = journal_op_new(kind);
    assert_non_null(op);
    op->job.tenant[0] = 't';
    op->job.state = kind == STORE_APPEND_JOB ? JOB_WAITING : JOB_DONE;
    assert_int_equal(journal_submit(s->journal, op, on_done, s), PB_OK);
}

/* Turns until so many were given back; false: time is up. */
static bool wait_done(struct scene *s, unsigned count)
{
    for (int waited_ms = 0; s->done < count && waited_ms < PATIENCE_MS; waited_ms += 20) {
        struct pollfd bell = {.fd = journal_fd(s->journal), .events = POLLIN};
        poll(&bell, 1, 20);
        journal_turn(s->journal);
    }
    return s->done >= count;
}

static bool wait_well(struct scene *s)
{
    for (int waited_ms = 0; journal_is_failing(s->journal) && waited_ms < PATIENCE_MS; waited_ms += 20)
        poll(NULL, 0, 20);
    return !journal_is_failing(s->journal);
}

static void journal_gives_appends_back_when_the_store_is_full(void **state)
{
    struct scene s;
    (void)state;
    open_scene(&s, true);
    submit(&s, STORE_APPEND_JOB);
    assert_true(wait_done(&s, 1));
    assert_int_equal(s.last, PB_E_STORE);
    assert_true(journal_is_failing(s.journal));
    close_scene(&s);
}

static void journal_keeps_outcomes_until_the_store_takes_them_again(void **state)
{
    struct scene s;
    (void)state;
    open_scene(&s, true);
    submit(&s, STORE_FINISH_JOB);
    while (atomic_load(&s.store.tries) == 0)
        poll(NULL, 0, 1);
    journal_turn(s.journal);
    assert_int_equal(s.done, 0);
    atomic_store(&s.store.full, false);
    assert_true(wait_done(&s, 1)); /* not an hour later, although the wall clock was set back */
    assert_int_equal(s.last, PB_OK);
    close_scene(&s);
}

/* Or a broker that gets no work because it is not ready would never be ready again. */
static void journal_finds_the_store_well_again_when_nobody_writes(void **state)
{
    struct scene s;
    (void)state;
    open_scene(&s, true);
    submit(&s, STORE_APPEND_JOB);
    assert_true(wait_done(&s, 1));
    assert_true(journal_is_failing(s.journal));
    atomic_store(&s.store.full, false);
    assert_true(wait_well(&s));
    submit(&s, STORE_APPEND_JOB);
    assert_true(wait_done(&s, 2));
    assert_int_equal(s.last, PB_OK);
    close_scene(&s);
}

static void journal_counts_and_times_its_commits(void **state)
{
    struct scene s;
    struct journal_stats before, after;
    (void)state;
    open_scene(&s, false);
    journal_stats(s.journal, &before);
    assert_int_equal(before.commits + before.ops + before.failures + before.commit_time.count, 0);
    for (int i = 0; i < 5; i++)
        submit(&s, STORE_APPEND_JOB);
    assert_true(wait_done(&s, 5));
    journal_stats(s.journal, &after);
    assert_int_equal(after.ops, 5);
    assert_in_range(after.commits, 1, 5);
    assert_int_equal(after.commits, atomic_load(&s.store.tries));
    assert_int_equal(after.commit_time.count, after.commits);
    assert_int_equal(after.failures, 0);
    atomic_store(&s.store.full, true);
    submit(&s, STORE_APPEND_JOB);
    assert_true(wait_done(&s, 6));
    journal_stats(s.journal, &before);
    assert_int_equal(before.failures, 1);
    assert_int_equal(before.commits, after.commits);
    assert_int_equal(before.commit_time.count, after.commits);
    close_scene(&s);
}

static void journal_closes_at_once_while_the_store_is_full(void **state)
{
    struct scene s;
    (void)state;
    open_scene(&s, true);
    submit(&s, STORE_FINISH_JOB);
    while (atomic_load(&s.store.tries) == 0)
        poll(NULL, 0, 1);
    close_scene(&s);
    assert_int_equal(s.done, 1);
    assert_int_equal(s.last, PB_E_CLOSED);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(journal_gives_appends_back_when_the_store_is_full),
        cmocka_unit_test(journal_keeps_outcomes_until_the_store_takes_them_again),
        cmocka_unit_test(journal_finds_the_store_well_again_when_nobody_writes),
        cmocka_unit_test(journal_counts_and_times_its_commits),
        cmocka_unit_test(journal_closes_at_once_while_the_store_is_full),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
