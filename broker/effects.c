#include "broker/effects.h"

#include "broker/batches.h"
#include "broker/broker.h"
#include "broker/intake.h"
#include "broker/journal.h"
#include "broker/keeper.h"
#include "broker/links.h"
#include "broker/payloads.h"
#include "broker/verdict.h"

#include <assert.h>
#include <stdlib.h>

/* Events that came while a step's effects were being carried out, in order. */
struct effects {
    struct board_effects now;
    struct board_event *queue;
    size_t head, count, capacity;
    bool running;
    struct histogram waits;
};

/* -- what the journal gives back -- */

static void on_appended(void *arg, struct store_op *op, pb_err err)
{
    struct broker *b = arg;
    struct board_event e = {.kind = BOARD_APPENDED, .job = op->job.id, .err = err ? err : op->outcome};
    if (e.err) {
        e.cargo = op;
    } else {
        payloads_keep(b->payloads, &op->job);
        journal_op_free(op);
    }
    effects_step(b, &e);
}

static void on_committed(void *arg, struct store_op *op, pb_err err)
{
    struct broker *b = arg;
    if (err) { /* the broker stops: the job is still in the store, and the worker still has its outcome */
        journal_op_free(op);
        return;
    }
    if (verdict_fail_instead(op) && journal_submit(b->journal, op, on_committed, b) == PB_OK)
        return;
    struct board_event e = {
        .kind = BOARD_COMMITTED,
        .job = op->job.id,
        .fence = op->change.fence,
        .outcome = verdict_outcome(op),
        .err = op->outcome == PB_E_CONFLICT ? PB_E_CONFLICT : PB_OK,
        .cargo = op,
    };
    effects_step(b, &e);
}

static void on_marked(void *arg, struct store_op *op, pb_err err)
{
    struct broker *b = arg;
    struct board_event e = {.kind = BOARD_MARKED, .job = op->job.id};
    journal_op_free(op);
    if (!err)
        effects_step(b, &e);
}

static void on_noted(void *arg, struct store_op *op, pb_err err)
{
    (void)arg;
    (void)err; /* only a broker that stops: then the caller was not told either */
    journal_op_free(op);
}

static void on_raised(void *arg, struct store_op *op, pb_err err)
{
    struct broker *b = arg;
    struct board_event e = {.kind = BOARD_EPOCH, .epoch = op->epoch};
    journal_op_free(op);
    if (!err)
        effects_step(b, &e);
}

/* -- effects, one by one -- */

static void fx_append(struct broker *b, const struct board_effect *fx)
{
    pb_err err = journal_submit(b->journal, fx->cargo, on_appended, b);
    if (err)
        on_appended(b, fx->cargo, err);
}

static void fx_accept(struct broker *b, const struct board_effect *fx)
{
    struct store_op *op = fx->cargo; /* of a memory job, whose payload nobody else keeps */
    if (op)
        payloads_keep(b->payloads, &op->job);
    journal_op_free(op);
    intake_accepted(b, &fx->job);
}

static void fx_reject(struct broker *b, const struct board_effect *fx)
{
    if (!batches_rejected(b, &fx->job) && !keeper_rejected(b, &fx->job))
        intake_rejected(b, &fx->job, fx->err, fx->cargo);
    journal_op_free(fx->cargo);
}

static void fx_dispatch(struct broker *b, const struct board_effect *fx)
{
    histogram_add(&b->effects->waits, fx->waited_ms * 1000);
    payloads_dispatch(b->payloads, fx);
}

/* Nothing was committed: the job runs again. */
static void say_conflict(struct broker *b, const struct board_effect *fx)
{
    log_line(&b->log, LOG_ERROR, "no memory to commit what a job came to; it is tried again", NULL);
    struct board_event e = {.kind = BOARD_COMMITTED,
                            .job = fx->job,
                            .outcome = fx->outcome,
                            .err = PB_E_CONFLICT,
                            .cargo = fx->cargo};
    effects_step(b, &e);
}

static void fx_commit(struct broker *b, const struct board_effect *fx)
{
    struct store_op *op = verdict_complete(fx->cargo, fx);
    if (op && journal_submit(b->journal, op, on_committed, b) == PB_OK)
        return;
    if (op != fx->cargo)
        journal_op_free(op);
    say_conflict(b, fx);
}

static void mark(struct broker *b, const struct board_effect *fx, bool cancelled, journal_done *done)
{
    struct store_op *op = journal_op_new(STORE_MARK_JOB);
    if (op) {
        op->job.id = fx->job;
        op->job.crashes = fx->crashes;
        op->job.cancel_asked = cancelled;
        if (journal_submit(b->journal, op, done, b) == PB_OK)
            return;
    }
    log_line(&b->log, LOG_ERROR, "no memory to note something of a job", NULL);
    journal_op_free(op);
}

static void fx_mark(struct broker *b, const struct board_effect *fx)
{
    mark(b, fx, false, on_marked);
}

static void fx_note(struct broker *b, const struct board_effect *fx)
{
    mark(b, fx, true, on_noted);
}

