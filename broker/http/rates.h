/* How many a second, lately: counters that only rise, looked at once a second and kept for a while. Plain
 * data, zeroed is empty; time comes in. */
#ifndef PB_HTTP_RATES_H
#define PB_HTTP_RATES_H

#include <stdint.h>

#define RATES_SECONDS 10
#define RATES_KINDS   4

struct rates {
    struct rates_look {
        uint64_t at_ms, counters[RATES_KINDS];
    } looks[RATES_SECONDS + 1]; /* a ring */
    unsigned count, next;
};

/* To be called at least every second; does nothing where the last look is younger. */
void rates_look(struct rates *r, uint64_t now_ms, const uint64_t counters[RATES_KINDS]);
/* A second, to a tenth, between the oldest look kept and now. */
double rates_of(const struct rates *r, uint64_t now_ms, unsigned kind, uint64_t counter);

#endif
