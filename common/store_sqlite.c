/* The embedded store. One writer (the broker's journal), any number of readers; WAL with synchronous=FULL, so
 * a commit that returned is on the disk. Each operation of a commit runs in a savepoint of its own: what its
 * condition refuses is undone alone, and the commit goes on. */
#include "common/clock.h"
#include "common/store_ops.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#define SCHEMA_VERSION    1
#define BUSY_MS           5000
#define CHECKPOINT_PAGES  16384 /* of 4 KiB: 64 MiB of WAL */
#define TOMBSTONE_KEEP_MS (INT64_C(7) * 24 * 3600 * 1000)

/* -- statements: each is prepared at first use and kept -- */

#define JOB_COLUMNS                                                                                          \
    "id, kind, state, tenant, type, idem, integration, attempts, created_at, finished_at, result"
#define INTEGRATION_COLUMNS                                                                                  \
    "id, tenant, name, type, status, health, box_version, box_kid, box_nonce, box, fields, events, result, " \
    "account_id, "                                                                                           \
    "account_label, host, manifest_version, manifest_hash, failures, first_failed_at, suspect_since, "       \
    "last_validated, "                                                                                       \
    "next_validation, created_at, updated_at, generation, revision, fence"

enum statement {
    BEGIN,
    COMMIT,
    ROLLBACK,
    SAVEPOINT,
    RELEASE,
    ROLLBACK_TO,
    INSERT_JOB,
    FIND_IDEM,
    FINISH_JOB,
    RETRY_JOB,
    JOB_STATE,
    GET_JOB,
    LIST_WAITING,
    FENCE_OF,
    TOMBSTONE_OF,
    PUT_INTEGRATION,
    DELETE_INTEGRATION,
    PUT_TOMBSTONE,
    PURGE_TOMBSTONES,
    GET_INTEGRATION,
    FIND_NAME,
    LIST_INTEGRATIONS,
    INSERT_TOKEN,
    LIST_TOKENS,
    SET_META,
    UNSET_META,
    GET_META,
    STATEMENTS,
};

static const char *const sql[STATEMENTS] = {
    [BEGIN] = "BEGIN IMMEDIATE",
    [COMMIT] = "COMMIT",
    [ROLLBACK] = "ROLLBACK",
    [SAVEPOINT] = "SAVEPOINT op",
    [RELEASE] = "RELEASE op",
    [ROLLBACK_TO] = "ROLLBACK TO op",
    [INSERT_JOB] =
        "INSERT INTO jobs (" JOB_COLUMNS ", payload) VALUES (?1,?2,?3,?4,?5,?6,?7,?8,?9,?10,?11,?12)",
    [FIND_IDEM] = "SELECT id FROM jobs WHERE (tenant = ?1 AND idem = ?2) OR id = ?3",
    [FINISH_JOB] = "UPDATE jobs SET state = ?2, result = ?3, finished_at = ?4, payload = NULL WHERE id = ?1 "
                   "AND state = 1",
    [RETRY_JOB] = "UPDATE jobs SET attempts = ?2 WHERE id = ?1 AND state = 1",
    [JOB_STATE] = "SELECT state FROM jobs WHERE id = ?1",
    [GET_JOB] = "SELECT " JOB_COLUMNS ", payload FROM jobs WHERE id = ?1",
    [LIST_WAITING] =
        "SELECT " JOB_COLUMNS ", NULL FROM jobs WHERE state = 1 AND id > ?1 ORDER BY id LIMIT ?2",
    [FENCE_OF] = "SELECT fence, generation FROM integrations WHERE id = ?1",
    [TOMBSTONE_OF] = "SELECT fence FROM tombstones WHERE id = ?1",
    [PUT_INTEGRATION] = "INSERT OR REPLACE INTO integrations (" INTEGRATION_COLUMNS ") VALUES "
                        "(?1,?2,?3,?4,?5,?6,?7,?8,?9,?10,?11,?12,?13,?14,?15,?16,?17,?18,?19,?20,?21,?22,?23,"
                        "?24,?25,?26,?27,?28)",
    [DELETE_INTEGRATION] = "DELETE FROM integrations WHERE id = ?1",
    [PUT_TOMBSTONE] = "INSERT OR REPLACE INTO tombstones (id, fence, deleted_at) VALUES (?1, ?2, ?3)",
    [PURGE_TOMBSTONES] = "DELETE FROM tombstones WHERE deleted_at < ?1",
    [GET_INTEGRATION] = "SELECT " INTEGRATION_COLUMNS " FROM integrations WHERE id = ?1",
    [FIND_NAME] = "SELECT id FROM integrations WHERE tenant = ?1 AND name = ?2",
    [LIST_INTEGRATIONS] =
        "SELECT " INTEGRATION_COLUMNS " FROM integrations WHERE id > ?1 "
        "AND (?2 IS NULL OR tenant = ?2) AND (?3 IS NULL OR type = ?3) AND (?4 = 0 OR status = ?4) "
        "AND (?5 = 0 OR health = ?5) "
        "AND (?6 IS NULL OR instr(lower(name), lower(?6)) > 0 OR instr(lower(account_label), lower(?6)) > 0) "
        "ORDER BY id LIMIT ?7",
    [INSERT_TOKEN] = "INSERT INTO tokens (hash, tenant, role, name, created_at) VALUES (?1,?2,?3,?4,?5)",
    [LIST_TOKENS] = "SELECT hash, tenant, role, name, created_at FROM tokens ORDER BY created_at",
    [SET_META] = "INSERT OR REPLACE INTO meta (key, value) VALUES (?1, ?2)",
    [UNSET_META] = "DELETE FROM meta WHERE key = ?1",
    [GET_META] = "SELECT value FROM meta WHERE key = ?1",
};

