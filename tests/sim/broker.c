/* The broker around the board: as broker/effects.c, with the world's store and network. */
#include "tests/sim/world.h"

/* -- effects -- */

static struct op *op_of(const struct board_effect *fx)
{
    return fx->cargo;
}

static void give_back(const struct board_effect *fx)
{
    if (fx->cargo)
        op_of(fx)->stage = OP_FREE;
}

static void fx_append(struct world *w, const struct board_effect *fx)
{
    op_submit(w, fx->cargo);
}

static void fx_accept(struct world *w, const struct board_effect *fx)
{
    check_accept(w, number_of(&fx->job));
}

static void fx_reject(struct world *w, const struct board_effect *fx)
{
    (void)w;
    give_back(fx);
}

static void fx_dispatch(struct world *w, const struct board_effect *fx)
{
    struct message m = {.kind = M_ATTEMPT, .job = number_of(&fx->job), .fence = fx->fence};
    check_dispatch(w, fx);
    send_to_worker(w, fx->session, &m);
}

static void fx_commit(struct world *w, const struct board_effect *fx)
{
    struct op *op = op_of(fx);
    op->attempts = fx->attempts;
    op_submit(w, op);
}

static void fx_stale(struct world *w, const struct board_effect *fx)
{
    struct message m = {.kind = M_SETTLED, .fence = fx->fence};
    send_to_worker(w, fx->session, &m);
    give_back(fx);
}

static void fx_duplicate(struct world *w, const struct board_effect *fx)
{
    (void)w;
    give_back(fx);
}

static void fx_settle(struct world *w, const struct board_effect *fx)
{
    struct message m = {.kind = M_SETTLED, .fence = fx->fence};
    check_settle(w, fx);
    send_to_worker(w, fx->session, &m);
}

static void fx_finish(struct world *w, const struct board_effect *fx)
{
    check_finish(w, fx);
    give_back(fx);
}

static void fx_cancel(struct world *w, const struct board_effect *fx)
{
    struct message m = {.kind = M_CANCEL, .fence = fx->fence};
    send_to_worker(w, fx->session, &m);
}

static void fx_ask(struct world *w, const struct board_effect *fx)
{
    struct message m = {.kind = M_ASK};
    send_to_worker(w, fx->session, &m);
}

static void (*const effects[])(struct world *, const struct board_effect *) = {
    [BOARD_APPEND] = fx_append,       [BOARD_ACCEPT] = fx_accept, [BOARD_REJECT] = fx_reject,
    [BOARD_DISPATCH] = fx_dispatch,   [BOARD_COMMIT] = fx_commit, [BOARD_STALE] = fx_stale,
    [BOARD_DUPLICATE] = fx_duplicate, [BOARD_SETTLE] = fx_settle, [BOARD_FINISH] = fx_finish,
    [BOARD_CANCEL] = fx_cancel,       [BOARD_ASK] = fx_ask,
};

static void carry_out(struct world *w)
{
    for (size_t i = 0; i < w->fx.count && !w->failure[0]; i++)
        effects[w->fx.items[i].kind](w, &w->fx.items[i]);
    w->fx.count = 0;
}

void broker_step(struct world *w, const struct board_event *e)
{
    const struct board_event tick = {.kind = BOARD_TICK};
    board_step(w->board, w->now_ms, e, &w->fx);
    carry_out(w);
    while (w->fx.more && !w->failure[0]) {
        board_step(w->board, w->now_ms, &tick, &w->fx);
        carry_out(w);
    }
    check_step(w);
}

/* -- reports -- */

static bool is_listed(void *arg, uint64_t fence)
{
    const struct message *m = arg;
    for (size_t i = 0; i < m->list_count; i++)
        if (m->list[i] == fence)
            return true;
    return false;
}

static void reconcile(struct world *w, uint64_t session, const struct message *m)
{
    board_reconcile(w->board, w->now_ms, session, is_listed, (void *)(uintptr_t)m, &w->fx);
    carry_out(w);
    for (size_t i = 0; i < m->list_count && !w->failure[0]; i++)
        broker_step(w, &(struct board_event){.kind = BOARD_HELD,
                                             .session = session,
                                             .job = job_id(m->list_jobs[i]),
                                             .fence = m->list[i]});
}

static void take_outcome(struct world *w, uint64_t session, const struct report_item *r)
{
    struct op *op = op_new(w, r->outcome == OUTCOME_RETRY ? OP_RETRY : OP_FINISH, r->job);
    op->fence = r->fence;
    op->outcome = r->outcome;
    op->integration = w->jobs[r->job].integration;
    broker_step(w, &(struct board_event){.kind = BOARD_OUTCOME,
                                         .session = session,
                                         .job = job_id(r->job),
                                         .fence = r->fence,
                                         .outcome = r->outcome,
                                         .retry_after_ms = r->retry_after_ms,
                                         .cargo = op});
}

