/* Requests that wait for their answer without holding a thread.
 *
 * A handler suspends its connection here and returns; the clock's own thread resumes it when its time has
 * come, and libmicrohttpd then calls the handler again. libmicrohttpd does not notice that the client of a
 * suspended connection has gone, so the clock looks for that too, twice a second; otherwise every request
 * that is never answered would hold a socket until the end. */
#ifndef SANDBOX_DELAY_H
#define SANDBOX_DELAY_H

#include <microhttpd.h>
#include <stdbool.h>
#include <stdint.h>

struct delay_clock;

/* Embedded in a request; belongs to the clock from delay_suspend until the handler is called again. */
struct delay {
    struct MHD_Connection *connection;
    int fd;
    uint64_t due_ms;
    bool gone; /* resumed because the client left or the sandbox ends: do not answer */
};

struct delay_clock *delay_open(void);        /* starts the thread; NULL if that fails */
void delay_close(struct delay_clock *clock); /* only after delay_stop; accepts NULL */

/* From a handler only: suspends the connection for wait_ms (UINT64_MAX: for good). False if the clock has
 * stopped or is full; the connection then goes on as it was. */
bool delay_suspend(struct delay_clock *clock, struct delay *d, struct MHD_Connection *connection, int fd,
                   uint64_t wait_ms);

/* Resumes every connection as gone and refuses all later ones. Must come before the daemons are stopped. */
void delay_stop(struct delay_clock *clock);

#endif
