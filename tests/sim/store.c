#include "tests/sim/world.h"

#include <string.h>

struct op *op_new(struct world *w, enum op_kind kind, unsigned job)
{
    for (size_t i = 0; i < OPS; i++)
        if (w->ops[i].stage == OP_FREE) {
            w->ops[i] = (struct op){.kind = kind, .stage = OP_GIVEN, .job = job};
            return &w->ops[i];
        }
    broken(w, "more operations than there can be: they are not given back");
    return &w->ops[0];
}

void op_submit(struct world *w, struct op *op)
{
    op->stage = OP_PENDING;
    w->queue[w->queued++] = op;
}

/* -- a commit -- */

static void apply_append(struct world *w, struct op *op)
{
    struct stored_job *j = &w->jobs[op->job];
    op->verdict = j->durable ? PB_E_EXISTS : PB_OK;
    if (j->durable)
        return;
    j->durable = true;
    j->appended = ++w->order;
}

/* Document and outcome in one transaction, under the fence. */
static void apply_finish(struct world *w, struct op *op)
{
    struct stored_job *j = &w->jobs[op->job];
    struct stored_doc *d = &w->docs[op->integration];
    bool changed = op->integration && !w->calm && one_in(w, 80); /* its credentials: another generation */
    if (op->outcome == OUTCOME_DONE && op->integration &&
        (d->fence > op->fence || (changed && !j->finished))) {
        op->verdict = PB_E_CONFLICT;
        return;
    }
    if (j->finished) {
        op->verdict = j->outcome == op->outcome ? PB_OK : PB_E_CONFLICT;
        return;
    }
    if (op->outcome == OUTCOME_DONE && op->integration && d->fence < op->fence) {
        d->fence = op->fence;
        d->writes++;
    }
    j->finished = true;
    j->finishes++;
    j->outcome = op->outcome;
    j->ended = ++w->order;
    op->verdict = PB_OK;
}

static void apply_retry(struct world *w, struct op *op)
{
    struct stored_job *j = &w->jobs[op->job];
    op->verdict = j->finished ? PB_E_CONFLICT : PB_OK;
    if (!j->finished)
        j->attempts = op->attempts;
}

static void apply(struct world *w, struct op *op)
{
    static void (*const table[])(struct world *, struct op *) = {apply_append, apply_finish, apply_retry};
    table[op->kind](w, op);
    op->stage = OP_DONE;
}

/* While the store is out, appends come back with an error and everything else waits. */
static void refuse_appends(struct world *w)
{
    for (size_t i = 0; i < w->queued; i++)
        if (w->queue[i]->stage == OP_PENDING && w->queue[i]->kind == OP_APPEND) {
            w->queue[i]->verdict = PB_E_STORE;
            w->queue[i]->stage = OP_DONE;
        }
}

void store_turn(struct world *w)
{
    if (!w->calm && one_in(w, 300))
        w->store_back_ms = w->now_ms + 1 + chance(w, 3000);
    if (w->now_ms < w->store_back_ms) {
        refuse_appends(w);
        return;
    }
    if (one_in(w, 2))
        return; /* still syncing */
    for (size_t i = 0; i < w->queued; i++)
        if (w->queue[i]->stage == OP_PENDING)
            apply(w, w->queue[i]);
}

/* -- what the journal gives back -- */

static void deliver(struct world *w, struct op *op)
{
    struct board_event e = {.job = job_id(op->job), .fence = op->fence, .cargo = op};
    if (op->kind == OP_APPEND) {
        e.kind = BOARD_APPENDED;
        e.err = op->verdict;
        e.cargo = e.err ? op : NULL;
        op->stage = e.err ? OP_GIVEN : OP_FREE;
    } else {
        e.kind = BOARD_COMMITTED;
        e.outcome = op->kind == OP_RETRY ? OUTCOME_RETRY : op->outcome;
        e.err = op->verdict;
        op->stage = OP_GIVEN;
    }
    w->refused = op->kind != OP_APPEND && op->verdict == PB_E_CONFLICT;
    broker_step(w, &e);
    w->refused = false;
}

static struct op *take_done(struct world *w)
{
    for (size_t i = 0; i < w->queued; i++)
        if (w->queue[i]->stage == OP_DONE) {
            struct op *op = w->queue[i];
            memmove(&w->queue[i], &w->queue[i + 1], (--w->queued - i) * sizeof *w->queue);
            return op;
        }
    return NULL;
}

/* In the order in which they were committed. */
void store_deliver(struct world *w)
{
    struct op *op;
    while (!w->failure[0] && !one_in(w, 8) && (op = take_done(w)))
        deliver(w, op);
}

void store_crash(struct world *w)
{
    memset(w->ops, 0, sizeof w->ops);
    w->queued = 0;
}