/* Steps from one schema version to the next; user_version counts those that were taken. */
static const char *const migrations[SCHEMA_VERSION] = {
    "CREATE TABLE jobs (id BLOB PRIMARY KEY, kind INTEGER NOT NULL, state INTEGER NOT NULL, tenant TEXT NOT "
    "NULL,"
    " type TEXT NOT NULL, idem TEXT, integration BLOB NOT NULL, attempts INTEGER NOT NULL, created_at "
    "INTEGER NOT NULL,"
    " finished_at INTEGER NOT NULL, result TEXT, payload BLOB) STRICT, WITHOUT ROWID;"
    "CREATE UNIQUE INDEX jobs_idem ON jobs (tenant, idem) WHERE idem IS NOT NULL;"
    "CREATE INDEX jobs_waiting ON jobs (id) WHERE state = 1;"
    "CREATE TABLE integrations (id BLOB PRIMARY KEY, tenant TEXT NOT NULL, name TEXT NOT NULL, type TEXT NOT "
    "NULL,"
    " status INTEGER NOT NULL, health INTEGER NOT NULL, box_version INTEGER NOT NULL, box_kid TEXT NOT NULL, "
    "box_nonce BLOB NOT NULL,"
    " box BLOB NOT NULL, fields TEXT, events TEXT, result TEXT, account_id TEXT, account_label TEXT, host "
    "TEXT,"
    " manifest_version TEXT, manifest_hash TEXT, failures INTEGER NOT NULL, first_failed_at INTEGER NOT NULL,"
    " suspect_since INTEGER NOT NULL, last_validated INTEGER NOT NULL, next_validation INTEGER NOT NULL,"
    " created_at INTEGER NOT NULL, updated_at INTEGER NOT NULL, generation INTEGER NOT NULL, revision "
    "INTEGER NOT NULL,"
    " fence INTEGER NOT NULL) STRICT, WITHOUT ROWID;"
    "CREATE UNIQUE INDEX integrations_name ON integrations (tenant, name);"
    "CREATE INDEX integrations_type ON integrations (type, id);"
    "CREATE TABLE tombstones (id BLOB PRIMARY KEY, fence INTEGER NOT NULL, deleted_at INTEGER NOT NULL) "
    "STRICT, WITHOUT ROWID;"
    "CREATE TABLE tokens (hash BLOB PRIMARY KEY, tenant TEXT NOT NULL, role TEXT NOT NULL, name TEXT NOT "
    "NULL,"
    " created_at INTEGER NOT NULL) STRICT, WITHOUT ROWID;"
    "CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT, WITHOUT ROWID;",
};

struct sqlite {
    struct store base;
    sqlite3 *db;
    sqlite3_stmt *statements[STATEMENTS];
    int lock_fd;
    char path[512];
};

static struct sqlite *of(struct store *s)
{
    return (struct sqlite *)s;
}

/* -- errors -- */

static pb_err db_fail(struct sqlite *s, struct pb_why *why)
{
    int code = sqlite3_extended_errcode(s->db);
    const char *remedy = "";
    if ((code & 0xff) == SQLITE_FULL)
        remedy = "; free some space on its disk";
    else if ((code & 0xff) == SQLITE_NOTADB || (code & 0xff) == SQLITE_CORRUPT)
        remedy = "; it is not a database of Patchbay's, or it is damaged: restore it from a backup, or name "
                 "another file";
    else if ((code & 0xff) == SQLITE_READONLY || (code & 0xff) == SQLITE_CANTOPEN)
        remedy = "; the folder and the file must be writable for this user";
    return pb_fail(why, PB_E_STORE, s->path, "%s%s", sqlite3_errmsg(s->db), remedy);
}

/* -- statements -- */

static sqlite3_stmt *take(struct sqlite *s, enum statement which)
{
    sqlite3_stmt **st = &s->statements[which];
    if (!*st && sqlite3_prepare_v3(s->db, sql[which], -1, SQLITE_PREPARE_PERSISTENT, st, NULL) != SQLITE_OK)
        return NULL;
    return *st;
}

