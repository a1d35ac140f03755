/* The documents of the MongoDB store: how integrations, jobs and tokens are written as BSON and read from it.
 * What a person finds in a MongoDB shell is what the design's record says: words, dates and documents.
 *
 * What is not there (NULL, a time of 0) is left out. Words that this version does not know are kept as their
 * numbers. Pure; no I/O. */
#ifndef PB_STORE_MONGO_DOCS_H
#define PB_STORE_MONGO_DOCS_H

#include "common/store.h"

#include <bson/bson.h>

#define MONGO_IDEM_BYTES (LIMIT_TENANT_CHARS + 1 + LIMIT_IDEM_CHARS + 1)

void mongo_put_id(bson_t *doc, const char *key, const char *prefix, const struct pb_id *id);
/* Of a filter: _id is one of these. */
void mongo_put_ids(bson_t *filter, const char *prefix, const struct pb_id *ids, size_t count);
/* A state by its word; one that is none by its number, which matches nothing. */
void mongo_put_state(bson_t *doc, const char *key, enum job_state state);
void mongo_put_kind(bson_t *doc, const char *key, enum job_kind kind);
void mongo_put_status(bson_t *doc, const char *key, enum integration_status status);
void mongo_put_health(bson_t *doc, const char *key, enum integration_health health);
void mongo_put_batch_state(bson_t *doc, const char *key, enum batch_state state);
void mongo_put_date(bson_t *doc, const char *key, int64_t wall_ms);
/* The unique key of a job: tenant, slash, key. */
void mongo_idem(const struct job *job, char out[MONGO_IDEM_BYTES]);
/* result, and its "code" as a field of its own, by which jobs are listed. */
void mongo_put_result(bson_t *doc, const char *result);

/* Whole documents, _id included; what is read is the caller's (job_fini, integration_fini). The limits of
 * records are far below those of BSON. PB_E_STORE: a document that is none of ours; why says which and what
 * it lacks. */
void mongo_integration_put(bson_t *doc, const struct integration *in, uint64_t fence);
pb_err mongo_integration_get(const bson_t *doc, struct integration *out, struct pb_why *why) PB_CHECKED;
void mongo_job_put(bson_t *doc, const struct job *job);
pb_err mongo_job_get(const bson_t *doc, struct job *out, struct pb_why *why) PB_CHECKED;
void mongo_token_put(bson_t *doc, const struct store_token *token);
pb_err mongo_token_get(const bson_t *doc, struct store_token *out, struct pb_why *why) PB_CHECKED;
void mongo_batch_put(bson_t *doc, const struct store_batch *batch);
pb_err mongo_batch_get(const bson_t *doc, struct store_batch *out, struct pb_why *why) PB_CHECKED;
void mongo_schedule_put(bson_t *doc, const struct store_schedule *schedule);
pb_err mongo_schedule_get(const bson_t *doc, struct store_schedule *out, struct pb_why *why) PB_CHECKED;
void mongo_put_schedule_id(bson_t *doc, const char *tenant, const char *name); /* as _id */

/* Parts, for answers that hold only some fields. */
bool mongo_get_id(const bson_t *doc, const char *key, const char *prefix, struct pb_id *out);
enum job_state mongo_get_state(const bson_t *doc);
int64_t mongo_get_number(const bson_t *doc, const char *key); /* dates, too; 0: not there */
bool mongo_has(const bson_t *doc, const char *key);

#endif
