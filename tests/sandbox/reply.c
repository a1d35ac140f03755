#include "reply.h"

#include <stdlib.h>
#include <string.h>

enum { STREAM_BLOCK_BYTES = 16 * 1024 };

void reply_header(struct reply *r, const char *name, const char *value)
{
    if (r->body)
        (void)MHD_add_response_header(r->body, name, value);
}

struct reply reply_json(unsigned status, json_t *body)
{
    struct reply r = {.status = status};
    char *text = body ? json_dumps(body, JSON_COMPACT) : NULL;
    json_decref(body);
    if (!text)
        return r;
    r.body = MHD_create_response_from_buffer(strlen(text), text, MHD_RESPMEM_MUST_FREE);
    if (!r.body)
        free(text);
    reply_header(&r, MHD_HTTP_HEADER_CONTENT_TYPE, TYPE_JSON);
    return r;
}

struct reply reply_text(unsigned status, const char *type, const char *text)
{
    struct reply r = {.status = status};
    /* libmicrohttpd copies; its signature only lacks the const. */
    r.body = MHD_create_response_from_buffer(strlen(text), (void *)(uintptr_t)text, MHD_RESPMEM_MUST_COPY);
    reply_header(&r, MHD_HTTP_HEADER_CONTENT_TYPE, type);
    return r;
}

struct reply reply_stream(unsigned status, uint64_t size_bytes, MHD_ContentReaderCallback reader, void *state,
                          MHD_ContentReaderFreeCallback release)
{
    struct reply r = {.status = status};
    r.body = MHD_create_response_from_callback(size_bytes, STREAM_BLOCK_BYTES, reader, state, release);
    if (!r.body && release)
        release(state);
    reply_header(&r, MHD_HTTP_HEADER_CONTENT_TYPE, TYPE_JSON);
    return r;
}

enum MHD_Result reply_send(struct reply r, struct MHD_Connection *to)
{
    if (!r.body)
        return MHD_NO;
    enum MHD_Result sent = MHD_queue_response(to, r.status, r.body);
    MHD_destroy_response(r.body);
    return sent;
}
