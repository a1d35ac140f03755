/* The store, and the journal before it: the production one's group (broker/group.h) without its thread. A
 * commit is done, or not; or it is done in part, or as a whole, and reported as failed all the same. */
#include "broker/group.h"
#include "tests/sim/world.h"

#include <string.h>

struct op *op_new(struct world *w, enum op_kind kind, unsigned job)
{
    for (size_t i = 0; i < OPS; i++)
        if (!w->ops[i].used) {
            struct op *op = &w->ops[i];
            *op = (struct op){.kind = kind, .used = true, .job = job};
            op->store.kind = kind == OP_APPEND ? STORE_APPEND_JOB : STORE_FINISH_JOB;
            return op;
        }
    broken(w, "more operations than there can be: they are not given back");
    return &w->ops[0];
}

/* -- what is given back -- */

static void deliver_append(struct world *w, struct op *op, pb_err err)
{
    struct board_event e = {
        .kind = BOARD_APPENDED, .job = job_id(op->job), .err = err ? err : op->store.outcome};
    e.cargo = e.err ? op : NULL;
    op->used = e.err != PB_OK;
    broker_step(w, &e);
}

static void deliver_outcome(struct world *w, struct op *op, pb_err err)
{
    struct board_event e = {.kind = BOARD_COMMITTED, .job = job_id(op->job), .fence = op->fence, .cargo = op};
    (void)err;
    e.outcome = op->kind == OP_RETRY ? OUTCOME_RETRY : op->outcome;
    e.err = op->store.outcome;
    w->refused = e.err == PB_E_CONFLICT;
    broker_step(w, &e);
    w->refused = false;
}

static void deliver_mark(struct world *w, struct op *op, pb_err err)
{
    (void)err;
    bool awaited = op->awaited;
    op->used = false;
    if (awaited)
        broker_step(w, &(struct board_event){.kind = BOARD_MARKED, .job = job_id(op->job)});
}

static void deliver_epoch(struct world *w, struct op *op, pb_err err)
{
    (void)err;
    op->used = false;
    broker_step(w, &(struct board_event){.kind = BOARD_EPOCH, .epoch = op->epoch});
}

static void deliver(void *arg, struct store_op *store, pb_err err)
{
    static void (*const table[OP_KINDS])(struct world *, struct op *, pb_err) = {
        deliver_append, deliver_outcome, deliver_outcome, deliver_mark, deliver_epoch};
    struct op *op = (struct op *)store;
    table[op->kind](arg, op, err);
}

/* In the order in which they were committed. */
void store_deliver(struct world *w)
{
    struct group_verdict v;
    while (!w->failure[0] && w->journal && !one_in(w, 8) && group_give_back(w->journal, &v))
        v.done(v.arg, v.op, v.err);
}

void op_submit(struct world *w, struct op *op)
{
    w->step.written = true;
    if (!w->journal && group_new(&w->journal) != PB_OK)
        broken(w, "no memory");
    else if (group_submit(w->journal, &op->store, deliver, w) != PB_OK)
        broken(w, "the journal takes nothing more");
}

/* -- what a commit does; each may be repeated -- */

static pb_err apply_append(struct world *w, struct op *op)
{
    struct stored *s = &w->jobs[op->job].stored;
    check_stored(w, op->job, "appended");
    if (s->there)
        return PB_OK;
    s->there = true;
    s->not_before_ms = w->jobs[op->job].plan.not_before_ms;
    s->appended = ++w->order;
    return PB_OK;
}

/* Document and outcome in one transaction, under the fence. */
static pb_err apply_finish(struct world *w, struct op *op)
{
    struct stored *s = &w->jobs[op->job].stored;
    unsigned integration = w->jobs[op->job].plan.integration;
    struct stored_doc *d = &w->docs[integration];
    bool writes = op->outcome == OUTCOME_DONE && integration;
    bool changed = writes && !w->calm && one_in(w, 80); /* its credentials: another generation */
    if (s->finished)
        return s->outcome == op->outcome ? PB_OK : PB_E_CONFLICT;
    if (writes && (d->fence > op->fence || changed))
        return PB_E_CONFLICT;
    if (writes && d->fence < op->fence) {
        d->fence = op->fence;
        d->writes++;
    }
    s->finished = true;
    s->finishes++;
    s->outcome = op->outcome;
    s->ended = ++w->order;
    return PB_OK;
}

static pb_err apply_retry(struct world *w, struct op *op)
{
    struct stored *s = &w->jobs[op->job].stored;
    if (s->finished)
        return PB_E_CONFLICT;
    s->attempts = op->attempts;
    s->crashes = op->crashes;
    s->not_before_ms = op->not_before_ms;
    return PB_OK;
}

static pb_err apply_mark(struct world *w, struct op *op)
{
    struct stored *s = &w->jobs[op->job].stored;
    if (s->finished)
        return PB_E_CONFLICT;
    s->crashes = op->crashes;
    s->cancel_asked |= op->cancel_asked;
    return PB_OK;
}

static pb_err apply_epoch(struct world *w, struct op *op)
{
    op->epoch = ++w->epoch;
    return PB_OK;
}

static void apply(struct world *w, struct store_op *store)
{
    static pb_err (*const table[OP_KINDS])(struct world *, struct op *) = {
        apply_append, apply_finish, apply_retry, apply_mark, apply_epoch};
    struct op *op = (struct op *)store;
    if (op < w->ops || op >= w->ops + OPS)
        return; /* the group's own write */
    if (op->kind != OP_APPEND)
        check_stored(w, op->job, "written");
    op->store.outcome = table[op->kind](w, op);
}

/* -- commits -- */

enum { ALL, NOTHING, SOME, UNKNOWN };

void store_turn(struct world *w)
{
    static struct store_op *ops[LIMIT_COMMIT_OPS];
    if (!w->calm && one_in(w, 300))
        w->store_back_ms = w->now_ms + 1 + chance(w, 3000);
    if (one_in(w, 2) || !w->journal || !group_has_work(w->journal))
        return; /* still syncing */
    size_t count = group_take(w->journal, ops);
    int how = w->now_ms < w->store_back_ms ? NOTHING : ALL;
    if (how == ALL && !w->calm && one_in(w, 40))
        how = NOTHING + (int)chance(w, 3);
    for (size_t i = 0; i < count; i++)
        if (how == ALL || how == UNKNOWN || (how == SOME && one_in(w, 2)))
            apply(w, ops[i]);
    if (how != ALL)
        tell(w, "a commit of %zu fails (%d)", count, how);
    group_settle(w->journal, how == ALL ? PB_OK : PB_E_STORE);
}

bool store_is_idle(const struct world *w)
{
    return !w->journal || group_count(w->journal) == 0;
}

void store_free(struct world *w)
{
    group_free(w->journal);
    w->journal = NULL;
}

void store_crash(struct world *w)
{
    store_free(w);
    for (size_t i = 0; i < OPS; i++)
        w->ops[i].used = false;
}
