/* The contract on the embedded store, and what is its own: files, locks, versions. */
#include "common/store.h"
#include "tests/store/fault_vfs.h"
#include "tests/store/must.h"
#include "tests/store/suite.h"
#include "tests/unit/scratch.h"

#include <dirent.h>
#include <fcntl.h>
#include <setjmp.h>
#include <sqlite3.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
/* cmocka wants setjmp and stdarg before it */
#include <cmocka.h>

struct place {
    struct scratch scratch;
    int count;
};

static void fresh(void *arg, char url[SUITE_URL_BYTES])
{
    struct place *p = arg;
    snprintf(url, SUITE_URL_BYTES, "sqlite:%s/%d.db", p->scratch.folder, p->count++);
}

static const struct scratch *folder(void **state)
{
    return &((struct place *)*state)->scratch;
}

static const char *url_of(void **state, const char *name, char url[SUITE_URL_BYTES])
{
    snprintf(url, SUITE_URL_BYTES, "sqlite:%s/%s", folder(state)->folder, name);
    return url;
}

/* It does not open: with this error, at the file, with these words. */
static void refused(void **state, const char *name, bool read_only, pb_err err, const char *words)
{
    char url[SUITE_URL_BYTES];
    struct store *s = NULL;
    struct pb_why why = {0};
    url_of(state, name, url);
    pb_err got = store_open(url, read_only, &s, &why);
    if (got != err || s || strcmp(why.at, url + strlen("sqlite:")) != 0 || !strstr(why.text, words))
        fail_msg("%s: %s: %s: %s", name, pb_err_name(got), why.at, why.text);
}

static void set_meta(struct store *s, const char *key, const char *value)
{
    struct store_op op = {.kind = STORE_SET_META, .meta_key = key, .meta_value = value}, *ops[] = {&op};
    must_commit(s, ops, 1);
}

static void expect_meta(struct store *s, const char *key, const char *expected)
{
    char *value = NULL;
    struct pb_why why = {0};
    assert_int_equal(store_get_meta(s, key, &value, &why), PB_OK);
    assert_string_equal(value, expected);
    free(value);
}

/* Runs SQL on the file behind the store's back. */
static void tamper(void **state, const char *name, const char *sql)
{
    char path[256];
    sqlite3 *db = NULL;
    assert_int_equal(sqlite3_open(scratch_path(folder(state), name, path), &db), SQLITE_OK);
    if (sqlite3_exec(db, sql, NULL, NULL, NULL) != SQLITE_OK)
        fail_msg("%s: %s", sql, sqlite3_errmsg(db));
    sqlite3_close(db);
}

static int ask(void **state, const char *name, const char *sql)
{
    char path[256];
    sqlite3 *db = NULL;
    sqlite3_stmt *st = NULL;
    assert_int_equal(sqlite3_open(scratch_path(folder(state), name, path), &db), SQLITE_OK);
    assert_int_equal(sqlite3_prepare_v2(db, sql, -1, &st, NULL), SQLITE_OK);
    assert_int_equal(sqlite3_step(st), SQLITE_ROW);
    int n = sqlite3_column_int(st, 0);
    sqlite3_finalize(st);
    sqlite3_close(db);
    return n;
}

static void sqlite_open_says_what_is_wrong_with_the_place(void **state)
{
    char path[256];
    refused(state, "no/such/folder/a.db", false, PB_E_STORE, "No such file or directory");
    refused(state, "no/such/folder/a.db", true, PB_E_STORE, "unable to open");
    scratch_text(folder(state), "file", "x");
    refused(state, "file/a.db", false, PB_E_STORE, "Not a directory");
    assert_int_equal(mkdir(scratch_path(folder(state), "sub", path), 0700), 0);
    refused(state, "sub", false, PB_E_STORE, "unable to open");
    refused(state, "missing.db", true, PB_E_STORE, "unable to open"); /* a reader makes none */
    assert_int_equal(access(scratch_path(folder(state), "missing.db", path), F_OK), -1);
}

