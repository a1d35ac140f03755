/* Sockets that receive, between their last use and their close.
 *
 * NNG 1.5.2 must not be told to close a socket in the moment between a message's header and its body: the
 * read of the body is then never finished, NNG's one reaping thread waits for it, and from then on every
 * nng_close() of the process hangs. A socket that is left unread is out of that danger as soon as one message
 * lies in it (NNG reads no further) or its peers are gone. So it is kept, unread, for a while that is longer
 * than the time between two of its peer's messages, and closed then.
 *
 * On the loop's thread. Zeroed is empty. */
#ifndef PB_LIMBO_H
#define PB_LIMBO_H

#include <nng/nng.h>
#include <stddef.h>
#include <stdint.h>

struct limbo_socket;
struct limbo {
    struct limbo_socket *sockets;
    size_t count;
};

/* Takes the socket; it is not to be used any more. Past LIMIT_LIMBO the oldest is closed at once. */
void limbo_add(struct limbo *l, nng_socket socket, uint64_t close_ms);
/* Closes those whose time has come; gives the time of the next, UINT64_MAX: none. */
uint64_t limbo_tick(struct limbo *l, uint64_t now_ms);
/* Forgets them; the process is about to end, which closes them (process_end_within). */
void limbo_fini(struct limbo *l);

#endif
