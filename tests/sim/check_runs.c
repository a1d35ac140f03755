/* Attempts: who runs what, how often, when again, and who is to blame. */
#include "tests/sim/world.h"

/* -- before a step -- */

/* What ran alone in a session that is about to be lost, and nothing else with it. */
static uint64_t alone_in(const struct world *w, uint64_t session)
{
    struct seat *seat = seats_find(&w->board->seats, session);
    uint64_t fence = 0;
    unsigned running = 0;
    for (uint32_t i = seat ? seat->slots.head : NONE; i != NONE; i = board_slot(w->board, i)->next) {
        const struct slot *s = board_slot(w->board, i);
        const struct seen *seen = &w->jobs[number_of(&s->id)].seen;
        if (s->state != RUNNING)
            continue;
        running++;
        fence = seen->alone_fence == s->fence && seen->alone_session == session ? s->fence : 0;
    }
    return running == 1 ? fence : 0;
}

void check_before(struct world *w, const struct board_event *e)
{
    bool died = e && e->kind == BOARD_LEAVE && !e->graceful;
    w->step.event = e;
    w->step.sent_count = 0;
    w->step.written = false;
    w->step.charged_fence = died ? alone_in(w, e->session) : 0;
    w->leaves += died;
}

/* -- dispatches -- */

/* Is it only being ended, so that it holds nobody up? */
static bool is_ending(const struct world *w, unsigned job)
{
    const struct pb_id id = job_id(job);
    uint32_t i = slots_find(&w->board->slots, &id);
    const struct slot *s = i == NONE ? NULL : board_slot(w->board, i);
    return s && s->state == COMMITTING && board_fate(s) != REASON_NONE;
}

static bool overtakes(const struct sim_job *job, const struct sim_job *other)
{
    return other->plan.integration == job->plan.integration && other->stored.there &&
           !other->stored.finished && other->seen.state != FREE &&
           other->stored.appended < job->stored.appended;
}

static void check_integration(struct world *w, unsigned job)
{
    const struct sim_job *j = &w->jobs[job];
    for (unsigned i = 1; j->plan.integration && i <= w->submitted; i++) {
        const struct sim_job *other = &w->jobs[i];
        if (i == job || other->plan.integration != j->plan.integration)
            continue;
        if (!j->plan.memory && overtakes(j, other) && !is_ending(w, i))
            broken(w, "job %u is dispatched before job %u of its integration, which came first", job, i);
        if (other->seen.state == RUNNING && w->step.event && w->step.event->kind == BOARD_BEAT)
            broken(w, "job %u is dispatched while job %u of its integration runs", job, i);
    }
}

static void check_state(struct world *w, unsigned job)
{
    const struct sim_job *j = &w->jobs[job];
    if (j->plan.memory ? j->seen.over : !j->stored.there || j->stored.finished)
        broken(w, "job %u is dispatched though it is %s", job,
               j->plan.memory || j->stored.finished ? "finished" : "not durable");
    if (j->seen.cancelled || j->stored.cancel_asked)
        broken(w, "job %u was cancelled, and is dispatched", job);
    if (w->now_ms < j->plan.not_before_ms || w->now_ms < j->stored.not_before_ms)
        broken(w, "job %u is dispatched before it is wanted", job);
    if (j->plan.poison && j->seen.alone_deaths >= LIMIT_JOB_CRASHES && !j->seen.claims)
        broken(w, "job %u killed %u workers alone, and is dispatched", job, j->seen.alone_deaths);
}

static void check_alone(struct world *w, const struct board_effect *fx)
{
    unsigned job = number_of(&fx->job);
    struct sim_job *j = &w->jobs[job];
    const struct slot *s = board_slot(w->board, slots_find(&w->board->slots, &fx->job));
    if (!fx->alone)
        return;
    if (!j->plan.memory && j->stored.crashes <= s->crashes)
        broken(w, "job %u runs alone before that was made durable", job);
    if (board_running_of(w->board, fx->session) != 1)
        broken(w, "job %u is to run alone, with others", job);
    j->seen.alone_fence = fx->fence;
    j->seen.alone_session = fx->session;
    j->seen.alone_runs++;
    w->alone_runs++;
}

static void check_link(struct world *w, const struct board_effect *fx)
{
    struct worker *to = worker_of(w, fx->session);
    unsigned job = number_of(&fx->job);
    if (!to || !to->link.broker_open) {
        broken(w, "job %u is dispatched to a session that is over", job);
        return;
    }
    struct link *l = &to->link;
    if (++l->sent - l->told_received > l->told_free)
        broken(w, "job %u is dispatched beyond its session's credit", job);
}

void check_dispatch(struct world *w, const struct board_effect *fx)
{
    unsigned job = number_of(&fx->job);
    tell(w, "job %u goes to session %llu, fence %llx%s", job, (unsigned long long)fx->session,
         (unsigned long long)fx->fence, fx->alone ? ", alone" : "");
    if (fx->fence <= w->last_fence)
        broken(w, "job %u is dispatched with a fence that is not larger than all before", job);
    w->last_fence = w->jobs[job].seen.newest = fx->fence;
    check_state(w, job);
    check_integration(w, job);
    check_link(w, fx);
    if (!w->failure[0])
        check_alone(w, fx);
    w->step.sent[w->step.sent_count++] = *fx;
}

/* -- what is counted -- */

static bool counts(const struct seen *seen)
{
    return seen->state == RUNNING || seen->state == READY || seen->state == DELAYED ||
           seen->state == SUSPECT || seen->state == MARKING;
}