static void sqlite_open_refuses_urls_it_does_not_know(void **state)
{
    static const char *const urls[] = {"", "/var/lib/x.db", "postgres://x", "SQLITE:x", "sqlite"};
    (void)state;
    for (size_t i = 0; i < sizeof urls / sizeof urls[0]; i++) {
        struct store *s = NULL;
        struct pb_why why = {0};
        assert_int_equal(store_open(urls[i], false, &s, &why), PB_E_UNSUPPORTED);
        assert_string_equal(why.at, urls[i]);
        assert_non_null(strstr(why.text, "sqlite:/"));
    }
}

static void sqlite_open_refuses_a_path_that_is_too_long(void **state)
{
    char url[1000];
    struct store *s = NULL;
    struct pb_why why = {0};
    (void)state;
    memset(url, 'a', sizeof url - 1);
    memcpy(url, "sqlite:/", 8);
    url[sizeof url - 1] = 0;
    assert_int_equal(store_open(url, false, &s, &why), PB_E_LIMIT);
    assert_non_null(strstr(why.text, "too long"));
}

static void sqlite_open_refuses_what_is_no_database(void **state)
{
    char junk[8192];
    memset(junk, 'j', sizeof junk);
    scratch_write(folder(state), "junk.db", junk, sizeof junk, 0600);
    refused(state, "junk.db", false, PB_E_STORE, "not a database of Patchbay's");
    refused(state, "junk.db", true, PB_E_STORE, "not a database of Patchbay's");
    refused(state, "junk.db", false, PB_E_STORE, "not a database of Patchbay's"); /* the lock is free again */
    FILE *f = fopen(scratch_path(folder(state), "junk.db", junk), "r");
    assert_non_null(f);
    assert_int_equal(fgetc(f), 'j'); /* and nothing was written to it */
    fclose(f);
}

static void sqlite_open_refuses_a_newer_schema(void **state)
{
    char url[SUITE_URL_BYTES];
    store_close(must_open(url_of(state, "newer.db", url), false));
    assert_int_equal(ask(state, "newer.db", "PRAGMA user_version"), 1);
    tamper(state, "newer.db", "PRAGMA user_version = 99");
    refused(state, "newer.db", false, PB_E_UNSUPPORTED, "schema 99, this one knows 1");
    refused(state, "newer.db", true, PB_E_UNSUPPORTED, "schema 99, this one knows 1");
    assert_int_equal(ask(state, "newer.db", "PRAGMA user_version"), 99);
    tamper(state, "newer.db", "PRAGMA user_version = 1");
    store_close(must_open(url, false));
}

static void sqlite_reader_needs_the_tables(void **state)
{
    tamper(state, "empty.db", "CREATE TABLE other (x)");
    refused(state, "empty.db", true, PB_E_STORE, "start a broker on it first");
}

static void sqlite_open_lets_one_writer_in(void **state)
{
    char url[SUITE_URL_BYTES];
    struct store *writer = must_open(url_of(state, "one.db", url), false);
    refused(state, "one.db", false, PB_E_BUSY, "another broker uses this store");
    struct store *reader = must_open(url, true);
    set_meta(writer, "k", "v"); /* the one that is refused leaves it alone */
    expect_meta(reader, "k", "v");
    store_close(writer);
    writer = must_open(url, false); /* free again, whoever still reads */
    store_close(reader);
    store_close(writer);
}

static void sqlite_files_are_private(void **state)
{
    static const char *const names[] = {"private.db", "private.db-wal", "private.db-shm", "private.db.lock"};
    char url[SUITE_URL_BYTES], path[256];
    struct stat st;
    mode_t mask = umask(0);
    struct store *s = must_open(url_of(state, "private.db", url), false);
    mode_t left = umask(mask);
    assert_int_equal(left, 0); /* the process's own mask is as it was */
    set_meta(s, "k", "v");
    for (size_t i = 0; i < 4; i++) {
        assert_int_equal(stat(scratch_path(folder(state), names[i], path), &st), 0);
        assert_int_equal(st.st_mode & 07777, 0600);
    }
    store_close(s);
}

