#include "common/store_sqlite_writer.h"

#include "common/clock.h"
#include "common/store_ops.h"

/* Operations, and their parts that can be refused, give their outcome in *verdict and return SQLite's code:
 * SQLITE_DONE when the store itself is well. */

/* Steps a statement that gives no rows, and gives it back. */
static int run(sqlite3_stmt *st)
{
    int rc = sqlite3_step(st);
    rows_give(st);
    return rc;
}

/* -- fenced changes of integrations -- */

static int look_in(struct writer *w, enum sql_statement which, const struct pb_id *id, struct store_seen *out)
{
    sqlite3_stmt *st = rows_take(w->rows, which);
    if (!st)
        return SQLITE_ERROR;
    rows_bind_id(st, 1, id);
    int rc = sqlite3_step(st);
    *out = (struct store_seen){.exists = rc == SQLITE_ROW};
    out->fence = out->exists ? (uint64_t)sqlite3_column_int64(st, 0) : 0;
    bool whole = out->exists && which == SQL_FENCE_OF;
    out->generation = whole ? sqlite3_column_int64(st, 1) : 0;
    out->revision = whole ? sqlite3_column_int64(st, 2) : 0;
    rows_give(st);
    return rc == SQLITE_ROW ? SQLITE_DONE : rc;
}

/* What is left of a deleted one counts before a document. */
static int look(struct writer *w, const struct pb_id *id, struct store_seen *out)
{
    struct store_seen tomb;
    int rc = look_in(w, SQL_FENCE_OF, id, out);
    if (rc == SQLITE_DONE)
        rc = look_in(w, SQL_TOMBSTONE_OF, id, &tomb);
    if (rc == SQLITE_DONE && tomb.exists)
        *out = (struct store_seen){.deleted = true, .fence = tomb.fence};
    return rc;
}

static int name_owner(struct writer *w, const struct integration *in, struct pb_id *owner, bool *taken)
{
    sqlite3_stmt *st = rows_take(w->rows, SQL_FIND_NAME);
    if (!st)
        return SQLITE_ERROR;
    rows_bind_text(st, 1, in->tenant);
    rows_bind_text(st, 2, in->name);
    int rc = sqlite3_step(st);
    if (rc == SQLITE_ROW)
        rows_column_id(st, 0, owner);
    *taken = rc == SQLITE_ROW && !id_equal(owner, &in->id);
    rows_give(st);
    return rc == SQLITE_ROW ? SQLITE_DONE : rc;
}

static int put_integration(struct writer *w, const struct store_change *c)
{
    sqlite3_stmt *st = rows_take(w->rows, SQL_PUT_INTEGRATION);
    if (!st)
        return SQLITE_ERROR;
    rows_bind_integration(st, &c->doc);
    rows_bind_fence(st, 28, c->fence);
    return run(st);
}

static int delete_row(struct writer *w, enum sql_statement which, const struct pb_id *id)
{
    sqlite3_stmt *st = rows_take(w->rows, which);
    if (!st)
        return SQLITE_ERROR;
    rows_bind_id(st, 1, id);
    return run(st);
}

static int purge_tombstones(struct writer *w, int64_t now_ms)
{
    sqlite3_stmt *st = rows_take(w->rows, SQL_PURGE_TOMBSTONES);
    if (!st)
        return SQLITE_ERROR;
    sqlite3_bind_int64(st, 1, now_ms - STORE_TOMBSTONE_KEEP_MS);
    return run(st);
}

static int delete_integration(struct writer *w, const struct store_change *c)
{
    int64_t now_ms = clock_wall_ms();
    int rc = delete_row(w, SQL_DELETE_INTEGRATION, &c->doc.id);
    if (rc != SQLITE_DONE || (rc = purge_tombstones(w, now_ms)) != SQLITE_DONE)
        return rc;
    sqlite3_stmt *st = rows_take(w->rows, SQL_PUT_TOMBSTONE);
    if (!st)
        return SQLITE_ERROR;
    rows_bind_id(st, 1, &c->doc.id);
    rows_bind_fence(st, 2, c->fence);
    sqlite3_bind_int64(st, 3, now_ms);
    return run(st);
}

/* All conditions of a change; *again: it was written by this very attempt before. Writes nothing. */
static int judge_change(struct writer *w, const struct store_change *c, bool *again, pb_err *verdict)
{
    struct store_seen seen;
    struct pb_id owner;
    bool taken = false;
    int rc = look(w, &c->doc.id, &seen);
    if (rc != SQLITE_DONE)
        return rc;
    *verdict = store_judge(c, &seen, again);
    if (*verdict || *again || c->kind == CHANGE_DELETE)
        return rc;
    rc = name_owner(w, &c->doc, &owner, &taken);
    if (taken)
        *verdict = PB_E_EXISTS;
    return rc;
}

