/* The broker's HTTP API as seen by a caller: one request at a time, over libcurl. Directly: proxies that the
 * environment names are for the outside world, and a token is not theirs to see; redirects are not followed
 * for the same reason. */
#ifndef PB_CLIENT_API_H
#define PB_CLIENT_API_H

#include "common/buf.h"
#include "common/err.h"
#include "common/secret.h"

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct api;

struct api_request {
    const char *method, *path; /* "/v1/types" */
    const char *body;          /* NULL: none. Lent until the request has ended */
    size_t body_len;
    const char *body_type; /* NULL: application/json */
    uint32_t wait_s;       /* Prefer: wait=N; 0: not sent */
    bool as_text;          /* an answer below 400 is text, such as NDJSON */
    uint32_t limit_ms;     /* for the whole request beyond wait_s; 0: API_LIMIT_MS */
};

struct api_answer {
    int status;
    json_t *body; /* NULL: none */
    char *text;   /* instead of body, where the request asked for text */
    size_t text_len;
    uint32_t retry_after_s;
};
void api_answer_fini(struct api_answer *a);

/* curl_global_init() has been called. token may be empty. Both are copied. */
pb_err api_open(const char *url, const struct secret *token, struct api **out, struct pb_why *why) PB_CHECKED;
void api_close(struct api *a);
const char *api_url(const struct api *a);

/* Blocks. Any HTTP status is PB_OK, as long as it comes with JSON or nothing. PB_E_CLOSED: the broker cannot
 * be reached. PB_E_INVALID: whoever answered is no Patchbay broker. */
pb_err api_call(struct api *a, const struct api_request *r, struct api_answer *out,
                struct pb_why *why) PB_CHECKED;

/* Appends text, percent-encoded for a path's segment or a query's value (RFC 3986, section 2.3). */
void api_escape(struct buf *out, const char *text);

#endif
