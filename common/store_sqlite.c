/* The embedded store. One writer (the broker's journal), any number of readers; WAL with synchronous=FULL, so
 * a commit that returned is on the disk. What the operations of a commit do is store_sqlite_writer.c's
 * business. */
#include "common/store_ops.h"
#include "common/store_sqlite_rows.h"
#include "common/store_sqlite_writer.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#define SCHEMA_VERSION   1
#define BUSY_MS          5000
#define CACHE_KIB        16384 /* the writer's: else a commit's scattered pages are written twice */
#define CHECKPOINT_PAGES 16384 /* of 4 KiB: 64 MiB of WAL */

/* Steps from one schema version to the next; user_version counts those that were taken. */
static const char *const migrations[SCHEMA_VERSION] = {
    "CREATE TABLE jobs (id BLOB PRIMARY KEY, kind INTEGER NOT NULL, state INTEGER NOT NULL, tenant TEXT NOT "
    "NULL,"
    " type TEXT NOT NULL, idem TEXT, host TEXT NOT NULL, integration BLOB NOT NULL, priority INTEGER NOT "
    "NULL,"
    " attempts INTEGER NOT NULL, max_attempts INTEGER NOT NULL, crashes INTEGER NOT NULL,"
    " cancel_asked INTEGER NOT NULL, created_at INTEGER NOT NULL, not_before INTEGER NOT NULL,"
    " deadline INTEGER NOT NULL, finished_at INTEGER NOT NULL, result TEXT, code TEXT, payload BLOB)"
    " STRICT, WITHOUT ROWID;"
    "CREATE UNIQUE INDEX jobs_idem ON jobs (tenant, idem) WHERE idem IS NOT NULL;"
    "CREATE INDEX jobs_state ON jobs (state, id);"
    "CREATE INDEX jobs_tenant ON jobs (tenant, state, id);"
    "CREATE INDEX jobs_integration ON jobs (integration, id);"
    "CREATE INDEX jobs_code ON jobs (tenant, code, id) WHERE code <> 'ok';"
    "CREATE INDEX jobs_ended ON jobs (finished_at, id, state) WHERE state BETWEEN 2 AND 4;"
    "CREATE INDEX jobs_dead ON jobs (finished_at, id, state) WHERE state = 5;"
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
    "CREATE INDEX integrations_due ON integrations (next_validation, id) WHERE next_validation > 0 AND "
    "status "
    "<> 2;"
    "CREATE TABLE batches (id BLOB PRIMARY KEY, state INTEGER NOT NULL, tenant TEXT NOT NULL,"
    " created_at INTEGER NOT NULL, finished_at INTEGER NOT NULL, body TEXT NOT NULL) STRICT, WITHOUT ROWID;"
    "CREATE TABLE schedules (tenant TEXT NOT NULL, name TEXT NOT NULL, created_at INTEGER NOT NULL,"
    " updated_at INTEGER NOT NULL, body TEXT NOT NULL, PRIMARY KEY (tenant, name)) STRICT, WITHOUT ROWID;"
    "CREATE TABLE tombstones (id BLOB PRIMARY KEY, fence INTEGER NOT NULL, deleted_at INTEGER NOT NULL) "
    "STRICT, WITHOUT ROWID;"
    "CREATE INDEX tombstones_age ON tombstones (deleted_at);"
    "CREATE TABLE tokens (hash BLOB PRIMARY KEY, tenant TEXT NOT NULL, role TEXT NOT NULL, name TEXT NOT "
    "NULL,"
    " created_at INTEGER NOT NULL) STRICT, WITHOUT ROWID;"
    "CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT, WITHOUT ROWID;",
};

struct sqlite {
    struct store base;
    struct rows rows;
    struct writer writer;
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
    int code = sqlite3_extended_errcode(s->rows.db);
    const char *remedy = "";
    if ((code & 0xff) == SQLITE_FULL)
        remedy = "; free some space on its disk";
    else if ((code & 0xff) == SQLITE_IOERR)
        remedy = "; is its disk full, or failing?";
    else if ((code & 0xff) == SQLITE_NOTADB || (code & 0xff) == SQLITE_CORRUPT)
        remedy = "; it is not a database of Patchbay's, or it is damaged: restore it from a backup, or name "
                 "another file";
    else if ((code & 0xff) == SQLITE_READONLY || (code & 0xff) == SQLITE_CANTOPEN)
        remedy = "; the folder and the file must be writable for this user";
    return pb_fail(why, PB_E_STORE, s->path, "%s%s", sqlite3_errmsg(s->rows.db), remedy);
}

