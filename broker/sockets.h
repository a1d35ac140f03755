/* The broker's NNG sockets: one REP that members ask, one PULL that reports come to, and a PUSH for the jobs
 * of each session (common/push.h). Knows addresses and bytes, not messages. On the loop's thread; nothing
 * blocks.
 *
 * Faults of NNG 1.5.2 are lived with here. On one machine (ipc) a peer that breaks its handshake off can end
 * a listener's accepting for good: so each session has a listener of its own for its reports, and the
 * members' one is asked by the broker itself when nobody else has for a while, and made anew if it does not
 * answer. What receives is closed only when its peers have gone (common/limbo.h), and a jobs socket is
 * retired before it is closed (common/push.h). */
#ifndef PB_SOCKETS_H
#define PB_SOCKETS_H

#include "common/err.h"
#include "common/push.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define SOCKETS_ADDRESS_BYTES 256

struct sockets;

/* address: ipc://FOLDER or tcp://HOST:PORT (reports come to PORT + 1 then). */
pb_err sockets_open(const char *address, struct sockets **out, struct pb_why *why) PB_CHECKED;
void sockets_close(struct sockets *s);

/* Polls readable when there is something to receive, or a bell was rung. */
int sockets_fd(const struct sockets *s);
/* Also when this descriptor is readable; false takes it out. */
bool sockets_watch(struct sockets *s, int fd, bool on);

/* The next question of a member; false: none, or the connection that the last answer goes to is still busy.
 * At most one answer each, before the next is taken. What is received is lent until the next call. */
bool sockets_question(struct sockets *s, uint64_t now_ms, const uint8_t **bytes, size_t *len);
void sockets_answer(struct sockets *s, const uint8_t *bytes, size_t len);
/* The next report. */
bool sockets_report(struct sockets *s, const uint8_t **bytes, size_t *len);

/* One session's own. Zeroed is none. */
struct session_sockets {
    struct push *jobs;
    uint32_t reports; /* its listener; 0: none of its own */
    /* what the worker is told to dial: of a tcp address ":PORT", since it knows by which name it reached us
     */
    char jobs_told[SOCKETS_ADDRESS_BYTES], reports_told[SOCKETS_ADDRESS_BYTES];
};
/* name is unguessable and used once: 16 hex digits. */
pb_err sockets_open_session(struct sockets *s, const char *name, struct session_sockets *out,
                            struct pb_why *why) PB_CHECKED;
void sockets_end_session(struct sockets *s, struct session_sockets *session, uint64_t now_ms);
/* Did a jobs socket of any session die since this was last asked? */
bool sockets_bell(struct sockets *s);

/* Renewals and retired sockets; gives the time of the next. */
uint64_t sockets_tick(struct sockets *s, uint64_t now_ms);

#endif
