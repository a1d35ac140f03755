/* Who goes first, judged by a naive model of the gates: every job is looked at, nothing is kept in order. */
#include "tests/sim/world.h"

/* -- gates -- */

static void earn(struct world *w, struct model_gate *g)
{
    uint64_t earned_us = (w->now_ms - g->at_ms) * 1000;
    g->debt_us = g->debt_us > earned_us ? g->debt_us - earned_us : 0;
    g->at_ms = w->now_ms;
}

static bool is_open(struct world *w, struct model_gate *g)
{
    const struct board_limit *l = &g->limit;
    uint64_t most_us = (uint64_t)l->interval_us * (l->burst ? l->burst : 1);
    earn(w, g);
    return !g->paused && (!l->concurrency || g->running < l->concurrency) &&
           g->debt_us + l->interval_us <= most_us;
}

/* A broker that starts knows nothing of what the one before let through. */
void model_forget(struct world *w)
{
    for (int k = 0; k < KEYS; k++)
        for (unsigned n = 0; n <= NAMES; n++)
            w->gates[k][n].debt_us = 0;
}

bool model_open(struct world *w, const struct plan *p)
{
    for (int k = 0; k < KEYS; k++)
        if (p->names[k] && !is_open(w, &w->gates[k][p->names[k]]))
            return false;
    return true;
}

static void move(struct world *w, const struct plan *p, int by)
{
    for (int k = 0; k < KEYS; k++)
        if (p->names[k])
            w->gates[k][p->names[k]].running += (uint32_t)by;
}

void model_pass(struct world *w, const struct plan *p)
{
    for (int k = 0; k < KEYS; k++) {
        struct model_gate *g = &w->gates[k][p->names[k]];
        if (!p->names[k])
            continue;
        earn(w, g);
        g->running++;
        g->debt_us += g->limit.interval_us;
    }
}

/* What runs after the step, without what the step has sent. */
static void count_running(struct world *w)
{
    for (int k = 0; k < KEYS; k++)
        for (unsigned n = 0; n <= NAMES; n++)
            w->gates[k][n].running = 0;
    for (size_t i = 0; i < w->board->slots.used; i++) {
        const struct slot *s = slot_at(&w->board->slots, (uint32_t)i);
        if (s->state == RUNNING)
            move(w, &w->jobs[number_of(&s->id)].plan, 1);
    }
    for (size_t i = 0; i < w->step.sent_count; i++)
        move(w, &w->jobs[number_of(&w->step.sent[i].job)].plan, -1);
}

/* -- turns -- */

/* Suspects go to a worker of their own, whoever's turn it is. */
static bool was_suspect(const struct world *w, const struct board_effect *fx)
{
    const struct seat *seat = seats_find(&w->board->seats, fx->session);
    return seat && seat->alone;
}

static uint64_t round_of(const struct world *w)
{
    uint64_t turns = 0;
    for (unsigned n = 1; n <= NAMES; n++) {
        uint32_t weight = w->gates[KEY_TENANT][n].limit.weight;
        turns += weight ? weight : 1;
    }
    return turns;
}

/* How a tenant waits while another goes. */
enum waits { CANNOT, COULD, COULD_FREELY, WAITS }; /* freely: through gates that have no limit */

static bool is_limited(const struct world *w, const struct plan *p)
{
    bool limited = false;
    for (int k = 0; k < KEYS; k++)
        limited |= w->gates[k][p->names[k]].limit.interval_us || w->gates[k][p->names[k]].limit.concurrency;
    return limited;
}

/* Those who could have gone instead: waits[tenant], at the same priority. */
static void passed_over(struct world *w, const struct board_effect *fx, unsigned other,
                        enum waits waits[NAMES + 1])
{
    const struct plan *p = &w->jobs[number_of(&fx->job)].plan, *q = &w->jobs[other].plan;
    if (q->priority > p->priority || !model_open(w, q))
        return;
    if (q->priority < p->priority)
        broken(w, "job %u goes before job %u, whose priority is higher", number_of(&fx->job), other);
    enum waits *how = &waits[q->names[KEY_TENANT]];
    if (*how != COULD_FREELY)
        *how = is_limited(w, q) ? COULD : COULD_FREELY;
}

static void look_at_others(struct world *w, size_t nth, enum waits waits[NAMES + 1])
{
    const struct board_effect *fx = &w->step.sent[nth];
    for (size_t i = nth + 1; i < w->step.sent_count; i++)
        if (!was_suspect(w, &w->step.sent[i]))
            passed_over(w, fx, number_of(&w->step.sent[i].job), waits);
    for (size_t i = 0; w->board->slots.counts[READY] && i < w->board->slots.used; i++) {
        const struct slot *s = slot_at(&w->board->slots, (uint32_t)i);
        if (s->state == READY)
            passed_over(w, fx, number_of(&s->id), waits);
    }
}

/* A tenant that could go does so within two rounds of all tenants. Where a gate has room for one, those who
 * wait at it are tried one after the other, each in its turn, which may take some rounds more. */
static void count_turns(struct world *w, const struct plan *p, const enum waits waits[NAMES + 1])
{
    static const uint64_t rounds[WAITS] = {[COULD] = 8, [COULD_FREELY] = 2};
    for (unsigned n = 1; n <= NAMES; n++)
        for (enum waits how = COULD; how < WAITS; how++) {
            uint32_t *passed = &w->passed[how][p->priority - 1][n];
            *passed = n == p->names[KEY_TENANT] || waits[n] < how ? 0 : *passed + 1;
            if (*passed > rounds[how] * round_of(w))
                broken(w, "tenant %u could run a job, and %u others went first", n, *passed);
        }
}

static void replay(struct world *w, size_t nth)
{
    const struct board_effect *fx = &w->step.sent[nth];
    const struct plan *p = &w->jobs[number_of(&fx->job)].plan;
    enum waits waits[NAMES + 1] = {CANNOT};
    if (!model_open(w, p))
        broken(w, "job %u goes through a closed gate", number_of(&fx->job));
    if (!was_suspect(w, fx)) {
        look_at_others(w, nth, waits);
        count_turns(w, p, waits);
    }
    model_pass(w, p);
}

void check_gates(struct world *w)
{
    if (w->step.sent_count == 0 && w->board->slots.counts[READY] == 0)
        return;
    count_running(w);
    for (size_t i = 0; i < w->step.sent_count && !w->failure[0]; i++)
        replay(w, i);
}

/* -- hoarding -- */

static bool has_credit(const struct world *w)
{
    for (size_t i = 0; i < WORKERS; i++) {
        const struct link *l = &w->workers[i].link;
        struct seat *seat = l->broker_open ? seats_find(&w->board->seats, l->number) : NULL;
        if (seat && l->told_free > l->sent - l->told_received && !seat->reserved && !seat->alone)
            return true;
    }
    return false;
}

void check_hoarding(struct world *w)
{
    bool waits = w->board->slots.counts[READY] && !w->fx.more && board_may_send(w->board);
    if (!waits || !has_credit(w))
        return;
    for (size_t i = 0; i < w->board->slots.used; i++) {
        const struct slot *s = slot_at(&w->board->slots, (uint32_t)i);
        if (s->state == READY && model_open(w, &w->jobs[number_of(&s->id)].plan))
            broken(w, "job %u is ready, its gates are open, and a worker with credit waits",
                   number_of(&s->id));
    }
}
