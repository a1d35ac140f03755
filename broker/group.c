#include "broker/group.h"

#include <assert.h>
#include <stdlib.h>

struct entry {
    struct group_verdict verdict;
    struct entry *next;
};

struct queue {
    struct entry *head, **tail;
    size_t count;
};

struct group {
    struct queue waiting, committing, finished;
    struct store_op probe;
    bool probing, closing, failing;
};

/* -- queues -- */

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
    if (!from->head)
        return;
    *to->tail = from->head;
    to->tail = from->tail;
    to->count += from->count;
    queue_init(from);
}

static void queue_fini(struct queue *q)
{
    for (struct entry *e; (e = queue_pop(q));)
        free(e);
}

/* -- commits -- */

size_t group_take(struct group *g, struct store_op *ops[LIMIT_COMMIT_OPS])
{
    size_t count = 0;
    assert(!g->committing.head && !g->probing);
    while (g->waiting.head && count < LIMIT_COMMIT_OPS) {
        ops[count++] = g->waiting.head->verdict.op;
        queue_push(&g->committing, queue_pop(&g->waiting));
    }
    if (count == 0 && group_has_work(g)) {
        ops[count++] = &g->probe;
        g->probing = true;
    }
    return count;
}

static void sort_failed(struct group *g, pb_err err)
{
    struct queue waiting;
    queue_init(&waiting);
    for (struct entry *e; (e = queue_pop(&g->committing));) {
        bool back = e->verdict.op->kind == STORE_APPEND_JOB || g->closing;
        if (back)
            e->verdict.err = g->closing ? PB_E_CLOSED : err;
        queue_push(back ? &g->finished : &waiting, e);
    }
    queue_move(&g->waiting, &waiting);
    queue_move(&waiting, &g->waiting);
}

void group_settle(struct group *g, pb_err err)
{
    assert(g->committing.head || g->probing);
    g->probing = false;
    g->failing = err != PB_OK;
    if (err)
        sort_failed(g, err);
    else
        queue_move(&g->committing, &g->finished);
}

/* -- in and out -- */

pb_err group_submit(struct group *g, struct store_op *op, group_done *done, void *arg)
{
    if (g->closing)
        return PB_E_CLOSED;
    if (op->kind == STORE_APPEND_JOB && g->waiting.count >= LIMIT_JOURNAL_OPS)
        return PB_E_BUSY;
    struct entry *e = calloc(1, sizeof *e);
    if (!e)
        return PB_E_MEMORY;
    e->verdict = (struct group_verdict){.op = op, .done = done, .arg = arg};
    queue_push(&g->waiting, e);
    return PB_OK;
}

bool group_give_back(struct group *g, struct group_verdict *out)
{
    struct entry *e = queue_pop(&g->finished);
    if (!e)
        return false;
    *out = e->verdict;
    free(e);
    return true;
}

void group_close(struct group *g)
{
    g->closing = true;
}

/* -- what is asked -- */

bool group_is_closing(const struct group *g)
{
    return g->closing;
}

bool group_is_failing(const struct group *g)
{
    return g->failing;
}

bool group_has_work(const struct group *g)
{
    return g->waiting.head || (g->failing && !g->closing);
}

size_t group_count(const struct group *g)
{
    return g->waiting.count + g->committing.count + g->finished.count;
}

size_t group_finished(const struct group *g)
{
    return g->finished.count;
}

/* -- life -- */

pb_err group_new(struct group **out)
{
    struct group *g = calloc(1, sizeof *g);
    if (!g)
        return PB_E_MEMORY;
    queue_init(&g->waiting);
    queue_init(&g->committing);
    queue_init(&g->finished);
    g->probe = (struct store_op){
        .kind = STORE_SET_META, .meta_key = "probe", .meta_value = "written after a failure"};
    *out = g;
    return PB_OK;
}

void group_free(struct group *g)
{
    if (!g)
        return;
    queue_fini(&g->waiting);
    queue_fini(&g->committing);
    queue_fini(&g->finished);
    free(g);
}