/* Resets at once: an open read would keep the WAL from being checkpointed. */
static void give(sqlite3_stmt *st)
{
    if (!st)
        return;
    sqlite3_reset(st);
    sqlite3_clear_bindings(st);
}

static int run(struct sqlite *s, enum statement which)
{
    sqlite3_stmt *st = take(s, which);
    int rc = st ? sqlite3_step(st) : SQLITE_ERROR;
    give(st);
    return rc;
}

static void bind_id(sqlite3_stmt *st, int i, const struct pb_id *id)
{
    sqlite3_bind_blob(st, i, id->bytes, sizeof id->bytes, SQLITE_STATIC);
}

/* NULL binds NULL. */
static void bind_text(sqlite3_stmt *st, int i, const char *text)
{
    sqlite3_bind_text(st, i, text, -1, SQLITE_STATIC);
}

static void bind_fence(sqlite3_stmt *st, int i, uint64_t fence)
{
    assert(fence <= INT64_MAX);
    sqlite3_bind_int64(st, i, (sqlite3_int64)fence);
}

static void column_id(sqlite3_stmt *st, int i, struct pb_id *out)
{
    if (sqlite3_column_bytes(st, i) == (int)sizeof out->bytes)
        memcpy(out->bytes, sqlite3_column_blob(st, i), sizeof out->bytes);
}

static char *column_text(sqlite3_stmt *st, int i)
{
    const char *text = (const char *)sqlite3_column_text(st, i);
    return text ? strdup(text) : NULL;
}

static void column_chars(sqlite3_stmt *st, int i, char *out, size_t size)
{
    const char *text = (const char *)sqlite3_column_text(st, i);
    snprintf(out, size, "%s", text ? text : "");
}

static uint8_t *column_bytes(sqlite3_stmt *st, int i, size_t *len)
{
    const void *bytes = sqlite3_column_blob(st, i);
    size_t n = (size_t)sqlite3_column_bytes(st, i);
    uint8_t *copy = bytes ? malloc(n ? n : 1) : NULL;
    if (copy)
        memcpy(copy, bytes, n);
    *len = copy ? n : 0;
    return copy;
}

/* -- rows -- */

static void bind_job(sqlite3_stmt *st, const struct job *j)
{
    bind_id(st, 1, &j->id);
    sqlite3_bind_int(st, 2, (int)j->kind);
    sqlite3_bind_int(st, 3, JOB_WAITING);
    bind_text(st, 4, j->tenant);
    bind_text(st, 5, j->type);
    bind_text(st, 6, j->idem[0] ? j->idem : NULL);
    bind_id(st, 7, &j->integration);
    sqlite3_bind_int64(st, 8, j->attempts);
    sqlite3_bind_int64(st, 9, j->created_at_ms);
    sqlite3_bind_int64(st, 10, 0);
    bind_text(st, 11, NULL);
    sqlite3_bind_blob(st, 12, j->payload, (int)j->payload_len, SQLITE_STATIC);
}

static void read_job(sqlite3_stmt *st, struct job *out)
{
    *out = (struct job){.kind = (enum job_kind)sqlite3_column_int(st, 1),
                        .state = (enum job_state)sqlite3_column_int(st, 2)};
    column_id(st, 0, &out->id);
    column_chars(st, 3, out->tenant, sizeof out->tenant);
    column_chars(st, 4, out->type, sizeof out->type);
    column_chars(st, 5, out->idem, sizeof out->idem);
    column_id(st, 6, &out->integration);
    out->attempts = (uint32_t)sqlite3_column_int64(st, 7);
    out->created_at_ms = sqlite3_column_int64(st, 8);
    out->finished_at_ms = sqlite3_column_int64(st, 9);
    out->result = column_text(st, 10);
    out->payload = column_bytes(st, 11, &out->payload_len);
}

static void bind_box(sqlite3_stmt *st, const struct seal_box *box)
{
    sqlite3_bind_int(st, 7, box->version);
    bind_text(st, 8, box->kid);
    sqlite3_bind_blob(st, 9, box->nonce, sizeof box->nonce, SQLITE_STATIC);
    sqlite3_bind_blob(st, 10, box->bytes ? box->bytes : (const uint8_t *)"", (int)box->len, SQLITE_STATIC);
}

