/* Jobs, as the API takes them in and shows them. On the loop's thread. */
#ifndef PB_HTTP_JOBS_H
#define PB_HTTP_JOBS_H

#include "broker/http/request.h"
#include "common/integration.h"
#include "common/job.h"
#include "common/manifest.h"

/* Answers a request whose job has ended. doc is the integration that a setup made; NULL where it is gone or
 * the job made none. Both are lent. */
typedef void jobs_finished(struct http_request *r, const struct job *job, const struct integration *doc);

/* A job of the request's: new ids where they are nil, the time, the idempotency key. High priority: somebody
 * waits for the one thing that was asked for. The payload is the caller's. */
struct job jobs_new(const struct http_request *r, enum job_kind kind, const char *tenant, const char *type);

/* Somebody waits for this: without a worker it is better to say so than to let him wait. false: the request
 * was refused. */
bool jobs_has_worker(struct http_request *r);

/* Submits it and answers: 202 with the job when it is not over within the request's wait, what finished()
 * says when it is, a refusal otherwise. Takes what the job points to, also on failure. */
void jobs_submit(struct http_request *r, struct job *job, jobs_finished *finished);

/* A key that belongs to another request is a mistake of the caller's, and answering with that request's
 * outcome would hide it. What a setup was to set up is sealed, so that much cannot be compared. */
bool jobs_is_same_request(const struct job *asked, const struct job *stored);
/* The problem's code when intake refuses: a full board is not the caller's fault. */
const char *jobs_refusal_code(pb_err err);

/* As schemas/job.schema.json has it. New reference. */
json_t *jobs_json(const struct job *job);
/* With "durability": for answers that accept. */
json_t *jobs_json_accepted(const struct job *job);

/* 200 with the job. */
void jobs_answer(struct http_request *r, const struct job *job);
/* A job that failed, as a problem document: by its result's code, with the field at fault. */
void jobs_answer_failed(struct http_request *r, const struct job *job);

#endif
