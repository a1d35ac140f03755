/* Copies of stores, from file to file and, where PATCHBAY_TEST_MONGODB_URI names a server, over MongoDB and
 * back: what comes back has the same digest, and a digest sees every difference. */
#include "common/store_copy.h"
#include "tests/store/mongo_place.h"
#include "tests/store/must.h"
#include "tests/unit/scratch.h"

#include <setjmp.h>
#include <sodium.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
/* cmocka wants setjmp and stdarg before it */
#include <cmocka.h>

#define RECORDS 700 /* more than a page */

struct scene {
    struct scratch scratch;
    struct mongo_place place;
    int files;
};

static struct store *new_file(void **state)
{
    struct scene *scene = *state;
    char url[SUITE_URL_BYTES];
    snprintf(url, sizeof url, "sqlite:%s/%d.db", scene->scratch.folder, scene->files++);
    return must_open(url, false);
}

static void commit(struct store *s, struct store_op *op)
{
    struct pb_why why = {0};
    if (store_commit(s, &op, 1, &why) != PB_OK || op->outcome)
        fail_msg("%s: %s: %s", pb_err_name(op->outcome), why.at, why.text);
}

static struct pb_id id_of(uint64_t n)
{
    struct pb_id id = {{1}};
    for (int i = 0; i < 8; i++)
        id.bytes[15 - i] = (uint8_t)(n >> (8 * i));
    return id;
}

static void put_integration(struct store *s, uint64_t n, uint64_t r)
{
    char tenant[] = "acme", type[] = "stripe", name[16], fields[] = "{\"a\":[1,2]}", odd[] = "{ \"a\": 1 }";
    uint8_t box[] = {1, 2, 0, 3};
    snprintf(name, sizeof name, "n%d", (int)n);
    struct store_op op = {.kind = STORE_CHANGE, .change = {.kind = CHANGE_CREATE, .fence = r >> 2}};
    op.change.doc =
        (struct integration){.id = id_of(n),
                             .tenant = tenant,
                             .name = name,
                             .type = type,
                             .status = STATUS_ACTIVE + r % 3,
                             .health = HEALTH_OK,
                             .fields = r & 4 ? fields : NULL,
                             .result = r & 8 ? odd : NULL,
                             .failures = (uint32_t)r,
                             .last_validated_ms = (int64_t)(r % 1000),
                             .next_validation_ms = r & 16 ? INT64_MAX : 0,
                             .generation = (int64_t)(r % 7),
                             .credentials = {.version = 1, .kid = "k", .bytes = box, .len = r % 5}};
    commit(s, &op);
    if (n % 5)
        return;
    op.change.kind = CHANGE_DELETE;
    op.change.if_generation = op.change.doc.generation;
    commit(s, &op);
}

static void put_job(struct store *s, uint64_t n, uint64_t r)
{
    uint8_t payload[] = "pay\0load";
    char result[] = "{\"code\":\"timeout\"}";
    struct store_op op = {.kind = STORE_APPEND_JOB,
                          .job = {.id = id_of(n),
                                  .kind = JOB_SETUP + r % 3,
                                  .state = JOB_WAITING,
                                  .tenant = "acme",
                                  .type = "stripe",
                                  .integration = id_of(n),
                                  .priority = (enum job_priority)(r % 4),
                                  .attempts = (uint32_t)(r % 5),
                                  .cancel_asked = r & 64,
                                  .created_at_ms = (int64_t)n,
                                  .payload = r & 32 ? payload : NULL,
                                  .payload_len = r & 32 ? sizeof payload : 0}};
    if (r & 128)
        snprintf(op.job.idem, sizeof op.job.idem, "key/%d", (int)n);
    commit(s, &op);
    struct store_op end = {.kind = STORE_FINISH_JOB,
                           .job = {.id = id_of(n),
                                   .state = JOB_DONE + (r >> 8) % 4,
                                   .finished_at_ms = (int64_t)(r % 100),
                                   .result = r & 512 ? result : NULL}};
    if (n % 3)
        commit(s, &end);
}

static void fill(struct store *s)
{
    uint64_t seed = 42;
    char body[] = "{\"seen\":7}";
    for (uint64_t n = 1; n <= RECORDS; n++) {
        put_integration(s, n, scratch_random(&seed) >> 2);
        put_job(s, n, scratch_random(&seed));
    }
    struct store_op others[] = {
        {.kind = STORE_PUT_BATCH,
         .batch = {.id = id_of(1), .state = BATCH_PAUSED, .tenant = "*", .created_at_ms = 5, .body = body}},
        {.kind = STORE_PUT_SCHEDULE,
         .schedule =
             {.tenant = "*", .name = "nightly", .created_at_ms = 6, .updated_at_ms = 7, .body = body}},
        {.kind = STORE_ADD_TOKEN, .token = {.hash = {1}, .tenant = "*", .role = "admin", .name = "first"}},
        {.kind = STORE_SET_META, .meta_key = "seal_key", .meta_value = "00ff"},
        {.kind = STORE_RAISE_EPOCH},
    };
    for (size_t i = 0; i < sizeof others / sizeof others[0]; i++)
        commit(s, &others[i]);
}

