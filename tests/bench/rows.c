/* What the disk and SQLite alone can do: the rows of durable jobs, inserted and finished in groups, each
 * group one synced transaction, in one process and with nothing else. The queue's throughput is measured
 * beside it.
 *
 * usage: rows FILE COUNT [GROUP]   prints rows a second, inserted and finished */
#include "common/clock.h"

#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PAYLOAD_BYTES 256

static sqlite3 *db;

static void run(const char *sql)
{
    if (sqlite3_exec(db, sql, NULL, NULL, NULL) != SQLITE_OK) {
        fprintf(stderr, "rows: %s: %s\n", sql, sqlite3_errmsg(db));
        exit(1);
    }
}

static sqlite3_stmt *prepare(const char *sql)
{
    sqlite3_stmt *st;
    if (sqlite3_prepare_v2(db, sql, -1, &st, NULL) != SQLITE_OK) {
        fprintf(stderr, "rows: %s: %s\n", sql, sqlite3_errmsg(db));
        exit(1);
    }
    return st;
}

static void id_of(long n, unsigned char id[16])
{
    memset(id, 0, 16);
    for (int i = 0; i < 8; i++)
        id[15 - i] = (unsigned char)(n >> (8 * i));
}

static void step(sqlite3_stmt *st, long n)
{
    unsigned char id[16];
    id_of(n, id);
    sqlite3_bind_blob(st, 1, id, sizeof id, SQLITE_STATIC);
    if (sqlite3_step(st) != SQLITE_DONE) {
        fprintf(stderr, "rows: %s\n", sqlite3_errmsg(db));
        exit(1);
    }
    sqlite3_reset(st);
}

static double timed(sqlite3_stmt *st, long count, long group)
{
    uint64_t began_us = clock_mono_us();
    for (long n = 0; n < count; n += group) {
        run("BEGIN IMMEDIATE");
        for (long i = n; i < n + group && i < count; i++)
            step(st, i);
        run("COMMIT");
    }
    return (double)count * 1e6 / (double)(clock_mono_us() - began_us);
}

int main(int argc, char **argv)
{
    static const char payload[PAYLOAD_BYTES] = {1};
    if (argc < 3) {
        fprintf(stderr, "usage: rows FILE COUNT [GROUP]\n");
        return 2;
    }
    long count = strtol(argv[2], NULL, 10), group = argc > 3 ? strtol(argv[3], NULL, 10) : 1000;
    if (sqlite3_open(argv[1], &db) != SQLITE_OK || count < 1 || group < 1)
        return 1;
    run("PRAGMA journal_mode = WAL");
    run("PRAGMA synchronous = FULL");
    run("CREATE TABLE jobs (id BLOB PRIMARY KEY, state INTEGER NOT NULL, tenant TEXT NOT NULL, type TEXT NOT "
        "NULL,"
        " created_at INTEGER NOT NULL, finished_at INTEGER NOT NULL, payload BLOB) STRICT, WITHOUT ROWID");
    sqlite3_stmt *insert = prepare("INSERT INTO jobs VALUES (?1, 1, 'default', '', 1700000000000, 0, ?2)");
    sqlite3_stmt *finish =
        prepare("UPDATE jobs SET state = 2, finished_at = 1700000000001, payload = NULL WHERE id = ?1");
    sqlite3_bind_blob(insert, 2, payload, sizeof payload, SQLITE_STATIC);
    double inserted = timed(insert, count, group), finished = timed(finish, count, group);
    printf("%.0f inserted/s, %.0f finished/s, %.0f both/s in groups of %ld\n", inserted, finished,
           1 / (1 / inserted + 1 / finished), group);
    sqlite3_finalize(insert);
    sqlite3_finalize(finish);
    sqlite3_close(db);
    return 0;
}