static int write_change(struct writer *w, const struct store_change *c)
{
    return c->kind == CHANGE_DELETE ? delete_integration(w, c) : put_integration(w, c);
}

/* -- jobs -- */

/* An update that met no waiting job: was it done before (fine), or is the job unknown, or ended otherwise? */
static int judge_repeat(struct writer *w, const struct store_op *op, enum job_state wanted, pb_err *verdict)
{
    sqlite3_stmt *st = rows_take(w->rows, SQL_JOB_STATE);
    if (!st)
        return SQLITE_ERROR;
    rows_bind_id(st, 1, &op->job.id);
    int rc = sqlite3_step(st);
    if (rc == SQLITE_DONE)
        *verdict = PB_E_NOT_FOUND;
    else if (rc == SQLITE_ROW && sqlite3_column_int(st, 0) != (int)wanted)
        *verdict = PB_E_CONFLICT;
    rows_give(st);
    return rc == SQLITE_ROW ? SQLITE_DONE : rc;
}

static bool none_changed(const struct writer *w)
{
    return sqlite3_changes(w->rows->db) == 0;
}

static enum ended_group group_of(enum job_state state)
{
    return state == JOB_DEAD ? ENDED_DEAD : ENDED_WELL_OR_NOT;
}

/* Which job has its key, or its id? */
static int find_job(struct writer *w, const struct job *job, struct pb_id *out)
{
    sqlite3_stmt *st = rows_take(w->rows, SQL_FIND_JOB);
    if (!st)
        return SQLITE_ERROR;
    rows_bind_text(st, 1, job->tenant);
    rows_bind_text(st, 2, job->idem[0] ? job->idem : NULL);
    rows_bind_id(st, 3, &job->id);
    int rc = sqlite3_step(st);
    if (rc == SQLITE_ROW)
        rows_column_id(st, 0, out);
    rows_give(st);
    return rc == SQLITE_ROW ? SQLITE_DONE : rc;
}

static int append_job(struct writer *w, struct store_op *op, pb_err *verdict)
{
    sqlite3_stmt *st = rows_take(w->rows, SQL_INSERT_JOB);
    if (!st)
        return SQLITE_ERROR;
    rows_bind_job(st, &op->job);
    int rc = run(st);
    if (rc != SQLITE_DONE || !none_changed(w))
        return rc;
    *verdict = PB_E_EXISTS;
    return find_job(w, &op->job, &op->existing_job);
}

static int end_job(struct writer *w, const struct store_op *op, pb_err *verdict)
{
    sqlite3_stmt *st = rows_take(w->rows, SQL_FINISH_JOB);
    if (!st)
        return SQLITE_ERROR;
    rows_bind_id(st, 1, &op->job.id);
    sqlite3_bind_int(st, 2, (int)op->job.state);
    rows_bind_text(st, 3, op->job.result);
    sqlite3_bind_int64(st, 4, op->job.finished_at_ms);
    sqlite3_bind_int64(st, 5, op->job.attempts);
    int rc = run(st);
    if (rc != SQLITE_DONE)
        return rc;
    if (none_changed(w))
        return judge_repeat(w, op, op->job.state, verdict);
    w->ended[group_of(op->job.state)].pending++;
    return rc;
}

/* The change is judged first and written last: if the job refuses its end, nothing has been written. */
static int finish_job(struct writer *w, struct store_op *op, pb_err *verdict)
{
    const struct store_change *c = &op->change;
    bool again = c->kind == CHANGE_NONE;
    int rc = again ? SQLITE_DONE : judge_change(w, c, &again, verdict);
    if (rc == SQLITE_DONE && !*verdict)
        rc = end_job(w, op, verdict);
    if (rc == SQLITE_DONE && !*verdict && !again)
        rc = write_change(w, c);
    return rc;
}

static int update_waiting(struct writer *w, sqlite3_stmt *st, const struct store_op *op, pb_err *verdict)
{
    int rc = run(st);
    return rc == SQLITE_DONE && none_changed(w) ? judge_repeat(w, op, JOB_WAITING, verdict) : rc;
}

static int retry_job(struct writer *w, struct store_op *op, pb_err *verdict)
{
    sqlite3_stmt *st = rows_take(w->rows, SQL_RETRY_JOB);
    if (!st)
        return SQLITE_ERROR;
    rows_bind_id(st, 1, &op->job.id);
    sqlite3_bind_int64(st, 2, op->job.attempts);
    sqlite3_bind_int64(st, 3, op->job.crashes);
    sqlite3_bind_int64(st, 4, op->job.not_before_ms);
    return update_waiting(w, st, op, verdict);
}

