/* What the store's lists and counts call for those who do not care what is in them. */
#ifndef PB_TESTS_STORE_IGNORE_H
#define PB_TESTS_STORE_IGNORE_H

#include "common/store.h"

pb_err ignore_job(void *arg, const struct job *job);
pb_err ignore_integration(void *arg, const struct integration *in);
pb_err ignore_count(void *arg, const char *type, uint64_t count);
pb_err ignore_batch(void *arg, const struct store_batch *batch);
pb_err ignore_schedule(void *arg, const struct store_schedule *schedule);
pb_err ignore_token(void *arg, const struct store_token *token);
pb_err ignore_meta(void *arg, const char *key, const char *value);
pb_err ignore_deleted(void *arg, const struct pb_id *id, uint64_t fence);

#endif