/* -- writing -- */

static pb_err commit_ops(struct store *base, struct store_op *const *ops, size_t count, struct pb_why *why)
{
    struct sqlite *s = of(base);
    int rc = rows_run(&s->rows, SQL_BEGIN);
    for (size_t i = 0; i < count && rc == SQLITE_DONE; i++)
        rc = writer_apply(&s->writer, ops[i]);
    if (rc == SQLITE_DONE)
        rc = rows_run(&s->rows, SQL_COMMIT);
    if (rc == SQLITE_DONE) {
        writer_committed(&s->writer);
        return PB_OK;
    }
    pb_err err = db_fail(s, why);
    if (!sqlite3_get_autocommit(s->rows.db))
        rows_run(&s->rows, SQL_ROLLBACK);
    writer_undone(&s->writer, ops, count);
    return err;
}

/* -- reads -- */

/* Ends a list, and gives its statement back: err is its visitor's last word, rc the last step's. */
static pb_err end_rows(struct sqlite *s, sqlite3_stmt *st, pb_err err, int rc, struct pb_why *why)
{
    rows_give(st);
    return err ? err : rc == SQLITE_DONE ? PB_OK : db_fail(s, why);
}

/* Ends a read of one row: PB_OK with a row, PB_E_NOT_FOUND without. */
static pb_err one_row(struct sqlite *s, int rc, struct pb_why *why)
{
    return rc == SQLITE_ROW ? PB_OK : rc == SQLITE_DONE ? PB_E_NOT_FOUND : db_fail(s, why);
}

static pb_err get_integration(struct store *base, const struct pb_id *id, struct integration *out,
                              struct pb_why *why)
{
    struct sqlite *s = of(base);
    sqlite3_stmt *st = rows_take(&s->rows, SQL_GET_INTEGRATION);
    if (!st)
        return db_fail(s, why);
    rows_bind_id(st, 1, id);
    pb_err err = one_row(s, sqlite3_step(st), why);
    if (!err)
        rows_read_integration(st, out);
    rows_give(st);
    return err;
}

static pb_err find_name(struct store *base, const char *tenant, const char *name, struct pb_id *out,
                        struct pb_why *why)
{
    struct sqlite *s = of(base);
    sqlite3_stmt *st = rows_take(&s->rows, SQL_FIND_NAME);
    if (!st)
        return db_fail(s, why);
    rows_bind_text(st, 1, tenant);
    rows_bind_text(st, 2, name);
    pb_err err = one_row(s, sqlite3_step(st), why);
    if (!err)
        rows_column_id(st, 0, out);
    rows_give(st);
    return err;
}

static pb_err get_job(struct store *base, const struct pb_id *id, struct job *out, struct pb_why *why)
{
    struct sqlite *s = of(base);
    sqlite3_stmt *st = rows_take(&s->rows, SQL_GET_JOB);
    if (!st)
        return db_fail(s, why);
    rows_bind_id(st, 1, id);
    pb_err err = one_row(s, sqlite3_step(st), why);
    if (!err)
        rows_read_job(st, out);
    rows_give(st);
    return err;
}

static pb_err get_meta(struct store *base, const char *key, char **out, struct pb_why *why)
{
    struct sqlite *s = of(base);
    sqlite3_stmt *st = rows_take(&s->rows, SQL_GET_META);
    if (!st)
        return db_fail(s, why);
    rows_bind_text(st, 1, key);
    pb_err err = one_row(s, sqlite3_step(st), why);
    if (!err && !(*out = rows_column_text(st, 0)))
        err = PB_E_MEMORY;
    rows_give(st);
    return err;
}

