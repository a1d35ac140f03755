/* What the embedded store promised must survive a loss of power, at every moment at which the power can fail.
 *
 * A store lives on a disk that forgets what was not synced (fault_vfs.h). Before every write, sync,
 * truncation and deletion a crash is imagined: what the disk would hold then is written elsewhere, opened,
 * and compared with what the store held after its last commit that was acknowledged, and after the one under
 * way. It must be one or the other, whole. With less syncing the same test must find losses, or it could not
 * see any. */
#include "common/store.h"
#include "tests/store/fault_vfs.h"
#include "tests/unit/scratch.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
/* cmocka wants setjmp and stdarg before it */
#include <cmocka.h>

#define COMMITS     60
#define OPS_MAX     10
#define CRASHES_MAX 4000
#define JOBS        40

struct crash {
    uint64_t digest; /* of what the disk held */
    size_t acked;    /* commits acknowledged before it */
};

struct world {
    struct fault_vfs disk;
    struct scratch scratch;
    char path[256], url[300], wreck[256], wreck_path[300];
    struct store *store;
    sqlite3 *db;        /* the store's own connection */
    const char *pragma; /* set on it, after the store's own */
    uint64_t seed;      /* of what happens */
    uint64_t dice;      /* of what a crash leaves: apart, so that crashes do not change what happens */
    unsigned every;     /* of so many moments one is tried */
    uint64_t digests[COMMITS + 2];
    size_t acked; /* commits: digests[acked] is what the store holds */
    struct crash crashes[CRASHES_MAX];
    size_t crash_count, judged, lost, with_news;
};

/* SQLite's hook at opening takes no argument: the one world there is. */
static struct world *world;

static uint64_t roll(struct world *w, uint64_t sides)
{
    return (scratch_random(&w->seed) >> 20) % sides;
}

/* -- everything a database holds, as a number -- */

static void mix(uint64_t *digest, const void *bytes, size_t len)
{
    const uint8_t *p = bytes;
    for (size_t i = 0; i < len; i++) /* FNV-1a */
        *digest = (*digest ^ p[i]) * UINT64_C(1099511628211);
}

static void mix_column(sqlite3_stmt *st, int i, uint64_t *digest)
{
    int type = sqlite3_column_type(st, i);
    mix(digest, &type, sizeof type);
    const void *bytes = sqlite3_column_blob(st, i);
    if (bytes)
        mix(digest, bytes, (size_t)sqlite3_column_bytes(st, i));
}

static bool mix_query(sqlite3 *db, const char *query, uint64_t *digest)
{
    sqlite3_stmt *st = NULL;
    int rc = sqlite3_prepare_v2(db, query, -1, &st, NULL);
    mix(digest, query, strlen(query));
    while (rc == SQLITE_OK && (rc = sqlite3_step(st)) == SQLITE_ROW) {
        for (int i = 0; i < sqlite3_column_count(st); i++)
            mix_column(st, i, digest);
        rc = SQLITE_OK;
    }
    sqlite3_finalize(st);
    return rc == SQLITE_DONE;
}

#define EMPTY 1 /* the digest of a database without tables */
#define WRECK 2 /* of what cannot be read */

static uint64_t digest_of(sqlite3 *db)
{
    static const char *const queries[] = {
        "PRAGMA user_version",        "SELECT * FROM jobs",
        "SELECT * FROM integrations", "SELECT id, fence FROM tombstones",
        "SELECT * FROM tokens",       "SELECT * FROM meta",
        "PRAGMA integrity_check",
    };
    uint64_t digest = UINT64_C(14695981039346656037);
    sqlite3_stmt *st = NULL;
    int rc = sqlite3_prepare_v2(db, "SELECT count(*) FROM sqlite_schema", -1, &st, NULL);
    bool none = rc == SQLITE_OK && sqlite3_step(st) == SQLITE_ROW && sqlite3_column_int(st, 0) == 0;
    sqlite3_finalize(st);
    if (none)
        return EMPTY;
    for (size_t i = 0; i < sizeof queries / sizeof queries[0]; i++)
        if (!mix_query(db, queries[i], &digest))
            return WRECK;
    return digest;
}

/* -- crashes -- */

