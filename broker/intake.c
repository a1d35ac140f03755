#include "broker/intake.h"

#include "broker/batches.h"
#include "broker/board/board.h"
#include "broker/broker.h"
#include "broker/effects.h"
#include "broker/journal.h"
#include "broker/keeper.h"
#include "broker/reader.h"
#include "broker/spec.h"
#include "common/store.h"

#include <stdlib.h>
#include <string.h>
#include <uthash.h>

/* Someone who is to be answered about a job. */
struct waiter {
    intake_done *done;
    void *arg;
    uint64_t until_ms; /* 0: answer as soon as the job is accepted */
    uint32_t wait_ms;
    bool accepted, duplicate;
    struct waiter *next;
};

/* A job that someone waits for. */
struct awaited {
    struct pb_id job;
    struct waiter *waiters;
    UT_hash_handle hh;
};

struct intake {
    struct awaited *by_job;
    struct late *late;
};

/* -- answers that must not come from within the call that asked -- */

struct late {
    intake_done *done;
    void *arg;
    struct intake_answer answer;
    struct late *next;
};

static void answer(struct waiter *w, struct intake_answer *a)
{
    a->duplicate = a->duplicate || w->duplicate;
    w->done(w->arg, a);
    free(w);
}

/* After intake_close() there is no later: a read that ends then may still bring something to submit. */
static void answer_later(struct broker *b, struct waiter *w, const struct intake_answer *a)
{
    struct late *l = b->intake ? calloc(1, sizeof *l) : NULL;
    if (!l) {
        struct intake_answer now = *a;
        answer(w, &now);
        return;
    }
    *l = (struct late){w->done, w->arg, *a, b->intake->late};
    b->intake->late = l;
    free(w);
}

static void answer_all_late(struct intake *in)
{
    while (in->late) {
        struct late *l = in->late;
        in->late = l->next;
        l->done(l->arg, &l->answer);
        free(l);
    }
}

/* -- who waits for what -- */

static struct awaited *awaited(struct intake *in, const struct pb_id *job)
{
    struct awaited *a;
    HASH_FIND(hh, in->by_job, job, sizeof *job, a);
    return a;
}

static pb_err await(struct intake *in, const struct pb_id *job, struct waiter *w)
{
    struct awaited *a = awaited(in, job);
    if (!a) {
        a = calloc(1, sizeof *a);
        if (!a)
            return PB_E_MEMORY;
        a->job = *job;
        HASH_ADD(hh, in->by_job, job, sizeof a->job, a);
    }
    w->next = a->waiters;
    a->waiters = w;
    return PB_OK;
}

static struct waiter *waiter_new(uint32_t wait_ms, intake_done *done, void *arg)
{
    struct waiter *w = calloc(1, sizeof *w);
    if (w)
        *w = (struct waiter){.done = done, .arg = arg, .wait_ms = wait_ms};
    return w;
}

/* Takes every waiter of a job; the job is awaited no longer. */
static struct waiter *take_waiters(struct intake *in, const struct pb_id *job)
{
    struct awaited *a = awaited(in, job);
    if (!a)
        return NULL;
    struct waiter *all = a->waiters;
    HASH_DEL(in->by_job, a);
    free(a);
    return all;
}

static void answer_all(struct waiter *all, const struct intake_answer *a)
{
    while (all) {
        struct waiter *w = all;
        struct intake_answer copy = *a;
        all = w->next;
        answer(w, &copy);
    }
}

/* -- submitting -- */

static const char *refusal(pb_err err)
{
    static const struct {
        pb_err err;
        const char *text;
    } texts[] = {
        {PB_E_CLOSED, "the broker is stopping; try again in a moment"},
        {PB_E_STORE, "the store cannot be written at the moment; try again later"},
        {PB_E_MEMORY, "too many jobs are waiting; try again later"},
        {PB_E_BUSY, "too many jobs are waiting; try again later"},
        {PB_E_LIMIT, "this tenant has as many jobs waiting as it may have; try again when some have ended"},
        {PB_E_CONFLICT, "only a job that was given up (state dead) can be sent again"},
        {PB_E_NOT_FOUND, "there is no such job"},
    };
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++)
        if (texts[i].err == err)
            return texts[i].text;
    return "the job was refused";
}

