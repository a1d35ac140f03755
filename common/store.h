/* The store: where everything durable lives. One contract, run by tests/store on every implementation.
 *
 * A handle belongs to one thread. All functions block for as long as the disk or server takes, so the broker
 * calls them from the journal's thread (the one that writes) and the reader's thread (which opens its own
 * handle, read-only). Results are written only on PB_OK. PB_E_STORE: the store failed; why says how, and
 * nothing of a commit was done, or (lost connection) it is unknown: every operation may be repeated, fences
 * and ids see to that. */
#ifndef PB_STORE_H
#define PB_STORE_H

#include "common/err.h"
#include "common/integration.h"
#include "common/job.h"
#include "common/log.h"

#include <stdbool.h>

struct store;

/* What a commit is made of. Fill kind and its arguments; the commit sets outcome. A job that is not known is
 * PB_E_NOT_FOUND. */
enum store_op_kind {
    /* job, waiting. PB_E_EXISTS with existing_job when (tenant, idem) or the id is known: of jobs that have
     * ended, too, until they are purged; from then on both are free again. */
    STORE_APPEND_JOB,
    /* job.id, state, result, finished_at_ms, attempts (kept where fewer); erases the payload, but of a job
     * that is JOB_DEAD; applies change in the same transaction. Of a job that has finished: PB_OK if in the
     * same state, else PB_E_CONFLICT. */
    STORE_FINISH_JOB,
    /* job.id, attempts, crashes, not_before_ms: an attempt ended without an outcome; the job stays waiting.
     * PB_E_CONFLICT if it has finished. */
    STORE_RETRY_JOB,
    /* job.id, crashes, cancel_asked: sets crashes, and cancel_asked if it is true (it is never taken back).
     * The job stays waiting. PB_E_CONFLICT if it has finished. */
    STORE_MARK_JOB,
    /* job.id, not_before_ms: a job that is JOB_DEAD waits again, as new: attempts, crashes 0, cancel_asked
     * false, deadline_ms and finished_at_ms 0, no result. PB_E_CONFLICT: it is in another state. Fills
     * op->job with the whole job as it is then, payload included: the caller's to free by job_fini. So
     * op->job holds nothing else before; and when it is not PB_OK, it holds nothing else after. */
    STORE_REVIVE_JOB,
    /* purge: removes finished jobs, the longest finished first, at most LIMIT_PURGE_ROWS; says in
     * purge.removed how many: fewer means that none is left to remove. */
    STORE_PURGE_JOBS,
    STORE_CHANGE,        /* change alone, without a job */
    STORE_PUT_BATCH,     /* batch: writes it as it is, new or not */
    STORE_PUT_SCHEDULE,  /* schedule: likewise */
    STORE_DROP_SCHEDULE, /* schedule.tenant, name; PB_OK, too, if there is none */
    /* Raises the epoch as store_next_epoch does; says it in epoch. PB_E_LIMIT: it is 2^31 - 1. */
    STORE_RAISE_EPOCH,
    STORE_ADD_TOKEN, /* token; PB_E_EXISTS by its hash */
    STORE_SET_META,  /* meta_key, meta_value (NULL removes) */
};

/* What is kept of jobs that have ended. A job goes when it ended before its limit, or when keep_count or more
 * others of the same group (dead ones; all others) ended after it: of those that ended in the same
 * millisecond the one with the larger id. So keep_count of each group stay; UINT64_MAX: no limit. */
struct store_purge {
    int64_t ended_before_ms, dead_before_ms; /* wall clock; 0: no limit */
    uint64_t keep_count;
    size_t removed;
};

enum store_change_kind { CHANGE_NONE, CHANGE_CREATE, CHANGE_REPLACE, CHANGE_DELETE };

/* A fenced change of one integration. Its condition: the stored fence is smaller than (or, for a repeated
 * write, equal to) fence, and for REPLACE and DELETE the record exists with generation if_generation. A
 * repeated write counts as done although its first coming raised the generation or deleted the record.
 * A deleted record leaves {id, fence, deleted_at} for seven days, which refuses older attempts; CREATE on an
 * existing record with an older fence overwrites it. Fences stay below 2^63. When the condition fails
 * nothing of the operation is done, the job's outcome included:
 * - PB_E_CONFLICT: a newer fence has written, or the generation is another
 * - PB_E_NOT_FOUND: REPLACE or DELETE, and there is no such record (or it was deleted); CREATE of a record
 * that was deleted since, so that a repeated setup does not bring it back
 * - PB_E_EXISTS: (tenant, name) belongs to another integration */
