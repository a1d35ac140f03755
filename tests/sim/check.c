/* What the board has promised, looked at after every effect and every step. Each guarantee is a function; the
 * table at the end names them. What is judged here is what was said to whom; check_runs.c looks at attempts,
 * check_turns.c at who goes first. */
#include "tests/sim/world.h"

/* -- accepted is durable -- */

void check_accept(struct world *w, unsigned job)
{
    struct sim_job *j = &w->jobs[job];
    if (!j->plan.memory && !j->stored.there)
        broken(w, "job %u was accepted before it was durable", job);
    if (j->seen.accepted)
        broken(w, "job %u was accepted twice", job);
    j->seen.accepted = true;
    j->seen.known_at = w->order;
}

static size_t count_of_tenant(const struct world *w, unsigned tenant)
{
    size_t n = 0;
    for (size_t i = 0; i < w->board->slots.used; i++) {
        const struct slot *s = slot_at(&w->board->slots, (uint32_t)i);
        n += s->state != FREE && w->jobs[number_of(&s->id)].plan.names[KEY_TENANT] == tenant;
    }
    return n;
}

void check_refusal(struct world *w, unsigned job, pb_err err)
{
    struct sim_job *j = &w->jobs[job];
    j->seen.refused = true;
    tell(w, "job %u is refused (%s)", job, pb_err_name(err));
    if (j->seen.accepted)
        broken(w, "job %u is refused after it was accepted", job);
    if (err == PB_E_LIMIT && count_of_tenant(w, j->plan.names[KEY_TENANT]) < TENANT_JOBS)
        broken(w, "job %u is refused though its tenant has few", job);
    if (err != PB_E_LIMIT && err != PB_E_STORE)
        broken(w, "job %u is refused without a reason (%s)", job, pb_err_name(err));
}

void check_stored(struct world *w, unsigned job, const char *what)
{
    if (w->jobs[job].plan.memory)
        broken(w, "job %u lives in memory alone, and was %s", job, what);
}

/* -- the end of a job -- */

static bool is_cancelled(const struct sim_job *j)
{
    return j->seen.cancelled || j->stored.cancel_asked;
}

static uint32_t attempts_of(const struct plan *p)
{
    return p->max_attempts ? p->max_attempts : LIMIT_JOB_ATTEMPTS;
}

/* May the board end it for that reason? */
static bool is_true(const struct world *w, const struct sim_job *j, const struct board_effect *fx)
{
    const bool reasons[] = {
        [REASON_NONE] = true,
        [REASON_CANCELLED] = is_cancelled(j),
        [REASON_DEADLINE] = j->plan.deadline_ms && w->now_ms >= j->plan.deadline_ms,
        [REASON_ATTEMPTS] = (j->plan.memory ? j->seen.attempts + 1 : fx->attempts) >= attempts_of(&j->plan),
        [REASON_POISON] = j->seen.alone_deaths + j->seen.doubts >= LIMIT_JOB_CRASHES,
        [REASON_LOST] = j->plan.memory && !j->plan.retried,
    };
    return reasons[fx->reason];
}

static void check_verdict(struct world *w, const struct board_effect *fx)
{
    unsigned job = number_of(&fx->job);
    const struct sim_job *j = &w->jobs[job];
    if (!is_true(w, j, fx))
        broken(w, "job %u is ended for a reason that is not so (%d)", job, (int)fx->reason);
    if (fx->outcome == OUTCOME_DEAD && is_cancelled(j) && fx->kind == BOARD_COMMIT)
        broken(w, "job %u was cancelled and is given up instead", job);
    if ((fx->outcome == OUTCOME_DEAD || fx->outcome == OUTCOME_CANCELLED) && fx->kind == BOARD_COMMIT &&
        fx->reason == REASON_NONE)
        broken(w, "job %u is ended without a reason", job);
}

void check_commit(struct world *w, const struct board_effect *fx)
{
    unsigned job = number_of(&fx->job);
    const struct sim_job *j = &w->jobs[job];
    check_verdict(w, fx);
    if (j->plan.memory)
        broken(w, "job %u lives in memory alone, and is to be committed", job);
    if (fx->outcome == OUTCOME_RETRY && is_cancelled(j))
        broken(w, "job %u was cancelled and is to be tried again", job);
    if (fx->outcome == OUTCOME_RETRY && fx->attempts >= attempts_of(&j->plan))
        broken(w, "job %u is to be tried again after its last attempt", job);
    tell(w, "job %u comes to %d, reason %d, attempts %u, crashes %u", job, (int)fx->outcome, (int)fx->reason,
         fx->attempts, fx->crashes);
}

