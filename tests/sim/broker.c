/* The broker around the board: as broker/effects.c, with the world's store and network. */
#include "tests/sim/world.h"

#include <assert.h>

/* -- effects -- */

static void give_back(const struct board_effect *fx)
{
    if (fx->cargo)
        ((struct op *)fx->cargo)->used = false;
}

static void fx_append(struct world *w, const struct board_effect *fx)
{
    op_submit(w, fx->cargo);
}

static void fx_accept(struct world *w, const struct board_effect *fx)
{
    give_back(fx);
    check_accept(w, number_of(&fx->job));
}

static void fx_reject(struct world *w, const struct board_effect *fx)
{
    check_refusal(w, number_of(&fx->job), fx->err);
    give_back(fx);
}

/* At times its payload cannot be read. */
static void fx_dispatch(struct world *w, const struct board_effect *fx)
{
    struct message m = {.kind = M_ATTEMPT, .job = number_of(&fx->job), .fence = fx->fence};
    check_dispatch(w, fx);
    if (!w->calm && one_in(w, 100)) {
        w->returned[w->returned_count++] = (struct board_event){.kind = BOARD_OUTCOME,
                                                                .session = fx->session,
                                                                .job = fx->job,
                                                                .fence = fx->fence,
                                                                .outcome = OUTCOME_RETURNED,
                                                                .retry_after_ms = 100,
                                                                .undelivered = true};
        return;
    }
    send_to_worker(w, fx->session, &m);
}

/* Of a worker's outcome, or the board's own verdict. */
static void fx_commit(struct world *w, const struct board_effect *fx)
{
    struct op *op = fx->cargo ? fx->cargo : op_new(w, OP_FINISH, number_of(&fx->job));
    check_commit(w, fx);
    op->kind = fx->outcome == OUTCOME_RETRY ? OP_RETRY : OP_FINISH;
    op->outcome = fx->outcome;
    op->attempts = fx->attempts;
    op->crashes = fx->crashes;
    op->not_before_ms = w->now_ms + fx->not_before_in_ms;
    op_submit(w, op);
}

static void mark(struct world *w, const struct board_effect *fx, bool awaited)
{
    struct op *op = op_new(w, OP_MARK, number_of(&fx->job));
    op->crashes = fx->crashes;
    op->awaited = awaited;
    op->cancel_asked = !awaited;
    op_submit(w, op);
}

static void fx_mark(struct world *w, const struct board_effect *fx)
{
    mark(w, fx, true);
}

static void fx_note(struct world *w, const struct board_effect *fx)
{
    mark(w, fx, false);
}

static void send(struct world *w, const struct board_effect *fx, enum message_kind kind)
{
    struct message m = {.kind = kind, .fence = fx->fence};
    send_to_worker(w, fx->session, &m);
}

static void fx_stale(struct world *w, const struct board_effect *fx)
{
    send(w, fx, M_SETTLED);
    give_back(fx);
}

static void fx_duplicate(struct world *w, const struct board_effect *fx)
{
    (void)w;
    give_back(fx);
}

static void fx_settle(struct world *w, const struct board_effect *fx)
{
    check_settle(w, fx);
    send(w, fx, M_SETTLED);
}

static void fx_finish(struct world *w, const struct board_effect *fx)
{
    check_finish(w, fx);
    give_back(fx);
}

static void fx_cancel(struct world *w, const struct board_effect *fx)
{
    check_dropped(w, fx);
    send(w, fx, M_CANCEL);
}

static void fx_stop(struct world *w, const struct board_effect *fx)
{
    send(w, fx, M_STOP);
}

static void fx_ask(struct world *w, const struct board_effect *fx)
{
    send(w, fx, M_ASK);
}

static void fx_raise(struct world *w, const struct board_effect *fx)
{
    (void)fx;
    op_submit(w, op_new(w, OP_EPOCH, 0));
}

