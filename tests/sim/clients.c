/* Who submits jobs and cancels them, and who pauses and limits. */
#include "tests/sim/world.h"

/* The same for all jobs of a host, as its package says it. */
static struct board_limit host_limit(unsigned host)
{
    return host == NAMES ? (struct board_limit){.concurrency = 3} : (struct board_limit){0};
}

struct board_spec spec_of(const struct world *w, unsigned job)
{
    const struct plan *p = &w->jobs[job].plan;
    struct board_spec spec = {.priority = p->priority,
                              .max_attempts = p->max_attempts,
                              .not_before_ms = p->not_before_ms,
                              .deadline_ms = p->deadline_ms,
                              .memory = p->memory,
                              .retried = p->retried,
                              .host_limit = host_limit(p->names[KEY_HOST])};
    for (int k = 0; k < KEYS; k++)
        spec.names[k] = p->names[k]; /* the same numbers under each key: they must not be mixed up */
    return spec;
}

static void plan(struct world *w, struct plan *p)
{
    bool crowd = one_in(w, 2); /* half of the jobs are one tenant's */
    p->integration = one_in(w, 4) ? 0 : 1 + (unsigned)chance(w, INTEGRATIONS);
    for (int k = 0; k < KEYS; k++)
        p->names[k] = k != KEY_TENANT && one_in(w, 3) ? 0 : 1 + (unsigned)chance(w, NAMES);
    if (crowd)
        p->names[KEY_TENANT] = 1;
    p->priority = one_in(w, 3) ? (enum job_priority)(1 + chance(w, 3)) : PRIORITY_NORMAL;
    p->max_attempts = one_in(w, 4) ? 1 + (uint32_t)chance(w, 3) : 0;
    p->not_before_ms = one_in(w, 6) ? w->now_ms + chance(w, 3000) : 0;
    p->deadline_ms = one_in(w, 8) ? w->now_ms + 1 + chance(w, 8000) : 0;
    p->memory = one_in(w, 8);
    p->retried = p->memory && one_in(w, 2);
    p->poison = one_in(w, 60);
}

static void submit(struct world *w)
{
    unsigned job = ++w->submitted;
    struct plan *p = &w->jobs[job].plan;
    plan(w, p);
    w->jobs[job].seen.submitted = true;
    struct op *op = op_new(w, OP_APPEND, job);
    tell(w, "job %u is submitted: names %u %u %u %u, integration %u, priority %d%s%s", job, p->names[0],
         p->names[1], p->names[2], p->names[3], p->integration, (int)p->priority, p->memory ? ", memory" : "",
         p->poison ? ", poison" : "");
    broker_step(w, &(struct board_event){.kind = BOARD_SUBMIT,
                                         .job = job_id(job),
                                         .integration = doc_id(p->integration),
                                         .spec = spec_of(w, job),
                                         .cargo = op});
}

static void cancel(struct world *w)
{
    unsigned job = 1 + (unsigned)chance(w, w->submitted);
    const struct pb_id id = job_id(job);
    bool cancelled;
    if (board_state_of(w->board, &id, &cancelled)) {
        w->jobs[job].seen.cancelled = true;
        w->step.fresh_cancel = !cancelled;
        tell(w, "job %u is cancelled", job);
    }
    broker_step(w, &(struct board_event){.kind = BOARD_CANCEL_JOB, .job = id});
    w->step.fresh_cancel = false;
}

/* -- gates -- */

static void apply_gate(struct world *w, enum board_key key, unsigned name)
{
    const struct model_gate *g = &w->gates[key][name];
    pb_err err = g->set ? board_limit(w->board, key, name, &g->limit) : PB_OK;
    if (!err)
        err = board_pause(w->board, key, name, g->paused);
    if (err)
        broken(w, "a gate could not be set");
}

void clients_apply(struct world *w)
{
    for (int k = 0; k < KEYS; k++)
        for (unsigned n = 1; n <= NAMES; n++)
            if (w->gates[k][n].set || w->gates[k][n].paused)
                apply_gate(w, (enum board_key)k, n);
}

/* A gate with a rate keeps one, so that what it let through is never forgotten. */
static void set(struct world *w, struct model_gate *g)
{
    bool rate = g->limit.interval_us || (!g->set && one_in(w, 2));
    uint32_t jobs_max = g->limit.jobs_max;
    g->set = true;
    g->limit = (struct board_limit){.jobs_max = jobs_max, .weight = (uint32_t)chance(w, 3)};
    if (rate) {
        g->limit.interval_us = 1000 + (uint32_t)chance(w, 60000);
        g->limit.burst = (uint32_t)chance(w, 5);
    }
    if (!rate || one_in(w, 3))
        g->limit.concurrency = 1 + (uint32_t)chance(w, 6);
}

void clients_settle(struct world *w)
{
    w->gates[KEY_HOST][NAMES].limit = host_limit(NAMES);
    for (unsigned n = 1; n <= NAMES; n++)
        w->gates[KEY_TENANT][n].limit.jobs_max = TENANT_JOBS;
    if (one_in(w, 3))
        w->type_limit = (struct board_limit){.interval_us = 200000, .burst = 2};
    for (unsigned n = 1; n <= NAMES; n++)
        w->gates[KEY_TYPE][n].limit = w->type_limit;
    for (uint64_t n = chance(w, 6); n; n--)
        set(w, &w->gates[chance(w, KEYS)][1 + chance(w, NAMES)]);
}

static void turn_gate(struct world *w)
{
    enum board_key key = (enum board_key)chance(w, KEYS);
    unsigned name = 1 + (unsigned)chance(w, NAMES);
    struct model_gate *g = &w->gates[key][name];
    if (one_in(w, 3) && g->set)
        set(w, g);
    else
        g->paused = !g->paused && one_in(w, 2);
    tell(w, "gate %d of key %d: %s, one in %u us, %u at once", (int)name, (int)key,
         g->paused ? "paused" : "open", g->limit.interval_us, g->limit.concurrency);
    apply_gate(w, key, name);
}

void clients_turn(struct world *w)
{
    uint64_t count = one_in(w, 60) ? chance(w, 40) : chance(w, 4) == 0; /* a crowd at times */
    for (; count && w->submitted < JOBS && !w->failure[0]; count--)
        submit(w);
    if (one_in(w, 40) && w->submitted && !w->failure[0])
        cancel(w);
    if (one_in(w, 60))
        turn_gate(w);
}

void clients_calm(struct world *w)
{
    for (int k = 0; k < KEYS; k++)
        for (unsigned n = 1; n <= NAMES; n++)
            w->gates[k][n].paused = false;
    for (int k = 0; k < KEYS && w->broker_up; k++)
        for (unsigned n = 1; n <= NAMES; n++)
            apply_gate(w, (enum board_key)k, n);
}