/* -- a disk that counts syncs and fails -- */

static struct fault_vfs disk;

static int plug_in(void **state)
{
    (void)state;
    fault_vfs_install(&disk);
    return 0;
}

/* After such a test, passed or not: the others use the usual disk. */
static int unplug(void **state)
{
    (void)state;
    fault_vfs_remove(&disk);
    return 0;
}

/* Killing a process proves nothing here, since the system keeps what was written: so the syncs are counted.
 */
static void sqlite_syncs_every_commit(void **state)
{
    char url[SUITE_URL_BYTES];
    struct store *s = must_open(url_of(state, "synced.db", url), false);
    for (int i = 0; i < 5; i++) {
        uint64_t before = disk.syncs;
        set_meta(s, "k", "v");
        assert_true(disk.syncs > before);
    }
    store_close(s);
}

static void sqlite_full_disk_undoes_the_commit_and_says_what_to_do(void **state)
{
    char url[SUITE_URL_BYTES];
    struct store *s = must_open(url_of(state, "full.db", url), false);
    struct store_op op = {.kind = STORE_SET_META, .meta_key = "k", .meta_value = "new"}, *ops[] = {&op};
    struct pb_why why = {0};
    uint32_t epoch = 42;
    set_meta(s, "k", "old");
    disk.write_error = SQLITE_FULL;
    assert_int_equal(store_commit(s, ops, 1, &why), PB_E_STORE);
    assert_non_null(strstr(why.text, "free some space on its disk"));
    assert_int_equal(store_next_epoch(s, &epoch, &why), PB_E_STORE);
    assert_int_equal(epoch, 42);
    expect_meta(s, "k", "old"); /* reads go on */
    disk.write_error = 0;
    assert_int_equal(store_commit(s, ops, 1, &why), PB_OK); /* and so do writes, when there is room */
    expect_meta(s, "k", "new");
    store_close(s);
}

static void sqlite_failed_write_and_sync_fail_the_commit(void **state)
{
    char url[SUITE_URL_BYTES];
    struct store *s = must_open(url_of(state, "broken.db", url), false);
    struct store_op op = {.kind = STORE_SET_META, .meta_key = "k", .meta_value = "new"}, *ops[] = {&op};
    for (int sync = 0; sync < 2; sync++) {
        struct pb_why why = {0};
        set_meta(s, "k", "old");
        *(sync ? &disk.sync_error : &disk.write_error) = sync ? SQLITE_IOERR_FSYNC : SQLITE_IOERR_WRITE;
        for (int again = 0; again < 3; again++) {
            assert_int_equal(store_commit(s, ops, 1, &why), PB_E_STORE);
            assert_non_null(strstr(why.text, "is its disk full, or failing?"));
            expect_meta(s, "k", "old");
        }
        disk.write_error = disk.sync_error = 0;
        assert_int_equal(store_commit(s, ops, 1, &why), PB_OK);
        expect_meta(s, "k", "new");
    }
    store_close(s);
}

