/* One HTTP request from its first line to its answer: what was asked, read and checked; and the ways to
 * answer.
 *
 * The listener's thread fills it and hands it to the loop; from then on it is its handler's, which answers it
 * exactly once, at once or later, and does not touch it after that. */
#ifndef PB_HTTP_REQUEST_H
#define PB_HTTP_REQUEST_H

#include "broker/http/auth.h"
#include "broker/http/parse.h"
#include "broker/http/problem.h"
#include "broker/reader.h"
#include "common/buf.h"
#include "common/err.h"
#include "common/id.h"

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define HTTP_HEADERS_MAX 6
#define HTTP_ARGS_MAX    2

/* -- the answer -- */

struct http_header {
    const char *name;
    char value[96];
};

struct http_answer {
    int status;
    const char *type;
    char *text; /* NULL: no body */
    size_t len;
    struct http_header headers[HTTP_HEADERS_MAX];
    size_t header_count;
};

struct broker;
struct route;

struct http_request {
    struct broker *broker;
    const struct route *route;
    const struct store_token *token; /* NULL where the route needs none */
    struct http_target target;
    const char *args[HTTP_ARGS_MAX]; /* what stood in the path for the route's {names} */
    char *content_type, *idem;       /* NULL: not given */
    uint32_t wait_seconds;
    struct buf body; /* may hold credentials, so it is wiped when given back */
    struct http_answer answer;
    void (*answered)(struct http_request *r); /* brings the answer on its way */
};

void http_request_fini(struct http_request *r); /* what it points to */

/* Adds a header to the answer to come; name is a literal. */
void http_header(struct http_request *r, const char *name, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
void http_say_waits(struct http_request *r); /* Preference-Applied, if it asked to wait (RFC 7240) */

/* Each of these ends the request. */
void http_answer_json(struct http_request *r, int status, json_t *body); /* takes body */
void http_answer_text(struct http_request *r, int status, const char *type, char *text,
                      size_t len); /* takes */
void http_answer_empty(struct http_request *r, int status);
void http_answer_problem(struct http_request *r, const struct problem *p);
void http_refuse(struct http_request *r, const char *code, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
/* For an error of the store, the reader or the intake. */
void http_refuse_error(struct http_request *r, pb_err err, const struct pb_why *why);

/* -- for handlers -- */

/* Is the request's token one of the whole cluster's (tenant "*")? */
bool http_is_cluster(const struct http_request *r);
/* May the request's token see the records of this tenant? */
bool http_sees(const struct http_request *r, const char *tenant);
/* The tenant that the store's reads are limited to; NULL: all. */
const char *http_tenant_filter(const struct http_request *r);
/* The tenant that new records belong to. */
const char *http_tenant_new(const struct http_request *r);
/* A read of the store, as reader_submit(); PB_E_CLOSED once the reader is about to end. */
pb_err http_read(struct http_request *r, reader_read *read, reader_done *done, void *arg) PB_CHECKED;
/* For orders that are answered when they are durable. false: the store refuses to commit, so that might take
 * hours, and the request was refused. */
bool http_can_write(struct http_request *r);
/* The id in the path; false: it is none, and the request was refused as not found. */
bool http_arg_id(struct http_request *r, const char *prefix, struct pb_id *out);

#endif
