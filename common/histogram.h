/* How often a duration fell where: a histogram with fixed bounds, 1, 2 and 5 of each power of ten from 100
 * microseconds to 100 seconds, so that a reader needs no settings.
 *
 * Plain data: zeroed is empty, and a copy is a copy. No threads, no allocation, nothing fails. What is
 * printed (Prometheus wants cumulative counts and seconds) is the reader's business. */
#ifndef PB_HISTOGRAM_H
#define PB_HISTOGRAM_H

#include <stddef.h>
#include <stdint.h>

#define HISTOGRAM_BUCKETS 20

struct histogram {
    uint64_t buckets[HISTOGRAM_BUCKETS]; /* by the first bound that is not smaller; the last has none */
    uint64_t count, sum_us;              /* of all values */
};

void histogram_add(struct histogram *h, uint64_t us);
/* The largest value that bucket i counts; UINT64_MAX for the last. */
uint64_t histogram_bound_us(size_t i);

#endif