/* Order as in INTEGRATION_COLUMNS; texts and numbers are the runs 11..18 and 20..27. */
static void bind_integration(sqlite3_stmt *st, const struct integration *in)
{
    const char *const texts[] = {in->fields,           in->supported_events, in->result,
                                 in->account_id,       in->account_label,    in->host,
                                 in->manifest_version, in->manifest_hash};
    const int64_t numbers[] = {in->first_failed_at_ms, in->suspect_since_ms, in->last_validated_ms,
                               in->next_validation_ms, in->created_at_ms,    in->updated_at_ms,
                               in->generation,         in->revision};
    bind_id(st, 1, &in->id);
    bind_text(st, 2, in->tenant);
    bind_text(st, 3, in->name);
    bind_text(st, 4, in->type);
    sqlite3_bind_int(st, 5, (int)in->status);
    sqlite3_bind_int(st, 6, (int)in->health);
    bind_box(st, &in->credentials);
    for (int i = 0; i < 8; i++)
        bind_text(st, 11 + i, texts[i]);
    sqlite3_bind_int64(st, 19, in->failures);
    for (int i = 0; i < 8; i++)
        sqlite3_bind_int64(st, 20 + i, numbers[i]);
    bind_fence(st, 28, in->fence);
}

static void read_box(sqlite3_stmt *st, struct seal_box *box)
{
    box->version = sqlite3_column_int(st, 6);
    column_chars(st, 7, box->kid, sizeof box->kid);
    if (sqlite3_column_bytes(st, 8) == (int)sizeof box->nonce)
        memcpy(box->nonce, sqlite3_column_blob(st, 8), sizeof box->nonce);
    box->bytes = column_bytes(st, 9, &box->len);
}

static void read_integration(sqlite3_stmt *st, struct integration *out)
{
    char **const texts[] = {&out->fields,           &out->supported_events, &out->result,
                            &out->account_id,       &out->account_label,    &out->host,
                            &out->manifest_version, &out->manifest_hash};
    int64_t *const numbers[] = {&out->first_failed_at_ms, &out->suspect_since_ms, &out->last_validated_ms,
                                &out->next_validation_ms, &out->created_at_ms,    &out->updated_at_ms,
                                &out->generation,         &out->revision};
    *out = (struct integration){0};
    column_id(st, 0, &out->id);
    out->tenant = column_text(st, 1);
    out->name = column_text(st, 2);
    out->type = column_text(st, 3);
    out->status = (enum integration_status)sqlite3_column_int(st, 4);
    out->health = (enum integration_health)sqlite3_column_int(st, 5);
    read_box(st, &out->credentials);
    for (int i = 0; i < 8; i++)
        *texts[i] = column_text(st, 10 + i);
    out->failures = (uint32_t)sqlite3_column_int64(st, 18);
    for (int i = 0; i < 8; i++)
        *numbers[i] = sqlite3_column_int64(st, 19 + i);
    out->fence = (uint64_t)sqlite3_column_int64(st, 27);
}

/* -- operations: each gives its outcome in *verdict and returns SQLite's code, SQLITE_DONE when the store
 * itself is well -- */

static int append_job(struct sqlite *s, struct store_op *op, pb_err *verdict)
{
    sqlite3_stmt *find = take(s, FIND_IDEM), *insert = take(s, INSERT_JOB);
    if (!find || !insert)
        return SQLITE_ERROR;
    bind_text(find, 1, op->job.tenant);
    bind_text(find, 2, op->job.idem[0] ? op->job.idem : NULL);
    bind_id(find, 3, &op->job.id);
    int rc = sqlite3_step(find);
    if (rc == SQLITE_ROW) {
        column_id(find, 0, &op->existing_job);
        *verdict = PB_E_EXISTS;
        rc = SQLITE_DONE;
    } else if (rc == SQLITE_DONE) {
        bind_job(insert, &op->job);
        rc = sqlite3_step(insert);
        give(insert);
    }
    give(find);
    return rc;
}

struct stored {
    bool exists;
    uint64_t fence;
    int64_t generation;
};

static int look(struct sqlite *s, enum statement which, const struct pb_id *id, struct stored *out)
{
    sqlite3_stmt *st = take(s, which);
    if (!st)
        return SQLITE_ERROR;
    bind_id(st, 1, id);
    int rc = sqlite3_step(st);
    out->exists = rc == SQLITE_ROW;
    out->fence = out->exists ? (uint64_t)sqlite3_column_int64(st, 0) : 0;
    out->generation = out->exists && which == FENCE_OF ? sqlite3_column_int64(st, 1) : 0;
    give(st);
    return rc == SQLITE_ROW ? SQLITE_DONE : rc;
}

/* The condition of a change; *again is set when this very attempt has written already. */
static pb_err judge(const struct store_change *c, const struct stored *doc, const struct stored *tomb,
                    bool *again)
{
    *again = false;
    if (tomb->exists) {
        *again = c->kind == CHANGE_DELETE && tomb->fence == c->fence;
        if (*again)
            return PB_OK;
        return c->kind != CHANGE_CREATE  ? PB_E_NOT_FOUND
               : tomb->fence >= c->fence ? PB_E_CONFLICT
                                         : PB_E_NOT_FOUND;
    }
    if (!doc->exists)
        return c->kind == CHANGE_CREATE ? PB_OK : PB_E_NOT_FOUND;
    if (doc->fence > c->fence)
        return PB_E_CONFLICT;
    *again = doc->fence == c->fence && c->kind != CHANGE_DELETE;
    if (*again || c->kind == CHANGE_CREATE)
        return PB_OK;
    return doc->generation == c->if_generation ? PB_OK : PB_E_CONFLICT;
}