static void (*const effects[])(struct world *, const struct board_effect *) = {
    [BOARD_APPEND] = fx_append,     [BOARD_ACCEPT] = fx_accept, [BOARD_REJECT] = fx_reject,
    [BOARD_DISPATCH] = fx_dispatch, [BOARD_COMMIT] = fx_commit, [BOARD_MARK] = fx_mark,
    [BOARD_NOTE] = fx_note,         [BOARD_STALE] = fx_stale,   [BOARD_DUPLICATE] = fx_duplicate,
    [BOARD_SETTLE] = fx_settle,     [BOARD_FINISH] = fx_finish, [BOARD_CANCEL] = fx_cancel,
    [BOARD_STOP] = fx_stop,         [BOARD_ASK] = fx_ask,       [BOARD_RAISE] = fx_raise,
};

static void carry_out(struct world *w)
{
    for (size_t i = 0; i < w->fx.count && !w->failure[0]; i++)
        effects[w->fx.items[i].kind](w, &w->fx.items[i]);
    w->fx.count = 0;
    if (!w->failure[0])
        check_step(w);
}

static void step(struct world *w, const struct board_event *e)
{
    const struct board_event tick = {.kind = BOARD_TICK};
    do {
        check_before(w, e);
        board_step(w->board, w->now_ms, e, &w->fx);
        carry_out(w);
        e = &tick;
    } while (w->fx.more && !w->failure[0]);
}

void broker_step(struct world *w, const struct board_event *e)
{
    assert(w->broker_up);
    step(w, e);
    while (w->returned_count && !w->failure[0]) {
        struct board_event back = w->returned[--w->returned_count];
        back.cargo = op_new(w, OP_RETRY, number_of(&back.job));
        worker_of(w, back.session)->link.sent--;
        step(w, &back);
    }
    w->returned_count = 0;
}

/* -- reports -- */

static bool is_listed(void *arg, uint64_t fence)
{
    const struct report *r = arg;
    for (size_t i = 0; i < r->listed; i++)
        if (r->list[i].fence == fence)
            return true;
    return false;
}

static void held(struct world *w, uint64_t session, unsigned job, uint64_t fence)
{
    broker_step(
        w, &(struct board_event){.kind = BOARD_HELD, .session = session, .job = job_id(job), .fence = fence});
}

static void reconcile(struct world *w, uint64_t session, const struct report *r)
{
    check_before(w, NULL);
    board_reconcile(w->board, w->now_ms, session, is_listed, (void *)(uintptr_t)r, &w->fx);
    carry_out(w);
    for (size_t i = 0; i < r->listed && !w->failure[0]; i++)
        held(w, session, r->list[i].job, r->list[i].fence);
}

static void take_outcome(struct world *w, uint64_t session, const struct report_item *r)
{
    struct op *op = op_new(w, r->outcome == OUTCOME_RETRY ? OP_RETRY : OP_FINISH, r->job);
    op->fence = r->fence;
    op->outcome = r->outcome;
    broker_step(w, &(struct board_event){.kind = BOARD_OUTCOME,
                                         .session = session,
                                         .job = job_id(r->job),
                                         .fence = r->fence,
                                         .outcome = r->outcome,
                                         .retry_after_ms = r->retry_after_ms,
                                         .cargo = op});
}

void broker_take(struct world *w, struct worker *from, const struct report *r)
{
    struct link *l = &from->link;
    l->heard_broker_ms = w->now_ms;
    for (size_t i = 0; i < r->count && !w->failure[0]; i++)
        take_outcome(w, l->number, &r->items[i]);
    if (w->failure[0])
        return;
    l->told_received = r->beat.received;
    l->told_free = r->beat.free;
    broker_step(w, &(struct board_event){.kind = BOARD_BEAT, .session = l->number, .beat = r->beat});
    if (r->has_list && !w->failure[0])
        reconcile(w, l->number, r);
    if (r->goodbye && !w->failure[0])
        broker_leave(w, from, true);
}

/* -- sessions -- */

