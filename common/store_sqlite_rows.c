#include "common/store_sqlite_rows.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* -- what can be asked -- */

#define JOB_COLUMNS                                                                                          \
    "id, kind, state, tenant, type, idem, host, integration, priority, attempts, max_attempts, crashes, "    \
    "cancel_asked, created_at, not_before, deadline, finished_at, result"

/* A page of jobs: WHERE names what the index is walked by, the rest is looked at in each row. INDEXED BY, so
 * that a statement that cannot use its index fails in the first test instead of scanning. */
#define JOBS(index, where, past)                                                                             \
    "SELECT " JOB_COLUMNS ", NULL FROM jobs " index " WHERE " where " id " past " ?1"                        \
    " AND (?3 IS NULL OR tenant = ?3) AND (?4 IS NULL OR type = ?4) AND (?5 = 0 OR kind = ?5)"               \
    " AND (?6 = 0 OR state = ?6) AND (?7 IS NULL OR integration = ?7) AND (?8 IS NULL OR code = ?8)"
#define JOBS_BY(name, index, where)                                                                          \
    [SQL_JOBS_BY_##name] = JOBS(index, where, ">") " ORDER BY id LIMIT ?2",                                  \
    [SQL_JOBS_BY_##name##_BACK] = JOBS(index, where, "<") " ORDER BY id DESC LIMIT ?2"
/* A tenant's, of all states: the ordered runs of each state, merged. */
#define JOBS_OF(state, past) JOBS("INDEXED BY jobs_tenant", "tenant = ?3 AND state = " state " AND", past)
#define JOBS_OF_ALL(past)                                                                                    \
    JOBS_OF("1", past)                                                                                       \
    " UNION ALL " JOBS_OF("2", past) " UNION ALL " JOBS_OF("3", past) " UNION ALL " JOBS_OF(                 \
        "4", past) " UNION ALL " JOBS_OF("5", past)

#define SCHEDULE_COLUMNS "tenant, name, created_at, updated_at, body"
#define INTEGRATION_COLUMNS                                                                                  \
    "id, tenant, name, type, status, health, box_version, box_kid, box_nonce, box, fields, events, result, " \
    "account_id, "                                                                                           \
    "account_label, host, manifest_version, manifest_hash, failures, first_failed_at, suspect_since, "       \
    "last_validated, "                                                                                       \
    "next_validation, created_at, updated_at, generation, revision, fence"

/* From the second parameter on; rows_bind_integration_filter() fills them. */
#define INTEGRATION_FILTER                                                                                   \
    "(?2 IS NULL OR tenant = ?2) AND (?3 IS NULL OR type = ?3) AND (?4 = 0 OR status = ?4) "                 \
    "AND (?5 = 0 OR health = ?5) "                                                                           \
    "AND (?6 IS NULL OR instr(lower(name), lower(?6)) > 0 OR instr(lower(account_label), lower(?6)) > 0) "   \
    "AND (?7 = 0 OR last_validated < ?7) AND (?8 IS NULL OR id <= ?8)"

static const char *const sql[SQL_STATEMENTS] = {
    [SQL_BEGIN] = "BEGIN IMMEDIATE",
    [SQL_COMMIT] = "COMMIT",
    [SQL_ROLLBACK] = "ROLLBACK",
    [SQL_INSERT_JOB] =
        "INSERT INTO jobs (" JOB_COLUMNS ", payload) VALUES "
        "(?1,?2,?3,?4,?5,?6,?7,?8,?9,?10,?11,?12,?13,?14,?15,?16,?17,?18,?19) ON CONFLICT DO NOTHING",
    [SQL_FIND_JOB] = "SELECT id FROM jobs WHERE (tenant = ?1 AND idem = ?2) OR id = ?3",
    [SQL_FINISH_JOB] =
        "UPDATE jobs SET state = ?2, result = ?3, finished_at = ?4, attempts = max(attempts, ?5), payload = "
        "iif(?2 = 5, payload, NULL), "
        "code = iif(json_valid(?3), json_extract(?3, '$.code'), NULL) WHERE id = ?1 AND state = 1",
    [SQL_RETRY_JOB] =
        "UPDATE jobs SET attempts = ?2, crashes = ?3, not_before = ?4 WHERE id = ?1 AND state = 1",
    [SQL_MARK_JOB] =
        "UPDATE jobs SET crashes = ?2, cancel_asked = max(cancel_asked, ?3) WHERE id = ?1 AND state = 1",
    [SQL_REVIVE_JOB] =
        "UPDATE jobs SET state = 1, not_before = ?2, attempts = 0, crashes = 0, cancel_asked = 0, "
        "deadline = 0, finished_at = 0, result = NULL, code = NULL WHERE id = ?1 AND state = 5",
    [SQL_JOB_STATE] = "SELECT state FROM jobs WHERE id = ?1",
    [SQL_GET_JOB] = "SELECT " JOB_COLUMNS ", payload FROM jobs WHERE id = ?1",
    JOBS_BY(ID, "", ""),
    JOBS_BY(STATE, "INDEXED BY jobs_state", "state = ?6 AND"),
    JOBS_BY(TENANT_STATE, "INDEXED BY jobs_tenant", "tenant = ?3 AND state = ?6 AND"),
    JOBS_BY(INTEGRATION, "INDEXED BY jobs_integration", "integration = ?7 AND"),
    JOBS_BY(CODE, "INDEXED BY jobs_code", "tenant = ?3 AND code = ?8 AND code <> 'ok' AND"),
    [SQL_JOBS_BY_TENANT] = JOBS_OF_ALL(">") " ORDER BY id LIMIT ?2",
    [SQL_JOBS_BY_TENANT_BACK] = JOBS_OF_ALL("<") " ORDER BY id DESC LIMIT ?2",
    [SQL_COUNT_ENDED] = "SELECT count(*) FROM jobs INDEXED BY jobs_ended WHERE state BETWEEN 2 AND 4",
    [SQL_COUNT_DEAD] = "SELECT count(*) FROM jobs INDEXED BY jobs_dead WHERE state = 5",
    [SQL_OLDEST_ENDED] = "SELECT finished_at, id FROM jobs INDEXED BY jobs_ended WHERE state BETWEEN 2 AND 4 "
                         "ORDER BY finished_at, id",
    [SQL_OLDEST_DEAD] =
        "SELECT finished_at, id FROM jobs INDEXED BY jobs_dead WHERE state = 5 ORDER BY finished_at, id",
    [SQL_DELETE_JOB] = "DELETE FROM jobs WHERE id = ?1",
    [SQL_FENCE_OF] = "SELECT fence, generation, revision FROM integrations WHERE id = ?1",
    [SQL_TOMBSTONE_OF] = "SELECT fence FROM tombstones WHERE id = ?1",
    [SQL_PUT_INTEGRATION] =
        "INSERT OR REPLACE INTO integrations (" INTEGRATION_COLUMNS ") VALUES "
        "(?1,?2,?3,?4,?5,?6,?7,?8,?9,?10,?11,?12,?13,?14,?15,?16,?17,?18,?19,?20,?21,?22,?23,"
        "?24,?25,?26,?27,?28)",
    [SQL_DELETE_INTEGRATION] = "DELETE FROM integrations WHERE id = ?1",
    [SQL_PUT_TOMBSTONE] = "INSERT OR REPLACE INTO tombstones (id, fence, deleted_at) VALUES (?1, ?2, ?3)",
    [SQL_PURGE_TOMBSTONES] = "DELETE FROM tombstones WHERE deleted_at < ?1",
    [SQL_GET_INTEGRATION] = "SELECT " INTEGRATION_COLUMNS " FROM integrations WHERE id = ?1",
    [SQL_FIND_NAME] = "SELECT id FROM integrations WHERE tenant = ?1 AND name = ?2",
    [SQL_LIST_INTEGRATIONS] =
        "SELECT " INTEGRATION_COLUMNS " FROM integrations WHERE id > ?1 AND " INTEGRATION_FILTER
        " ORDER BY id LIMIT ?9",
    [SQL_LIST_OF_TYPE] = "SELECT " INTEGRATION_COLUMNS
                         " FROM integrations INDEXED BY integrations_type WHERE type = ?3 AND id > ?1 "
                         "AND " INTEGRATION_FILTER " ORDER BY id LIMIT ?9",
    [SQL_LIST_DUE] =
        "SELECT " INTEGRATION_COLUMNS
        " FROM integrations INDEXED BY integrations_due WHERE next_validation > 0 AND status <> 2 "
        "AND next_validation <= ?1 AND (next_validation, id) > (?2, ?3) "
        "ORDER BY next_validation, id LIMIT ?4",
    [SQL_COUNT_INTEGRATIONS] = "SELECT type, count(*) FROM integrations WHERE id > ?1 AND " INTEGRATION_FILTER
                               " GROUP BY type ORDER BY type",
    [SQL_COUNT_OF_TYPES] =
        "SELECT type, count(*) FROM integrations INDEXED BY integrations_type WHERE id > ?1 "
        "AND (?3 IS NULL OR type = ?3) AND (?8 IS NULL OR id <= ?8) GROUP BY type ORDER BY type",
    [SQL_PUT_BATCH] = "INSERT OR REPLACE INTO batches (id, state, tenant, created_at, finished_at, body) "
                      "VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
    [SQL_GET_BATCH] = "SELECT id, state, tenant, created_at, finished_at, body FROM batches WHERE id = ?1",
    [SQL_LIST_BATCHES] =
        "SELECT id, state, tenant, created_at, finished_at, body FROM batches WHERE id < ?1 "
        "AND (?2 IS NULL OR tenant = ?2) AND (?3 = 0 OR state = ?3) ORDER BY id DESC LIMIT ?4",
    [SQL_PUT_SCHEDULE] = "INSERT OR REPLACE INTO schedules (tenant, name, created_at, updated_at, body) "
                         "VALUES (?1, ?2, ?3, ?4, ?5)",
    [SQL_DROP_SCHEDULE] = "DELETE FROM schedules WHERE tenant = ?1 AND name = ?2",
    [SQL_GET_SCHEDULE] = "SELECT " SCHEDULE_COLUMNS " FROM schedules WHERE tenant = ?1 AND name = ?2",
    [SQL_LIST_SCHEDULES] = "SELECT " SCHEDULE_COLUMNS " FROM schedules WHERE ?1 IS NULL OR tenant = ?1 "
                           "ORDER BY tenant, name",
    [SQL_INSERT_TOKEN] = "INSERT INTO tokens (hash, tenant, role, name, created_at) VALUES (?1,?2,?3,?4,?5) "
                         "ON CONFLICT DO NOTHING",
    [SQL_LIST_META] = "SELECT key, value FROM meta ORDER BY key",
    [SQL_LIST_DELETED] = "SELECT id, fence FROM tombstones ORDER BY id",
    [SQL_LIST_TOKENS] = "SELECT hash, tenant, role, name, created_at FROM tokens ORDER BY created_at",
    [SQL_SET_META] = "INSERT OR REPLACE INTO meta (key, value) VALUES (?1, ?2)",
    [SQL_UNSET_META] = "DELETE FROM meta WHERE key = ?1",
    [SQL_GET_META] = "SELECT value FROM meta WHERE key = ?1",
    [SQL_RAISE_EPOCH] =
        "INSERT INTO meta (key, value) VALUES ('epoch', '1') ON CONFLICT (key) DO UPDATE "
        "SET value = CAST(value AS INTEGER) + 1 WHERE CAST(value AS INTEGER) < 2147483647 RETURNING value",
};

/* -- statements -- */

sqlite3_stmt *rows_take(struct rows *r, enum sql_statement which)
{
    sqlite3_stmt **st = &r->statements[which];
    if (!*st && sqlite3_prepare_v3(r->db, sql[which], -1, SQLITE_PREPARE_PERSISTENT, st, NULL) != SQLITE_OK)
        return NULL;
    return *st;
}

void rows_fini(struct rows *r)
{
    for (int i = 0; i < SQL_STATEMENTS; i++)
        sqlite3_finalize(r->statements[i]);
    *r = (struct rows){0};
}

void rows_give(sqlite3_stmt *st)
{
    if (!st)
        return;
    sqlite3_reset(st);
    sqlite3_clear_bindings(st);
}

int rows_run(struct rows *r, enum sql_statement which)
{
    sqlite3_stmt *st = rows_take(r, which);
    int rc = st ? sqlite3_step(st) : SQLITE_ERROR;
    rows_give(st);
    return rc;
}

void rows_bind_id(sqlite3_stmt *st, int i, const struct pb_id *id)
{
    sqlite3_bind_blob(st, i, id->bytes, sizeof id->bytes, SQLITE_STATIC);
}

/* NULL binds NULL. */
void rows_bind_text(sqlite3_stmt *st, int i, const char *text)
{
    sqlite3_bind_text(st, i, text, -1, SQLITE_STATIC);
}

static const char *unless_empty(const char *text)
{
    return text && text[0] ? text : NULL;
}

void rows_bind_filter(sqlite3_stmt *st, int i, const char *text)
{
    rows_bind_text(st, i, unless_empty(text));
}

void rows_bind_fence(sqlite3_stmt *st, int i, uint64_t fence)
{
    assert(fence <= INT64_MAX);
    sqlite3_bind_int64(st, i, (sqlite3_int64)fence);
}

void rows_column_id(sqlite3_stmt *st, int i, struct pb_id *out)
{
    if (sqlite3_column_bytes(st, i) == (int)sizeof out->bytes)
        memcpy(out->bytes, sqlite3_column_blob(st, i), sizeof out->bytes);
}

char *rows_column_text(sqlite3_stmt *st, int i)
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

/* -- jobs -- */

/* Order as in JOB_COLUMNS; numbers are the run 9..17. */
void rows_bind_job(sqlite3_stmt *st, const struct job *j)
{
    const int64_t numbers[] = {j->priority,      j->attempts,     j->max_attempts,
                               j->crashes,       j->cancel_asked, j->created_at_ms,
                               j->not_before_ms, j->deadline_ms,  0};
    rows_bind_id(st, 1, &j->id);
    sqlite3_bind_int(st, 2, (int)j->kind);
    sqlite3_bind_int(st, 3, JOB_WAITING);
    rows_bind_text(st, 4, j->tenant);
    rows_bind_text(st, 5, j->type);
    rows_bind_text(st, 6, j->idem[0] ? j->idem : NULL);
    rows_bind_text(st, 7, j->host);
    rows_bind_id(st, 8, &j->integration);
    for (int i = 0; i < 9; i++)
        sqlite3_bind_int64(st, 9 + i, numbers[i]);
    rows_bind_text(st, 18, NULL);
    sqlite3_bind_blob(st, 19, j->payload, (int)j->payload_len, SQLITE_STATIC);
}

void rows_read_job(sqlite3_stmt *st, struct job *out)
{
    *out = (struct job){.kind = (enum job_kind)sqlite3_column_int(st, 1),
                        .state = (enum job_state)sqlite3_column_int(st, 2),
                        .priority = (enum job_priority)sqlite3_column_int(st, 8),
                        .attempts = (uint32_t)sqlite3_column_int64(st, 9),
                        .max_attempts = (uint32_t)sqlite3_column_int64(st, 10),
                        .crashes = (uint32_t)sqlite3_column_int64(st, 11),
                        .cancel_asked = sqlite3_column_int(st, 12),
                        .created_at_ms = sqlite3_column_int64(st, 13),
                        .not_before_ms = sqlite3_column_int64(st, 14),
                        .deadline_ms = sqlite3_column_int64(st, 15),
                        .finished_at_ms = sqlite3_column_int64(st, 16)};
    rows_column_id(st, 0, &out->id);
    column_chars(st, 3, out->tenant, sizeof out->tenant);
    column_chars(st, 4, out->type, sizeof out->type);
    column_chars(st, 5, out->idem, sizeof out->idem);
    column_chars(st, 6, out->host, sizeof out->host);
    rows_column_id(st, 7, &out->integration);
    out->result = rows_column_text(st, 17);
    out->payload = column_bytes(st, 18, &out->payload_len);
}

/* The index that leaves the fewest rows to be looked at. That of codes holds no "ok", which most jobs have.
 */
static enum sql_statement list_of(const struct store_job_filter *f)
{
    if (f->integration)
        return SQL_JOBS_BY_INTEGRATION;
    if (f->tenant && f->code && strcmp(f->code, "ok") != 0)
        return SQL_JOBS_BY_CODE;
    if (f->tenant)
        return f->state ? SQL_JOBS_BY_TENANT_STATE : SQL_JOBS_BY_TENANT;
    return f->state ? SQL_JOBS_BY_STATE : SQL_JOBS_BY_ID;
}

/* Filters that match all are zero from here on. */
static struct store_job_filter without_empty(const struct store_job_filter *f)
{
    struct store_job_filter some = *f;
    some.tenant = unless_empty(f->tenant);
    some.type = unless_empty(f->type);
    some.code = unless_empty(f->code);
    some.integration = f->integration && !id_is_nil(f->integration) ? f->integration : NULL;
    return some;
}

static void bind_place(sqlite3_stmt *st, int i, const struct store_job_filter *f, const struct pb_id *after)
{
    static const uint8_t end[] = {0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
                                  0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff}; /* after every id's 16 */
    if (f->newest_first && id_is_nil(after))
        sqlite3_bind_blob(st, i, end, sizeof end, SQLITE_STATIC);
    else
        rows_bind_id(st, i, after);
}

sqlite3_stmt *rows_take_jobs(struct rows *r, const struct store_job_filter *filter, const struct pb_id *after,
                             size_t limit)
{
    struct store_job_filter f = without_empty(filter);
    sqlite3_stmt *st = rows_take(r, list_of(&f) + (f.newest_first ? 1 : 0));
    if (!st)
        return NULL;
    bind_place(st, 1, &f, after);
    sqlite3_bind_int64(st, 2, (sqlite3_int64)limit);
    rows_bind_text(st, 3, f.tenant);
    rows_bind_text(st, 4, f.type);
    sqlite3_bind_int(st, 5, (int)f.kind);
    sqlite3_bind_int(st, 6, (int)f.state);
    if (f.integration)
        rows_bind_id(st, 7, f.integration);
    rows_bind_text(st, 8, f.code);
    return st;
}

/* -- integrations -- */

static void bind_box(sqlite3_stmt *st, const struct seal_box *box)
{
    sqlite3_bind_int(st, 7, box->version);
    rows_bind_text(st, 8, box->kid);
    sqlite3_bind_blob(st, 9, box->nonce, sizeof box->nonce, SQLITE_STATIC);
    sqlite3_bind_blob(st, 10, box->bytes ? box->bytes : (const uint8_t *)"", (int)box->len, SQLITE_STATIC);
}

/* Order as in INTEGRATION_COLUMNS; texts and numbers are the runs 11..18 and 20..27. */
void rows_bind_integration(sqlite3_stmt *st, const struct integration *in)
{
    const char *const texts[] = {in->fields,           in->supported_events, in->result,
                                 in->account_id,       in->account_label,    in->host,
                                 in->manifest_version, in->manifest_hash};
    const int64_t numbers[] = {in->first_failed_at_ms, in->suspect_since_ms, in->last_validated_ms,
                               in->next_validation_ms, in->created_at_ms,    in->updated_at_ms,
                               in->generation,         in->revision};
    rows_bind_id(st, 1, &in->id);
    rows_bind_text(st, 2, in->tenant);
    rows_bind_text(st, 3, in->name);
    rows_bind_text(st, 4, in->type);
    sqlite3_bind_int(st, 5, (int)in->status);
    sqlite3_bind_int(st, 6, (int)in->health);
    bind_box(st, &in->credentials);
    for (int i = 0; i < 8; i++)
        rows_bind_text(st, 11 + i, texts[i]);
    sqlite3_bind_int64(st, 19, in->failures);
    for (int i = 0; i < 8; i++)
        sqlite3_bind_int64(st, 20 + i, numbers[i]);
    rows_bind_fence(st, 28, in->fence);
}

static void read_box(sqlite3_stmt *st, struct seal_box *box)
{
    box->version = sqlite3_column_int(st, 6);
    column_chars(st, 7, box->kid, sizeof box->kid);
    if (sqlite3_column_bytes(st, 8) == (int)sizeof box->nonce)
        memcpy(box->nonce, sqlite3_column_blob(st, 8), sizeof box->nonce);
    box->bytes = column_bytes(st, 9, &box->len);
}

void rows_read_integration(sqlite3_stmt *st, struct integration *out)
{
    char **const texts[] = {&out->fields,           &out->supported_events, &out->result,
                            &out->account_id,       &out->account_label,    &out->host,
                            &out->manifest_version, &out->manifest_hash};
    int64_t *const numbers[] = {&out->first_failed_at_ms, &out->suspect_since_ms, &out->last_validated_ms,
                                &out->next_validation_ms, &out->created_at_ms,    &out->updated_at_ms,
                                &out->generation,         &out->revision};
    *out = (struct integration){0};
    rows_column_id(st, 0, &out->id);
    out->tenant = rows_column_text(st, 1);
    out->name = rows_column_text(st, 2);
    out->type = rows_column_text(st, 3);
    out->status = (enum integration_status)sqlite3_column_int(st, 4);
    out->health = (enum integration_health)sqlite3_column_int(st, 5);
    read_box(st, &out->credentials);
    for (int i = 0; i < 8; i++)
        *texts[i] = rows_column_text(st, 10 + i);
    out->failures = (uint32_t)sqlite3_column_int64(st, 18);
    for (int i = 0; i < 8; i++)
        *numbers[i] = sqlite3_column_int64(st, 19 + i);
    out->fence = (uint64_t)sqlite3_column_int64(st, 27);
}

/* -- tokens -- */

void rows_bind_token(sqlite3_stmt *st, const struct store_token *t)
{
    sqlite3_bind_blob(st, 1, t->hash, sizeof t->hash, SQLITE_STATIC);
    rows_bind_text(st, 2, t->tenant);
    rows_bind_text(st, 3, t->role);
    rows_bind_text(st, 4, t->name);
    sqlite3_bind_int64(st, 5, t->created_at_ms);
}

void rows_read_token(sqlite3_stmt *st, struct store_token *out)
{
    *out = (struct store_token){.created_at_ms = sqlite3_column_int64(st, 4)};
    if (sqlite3_column_bytes(st, 0) == (int)sizeof out->hash)
        memcpy(out->hash, sqlite3_column_blob(st, 0), sizeof out->hash);
    column_chars(st, 1, out->tenant, sizeof out->tenant);
    column_chars(st, 2, out->role, sizeof out->role);
    column_chars(st, 3, out->name, sizeof out->name);
}

void rows_bind_integration_filter(sqlite3_stmt *st, const struct store_filter *f)
{
    rows_bind_filter(st, 2, f->tenant);
    rows_bind_filter(st, 3, f->type);
    sqlite3_bind_int(st, 4, (int)f->status);
    sqlite3_bind_int(st, 5, (int)f->health);
    rows_bind_filter(st, 6, f->text);
    sqlite3_bind_int64(st, 7, f->not_since_ms);
    if (f->up_to)
        rows_bind_id(st, 8, f->up_to);
}

/* -- batches -- */

void rows_bind_batch(sqlite3_stmt *st, const struct store_batch *b)
{
    rows_bind_id(st, 1, &b->id);
    sqlite3_bind_int(st, 2, (int)b->state);
    rows_bind_text(st, 3, b->tenant);
    sqlite3_bind_int64(st, 4, b->created_at_ms);
    sqlite3_bind_int64(st, 5, b->finished_at_ms);
    rows_bind_text(st, 6, b->body);
}

void rows_read_batch(sqlite3_stmt *st, struct store_batch *out)
{
    *out = (struct store_batch){.state = (enum batch_state)sqlite3_column_int(st, 1),
                                .created_at_ms = sqlite3_column_int64(st, 3),
                                .finished_at_ms = sqlite3_column_int64(st, 4)};
    rows_column_id(st, 0, &out->id);
    column_chars(st, 2, out->tenant, sizeof out->tenant);
    out->body = rows_column_text(st, 5);
}

/* -- schedules -- */

void rows_bind_schedule(sqlite3_stmt *st, const struct store_schedule *s)
{
    rows_bind_text(st, 1, s->tenant);
    rows_bind_text(st, 2, s->name);
    sqlite3_bind_int64(st, 3, s->created_at_ms);
    sqlite3_bind_int64(st, 4, s->updated_at_ms);
    rows_bind_text(st, 5, s->body);
}

void rows_read_schedule(sqlite3_stmt *st, struct store_schedule *out)
{
    *out = (struct store_schedule){.created_at_ms = sqlite3_column_int64(st, 2),
                                   .updated_at_ms = sqlite3_column_int64(st, 3)};
    column_chars(st, 0, out->tenant, sizeof out->tenant);
    column_chars(st, 1, out->name, sizeof out->name);
    out->body = rows_column_text(st, 4);
}
