/* Removes jobs that ended long ago, so that the store does not grow for ever: by age and by count, a few
 * hundred in a commit, and the next commit's worth as soon as there is more. On the loop's thread. */
#ifndef PB_JANITOR_H
#define PB_JANITOR_H

#include <stdbool.h>
#include <stdint.h>

struct broker;

struct janitor {
    uint64_t next_ms; /* of the loop's clock */
    bool busy;        /* a commit is under way */
    uint64_t removed; /* since the start */
};

/* Sweeps if it is time; gives the time of the next sweep. */
uint64_t janitor_tick(struct broker *b);

#endif
