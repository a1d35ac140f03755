/* Jobs, as the API takes them in and shows them. On the loop's thread. */
#ifndef PB_HTTP_JOBS_H
#define PB_HTTP_JOBS_H

#include "broker/http/request.h"
#include "common/integration.h"
#include "common/job.h"

/* Answers a request whose job has ended. doc is the integration that a setup made; NULL where it is gone or
 * the job made none. Both are lent. */
typedef void jobs_finished(struct http_request *r, const struct job *job, const struct integration *doc);

/* A job of the request's: new ids where they are nil, the time, the idempotency key. The payload is the
 * caller's. */
struct job jobs_new(const struct http_request *r, enum job_kind kind, const char *tenant, const char *type);

/* Submits it and answers: 202 with the job when it is not over within the request's wait, what finished()
 * says when it is, a refusal otherwise. Takes what the job points to, also on failure. */
void jobs_submit(struct http_request *r, struct job *job, jobs_finished *finished);

/* {id, kind, state, type, integration, attempts, createdAt, finishedAt, result}. New reference. */
json_t *jobs_json(const struct job *job);

/* 200 with the job. */
void jobs_answer(struct http_request *r, const struct job *job);
/* A job that failed, as a problem document: by its result's code, with the field at fault. */
void jobs_answer_failed(struct http_request *r, const struct job *job);

#endif
