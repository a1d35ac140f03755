/* What comes in over HTTP, taken apart and checked. Pure: no sockets, no clock, no threads. */
#ifndef PB_HTTP_PARSE_H
#define PB_HTTP_PARSE_H

#include "common/err.h"

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define HTTP_SEGMENTS_MAX 8
#define HTTP_PARAMS_MAX   16

struct http_param {
    const char *name, *value;
};

/* A request target, taken apart and percent-decoded. Strings point into text. What follows the last ":" of
 * the path is no part of the last segment but a verb, as in "/v1/jobs/job_1:cancel"; a ":" that is meant as a
 * letter is sent as %3A there. */
struct http_target {
    char *text;
    const char *segments[HTTP_SEGMENTS_MAX];
    size_t segment_count;
    const char *verb; /* NULL: none */
    struct http_param params[HTTP_PARAMS_MAX];
    size_t param_count;
};

/* "/v1/types?limit=3" (RFC 3986, sections 3.3 and 3.4; "+" in a query is a space). PB_E_INVALID or
 * PB_E_LIMIT: it is malformed, has a NUL, or too many parts. */
pb_err http_target_parse(const char *raw, struct http_target *out, struct pb_why *why) PB_CHECKED;
void http_target_fini(struct http_target *t);
const char *http_target_param(const struct http_target *t, const char *name); /* NULL: not given */
/* Are all parameters among known (up to a NULL; itself NULL: none are), each at most once? */
pb_err http_target_check(const struct http_target *t, const char *const *known,
                         struct pb_why *why) PB_CHECKED;

struct http_page {
    size_t limit;
    const char *after; /* "": from the start */
};
pb_err http_page_parse(const struct http_target *t, struct http_page *out, struct pb_why *why) PB_CHECKED;

/* The seconds of a Prefer header's wait (RFC 7240, section 4.3), at most LIMIT_HTTP_WAIT_SECONDS; 0: none. */
uint32_t http_prefer_wait(const char *prefer);
/* Is it this media type, with or without parameters? */
bool http_is_type(const char *content_type, const char *type);
/* application/json, or a type that ends in +json; parameters do not count. */
bool http_is_json_type(const char *content_type);
/* 1 to LIMIT_IDEM_CHARS printable ASCII characters. */
bool http_is_idem(const char *key);
/* Reads a body's JSON. What is wrong, with line and column, goes to why; it never quotes the text, which may
 * hold credentials. */
pb_err http_json_parse(const char *text, size_t len, json_t **out, struct pb_why *why) PB_CHECKED;

#endif