/* How the step may have changed what the board counts of the job. */
static int counted(const struct world *w, const struct seen *seen, const struct slot *s, bool *taken_back)
{
    const struct board_event *e = w->step.event;
    bool own = e && number_of(&e->job) == number_of(&s->id);
    *taken_back = false;
    if (!e)
        return seen->state == RUNNING && s->state != RUNNING;
    if (e->kind == BOARD_LEAVE)
        return w->step.charged_fence && s->fence == w->step.charged_fence;
    if (e->kind == BOARD_OUTCOME && own && e->outcome == OUTCOME_RETRY)
        return e->fence && e->fence == seen->fence && counts(seen);
    if (e->kind == BOARD_HELD && own && s->state == RUNNING && s->fence == e->fence && seen->crashes) {
        bool dead = seen->dead_fence == e->fence;
        *taken_back = dead || seen->state == HELD;
        return dead && seen->state != HELD ? -1 : 0;
    }
    return 0;
}

/* seen is of before the step; a job that has just come has nothing to compare. */
static void compare(struct world *w, struct seen *seen, const struct slot *s)
{
    bool taken_back, charged = w->step.charged_fence && s->fence == w->step.charged_fence;
    unsigned job = number_of(&s->id);
    int attempts = counted(w, seen, s, &taken_back);
    if ((int)s->attempts - (int)seen->attempts != attempts)
        broken(w, "job %u: %u attempts were counted, and now %u", job, seen->attempts, s->attempts);
    int crashes = charged - taken_back;
    bool stale_mark = taken_back && seen->state == HELD && s->crashes == seen->crashes;
    if ((int)s->crashes - (int)seen->crashes != crashes && !stale_mark)
        broken(w, "job %u: %u crashes were counted, and now %u", job, seen->crashes, s->crashes);
    if (taken_back && seen->dead_fence == s->fence) {
        seen->alone_deaths--;
        seen->dead_fence = 0;
    }
    seen->claims += taken_back;
    if (!charged)
        return;
    seen->alone_deaths++;
    seen->dead_fence = s->fence;
}

void check_attempts(struct world *w)
{
    for (size_t i = 0; i < w->board->slots.used; i++) {
        const struct slot *s = slot_at(&w->board->slots, (uint32_t)i);
        struct seen *seen = &w->jobs[number_of(&s->id)].seen;
        if (s->state != FREE && seen->state != FREE)
            compare(w, seen, s);
    }
}

void check_poison(struct world *w)
{
    for (size_t n = 0; n < w->step.sent_count; n++) {
        const struct board_effect *fx = &w->step.sent[n];
        struct seat *seat = seats_find(&w->board->seats, fx->session);
        if (seat && seat->solo && !fx->alone)
            broken(w, "job %u joins one that runs alone", number_of(&fx->job));
    }
}

/* -- time -- */

static uint64_t due_of(const struct world *w, size_t i)
{
    const struct slot *s = slot_at(&w->board->slots, (uint32_t)i);
    const struct seen *seen = &w->jobs[number_of(&s->id)].seen;
    bool is_new = s->state == DELAYED && seen->state != DELAYED && seen->state != FREE;
    return is_new && board_fate(s) == REASON_NONE ? s->due_ms : 0;
}

static size_t count_due(const struct world *w, uint64_t due_ms)
{
    size_t n = 0;
    for (size_t i = 0; i < w->board->slots.used; i++) {
        uint64_t due = due_of(w, i);
        n += due_ms ? due == due_ms : due != 0;
    }
    return n;
}

/* What one step sends back to wait must not come due at one instant. */
void check_jitter(struct world *w)
{
    size_t all = count_due(w, 0);
    if (all < 10)
        return;
    for (size_t i = 0; i < w->board->slots.used; i++) {
        uint64_t due = due_of(w, i);
        if (due && count_due(w, due) * 2 > all)
            broken(w, "of %zu jobs that one event sent back, more than half come due at the same instant",
                   all);
    }
}

void check_deadlines(struct world *w)
{
    static const bool may_be_late[SLOT_STATES] = {
        [APPENDING] = true, [HELD] = true, [RUNNING] = true, [COMMITTING] = true, [MARKING] = true};
    const struct board_event *e = w->step.event;
    if (!e || e->kind != BOARD_TICK || w->fx.more)
        return;
    for (size_t i = 0; i < w->board->slots.used; i++) {
        const struct slot *s = slot_at(&w->board->slots, (uint32_t)i);
        uint64_t deadline_ms = w->jobs[number_of(&s->id)].plan.deadline_ms;
        if (s->state != FREE && deadline_ms && w->now_ms >= deadline_ms + 999 && !may_be_late[s->state])
            broken(w, "job %u waits past its deadline", number_of(&s->id));
    }
}

/* -- seats that are kept -- */

static bool is_kept(const struct world *w, const struct seat *seat)
{
    const struct suspects *s = &w->board->suspects;
    for (size_t i = 0; i < s->used; i++)
        if (s->groups[i].count && s->groups[i].session == seat->session)
            return true;
    return false;
}

void check_seats(struct world *w)
{
    const struct seats *seats = &w->board->seats;
    size_t reserved = 0, alone = 0;
    for (size_t i = 0; i < seats->used; i++) {
        const struct seat *seat = &seats->items[i];
        if (!seat->session)
            continue;
        reserved += seat->reserved;
        alone += seat->alone;
        if (seat->reserved && !is_kept(w, seat))
            broken(w, "session %llu is kept for nobody", (unsigned long long)seat->session);
        if (seat->alone && seat_is_idle(seat))
            broken(w, "session %llu is idle, and kept", (unsigned long long)seat->session);
    }
    if (reserved != w->board->suspects.reserved || alone != w->board->suspects.alone)
        broken(w, "%zu and %zu sessions are kept, and counted as %zu and %zu", reserved, alone,
               w->board->suspects.reserved, w->board->suspects.alone);
}