/* Runs a bound statement that gives integrations, and gives it back. */
static pb_err each_integration(struct sqlite *s, sqlite3_stmt *st,
                               pb_err (*each)(void *arg, const struct integration *in), void *arg,
                               struct pb_why *why)
{
    pb_err err = PB_OK;
    int rc = SQLITE_DONE;
    while (!err && (rc = sqlite3_step(st)) == SQLITE_ROW) {
        struct integration in;
        rows_read_integration(st, &in);
        err = each(arg, &in);
        integration_fini(&in);
    }
    return end_rows(s, st, err, rc, why);
}

static pb_err list_integrations(struct store *base, const struct store_filter *f, const struct pb_id *after,
                                size_t limit, pb_err (*each)(void *arg, const struct integration *in),
                                void *arg, struct pb_why *why)
{
    struct sqlite *s = of(base);
    bool of_type = f->type && f->type[0];
    sqlite3_stmt *st = rows_take(&s->rows, of_type ? SQL_LIST_OF_TYPE : SQL_LIST_INTEGRATIONS);
    if (!st)
        return db_fail(s, why);
    rows_bind_id(st, 1, after);
    rows_bind_integration_filter(st, f);
    sqlite3_bind_int64(st, 9, (sqlite3_int64)limit);
    return each_integration(s, st, each, arg, why);
}

static pb_err list_due(struct store *base, int64_t due_ms, int64_t after_ms, const struct pb_id *after,
                       size_t limit, pb_err (*each)(void *arg, const struct integration *in), void *arg,
                       struct pb_why *why)
{
    struct sqlite *s = of(base);
    sqlite3_stmt *st = rows_take(&s->rows, SQL_LIST_DUE);
    if (!st)
        return db_fail(s, why);
    sqlite3_bind_int64(st, 1, due_ms);
    sqlite3_bind_int64(st, 2, after_ms);
    rows_bind_id(st, 3, after);
    sqlite3_bind_int64(st, 4, (sqlite3_int64)limit);
    return each_integration(s, st, each, arg, why);
}

static pb_err count_integrations(struct store *base, const struct store_filter *f,
                                 pb_err (*each)(void *arg, const char *type, uint64_t count), void *arg,
                                 struct pb_why *why)
{
    static const struct pb_id first = {{0}};
    struct sqlite *s = of(base);
    bool by_index = (!f->tenant || !*f->tenant) && (!f->text || !*f->text) && !f->status && !f->health &&
                    !f->not_since_ms;
    sqlite3_stmt *st = rows_take(&s->rows, by_index ? SQL_COUNT_OF_TYPES : SQL_COUNT_INTEGRATIONS);
    if (!st)
        return db_fail(s, why);
    rows_bind_id(st, 1, &first);
    rows_bind_integration_filter(st, f);
    pb_err err = PB_OK;
    int rc = SQLITE_DONE;
    while (!err && (rc = sqlite3_step(st)) == SQLITE_ROW)
        err = each(arg, (const char *)sqlite3_column_text(st, 0), (uint64_t)sqlite3_column_int64(st, 1));
    return end_rows(s, st, err, rc, why);
}

static pb_err get_batch(struct store *base, const struct pb_id *id, struct store_batch *out,
                        struct pb_why *why)
{
    struct sqlite *s = of(base);
    sqlite3_stmt *st = rows_take(&s->rows, SQL_GET_BATCH);
    if (!st)
        return db_fail(s, why);
    rows_bind_id(st, 1, id);
    pb_err err = one_row(s, sqlite3_step(st), why);
    if (!err)
        rows_read_batch(st, out);
    rows_give(st);
    return err;
}

static pb_err list_batches(struct store *base, const char *tenant, enum batch_state state,
                           const struct pb_id *before, size_t limit,
                           pb_err (*each)(void *arg, const struct store_batch *batch), void *arg,
                           struct pb_why *why)
{
    static const struct pb_id last = {
        {0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff}};
    struct sqlite *s = of(base);
    sqlite3_stmt *st = rows_take(&s->rows, SQL_LIST_BATCHES);
    if (!st)
        return db_fail(s, why);
    rows_bind_id(st, 1, id_is_nil(before) ? &last : before);
    rows_bind_filter(st, 2, tenant);
    sqlite3_bind_int(st, 3, (int)state);
    sqlite3_bind_int64(st, 4, (sqlite3_int64)limit);
    pb_err err = PB_OK;
    int rc = SQLITE_DONE;
    while (!err && (rc = sqlite3_step(st)) == SQLITE_ROW) {
        struct store_batch batch;
        rows_read_batch(st, &batch);
        err = each(arg, &batch);
        store_batch_fini(&batch);
    }
    return end_rows(s, st, err, rc, why);
}