static struct store_digest digest(struct store *s)
{
    struct store_digest d;
    struct pb_why why = {0};
    if (store_digest(s, &d, &why) != PB_OK)
        fail_msg("%s: %s", why.at, why.text);
    return d;
}

static void expect_copy(struct store *from, struct store *to)
{
    struct store_digest a = digest(from), b = digest(to);
    struct pb_why why = {0};
    assert_true(store_digest_is_empty(&b));
    if (store_copy(from, to, &why) != PB_OK)
        fail_msg("%s: %s", why.at, why.text);
    b = digest(to);
    for (int i = 0; i < STORE_PARTS; i++) {
        assert_true(a.parts[i].count > 0);
        if (a.parts[i].count != b.parts[i].count || memcmp(a.parts[i].hash, b.parts[i].hash, 32) != 0)
            fail_msg("%s differ: %d, %d", store_part_name((enum store_part)i), (int)a.parts[i].count,
                     (int)b.parts[i].count);
    }
}

static void expect_next_epoch(struct store *s, uint32_t expected)
{
    uint32_t epoch = 0;
    struct pb_why why = {0};
    assert_int_equal(store_next_epoch(s, &epoch, &why), PB_OK);
    assert_int_equal(epoch, expected);
}

static void copy_holds_everything(void **state)
{
    struct store *from = new_file(state), *to = new_file(state);
    fill(from);
    expect_copy(from, to);
    expect_next_epoch(to, 2);
    store_close(from);
    store_close(to);
}

static void copy_over_mongodb_comes_back_the_same(void **state)
{
    struct scene *scene = *state;
    char url[SUITE_URL_BYTES];
    if (!scene->place.client)
        skip();
    mongo_place_fresh(&scene->place, url);
    struct store *from = new_file(state), *over = must_open(url, false), *back = new_file(state);
    fill(from);
    expect_copy(from, over);
    expect_copy(over, back);
    expect_next_epoch(over, 2);
    store_close(from);
    store_close(over);
    store_close(back);
}

static void copy_onto_what_is_there_fails(void **state)
{
    struct store *from = new_file(state), *to = new_file(state);
    struct pb_why why = {0};
    put_job(from, 1, 0);
    put_job(to, 1, 0);
    assert_int_equal(store_copy(from, to, &why), PB_E_STORE);
    assert_non_null(strstr(why.text, "there already"));
    store_close(from);
    store_close(to);
}

static void digest_sees_every_part(void **state)
{
    struct store *s = new_file(state);
    struct store_digest before = digest(s);
    assert_true(store_digest_is_empty(&before));
    fill(s);
    before = digest(s);
    struct store_op retry = {.kind = STORE_RETRY_JOB, .job = {.id = id_of(3), .attempts = 77}};
    struct store_op meta = {.kind = STORE_SET_META, .meta_key = "seal_key", .meta_value = "00fe"};
    commit(s, &retry);
    commit(s, &meta);
    struct store_digest after = digest(s);
    for (int i = 0; i < STORE_PARTS; i++) {
        assert_int_equal(before.parts[i].count, after.parts[i].count);
        assert_int_equal(memcmp(before.parts[i].hash, after.parts[i].hash, 32) != 0,
                         i == PART_JOBS || i == PART_META);
    }
    store_close(s);
}

int main(void)
{
    struct scene scene = {.files = 0};
#define COPY(test) cmocka_unit_test_prestate(test, &scene)
    const struct CMUnitTest tests[] = {
        COPY(copy_holds_everything),
        COPY(copy_over_mongodb_comes_back_the_same),
        COPY(copy_onto_what_is_there_fails),
        COPY(digest_sees_every_part),
    };
    if (sodium_init() < 0)
        return 1;
    const char *uri = getenv("PATCHBAY_TEST_MONGODB_URI");
    scratch_open(&scene.scratch);
    if (uri && uri[0])
        mongo_place_open(&scene.place);
    int failed = cmocka_run_group_tests_name("copies", tests, NULL, NULL);
    if (scene.place.client)
        mongo_place_close(&scene.place);
    scratch_close(&scene.scratch);
    return failed;
}