void check_finish(struct world *w, const struct board_effect *fx)
{
    unsigned job = number_of(&fx->job);
    struct sim_job *j = &w->jobs[job];
    if (!j->plan.memory && (!j->stored.finished || j->stored.outcome != fx->outcome))
        broken(w, "job %u is said to have finished, and the store does not say so", job);
    if (j->plan.memory)
        check_verdict(w, fx);
    if (j->seen.over)
        broken(w, "job %u has finished twice", job);
    j->seen.over = true;
    tell(w, "job %u is finished", job);
}

/* What a worker still has of the newest attempt is not thrown away while it may count. */
void check_dropped(struct world *w, const struct board_effect *fx)
{
    const struct board_event *e = w->step.event;
    unsigned job = e && e->kind == BOARD_HELD ? number_of(&e->job) : 0;
    const struct seen *seen = &w->jobs[job].seen;
    bool counts = seen->state != FREE && (seen->fence == fx->fence || seen->state == HELD);
    if (job && seen->newest == fx->fence && counts)
        broken(w, "a worker is to drop the newest attempt of job %u", job);
}

/* A worker may forget an attempt only when its outcome is in the store, or does not count. */
void check_settle(struct world *w, const struct board_effect *fx)
{
    struct worker *k = worker_of(w, fx->session);
    for (size_t i = 0; k && !w->refused && i < CAPACITY * 2; i++) {
        const struct held *h = &k->held[i];
        if (h->state == H_FINISHED && h->fence == fx->fence && h->outcome == OUTCOME_DONE &&
            !w->jobs[h->job].plan.memory && !w->jobs[h->job].stored.finished)
            broken(w, "job %u was settled before its outcome was committed", h->job);
    }
}

/* -- after each step -- */

static void check_counts(struct world *w)
{
    struct board_counts c;
    board_count(w->board, &c);
    size_t all =
        c.appending + c.ready + c.blocked + c.delayed + c.held + c.running + c.committing + c.suspect;
    if (all != board_live(w->board))
        broken(w, "the counts by state add up to %zu of %zu jobs", all, board_live(w->board));
}

static void check_once(struct world *w)
{
    for (size_t i = 0; i < w->board->slots.used; i++) {
        const struct slot *s = slot_at(&w->board->slots, (uint32_t)i);
        unsigned job = number_of(&s->id);
        if (s->state == FREE)
            continue;
        if (w->jobs[job].stored.finishes > 1)
            broken(w, "job %u was finished %u times", job, w->jobs[job].stored.finishes);
        if (w->jobs[job].seen.over)
            broken(w, "job %u is on the board after its end", job);
    }
}

/* A crash must not bring a cancelled job back: what ends, or says so, is asked for at once. */
static void check_cancelled(struct world *w)
{
    const struct board_event *e = w->step.event;
    unsigned job = e && e->kind == BOARD_CANCEL_JOB ? number_of(&e->job) : 0;
    const struct sim_job *j = &w->jobs[job];
    bool settled = !job || !w->step.fresh_cancel || j->plan.memory || j->seen.state == APPENDING;
    if (!settled && !w->step.written)
        broken(w, "job %u was cancelled, and nothing durable is to say so", job);
}

static void check_cap(struct world *w)
{
    const struct board_event *e = w->step.event;
    if (!e || e->kind != BOARD_SUBMIT)
        return;
    unsigned tenant = w->jobs[number_of(&e->job)].plan.names[KEY_TENANT];
    if (slots_find(&w->board->slots, &e->job) != NONE && count_of_tenant(w, tenant) > TENANT_JOBS)
        broken(w, "tenant %u has more jobs than it may", tenant);
}

/* A board that asks for a tick at once, for ever, would keep the loop busy. */
static void check_rest(struct world *w)
{
    const struct board_event *e = w->step.event;
    if (e && e->kind == BOARD_TICK && !w->fx.more && board_due_ms(w->board) <= w->now_ms)
        broken(w, "after a tick the board asks for another at once");
}

static void remember(struct world *w)
{
    static const struct seen gone = {0};
    for (size_t i = 0; i < w->board->slots.used; i++) {
        const struct slot *s = slot_at(&w->board->slots, (uint32_t)i);
        struct seen *seen = &w->jobs[number_of(&s->id)].seen;
        if (s->state == FREE) {
            seen->state = gone.state;
            continue;
        }
        seen->state = (enum slot_state)s->state;
        seen->attempts = s->attempts;
        seen->crashes = s->crashes;
        seen->fence = s->fence;
    }
}

