#include "common/store_sqlite_rows.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* -- what can be asked -- */

#define JOB_COLUMNS                                                                                          \
    "id, kind, state, tenant, type, idem, integration, attempts, created_at, finished_at, result"
#define INTEGRATION_COLUMNS                                                                                  \
    "id, tenant, name, type, status, health, box_version, box_kid, box_nonce, box, fields, events, result, " \
    "account_id, "                                                                                           \
    "account_label, host, manifest_version, manifest_hash, failures, first_failed_at, suspect_since, "       \
    "last_validated, "                                                                                       \
    "next_validation, created_at, updated_at, generation, revision, fence"

static const char *const sql[SQL_STATEMENTS] = {
    [SQL_BEGIN] = "BEGIN IMMEDIATE",
    [SQL_COMMIT] = "COMMIT",
    [SQL_ROLLBACK] = "ROLLBACK",
    [SQL_SAVEPOINT] = "SAVEPOINT op",
    [SQL_RELEASE] = "RELEASE op",
    [SQL_ROLLBACK_TO] = "ROLLBACK TO op",
    [SQL_INSERT_JOB] =
        "INSERT INTO jobs (" JOB_COLUMNS ", payload) VALUES (?1,?2,?3,?4,?5,?6,?7,?8,?9,?10,?11,?12)",
    [SQL_FIND_IDEM] = "SELECT id FROM jobs WHERE (tenant = ?1 AND idem = ?2) OR id = ?3",
    [SQL_FINISH_JOB] =
        "UPDATE jobs SET state = ?2, result = ?3, finished_at = ?4, payload = NULL WHERE id = ?1 "
        "AND state = 1",
    [SQL_RETRY_JOB] = "UPDATE jobs SET attempts = ?2 WHERE id = ?1 AND state = 1",
    [SQL_JOB_STATE] = "SELECT state FROM jobs WHERE id = ?1",
    [SQL_GET_JOB] = "SELECT " JOB_COLUMNS ", payload FROM jobs WHERE id = ?1",
    [SQL_LIST_WAITING] =
        "SELECT " JOB_COLUMNS ", NULL FROM jobs WHERE state = 1 AND id > ?1 ORDER BY id LIMIT ?2",
    [SQL_FENCE_OF] = "SELECT fence, generation FROM integrations WHERE id = ?1",
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
        "SELECT " INTEGRATION_COLUMNS " FROM integrations WHERE id > ?1 "
        "AND (?2 IS NULL OR tenant = ?2) AND (?3 IS NULL OR type = ?3) AND (?4 = 0 OR status = ?4) "
        "AND (?5 = 0 OR health = ?5) "
        "AND (?6 IS NULL OR instr(lower(name), lower(?6)) > 0 OR instr(lower(account_label), lower(?6)) > 0) "
        "ORDER BY id LIMIT ?7",
    [SQL_INSERT_TOKEN] = "INSERT INTO tokens (hash, tenant, role, name, created_at) VALUES (?1,?2,?3,?4,?5)",
    [SQL_LIST_TOKENS] = "SELECT hash, tenant, role, name, created_at FROM tokens ORDER BY created_at",
    [SQL_SET_META] = "INSERT OR REPLACE INTO meta (key, value) VALUES (?1, ?2)",
    [SQL_UNSET_META] = "DELETE FROM meta WHERE key = ?1",
    [SQL_GET_META] = "SELECT value FROM meta WHERE key = ?1",
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

void rows_bind_job(sqlite3_stmt *st, const struct job *j)
{
    rows_bind_id(st, 1, &j->id);
    sqlite3_bind_int(st, 2, (int)j->kind);
    sqlite3_bind_int(st, 3, JOB_WAITING);
    rows_bind_text(st, 4, j->tenant);
    rows_bind_text(st, 5, j->type);
    rows_bind_text(st, 6, j->idem[0] ? j->idem : NULL);
    rows_bind_id(st, 7, &j->integration);
    sqlite3_bind_int64(st, 8, j->attempts);
    sqlite3_bind_int64(st, 9, j->created_at_ms);
    sqlite3_bind_int64(st, 10, 0);
    rows_bind_text(st, 11, NULL);
    sqlite3_bind_blob(st, 12, j->payload, (int)j->payload_len, SQLITE_STATIC);
}

void rows_read_job(sqlite3_stmt *st, struct job *out)
{
    *out = (struct job){.kind = (enum job_kind)sqlite3_column_int(st, 1),
                        .state = (enum job_state)sqlite3_column_int(st, 2)};
    rows_column_id(st, 0, &out->id);
    column_chars(st, 3, out->tenant, sizeof out->tenant);
    column_chars(st, 4, out->type, sizeof out->type);
    column_chars(st, 5, out->idem, sizeof out->idem);
    rows_column_id(st, 6, &out->integration);
    out->attempts = (uint32_t)sqlite3_column_int64(st, 7);
    out->created_at_ms = sqlite3_column_int64(st, 8);
    out->finished_at_ms = sqlite3_column_int64(st, 9);
    out->result = rows_column_text(st, 10);
    out->payload = column_bytes(st, 11, &out->payload_len);
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