/* What an operation is told holds only when its commit does. */
static void sqlite_failed_commit_takes_back_what_it_said(void **state)
{
    char url[SUITE_URL_BYTES];
    static uint8_t payload[] = "payload";
    struct store *s = must_open(url_of(state, "back.db", url), false);
    struct store_op append = {.kind = STORE_APPEND_JOB,
                              .job = {.id = {{1}},
                                      .state = JOB_WAITING,
                                      .tenant = "acme",
                                      .payload = payload,
                                      .payload_len = sizeof payload}};
    struct store_op die = {.kind = STORE_FINISH_JOB, .job = {.id = {{1}}, .state = JOB_DEAD}};
    struct store_op old = append, end = {.kind = STORE_FINISH_JOB, .job = {.id = {{2}}, .state = JOB_DONE}};
    old.job.id.bytes[0] = 2;
    struct store_op *first[] = {&append, &die, &old, &end};
    struct store_op revive = {.kind = STORE_REVIVE_JOB, .job = {.id = {{1}}, .not_before_ms = 5}};
    struct store_op purge = {.kind = STORE_PURGE_JOBS}, epoch = {.kind = STORE_RAISE_EPOCH}, known = append;
    struct store_op *second[] = {&known, &revive, &purge, &epoch};
    struct pb_why why = {0};
    assert_int_equal(store_commit(s, first, 4, &why), PB_OK);
    disk.sync_error = SQLITE_IOERR_FSYNC;
    assert_int_equal(store_commit(s, second, 4, &why), PB_E_STORE);
    assert_true(id_is_nil(&known.existing_job));
    assert_null(revive.job.payload);
    assert_int_equal(revive.job.not_before_ms, 5);
    assert_int_equal(purge.purge.removed, 0);
    assert_int_equal(epoch.epoch, 0);
    disk.sync_error = 0;
    assert_int_equal(store_commit(s, second, 4, &why), PB_OK); /* as they are */
    assert_int_equal(known.outcome, PB_E_EXISTS);
    assert_int_equal(revive.outcome, PB_OK);
    assert_int_equal(revive.job.payload_len, sizeof payload);
    assert_int_equal(purge.purge.removed, 1);
    assert_int_equal(epoch.epoch, 1);
    job_fini(&revive.job);
    store_close(s);
}

/* Wherever the space ends while the tables are made: it says so, and opens when there is room. */
static void sqlite_open_on_a_full_disk_says_so_and_opens_later(void **state)
{
    char url[SUITE_URL_BYTES], name[32];
    bool opens = false;
    for (int n = 0; !opens; n++) {
        struct store *s = NULL;
        struct pb_why why = {0};
        snprintf(name, sizeof name, "small%d.db", n);
        disk.write_error = SQLITE_FULL;
        disk.write_error_after = n * 4096;
        pb_err err = store_open(url_of(state, name, url), false, &s, &why);
        disk.write_error = 0;
        opens = err == PB_OK;
        if (!opens) {
            assert_int_equal(err, PB_E_STORE);
            assert_non_null(strstr(why.text, "free some space on its disk"));
            s = must_open(url, false);
        }
        set_meta(s, "k", "v");
        store_close(s);
        assert_true(n < 100);
    }
}

static void copy_file(void **state, const char *from, const char *to)
{
    char path[256];
    FILE *f = fopen(scratch_path(folder(state), from, path), "r");
    size_t size = 4 * 1024 * 1024;
    uint8_t *bytes = malloc(size);
    assert_true(f && bytes);
    size_t len = fread(bytes, 1, size, f);
    assert_true(len < size);
    fclose(f);
    scratch_write(folder(state), to, bytes, len, 0600);
    free(bytes);
}

/* A process that dies leaves the file and its WAL: a copy of both, taken while the store is open, has it all.
 */
static void sqlite_data_survives_a_writer_that_was_never_closed(void **state)
{
    char url[SUITE_URL_BYTES];
    struct store *s = must_open(url_of(state, "crash.db", url), false);
    set_meta(s, "k", "committed");
    copy_file(state, "crash.db", "copy.db");
    copy_file(state, "crash.db-wal", "copy.db-wal");
    struct store *copy = must_open(url_of(state, "copy.db", url), false);
    expect_meta(copy, "k", "committed");
    store_close(copy);
    store_close(s);
}

static void sqlite_checkpoints_when_it_is_closed(void **state)
{
    char url[SUITE_URL_BYTES], path[256];
    struct stat st;
    struct store *s = must_open(url_of(state, "closed.db", url), false);
    set_meta(s, "k", "v");
    store_close(s);
    assert_int_equal(stat(scratch_path(folder(state), "closed.db-wal", path), &st), -1);
    s = must_open(url, false);
    expect_meta(s, "k", "v");
    store_close(s);
}