static pb_err get_schedule(struct store *base, const char *tenant, const char *name,
                           struct store_schedule *out, struct pb_why *why)
{
    struct sqlite *s = of(base);
    sqlite3_stmt *st = rows_take(&s->rows, SQL_GET_SCHEDULE);
    if (!st)
        return db_fail(s, why);
    rows_bind_text(st, 1, tenant);
    rows_bind_text(st, 2, name);
    pb_err err = one_row(s, sqlite3_step(st), why);
    if (!err)
        rows_read_schedule(st, out);
    rows_give(st);
    return err;
}

static pb_err list_schedules(struct store *base, const char *tenant,
                             pb_err (*each)(void *arg, const struct store_schedule *schedule), void *arg,
                             struct pb_why *why)
{
    struct sqlite *s = of(base);
    sqlite3_stmt *st = rows_take(&s->rows, SQL_LIST_SCHEDULES);
    if (!st)
        return db_fail(s, why);
    rows_bind_filter(st, 1, tenant);
    pb_err err = PB_OK;
    int rc = SQLITE_DONE;
    while (!err && (rc = sqlite3_step(st)) == SQLITE_ROW) {
        struct store_schedule schedule;
        rows_read_schedule(st, &schedule);
        err = each(arg, &schedule);
        store_schedule_fini(&schedule);
    }
    return end_rows(s, st, err, rc, why);
}

static pb_err list_jobs(struct store *base, const struct store_job_filter *filter, const struct pb_id *after,
                        size_t limit, pb_err (*each)(void *arg, const struct job *job), void *arg,
                        struct pb_why *why)
{
    struct sqlite *s = of(base);
    sqlite3_stmt *st = rows_take_jobs(&s->rows, filter, after, limit);
    if (!st)
        return db_fail(s, why);
    pb_err err = PB_OK;
    int rc = SQLITE_DONE;
    while (!err && (rc = sqlite3_step(st)) == SQLITE_ROW) {
        struct job job;
        rows_read_job(st, &job);
        err = each(arg, &job);
        job_fini(&job);
    }
    return end_rows(s, st, err, rc, why);
}

static pb_err list_tokens(struct store *base, pb_err (*each)(void *arg, const struct store_token *token),
                          void *arg, struct pb_why *why)
{
    struct sqlite *s = of(base);
    sqlite3_stmt *st = rows_take(&s->rows, SQL_LIST_TOKENS);
    if (!st)
        return db_fail(s, why);
    pb_err err = PB_OK;
    int rc = SQLITE_DONE;
    while (!err && (rc = sqlite3_step(st)) == SQLITE_ROW) {
        struct store_token t;
        rows_read_token(st, &t);
        err = each(arg, &t);
    }
    return end_rows(s, st, err, rc, why);
}

static pb_err list_meta(struct store *base, pb_err (*each)(void *arg, const char *key, const char *value),
                        void *arg, struct pb_why *why)
{
    struct sqlite *s = of(base);
    sqlite3_stmt *st = rows_take(&s->rows, SQL_LIST_META);
    if (!st)
        return db_fail(s, why);
    pb_err err = PB_OK;
    int rc = SQLITE_DONE;
    while (!err && (rc = sqlite3_step(st)) == SQLITE_ROW)
        err = each(arg, (const char *)sqlite3_column_text(st, 0), (const char *)sqlite3_column_text(st, 1));
    return end_rows(s, st, err, rc, why);
}