static uint64_t digest_of_wreck(struct world *w)
{
    sqlite3 *db = NULL;
    uint64_t digest = WRECK;
    if (sqlite3_open_v2(w->wreck_path, &db, SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE, NULL) == SQLITE_OK) {
        sqlite3_exec(db, "PRAGMA synchronous = OFF", NULL, NULL, NULL); /* time that a wreck is not worth */
        digest = digest_of(db);
    }
    sqlite3_close(db);
    return digest;
}

/* The power fails here; what would be left? Nothing, any part, or nearly all of what was not synced. */
static void imagine_crash(void *arg, struct fault_vfs *v)
{
    static const unsigned keeps[] = {0, 128, 240, 256};
    struct world *w = arg;
    if (v->steps % w->every || w->crash_count == CRASHES_MAX)
        return;
    if (!fault_vfs_power_cut(v, w->wreck, keeps[scratch_random(&w->dice) % 4], &w->dice))
        fail_msg("the wreck cannot be written");
    w->crashes[w->crash_count++] = (struct crash){.digest = digest_of_wreck(w), .acked = w->acked};
}

/* All that was imagined since the last call: it held what was acknowledged, or that and the commit after. */
static void judge_crashes(struct world *w)
{
    for (size_t i = 0; i < w->crash_count; i++) {
        const struct crash *c = &w->crashes[i];
        bool old = c->digest == w->digests[c->acked];
        bool new = c->acked < w->acked && c->digest == w->digests[c->acked + 1];
        w->lost += !old && !new;
        w->with_news += !old && new;
    }
    w->judged += w->crash_count;
    w->crash_count = 0;
}

/* -- the store's life -- */

static int on_open(sqlite3 *db, char **message, const struct sqlite3_api_routines *api)
{
    (void)message;
    (void)api;
    if (!world->disk.paused)
        world->db = db;
    return SQLITE_OK;
}

static void run_sql(struct world *w, const char *sql)
{
    sqlite3_exec(w->db, sql, NULL, NULL, NULL); /* may fail, on a disk that does */
}

static pb_err open_store(struct world *w, struct pb_why *why)
{
    pb_err err = store_open(w->url, false, &w->store, why);
    if (!err)
        run_sql(w, w->pragma);
    return err;
}

static void acknowledge(struct world *w)
{
    w->digests[++w->acked] = digest_of(w->db);
    judge_crashes(w);
}

static void begin_world(struct world *w, uint64_t seed, const char *pragma, unsigned every)
{
    struct pb_why why = {0};
    *w = (struct world){.pragma = pragma, .seed = seed, .dice = seed ^ 0x5555, .every = every};
    world = w;
    scratch_open(&w->scratch);
    scratch_path(&w->scratch, "a.db", w->path);
    scratch_path(&w->scratch, "wreck", w->wreck);
    snprintf(w->url, sizeof w->url, "sqlite:%s", w->path);
    snprintf(w->wreck_path, sizeof w->wreck_path, "%s/a.db", w->wreck);
    assert_int_equal(mkdir(w->wreck, 0700), 0);
    fault_vfs_install(&w->disk);
    w->disk.before = imagine_crash;
    w->disk.arg = w;
    assert_int_equal(sqlite3_auto_extension((void (*)(void))on_open), SQLITE_OK);
    w->digests[0] = EMPTY;
    if (open_store(w, &why) != PB_OK)
        fail_msg("%s: %s", why.at, why.text);
    acknowledge(w);
}

static void end_world(struct world *w)
{
    store_close(w->store);
    judge_crashes(w);
    sqlite3_cancel_auto_extension((void (*)(void))on_open);
    fault_vfs_remove(&w->disk);
    scratch_close(&w->scratch);
}

/* -- what happens in it -- */

static struct pb_id id_of(uint64_t n)
{
    return (struct pb_id){{1, (uint8_t)n}};
}

static struct store_change random_change(struct world *w)
{
    static char tenant[] = "acme", type[] = "stripe", names[][4] = {"one", "two", "six"};
    static uint8_t box[1500];
    struct store_change c = {.kind = roll(w, 4), .fence = w->acked + 1, .if_generation = (int64_t)roll(w, 2)};
    c.doc = (struct integration){.id = id_of(200 + roll(w, 6)),
                                 .tenant = tenant,
                                 .name = names[roll(w, 3)],
                                 .type = type,
                                 .generation = (int64_t)roll(w, 2),
                                 .credentials = {.version = 1, .bytes = box, .len = roll(w, sizeof box)}};
    return c;
}

