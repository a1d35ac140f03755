#include "worker/events.h"

#include "common/clock.h"
#include "common/event_check.h"
#include "common/event_schema.h"
#include "common/limits.h"

#include <errno.h>
#include <jansson.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#define THREADS 2 /* so that a slow payload does not hold all others up */
#define RESULT_BYTES                                                                                         \
    (LIMIT_EVENT_ANSWER_BYTES + 64 * 1024) /* what buffers may grow to; answers stay below                   \
                                            */

_Static_assert(LIMIT_EVENT_ANSWER_BYTES <= LIMIT_BATCH_BYTES, "a result has to fit");
_Static_assert(LIMIT_EVENT_CHUNK_LINES *EVENT_ANSWER_MIN <= LIMIT_EVENT_ANSWER_BYTES,
               "so has the least of each");

struct events_task {
    struct events *events;
    const struct manifest *manifest;
    char event_type[LIMIT_EVENT_TYPE_CHARS + 1];
    bool lines;
    char *payload;
    size_t len;
    uint64_t until_ms;
    events_done *done;
    void *arg;
    atomic_bool cancelled;
    enum job_outcome outcome;
    struct buf result;
    struct events_task *next;
};

struct queue {
    struct events_task *head, **tail;
};

struct events {
    struct js_cache *cache;
    pthread_t threads[THREADS];
    size_t thread_count;
    size_t bytes; /* of payloads not given back; the loop's */
    int bell_fd;
    pthread_mutex_t lock; /* over what follows */
    pthread_cond_t work;
    struct queue waiting, finished;
    bool closing;
};

static void queue_init(struct queue *q)
{
    q->head = NULL;
    q->tail = &q->head;
}

static void queue_push(struct queue *q, struct events_task *t)
{
    t->next = NULL;
    *q->tail = t;
    q->tail = &t->next;
}

static struct events_task *queue_pop(struct queue *q)
{
    struct events_task *t = q->head;
    if (t && !(q->head = t->next))
        q->tail = &q->head;
    return t;
}

static void task_free(struct events_task *t)
{
    t->events->bytes -= t->len;
    buf_fini(&t->result);
    free(t->payload);
    free(t);
}

/* -- checking, on a thread -- */

static void fail(struct events_task *t, const char *code, const struct pb_why *why)
{
    t->outcome = OUTCOME_FAILED;
    buf_reset(&t->result);
    buf_printf(&t->result, "{\"code\":\"%s\",\"message\":\"", code);
    buf_json_escape(&t->result, why->at, strlen(why->at));
    buf_text(&t->result, why->at[0] ? ": " : "");
    buf_json_escape(&t->result, why->text, strlen(why->text));
    buf_text(&t->result, "\"}");
}

/* Nobody waits for it any more. */
static bool is_over(const struct events_task *t)
{
    return atomic_load(&t->cancelled) || clock_mono_ms() >= t->until_ms;
}

static pb_err check_lines(struct events_task *t, struct event_checker *c, const struct js_schema *schema)
{
    struct event_lines lines = {t->payload, t->len};
    size_t left = event_lines_count(lines), len;
    const char *line;
    pb_err err = left > LIMIT_EVENT_CHUNK_LINES ? PB_E_LIMIT : PB_OK;
    for (; !err && event_lines_next(&lines, &line, &len); left--)
        err = is_over(t)
                  ? PB_E_CLOSED
                  : event_check(c, schema, line, len,
                                event_share(LIMIT_EVENT_ANSWER_BYTES - t->result.len, left), &t->result);
    return err;
}

static pb_err check(struct events_task *t, struct event_checker *c, const struct js_schema *schema)
{
    return t->lines ? check_lines(t, c, schema)
                    : event_check(c, schema, t->payload, t->len, LIMIT_EVENT_ANSWER_BYTES, &t->result);
}

/* Without memory, and where nobody waits, another attempt may do better. */
static void run_task(struct events_task *t, struct event_checker *c)
{
    struct js_cached *cached = NULL;
    struct pb_why why = {0};
    t->outcome = OUTCOME_RETRY;
    if (!c || is_over(t))
        return;
    pb_err err = event_schema_get(t->events->cache, t->manifest, t->event_type, &cached, &why);
    if (err) {
        if (err != PB_E_MEMORY)
            fail(t, "schema_invalid", &why);
        return;
    }
    err = check(t, c, js_cached_schema(cached));
    js_cache_put(t->events->cache, cached);
    if (!err)
        t->outcome = OUTCOME_DONE;
}

static struct events_task *wait_for_work(struct events *e)
{
    struct events_task *t = NULL;
    pthread_mutex_lock(&e->lock);
    while (!e->closing && !(t = queue_pop(&e->waiting)))
        pthread_cond_wait(&e->work, &e->lock);
    pthread_mutex_unlock(&e->lock);
    return t;
}