struct store_change {
    enum store_change_kind kind;
    uint64_t fence;
    int64_t if_generation;
    int64_t if_revision;    /* REPLACE: another revision is a PB_E_CONFLICT, too; 0: any */
    struct integration doc; /* for DELETE only its id; stored with the fence above */
};

/* One job that stands for many (broker/batches.h). What it is to do, how far it is and what came of it is the
 * owner's to read and write, as JSON. */
enum batch_state { BATCH_RUNNING = 1, BATCH_PAUSED, BATCH_DONE, BATCH_CANCELLED };
struct store_batch {
    struct pb_id id;
    enum batch_state state;
    char tenant[LIMIT_TENANT_CHARS + 1]; /* "*": over all of them */
    int64_t created_at_ms, finished_at_ms;
    char *body; /* JSON */
};
void store_batch_fini(struct store_batch *b);
const char *batch_state_name(enum batch_state state); /* NULL for a number that names nothing */

/* A recurring batch (broker/schedules.h), named within its tenant. The body is the owner's, as of a batch. */
struct store_schedule {
    char tenant[LIMIT_TENANT_CHARS + 1]; /* "*": over all of them */
    char name[LIMIT_SCHEDULE_CHARS + 1];
    int64_t created_at_ms, updated_at_ms;
    char *body; /* JSON */
};
void store_schedule_fini(struct store_schedule *s);

struct store_token {
    uint8_t hash[32];                    /* BLAKE2b-256 of the token's text */
    char tenant[LIMIT_TENANT_CHARS + 1]; /* "*": the cluster */
    char role[16], name[64];
    int64_t created_at_ms;
};

struct store_op {
    enum store_op_kind kind;
    struct job job;
    struct store_change change;
    struct store_token token;
    const char *meta_key, *meta_value;
    struct store_purge purge;
    struct store_batch batch;
    struct store_schedule schedule;
    uint32_t epoch;
    pb_err outcome;
    struct pb_id existing_job;
};

/* url: "sqlite:PATH" (a folder's file; the folder must exist), or a MongoDB connection string. read_only
 * opens beside a writer. why names what is wrong and what to do (folder not writable, not a database, a newer
 * schema, disk full; no primary, wrong password), never the URL's user, password or options. Opening for
 * writing makes tables and indexes; PB_E_BUSY: another broker has it open for writing (SQLite). */
pb_err store_open(const char *url, bool read_only, struct store **out, struct pb_why *why) PB_CHECKED;
void store_close(struct store *s);

/* url as logs and errors may show it: without user, password and options, cut to fit. */
#define STORE_SHOWN_BYTES 160
void store_shown(const char *url, char out[STORE_SHOWN_BYTES]);
/* Where a library below the store may write its warnings, for the whole process; NULL (the start): nowhere.
 * log is lent for ever. */
void store_log(const struct log *log);

/* One durable transaction over all operations, in order. (MongoDB: each operation is one, or one for its
 * change and then one for its job; when the commit fails, some may be done: they may all be repeated.) An
 * operation whose own condition fails is left out and says so in its outcome; the others are committed.
 * PB_OK: all that are not marked are on disk, synced. PB_E_DENIED: the handle is read-only. */
pb_err store_commit(struct store *s, struct store_op *const *ops, size_t count,
                    struct pb_why *why) PB_CHECKED;

/* Raises the epoch by one, durably, and gives it; the first is 1. PB_E_DENIED: the handle is read-only.
 * PB_E_LIMIT: it is 2^31 - 1 and cannot be raised. */
pb_err store_next_epoch(struct store *s, uint32_t *out, struct pb_why *why) PB_CHECKED;

/* Reads see what was committed before they began. Strings and payloads inside results are the caller's to
 * free by job_fini and integration_fini. */
pb_err store_get_integration(struct store *s, const struct pb_id *id, struct integration *out,
                             struct pb_why *why) PB_CHECKED;