static struct store_op random_op(struct world *w)
{
    static uint8_t payload[6000]; /* more than a page */
    static char result[] = "{\"code\":\"timeout\"}";
    static const enum store_op_kind kinds[] = {
        STORE_APPEND_JOB, STORE_APPEND_JOB, STORE_APPEND_JOB, STORE_APPEND_JOB,  STORE_FINISH_JOB,
        STORE_FINISH_JOB, STORE_FINISH_JOB, STORE_FINISH_JOB, STORE_RETRY_JOB,   STORE_MARK_JOB,
        STORE_REVIVE_JOB, STORE_PURGE_JOBS, STORE_SET_META,   STORE_RAISE_EPOCH, STORE_ADD_TOKEN,
    };
    struct store_op op = {.kind = kinds[roll(w, sizeof kinds / sizeof kinds[0])],
                          .job = {.id = id_of(roll(w, JOBS)), .tenant = "acme"},
                          .purge = {.keep_count = roll(w, 10)},
                          .token = {.hash = {(uint8_t)roll(w, 256)}, .tenant = "acme"},
                          .meta_key = "k"};
    op.job.crashes = (uint32_t)roll(w, 3);
    op.job.not_before_ms = (int64_t)roll(w, 100);
    if (op.kind == STORE_APPEND_JOB) {
        op.job.state = JOB_WAITING;
        op.job.payload = payload;
        op.job.payload_len = roll(w, 4) ? roll(w, 300) : roll(w, sizeof payload);
    } else if (op.kind == STORE_FINISH_JOB) {
        op.job.state = JOB_DONE + roll(w, 4);
        op.job.result = result;
        op.job.finished_at_ms = (int64_t)roll(w, 1000);
        op.change = random_change(w);
    }
    op.meta_value = roll(w, 2) ? "v" : NULL;
    return op;
}

struct batch {
    struct store_op ops[OPS_MAX], *refs[OPS_MAX];
    size_t count;
};

static void fill_batch(struct world *w, struct batch *b)
{
    b->count = 1 + roll(w, OPS_MAX);
    for (size_t i = 0; i < b->count; i++) {
        b->ops[i] = random_op(w);
        b->refs[i] = &b->ops[i];
    }
}

static void empty_batch(struct batch *b)
{
    for (size_t i = 0; i < b->count; i++)
        if (b->ops[i].kind == STORE_REVIVE_JOB)
            job_fini(&b->ops[i].job);
}

static void commit(struct world *w)
{
    struct batch b;
    struct pb_why why = {0};
    fill_batch(w, &b);
    if (store_commit(w->store, b.refs, b.count, &why) != PB_OK)
        fail_msg("%s: %s", why.at, why.text);
    empty_batch(&b);
    acknowledge(w);
}

/* What does not change what the store holds, but where: crashes in between must find all of it. */
static void move(struct world *w)
{
    static const char *const checkpoints[] = {"PRAGMA wal_checkpoint(PASSIVE)",
                                              "PRAGMA wal_checkpoint(RESTART)",
                                              "PRAGMA wal_checkpoint(TRUNCATE)"};
    struct pb_why why = {0};
    if (roll(w, 8) == 0) {
        store_close(w->store);
        w->store = NULL;
        if (open_store(w, &why) != PB_OK)
            fail_msg("%s: %s", why.at, why.text);
    } else {
        run_sql(w, checkpoints[roll(w, 3)]);
    }
    judge_crashes(w);
}

static void live(struct world *w)
{
    for (int i = 0; i < COMMITS; i++) {
        commit(w);
        if (roll(w, 6) == 0)
            move(w);
    }
}

/* -- a disk that fails now and then -- */

struct fault {
    int write_error, sync_error;
    const char *words; /* what the error must tell a person */
};
static const struct fault faults[] = {
    {.write_error = SQLITE_FULL, .words = "free some space"},
    {.write_error = SQLITE_IOERR_WRITE, .words = "failing"},
    {.sync_error = SQLITE_IOERR_FSYNC, .words = "failing"},
};

static const struct fault *break_disk(struct world *w)
{
    const struct fault *f = &faults[roll(w, 3)];
    w->disk.write_error = f->write_error;
    w->disk.write_error_after = (int64_t)roll(w, 30000);
    w->disk.sync_error = f->sync_error;
    return f;
}

static void mend_disk(struct world *w)
{
    w->disk.write_error = w->disk.sync_error = 0;
}

