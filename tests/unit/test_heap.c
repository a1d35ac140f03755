#include "broker/board/heap.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#define ITEMS 500

struct owned {
    uint64_t times[ITEMS];
    uint32_t places[ITEMS];
};

static uint64_t time_of(const void *owner, uint32_t item)
{
    return ((const struct owned *)owner)->times[item];
}

static uint32_t *place_of(void *owner, uint32_t item)
{
    return &((struct owned *)owner)->places[item];
}

static struct heap heap_of(struct owned *o)
{
    for (uint32_t i = 0; i < ITEMS; i++)
        o->places[i] = HEAP_NOWHERE;
    return (struct heap){.time = time_of, .place = place_of, .owner = o};
}

static void heap_is_never_due_when_empty(void **state)
{
    (void)state;
    struct owned o;
    struct heap h = heap_of(&o);
    assert_true(heap_due(&h) == UINT64_MAX);
    heap_fini(&h);
}

static void heap_gives_items_by_time(void **state)
{
    (void)state;
    struct owned o;
    struct heap h = heap_of(&o);
    unsigned seed = 5;
    assert_int_equal(heap_reserve(&h, ITEMS), PB_OK);
    for (uint32_t i = 0; i < ITEMS; i++) {
        o.times[i] = (uint64_t)rand_r(&seed) % 100; /* many at the same time */
        heap_put(&h, i);
    }
    for (uint64_t last = 0; h.count;) {
        uint32_t first = h.items[0];
        assert_true(o.times[first] >= last);
        last = o.times[first];
        heap_remove(&h, first);
        assert_int_equal(o.places[first], HEAP_NOWHERE);
    }
    heap_fini(&h);
}

static void heap_keeps_the_order_when_items_leave_from_the_middle(void **state)
{
    (void)state;
    struct owned o;
    struct heap h = heap_of(&o);
    unsigned seed = 11;
    assert_int_equal(heap_reserve(&h, ITEMS), PB_OK);
    for (int round = 0; round < 50000; round++) {
        uint32_t i = (uint32_t)rand_r(&seed) % ITEMS;
        if (o.places[i] != HEAP_NOWHERE) {
            heap_remove(&h, i);
        } else {
            o.times[i] = (uint64_t)rand_r(&seed);
            heap_put(&h, i);
        }
        uint64_t least = UINT64_MAX;
        for (uint32_t k = 0; round % 50 == 0 && k < ITEMS; k++)
            if (o.places[k] != HEAP_NOWHERE && o.times[k] < least)
                least = o.times[k];
        if (round % 50 == 0)
            assert_true(heap_due(&h) == least);
    }
    heap_fini(&h);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(heap_is_never_due_when_empty),
        cmocka_unit_test(heap_gives_items_by_time),
        cmocka_unit_test(heap_keeps_the_order_when_items_leave_from_the_middle),
    };
    return cmocka_run_group_tests_name("heap", tests, NULL, NULL);
}
