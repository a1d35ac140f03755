#include "common/histogram.h"

#include <assert.h>

static const uint64_t bounds_us[HISTOGRAM_BUCKETS] = {
    100,    200,    500,     1000,    2000,    5000,     10000,    20000,    50000,     100000,
    200000, 500000, 1000000, 2000000, 5000000, 10000000, 20000000, 50000000, 100000000, UINT64_MAX,
};

uint64_t histogram_bound_us(size_t i)
{
    assert(i < HISTOGRAM_BUCKETS);
    return bounds_us[i];
}

void histogram_add(struct histogram *h, uint64_t us)
{
    size_t i = 0;
    while (us > bounds_us[i])
        i++;
    h->buckets[i]++;
    h->count++;
    h->sum_us += us;
}
