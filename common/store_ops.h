/* What an implementation of the store fills in. store.c chooses one by the URL's scheme and passes every call
 * on; the contract of each function is the one in store.h.
 *
 * To add an implementation: a file of its own that defines a struct store_ops, and a line in store.c's table.
 * Its struct begins with a struct store. */
#ifndef PB_STORE_OPS_H
#define PB_STORE_OPS_H

#include "common/store.h"

struct store_ops {
    const char *scheme;  /* "sqlite:", the beginning of its URLs */
    const char *example; /* a whole URL, for messages */
    pb_err (*open)(const char *url, bool read_only, struct store **out, struct pb_why *why);
    void (*close)(struct store *s); /* never NULL */
    pb_err (*commit)(struct store *s, struct store_op *const *ops, size_t count, struct pb_why *why);
    pb_err (*get_integration)(struct store *s, const struct pb_id *id, struct integration *out,
                              struct pb_why *why);
    pb_err (*find_name)(struct store *s, const char *tenant, const char *name, struct pb_id *out,
                        struct pb_why *why);
    pb_err (*get_job)(struct store *s, const struct pb_id *id, struct job *out, struct pb_why *why);
    pb_err (*get_meta)(struct store *s, const char *key, char **out, struct pb_why *why);
    pb_err (*list_integrations)(struct store *s, const struct store_filter *filter, const struct pb_id *after,
                                size_t limit, pb_err (*each)(void *arg, const struct integration *in),
                                void *arg, struct pb_why *why);
    pb_err (*list_jobs)(struct store *s, const struct store_job_filter *filter, const struct pb_id *after,
                        size_t limit, pb_err (*each)(void *arg, const struct job *job), void *arg,
                        struct pb_why *why);
    pb_err (*list_due)(struct store *s, int64_t due_ms, int64_t after_ms, const struct pb_id *after,
                       size_t limit, pb_err (*each)(void *arg, const struct integration *in), void *arg,
                       struct pb_why *why);
    pb_err (*count_integrations)(struct store *s, const struct store_filter *filter,
                                 pb_err (*each)(void *arg, const char *type, uint64_t count), void *arg,
                                 struct pb_why *why);
    pb_err (*get_batch)(struct store *s, const struct pb_id *id, struct store_batch *out, struct pb_why *why);
    pb_err (*list_batches)(struct store *s, const char *tenant, enum batch_state state,
                           const struct pb_id *before, size_t limit,
                           pb_err (*each)(void *arg, const struct store_batch *batch), void *arg,
                           struct pb_why *why);
    pb_err (*get_schedule)(struct store *s, const char *tenant, const char *name, struct store_schedule *out,
                           struct pb_why *why);
    pb_err (*list_schedules)(struct store *s, const char *tenant,
                             pb_err (*each)(void *arg, const struct store_schedule *schedule), void *arg,
                             struct pb_why *why);
    pb_err (*list_meta)(struct store *s, pb_err (*each)(void *arg, const char *key, const char *value),
                        void *arg, struct pb_why *why);
    pb_err (*list_deleted)(struct store *s, pb_err (*each)(void *arg, const struct pb_id *id, uint64_t fence),
                           void *arg, struct pb_why *why);
    pb_err (*list_tokens)(struct store *s, pb_err (*each)(void *arg, const struct store_token *token),
                          void *arg, struct pb_why *why);
};

struct store {
    const struct store_ops *ops;
    bool read_only;
};

/* -- the parts of the contract that are the same for each -- */

#define STORE_TOMBSTONE_KEEP_MS (INT64_C(7) * 24 * 3600 * 1000)

/* What the store has under an integration's id: a document, what is left of a deleted one, or neither. */
struct store_seen {
    bool exists, deleted;
    uint64_t fence;
    int64_t generation, revision; /* of one that exists */
};

/* The condition of a change; *again is set when this very attempt has written already. */
pb_err store_judge(const struct store_change *c, const struct store_seen *s, bool *again);

/* What a revival was asked, without what it answered. */
void store_forget_revived(struct store_op *op);
/* What the operations of a commit that failed were told is taken back. */
void store_undo_answers(struct store_op *const *ops, size_t count);

extern const struct store_ops store_sqlite_ops, store_mongo_ops;

#endif