static void give_back(struct events *e, struct events_task *t)
{
    uint64_t one = 1;
    pthread_mutex_lock(&e->lock);
    queue_push(&e->finished, t);
    pthread_mutex_unlock(&e->lock);
    if (write(e->bell_fd, &one, sizeof one) < 0)
        return; /* it is ringing already */
}

static void *run(void *arg)
{
    struct events *e = arg;
    struct event_checker *c = event_checker_new();
    for (struct events_task *t; (t = wait_for_work(e));) {
        run_task(t, c);
        give_back(e, t);
    }
    event_checker_free(c);
    return NULL;
}

/* -- on the loop -- */

static struct events_task *task_new(struct events *e, const struct wire_event *event)
{
    struct events_task *t = calloc(1, sizeof *t);
    char *payload = t ? malloc(event->payload.len + 1) : NULL;
    if (!payload) {
        free(t);
        return NULL;
    }
    if (event->payload.len)
        memcpy(payload, event->payload.data, event->payload.len);
    t->events = e;
    t->payload = payload;
    t->len = event->payload.len;
    t->lines = event->lines;
    memcpy(t->event_type, event->event_type.data, event->event_type.len);
    buf_init(&t->result, RESULT_BYTES);
    e->bytes += t->len;
    return t;
}

pb_err events_start(struct events *e, const struct manifest *m, const struct wire_attempt *attempt,
                    events_done *done, void *arg, struct events_task **out)
{
    struct wire_event event;
    pb_err err = wire_unpack_event(attempt->payload, &event);
    if (err)
        return err;
    if (!event_find(m, event.event_type.data, event.event_type.len))
        return PB_E_NOT_FOUND;
    if (event.payload.len > LIMIT_EVENT_WAITING - e->bytes)
        return PB_E_BUSY;
    struct events_task *t = task_new(e, &event);
    if (!t)
        return PB_E_MEMORY;
    t->manifest = m;
    t->until_ms = clock_mono_ms() + attempt->deadline_ms;
    t->done = done;
    t->arg = arg;
    *out = t;
    pthread_mutex_lock(&e->lock);
    queue_push(&e->waiting, t);
    pthread_cond_signal(&e->work);
    pthread_mutex_unlock(&e->lock);
    return PB_OK;
}

void events_cancel(struct events_task *task)
{
    atomic_store(&task->cancelled, true); /* its thread gives it back soon */
}

static void end_task(struct events_task *t)
{
    bool retry = t->outcome == OUTCOME_RETRY || t->result.failed;
    struct events_outcome o = {.outcome = retry ? OUTCOME_RETRY : t->outcome};
    if (!retry) {
        o.result = buf_peek(&t->result);
        o.result_len = t->result.len;
    }
    if (!atomic_load(&t->cancelled))
        t->done(t->arg, &o);
    task_free(t);
}

int events_fd(const struct events *e)
{
    return e->bell_fd;
}

void events_turn(struct events *e)
{
    uint64_t rings;
    if (read(e->bell_fd, &rings, sizeof rings) < 0)
        return;
    pthread_mutex_lock(&e->lock);
    struct queue finished = {e->finished.head, NULL};
    queue_init(&e->finished);
    pthread_mutex_unlock(&e->lock);
    for (struct events_task *t = finished.head, *next; t; t = next) {
        next = t->next;
        end_task(t);
    }
}

/* -- life -- */

pb_err events_open(struct events **out)
{
    struct events *e = calloc(1, sizeof *e);
    if (!e)
        return PB_E_MEMORY;
    pthread_mutex_init(&e->lock, NULL);
    pthread_cond_init(&e->work, NULL);
    queue_init(&e->waiting);
    queue_init(&e->finished);
    e->bell_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    e->cache = js_cache_new(LIMIT_EVENT_SCHEMAS, LIMIT_EVENT_SCHEMA_BYTES);
    bool ok = e->bell_fd >= 0 && e->cache;
    while (ok && e->thread_count < THREADS) {
        ok = pthread_create(&e->threads[e->thread_count], NULL, run, e) == 0;
        e->thread_count += ok;
    }
    if (ok)
        *out = e;
    else
        events_close(e);
    return ok ? PB_OK : PB_E_MEMORY;
}

static void free_all(struct queue *q)
{
    for (struct events_task *t; (t = queue_pop(q));)
        task_free(t);
}

void events_close(struct events *e)
{
    if (!e)
        return;
    pthread_mutex_lock(&e->lock);
    e->closing = true;
    pthread_cond_broadcast(&e->work);
    for (struct events_task *t = e->waiting.head; t; t = t->next)
        atomic_store(&t->cancelled, true);
    pthread_mutex_unlock(&e->lock);
    for (size_t i = 0; i < e->thread_count; i++)
        pthread_join(e->threads[i], NULL);
    free_all(&e->waiting);
    free_all(&e->finished);
    js_cache_free(e->cache);
    if (e->bell_fd >= 0)
        close(e->bell_fd);
    pthread_mutex_destroy(&e->lock);
    pthread_cond_destroy(&e->work);
    free(e);
}
