/* The NNG side of the broker: workers say hello and join, get a PUSH socket of their own, and report on the
 * one PULL socket (schemas/messages.md). Knows sessions and bytes; who may run what is the board's business.
 *
 * On the loop's thread; nothing blocks. NNG's callbacks only note what happened. What comes in goes to the
 * links_events of the owner; what goes out is collected by links_send_* and leaves when links_flush() is
 * called at the turn's end, in messages of at most LIMIT_BATCH_ENTRIES entries or LIMIT_BATCH_BYTES. */
#ifndef PB_LINKS_H
#define PB_LINKS_H

#include "common/err.h"
#include "common/log.h"
#include "common/wire.h"

#include <stdbool.h>

struct links;

struct links_settings {
    const char *listen;    /* "ipc://FOLDER" or "tcp://HOST:PORT": members there, reports beside it
                              (schemas/messages.md) */
    const uint8_t *secret; /* the cluster's, 32 bytes; lent while open */
    uint32_t lease_ms, beat_ms;
    uint32_t epoch;
    const char *store; /* told to workers: "sqlite", whose documents travel in reports */
};

/* A session is named by a number that is never used again in this process. */
typedef uint64_t links_session;

struct links_events {
    /* A worker authenticated itself. Returning other than PB_OK refuses it, with why as the reason it is
     * given. */
    pb_err (*joined)(void *arg, links_session session, const struct wire_join *join, struct pb_why *why);
    void (*report)(void *arg, links_session session, const struct wire_report *report);
    /* An attempt that links_send_attempt() took did not leave and will not: its worker drains. Told from
     * within links_flush(), after the report that says so. */
    void (*undelivered)(void *arg, links_session session, const struct wire_attempt *attempt);
    /* The session is over: its lease ran out, it left, its connection broke. Nothing more comes from it.
     * goodbye: it meant to leave, so what it still had did not end it. */
    void (*left)(void *arg, links_session session, const char *reason, bool goodbye);
};

/* For people. Lent for the call. */
struct links_worker {
    const char *id, *name, *version;
    uint32_t capacity, running, free;
    bool draining;
    uint64_t joined_ago_ms, heard_ago_ms, attempts_sent;
};

pb_err links_open(const struct links_settings *settings, const struct log *log,
                  const struct links_events *events, void *arg, struct links **out,
                  struct pb_why *why) PB_CHECKED;
void links_close(struct links *l);

/* The loop polls it for reading, then calls links_turn(): takes hellos and reports in. */
int links_fd(const struct links *l);
void links_turn(struct links *l, uint64_t now_ms);
/* Leases that ran out, pings that are due, hellos that expired. Gives the time of the next one. Must come
 * after what has arrived was taken. paused_ms: how long this process itself did not run, which counts for no
 * worker's silence. */
uint64_t links_tick(struct links *l, uint64_t now_ms, uint64_t paused_ms);

/* Queued for the session's next message; a session that is gone swallows them. */
void links_send_attempt(struct links *l, links_session session, const struct wire_attempt *attempt);
void links_send_settled(struct links *l, links_session session, uint64_t fence);
/* The attempt is no longer the worker's: it is dropped in silence. */
void links_send_cancel(struct links *l, links_session session, uint64_t fence);
/* The attempt shall end: the worker reports it as OUTCOME_CANCELLED, or as what it came to before. Nothing
 * comes of a fence that was not given to links_send_attempt() before. */
void links_send_stop(struct links *l, links_session session, uint64_t fence);
void links_ask_list(struct links *l, links_session session);
void links_flush(struct links *l, uint64_t now_ms);

/* Asks the worker with this id to finish what it has and leave. Once it says that it drains, no attempt goes
 * out to it any more, and it is told how many did. PB_E_NOT_FOUND: no such worker is here. */
pb_err links_drain(struct links *l, const char *worker_id_text) PB_CHECKED;

void links_each_worker(struct links *l, uint64_t now_ms,
                       void (*each)(void *arg, const struct links_worker *w), void *arg);
size_t links_worker_count(const struct links *l);

#endif