static int name_owner(struct sqlite *s, const struct integration *in, struct pb_id *owner, bool *taken)
{
    sqlite3_stmt *st = take(s, FIND_NAME);
    if (!st)
        return SQLITE_ERROR;
    bind_text(st, 1, in->tenant);
    bind_text(st, 2, in->name);
    int rc = sqlite3_step(st);
    if (rc == SQLITE_ROW)
        column_id(st, 0, owner);
    *taken = rc == SQLITE_ROW && !id_equal(owner, &in->id);
    give(st);
    return rc == SQLITE_ROW ? SQLITE_DONE : rc;
}

static int put_integration(struct sqlite *s, const struct store_change *c, pb_err *verdict)
{
    struct pb_id owner;
    bool taken = false;
    int rc = name_owner(s, &c->doc, &owner, &taken);
    if (rc != SQLITE_DONE || taken) {
        *verdict = taken ? PB_E_EXISTS : *verdict;
        return rc;
    }
    sqlite3_stmt *st = take(s, PUT_INTEGRATION);
    if (!st)
        return SQLITE_ERROR;
    bind_integration(st, &c->doc);
    bind_fence(st, 28, c->fence);
    rc = sqlite3_step(st);
    give(st);
    return rc;
}

static int with_id(struct sqlite *s, enum statement which, const struct pb_id *id)
{
    sqlite3_stmt *st = take(s, which);
    if (!st)
        return SQLITE_ERROR;
    bind_id(st, 1, id);
    int rc = sqlite3_step(st);
    give(st);
    return rc;
}

static int purge_tombstones(struct sqlite *s, int64_t now_ms)
{
    sqlite3_stmt *st = take(s, PURGE_TOMBSTONES);
    if (!st)
        return SQLITE_ERROR;
    sqlite3_bind_int64(st, 1, now_ms - TOMBSTONE_KEEP_MS);
    int rc = sqlite3_step(st);
    give(st);
    return rc;
}

static int delete_integration(struct sqlite *s, const struct store_change *c)
{
    int64_t now_ms = clock_wall_ms();
    int rc = with_id(s, DELETE_INTEGRATION, &c->doc.id);
    if (rc != SQLITE_DONE || (rc = purge_tombstones(s, now_ms)) != SQLITE_DONE)
        return rc;
    sqlite3_stmt *st = take(s, PUT_TOMBSTONE);
    if (!st)
        return SQLITE_ERROR;
    bind_id(st, 1, &c->doc.id);
    bind_fence(st, 2, c->fence);
    sqlite3_bind_int64(st, 3, now_ms);
    rc = sqlite3_step(st);
    give(st);
    return rc;
}

static int apply_change(struct sqlite *s, const struct store_change *c, pb_err *verdict)
{
    struct stored doc, tomb;
    bool again;
    if (c->kind == CHANGE_NONE)
        return SQLITE_DONE;
    int rc = look(s, FENCE_OF, &c->doc.id, &doc);
    if (rc == SQLITE_DONE)
        rc = look(s, TOMBSTONE_OF, &c->doc.id, &tomb);
    if (rc != SQLITE_DONE)
        return rc;
    *verdict = judge(c, &doc, &tomb, &again);
    if (*verdict || again)
        return rc;
    return c->kind == CHANGE_DELETE ? delete_integration(s, c) : put_integration(s, c, verdict);
}

/* An update that met no waiting job: was it done before (fine), or is the job unknown, or ended otherwise? */
static int judge_repeat(struct sqlite *s, const struct store_op *op, enum job_state wanted, pb_err *verdict)
{
    sqlite3_stmt *st = take(s, JOB_STATE);
    if (!st)
        return SQLITE_ERROR;
    bind_id(st, 1, &op->job.id);
    int rc = sqlite3_step(st);
    if (rc == SQLITE_DONE)
        *verdict = PB_E_NOT_FOUND;
    else if (rc == SQLITE_ROW && sqlite3_column_int(st, 0) != (int)wanted)
        *verdict = PB_E_CONFLICT;
    give(st);
    return rc == SQLITE_ROW ? SQLITE_DONE : rc;
}

