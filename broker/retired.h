/* The jobs sockets of sessions that are over, each kept until its peers have left it alone for a while: NNG
 * leaks the connections of a listener that is closed too early (common/push.h). On the loop's thread. */
#ifndef PB_RETIRED_H
#define PB_RETIRED_H

#include "common/push.h"

#include <stddef.h>
#include <stdint.h>

struct retired_socket;
struct retired {
    struct retired_socket *oldest; /* in the order in which they were added */
    size_t count;
};

/* Takes the socket. Past LIMIT_RETIRED the oldest is closed at once. Accepts NULL. */
void retired_add(struct retired *r, struct push *push, uint64_t now_ms);
/* Closes those whose time has come; gives the time of the next look, UINT64_MAX: never. */
uint64_t retired_tick(struct retired *r, uint64_t now_ms);
void retired_close(struct retired *r);

#endif
