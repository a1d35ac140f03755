#include "broker/http/request.h"

#include "broker/broker.h"
#include "broker/journal.h"

#include <assert.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void http_request_fini(struct http_request *r)
{
    http_target_fini(&r->target);
    buf_fini(&r->body);
    free(r->content_type);
    free(r->idem);
    free(r->answer.text);
    *r = (struct http_request){0};
}

/* -- answers -- */

void http_say_waits(struct http_request *r)
{
    if (r->wait_seconds)
        http_header(r, "Preference-Applied", "wait=%u", (unsigned)r->wait_seconds);
}

void http_header(struct http_request *r, const char *name, const char *format, ...)
{
    assert(r->answer.header_count < HTTP_HEADERS_MAX);
    struct http_header *h = &r->answer.headers[r->answer.header_count++];
    va_list args;
    va_start(args, format);
    h->name = name;
    vsnprintf(h->value, sizeof h->value, format, args);
    va_end(args);
}

void http_answer_text(struct http_request *r, int status, const char *type, char *text, size_t len)
{
    assert(!r->answer.status);
    r->answer.status = status;
    r->answer.type = type;
    r->answer.text = text;
    r->answer.len = len;
    r->answered(r);
}

void http_answer_empty(struct http_request *r, int status)
{
    http_answer_text(r, status, NULL, NULL, 0);
}

/* Compact JSON and the newline that makes it pleasant in a terminal; NULL without memory. */
static char *dump(json_t *body, size_t *len)
{
    size_t size = body ? json_dumpb(body, NULL, 0, JSON_COMPACT) : 0;
    char *text = size ? malloc(size + 2) : NULL;
    if (!text)
        return NULL;
    *len = json_dumpb(body, text, size, JSON_COMPACT);
    text[(*len)++] = '\n';
    text[*len] = 0;
    return text;
}

static void answer_json(struct http_request *r, int status, const char *type, json_t *body)
{
    size_t len = 0;
    char *text = dump(body, &len);
    json_decref(body);
    if (text)
        http_answer_text(r, status, type, text, len);
    else
        http_answer_empty(r, 503); /* no memory even to say so */
}

void http_answer_json(struct http_request *r, int status, json_t *body)
{
    answer_json(r, status, "application/json", body);
}

void http_answer_problem(struct http_request *r, const struct problem *p)
{
    const struct problem_kind *kind = problem_kind(p->code);
    if (kind->retry_after_seconds)
        http_header(r, "Retry-After", "%d", kind->retry_after_seconds);
    answer_json(r, kind->status, PROBLEM_TYPE, problem_json(p));
}

void http_refuse(struct http_request *r, const char *code, const char *format, ...)
{
    char detail[1024];
    va_list args;
    va_start(args, format);
    vsnprintf(detail, sizeof detail, format, args);
    va_end(args);
    http_answer_problem(r, &(struct problem){.code = code, .detail = detail});
}

static const char *advice(pb_err err)
{
    static const struct {
        pb_err err;
        const char *text;
    } known[] = {
        {PB_E_BUSY, "too much is waiting; try again in a moment"},
        {PB_E_CLOSED, "the broker is stopping; try again when it is back"},
        {PB_E_MEMORY, "the broker is out of memory; try again in a moment"},
        {PB_E_STORE, "the store cannot be used at the moment; try again later"},
    };
    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++)
        if (known[i].err == err)
            return known[i].text;
    return "something went wrong; the broker's log says more";
}

void http_refuse_error(struct http_request *r, pb_err err, const struct pb_why *why)
{
    if (err != PB_E_CLOSED && err != PB_E_BUSY && why)
        log_why(&r->broker->log, LOG_WARN, "a request could not be answered", err, why);
    http_refuse(r, problem_code(err), "%s", advice(err));
}

/* -- for handlers -- */

bool http_is_cluster(const struct http_request *r)
{
    return strcmp(r->token->tenant, AUTH_TENANT_ALL) == 0;
}

bool http_sees(const struct http_request *r, const char *tenant)
{
    return http_is_cluster(r) || strcmp(r->token->tenant, tenant) == 0;
}

const char *http_tenant_filter(const struct http_request *r)
{
    return http_is_cluster(r) ? NULL : r->token->tenant;
}

const char *http_tenant_new(const struct http_request *r)
{
    return http_is_cluster(r) ? BROKER_TENANT : r->token->tenant;
}

pb_err http_read(struct http_request *r, reader_read *read, reader_done *done, void *arg)
{
    return r->broker->stopped ? PB_E_CLOSED : reader_submit(r->broker->reader, read, done, arg);
}

bool http_can_write(struct http_request *r)
{
    if (!journal_is_failing(r->broker->journal))
        return true;
    http_refuse_error(r, PB_E_STORE, NULL);
    return false;
}

bool http_arg_id(struct http_request *r, const char *prefix, struct pb_id *out)
{
    if (id_parse(r->args[0], prefix, out) == PB_OK)
        return true;
    http_refuse(r, "not_found", "this is no id; one looks like %s and 32 hexadecimal digits", prefix);
    return false;
}