static int finish_job(struct sqlite *s, struct store_op *op, pb_err *verdict)
{
    int rc = apply_change(s, &op->change, verdict);
    if (rc != SQLITE_DONE || *verdict)
        return rc;
    sqlite3_stmt *st = take(s, FINISH_JOB);
    if (!st)
        return SQLITE_ERROR;
    bind_id(st, 1, &op->job.id);
    sqlite3_bind_int(st, 2, (int)op->job.state);
    bind_text(st, 3, op->job.result);
    sqlite3_bind_int64(st, 4, op->job.finished_at_ms);
    rc = sqlite3_step(st);
    give(st);
    if (rc == SQLITE_DONE && sqlite3_changes(s->db) == 0)
        rc = judge_repeat(s, op, op->job.state, verdict);
    return rc;
}

static int retry_job(struct sqlite *s, struct store_op *op, pb_err *verdict)
{
    sqlite3_stmt *st = take(s, RETRY_JOB);
    if (!st)
        return SQLITE_ERROR;
    bind_id(st, 1, &op->job.id);
    sqlite3_bind_int64(st, 2, op->job.attempts);
    int rc = sqlite3_step(st);
    give(st);
    if (rc == SQLITE_DONE && sqlite3_changes(s->db) == 0)
        rc = judge_repeat(s, op, JOB_WAITING, verdict);
    return rc;
}

static int add_token(struct sqlite *s, struct store_op *op, pb_err *verdict)
{
    const struct store_token *t = &op->token;
    sqlite3_stmt *st = take(s, INSERT_TOKEN);
    if (!st)
        return SQLITE_ERROR;
    sqlite3_bind_blob(st, 1, t->hash, sizeof t->hash, SQLITE_STATIC);
    bind_text(st, 2, t->tenant);
    bind_text(st, 3, t->role);
    bind_text(st, 4, t->name);
    sqlite3_bind_int64(st, 5, t->created_at_ms);
    int rc = sqlite3_step(st);
    give(st);
    if ((rc & 0xff) == SQLITE_CONSTRAINT) {
        *verdict = PB_E_EXISTS;
        rc = SQLITE_DONE;
    }
    return rc;
}

static int set_meta(struct sqlite *s, struct store_op *op, pb_err *verdict)
{
    (void)verdict;
    sqlite3_stmt *st = take(s, op->meta_value ? SET_META : UNSET_META);
    if (!st)
        return SQLITE_ERROR;
    bind_text(st, 1, op->meta_key);
    if (op->meta_value)
        bind_text(st, 2, op->meta_value);
    int rc = sqlite3_step(st);
    give(st);
    return rc;
}

typedef int apply(struct sqlite *s, struct store_op *op, pb_err *verdict);

static apply *const applies[] = {
    [STORE_APPEND_JOB] = append_job, [STORE_FINISH_JOB] = finish_job, [STORE_RETRY_JOB] = retry_job,
    [STORE_ADD_TOKEN] = add_token,   [STORE_SET_META] = set_meta,
};

static int apply_one(struct sqlite *s, struct store_op *op)
{
    op->outcome = PB_OK;
    int rc = run(s, SAVEPOINT);
    if (rc == SQLITE_DONE)
        rc = applies[op->kind](s, op, &op->outcome);
    if (rc == SQLITE_DONE && op->outcome)
        rc = run(s, ROLLBACK_TO);
    return rc == SQLITE_DONE ? run(s, RELEASE) : rc;
}

static pb_err commit_ops(struct store *base, struct store_op *const *ops, size_t count, struct pb_why *why)
{
    struct sqlite *s = of(base);
    int rc = run(s, BEGIN);
    for (size_t i = 0; i < count && rc == SQLITE_DONE; i++)
        rc = apply_one(s, ops[i]);
    if (rc == SQLITE_DONE)
        rc = run(s, COMMIT);
    if (rc == SQLITE_DONE)
        return PB_OK;
    pb_err err = db_fail(s, why);
    if (!sqlite3_get_autocommit(s->db))
        run(s, ROLLBACK);
    return err;
}

static pb_err next_epoch(struct store *base, uint32_t *out, struct pb_why *why)
{
    struct sqlite *s = of(base);
    char *text = NULL, number[16];
    pb_err err = base->ops->get_meta(base, "epoch", &text, why);
    if (err && err != PB_E_NOT_FOUND)
        return err;
    unsigned long epoch = text ? strtoul(text, NULL, 10) + 1 : 1;
    free(text);
    if (epoch > INT32_MAX)
        return pb_fail(why, PB_E_LIMIT, s->path, "the epoch has come to its end");
    snprintf(number, sizeof number, "%lu", epoch);
    struct store_op op = {.kind = STORE_SET_META, .meta_key = "epoch", .meta_value = number}, *ops[] = {&op};
    err = commit_ops(base, ops, 1, why);
    if (!err)
        *out = (uint32_t)epoch;
    return err;
}

/* -- reads -- */