/* Is (tenant, name) taken? Writes its owner's id. PB_E_NOT_FOUND: it is free. */
pb_err store_find_name(struct store *s, const char *tenant, const char *name, struct pb_id *out,
                       struct pb_why *why) PB_CHECKED;
pb_err store_get_job(struct store *s, const struct pb_id *id, struct job *out, struct pb_why *why) PB_CHECKED;
pb_err store_get_meta(struct store *s, const char *key, char **out, struct pb_why *why) PB_CHECKED;

/* A page of integrations in order of id, after an id (nil: from the start). Empty or zero filters match all.
 */
struct store_filter {
    const char *tenant; /* NULL: every tenant */
    const char *type;
    enum integration_status status;
    enum integration_health health;
    const char *text;          /* part of the name or account label, ignoring ASCII case */
    int64_t not_since_ms;      /* last validated before this, or never */
    const struct pb_id *up_to; /* ids up to this one; NULL: all */
};
/* Calls each() for up to limit records; the record is lent for the call. each() must not use the handle;
 * returning other than PB_OK it ends the list, which returns the same. */
pb_err store_list_integrations(struct store *s, const struct store_filter *filter, const struct pb_id *after,
                               size_t limit, pb_err (*each)(void *arg, const struct integration *in),
                               void *arg, struct pb_why *why) PB_CHECKED;
/* Those that are due to be tested: next_validation_ms from 1 up to due_ms, not inactive; in order of that
 * time and of id, after such a pair (zeros: from the start). each() as above. */
pb_err store_list_due(struct store *s, int64_t due_ms, int64_t after_ms, const struct pb_id *after,
                      size_t limit, pb_err (*each)(void *arg, const struct integration *in), void *arg,
                      struct pb_why *why) PB_CHECKED;
/* How many there are of which type. each() is called for every type that has any, in order. */
pb_err store_count_integrations(struct store *s, const struct store_filter *filter,
                                pb_err (*each)(void *arg, const char *type, uint64_t count), void *arg,
                                struct pb_why *why) PB_CHECKED;
pb_err store_get_batch(struct store *s, const struct pb_id *id, struct store_batch *out,
                       struct pb_why *why) PB_CHECKED;
/* A page of batches, the newest first, before an id (nil: from the newest); of one tenant (NULL: of all), in
 * one state (0: in any). Lent for the call. */
pb_err store_list_batches(struct store *s, const char *tenant, enum batch_state state,
                          const struct pb_id *before, size_t limit,
                          pb_err (*each)(void *arg, const struct store_batch *batch), void *arg,
                          struct pb_why *why) PB_CHECKED;
pb_err store_get_schedule(struct store *s, const char *tenant, const char *name, struct store_schedule *out,
                          struct pb_why *why) PB_CHECKED;
/* Schedules of one tenant (NULL: of all), in order of tenant and name. Lent for the call. */
pb_err store_list_schedules(struct store *s, const char *tenant,
                            pb_err (*each)(void *arg, const struct store_schedule *schedule), void *arg,
                            struct pb_why *why) PB_CHECKED;
/* A page of jobs, payloads left out, in order of id: after an id (nil: from the start), or with newest_first
 * before it (nil: from the end). Empty or zero filters match all. */
struct store_job_filter {
    const char *tenant, *type;
    enum job_kind kind;
    enum job_state state;
    const struct pb_id *integration;
    const char *code; /* the "code" in the job's result; a job without one has no code */
    bool newest_first;
};
pb_err store_list_jobs(struct store *s, const struct store_job_filter *filter, const struct pb_id *after,
                       size_t limit, pb_err (*each)(void *arg, const struct job *job), void *arg,
                       struct pb_why *why) PB_CHECKED;
/* Everything in meta, in order of key. */
pb_err store_list_meta(struct store *s, pb_err (*each)(void *arg, const char *key, const char *value),
                       void *arg, struct pb_why *why) PB_CHECKED;
/* What is left of records that were deleted (see struct store_change), in no order. */
pb_err store_list_deleted(struct store *s, pb_err (*each)(void *arg, const struct pb_id *id, uint64_t fence),
                          void *arg, struct pb_why *why) PB_CHECKED;
pb_err store_list_tokens(struct store *s, pb_err (*each)(void *arg, const struct store_token *token),
                         void *arg, struct pb_why *why) PB_CHECKED;

#endif