/* A page of the file is damaged: reads fail with words, and do not end the process. */
static void sqlite_damage_is_an_error_that_says_what_to_do(void **state)
{
    char url[SUITE_URL_BYTES], path[256], junk[4096];
    struct store *s = must_open(url_of(state, "damaged.db", url), false);
    for (int i = 0; i < 200; i++) {
        char key[16];
        snprintf(key, sizeof key, "key%d", i);
        set_meta(s, key, "some value that takes its place in the file");
    }
    store_close(s);
    memset(junk, 0xee, sizeof junk);
    int fd = open(scratch_path(folder(state), "damaged.db", path), O_RDWR);
    off_t end = lseek(fd, 0, SEEK_END);
    assert_true(end > 8 * 4096);
    for (off_t at = 4096; at < end; at += 4096)
        assert_int_equal(pwrite(fd, junk, sizeof junk, at), sizeof junk);
    close(fd);
    struct pb_why why = {0};
    char *value = NULL;
    pb_err err = store_open(url, true, &s, &why);
    if (!err) {
        err = store_get_meta(s, "key7", &value, &why);
        store_close(s);
    }
    assert_int_equal(err, PB_E_STORE);
    assert_string_equal(why.at, path);
    assert_non_null(strstr(why.text, "restore it from a backup"));
    assert_null(value);
}

static void sqlite_epoch_ends_where_fences_would(void **state)
{
    char url[SUITE_URL_BYTES];
    struct store_op op = {.kind = STORE_RAISE_EPOCH}, *ops[] = {&op};
    struct pb_why why = {0};
    uint32_t epoch = 42;
    store_close(must_open(url_of(state, "epoch.db", url), false));
    tamper(state, "epoch.db", "INSERT INTO meta VALUES ('epoch', '2147483646')");
    struct store *s = must_open(url, false);
    assert_int_equal(store_next_epoch(s, &epoch, &why), PB_OK);
    assert_int_equal(epoch, INT32_MAX);
    assert_int_equal(store_next_epoch(s, &epoch, &why), PB_E_LIMIT);
    assert_int_equal(store_commit(s, ops, 1, &why), PB_OK);
    assert_int_equal(op.outcome, PB_E_LIMIT);
    assert_int_equal(op.epoch, 0);
    expect_meta(s, "epoch", "2147483647");
    store_close(s);
}

/* -- tombstones are kept for seven days -- */

static pb_err apply(struct store *s, uint8_t job, enum store_change_kind kind, uint8_t id, uint64_t fence)
{
    char tenant[] = "acme", name[] = "one", type[] = "stripe";
    struct store_op append = {
        .kind = STORE_APPEND_JOB,
        .job = {.id = {{job}}, .kind = JOB_SETUP, .state = JOB_WAITING, .tenant = "acme"}};
    struct store_op finish = {.kind = STORE_FINISH_JOB,
                              .job = {.id = {{job}}, .state = JOB_DONE},
                              .change = {.kind = kind, .fence = fence, .if_generation = 0}};
    finish.change.doc = (struct integration){.id = {{id}}, .tenant = tenant, .name = name, .type = type};
    struct store_op *ops[] = {&append, &finish};
    must_commit(s, ops, 2);
    return finish.outcome;
}

static void sqlite_tombstones_are_purged_after_seven_days(void **state)
{
    char url[SUITE_URL_BYTES];
    struct store *s = must_open(url_of(state, "tomb.db", url), false);
    for (uint8_t id = 1; id <= 3; id++) {
        assert_int_equal(apply(s, (uint8_t)(10 * id), CHANGE_CREATE, id, 5), PB_OK);
        assert_int_equal(apply(s, (uint8_t)(10 * id + 1), CHANGE_DELETE, id, 6), PB_OK);
    }
    store_close(s);
    assert_int_equal(ask(state, "tomb.db", "SELECT count(*) FROM tombstones"), 3);
    /* the first was deleted more than seven days ago, the second just less */
    tamper(state, "tomb.db",
           "UPDATE tombstones SET deleted_at = deleted_at - 604801000 WHERE id = "
           "X'01000000000000000000000000000000';"
           "UPDATE tombstones SET deleted_at = deleted_at - 604000000 WHERE id = "
           "X'02000000000000000000000000000000'");
    s = must_open(url, false);
    assert_int_equal(apply(s, 40, CHANGE_CREATE, 4, 7), PB_OK);
    assert_int_equal(apply(s, 41, CHANGE_DELETE, 4, 8), PB_OK);
    assert_int_equal(apply(s, 42, CHANGE_CREATE, 2, 9), PB_E_NOT_FOUND);
    store_close(s);
    assert_int_equal(ask(state, "tomb.db", "SELECT count(*) FROM tombstones"), 3);
    assert_int_equal(ask(state, "tomb.db",
                         "SELECT count(*) FROM tombstones WHERE id = X'01000000000000000000000000000000'"),
                     0);
}

