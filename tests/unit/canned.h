/* A server of canned answers on loopback, for tests of whoever sends requests: one thread, one connection at
 * a time per accept, each answered by what its path says and closed. */
#ifndef PB_TEST_CANNED_H
#define PB_TEST_CANNED_H

#include <stdbool.h>
#include <stddef.h>

struct canned;

struct canned_route {
    const char *path;   /* of the request line */
    const char *answer; /* raw bytes, sent as they are; NULL: nothing, ever */
    size_t filler;      /* how often after it comes */
    const char *text;   /* this; NULL: "x" */
};

struct canned *canned_open(const struct canned_route *routes, size_t count);
void canned_close(struct canned *c); /* ends what still hangs */
unsigned canned_port(const struct canned *c);
/* Requests so far, each as it came (head and what of the body came with it); lent while open. NULL beyond the
 * last. */
const char *canned_request(struct canned *c, size_t i);
size_t canned_count(struct canned *c);

#endif
