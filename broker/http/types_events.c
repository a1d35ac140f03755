/* POST /v1/types/{type}/events/{eventType}/validate, and :batch: payloads against a type's schema, without an
 * instance and so without a worker. The reader's thread checks them, some milliseconds at a time with other
 * reads between. */
#include "broker/broker.h"
#include "broker/http/desk.h"
#include "broker/http/http.h"
#include "broker/http/routes.h"
#include "common/clock.h"
#include "common/event_schema.h"
#include "common/limits.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SLICE_MS 5 /* of checking, before other reads have their turn */

struct checking {
    struct http_request *r;
    struct desk *desk;
    const struct manifest *manifest;
    bool many, begun;
    struct event_lines lines;
    size_t left; /* payloads still to be checked */
    struct buf text;
    const char *refusal; /* a problem's code */
    char detail[512];
};

static void checking_free(struct checking *c)
{
    buf_fini(&c->text);
    free(c);
}

/* -- on the reader's thread -- */

static void begin(struct checking *c)
{
    c->begun = true;
    c->lines = (struct event_lines){buf_peek(&c->r->body), c->r->body.len};
    c->left = c->many ? event_lines_count(c->lines) : 1;
    c->refusal = desk_refusal(c->many, c->left, c->detail, sizeof c->detail);
}

static pb_err check_next(struct checking *c, const struct js_schema *schema)
{
    const char *line = c->lines.at;
    size_t len = c->lines.left, room = LIMIT_EVENT_ANSWER_BYTES;
    if (c->many) {
        event_lines_next(&c->lines, &line, &len);
        room =
            event_share(c->text.len < LIMIT_EVENT_ANSWERS ? LIMIT_EVENT_ANSWERS - c->text.len : 0, c->left);
    }
    c->left--;
    return event_check(c->desk->checker, schema, line, len, room, &c->text);
}

static pb_err check_some(struct checking *c, const struct js_schema *schema)
{
    uint64_t until_ms = clock_mono_ms() + SLICE_MS;
    pb_err err = PB_OK;
    do
        err = check_next(c, schema);
    while (!err && c->left && clock_mono_ms() < until_ms);
    return err;
}

static pb_err slice(struct store *store, void *arg, struct pb_why *why)
{
    struct checking *c = arg;
    struct js_cached *cached = NULL;
    (void)store;
    if (!c->begun)
        begin(c);
    if (c->refusal)
        return PB_OK;
    pb_err err = event_schema_get(c->desk->cache, c->manifest, c->r->args[1], &cached, why);
    if (err && err != PB_E_MEMORY) {
        c->refusal = "schema_invalid";
        snprintf(c->detail, sizeof c->detail, "%.200s: %.300s", why->at, why->text);
        return PB_OK;
    }
    if (err)
        return err;
    err = check_some(c, js_cached_schema(cached));
    js_cache_put(c->desk->cache, cached);
    return err;
}

/* -- on the loop's -- */

static void check(struct checking *c);

static void answer(struct checking *c)
{
    size_t len = 0;
    char *text = buf_take(&c->text, &len);
    if (text)
        http_answer_text(c->r, 200, c->many ? "application/x-ndjson" : "application/json", text, len);
    else
        http_refuse_error(c->r, PB_E_MEMORY, NULL);
}

static void sliced(void *arg, pb_err err, const struct pb_why *why)
{
    struct checking *c = arg;
    if (!err && !c->refusal && c->left) {
        check(c);
        return;
    }
    if (err)
        http_refuse_error(c->r, err, why);
    else if (c->refusal)
        http_refuse(c->r, c->refusal, "%s", c->detail);
    else
        answer(c);
    checking_free(c);
}

static void check(struct checking *c)
{
    pb_err err = http_read(c->r, slice, sliced, c);
    if (!err)
        return;
    http_refuse_error(c->r, err, NULL);
    checking_free(c);
}

/* -- the request -- */

static void refuse_event(struct http_request *r, const struct manifest *m)
{
    char detail[256], listed[128];
    const char **names = calloc(m->event_count + 1, sizeof *names);
    for (size_t i = 0; names && i < m->event_count; i++)
        names[i] = m->events[i].event_type;
    snprintf(listed, sizeof listed, "GET /v1/types/%s lists its events", m->type);
    desk_say_unknown(m->name, listed, r->args[1], names, names ? m->event_count : 0, detail, sizeof detail);
    http_refuse(r, "not_found", "%s", detail);
    free(names);
}

static void start(struct http_request *r, const struct manifest *m, bool many)
{
    struct checking *c = calloc(1, sizeof *c);
    if (!c) {
        http_refuse_error(r, PB_E_MEMORY, NULL);
        return;
    }
    *c = (struct checking){.r = r, .desk = http_desk(r->broker->http), .manifest = m, .many = many};
    buf_init(&c->text, 2 * (size_t)LIMIT_EVENT_ANSWERS);
    check(c);
}

static void take(struct http_request *r, bool many)
{
    const struct manifest *m = manifests_find(r->broker->types, r->args[0]);
    if (!m)
        types_refuse(r, r->args[0]);
    else if (!event_find(m, r->args[1], strlen(r->args[1])))
        refuse_event(r, m);
    else if (desk_takes(r, many))
        start(r, m, many);
}

void types_check(struct http_request *r)
{
    take(r, false);
}

void types_check_lines(struct http_request *r)
{
    take(r, true);
}
