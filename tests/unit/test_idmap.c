#include "broker/idmap.h"

#include "tests/unit/scratch.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
/* cmocka wants setjmp and stdarg before it */
#include <cmocka.h>

#define MODEL 512

static struct pb_id id_of(uint64_t n)
{
    struct pb_id id = {{0}};
    memcpy(id.bytes + 8, &n, sizeof n);
    return id;
}

static void idmap_is_empty_when_zeroed(void **state)
{
    struct idmap m = {0};
    struct pb_id id = id_of(1);
    (void)state;
    assert_int_equal(idmap_get(&m, &id), IDMAP_NONE);
    idmap_remove(&m, &id);
    assert_int_equal(m.count, 0);
    idmap_fini(&m);
}

static void idmap_put_adds_and_replaces(void **state)
{
    struct idmap m = {0};
    struct pb_id a = id_of(1), b = id_of(2), nil = {{0}};
    (void)state;
    assert_int_equal(idmap_put(&m, &a, 0), PB_OK);
    assert_int_equal(idmap_put(&m, &b, IDMAP_NONE - 1), PB_OK);
    assert_int_equal(idmap_put(&m, &nil, 9), PB_OK); /* a key like any other */
    assert_int_equal(m.count, 3);
    assert_int_equal(idmap_put(&m, &a, 7), PB_OK);
    assert_int_equal(m.count, 3);
    assert_int_equal(idmap_get(&m, &a), 7);
    assert_int_equal(idmap_get(&m, &b), IDMAP_NONE - 1);
    assert_int_equal(idmap_get(&m, &nil), 9);
    idmap_fini(&m);
}

static void idmap_keeps_its_load_below_three_quarters(void **state)
{
    struct idmap m = {0};
    (void)state;
    for (uint32_t i = 0; i < 100000; i++) {
        struct pb_id id = id_of(i);
        assert_int_equal(idmap_put(&m, &id, i), PB_OK);
        assert_true(m.count * 4 <= m.capacity * 3);
    }
    assert_int_equal(m.capacity & (m.capacity - 1), 0);
    for (uint32_t i = 0; i < 100000; i++) {
        struct pb_id id = id_of(i);
        assert_int_equal(idmap_get(&m, &id), i);
    }
    idmap_fini(&m);
}

/* Every key the test uses, with its value or IDMAP_NONE: what the map must agree with. */
static void compare(const struct idmap *m, const uint32_t model[MODEL])
{
    size_t count = 0;
    for (uint64_t i = 0; i < MODEL; i++) {
        struct pb_id id = id_of(i);
        assert_int_equal(idmap_get(m, &id), model[i]);
        count += model[i] != IDMAP_NONE;
    }
    assert_int_equal(m->count, count);
}

/* Removing closes gaps by moving entries, over the end of the table, too: so a table that is kept nearly
 * full, for long. */
static void idmap_agrees_with_a_plain_array_over_many_changes(void **state)
{
    struct idmap m = {0};
    uint32_t model[MODEL];
    uint64_t seed = 20251124;
    (void)state;
    memset(model, 0xff, sizeof model);
    for (int i = 0; i < 200000; i++) {
        uint64_t r = scratch_random(&seed), key = (r >> 8) % 190;
        struct pb_id id = id_of(key);
        if (r % 5 == 0) {
            idmap_remove(&m, &id);
            model[key] = IDMAP_NONE;
        } else {
            assert_int_equal(idmap_put(&m, &id, (uint32_t)i), PB_OK);
            model[key] = (uint32_t)i;
        }
        if (i % 500 == 0)
            compare(&m, model);
    }
    compare(&m, model);
    assert_int_equal(m.capacity, 256); /* 190 keys at 3/4: it did run nearly full */
    idmap_fini(&m);
}

static void idmap_can_be_emptied_and_filled_again(void **state)
{
    struct idmap m = {0};
    (void)state;
    for (int round = 0; round < 3; round++) {
        for (uint32_t i = 0; i < 1000; i++) {
            struct pb_id id = id_of(i * 7);
            assert_int_equal(idmap_put(&m, &id, i), PB_OK);
        }
        for (uint32_t i = 0; i < 1000; i++) {
            struct pb_id id = id_of(i * 7);
            idmap_remove(&m, &id);
            idmap_remove(&m, &id); /* not there: nothing happens */
            assert_int_equal(idmap_get(&m, &id), IDMAP_NONE);
        }
        assert_int_equal(m.count, 0);
    }
    idmap_fini(&m);
    assert_int_equal(m.capacity, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(idmap_is_empty_when_zeroed),
        cmocka_unit_test(idmap_put_adds_and_replaces),
        cmocka_unit_test(idmap_keeps_its_load_below_three_quarters),
        cmocka_unit_test(idmap_agrees_with_a_plain_array_over_many_changes),
        cmocka_unit_test(idmap_can_be_emptied_and_filled_again),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
