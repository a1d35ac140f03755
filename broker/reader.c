#include "broker/reader.h"

#include "common/limits.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

struct read_task {
    reader_read *read;
    reader_done *done;
    void *arg;
    pb_err err;
    struct pb_why why;
    struct read_task *next;
};

struct queue {
    struct read_task *head, **tail;
};

struct reader {
    struct store *store;
    pthread_t thread;
    pthread_mutex_t lock; /* over what follows */
    pthread_cond_t work;
    struct queue waiting, finished;
    size_t count; /* in both queues and in the thread's hands */
    bool closing;
    int bell_fd;
};

static void queue_init(struct queue *q)
{
    q->head = NULL;
    q->tail = &q->head;
}

static void queue_push(struct queue *q, struct read_task *t)
{
    t->next = NULL;
    *q->tail = t;
    q->tail = &t->next;
}

static struct read_task *queue_take_all(struct queue *q)
{
    struct read_task *all = q->head;
    queue_init(q);
    return all;
}

static void ring(const struct reader *r)
{
    uint64_t one = 1;
    if (write(r->bell_fd, &one, sizeof one) < 0)
        return; /* it is ringing already */
}

/* What waits, or NULL when the reader closes. */
static struct read_task *wait_for_work(struct reader *r)
{
    pthread_mutex_lock(&r->lock);
    while (!r->waiting.head && !r->closing)
        pthread_cond_wait(&r->work, &r->lock);
    struct read_task *all = r->closing ? NULL : queue_take_all(&r->waiting);
    pthread_mutex_unlock(&r->lock);
    return all;
}

static void give_back(struct reader *r, struct read_task *t)
{
    pthread_mutex_lock(&r->lock);
    queue_push(&r->finished, t);
    pthread_mutex_unlock(&r->lock);
    ring(r);
}

static void *run(void *arg)
{
    struct reader *r = arg;
    for (struct read_task *all; (all = wait_for_work(r));)
        while (all) {
            struct read_task *t = all;
            all = t->next;
            t->err = t->read(r->store, t->arg, &t->why);
            give_back(r, t);
        }
    return NULL;
}

pb_err reader_open(const char *url, struct reader **out, struct pb_why *why)
{
    struct reader *r = calloc(1, sizeof *r);
    if (!r)
        return PB_E_MEMORY;
    pb_err err = store_open(url, true, &r->store, why);
    if (err) {
        free(r);
        return err;
    }
    pthread_mutex_init(&r->lock, NULL);
    pthread_cond_init(&r->work, NULL);
    queue_init(&r->waiting);
    queue_init(&r->finished);
    r->bell_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    if (r->bell_fd < 0 || pthread_create(&r->thread, NULL, run, r) != 0) {
        err = pb_fail(why, PB_E_IO, "reader", "cannot start: %s", strerror(errno));
        if (r->bell_fd >= 0)
            close(r->bell_fd);
        store_close(r->store);
        free(r);
        return err;
    }
    *out = r;
    return PB_OK;
}

static void answer(struct reader *r, struct read_task *all, bool closed)
{
    while (all) {
        struct read_task *t = all;
        all = t->next;
        struct pb_why closing = {.text = "the broker is stopping"};
        t->done(t->arg, closed ? PB_E_CLOSED : t->err, closed ? &closing : &t->why);
        free(t);
        pthread_mutex_lock(&r->lock);
        r->count--;
        pthread_mutex_unlock(&r->lock);
    }
}

void reader_close(struct reader *r)
{
    if (!r)
        return;
    pthread_mutex_lock(&r->lock);
    r->closing = true;
    pthread_cond_signal(&r->work);
    pthread_mutex_unlock(&r->lock);
    pthread_join(r->thread, NULL);
    answer(r, queue_take_all(&r->finished), false);
    answer(r, queue_take_all(&r->waiting), true);
    close(r->bell_fd);
    store_close(r->store);
    pthread_mutex_destroy(&r->lock);
    pthread_cond_destroy(&r->work);
    free(r);
}

int reader_fd(const struct reader *r)
{
    return r->bell_fd;
}

void reader_turn(struct reader *r)
{
    uint64_t rings;
    if (read(r->bell_fd, &rings, sizeof rings) < 0)
        return;
    pthread_mutex_lock(&r->lock);
    struct read_task *all = queue_take_all(&r->finished);
    pthread_mutex_unlock(&r->lock);
    answer(r, all, false);
}

pb_err reader_submit(struct reader *r, reader_read *read, reader_done *done, void *arg)
{
    struct read_task *t = calloc(1, sizeof *t);
    if (!t)
        return PB_E_MEMORY;
    *t = (struct read_task){.read = read, .done = done, .arg = arg};
    pthread_mutex_lock(&r->lock);
    bool full = r->count >= LIMIT_READS;
    if (!full) {
        r->count++;
        queue_push(&r->waiting, t);
        pthread_cond_signal(&r->work);
    }
    pthread_mutex_unlock(&r->lock);
    if (full)
        free(t);
    return full ? PB_E_BUSY : PB_OK;
}
