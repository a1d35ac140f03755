#include "common/histogram.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
/* cmocka wants the four before it */
#include <cmocka.h>

static uint64_t all(const struct histogram *h)
{
    uint64_t sum = 0;
    for (size_t i = 0; i < HISTOGRAM_BUCKETS; i++)
        sum += h->buckets[i];
    return sum;
}

static void histogram_bounds_rise_from_100_us_to_100_s(void **state)
{
    (void)state;
    assert_int_equal(histogram_bound_us(0), 100);
    assert_int_equal(histogram_bound_us(HISTOGRAM_BUCKETS - 2), 100000000);
    assert_true(histogram_bound_us(HISTOGRAM_BUCKETS - 1) == UINT64_MAX);
    for (size_t i = 1; i < HISTOGRAM_BUCKETS - 1; i++) {
        uint64_t low = histogram_bound_us(i - 1), high = histogram_bound_us(i);
        assert_in_range(high, low * 2, low * 5 / 2);
    }
}

static void histogram_add_counts_a_bound_with_what_is_below_it(void **state)
{
    (void)state;
    for (size_t i = 0; i < HISTOGRAM_BUCKETS; i++) {
        struct histogram h = {0};
        histogram_add(&h, histogram_bound_us(i));
        histogram_add(&h, i ? histogram_bound_us(i - 1) + 1 : 0);
        assert_int_equal(h.buckets[i], 2);
        assert_int_equal(all(&h), 2);
        assert_int_equal(h.count, 2);
    }
}

static void histogram_add_sums_up(void **state)
{
    struct histogram h = {0};
    (void)state;
    histogram_add(&h, 0);
    histogram_add(&h, 150);
    histogram_add(&h, 3000);
    histogram_add(&h, UINT64_C(500000000)); /* longer than the last bound */
    assert_int_equal(h.count, 4);
    assert_int_equal(h.sum_us, 500003150);
    assert_int_equal(h.buckets[0], 1);
    assert_int_equal(h.buckets[1], 1);
    assert_int_equal(h.buckets[5], 1);
    assert_int_equal(h.buckets[HISTOGRAM_BUCKETS - 1], 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(histogram_bounds_rise_from_100_us_to_100_s),
        cmocka_unit_test(histogram_add_counts_a_bound_with_what_is_below_it),
        cmocka_unit_test(histogram_add_sums_up),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