/* Takes the operation, NULL where there was no memory for it. */
static void submit(struct broker *b, const struct pb_id *job, struct store_op *op,
                   const struct board_event *e, struct waiter *w)
{
    pb_err err = b->draining ? PB_E_CLOSED : op ? await(b->intake, job, w) : PB_E_MEMORY;
    if (!err) {
        effects_step(b, e);
        return;
    }
    struct intake_answer a = {.err = err, .job = *job, .why = refusal(err)};
    answer_later(b, w, &a);
    journal_op_free(op);
}

static void answer_without_memory(intake_done *done, void *arg)
{
    struct intake_answer a = {.err = PB_E_BUSY, .why = refusal(PB_E_BUSY)};
    done(arg, &a); /* no memory even to answer later */
}

void intake_submit(struct broker *b, struct job *job, uint32_t wait_ms, intake_done *done, void *arg)
{
    struct waiter *w = waiter_new(wait_ms, done, arg);
    struct store_op *op = w ? journal_op_new(STORE_APPEND_JOB) : NULL;
    struct board_event e = {.kind = BOARD_SUBMIT,
                            .job = job->id,
                            .integration = job->integration,
                            .spec = spec_of(b, job),
                            .cargo = op};
    if (op) {
        op->job = *job;
        *job = (struct job){0};
    }
    job_fini(job);
    batches_yield(b, &e.integration);
    keeper_yield(b, &e.integration);
    if (w)
        submit(b, &e.job, op, &e, w);
    else
        answer_without_memory(done, arg);
}

/* It is on the board already: somebody else was faster. The board would refuse it by its id alone, and with
 * it everybody who waits for that id. */
static void refuse_revived(struct broker *b, struct waiter *w, const struct pb_id *job, struct store_op *op)
{
    struct intake_answer a = {.err = PB_E_CONFLICT, .job = *job, .why = refusal(PB_E_CONFLICT)};
    answer_later(b, w, &a);
    journal_op_free(op);
}

void intake_revive(struct broker *b, const struct job *dead, int64_t not_before_ms, uint32_t wait_ms,
                   intake_done *done, void *arg)
{
    struct waiter *w = waiter_new(wait_ms, done, arg);
    struct store_op *op = w ? journal_op_new(STORE_REVIVE_JOB) : NULL;
    struct board_event e = {.kind = BOARD_SUBMIT,
                            .job = dead->id,
                            .integration = dead->integration,
                            .spec = spec_of(b, dead),
                            .cargo = op};
    e.spec.attempts = e.spec.crashes = 0;
    e.spec.cancelled = false;
    e.spec.deadline_ms = 0;
    e.spec.not_before_ms = spec_board_ms(b, not_before_ms);
    if (op) {
        op->job.id = dead->id;
        op->job.not_before_ms = not_before_ms;
    }
    if (w && board_state_of(b->board, &dead->id, &e.spec.cancelled))
        refuse_revived(b, w, &dead->id, op);
    else if (w)
        submit(b, &e.job, op, &e, w);
    else
        answer_without_memory(done, arg);
}

pb_err intake_wait(struct broker *b, const struct pb_id *job, uint32_t wait_ms, intake_done *done, void *arg)
{
    if (!board_has(b->board, job))
        return PB_E_NOT_FOUND;
    struct waiter *w = waiter_new(wait_ms, done, arg);
    pb_err err = w ? await(b->intake, job, w) : PB_E_MEMORY;
    if (err) {
        free(w);
        return err;
    }
    w->accepted = true;
    w->until_ms = b->now_ms + wait_ms;
    return PB_OK;
}

/* Answers the waiters whose time is over and keeps the others. */
static void answer_due(struct broker *b, struct awaited *a, uint64_t *next_ms)
{
    struct waiter **link = &a->waiters;
    while (*link) {
        struct waiter *w = *link;
        if (!w->accepted || w->until_ms > b->now_ms) {
            if (w->accepted && w->until_ms < *next_ms)
                *next_ms = w->until_ms;
            link = &w->next;
            continue;
        }
        *link = w->next;
        struct intake_answer ans = {.job = a->job, .state = JOB_WAITING};
        answer(w, &ans);
    }
}

static void answer_job_due(struct broker *b, const struct pb_id *job)
{
    struct awaited *a = awaited(b->intake, job);
    uint64_t ignored = UINT64_MAX;
    if (!a)
        return;
    answer_due(b, a, &ignored);
    if (a->waiters)
        return;
    HASH_DEL(b->intake->by_job, a);
    free(a);
}

