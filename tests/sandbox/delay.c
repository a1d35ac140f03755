#include "delay.h"

#include <poll.h>
#include <pthread.h>
#include <stdlib.h>
#include <time.h>

enum { WAITING_MAX = 65536, LOOK_EVERY_MS = 500 };

struct delay_clock {
    pthread_mutex_t
        lock; /* guards all below; held while libmicrohttpd is called, never the other way round */
    pthread_cond_t changed;
    pthread_t thread;
    bool stopping;
    uint64_t look_ms; /* when to look for clients that have gone */
    size_t count;
    struct delay *heap[WAITING_MAX]; /* the one due first on top */
    struct pollfd watch[WAITING_MAX];
};

static uint64_t now_ms(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

static void swap(struct delay_clock *c, size_t a, size_t b)
{
    struct delay *d = c->heap[a];
    c->heap[a] = c->heap[b];
    c->heap[b] = d;
}

static bool sooner(const struct delay_clock *c, size_t a, size_t b)
{
    return c->heap[a]->due_ms < c->heap[b]->due_ms;
}

static void sift_up(struct delay_clock *c, size_t at)
{
    for (; at && sooner(c, at, (at - 1) / 2); at = (at - 1) / 2)
        swap(c, at, (at - 1) / 2);
}

static void sift_down(struct delay_clock *c, size_t at)
{
    for (;;) {
        size_t first = at, left = 2 * at + 1;
        if (left < c->count && sooner(c, left, first))
            first = left;
        if (left + 1 < c->count && sooner(c, left + 1, first))
            first = left + 1;
        if (first == at)
            return;
        swap(c, at, first);
        at = first;
    }
}

static void pop(struct delay_clock *c)
{
    c->heap[0] = c->heap[--c->count];
    sift_down(c, 0);
}

static void resume_due(struct delay_clock *c, uint64_t now)
{
    while (c->count && c->heap[0]->due_ms <= now) {
        struct delay *d = c->heap[0];
        pop(c);
        MHD_resume_connection(d->connection);
    }
}

static bool watch_any_gone(struct delay_clock *c)
{
    for (size_t i = 0; i < c->count; i++)
        c->watch[i] = (struct pollfd){.fd = c->heap[i]->fd, .events = POLLRDHUP};
    return poll(c->watch, c->count, 0) > 0;
}

static void resume_gone(struct delay_clock *c)
{
    if (!c->count || !watch_any_gone(c))
        return;
    size_t kept = 0;
    for (size_t i = 0; i < c->count; i++) {
        struct delay *d = c->heap[i];
        if (!c->watch[i].revents) {
            c->heap[kept++] = d;
            continue;
        }
        d->gone = true;
        MHD_resume_connection(d->connection);
    }
    c->count = kept;
    for (size_t i = kept / 2; i-- > 0;)
        sift_down(c, i);
}

static void resume_all(struct delay_clock *c)
{
    for (size_t i = 0; i < c->count; i++) {
        c->heap[i]->gone = true;
        MHD_resume_connection(c->heap[i]->connection);
    }
    c->count = 0;
}

static void sleep_until_next(struct delay_clock *c)
{
    if (!c->count) {
        pthread_cond_wait(&c->changed, &c->lock);
        return;
    }
    uint64_t until = c->heap[0]->due_ms < c->look_ms ? c->heap[0]->due_ms : c->look_ms;
    struct timespec t = {.tv_sec = (time_t)(until / 1000), .tv_nsec = (long)(until % 1000) * 1000000};
    pthread_cond_timedwait(&c->changed, &c->lock, &t);
}

static void *run(void *argument)
{
    struct delay_clock *c = argument;
    pthread_mutex_lock(&c->lock);
    while (!c->stopping) {
        uint64_t now = now_ms();
        resume_due(c, now);
        if (now >= c->look_ms) {
            resume_gone(c);
            c->look_ms = now + LOOK_EVERY_MS;
        }
        sleep_until_next(c);
    }
    resume_all(c);
    pthread_mutex_unlock(&c->lock);
    return NULL;
}

bool delay_suspend(struct delay_clock *c, struct delay *d, struct MHD_Connection *connection, int fd,
                   uint64_t wait_ms)
{
    uint64_t now = now_ms();
    *d = (struct delay){.connection = connection, .fd = fd};
    d->due_ms = wait_ms < UINT64_MAX - now ? now + wait_ms : UINT64_MAX;
    pthread_mutex_lock(&c->lock);
    bool taken = !c->stopping && c->count < WAITING_MAX;
    if (taken) {
        MHD_suspend_connection(connection);
        c->heap[c->count] = d;
        sift_up(c, c->count++);
        if (c->heap[0] == d)
            pthread_cond_signal(&c->changed);
    }
    pthread_mutex_unlock(&c->lock);
    return taken;
}

struct delay_clock *delay_open(void)
{
    struct delay_clock *c = calloc(1, sizeof *c);
    if (!c)
        return NULL;
    pthread_condattr_t attributes;
    pthread_condattr_init(&attributes);
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    pthread_mutex_init(&c->lock, NULL);
    pthread_cond_init(&c->changed, &attributes);
    pthread_condattr_destroy(&attributes);
    if (pthread_create(&c->thread, NULL, run, c)) {
        pthread_cond_destroy(&c->changed);
        pthread_mutex_destroy(&c->lock);
        free(c);
        return NULL;
    }
    return c;
}

void delay_stop(struct delay_clock *c)
{
    pthread_mutex_lock(&c->lock);
    c->stopping = true;
    pthread_cond_signal(&c->changed);
    pthread_mutex_unlock(&c->lock);
    pthread_join(c->thread, NULL);
}

void delay_close(struct delay_clock *c)
{
    if (!c)
        return;
    pthread_cond_destroy(&c->changed);
    pthread_mutex_destroy(&c->lock);
    free(c);
}
