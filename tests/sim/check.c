#include "tests/sim/world.h"

void check_accept(struct world *w, unsigned job)
{
    if (!w->jobs[job].durable)
        broken(w, "job %u was accepted before it was durable", job);
    w->jobs[job].accepted = true;
}

/* -- dispatches -- */

static bool may_run(const struct world *w, unsigned job)
{
    unsigned integration = w->jobs[job].integration;
    for (unsigned i = 1; integration && i <= JOBS; i++)
        if (i != job && w->jobs[i].integration == integration && w->jobs[i].durable && !w->jobs[i].finished &&
            w->jobs[i].appended < w->jobs[job].appended)
            return false;
    return true;
}

void check_dispatch(struct world *w, const struct board_effect *fx)
{
    unsigned job = number_of(&fx->job);
    struct worker *to = worker_of(w, fx->session);
    if (fx->fence <= w->last_fence)
        broken(w, "job %u is dispatched with a fence that is not larger than all before", job);
    w->last_fence = fx->fence;
    if (!w->jobs[job].durable || w->jobs[job].finished)
        broken(w, "job %u is dispatched though it is %s", job,
               w->jobs[job].finished ? "finished" : "not durable");
    if (!may_run(w, job))
        broken(w, "job %u is dispatched before one of its integration that came first", job);
    if (!to || !to->link.broker_open) {
        broken(w, "job %u is dispatched to a session that is over", job);
        return;
    }
    struct link *l = &to->link;
    w->released_ran += w->released > 0;
    if (++l->sent - l->told_received > l->told_free)
        broken(w, "job %u is dispatched beyond its session's credit", job);
    tell(w, "job %u goes to session %llu, fence %llx", job, (unsigned long long)fx->session,
         (unsigned long long)fx->fence);
}

/* -- ends -- */

void check_finish(struct world *w, const struct board_effect *fx)
{
    unsigned job = number_of(&fx->job);
    if (!w->jobs[job].finished || w->jobs[job].outcome != fx->outcome)
        broken(w, "job %u is said to have finished, and the store does not say so", job);
    tell(w, "job %u is finished", job);
}

/* A worker may forget an attempt only when its outcome is in the store, or does not count. */
void check_settle(struct world *w, const struct board_effect *fx)
{
    struct worker *k = worker_of(w, fx->session);
    for (size_t i = 0; k && !w->refused && i < CAPACITY * 2; i++) {
        const struct held *h = &k->held[i];
        if (h->state == H_FINISHED && h->fence == fx->fence && h->outcome == OUTCOME_DONE &&
            !w->jobs[h->job].finished)
            broken(w, "job %u was settled before its outcome was committed", h->job);
    }
}

/* -- always -- */

static bool has_credit(const struct world *w)
{
    for (size_t i = 0; i < WORKERS; i++) {
        const struct link *l = &w->workers[i].link;
        if (l->broker_open && l->told_free > l->sent - l->told_received)
            return true;
    }
    return false;
}

static void check_counts(struct world *w, const struct board_counts *c)
{
    size_t all = c->appending + c->ready + c->blocked + c->delayed + c->held + c->running + c->committing;
    if (all != board_live(w->board))
        broken(w, "the counts by state add up to %zu of %zu jobs", all, board_live(w->board));
}

void check_tick(struct world *w)
{
    if (w->released >= 16 && w->released_ran > w->released / 2)
        broken(w, "%zu of %zu jobs that a restart found run at the same moment", w->released_ran,
               w->released);
}

void check_step(struct world *w)
{
    struct board_counts c;
    if (w->failure[0] || !w->broker_up)
        return;
    board_count(w->board, &c);
    check_counts(w, &c);
    if (c.ready && has_credit(w))
        broken(w, "%zu jobs are ready, and a worker with credit waits", c.ready);
    for (unsigned i = 1; i <= JOBS; i++)
        if (w->jobs[i].finishes > 1)
            broken(w, "job %u was finished %u times", i, w->jobs[i].finishes);
}

/* -- at the end -- */

static void check_docs(struct world *w)
{
    unsigned done[INTEGRATIONS + 1] = {0};
    for (unsigned i = 1; i <= JOBS; i++)
        done[w->jobs[i].integration] += w->jobs[i].finished && w->jobs[i].outcome == OUTCOME_DONE;
    for (unsigned i = 1; i <= INTEGRATIONS; i++)
        if (done[i] != w->docs[i].writes)
            broken(w, "integration %u was written %u times by %u jobs that are done", i, w->docs[i].writes,
                   done[i]);
}

static void check_order(struct world *w)
{
    for (unsigned i = 1; i <= JOBS; i++)
        for (unsigned k = 1; k <= JOBS; k++)
            if (w->jobs[i].integration && w->jobs[i].integration == w->jobs[k].integration &&
                w->jobs[i].appended < w->jobs[k].appended && w->jobs[i].ended > w->jobs[k].ended)
                broken(w, "job %u ended after job %u of its integration, which came later", i, k);
}

void check_end(struct world *w)
{
    for (unsigned i = 1; i <= JOBS; i++) {
        const struct stored_job *j = &w->jobs[i];
        if (j->accepted && !j->durable)
            broken(w, "job %u was accepted and is not in the store", i);
        if (j->durable && !j->finished)
            broken(w, "job %u never ended", i);
    }
    if (w->broker_up && board_live(w->board))
        broken(w, "%zu jobs are on the board when all is done", board_live(w->board));
    check_docs(w);
    check_order(w);
}