static void fx_stale(struct broker *b, const struct board_effect *fx)
{
    links_send_settled(b->links, fx->session, fx->fence);
    journal_op_free(fx->cargo);
}

static void fx_duplicate(struct broker *b, const struct board_effect *fx)
{
    (void)b;
    journal_op_free(fx->cargo);
}

static void fx_settle(struct broker *b, const struct board_effect *fx)
{
    links_send_settled(b->links, fx->session, fx->fence);
}

static void fx_finish(struct broker *b, const struct board_effect *fx)
{
    struct store_op *op = verdict_complete(fx->cargo, fx);
    payloads_forget(b->payloads, &fx->job);
    if (batches_finished(b, fx, op) || keeper_finished(b, fx, op))
        return;
    intake_finished(b, &fx->job, verdict_state(fx->outcome), op ? op->job.result : NULL);
    journal_op_free(op ? op : fx->cargo);
}

static void fx_cancel(struct broker *b, const struct board_effect *fx)
{
    links_send_cancel(b->links, fx->session, fx->fence);
}

static void fx_stop(struct broker *b, const struct board_effect *fx)
{
    links_send_stop(b->links, fx->session, fx->fence);
}

static void fx_ask(struct broker *b, const struct board_effect *fx)
{
    links_ask_list(b->links, fx->session);
}

static void fx_raise(struct broker *b, const struct board_effect *fx)
{
    (void)fx;
    struct store_op *op = journal_op_new(STORE_RAISE_EPOCH);
    if (op && journal_submit(b->journal, op, on_raised, b) == PB_OK)
        return;
    log_line(&b->log, LOG_ERROR, "no memory to raise the epoch; dispatching ends when its fences do", NULL);
    journal_op_free(op);
}

typedef void carry_out(struct broker *b, const struct board_effect *fx);

static carry_out *const table[] = {
    [BOARD_APPEND] = fx_append,     [BOARD_ACCEPT] = fx_accept, [BOARD_REJECT] = fx_reject,
    [BOARD_DISPATCH] = fx_dispatch, [BOARD_COMMIT] = fx_commit, [BOARD_MARK] = fx_mark,
    [BOARD_NOTE] = fx_note,         [BOARD_STALE] = fx_stale,   [BOARD_DUPLICATE] = fx_duplicate,
    [BOARD_SETTLE] = fx_settle,     [BOARD_FINISH] = fx_finish, [BOARD_CANCEL] = fx_cancel,
    [BOARD_STOP] = fx_stop,         [BOARD_ASK] = fx_ask,       [BOARD_RAISE] = fx_raise,
};

/* -- stepping -- */

static pb_err enqueue(struct effects *fx, const struct board_event *event)
{
    if (fx->count == fx->capacity) {
        size_t capacity = fx->capacity ? fx->capacity * 2 : 256;
        struct board_event *queue = realloc(fx->queue, capacity * sizeof *queue);
        if (!queue)
            return PB_E_MEMORY;
        fx->queue = queue;
        fx->capacity = capacity;
    }
    fx->queue[fx->count++] = *event;
    return PB_OK;
}

static void carry_out_all(struct broker *b, struct effects *fx)
{
    for (size_t i = 0; i < fx->now.count; i++)
        table[fx->now.items[i].kind](b, &fx->now.items[i]);
    fx->now.count = 0;
}

static void step(struct broker *b, const struct board_event *event)
{
    static const struct board_event tick = {.kind = BOARD_TICK};
    struct effects *fx = b->effects;
    board_step(b->board, b->now_ms, event, &fx->now);
    carry_out_all(b, fx);
    while (fx->now.more) {
        board_step(b->board, b->now_ms, &tick, &fx->now);
        carry_out_all(b, fx);
    }
}

void effects_step(struct broker *b, const struct board_event *event)
{
    struct effects *fx = b->effects;
    if (b->stopped) {
        journal_op_free(event->cargo);
        return;
    }
    if (fx->running) {
        if (enqueue(fx, event) != PB_OK)
            log_line(&b->log, LOG_ERROR, "out of memory: an event was dropped; leases will recover it", NULL);
        return;
    }
    fx->running = true;
    step(b, event);
    while (fx->head < fx->count) {
        struct board_event next = fx->queue[fx->head++];
        step(b, &next);
    }
    fx->head = fx->count = 0;
    fx->running = false;
}

void effects_reconcile(struct broker *b, uint64_t session, bool (*listed)(void *arg, uint64_t fence),
                       void *arg)
{
    struct effects *fx = b->effects;
    assert(!fx->running);
    board_reconcile(b->board, b->now_ms, session, listed, arg, &fx->now);
    fx->running = true;
    carry_out_all(b, fx);
    fx->running = false;
    effects_step(b, &(struct board_event){.kind = BOARD_TICK});
}

const struct histogram *effects_waits(const struct effects *fx)
{
    return &fx->waits;
}

/* -- life -- */

pb_err effects_open(struct effects **out)
{
    *out = calloc(1, sizeof **out);
    return *out ? PB_OK : PB_E_MEMORY;
}

void effects_close(struct effects *fx)
{
    if (fx)
        free(fx->queue);
    free(fx);
}