static int mark_job(struct writer *w, struct store_op *op, pb_err *verdict)
{
    sqlite3_stmt *st = rows_take(w->rows, SQL_MARK_JOB);
    if (!st)
        return SQLITE_ERROR;
    rows_bind_id(st, 1, &op->job.id);
    sqlite3_bind_int64(st, 2, op->job.crashes);
    sqlite3_bind_int(st, 3, op->job.cancel_asked);
    return update_waiting(w, st, op, verdict);
}

static int read_revived(struct writer *w, struct store_op *op)
{
    sqlite3_stmt *st = rows_take(w->rows, SQL_GET_JOB);
    if (!st)
        return SQLITE_ERROR;
    rows_bind_id(st, 1, &op->job.id);
    int rc = sqlite3_step(st);
    if (rc == SQLITE_ROW)
        rows_read_job(st, &op->job);
    rows_give(st);
    return rc == SQLITE_ROW ? SQLITE_DONE : rc;
}

static int revive_job(struct writer *w, struct store_op *op, pb_err *verdict)
{
    sqlite3_stmt *st = rows_take(w->rows, SQL_REVIVE_JOB);
    if (!st)
        return SQLITE_ERROR;
    store_forget_revived(op);
    rows_bind_id(st, 1, &op->job.id);
    sqlite3_bind_int64(st, 2, op->job.not_before_ms);
    int rc = run(st);
    if (rc != SQLITE_DONE)
        return rc;
    if (none_changed(w))
        return judge_repeat(w, op, JOB_DEAD, verdict);
    w->ended[ENDED_DEAD].pending--;
    return read_revived(w, op);
}

/* -- purging: the oldest of both groups, as one order -- */

struct oldest {
    sqlite3_stmt *st; /* walks the group from its oldest on */
    int64_t before_ms, excess;
    bool more;
    int64_t ended_at_ms; /* of the one it stands on */
    struct pb_id id;
};

static int count_ended(struct writer *w, enum ended_group g, int64_t *out)
{
    static const enum sql_statement counts[] = {SQL_COUNT_ENDED, SQL_COUNT_DEAD};
    struct ended_count *e = &w->ended[g];
    if (!e->known) {
        sqlite3_stmt *st = rows_take(w->rows, counts[g]);
        int rc = st ? sqlite3_step(st) : SQLITE_ERROR;
        e->known = rc == SQLITE_ROW;
        if (e->known)
            e->committed = sqlite3_column_int64(st, 0) - e->pending;
        rows_give(st);
        if (!e->known)
            return rc;
    }
    *out = e->committed + e->pending;
    return SQLITE_DONE;
}

static int next_oldest(struct oldest *o)
{
    int rc = sqlite3_step(o->st);
    o->more = rc == SQLITE_ROW;
    if (!o->more)
        return rc;
    o->ended_at_ms = sqlite3_column_int64(o->st, 0);
    rows_column_id(o->st, 1, &o->id);
    return SQLITE_DONE;
}

static int begin_oldest(struct writer *w, enum ended_group g, const struct store_purge *p, struct oldest *o)
{
    static const enum sql_statement walks[] = {SQL_OLDEST_ENDED, SQL_OLDEST_DEAD};
    int64_t count = 0;
    int rc = count_ended(w, g, &count);
    if (rc != SQLITE_DONE)
        return rc;
    *o = (struct oldest){.st = rows_take(w->rows, walks[g]),
                         .before_ms = g == ENDED_DEAD ? p->dead_before_ms : p->ended_before_ms};
    if ((uint64_t)count > p->keep_count)
        o->excess = count - (int64_t)p->keep_count;
    return o->st ? next_oldest(o) : SQLITE_ERROR;
}

static bool must_go(const struct oldest *o)
{
    return o->more && (o->excess > 0 || o->ended_at_ms < o->before_ms);
}

/* Of those that must go, the one that ended first. */
static struct oldest *pick_oldest(struct oldest groups[ENDED_GROUPS])
{
    struct oldest *a = &groups[0], *b = &groups[1];
    if (!must_go(a) || !must_go(b))
        return must_go(a) ? a : must_go(b) ? b : NULL;
    return b->ended_at_ms < a->ended_at_ms ? b : a;
}

static int choose_victims(struct writer *w, const struct store_purge *p, struct pb_id *ids, size_t *count)
{
    struct oldest groups[ENDED_GROUPS] = {0}, *o;
    int rc = SQLITE_DONE;
    for (int g = 0; g < ENDED_GROUPS && rc == SQLITE_DONE; g++)
        rc = begin_oldest(w, (enum ended_group)g, p, &groups[g]);
    while (rc == SQLITE_DONE && *count < LIMIT_PURGE_ROWS && (o = pick_oldest(groups))) {
        ids[(*count)++] = o->id;
        w->ended[o - groups].pending--;
        o->excess--;
        rc = next_oldest(o);
    }
    for (int g = 0; g < ENDED_GROUPS; g++)
        rows_give(groups[g].st);
    return rc;
}

