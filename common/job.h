/* Jobs: the kinds of work, the states a job can be in, and the record that the store keeps of one. */
#ifndef PB_JOB_H
#define PB_JOB_H

#include "common/err.h"
#include "common/id.h"
#include "common/limits.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* The numbers are part of the protocol and of stored records: never reuse one. */
enum job_kind {
    JOB_SETUP = 1,    /* test the credentials, then create the integration */
    JOB_VALIDATE = 2, /* test an integration again and store the result */
    JOB_DELETE = 3,
    JOB_TEST = 4,           /* test credentials, store nothing; lives in memory alone */
    JOB_PING = 5,           /* a worker answers at once: a canary that goes the whole way */
    JOB_VALIDATE_EVENT = 6, /* payloads of an event against its schema; lives in memory alone */
};

enum job_state {
    JOB_WAITING = 1, /* accepted, not finished: queued or with a worker */
    JOB_DONE = 2,    /* ran; a validation whose answer is "the key is bad" is done, too */
    JOB_FAILED = 3,  /* ended without effect: setup refused, name taken, integration gone */
    JOB_CANCELLED = 4,
    JOB_DEAD = 5, /* given up: attempts used up, too late, or poison. Keeps its payload: may be sent again */
};

/* Who goes first. Within a priority tenants take turns. */
enum job_priority { PRIORITY_HIGH = 1, PRIORITY_NORMAL = 2, PRIORITY_LOW = 3 };

/* What one attempt came to. */
enum job_outcome {
    OUTCOME_DONE = 1,
    OUTCOME_FAILED = 2,
    OUTCOME_RETRY = 3,    /* could not be carried out now: try again after a while */
    OUTCOME_RETURNED = 4, /* never begun: no attempt is counted */
    OUTCOME_CANCELLED = 5,
    OUTCOME_DEAD = 6, /* the broker's own verdict: given up. Never in a report */
};

struct job {
    struct pb_id id;
    enum job_kind kind;
    enum job_state state;
    char tenant[LIMIT_TENANT_CHARS + 1];
    char type[LIMIT_TYPE_CHARS + 1];
    char idem[LIMIT_IDEM_CHARS + 1]; /* empty: none */
    char host[LIMIT_HOST_CHARS + 1]; /* of the provider, for its limits; empty: not known beforehand */
    struct pb_id integration;
    enum job_priority priority;
    uint32_t attempts;     /* that ended without an outcome, so far */
    uint32_t max_attempts; /* then it is given up; 0: LIMIT_JOB_ATTEMPTS */
    uint32_t crashes;      /* workers that died while they ran it alone */
    bool ephemeral;        /* not stored although others of its kind are: a batch stands for it */
    bool cancel_asked;     /* it ends as cancelled unless an attempt under way has ended otherwise */
    /* Wall clock, milliseconds. not_before_ms, deadline_ms: 0: none. finished_at_ms 0: not finished. */
    int64_t created_at_ms, not_before_ms, deadline_ms, finished_at_ms;
    uint8_t
        *payload; /* for the worker, see schemas/messages.md; NULL once the job has ended, but for JOB_DEAD */
    size_t payload_len;
    char *result; /* JSON of the test's result or the reason it failed; NULL while there is none */
};

void job_fini(struct job *job); /* frees what it points to; accepts a zeroed one */

/* Is the job stored? Others live in the broker's memory and are lost with it. */
bool job_is_durable(const struct job *job);

/* Names as the API and logs spell them; NULL for a number that names nothing. */
const char *job_priority_name(enum job_priority priority);
const char *job_kind_name(enum job_kind kind);
const char *job_state_name(enum job_state state);
const char *job_outcome_name(enum job_outcome outcome);

#endif
