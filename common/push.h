/* A PUSH socket for one session: one listener or one dialer, one pipe, ever.
 *
 * NNG's PUSH (1.5.2; upstream issue nanomsg/nng 1653) can keep a pipe on its ready list after the peer has
 * left and then uses freed memory. It is safe when a socket has only ever one pipe, when nothing is sent
 * after that pipe is gone, and when sends and the pipe's removal exclude each other. This file is that
 * discipline, and the only place that opens a PUSH socket:
 *   - the first pipe is let in; every later one is closed before it starts;
 *   - the pipe's removal marks the socket dead under a mutex, and sends happen under the same mutex;
 *   - a dead socket stays dead: close it, and make a new one for a new session;
 *   - a listener whose last peers have just left is not closed at once: after a handshake that its peer broke
 *     off NNG accepts nobody for 100 ms, and closing it in that time leaks the connections that wait (1.5.2).
 *
 * push_send() may be called from one thread; NNG's threads only mark and ring. Nothing blocks but
 * push_close(), which waits for NNG to let go of the pipe (microseconds). */
#ifndef PB_PUSH_H
#define PB_PUSH_H

#include "common/err.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct push;

/* bell_fd: an eventfd that is written to when the pipe comes or goes; -1: none. */
pb_err push_listen(const char *url, int bell_fd, struct push **out, struct pb_why *why) PB_CHECKED;
/* Dials once, in the background. */
pb_err push_dial(const char *url, int bell_fd, struct push **out, struct pb_why *why) PB_CHECKED;
void push_close(struct push *p); /* loses what NNG has not yet handed to the peer */

/* The end of a session whose listener cannot be closed yet: nobody is let in, and nothing rings, any more. */
void push_retire(struct push *p);
/* Peers that ever came, those that were refused included: while it rises, push_close() leaks. */
unsigned push_peers(struct push *p);

/* PB_E_AGAIN: the pipe is full or not there yet; PB_E_CLOSED: dead. A message that was taken is handed to the
 * pipe, not delivered. Messages of one socket arrive in order. */
pb_err push_send(struct push *p, const void *bytes, size_t len) PB_CHECKED;
/* A descriptor that polls readable while a send would be taken. Never read it. */
int push_send_fd(struct push *p);
bool push_is_dead(struct push *p);
/* Of a tcp listener on port 0: the port it got. */
uint16_t push_port(const struct push *p);

#endif
