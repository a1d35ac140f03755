/* What the store keeps of a batch, there and back, and what is made of a row that is damaged. */
#include "broker/batch.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
/* cmocka wants the four before it */
#include <cmocka.h>

static struct pb_id id_of(uint8_t n)
{
    struct pb_id id = {{n, 1, 2, 3}};
    id.bytes[15] = n;
    return id;
}

static void fill(struct batch *b, struct window windows[2])
{
    *b = (struct batch){.id = id_of(1),
                        .up_to = id_of(9),
                        .state = BATCH_PAUSED,
                        .filter = {.tenant = "acme",
                                   .type = "stripe",
                                   .status = STATUS_ERROR,
                                   .health = HEALTH_UNKNOWN,
                                   .not_since_ms = INT64_C(1766000000123)},
                        .per_second = 77,
                        .counts = {.done = 30, .broken = 4, .healthy = 5},
                        .windows = windows,
                        .window_count = 2,
                        .created_at_ms = INT64_C(1766000001000)};
    for (int i = 1; i < COUNTS; i++)
        b->counts.by[i] = (uint64_t)i * 1000;
    windows[0] =
        (struct window){.batch = b, .type = "slack", .mark = id_of(4), .total = 100, .done = 10, .count = 1};
    windows[1] = (struct window){
        .batch = b, .type = "stripe", .mark = id_of(5), .total = 20, .done = 20, .exhausted = true};
}

static struct store_batch stored(const struct batch *b, char *body)
{
    return (struct store_batch){
        .id = b->id, .state = b->state, .created_at_ms = b->created_at_ms, .body = body};
}

static pb_err there_and_back(const struct batch *b, struct batch *back)
{
    struct store_batch row = stored(b, batch_body(b));
    *back = (struct batch){0};
    pb_err err = batch_read_body(&row, back);
    free(row.body);
    return err;
}

static void batch_comes_back_as_it_was_stored(void **state)
{
    (void)state;
    struct window windows[2];
    struct batch b, back;
    fill(&b, windows);
    assert_int_equal(there_and_back(&b, &back), PB_OK);
    assert_true(id_equal(&back.id, &b.id) && id_equal(&back.up_to, &b.up_to));
    assert_memory_equal(&back.counts, &b.counts, sizeof b.counts);
    assert_memory_equal(&back.filter, &b.filter, sizeof b.filter);
    assert_int_equal(back.state, BATCH_PAUSED);
    assert_int_equal(back.per_second, 77);
    assert_int_equal(back.created_at_ms, b.created_at_ms);
    assert_false(back.cancelling);
    assert_int_equal(back.window_count, 2);
    for (size_t i = 0; i < 2; i++) {
        assert_string_equal(back.windows[i].type, windows[i].type);
        assert_true(id_equal(&back.windows[i].mark, &windows[i].mark));
        assert_true(id_equal(&back.windows[i].next, &windows[i].mark)); /* read again from there on */
        assert_int_equal(back.windows[i].total, windows[i].total);
        assert_int_equal(back.windows[i].done, windows[i].done);
        assert_int_equal(back.windows[i].exhausted, windows[i].exhausted);
        assert_ptr_equal(back.windows[i].batch, &back);
    }
    free(back.windows);
}

static void batch_that_was_to_be_cancelled_still_is(void **state)
{
    (void)state;
    struct window windows[2];
    struct batch b, back;
    fill(&b, windows);
    b.cancelling = true;
    assert_int_equal(there_and_back(&b, &back), PB_OK);
    assert_true(back.cancelling);
    free(back.windows);
}

static void batch_is_shown_without_what_only_a_restart_needs(void **state)
{
    (void)state;
    struct window windows[2];
    struct batch b;
    fill(&b, windows);
    b.cancelling = true;
    struct store_batch row = stored(&b, batch_body(&b));
    json_t *shown = batches_stored_json(&row);
    static const char *const hidden[] = {"marks", "upTo", "notSince", "cancelling"};
    for (size_t i = 0; i < 4; i++)
        assert_null(json_object_get(shown, hidden[i]));
    assert_string_equal(json_string_value(json_object_get(shown, "state")), "paused");
    assert_int_equal(json_integer_value(json_object_get(shown, "total")), 120);
    assert_int_equal(json_integer_value(json_object_get(json_object_get(shown, "counts"), "deleted")),
                     COUNT_DELETED * 1000);
    assert_true(json_is_null(json_object_get(shown, "finishedAt")));
    json_decref(shown);
    free(row.body);
}

static void batch_row_that_is_damaged_is_told(void **state)
{
    (void)state;
#define UP_TO "\"upTo\":\"int_00000000000000000000000000000001\""
    static const char *const bodies[] = {
        "",
        "{",
        "[]",
        "3",
        "{}",
        "{\"upTo\":\"int_1\"}",
        "{\"upTo\":7}",
        "{" UP_TO ",\"marks\":[7]}",
        "{" UP_TO ",\"marks\":[[]]}",
        "{" UP_TO ",\"marks\":[[\"stripe\",\"job_00000000000000000000000000000001\",1,1,true]]}",
        "{" UP_TO ",\"marks\":[[\"a-type-name-that-is-far-too-long-for-the-sixty-three-characters-of-one\","
        "\"int_00000000000000000000000000000001\",1,1,true]]}",
    };
    for (size_t i = 0; i < sizeof bodies / sizeof bodies[0]; i++) {
        struct batch back = {0};
        struct store_batch row = {.state = BATCH_RUNNING, .body = (char *)(uintptr_t)bodies[i]};
        if (batch_read_body(&row, &back) != PB_E_INVALID)
            fail_msg("taken: %s", bodies[i]);
        free(back.windows);
    }
}

static void batch_counts_have_names_of_their_own(void **state)
{
    (void)state;
    for (int i = 1; i < COUNTS; i++)
        for (int j = 1; j < i; j++)
            assert_string_not_equal(batch_count_name(i), batch_count_name(j));
    assert_string_equal(batch_count_name(RESULT_OK), "ok");
    assert_string_equal(batch_count_name(COUNT_NOT_TESTED), "not_tested");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(batch_comes_back_as_it_was_stored),
        cmocka_unit_test(batch_that_was_to_be_cancelled_still_is),
        cmocka_unit_test(batch_is_shown_without_what_only_a_restart_needs),
        cmocka_unit_test(batch_row_that_is_damaged_is_told),
        cmocka_unit_test(batch_counts_have_names_of_their_own),
    };
    return cmocka_run_group_tests_name("batches", tests, NULL, NULL);
}
