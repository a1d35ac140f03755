/* The rows of the embedded store: its statements, and how jobs, integrations and tokens are bound to and read
 * from them. What the rows mean (conditions, fences, transactions) is store_sqlite.c's business.
 *
 * A struct rows belongs to its handle's thread. Statements are prepared at first use and kept. */
#ifndef PB_STORE_SQLITE_ROWS_H
#define PB_STORE_SQLITE_ROWS_H

#include "common/store.h"

#include <sqlite3.h>

/* A list of jobs walks one index, which the filters decide, forwards or _BACK. */
#define SQL_JOBS_BY(name) SQL_JOBS_BY_##name, SQL_JOBS_BY_##name##_BACK

enum sql_statement {
    SQL_BEGIN,
    SQL_COMMIT,
    SQL_ROLLBACK,
    SQL_INSERT_JOB,
    SQL_FIND_JOB,
    SQL_FINISH_JOB,
    SQL_RETRY_JOB,
    SQL_MARK_JOB,
    SQL_REVIVE_JOB,
    SQL_JOB_STATE,
    SQL_GET_JOB,
    SQL_JOBS_BY(ID),
    SQL_JOBS_BY(STATE),
    SQL_JOBS_BY(TENANT),
    SQL_JOBS_BY(TENANT_STATE),
    SQL_JOBS_BY(INTEGRATION),
    SQL_JOBS_BY(CODE),
    SQL_COUNT_ENDED,
    SQL_COUNT_DEAD,
    SQL_OLDEST_ENDED,
    SQL_OLDEST_DEAD,
    SQL_DELETE_JOB,
    SQL_FENCE_OF,
    SQL_TOMBSTONE_OF,
    SQL_PUT_INTEGRATION,
    SQL_DELETE_INTEGRATION,
    SQL_PUT_TOMBSTONE,
    SQL_PURGE_TOMBSTONES,
    SQL_GET_INTEGRATION,
    SQL_FIND_NAME,
    SQL_LIST_INTEGRATIONS,
    SQL_LIST_OF_TYPE,
    SQL_LIST_DUE,
    SQL_COUNT_INTEGRATIONS,
    SQL_COUNT_OF_TYPES, /* by an index alone: where only the type and the ids matter */
    SQL_PUT_BATCH,
    SQL_GET_BATCH,
    SQL_LIST_BATCHES,
    SQL_PUT_SCHEDULE,
    SQL_DROP_SCHEDULE,
    SQL_GET_SCHEDULE,
    SQL_LIST_SCHEDULES,
    SQL_INSERT_TOKEN,
    SQL_LIST_TOKENS,
    SQL_LIST_META,
    SQL_LIST_DELETED,
    SQL_SET_META,
    SQL_UNSET_META,
    SQL_GET_META,
    SQL_RAISE_EPOCH,
    SQL_STATEMENTS,
};

struct rows {
    sqlite3 *db; /* lent */
    sqlite3_stmt *statements[SQL_STATEMENTS];
};
void rows_fini(struct rows *r); /* finalizes the statements; accepts a zeroed one */

/* A statement to bind and step, lent until rows_give(); NULL if SQLite cannot prepare it. */
sqlite3_stmt *rows_take(struct rows *r, enum sql_statement which);
/* Resets it at once: an open read would keep the WAL from being checkpointed. Accepts NULL. */
void rows_give(sqlite3_stmt *st);
/* One step of a statement without parameters. SQLite's code. */
int rows_run(struct rows *r, enum sql_statement which);

/* What is bound is lent until rows_give(). Parameters count from 1, columns from 0, as in SQLite. */
void rows_bind_id(sqlite3_stmt *st, int i, const struct pb_id *id);
void rows_bind_text(sqlite3_stmt *st, int i, const char *text);   /* NULL binds NULL */
void rows_bind_filter(sqlite3_stmt *st, int i, const char *text); /* NULL or empty binds NULL: matches all */
void rows_bind_fence(sqlite3_stmt *st, int i, uint64_t fence);
void rows_column_id(sqlite3_stmt *st, int i, struct pb_id *out);
char *rows_column_text(sqlite3_stmt *st, int i); /* malloc'ed; NULL for NULL */

/* Whole rows. What is read is the caller's (job_fini, integration_fini). */
void rows_bind_job(sqlite3_stmt *st, const struct job *j);
void rows_read_job(sqlite3_stmt *st, struct job *out);
/* The statement for a page of jobs, bound; to be given back as any other. after is lent, too. */
sqlite3_stmt *rows_take_jobs(struct rows *r, const struct store_job_filter *filter, const struct pb_id *after,
                             size_t limit);
void rows_bind_integration(sqlite3_stmt *st, const struct integration *in);
void rows_read_integration(sqlite3_stmt *st, struct integration *out);
void rows_bind_token(sqlite3_stmt *st, const struct store_token *t);
void rows_read_token(sqlite3_stmt *st, struct store_token *out);

/* Parameters 2 to 8 of the statements that select integrations. */
void rows_bind_integration_filter(sqlite3_stmt *st, const struct store_filter *f);
void rows_bind_batch(sqlite3_stmt *st, const struct store_batch *b);
void rows_read_batch(sqlite3_stmt *st, struct store_batch *out);
void rows_bind_schedule(sqlite3_stmt *st, const struct store_schedule *s);
void rows_read_schedule(sqlite3_stmt *st, struct store_schedule *out);

#endif
