/* What the reader's thread checks event payloads with: compiled schemas and one checker. */
#ifndef PB_HTTP_DESK_H
#define PB_HTTP_DESK_H

#include "common/event_check.h"
#include "common/jsonschema/cache.h"

struct desk {
    struct js_cache *cache;
    struct event_checker *checker;
};

pb_err desk_open(struct desk **out) PB_CHECKED;
void desk_close(struct desk *d); /* nothing is being checked any more. Accepts NULL */

struct http_request;
/* Is the body of the declared type: JSON, or NDJSON where it has a payload a line? If not, the request was
 * refused. */
bool desk_takes(struct http_request *r, bool lines);

/* "WHOSE has no such event; did you mean X?", or where they are LISTED. */
void desk_say_unknown(const char *whose, const char *listed, const char *asked, const char *const *names,
                      size_t count, char *out, size_t size);

/* What both ways of validating refuse alike; a problem's code, NULL: nothing. */
const char *desk_refusal(bool lines, size_t count, char *detail, size_t size);

#endif
