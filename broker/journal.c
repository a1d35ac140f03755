#include "broker/journal.h"

#include "broker/group.h"
#include "common/clock.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#define RETRY_SECONDS 1

struct journal {
    struct store *store;
    const struct log *log;
    pthread_t thread;
    pthread_mutex_t lock; /* over what follows */
    pthread_cond_t work;
    struct group *group;
    struct journal_stats stats;
    int bell_fd;
};

static void ring(const struct journal *j)
{
    uint64_t one = 1;
    if (write(j->bell_fd, &one, sizeof one) < 0)
        return; /* it is ringing already */
}

/* -- the thread -- */

static void pause_after_failure(struct journal *j)
{
    struct timespec until;
    clock_gettime(CLOCK_MONOTONIC, &until); /* a wall clock that is set back would make it hours */
    until.tv_sec += RETRY_SECONDS;
    while (!group_is_closing(j->group) && pthread_cond_timedwait(&j->work, &j->lock, &until) == 0)
        ;
}

/* What is to be committed next, when there is something; 0: the journal closes, and nothing is left. */
static size_t take(struct journal *j, struct store_op *ops[LIMIT_COMMIT_OPS])
{
    pthread_mutex_lock(&j->lock);
    if (group_is_failing(j->group))
        pause_after_failure(j);
    while (!group_has_work(j->group) && !group_is_closing(j->group))
        pthread_cond_wait(&j->work, &j->lock);
    size_t count = group_take(j->group, ops);
    pthread_mutex_unlock(&j->lock);
    return count;
}

static void note(struct journal *j, size_t count, pb_err err, uint64_t took_us)
{
    if (err) {
        j->stats.failures++;
        return;
    }
    j->stats.commits++;
    j->stats.ops += count;
    histogram_add(&j->stats.commit_time, took_us);
}

static void settle(struct journal *j, size_t count, pb_err err, const struct pb_why *why, uint64_t took_us)
{
    pthread_mutex_lock(&j->lock);
    bool failed_before = group_is_failing(j->group);
    group_settle(j->group, err);
    note(j, count, err, took_us);
    pthread_mutex_unlock(&j->lock);
    if (err && !failed_before)
        log_why(j->log, LOG_ERROR,
                "the store refuses to commit; new work is refused and the rest tried again", err, why);
    if (!err && failed_before)
        log_line(j->log, LOG_INFO, "the store commits again", NULL);
    ring(j);
}

static void *run(void *arg)
{
    struct journal *j = arg;
    struct store_op *ops[LIMIT_COMMIT_OPS];
    for (size_t count; (count = take(j, ops));) {
        struct pb_why why = {0};
        uint64_t began_us = clock_mono_us();
        pb_err err = store_commit(j->store, ops, count, &why);
        settle(j, count, err, &why, clock_mono_us() - began_us);
    }
    return NULL;
}

/* -- the loop's side -- */

pb_err journal_open(struct store *store, const struct log *log, struct journal **out, struct pb_why *why)
{
    pthread_condattr_t monotonic;
    struct journal *j = calloc(1, sizeof *j);
    if (!j)
        return PB_E_MEMORY;
    *j = (struct journal){.store = store, .log = log};
    if (group_new(&j->group) != PB_OK) {
        free(j);
        return PB_E_MEMORY;
    }
    pthread_mutex_init(&j->lock, NULL);
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_cond_init(&j->work, &monotonic);
    pthread_condattr_destroy(&monotonic);
    j->bell_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    if (j->bell_fd < 0 || pthread_create(&j->thread, NULL, run, j) != 0) {
        pb_err err = pb_fail(why, PB_E_IO, "journal", "cannot start: %s", strerror(errno));
        if (j->bell_fd >= 0)
            close(j->bell_fd);
        group_free(j->group);
        free(j);
        return err;
    }
    *out = j;
    return PB_OK;
}

void journal_close(struct journal *j)
{
    if (!j)
        return;
    pthread_mutex_lock(&j->lock);
    group_close(j->group);
    pthread_cond_broadcast(&j->work);
    pthread_mutex_unlock(&j->lock);
    pthread_join(j->thread, NULL);
    ring(j);
    journal_turn(j);
    close(j->bell_fd);
    group_free(j->group);
    store_close(j->store);
    pthread_mutex_destroy(&j->lock);
    pthread_cond_destroy(&j->work);
    free(j);
}

int journal_fd(const struct journal *j)
{
    return j->bell_fd;
}

void journal_turn(struct journal *j)
{
    uint64_t rings;
    if (read(j->bell_fd, &rings, sizeof rings) < 0)
        return;
    pthread_mutex_lock(&j->lock);
    size_t count = group_finished(j->group); /* what ends meanwhile rings again */
    pthread_mutex_unlock(&j->lock);
    for (; count; count--) {
        struct group_verdict v;
        pthread_mutex_lock(&j->lock);
        bool any = group_give_back(j->group, &v);
        pthread_mutex_unlock(&j->lock);
        if (any)
            v.done(v.arg, v.op, v.err);
    }
}

pb_err journal_submit(struct journal *j, struct store_op *op, journal_done *done, void *arg)
{
    pthread_mutex_lock(&j->lock);
    pb_err err = group_submit(j->group, op, done, arg);
    if (!err)
        pthread_cond_signal(&j->work);
    pthread_mutex_unlock(&j->lock);
    return err;
}

bool journal_is_failing(struct journal *j)
{
    pthread_mutex_lock(&j->lock);
    bool failing = group_is_failing(j->group);
    pthread_mutex_unlock(&j->lock);
    return failing;
}

bool journal_is_idle(struct journal *j)
{
    pthread_mutex_lock(&j->lock);
    bool idle = group_count(j->group) == 0;
    pthread_mutex_unlock(&j->lock);
    return idle;
}

void journal_stats(struct journal *j, struct journal_stats *out)
{
    pthread_mutex_lock(&j->lock);
    *out = j->stats;
    pthread_mutex_unlock(&j->lock);
}

struct store_op *journal_op_new(enum store_op_kind kind)
{
    struct store_op *op = calloc(1, sizeof *op);
    if (op)
        op->kind = kind;
    return op;
}

void journal_op_free(struct store_op *op)
{
    if (!op)
        return;
    job_fini(&op->job);
    integration_fini(&op->change.doc);
    store_batch_fini(&op->batch);
    store_schedule_fini(&op->schedule);
    free(op);
}