void check_step(struct world *w)
{
    static const struct {
        const char *guarantee;
        check *look;
    } checks[] = {
        {"counts add up", check_counts},
        {"one end", check_once},
        {"caps", check_cap},
        {"a cancel lasts", check_cancelled},
        {"rest", check_rest},
        {"attempts count once, and drained ones not", check_attempts},
        {"poison is contained", check_poison},
        {"retries never storm", check_jitter},
        {"deadlines", check_deadlines},
        {"workers are kept for a reason", check_seats},
        {"gates, priority, fairness", check_gates},
        {"no hoarding", check_hoarding},
    };
    for (size_t i = 0; i < sizeof checks / sizeof checks[0] && !w->failure[0]; i++) {
        w->guarantee = checks[i].guarantee;
        checks[i].look(w);
    }
    w->guarantee = NULL;
    remember(w);
}

/* -- restarts -- */

/* Whether a mark came true is open when the broker ends with it. */
void check_restart(struct world *w)
{
    for (unsigned i = 1; i <= w->submitted; i++) {
        struct sim_job *j = &w->jobs[i];
        if (j->plan.memory && j->seen.submitted && !j->seen.refused && !j->seen.over)
            j->seen.lost = true;
        if (j->stored.crashes > j->seen.alone_deaths + j->seen.doubts)
            j->seen.doubts = j->stored.crashes - j->seen.alone_deaths;
        j->seen.state = FREE;
        j->seen.cancelled = false;
        j->seen.over = j->seen.over || j->stored.finished;
    }
}

/* -- at the end -- */

static void check_docs(struct world *w)
{
    unsigned done[INTEGRATIONS + 1] = {0};
    for (unsigned i = 1; i <= w->submitted; i++)
        done[w->jobs[i].plan.integration] +=
            w->jobs[i].stored.finished && w->jobs[i].stored.outcome == OUTCOME_DONE;
    for (unsigned i = 1; i <= INTEGRATIONS; i++)
        if (done[i] != w->docs[i].writes)
            broken(w, "integration %u was written %u times by %u jobs that are done", i, w->docs[i].writes,
                   done[i]);
}

/* Did the later one of an integration run, and end, before the earlier one that was known by then? */
static bool overtook(const struct sim_job *later, const struct sim_job *earlier)
{
    const struct stored *l = &later->stored, *e = &earlier->stored;
    bool ran = l->outcome == OUTCOME_DONE || l->outcome == OUTCOME_FAILED;
    return later->plan.integration && later->plan.integration == earlier->plan.integration && ran &&
           e->there && l->there && e->appended < l->appended && e->ended > l->ended &&
           earlier->seen.known_at && earlier->seen.known_at < l->ended;
}

static void check_order(struct world *w)
{
    for (unsigned i = 1; i <= w->submitted; i++)
        for (unsigned k = 1; k <= w->submitted; k++)
            if (overtook(&w->jobs[k], &w->jobs[i]))
                broken(w, "job %u ended after job %u of its integration, which came later", i, k);
}

static const char *state_of(const struct world *w, unsigned job)
{
    const struct pb_id id = job_id(job);
    bool cancelled;
    const char *state = w->board ? board_state_of(w->board, &id, &cancelled) : NULL;
    return state ? state : "not on the board";
}

static void check_ended(struct world *w, unsigned job)
{
    const struct sim_job *j = &w->jobs[job];
    if (j->plan.memory) {
        if (j->seen.accepted && !j->seen.over && !j->seen.lost)
            broken(w, "job %u, in memory, neither finished nor was lost", job);
        return;
    }
    if (j->seen.accepted && !j->stored.there)
        broken(w, "job %u was accepted and is not in the store", job);
    if (j->stored.there && !j->stored.finished)
        broken(w, "job %u never ended: %s", job, state_of(w, job));
    if (j->stored.outcome == OUTCOME_DEAD && j->plan.poison && !j->seen.doubts && !j->seen.claims &&
        j->seen.alone_deaths > LIMIT_JOB_CRASHES)
        broken(w, "job %u, poison, killed %u workers alone", job, j->seen.alone_deaths);
}

void check_end(struct world *w)
{
    for (unsigned i = 1; i <= w->submitted; i++)
        check_ended(w, i);
    if (w->broker_up && board_live(w->board))
        broken(w, "%zu jobs are on the board when all is done", board_live(w->board));
    if (w->alone_runs > 4 * w->leaves + 8)
        broken(w, "%u runs alone for %u sessions that were lost", w->alone_runs, w->leaves);
    check_docs(w);
    check_order(w);
}
