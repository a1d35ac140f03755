/* Lists of the MongoDB store: pages by id, each along an index that its filters decide, so many documents at
 * a time that memory does not grow with the list. The contracts are those of common/store.h. */
#ifndef PB_STORE_MONGO_LISTS_H
#define PB_STORE_MONGO_LISTS_H

#include "common/store_mongo.h"

pb_err mongo_list_integrations(struct store *base, const struct store_filter *filter,
                               const struct pb_id *after, size_t limit,
                               pb_err (*each)(void *arg, const struct integration *in), void *arg,
                               struct pb_why *why) PB_CHECKED;
pb_err mongo_list_due(struct store *base, int64_t due_ms, int64_t after_ms, const struct pb_id *after,
                      size_t limit, pb_err (*each)(void *arg, const struct integration *in), void *arg,
                      struct pb_why *why) PB_CHECKED;
pb_err mongo_count_integrations(struct store *base, const struct store_filter *filter,
                                pb_err (*each)(void *arg, const char *type, uint64_t count), void *arg,
                                struct pb_why *why) PB_CHECKED;
pb_err mongo_list_batches(struct store *base, const char *tenant, enum batch_state state,
                          const struct pb_id *before, size_t limit,
                          pb_err (*each)(void *arg, const struct store_batch *batch), void *arg,
                          struct pb_why *why) PB_CHECKED;
pb_err mongo_list_schedules(struct store *base, const char *tenant,
                            pb_err (*each)(void *arg, const struct store_schedule *schedule), void *arg,
                            struct pb_why *why) PB_CHECKED;
pb_err mongo_list_jobs(struct store *base, const struct store_job_filter *filter, const struct pb_id *after,
                       size_t limit, pb_err (*each)(void *arg, const struct job *job), void *arg,
                       struct pb_why *why) PB_CHECKED;
pb_err mongo_list_meta(struct store *base, pb_err (*each)(void *arg, const char *key, const char *value),
                       void *arg, struct pb_why *why) PB_CHECKED;
pb_err mongo_list_deleted(struct store *base,
                          pb_err (*each)(void *arg, const struct pb_id *id, uint64_t fence), void *arg,
                          struct pb_why *why) PB_CHECKED;
pb_err mongo_list_tokens(struct store *base, pb_err (*each)(void *arg, const struct store_token *token),
                         void *arg, struct pb_why *why) PB_CHECKED;

#endif