/* A commit that fails holds nothing back, says why, and can be repeated as it is. */
static void commit_on_bad_disk(struct world *w, size_t *failed)
{
    struct batch b;
    struct pb_why why = {0};
    fill_batch(w, &b);
    const struct fault *f = break_disk(w);
    pb_err err = store_commit(w->store, b.refs, b.count, &why);
    mend_disk(w);
    if (err) {
        if (err != PB_E_STORE || !strstr(why.text, f->words) || strcmp(why.at, w->path) != 0)
            fail_msg("%s: %s: %s", pb_err_name(err), why.at, why.text);
        assert_true(digest_of(w->db) == w->digests[w->acked]);
        ++*failed;
        if (store_commit(w->store, b.refs, b.count, &why) != PB_OK)
            fail_msg("%s: %s", why.at, why.text);
    }
    empty_batch(&b);
    acknowledge(w);
}

static void move_on_bad_disk(struct world *w)
{
    struct pb_why why = {0};
    break_disk(w);
    if (roll(w, 2)) {
        run_sql(w, "PRAGMA wal_checkpoint(TRUNCATE)");
        mend_disk(w);
    } else {
        store_close(w->store);
        w->store = NULL;
        mend_disk(w);
        if (open_store(w, &why) != PB_OK)
            fail_msg("%s: %s", why.at, why.text);
    }
    assert_true(digest_of(w->db) == w->digests[w->acked]);
    judge_crashes(w);
}

static size_t live_on_bad_disk(struct world *w)
{
    size_t failed = 0;
    for (int i = 0; i < COMMITS; i++) {
        if (roll(w, 2))
            commit_on_bad_disk(w, &failed);
        else
            commit(w);
        if (roll(w, 6) == 0)
            move_on_bad_disk(w);
    }
    return failed;
}

/* -- the tests -- */

/* The store's own settings, but for checkpoints that come soon. */
#define SOON "PRAGMA wal_autocheckpoint = 12"

static void crash_at_every_moment_leaves_every_acknowledged_commit_whole(void **state)
{
    static struct world w;
    size_t judged = 0, with_news = 0;
    (void)state;
    for (uint64_t seed = 1; seed <= 3; seed++) {
        begin_world(&w, seed, seed == 1 ? "" : SOON, 1);
        live(&w);
        end_world(&w);
        if (w.lost)
            fail_msg("seed %d: of %zu crashes %zu lost something", (int)seed, w.judged, w.lost);
        judged += w.judged;
        with_news += w.with_news;
    }
    print_message("%zu crashes, %zu with the commit under way\n", judged, with_news);
    assert_true(judged > 2000);
    assert_true(with_news > 20); /* it went both ways */
}

/* Full, failing to write and failing to sync, in turn, with crashes all the while. */
static void crash_on_a_failing_disk_leaves_every_acknowledged_commit_whole(void **state)
{
    static struct world w;
    size_t judged = 0, failed = 0;
    (void)state;
    for (uint64_t seed = 11; seed <= 13; seed++) {
        begin_world(&w, seed, SOON, 2);
        failed += live_on_bad_disk(&w);
        end_world(&w);
        if (w.lost)
            fail_msg("seed %d: of %zu crashes %zu lost something", (int)seed, w.judged, w.lost);
        judged += w.judged;
    }
    print_message("%zu crashes, %zu commits that failed\n", judged, failed);
    assert_true(judged > 1000 && failed > 30);
}

/* The test sees losses where there are some. */
static void crash_test_finds_the_losses_of_a_store_that_syncs_too_little(void **state)
{
    static const char *const pragmas[] = {"PRAGMA synchronous = NORMAL",
                                          "PRAGMA synchronous = OFF; PRAGMA wal_autocheckpoint = 12"};
    static struct world w;
    (void)state;
    for (size_t i = 0; i < 2; i++) {
        begin_world(&w, 1, pragmas[i], 5);
        live(&w);
        end_world(&w);
        print_message("%s: of %zu crashes %zu lost something\n", pragmas[i], w.judged, w.lost);
        assert_true(w.lost > w.judged / 10);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(crash_at_every_moment_leaves_every_acknowledged_commit_whole),
        cmocka_unit_test(crash_on_a_failing_disk_leaves_every_acknowledged_commit_whole),
        cmocka_unit_test(crash_test_finds_the_losses_of_a_store_that_syncs_too_little),
    };
    return cmocka_run_group_tests_name("crash", tests, NULL, NULL);
}
