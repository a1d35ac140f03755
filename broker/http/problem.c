#include "broker/http/problem.h"

#include "common/buf.h"

#include <string.h>

#define COUNT(table)       (sizeof(table) / sizeof((table)[0]))
#define PROBLEM_TEXT_BYTES 4096

static const struct problem_kind kinds[] = {
    {"bad_request", 400, "The request cannot be understood", 0},
    {"invalid_json", 400, "The body is not JSON", 0},
    {"invalid_parameter", 400, "A query parameter is wrong", 0},
    {"unauthorized", 401, "A token is needed", 0},
    {"forbidden", 403, "The token does not allow this", 0},
    {"not_found", 404, "There is no such thing", 0},
    {"method_not_allowed", 405, "The method does not exist here", 0},
    {"not_under_way", 409, "The batch is not under way", 0},
    {"batch_state", 409, "The batch is in another state", 0},
    {"name_taken", 409, "The name is taken", 0},
    {"cancelled", 409, "The job was cancelled", 0},
    {"job_ended", 409, "The job has ended", 0},
    {"not_dead", 409, "The job was not given up", 0},
    {"limit_reached", 409, "There is no room for another one", 0},
    {"too_large", 413, "The body is too large", 0},
    {"unsupported_media_type", 415, "The body is of another type", 0},
    {"invalid_request", 422, "The request has faults", 0},
    {"idempotency_key_reused", 422, "The idempotency key belongs to another request", 0},
    {"attempts_exhausted", 422, "The job was given up", 0},
    {"poison", 422, "The job was given up", 0},
    {"busy", 429, "Too much is waiting", 1},
    {"tenant_busy", 429, "The tenant has too many jobs", 5},
    {"schema_invalid", 500, "The event's schema cannot be used", 0},
    {"internal", 500, "Something went wrong in the broker", 0},
    {"overloaded", 503, "The broker has too much to do", 1},
    {"draining", 503, "The broker is stopping", 5},
    {"no_worker", 503, "No worker is connected", 5},
    {"no_package", 503, "No worker has the type's package", 5},
    {"store_unavailable", 503, "The store cannot be used at the moment", 5},
    {"worker_lost", 503, "The worker was lost", 1},
    {"deadline_exceeded", 504, "The job was not done in time", 0},
    {"no_outcome", 504, "There was no outcome in time", 0},
};

static const struct problem_kind test_failed = {NULL, 422, "The connection test failed", 0};

static const struct {
    pb_err err;
    const char *code;
} by_error[] = {
    {PB_E_BUSY, "busy"},
    {PB_E_LIMIT, "tenant_busy"},
    {PB_E_STORE, "store_unavailable"},
    {PB_E_IO, "store_unavailable"},
    {PB_E_CLOSED, "draining"},
    {PB_E_MEMORY, "overloaded"},
    {PB_E_NOT_FOUND, "not_found"},
};

const struct problem_kind *problem_kind(const char *code)
{
    for (size_t i = 0; i < COUNT(kinds); i++)
        if (strcmp(kinds[i].code, code) == 0)
            return &kinds[i];
    return &test_failed;
}

const char *problem_code(pb_err err)
{
    for (size_t i = 0; i < COUNT(by_error); i++)
        if (by_error[i].err == err)
            return by_error[i].code;
    return "internal";
}

/* jansson refuses a string that is not UTF-8, and a text that was cut to fit may end within a character. */
static json_t *clean_string(const char *text)
{
    json_t *json = json_string(text);
    if (json)
        return json;
    struct buf b;
    buf_init(&b, PROBLEM_TEXT_BYTES);
    buf_utf8(&b, text, strlen(text));
    json = json_string(buf_peek(&b));
    buf_fini(&b);
    return json;
}

static json_t *faults_json(const struct problem *p)
{
    json_t *errors = json_array();
    for (size_t i = 0; i < p->fault_count; i++)
        json_array_append_new(errors, json_pack("{s:o, s:o}", "pointer", clean_string(p->faults[i].pointer),
                                                "message", clean_string(p->faults[i].message)));
    return errors;
}

json_t *problem_json(const struct problem *p)
{
    const struct problem_kind *kind = problem_kind(p->code);
    char type[128] = "urn:patchbay:problem:";
    size_t len = strlen(type);
    for (const char *c = p->code; *c && len < sizeof type - 1; c++)
        type[len++] = *c;
    type[len] = 0;
    json_t *json = json_pack("{s:s, s:s, s:i, s:s, s:o}", "type", type, "title", kind->title, "status",
                             kind->status, "code", p->code, "detail", clean_string(p->detail));
    if (json && p->fault_count)
        json_object_set_new(json, "errors", faults_json(p));
    if (json && p->result)
        json_object_set(json, "result", p->result);
    return json;
}
