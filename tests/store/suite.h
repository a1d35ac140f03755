/* The store's contract (common/store.h) as tests, for every implementation of it. A program per
 * implementation says how to come by a new, empty store, and calls suite_run(). */
#ifndef PB_TESTS_STORE_SUITE_H
#define PB_TESTS_STORE_SUITE_H

#include <stdbool.h>
#include <stddef.h>

#define SUITE_URL_BYTES 256

struct suite_subject {
    const char *name; /* "sqlite" */
    /* Writes the URL of a store that does not exist or is empty; another one at each call. */
    void (*fresh)(void *arg, char url[SUITE_URL_BYTES]);
    void *arg;
    bool remote; /* every operation is a round trip: tests by model take fewer steps */
    const struct CMUnitTest *own; /* tests of this implementation alone, run in the same group */
    size_t own_count;
};

/* Runs all tests, each on a store of its own. Gives the number of those that failed. */
int suite_run(const struct suite_subject *subject);

#endif
