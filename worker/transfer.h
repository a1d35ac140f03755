/* HTTP requests to providers: one curl multi handle inside the worker's loop, thousands of requests in
 * flight, and the egress guard, which looks at the address that is really connected to.
 *
 * All on the loop's thread. The loop polls transfer_fd() (an epoll descriptor that holds curl's sockets and
 * its timer) for reading and then calls transfer_turn(). Redirects are followed by hand, at most
 * LIMIT_TRANSFER_REDIRECTS: credentials (any header or query the caller marked) go only to a host of
 * allowed_hosts. */
#ifndef PB_TRANSFER_H
#define PB_TRANSFER_H

#include "common/err.h"
#include "common/log.h"
#include "common/result.h"
#include "common/secret.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct transfer;
struct transfer_call;

struct transfer_settings {
    const char *ca_file;           /* PEM file of further trusted CAs; NULL: the system's alone */
    const char *const *allow;      /* CIDRs that the guard lets through though they are not public; */
    size_t allow_count;            /* plain http is refused except to these */
    const char *const *connect_to; /* curl's HOST:PORT:ADDRESS:PORT, for tests and proxies */
    size_t connect_to_count;
    uint32_t timeout_ms;  /* when a request names none */
    size_t max_in_flight; /* further requests wait inside; each waits at most its own timeout */
    const char *user_agent;
};

struct transfer_header {
    const char *name;
    struct secret value; /* lent */
    bool credential;
};

/* Lent for the call of transfer_start(). */
struct transfer_request {
    const char *method; /* "GET" */
    struct secret url;  /* complete, escaped; may hold a credential in its query */
    bool url_has_credential;
    const struct transfer_header *headers;
    size_t header_count;
    const void *body; /* NULL: none */
    size_t body_len;
    bool body_has_credential;
    const char *const
        *allowed_hosts; /* host names that may see the credentials, "*.example.com" for one label or more */
    size_t allowed_host_count;
    uint32_t timeout_ms;
};

/* What came back. Lent for the callback. failure is 0 when there is an answer, else the result code that says
 * why there is none (RESULT_TIMEOUT, RESULT_DNS_FAILURE, RESULT_TLS_ERROR, RESULT_BLOCKED_BY_POLICY, ...)
 * with a sentence in why. */
struct transfer_answer {
    enum result_code failure;
    const char *why;
    int status;
    const char *headers; /* "Name: value\r\n" lines of the last answer */
    size_t headers_len;
    const char *body; /* decompressed, followed by NUL */
    size_t body_len;
    uint32_t duration_ms;
};

typedef void transfer_done(void *arg, const struct transfer_answer *answer);

pb_err transfer_open(const struct transfer_settings *settings, const struct log *log, struct transfer **out,
                     struct pb_why *why) PB_CHECKED;
void transfer_close(struct transfer *t); /* every call still running ends without done() */
int transfer_fd(const struct transfer *t);
void transfer_turn(struct transfer *t);
size_t transfer_in_flight(const struct transfer *t);

/* done() is called once, from transfer_turn(), never from here. */
pb_err transfer_start(struct transfer *t, const struct transfer_request *request, transfer_done *done,
                      void *arg, struct transfer_call **out) PB_CHECKED;
void transfer_cancel(struct transfer_call *call);

#endif