/* Nothing that should be erased stays in the file in the clear: neither the row nor free pages. */
static void sqlite_finished_jobs_leave_no_payload_behind(void **state)
{
    char url[SUITE_URL_BYTES], path[256], payload[] = "MARKER-OF-A-SEALED-BOX-MARKER";
    struct store *s = must_open(url_of(state, "erase.db", url), false);
    struct store_op append = {.kind = STORE_APPEND_JOB,
                              .job = {.id = {{1}},
                                      .kind = JOB_SETUP,
                                      .state = JOB_WAITING,
                                      .tenant = "acme",
                                      .payload = (uint8_t *)payload,
                                      .payload_len = sizeof payload}};
    struct store_op finish = {.kind = STORE_FINISH_JOB, .job = {.id = {{1}}, .state = JOB_DONE}};
    struct store_op *first[] = {&append}, *second[] = {&finish};
    struct pb_why why = {0};
    assert_int_equal(store_commit(s, first, 1, &why), PB_OK);
    assert_int_equal(store_commit(s, second, 1, &why), PB_OK);
    store_close(s);
    FILE *f = fopen(scratch_path(folder(state), "erase.db", path), "r");
    uint8_t *bytes = malloc(1024 * 1024);
    assert_true(f && bytes);
    size_t len = fread(bytes, 1, 1024 * 1024, f);
    fclose(f);
    assert_null(memmem(bytes, len, "MARKER", 6));
    free(bytes);
}

int main(void)
{
    struct place p = {0};
#define OWN(test)           cmocka_unit_test_prestate(test, &p)
#define OWN_ON_A_DISK(test) cmocka_unit_test_prestate_setup_teardown(test, plug_in, unplug, &p)
    const struct CMUnitTest own[] = {
        OWN(sqlite_open_says_what_is_wrong_with_the_place),
        OWN(sqlite_open_refuses_urls_it_does_not_know),
        OWN(sqlite_open_refuses_a_path_that_is_too_long),
        OWN(sqlite_open_refuses_what_is_no_database),
        OWN(sqlite_open_refuses_a_newer_schema),
        OWN(sqlite_reader_needs_the_tables),
        OWN(sqlite_open_lets_one_writer_in),
        OWN(sqlite_files_are_private),
        OWN_ON_A_DISK(sqlite_syncs_every_commit),
        OWN_ON_A_DISK(sqlite_full_disk_undoes_the_commit_and_says_what_to_do),
        OWN_ON_A_DISK(sqlite_failed_write_and_sync_fail_the_commit),
        OWN_ON_A_DISK(sqlite_failed_commit_takes_back_what_it_said),
        OWN_ON_A_DISK(sqlite_open_on_a_full_disk_says_so_and_opens_later),
        OWN(sqlite_data_survives_a_writer_that_was_never_closed),
        OWN(sqlite_checkpoints_when_it_is_closed),
        OWN(sqlite_damage_is_an_error_that_says_what_to_do),
        OWN(sqlite_epoch_ends_where_fences_would),
        OWN(sqlite_tombstones_are_purged_after_seven_days),
        OWN(sqlite_finished_jobs_leave_no_payload_behind),
    };
    const struct suite_subject subject = {
        .name = "sqlite", .fresh = fresh, .arg = &p, .own = own, .own_count = sizeof own / sizeof own[0]};
    scratch_open(&p.scratch);
    int failed = suite_run(&subject);
    scratch_close(&p.scratch);
    return failed;
}
