#include "broker/verdict.h"

#include "broker/journal.h"
#include "common/clock.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>

static char *reason_json(const char *code, const char *message)
{
    json_t *json = json_pack("{s:s, s:s}", "code", code, "message", message);
    char *text = json ? json_dumps(json, JSON_COMPACT) : NULL;
    json_decref(json);
    return text;
}

/* The result of a job that the board ended, as JSON (malloc'ed; NULL without memory). */
static char *ended_json(enum board_reason reason)
{
    static const char *const texts[][2] = {
        [REASON_NONE] = {"internal", "the job was ended without a reason"},
        [REASON_CANCELLED] = {"cancelled", "the job was cancelled before it had an outcome"},
        [REASON_DEADLINE] = {"deadline_exceeded", "the job was not finished before its deadline"},
        [REASON_ATTEMPTS] = {"attempts_exhausted",
                             "every attempt ended without an outcome; the workers' logs say why"},
        [REASON_POISON] = {"poison",
                           "workers died while they ran this job alone; it is kept from them. Look at the "
                           "workers' logs before it is sent again"},
        [REASON_LOST] = {"worker_lost", "the worker that ran this was lost; ask again"},
    };
    return reason_json(texts[reason][0], texts[reason][1]);
}

enum job_state verdict_state(enum job_outcome outcome)
{
    static const enum job_state states[] = {
        [OUTCOME_DONE] = JOB_DONE,        [OUTCOME_FAILED] = JOB_FAILED,       [OUTCOME_RETRY] = JOB_WAITING,
        [OUTCOME_RETURNED] = JOB_WAITING, [OUTCOME_CANCELLED] = JOB_CANCELLED, [OUTCOME_DEAD] = JOB_DEAD,
    };
    return states[outcome];
}

enum job_outcome verdict_outcome(const struct store_op *op)
{
    static const enum job_outcome outcomes[] = {[JOB_WAITING] = OUTCOME_RETRY,
                                                [JOB_DONE] = OUTCOME_DONE,
                                                [JOB_FAILED] = OUTCOME_FAILED,
                                                [JOB_CANCELLED] = OUTCOME_CANCELLED,
                                                [JOB_DEAD] = OUTCOME_DEAD};
    return op->kind == STORE_RETRY_JOB ? OUTCOME_RETRY : outcomes[op->job.state];
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

struct store_op *verdict_of_outcome(const struct wire_outcome *o)
{
    struct store_op *op = journal_op_new(STORE_FINISH_JOB);
    if (!op)
        return NULL;
    op->job.id = o->job;
    op->job.state = verdict_state(o->outcome);
    op->job.finished_at_ms = clock_wall_ms();
    op->job.result = o->result.len ? strndup(o->result.data, o->result.len) : NULL;
    if (fill_change(o, &op->change) != PB_OK) {
        journal_op_free(op);
        return NULL;
    }
    return op;
}

struct store_op *verdict_new(const struct pb_id *job, enum job_state state, const char *code,
                             const char *message)
{
    struct store_op *op = journal_op_new(STORE_FINISH_JOB);
    if (!op)
        return NULL;
    op->job.id = *job;
    op->job.state = state;
    op->job.finished_at_ms = clock_wall_ms();
    op->job.result = reason_json(code, message);
    if (op->job.result)
        return op;
    journal_op_free(op);
    return NULL;
}

static void drop_change(struct store_op *op)
{
    uint64_t fence = op->change.fence;
    integration_fini(&op->change.doc);
    op->change = (struct store_change){.fence = fence};
}

static void complete_retry(struct store_op *op, const struct board_effect *commit)
{
    op->kind = STORE_RETRY_JOB;
    op->job.state = JOB_WAITING;
    op->job.attempts = commit->attempts;
    op->job.crashes = commit->crashes;
    op->job.not_before_ms = clock_wall_ms() + (int64_t)commit->not_before_in_ms;
    op->job.finished_at_ms = 0;
    drop_change(op);
}

struct store_op *verdict_complete(struct store_op *op, const struct board_effect *commit)
{
    if (op)
        op->job.attempts = commit->attempts;
    if (op && commit->outcome == OUTCOME_RETRY) {
        complete_retry(op, commit);
        return op;
    }
    if (commit->reason == REASON_NONE)
        return op;
    char *reason = ended_json(commit->reason);
    struct store_op *own = op ? op : journal_op_new(STORE_FINISH_JOB);
    if (!reason || !own) {
        free(reason);
        if (own != op)
            journal_op_free(own);
        return NULL;
    }
    own->job.id = commit->job;
    own->job.attempts = commit->attempts;
    own->job.state = verdict_state(commit->outcome);
    own->job.finished_at_ms = clock_wall_ms();
    free(own->job.result);
    own->job.result = reason;
    drop_change(own);
    return own;
}

bool verdict_fail_instead(struct store_op *op)
{
    bool taken = op->outcome == PB_E_EXISTS;
    if ((!taken && op->outcome != PB_E_NOT_FOUND) || op->change.kind == CHANGE_NONE)
        return false;
    char *reason = taken ? reason_json("name_taken", "another integration has this name; choose another")
                         : reason_json("not_found", "the integration was deleted meanwhile");
    if (!reason)
        return false;
    free(op->job.result);
    op->job.result = reason;
    op->job.state = JOB_FAILED;
    drop_change(op);
    op->outcome = PB_OK;
    return true;
}
