/* Jobs in the MongoDB store. Each call is about operations on different jobs, and sets their outcomes. */
#ifndef PB_STORE_MONGO_JOBS_H
#define PB_STORE_MONGO_JOBS_H

#include "common/store_mongo.h"

/* STORE_APPEND_JOB, with different keys. */
pb_err mongo_jobs_append(struct mongo *m, struct store_op *const *ops, size_t count,
                         struct pb_why *why) PB_CHECKED;
/* STORE_FINISH_JOB (without its change), STORE_RETRY_JOB, STORE_MARK_JOB. */
pb_err mongo_jobs_update(struct mongo *m, struct store_op *const *ops, size_t count,
                         struct pb_why *why) PB_CHECKED;
/* Of STORE_FINISH_JOB: would its job take this end? Writes nothing. */
pb_err mongo_jobs_judge(struct mongo *m, struct store_op *const *ops, size_t count,
                        struct pb_why *why) PB_CHECKED;
/* STORE_REVIVE_JOB */
pb_err mongo_jobs_revive(struct mongo *m, struct store_op *op, struct pb_why *why) PB_CHECKED;
/* STORE_PURGE_JOBS */
pb_err mongo_jobs_purge(struct mongo *m, struct store_op *op, struct pb_why *why) PB_CHECKED;

#endif
