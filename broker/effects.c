#include "broker/effects.h"

#include "broker/broker.h"
#include "broker/intake.h"
#include "broker/journal.h"
#include "broker/payloads.h"
#include "common/clock.h"
#include "common/result.h"

#include <assert.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Events that came while a step's effects were being carried out, in order. */
struct effects {
    struct board_effects now;
    struct board_event *queue;
    size_t head, count, capacity;
    bool running;
};

/* -- effects, one by one -- */

static void on_appended(void *arg, struct store_op *op, pb_err err);
static void on_committed(void *arg, struct store_op *op, pb_err err);

static void fx_append(struct broker *b, const struct board_effect *fx)
{
    pb_err err = journal_submit(b->journal, fx->cargo, on_appended, b);
    if (err)
        on_appended(b, fx->cargo, err);
}

static void fx_accept(struct broker *b, const struct board_effect *fx)
{
    intake_accepted(b, &fx->job);
}

static void fx_reject(struct broker *b, const struct board_effect *fx)
{
    intake_rejected(b, &fx->job, fx->err, fx->cargo);
    journal_op_free(fx->cargo);
}

static void fx_dispatch(struct broker *b, const struct board_effect *fx)
{
    payloads_dispatch(b->payloads, fx);
}

static void fx_commit(struct broker *b, const struct board_effect *fx)
{
    struct store_op *op = fx->cargo;
    if (fx->outcome == OUTCOME_RETRY)
        op->job.attempts = fx->attempts;
    pb_err err = journal_submit(b->journal, op, on_committed, b);
    if (err) {
        log_line(&b->log, LOG_ERROR, "no memory to commit an outcome; the worker sends it again", NULL);
        op->outcome = PB_E_CONFLICT; /* runs again */
        on_committed(b, op, PB_OK);
    }
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
    struct store_op *op = fx->cargo;
    payloads_forget(b->payloads, &fx->job);
    intake_finished(b, &fx->job, op->job.state, op->job.result);
    journal_op_free(op);
}

static void fx_cancel(struct broker *b, const struct board_effect *fx)
{
    links_send_cancel(b->links, fx->session, fx->fence);
}

static void fx_ask(struct broker *b, const struct board_effect *fx)
{
    links_ask_list(b->links, fx->session);
}

typedef void carry_out(struct broker *b, const struct board_effect *fx);