void broker_join(struct world *w, struct worker *worker)
{
    struct link *l = &worker->link;
    l->number = ++w->last_session;
    l->broker_open = l->worker_open = true;
    l->heard_broker_ms = l->heard_worker_ms = w->now_ms;
    l->sent = l->told_received = l->told_free = 0;
    tell(w, "worker %d joins as session %llu", (int)(worker - w->workers), (unsigned long long)l->number);
    broker_step(w, &(struct board_event){.kind = BOARD_JOIN, .session = l->number});
    for (size_t i = 0; i < CAPACITY * 2 && !w->failure[0]; i++)
        if (worker->held[i].state != H_NONE)
            held(w, l->number, worker->held[i].job, worker->held[i].fence);
}

void broker_leave(struct world *w, struct worker *worker, bool graceful)
{
    struct link *l = &worker->link;
    if (!l->broker_open)
        return;
    l->broker_open = false;
    l->told_free = 0;
    tell(w, "session %llu is over%s", (unsigned long long)l->number, graceful ? ", with a goodbye" : "");
    if (w->broker_up)
        broker_step(w,
                    &(struct board_event){.kind = BOARD_LEAVE, .session = l->number, .graceful = graceful});
}

/* -- life -- */

/* Some begin near the end of their fences. */
static void set_fences(struct world *w)
{
    if (one_in(w, 4))
        w->board->fence_counter = UINT32_MAX / 2 - (uint32_t)chance(w, 50);
    else if (one_in(w, 4))
        w->board->fence_counter = UINT32_MAX - 1 - (uint32_t)chance(w, 100);
}

static void load(struct world *w, unsigned job)
{
    const struct stored *s = &w->jobs[job].stored;
    struct board_event e = {.kind = BOARD_LOADED,
                            .job = job_id(job),
                            .integration = doc_id(w->jobs[job].plan.integration),
                            .spec = spec_of(w, job)};
    e.spec.attempts = s->attempts;
    e.spec.crashes = s->crashes;
    e.spec.cancelled = s->cancel_asked;
    e.spec.not_before_ms = s->not_before_ms;
    if (!w->jobs[job].seen.known_at)
        w->jobs[job].seen.known_at = w->order;
    broker_step(w, &e);
}

void broker_start(struct world *w)
{
    struct board_settings settings = {
        .epoch = ++w->epoch,
        .recovery_ms = LEASE_MS,
        .backoff_ms = BACKOFF_MS,
        .backoff_max_ms = 5000,
        .jobs_max = JOBS,
        .seed = w->seed ^ w->epoch,
        .defaults = {[KEY_TENANT] = {.jobs_max = TENANT_JOBS}, [KEY_TYPE] = w->type_limit},
    };
    tell(w, "the broker starts, epoch %u", w->epoch);
    w->broker_up = true;
    w->fx.count = 0;
    if (board_new(&settings, &w->board) != PB_OK)
        broken(w, "no memory");
    set_fences(w);
    model_forget(w);
    clients_apply(w);
    for (uint64_t place = 1; place <= w->order && !w->failure[0]; place++) /* in the order of the appends */
        for (unsigned i = 1; i <= w->submitted; i++)
            if (w->jobs[i].stored.there && !w->jobs[i].stored.finished && w->jobs[i].stored.appended == place)
                load(w, i);
}

void broker_crash(struct world *w)
{
    tell(w, "the broker crashes");
    board_free(w->board);
    w->board = NULL;
    w->broker_up = false;
    w->broker_back_ms = w->now_ms + chance(w, 1500);
    store_crash(w);
    check_restart(w);
    for (size_t i = 0; i < WORKERS; i++)
        w->workers[i].link.broker_open = false;
}

void broker_turn(struct world *w)
{
    if (!w->broker_up) {
        if (w->now_ms >= w->broker_back_ms)
            broker_start(w);
        return;
    }
    if (!w->calm && one_in(w, 400)) {
        broker_crash(w);
        return;
    }
    if (!w->calm)
        clients_turn(w);
    store_deliver(w);
    if (!w->failure[0])
        broker_step(w, &(struct board_event){.kind = BOARD_TICK});
}
