/* The messages of the cluster as structs, and their msgpack forms; schemas/messages.md says every field.
 * Pure: no sockets, no crypto. Decoded structs point into the bytes they were read from. */
#ifndef PB_WIRE_H
#define PB_WIRE_H

#include "common/buf.h"
#include "common/err.h"
#include "common/id.h"
#include "common/job.h"
#include "common/store.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define WIRE_VERSION       1
#define WIRE_SESSION_BYTES 16
#define WIRE_KEY_BYTES     32
#define WIRE_MAC_BYTES     32
#define WIRE_TYPES_MAX     2000

/* Strings of a message: not NUL-terminated. */
struct wire_text {
    const char *data;
    size_t len;
};
struct wire_bytes {
    const uint8_t *data;
    size_t len;
};

/* -- members: the hello in clear, authenticated by the cluster secret -- */

struct wire_hello {
    uint64_t version; /* the highest the sender knows */
    uint8_t session[WIRE_SESSION_BYTES], key[WIRE_KEY_BYTES], mac[WIRE_MAC_BYTES];
};
struct wire_welcome {
    uint64_t version;
    uint8_t key[WIRE_KEY_BYTES], mac[WIRE_MAC_BYTES];
};
/* A sealed message: on every socket the same frame. */
struct wire_sealed {
    uint8_t session[WIRE_SESSION_BYTES];
    uint64_t counter;
    struct wire_bytes box;
};

enum wire_kind {
    WIRE_HELLO = 1,
    WIRE_WELCOME,
    WIRE_REFUSED,
    WIRE_RESTART,
    WIRE_SEALED, /* in clear */
    WIRE_JOIN,
    WIRE_JOINED,
    WIRE_JOBS,
    WIRE_REPORT,
    WIRE_LEAVE, /* inside a sealed one */
};

/* -- inside the seal -- */

/* An attempt that the worker still has: running, or finished and not settled. */
struct wire_held {
    struct pb_id job;
    uint64_t fence;
};
struct wire_type {
    struct wire_text type, hash;
};
struct wire_join {
    struct wire_text name, version;
    uint32_t capacity;
    uint8_t seal_key[32]; /* of the worker's keyring */
    struct wire_type *types;
    size_t type_count;
    struct wire_held *held;
    size_t held_count;
};
struct wire_joined {
    struct wire_text worker, jobs, reports, store;
    uint32_t lease_ms, beat_ms, epoch;
};

enum wire_flags { WIRE_HOLD_FLIPS = 1, WIRE_ALONE = 2 };

struct wire_attempt {
    struct pb_id job;
    uint64_t fence;
    enum job_kind kind;
    struct wire_text tenant;
    uint32_t deadline_ms; /* how long it may take */
    uint32_t attempt;     /* 1: the first */
    struct pb_id integration;
    struct wire_text type;
    uint32_t flags;
    /* setup, test: wire_setup; validate, delete: the packed integration; validate_event: wire_event; ping:
       anything */
    struct wire_bytes payload;
};
/* One message of the broker to a worker; each part may be empty, and an altogether empty one is a ping. */
struct wire_jobs {
    struct wire_attempt *attempts;
    size_t attempt_count;
    uint64_t *settled, *cancel, *stop; /* fences */
    size_t settled_count, cancel_count, stop_count;
    bool list;     /* send the list of what is held with the next report */
    bool drain;    /* leave, as if told by a signal */
    bool has_sent; /* the answer to a worker that drains: */
    uint64_t sent; /* attempts that went out in this session, ever; no more will */
};

struct wire_change {
    enum store_change_kind kind;
    int64_t if_generation;
    struct wire_bytes doc; /* packed integration; for a delete as it was read */
};
struct wire_outcome {
    struct pb_id job;
    uint64_t fence;
    enum job_outcome outcome;
    struct wire_text code; /* of the result, for counting */
    uint64_t retry_after_ms;
    int64_t revision;
    struct wire_text result; /* JSON, may be empty */
    struct wire_change change;
};
struct wire_report {
    uint64_t received;    /* attempts that came in this session, ever */
    uint32_t free;        /* credit: how many more than those it can take */
    uint32_t running;     /* of those received, without an outcome sent so far (this report included) */
    uint64_t running_sum; /* sum of their fences, modulo 2^64 */
    bool draining;
    struct wire_outcome *outcomes;
    size_t outcome_count;
    struct wire_held *list; /* when asked */
    size_t list_count;
    bool has_list;
};

/* A setup's payload, and a test's. */
struct wire_setup {
    struct wire_text name; /* of a test it may be empty */
    struct wire_bytes sealed;
};
pb_err wire_pack_setup(const struct wire_setup *s, struct buf *out) PB_CHECKED;
pb_err wire_unpack_setup(struct wire_bytes in, struct wire_setup *out) PB_CHECKED;

/* The payload of an event's validation. */
struct wire_event {
    struct wire_text event_type;
    bool lines; /* NDJSON: a payload a line, and an answer a line */
    struct wire_bytes payload;
};
pb_err wire_pack_event(const struct wire_event *e, struct buf *out) PB_CHECKED;
pb_err wire_unpack_event(struct wire_bytes in, struct wire_event *out) PB_CHECKED;

/* Each pack appends a whole message [version, kind, body] to out; PB_E_LIMIT if out cannot hold it. */
pb_err wire_pack_hello(const struct wire_hello *m, struct buf *out) PB_CHECKED;
pb_err wire_pack_welcome(const struct wire_welcome *m, struct buf *out) PB_CHECKED;
pb_err wire_pack_refused(const char *reason, struct buf *out) PB_CHECKED;
pb_err wire_pack_restart(struct buf *out) PB_CHECKED;
pb_err wire_pack_sealed(const struct wire_sealed *m, struct buf *out) PB_CHECKED;
pb_err wire_pack_join(const struct wire_join *m, struct buf *out) PB_CHECKED;
pb_err wire_pack_joined(const struct wire_joined *m, struct buf *out) PB_CHECKED;
pb_err wire_pack_jobs(const struct wire_jobs *m, struct buf *out) PB_CHECKED;
pb_err wire_pack_report(const struct wire_report *m, struct buf *out) PB_CHECKED;
pb_err wire_pack_leave(struct buf *out) PB_CHECKED;

/* A message that was read. Arrays inside belong to it: wire_fini() frees them. */
struct wire_message {
    uint64_t version;
    enum wire_kind kind;
    union {
        struct wire_hello hello;
        struct wire_welcome welcome;
        struct wire_text refused;
        struct wire_sealed sealed;
        struct wire_join join;
        struct wire_joined joined;
        struct wire_jobs jobs;
        struct wire_report report;
    };
    void *zone;
};
/* PB_E_INVALID or PB_E_LIMIT: not a message; nothing to free then. Unknown keys are ignored. */
pb_err wire_read(const uint8_t *bytes, size_t len, struct wire_message *out) PB_CHECKED;
void wire_fini(struct wire_message *m);

#endif