static int purge_jobs(struct writer *w, struct store_op *op, pb_err *verdict)
{
    struct pb_id ids[LIMIT_PURGE_ROWS];
    size_t count = 0;
    (void)verdict;
    int rc = choose_victims(w, &op->purge, ids, &count);
    for (size_t i = 0; i < count && rc == SQLITE_DONE; i++)
        rc = delete_row(w, SQL_DELETE_JOB, &ids[i]);
    op->purge.removed = count;
    return rc;
}

/* -- the rest -- */

static int change_alone(struct writer *w, struct store_op *op, pb_err *verdict)
{
    bool again = false;
    int rc = judge_change(w, &op->change, &again, verdict);
    return rc == SQLITE_DONE && !*verdict && !again ? write_change(w, &op->change) : rc;
}

static int put_batch(struct writer *w, struct store_op *op, pb_err *verdict)
{
    (void)verdict;
    sqlite3_stmt *st = rows_take(w->rows, SQL_PUT_BATCH);
    if (!st)
        return SQLITE_ERROR;
    rows_bind_batch(st, &op->batch);
    return run(st);
}

static int put_schedule(struct writer *w, struct store_op *op, pb_err *verdict)
{
    (void)verdict;
    sqlite3_stmt *st = rows_take(w->rows, SQL_PUT_SCHEDULE);
    if (!st)
        return SQLITE_ERROR;
    rows_bind_schedule(st, &op->schedule);
    return run(st);
}

static int drop_schedule(struct writer *w, struct store_op *op, pb_err *verdict)
{
    (void)verdict;
    sqlite3_stmt *st = rows_take(w->rows, SQL_DROP_SCHEDULE);
    if (!st)
        return SQLITE_ERROR;
    rows_bind_text(st, 1, op->schedule.tenant);
    rows_bind_text(st, 2, op->schedule.name);
    return run(st);
}

static int raise_epoch(struct writer *w, struct store_op *op, pb_err *verdict)
{
    sqlite3_stmt *st = rows_take(w->rows, SQL_RAISE_EPOCH);
    if (!st)
        return SQLITE_ERROR;
    int rc = sqlite3_step(st);
    if (rc == SQLITE_ROW)
        op->epoch = (uint32_t)sqlite3_column_int64(st, 0);
    else if (rc == SQLITE_DONE)
        *verdict = PB_E_LIMIT;
    while (rc == SQLITE_ROW)
        rc = sqlite3_step(st);
    rows_give(st);
    return rc;
}

static int add_token(struct writer *w, struct store_op *op, pb_err *verdict)
{
    sqlite3_stmt *st = rows_take(w->rows, SQL_INSERT_TOKEN);
    if (!st)
        return SQLITE_ERROR;
    rows_bind_token(st, &op->token);
    int rc = run(st);
    if (rc == SQLITE_DONE && none_changed(w))
        *verdict = PB_E_EXISTS;
    return rc;
}

static int set_meta(struct writer *w, struct store_op *op, pb_err *verdict)
{
    (void)verdict;
    sqlite3_stmt *st = rows_take(w->rows, op->meta_value ? SQL_SET_META : SQL_UNSET_META);
    if (!st)
        return SQLITE_ERROR;
    rows_bind_text(st, 1, op->meta_key);
    if (op->meta_value)
        rows_bind_text(st, 2, op->meta_value);
    return run(st);
}

typedef int apply(struct writer *w, struct store_op *op, pb_err *verdict);

static apply *const applies[] = {
    [STORE_APPEND_JOB] = append_job,       [STORE_FINISH_JOB] = finish_job,
    [STORE_RETRY_JOB] = retry_job,         [STORE_MARK_JOB] = mark_job,
    [STORE_REVIVE_JOB] = revive_job,       [STORE_PURGE_JOBS] = purge_jobs,
    [STORE_CHANGE] = change_alone,         [STORE_PUT_BATCH] = put_batch,
    [STORE_RAISE_EPOCH] = raise_epoch,     [STORE_PUT_SCHEDULE] = put_schedule,
    [STORE_DROP_SCHEDULE] = drop_schedule, [STORE_ADD_TOKEN] = add_token,
    [STORE_SET_META] = set_meta,
};

int writer_apply(struct writer *w, struct store_op *op)
{
    return applies[op->kind](w, op, &op->outcome);
}

/* -- after the transaction -- */

void writer_committed(struct writer *w)
{
    for (int g = 0; g < ENDED_GROUPS; g++) {
        w->ended[g].committed += w->ended[g].pending; /* counts for nothing until it is known */
        w->ended[g].pending = 0;
    }
}

void writer_undone(struct writer *w, struct store_op *const *ops, size_t count)
{
    for (int g = 0; g < ENDED_GROUPS; g++)
        w->ended[g].pending = 0;
    store_undo_answers(ops, count);
}