static pb_err list_deleted(struct store *base,
                           pb_err (*each)(void *arg, const struct pb_id *id, uint64_t fence), void *arg,
                           struct pb_why *why)
{
    struct sqlite *s = of(base);
    sqlite3_stmt *st = rows_take(&s->rows, SQL_LIST_DELETED);
    if (!st)
        return db_fail(s, why);
    pb_err err = PB_OK;
    int rc = SQLITE_DONE;
    while (!err && (rc = sqlite3_step(st)) == SQLITE_ROW) {
        struct pb_id id = {{0}};
        rows_column_id(st, 0, &id);
        err = each(arg, &id, (uint64_t)sqlite3_column_int64(st, 1));
    }
    return end_rows(s, st, err, rc, why);
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
    if (sqlite3_prepare_v2(s->rows.db, query, -1, &st, NULL) == SQLITE_OK && sqlite3_step(st) == SQLITE_ROW)
        n = sqlite3_column_int(st, 0);
    sqlite3_finalize(st);
    return n;
}

static bool exec(struct sqlite *s, const char *statements)
{
    return sqlite3_exec(s->rows.db, statements, NULL, NULL, NULL) == SQLITE_OK;
}

/* The file's schema version, refused when it is newer than this program's. */
static pb_err check_version(struct sqlite *s, int *out, struct pb_why *why)
{
    *out = scalar(s, "PRAGMA user_version");
    if (*out < 0)
        return db_fail(s, why);
    if (*out > SCHEMA_VERSION)
        return pb_fail(why, PB_E_UNSUPPORTED, s->path,
                       "was written by a newer Patchbay (schema %d, this one knows %d); update this one",
                       *out, SCHEMA_VERSION);
    return PB_OK;
}

/* A reader cannot bring the tables up to date, so it needs a writer to have been there. */
static pb_err check_readable(struct sqlite *s, struct pb_why *why)
{
    int version;
    pb_err err = check_version(s, &version, why);
    if (!err && version < SCHEMA_VERSION)
        err = pb_fail(why, PB_E_STORE, s->path,
                      "has no tables of this version's (schema %d of %d); start a broker on it first",
                      version, SCHEMA_VERSION);
    return err;
}

static pb_err migrate(struct sqlite *s, struct pb_why *why)
{
    int version;
    pb_err err = check_version(s, &version, why);
    if (err)
        return err;
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
    int rc = sqlite3_open_v2(s->path, &s->rows.db, flags, NULL);
    bool ok = rc == SQLITE_OK && sqlite3_busy_timeout(s->rows.db, BUSY_MS) == SQLITE_OK;
    if (ok && !read_only) {
        char pragmas[256];
        snprintf(pragmas, sizeof pragmas,
                 "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA wal_autocheckpoint = %d; "
                 "PRAGMA trusted_schema = OFF; PRAGMA secure_delete = ON;" /* what is erased is gone */
                 "PRAGMA cache_size = -%d",
                 CHECKPOINT_PAGES, CACHE_KIB);
        ok = exec(s, pragmas);
    }
    umask(mask);
    if (!ok)
        return db_fail(s, why);
    return read_only ? check_readable(s, why) : migrate(s, why);
}

static void close_store(struct store *base)
{
    struct sqlite *s = of(base);
    sqlite3 *db = s->rows.db;
    rows_fini(&s->rows);
    sqlite3_close(db);
    if (s->lock_fd >= 0)
        close(s->lock_fd);
    free(s);
}

/* Counting every allocation under a lock costs a tenth of a write, and nobody asks for the counts. It can be
 * said only before SQLite's first use; afterwards it is refused, and does no harm. */
static void tune_sqlite(void)
{
    sqlite3_config(SQLITE_CONFIG_MEMSTATUS, 0);
}

static pb_err open_store(const char *url, bool read_only, struct store **out, struct pb_why *why)
{
    static pthread_once_t tuned = PTHREAD_ONCE_INIT;
    struct sqlite *s = calloc(1, sizeof *s);
    if (!s)
        return PB_E_MEMORY;
    pthread_once(&tuned, tune_sqlite);
    s->lock_fd = -1;
    s->writer.rows = &s->rows;
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
    .get_integration = get_integration,
    .find_name = find_name,
    .get_job = get_job,
    .get_meta = get_meta,
    .list_integrations = list_integrations,
    .list_due = list_due,
    .count_integrations = count_integrations,
    .get_batch = get_batch,
    .list_batches = list_batches,
    .get_schedule = get_schedule,
    .list_schedules = list_schedules,
    .list_jobs = list_jobs,
    .list_meta = list_meta,
    .list_deleted = list_deleted,
    .list_tokens = list_tokens,
};