/* Ends a read of one row: PB_OK with a row, PB_E_NOT_FOUND without. */
static pb_err one_row(struct sqlite *s, int rc, struct pb_why *why)
{
    return rc == SQLITE_ROW ? PB_OK : rc == SQLITE_DONE ? PB_E_NOT_FOUND : db_fail(s, why);
}

static pb_err get_integration(struct store *base, const struct pb_id *id, struct integration *out,
                              struct pb_why *why)
{
    struct sqlite *s = of(base);
    sqlite3_stmt *st = take(s, GET_INTEGRATION);
    if (!st)
        return db_fail(s, why);
    bind_id(st, 1, id);
    pb_err err = one_row(s, sqlite3_step(st), why);
    if (!err)
        read_integration(st, out);
    give(st);
    return err;
}

static pb_err find_name(struct store *base, const char *tenant, const char *name, struct pb_id *out,
                        struct pb_why *why)
{
    struct sqlite *s = of(base);
    sqlite3_stmt *st = take(s, FIND_NAME);
    if (!st)
        return db_fail(s, why);
    bind_text(st, 1, tenant);
    bind_text(st, 2, name);
    pb_err err = one_row(s, sqlite3_step(st), why);
    if (!err)
        column_id(st, 0, out);
    give(st);
    return err;
}

static pb_err get_job(struct store *base, const struct pb_id *id, struct job *out, struct pb_why *why)
{
    struct sqlite *s = of(base);
    sqlite3_stmt *st = take(s, GET_JOB);
    if (!st)
        return db_fail(s, why);
    bind_id(st, 1, id);
    pb_err err = one_row(s, sqlite3_step(st), why);
    if (!err)
        read_job(st, out);
    give(st);
    return err;
}

static pb_err get_meta(struct store *base, const char *key, char **out, struct pb_why *why)
{
    struct sqlite *s = of(base);
    sqlite3_stmt *st = take(s, GET_META);
    if (!st)
        return db_fail(s, why);
    bind_text(st, 1, key);
    pb_err err = one_row(s, sqlite3_step(st), why);
    if (!err && !(*out = column_text(st, 0)))
        err = PB_E_MEMORY;
    give(st);
    return err;
}

static pb_err list_integrations(struct store *base, const struct store_filter *f, const struct pb_id *after,
                                size_t limit, pb_err (*each)(void *arg, const struct integration *in),
                                void *arg, struct pb_why *why)
{
    struct sqlite *s = of(base);
    sqlite3_stmt *st = take(s, LIST_INTEGRATIONS);
    if (!st)
        return db_fail(s, why);
    bind_id(st, 1, after);
    bind_text(st, 2, f->tenant);
    bind_text(st, 3, f->type);
    sqlite3_bind_int(st, 4, (int)f->status);
    sqlite3_bind_int(st, 5, (int)f->health);
    bind_text(st, 6, f->text);
    sqlite3_bind_int64(st, 7, (sqlite3_int64)limit);
    pb_err err = PB_OK;
    int rc = SQLITE_DONE;
    while (!err && (rc = sqlite3_step(st)) == SQLITE_ROW) {
        struct integration in;
        read_integration(st, &in);
        err = each(arg, &in);
        integration_fini(&in);
    }
    give(st);
    return err ? err : rc == SQLITE_DONE ? PB_OK : db_fail(s, why);
}

static pb_err list_waiting(struct store *base, const struct pb_id *after, size_t limit,
                           pb_err (*each)(void *arg, const struct job *job), void *arg, struct pb_why *why)
{
    struct sqlite *s = of(base);
    sqlite3_stmt *st = take(s, LIST_WAITING);
    if (!st)
        return db_fail(s, why);
    bind_id(st, 1, after);
    sqlite3_bind_int64(st, 2, (sqlite3_int64)limit);
    pb_err err = PB_OK;
    int rc = SQLITE_DONE;
    while (!err && (rc = sqlite3_step(st)) == SQLITE_ROW) {
        struct job job;
        read_job(st, &job);
        err = each(arg, &job);
        job_fini(&job);
    }
    give(st);
    return err ? err : rc == SQLITE_DONE ? PB_OK : db_fail(s, why);
}

static pb_err list_tokens(struct store *base, pb_err (*each)(void *arg, const struct store_token *token),
                          void *arg, struct pb_why *why)
{
    struct sqlite *s = of(base);
    sqlite3_stmt *st = take(s, LIST_TOKENS);
    if (!st)
        return db_fail(s, why);
    pb_err err = PB_OK;
    int rc = SQLITE_DONE;
    while (!err && (rc = sqlite3_step(st)) == SQLITE_ROW) {
        struct store_token t = {.created_at_ms = sqlite3_column_int64(st, 4)};
        if (sqlite3_column_bytes(st, 0) == (int)sizeof t.hash)
            memcpy(t.hash, sqlite3_column_blob(st, 0), sizeof t.hash);
        column_chars(st, 1, t.tenant, sizeof t.tenant);
        column_chars(st, 2, t.role, sizeof t.role);
        column_chars(st, 3, t.name, sizeof t.name);
        err = each(arg, &t);
    }
    give(st);
    return err ? err : rc == SQLITE_DONE ? PB_OK : db_fail(s, why);
}

