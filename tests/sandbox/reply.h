/* An answer on its way out: a status and a libmicrohttpd response.
 *
 * A reply whose body is NULL stands for "no memory"; the server then closes the connection. */
#ifndef SANDBOX_REPLY_H
#define SANDBOX_REPLY_H

#include <jansson.h>
#include <microhttpd.h>

#define TYPE_JSON "application/json; charset=utf-8"
#define TYPE_HTML "text/html; charset=utf-8"

struct reply {
    unsigned status;
    struct MHD_Response *body; /* owned */
};

struct reply reply_json(unsigned status, json_t *body); /* releases body, which may be NULL: no memory */
struct reply reply_text(unsigned status, const char *type, const char *text); /* text is copied */
/* A body that reader makes piece by piece; state goes to it and at the end, or at once on failure, to
 * release. */
struct reply reply_stream(unsigned status, uint64_t size_bytes, MHD_ContentReaderCallback reader, void *state,
                          MHD_ContentReaderFreeCallback release);
void reply_header(struct reply *r, const char *name, const char *value);
enum MHD_Result reply_send(struct reply r, struct MHD_Connection *to); /* consumes r */

#endif
