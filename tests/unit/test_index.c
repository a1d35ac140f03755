#include "broker/board/index.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#define ITEMS 3000

/* An item's key; the hash takes few values, so that runs are long. */
struct owned {
    uint64_t keys[ITEMS];
    uint64_t buckets;
};

static uint64_t hash_key(const struct owned *o, uint64_t key)
{
    return index_mix(key % o->buckets);
}

static uint64_t hash_of(const void *owner, uint32_t item)
{
    const struct owned *o = owner;
    return hash_key(o, o->keys[item]);
}

static bool is_key(const void *owner, uint32_t item, const void *key)
{
    return ((const struct owned *)owner)->keys[item] == *(const uint64_t *)key;
}

static void check_all(const struct index *x, const struct owned *o, const bool *there)
{
    for (uint32_t i = 0; i < ITEMS; i++)
        assert_int_equal(index_get(x, hash_of(o, i), &o->keys[i]), there[i] ? i : INDEX_NONE);
}

static void storm(uint64_t buckets, unsigned seed)
{
    static struct owned o;
    bool there[ITEMS] = {false};
    size_t count = 0;
    struct index x = {.hash = hash_of, .is = is_key, .owner = &o};
    o.buckets = buckets;
    for (uint32_t i = 0; i < ITEMS; i++)
        o.keys[i] = 7u * i;
    for (int round = 0; round < 40000; round++) {
        uint32_t i = (uint32_t)rand_r(&seed) % ITEMS;
        if (there[i])
            index_remove(&x, hash_of(&o, i), i);
        else
            assert_int_equal(index_add(&x, hash_of(&o, i), i), PB_OK);
        there[i] = !there[i];
        count += there[i] ? 1 : (size_t)-1;
        assert_int_equal(x.count, count);
        if (round % 5000 == 0)
            check_all(&x, &o, there);
    }
    check_all(&x, &o, there);
    index_fini(&x);
}

static void index_finds_what_is_there_and_nothing_else(void **state)
{
    (void)state;
    storm(UINT64_MAX, 3);
}

static void index_closes_the_gaps_in_long_runs(void **state)
{
    (void)state;
    storm(200, 4);
}

static void index_replaces_an_item_in_its_place(void **state)
{
    (void)state;
    struct owned o = {.keys = {5, 5, 6}, .buckets = UINT64_MAX};
    struct index x = {.hash = hash_of, .is = is_key, .owner = &o};
    const uint64_t five = 5;
    assert_int_equal(index_add(&x, hash_of(&o, 0), 0), PB_OK);
    index_replace(&x, hash_of(&o, 0), 0, 1);
    assert_int_equal(index_get(&x, hash_of(&o, 1), &five), 1);
    assert_int_equal(x.count, 1);
    index_fini(&x);
}

static void index_is_at_most_three_quarters_full(void **state)
{
    (void)state;
    static struct owned o = {.buckets = UINT64_MAX};
    struct index x = {.hash = hash_of, .is = is_key, .owner = &o};
    for (uint32_t i = 0; i < ITEMS; i++) {
        o.keys[i] = i;
        assert_int_equal(index_add(&x, hash_of(&o, i), i), PB_OK);
        assert_true(x.count * 4 <= x.capacity * 3);
    }
    index_fini(&x);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(index_finds_what_is_there_and_nothing_else),
        cmocka_unit_test(index_closes_the_gaps_in_long_runs),
        cmocka_unit_test(index_replaces_an_item_in_its_place),
        cmocka_unit_test(index_is_at_most_three_quarters_full),
    };
    return cmocka_run_group_tests_name("index", tests, NULL, NULL);
}