void broker_take(struct world *w, struct worker *from, const struct message *m)
{
    struct link *l = &from->link;
    if (!w->broker_up || !l->broker_open)
        return;
    l->heard_broker_ms = w->now_ms;
    for (size_t i = 0; i < m->item_count && !w->failure[0]; i++)
        take_outcome(w, l->number, &m->items[i]);
    l->told_received = m->beat.received;
    l->told_free = m->beat.free;
    broker_step(w, &(struct board_event){.kind = BOARD_BEAT, .session = l->number, .beat = m->beat});
    if (m->has_list)
        reconcile(w, l->number, m);
}

/* -- sessions -- */

void broker_join(struct world *w, struct worker *worker)
{
    struct link *l = &worker->link;
    l->number = ++w->last_session;
    l->broker_open = l->worker_open = true;
    l->heard_broker_ms = l->heard_worker_ms = w->now_ms;
    l->sent = l->told_received = l->told_free = 0;
    broker_step(w, &(struct board_event){.kind = BOARD_JOIN, .session = l->number});
    for (size_t i = 0; i < CAPACITY * 2 && !w->failure[0]; i++)
        if (worker->held[i].state != H_NONE)
            broker_step(w, &(struct board_event){.kind = BOARD_HELD,
                                                 .session = l->number,
                                                 .job = job_id(worker->held[i].job),
                                                 .fence = worker->held[i].fence});
}

void broker_leave(struct world *w, struct worker *worker)
{
    struct link *l = &worker->link;
    if (!l->broker_open)
        return;
    l->broker_open = false;
    tell(w, "session %llu is over", (unsigned long long)l->number);
    if (w->broker_up)
        broker_step(w, &(struct board_event){.kind = BOARD_LEAVE, .session = l->number});
}

/* -- life -- */

void broker_start(struct world *w)
{
    struct board_settings settings = {
        .epoch = ++w->epoch,
        .recovery_ms = LEASE_MS,
        .backoff_ms = BACKOFF_MS,
        .backoff_max_ms = 5000,
        .jobs_max = JOBS,
        .seed = w->seed ^ w->epoch,
    };
    w->broker_up = true;
    w->started_ms = w->now_ms;
    w->fx.count = 0;
    if (board_new(&settings, &w->board) != PB_OK)
        broken(w, "no memory");
    for (unsigned pass = 1; pass <= w->order && !w->failure[0]; pass++)
        for (unsigned i = 1; i <= JOBS; i++) /* in the order in which they were appended */
            if (w->jobs[i].durable && !w->jobs[i].finished && w->jobs[i].appended == pass)
                broker_step(w, &(struct board_event){.kind = BOARD_LOADED,
                                                     .job = job_id(i),
                                                     .integration = doc_id(w->jobs[i].integration),
                                                     .attempts = w->jobs[i].attempts});
    tell(w, "the broker starts, epoch %u", w->epoch);
}

void broker_crash(struct world *w)
{
    tell(w, "the broker crashes");
    board_free(w->board);
    w->board = NULL;
    w->broker_up = false;
    w->broker_back_ms = w->now_ms + chance(w, 1500);
    store_crash(w);
    for (size_t i = 0; i < WORKERS; i++)
        w->workers[i].link.broker_open = false;
}

static void submit(struct world *w)
{
    unsigned job = ++w->submitted;
    w->jobs[job].integration = one_in(w, 6) ? 0 : 1 + (unsigned)chance(w, INTEGRATIONS);
    struct op *op = op_new(w, OP_APPEND, job);
    broker_step(w, &(struct board_event){.kind = BOARD_SUBMIT,
                                         .job = job_id(job),
                                         .integration = doc_id(w->jobs[job].integration),
                                         .cargo = op});
}

/* What a restart has found is let go of in one tick: it must not run in one, too. */
static void tick(struct world *w)
{
    struct board_counts c;
    board_count(w->board, &c);
    w->released = w->now_ms >= w->started_ms + LEASE_MS ? c.held : 0;
    w->released_ran = 0;
    broker_step(w, &(struct board_event){.kind = BOARD_TICK});
    check_tick(w);
    w->released = 0;
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
    if (!w->calm && w->submitted < JOBS && one_in(w, 3))
        submit(w);
    store_deliver(w);
    if (w->broker_up && !w->failure[0])
        tick(w);
}
