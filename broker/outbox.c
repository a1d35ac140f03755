#include "broker/outbox.h"

#include "common/limits.h"

#include <stdlib.h>
#include <string.h>

#define ENTRY_BYTES 128 /* of an attempt, beside its texts and payload */

/* -- attempts -- */

void outgoing_init(struct outgoing_queue *q)
{
    *q = (struct outgoing_queue){.tail = &q->head};
}

static void push(struct outgoing_queue *q, struct outgoing *one)
{
    one->next = NULL;
    *q->tail = one;
    q->tail = &one->next;
    q->count++;
}

struct outgoing *outgoing_pop(struct outgoing_queue *q)
{
    struct outgoing *one = q->head;
    if (!one)
        return NULL;
    q->head = one->next;
    q->count--;
    if (!q->head)
        q->tail = &q->head;
    return one;
}

void outgoing_move(struct outgoing_queue *from, struct outgoing_queue *to)
{
    if (!from->head)
        return;
    *to->tail = from->head;
    to->tail = from->tail;
    to->count += from->count;
    outgoing_init(from);
}

void outgoing_free(struct outgoing *one)
{
    free(one->bytes);
    free(one);
}

static size_t attempt_bytes(const struct wire_attempt *a)
{
    return a->tenant.len + a->type.len + a->payload.len;
}

static const void *copy_part(uint8_t **at, const void *from, size_t len)
{
    uint8_t *to = *at;
    if (len)
        memcpy(to, from, len);
    *at += len;
    return to;
}

void outbox_attempt(struct outbox *o, uint64_t session, const struct wire_attempt *a)
{
    struct outgoing *one = calloc(1, sizeof *one);
    uint8_t *at = one ? malloc(attempt_bytes(a) + 1) : NULL;
    if (!at) {
        free(one);
        return;
    }
    *one = (struct outgoing){.attempt = *a, .bytes = at, .session = session};
    one->attempt.tenant.data = copy_part(&at, a->tenant.data, a->tenant.len);
    one->attempt.type.data = copy_part(&at, a->type.data, a->type.len);
    one->attempt.payload.data = copy_part(&at, a->payload.data, a->payload.len);
    push(&o->attempts, one);
}

/* -- fences -- */

void outbox_fence(struct outbox *o, enum outbox_list list, uint64_t fence)
{
    size_t count = o->fences[list].count;
    if (count == o->fences[list].capacity) {
        size_t capacity = count ? count * 2 : 64;
        uint64_t *items = realloc(o->fences[list].items, capacity * sizeof *items);
        if (!items)
            return;
        o->fences[list].items = items;
        o->fences[list].capacity = capacity;
    }
    o->fences[list].items[o->fences[list].count++] = fence;
}

/* As many as fit, from the end: their order means nothing. */
static uint64_t *some_fences(const struct outbox *o, enum outbox_list list, size_t *count)
{
    size_t all = o->fences[list].count;
    *count = all < LIMIT_BATCH_ENTRIES ? all : LIMIT_BATCH_ENTRIES;
    return *count ? o->fences[list].items + (all - *count) : NULL;
}

/* -- messages -- */

bool outbox_has_news(const struct outbox *o)
{
    bool fences = false;
    for (int i = 0; i < OUTBOX_LISTS; i++)
        fences = fences || o->fences[i].count;
    return fences || o->attempts.count || o->ask_list || o->ask_drain || o->tell_sent;
}

static size_t some_attempts(const struct outbox *o, struct wire_attempt out[LIMIT_BATCH_ENTRIES])
{
    size_t count = 0, bytes = 0;
    for (struct outgoing *one = o->attempts.head; one && count < LIMIT_BATCH_ENTRIES; one = one->next) {
        bytes += attempt_bytes(&one->attempt) + ENTRY_BYTES;
        if (count && bytes > LIMIT_BATCH_BYTES)
            break;
        out[count++] = one->attempt;
    }
    return count;
}

static void drop(struct outbox *o, const struct wire_jobs *said)
{
    for (size_t i = 0; i < said->attempt_count; i++)
        outgoing_free(outgoing_pop(&o->attempts));
    o->sent += said->attempt_count;
    o->fences[OUTBOX_SETTLED].count -= said->settled_count;
    o->fences[OUTBOX_CANCEL].count -= said->cancel_count;
    o->fences[OUTBOX_STOP].count -= said->stop_count;
    o->ask_list = o->ask_drain = o->tell_sent = false;
}

pb_err outbox_pack(struct outbox *o, pb_err (*then)(void *arg, const struct buf *plain), void *arg)
{
    struct wire_attempt attempts[LIMIT_BATCH_ENTRIES];
    struct wire_jobs jobs = {
        .attempts = attempts,
        .attempt_count = some_attempts(o, attempts),
        .list = o->ask_list,
        .drain = o->ask_drain,
        .has_sent = o->tell_sent,
        .sent = o->sent,
    };
    struct buf plain;
    jobs.settled = some_fences(o, OUTBOX_SETTLED, &jobs.settled_count);
    if (jobs.attempt_count == o->attempts.count) {
        jobs.cancel = some_fences(o, OUTBOX_CANCEL, &jobs.cancel_count);
        jobs.stop = some_fences(o, OUTBOX_STOP, &jobs.stop_count);
    }
    buf_init(&plain, LIMIT_MESSAGE_BYTES);
    pb_err err = wire_pack_jobs(&jobs, &plain);
    if (!err)
        err = then(arg, &plain);
    if (!err)
        drop(o, &jobs);
    buf_fini(&plain);
    return err;
}

/* -- life -- */

void outbox_init(struct outbox *o)
{
    *o = (struct outbox){0};
    outgoing_init(&o->attempts);
}

void outbox_fini(struct outbox *o)
{
    for (struct outgoing *one; (one = outgoing_pop(&o->attempts));)
        outgoing_free(one);
    for (int i = 0; i < OUTBOX_LISTS; i++)
        free(o->fences[i].items);
}
