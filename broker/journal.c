#include "broker/journal.h"

#include "common/limits.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#define RETRY_SECONDS 1

struct entry {
    struct store_op *op;
    journal_done *done;
    void *arg;
    pb_err err;
    struct entry *next;
};

struct queue {
    struct entry *head, **tail;
    size_t count;
};

struct journal {
    struct store *store;
    const struct log *log;
    pthread_t thread;
    pthread_mutex_t lock; /* over what follows */
    pthread_cond_t work;
    struct queue waiting, finished;
    size_t count; /* of operations submitted and not given back */
    bool closing, failing;
    int bell_fd;
};

static void queue_init(struct queue *q)
{
    *q = (struct queue){.tail = &q->head};
}

static void queue_push(struct queue *q, struct entry *e)
{
    e->next = NULL;
    *q->tail = e;
    q->tail = &e->next;
    q->count++;
}

static struct entry *queue_pop(struct queue *q)
{
    struct entry *e = q->head;
    if (!e)
        return NULL;
    q->head = e->next;
    q->count--;
    if (!q->head)
        q->tail = &q->head;
    return e;
}

static void queue_move(struct queue *from, struct queue *to)
{
    for (struct entry *e; (e = queue_pop(from));)
        queue_push(to, e);
}

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
    while (!j->closing && pthread_cond_timedwait(&j->work, &j->lock, &until) == 0)
        ;
}

/* Takes up to LIMIT_COMMIT_OPS of what waits, or nothing when it is time to see whether a store that failed
 * is well again; false when there is nothing left and the journal closes. */
static bool take_group(struct journal *j, struct queue *group)
{
    pthread_mutex_lock(&j->lock);
    if (j->failing)
        pause_after_failure(j);
    while (!j->waiting.head && !j->closing && !j->failing)
        pthread_cond_wait(&j->work, &j->lock);
    while (j->waiting.head && group->count < LIMIT_COMMIT_OPS)
        queue_push(group, queue_pop(&j->waiting));
    bool over = j->closing && !group->head;
    pthread_mutex_unlock(&j->lock);
    return !over;
}

static pb_err commit_group(struct journal *j, const struct queue *group)
{
    /* A broker that is not ready gets no work, so only a write of its own shows that it is again. */
    struct store_op *ops[LIMIT_COMMIT_OPS],
        probe = {.kind = STORE_SET_META, .meta_key = "probe", .meta_value = "written after a failure"};
    struct pb_why why = {0};
    size_t count = 0;
    for (struct entry *e = group->head; e; e = e->next)
        ops[count++] = e->op;
    if (count == 0)
        ops[count++] = &probe;
    pb_err err = store_commit(j->store, ops, count, &why);
    if (err && !j->failing)
        log_why(j->log, LOG_ERROR,
                "the store refuses to commit; new work is refused and the rest tried again", err, &why);
    if (!err && j->failing)
        log_line(j->log, LOG_INFO, "the store commits again", NULL);
    return err;
}

/* Of a group that failed: appends go back to their submitters, the rest to the head of the queue. */
static void sort_failed(struct journal *j, struct queue *group, pb_err err)
{
    struct queue keep;
    queue_init(&keep);
    for (struct entry *e; (e = queue_pop(group));) {
        bool back = e->op->kind == STORE_APPEND_JOB || j->closing;
        if (back) /* what is kept has failed only once it is given back */
            e->err = j->closing ? PB_E_CLOSED : err;
        queue_push(back ? &j->finished : &keep, e);
    }
    queue_move(&j->waiting, &keep);
    j->waiting = keep;
    if (!keep.head)
        queue_init(&j->waiting);
}

static void settle_group(struct journal *j, struct queue *group, pb_err err)
{
    pthread_mutex_lock(&j->lock);
    j->failing = err != PB_OK;
    if (err)
        sort_failed(j, group, err);
    else
        queue_move(group, &j->finished);
    pthread_mutex_unlock(&j->lock);
    ring(j);
}

static void *run(void *arg)
{
    struct journal *j = arg;
    for (;;) {
        struct queue group;
        queue_init(&group);
        if (!take_group(j, &group))
            return NULL;
        settle_group(j, &group, commit_group(j, &group));
    }
}

/* -- the loop's side -- */

pb_err journal_open(struct store *store, const struct log *log, struct journal **out, struct pb_why *why)
{
    pthread_condattr_t monotonic;
    struct journal *j = calloc(1, sizeof *j);
    if (!j)
        return PB_E_MEMORY;
    *j = (struct journal){.store = store, .log = log};
    pthread_mutex_init(&j->lock, NULL);
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_cond_init(&j->work, &monotonic);
    pthread_condattr_destroy(&monotonic);
    queue_init(&j->waiting);
    queue_init(&j->finished);
    j->bell_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    if (j->bell_fd < 0 || pthread_create(&j->thread, NULL, run, j) != 0) {
        pb_err err = pb_fail(why, PB_E_IO, "journal", "cannot start: %s", strerror(errno));
        if (j->bell_fd >= 0)
            close(j->bell_fd);
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
    j->closing = true;
    pthread_cond_broadcast(&j->work);
    pthread_mutex_unlock(&j->lock);
    pthread_join(j->thread, NULL);
    ring(j);
    journal_turn(j);
    close(j->bell_fd);
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
    struct queue done;
    queue_init(&done);
    pthread_mutex_lock(&j->lock);
    queue_move(&j->finished, &done);
    pthread_mutex_unlock(&j->lock);
    for (struct entry *e; (e = queue_pop(&done)); free(e)) {
        pthread_mutex_lock(&j->lock);
        j->count--;
        pthread_mutex_unlock(&j->lock);
        e->done(e->arg, e->op, e->err);
    }
}

pb_err journal_submit(struct journal *j, struct store_op *op, journal_done *done, void *arg)
{
    struct entry *e = calloc(1, sizeof *e);
    if (!e)
        return PB_E_MEMORY;
    *e = (struct entry){.op = op, .done = done, .arg = arg};
    pthread_mutex_lock(&j->lock);
    bool full = op->kind == STORE_APPEND_JOB && j->waiting.count >= LIMIT_JOURNAL_OPS;
    if (!full) {
        queue_push(&j->waiting, e);
        j->count++;
        pthread_cond_signal(&j->work);
    }
    pthread_mutex_unlock(&j->lock);
    if (full)
        free(e);
    return full ? PB_E_BUSY : PB_OK;
}

bool journal_is_failing(struct journal *j)
{
    pthread_mutex_lock(&j->lock);
    bool failing = j->failing;
    pthread_mutex_unlock(&j->lock);
    return failing;
}

bool journal_is_idle(struct journal *j)
{
    pthread_mutex_lock(&j->lock);
    bool idle = j->count == 0;
    pthread_mutex_unlock(&j->lock);
    return idle;
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
    free(op);
}