/* -- opening -- */

/* One writer for a file: whoever holds the lock beside it. */
static pb_err lock(struct sqlite *s, struct pb_why *why)
{
    char path[sizeof s->path + 8];
    snprintf(path, sizeof path, "%s.lock", s->path);
    s->lock_fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (s->lock_fd < 0)
        return pb_fail(why, PB_E_STORE, s->path,
                       "the store cannot be made there: %s; --store and --data-dir name the place",
                       strerror(errno));
    if (flock(s->lock_fd, LOCK_EX | LOCK_NB) != 0)
        return pb_fail(why, PB_E_BUSY, s->path,
                       "another broker uses this store; stop it first, or name another file");
    return PB_OK;
}

static int scalar(struct sqlite *s, const char *query)
{
    sqlite3_stmt *st = NULL;
    int n = -1;
    if (sqlite3_prepare_v2(s->db, query, -1, &st, NULL) == SQLITE_OK && sqlite3_step(st) == SQLITE_ROW)
        n = sqlite3_column_int(st, 0);
    sqlite3_finalize(st);
    return n;
}

static bool exec(struct sqlite *s, const char *statements)
{
    return sqlite3_exec(s->db, statements, NULL, NULL, NULL) == SQLITE_OK;
}

static pb_err migrate(struct sqlite *s, struct pb_why *why)
{
    int version = scalar(s, "PRAGMA user_version");
    if (version < 0)
        return db_fail(s, why);
    if (version > SCHEMA_VERSION)
        return pb_fail(why, PB_E_UNSUPPORTED, s->path,
                       "was written by a newer Patchbay (schema %d, this one knows %d); update this one",
                       version, SCHEMA_VERSION);
    for (; version < SCHEMA_VERSION; version++) {
        char done[64];
        snprintf(done, sizeof done, "PRAGMA user_version = %d", version + 1);
        if (!exec(s, "BEGIN IMMEDIATE") || !exec(s, migrations[version]) || !exec(s, done) ||
            !exec(s, "COMMIT"))
            return db_fail(s, why);
    }
    return PB_OK;
}

static pb_err open_db(struct sqlite *s, bool read_only, struct pb_why *why)
{
    int flags =
        SQLITE_OPEN_NOMUTEX | (read_only ? SQLITE_OPEN_READONLY : SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE);
    mode_t mask = umask(077);
    int rc = sqlite3_open_v2(s->path, &s->db, flags, NULL);
    bool ok = rc == SQLITE_OK && sqlite3_busy_timeout(s->db, BUSY_MS) == SQLITE_OK;
    if (ok && !read_only) {
        char pragmas[256];
        snprintf(pragmas, sizeof pragmas,
                 "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA wal_autocheckpoint = %d; "
                 "PRAGMA trusted_schema = OFF;",
                 CHECKPOINT_PAGES);
        ok = exec(s, pragmas);
    }
    umask(mask);
    if (!ok)
        return db_fail(s, why);
    return read_only ? PB_OK : migrate(s, why);
}

static void close_store(struct store *base)
{
    struct sqlite *s = of(base);
    for (int i = 0; i < STATEMENTS; i++)
        sqlite3_finalize(s->statements[i]);
    sqlite3_close(s->db);
    if (s->lock_fd >= 0)
        close(s->lock_fd);
    free(s);
}

static pb_err open_store(const char *url, bool read_only, struct store **out, struct pb_why *why)
{
    struct sqlite *s = calloc(1, sizeof *s);
    if (!s)
        return PB_E_MEMORY;
    s->lock_fd = -1;
    pb_err err = PB_OK;
    if (snprintf(s->path, sizeof s->path, "%s", url + strlen(store_sqlite_ops.scheme)) >= (int)sizeof s->path)
        err = pb_fail(why, PB_E_LIMIT, "--store", "the file's path is too long");
    if (!err && !read_only)
        err = lock(s, why);
    if (!err)
        err = open_db(s, read_only, why);
    if (err)
        close_store(&s->base);
    else
        *out = &s->base;
    return err;
}

const struct store_ops store_sqlite_ops = {
    .scheme = "sqlite:",
    .example = "sqlite:/var/lib/patchbay/patchbay.db",
    .open = open_store,
    .close = close_store,
    .commit = commit_ops,
    .next_epoch = next_epoch,
    .get_integration = get_integration,
    .find_name = find_name,
    .get_job = get_job,
    .get_meta = get_meta,
    .list_integrations = list_integrations,
    .list_waiting = list_waiting,
    .list_tokens = list_tokens,
};