static carry_out *const table[] = {
    [BOARD_APPEND] = fx_append,       [BOARD_ACCEPT] = fx_accept, [BOARD_REJECT] = fx_reject,
    [BOARD_DISPATCH] = fx_dispatch,   [BOARD_COMMIT] = fx_commit, [BOARD_STALE] = fx_stale,
    [BOARD_DUPLICATE] = fx_duplicate, [BOARD_SETTLE] = fx_settle, [BOARD_FINISH] = fx_finish,
    [BOARD_CANCEL] = fx_cancel,       [BOARD_ASK] = fx_ask,
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

static char *reason_json(const char *code, const char *message)
{
    json_t *json = json_pack("{s:s, s:s}", "code", code, "message", message);
    char *text = json ? json_dumps(json, JSON_COMPACT) : NULL;
    json_decref(json);
    return text;
}

/* The store refused the change, so the job ends without it: as a failure that says why, in a commit of its
 * own. */
static bool fail_instead(struct broker *b, struct store_op *op)
{
    bool taken = op->outcome == PB_E_EXISTS;
    if ((!taken && op->outcome != PB_E_NOT_FOUND) || op->change.kind == CHANGE_NONE)
        return false;
    char *reason = taken ? reason_json("name_taken", "another integration has this name; choose another")
                         : reason_json("not_found", "the integration was deleted meanwhile");
    free(op->job.result);
    op->job.result = reason;
    op->job.state = JOB_FAILED;
    integration_fini(&op->change.doc);
    op->change = (struct store_change){0};
    op->outcome = PB_OK;
    return journal_submit(b->journal, op, on_committed, b) == PB_OK;
}

static void on_committed(void *arg, struct store_op *op, pb_err err)
{
    struct broker *b = arg;
    if (err) { /* the broker stops: the job is still in the store, and the worker still has its outcome */
        journal_op_free(op);
        return;
    }
    if (fail_instead(b, op))
        return;
    struct board_event e = {
        .kind = BOARD_COMMITTED,
        .job = op->job.id,
        .fence = op->change.fence,
        .outcome = op->kind == STORE_RETRY_JOB      ? OUTCOME_RETRY
                   : op->job.state == JOB_DONE      ? OUTCOME_DONE
                   : op->job.state == JOB_CANCELLED ? OUTCOME_CANCELLED
                                                    : OUTCOME_FAILED,
        .err = op->outcome == PB_E_CONFLICT ? PB_E_CONFLICT : PB_OK,
        .cargo = op,
    };
    effects_step(b, &e);
}

/* -- what workers say -- */

static void set_seal_key(struct broker *b, const uint8_t key[SEAL_PUBLIC_BYTES]);

static bool is_text(struct wire_text t, const char *text)
{
    return t.len == strlen(text) && memcmp(t.data, text, t.len) == 0;
}

/* A worker without a package, or with another version of it, is no reason to refuse it: packages are updated
 * one worker at a time. But whoever wonders about failing tests must find this in the log. */
static void compare_packages(const struct broker *b, const struct wire_join *join)
{
    char worker[LIMIT_WORKER_NAME + 1];
    snprintf(worker, sizeof worker, "%.*s", (int)join->name.len, join->name.data);
    for (size_t i = 0; i < manifests_count(b->types); i++) {
        const struct manifest *m = manifests_at(b->types, i);
        size_t k = 0;
        while (k < join->type_count && !is_text(join->types[k].type, m->type))
            k++;
        if (k < join->type_count && is_text(join->types[k].hash, m->hash))
            continue;
        log_line(
            &b->log, LOG_WARN,
            "a worker's packages are not the broker's: its tests of this type fail or differ; give both the "
            "same --manifests and start the worker again",
            "worker", worker, "type", m->type, "package", k == join->type_count ? "missing" : "differs",
            NULL);
        return; /* the first one is enough */
    }
}

static pb_err on_joined(void *arg, links_session session, const struct wire_join *join, struct pb_why *why)
{
    struct broker *b = arg;
    bool same = b->have_seal_key && memcmp(b->seal_key, join->seal_key, sizeof b->seal_key) == 0;
    if (!same && b->have_seal_key && links_worker_count(b->links) > 0)
        return pb_fail(why, PB_E_DENIED, "keyring",
                       "this worker's keyring is not the one of the workers that are here already; "
                       "give every worker the same keyring file");
    if (!same && b->have_seal_key)
        log_line(
            &b->log, LOG_WARN,
            "the workers' keyring is another one than before: credentials that were stored with the old one "
            "cannot be opened; if that is not meant, give the workers the old keyring file again",
            NULL);
    if (!same)
        set_seal_key(b, join->seal_key);
    compare_packages(b, join);
    effects_step(b, &(struct board_event){.kind = BOARD_JOIN, .session = session});
    for (size_t i = 0; i < join->held_count; i++) {
        struct board_event held = {
            .kind = BOARD_HELD, .session = session, .job = join->held[i].job, .fence = join->held[i].fence};
        effects_step(b, &held);
    }
    return PB_OK;
}

static void on_meta_set(void *arg, struct store_op *op, pb_err err)
{
    (void)arg;
    (void)err;
    free((void *)(uintptr_t)op->meta_value);
    journal_op_free(op);
}

static void set_seal_key(struct broker *b, const uint8_t key[SEAL_PUBLIC_BYTES])
{
    memcpy(b->seal_key, key, sizeof b->seal_key);
    b->have_seal_key = true;
    struct store_op *op = journal_op_new(STORE_SET_META);
    char *hex = malloc(2 * SEAL_PUBLIC_BYTES + 1);
    if (op && hex) {
        op->meta_key = BROKER_META_SEAL_KEY;
        op->meta_value = sodium_bin2hex(hex, 2 * SEAL_PUBLIC_BYTES + 1, key, SEAL_PUBLIC_BYTES);
        if (journal_submit(b->journal, op, on_meta_set, b) == PB_OK)
            return;
    }
    free(hex);
    journal_op_free(op);
}

static char *copy_text(struct wire_text t)
{
    return t.len ? strndup(t.data, t.len) : NULL;
}

static pb_err fill_change(const struct wire_outcome *o, struct store_change *change)
{
    change->kind = o->change.kind;
    change->fence = o->fence;
    change->if_generation = o->change.if_generation;
    if (o->change.kind == CHANGE_NONE)
        return PB_OK;
    pb_err err = integration_unpack(o->change.doc.data, o->change.doc.len, &change->doc);
    change->doc.fence = o->fence;
    return err;
}

/* The commit of an outcome; NULL if its document is not one. */
static struct store_op *outcome_op(const struct wire_outcome *o)
{
    struct store_op *op = journal_op_new(o->outcome == OUTCOME_RETRY ? STORE_RETRY_JOB : STORE_FINISH_JOB);
    if (!op)
        return NULL;
    op->job.id = o->job;
    op->job.state = o->outcome == OUTCOME_DONE        ? JOB_DONE
                    : o->outcome == OUTCOME_CANCELLED ? JOB_CANCELLED
                                                      : JOB_FAILED;
    op->job.finished_at_ms = clock_wall_ms();
    op->job.result = copy_text(o->result);
    if (fill_change(o, &op->change) != PB_OK) {
        journal_op_free(op);
        return NULL;
    }
    return op;
}

static void take_outcome(struct broker *b, links_session session, const struct wire_outcome *o)
{
    struct board_event e = {
        .kind = BOARD_OUTCOME,
        .session = session,
        .job = o->job,
        .fence = o->fence,
        .outcome = o->outcome,
        .retry_after_ms = o->retry_after_ms,
    };
    e.cargo = outcome_op(o);
    if (!e.cargo) {
        log_line(&b->log, LOG_ERROR,
                 "a worker's outcome holds a document that cannot be read; its attempt will be lost", NULL);
        return;
    }
    effects_step(b, &e);
}

static bool is_listed(void *arg, uint64_t fence)
{
    const struct wire_report *r = arg;
    for (size_t i = 0; i < r->list_count; i++)
        if (r->list[i].fence == fence)
            return true;
    return false;
}

static void reconcile(struct broker *b, links_session session, const struct wire_report *report)
{
    struct effects *fx = b->effects;
    assert(!fx->running);
    board_reconcile(b->board, b->now_ms, session, is_listed, (void *)(uintptr_t)report, &fx->now);
    fx->running = true;
    carry_out_all(b, fx);
    fx->running = false;
    effects_step(b, &(struct board_event){.kind = BOARD_TICK});
    for (size_t i = 0; i < report->list_count; i++) {
        struct board_event held = {.kind = BOARD_HELD,
                                   .session = session,
                                   .job = report->list[i].job,
                                   .fence = report->list[i].fence};
        effects_step(b, &held);
    }
}

static void on_report(void *arg, links_session session, const struct wire_report *report)
{
    struct broker *b = arg;
    for (size_t i = 0; i < report->outcome_count; i++)
        take_outcome(b, session, &report->outcomes[i]);
    struct board_event beat = {
        .kind = BOARD_BEAT,
        .session = session,
        .beat = {report->received, report->free, report->running, report->running_sum},
    };
    effects_step(b, &beat);
    if (report->has_list)
        reconcile(b, session, report);
}

/* Its worker drains: no attempt is counted. */
static void on_undelivered(void *arg, links_session session, const struct wire_attempt *attempt)
{
    struct board_event back = {.kind = BOARD_OUTCOME,
                               .session = session,
                               .job = attempt->job,
                               .fence = attempt->fence,
                               .outcome = OUTCOME_RETURNED,
                               .undelivered = true};
    effects_step(arg, &back);
}

static void on_left(void *arg, links_session session, const char *reason, bool clean)
{
    (void)reason;
    struct broker *b = arg;
    effects_step(b, &(struct board_event){.kind = BOARD_LEAVE, .session = session, .undelivered = clean});
}

const struct links_events effects_of_links = {
    .joined = on_joined, .report = on_report, .undelivered = on_undelivered, .left = on_left};

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
