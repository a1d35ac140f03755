#include "broker/http/desk.h"

#include "broker/http/request.h"
#include "common/limits.h"
#include "common/nearest.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

pb_err desk_open(struct desk **out)
{
    struct desk *d = calloc(1, sizeof *d);
    if (!d)
        return PB_E_MEMORY;
    d->cache = js_cache_new(LIMIT_EVENT_SCHEMAS, LIMIT_EVENT_SCHEMA_BYTES);
    d->checker = event_checker_new();
    if (!d->cache || !d->checker) {
        desk_close(d);
        return PB_E_MEMORY;
    }
    *out = d;
    return PB_OK;
}

void desk_close(struct desk *d)
{
    if (!d)
        return;
    event_checker_free(d->checker);
    js_cache_free(d->cache);
    free(d);
}

bool desk_takes(struct http_request *r, bool lines)
{
    bool ndjson = http_is_type(r->content_type, "application/x-ndjson");
    if (lines ? ndjson : !ndjson && http_is_json_type(r->content_type))
        return true;
    http_refuse(r, "unsupported_media_type", "%s",
                lines ? "send a payload a line, with Content-Type: application/x-ndjson"
                      : "send the payload as it is, with Content-Type: application/json; many at once go to "
                        "the same address with :batch behind it");
    return false;
}

void desk_say_unknown(const char *whose, const char *listed, const char *asked, const char *const *names,
                      size_t count, char *out, size_t size)
{
    const char *near = strlen(asked) <= LIMIT_EVENT_TYPE_CHARS ? nearest(asked, names, count) : NULL;
    if (near)
        snprintf(out, size, "%s has no such event; did you mean %s?", whose, near);
    else
        snprintf(out, size, "%s has no such event; %s", whose, listed);
}

const char *desk_refusal(bool lines, size_t count, char *detail, size_t size)
{
    if (!lines || (count && count <= LIMIT_EVENT_LINES))
        return NULL;
    if (!count)
        snprintf(detail, size, "there is no payload in the body; send one a line");
    else
        snprintf(detail, size,
                 "%zu payloads are more than the %d that one request may bring; send the rest with another",
                 count, LIMIT_EVENT_LINES);
    return count ? "too_large" : "bad_request";
}