void intake_accepted(struct broker *b, const struct pb_id *job)
{
    struct awaited *a = awaited(b->intake, job);
    for (struct waiter *w = a ? a->waiters : NULL; w; w = w->next) {
        w->accepted = true;
        w->until_ms = b->now_ms + w->wait_ms;
    }
    answer_job_due(b, job);
}

/* -- a job that was there before -- */

struct lookup {
    struct waiter *waiter;
    struct pb_id id;
    struct job job;
};

static pb_err lookup_read(struct store *store, void *arg, struct pb_why *why)
{
    struct lookup *l = arg;
    return store_get_job(store, &l->id, &l->job, why);
}

static void lookup_done(void *arg, pb_err err, const struct pb_why *why)
{
    struct lookup *l = arg;
    struct intake_answer a = {
        .err = err,
        .job = l->id,
        .duplicate = true,
        .finished = !err && l->job.state != JOB_WAITING,
        .state = l->job.state,
        .result = l->job.result,
        .why = err ? why->text : NULL,
    };
    answer(l->waiter, &a);
    job_fini(&l->job);
    free(l);
}

static void look_up(struct broker *b, struct waiter *w, const struct pb_id *job)
{
    struct lookup *l = calloc(1, sizeof *l);
    pb_err err = l ? PB_OK : PB_E_MEMORY;
    if (l) {
        *l = (struct lookup){.waiter = w, .id = *job};
        err = reader_submit(b->reader, lookup_read, lookup_done, l);
    }
    if (err) {
        struct intake_answer a = {.err = PB_E_BUSY, .job = *job, .why = refusal(PB_E_BUSY)};
        free(l);
        answer_later(b, w, &a);
    }
}

/* The idempotency key is known: the waiters wait for that job instead. */
static void follow(struct broker *b, struct waiter *all, const struct pb_id *existing)
{
    while (all) {
        struct waiter *w = all;
        all = w->next;
        w->duplicate = w->accepted = true;
        w->until_ms = b->now_ms + w->wait_ms;
        if (!board_has(b->board, existing) || await(b->intake, existing, w) != PB_OK)
            look_up(b, w, existing);
    }
    answer_job_due(b, existing);
}

void intake_rejected(struct broker *b, const struct pb_id *job, pb_err err, const struct store_op *op)
{
    struct waiter *all = take_waiters(b->intake, job);
    struct intake_answer a = {.err = err == PB_E_MEMORY ? PB_E_BUSY : err, .job = *job, .why = refusal(err)};
    if (err == PB_E_EXISTS && op && !id_is_nil(&op->existing_job)) {
        follow(b, all, &op->existing_job);
        return;
    }
    while (all) { /* a full board rejects from within intake_submit() */
        struct waiter *w = all;
        all = w->next;
        answer_later(b, w, &a);
    }
}

void intake_finished(struct broker *b, const struct pb_id *job, enum job_state state, const char *result)
{
    struct intake_answer a = {.job = *job, .finished = true, .state = state, .result = result};
    answer_all(take_waiters(b->intake, job), &a);
}

/* -- for the loop -- */

pb_err intake_open(struct intake **out)
{
    *out = calloc(1, sizeof **out);
    return *out ? PB_OK : PB_E_MEMORY;
}

uint64_t intake_tick(struct broker *b)
{
    struct awaited *a, *next;
    uint64_t next_ms = UINT64_MAX;
    answer_all_late(b->intake);
    HASH_ITER(hh, b->intake->by_job, a, next)
    {
        answer_due(b, a, &next_ms);
        if (!a->waiters) {
            HASH_DEL(b->intake->by_job, a);
            free(a);
        }
    }
    return b->intake->late ? b->now_ms : next_ms;
}

/* What was accepted stays so: the job goes on after the next start. */
static void close_awaited(struct awaited *a)
{
    while (a->waiters) {
        struct waiter *w = a->waiters;
        struct intake_answer accepted = {.job = a->job, .state = JOB_WAITING};
        struct intake_answer closing = {.err = PB_E_CLOSED, .why = refusal(PB_E_CLOSED)};
        a->waiters = w->next;
        answer(w, w->accepted ? &accepted : &closing);
    }
    free(a);
}

void intake_close(struct broker *b)
{
    struct awaited *a, *next;
    if (!b->intake)
        return;
    answer_all_late(b->intake);
    HASH_ITER(hh, b->intake->by_job, a, next)
    {
        HASH_DEL(b->intake->by_job, a);
        close_awaited(a);
    }
    free(b->intake);
    b->intake = NULL;
}
