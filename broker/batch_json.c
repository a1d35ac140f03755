#include "broker/batch.h"
#include "broker/broker.h"
#include "common/json.h"

#include <stdlib.h>
#include <string.h>

const char *batch_count_name(int count)
{
    return count == COUNT_DELETED      ? "deleted"
           : count == COUNT_NOT_TESTED ? "not_tested"
           : count == COUNT_LEFT       ? "no_longer_selected"
                                       : result_code_name((enum result_code)count);
}

/* -- to JSON -- */

static void set_text(json_t *object, const char *name, const char *text)
{
    if (text && *text)
        json_object_set_new(object, name, json_string(text));
}

json_t *batches_filter_json(const struct batch_filter *f)
{
    json_t *o = json_object();
    set_text(o, "tenant", f->tenant);
    set_text(o, "type", f->type);
    set_text(o, "status", integration_status_name(f->status));
    set_text(o, "health", integration_health_name(f->health));
    if (f->not_since_ms)
        json_object_set_new(o, "notValidatedSince", json_time(f->not_since_ms));
    return o;
}

static json_t *counts_json(const struct batch_counts *c)
{
    json_t *o = json_object();
    for (int i = 0; i < COUNTS; i++)
        if (c->by[i])
            json_object_set_new(o, batch_count_name(i), json_integer((json_int_t)c->by[i]));
    return o;
}

static uint64_t total_of(const struct batch *b)
{
    uint64_t total = 0;
    for (size_t i = 0; i < b->window_count; i++)
        total += b->windows[i].total;
    return total;
}

static json_t *types_json(const struct batch *b)
{
    json_t *o = json_object();
    for (size_t i = 0; i < b->window_count; i++) {
        const struct window *w = &b->windows[i];
        if (w->total)
            json_object_set_new(
                o, w->type,
                json_pack("{s:I, s:I}", "total", (json_int_t)w->total, "done", (json_int_t)w->done));
    }
    return o;
}

static json_t *body_json(const struct batch *b)
{
    return json_pack("{s:s, s:o, s:I, s:I, s:I, s:o, s:I, s:I, s:o}", "kind", "revalidate", "filter",
                     batches_filter_json(&b->filter), "ratePerSecond", (json_int_t)b->per_second, "total",
                     (json_int_t)total_of(b), "done", (json_int_t)b->counts.done, "counts",
                     counts_json(&b->counts), "newlyBroken", (json_int_t)b->counts.broken, "newlyHealthy",
                     (json_int_t)b->counts.healthy, "types", types_json(b));
}

/* With what only a restart needs. */
char *batch_body(const struct batch *b)
{
    char id[ID_TEXT_BYTES];
    json_t *body = body_json(b), *marks = json_array();
    for (size_t i = 0; i < b->window_count; i++) {
        const struct window *w = &b->windows[i];
        id_text(&w->mark, ID_INTEGRATION, id);
        json_array_append_new(marks, json_pack("[s, s, I, I, b]", w->type, id, (json_int_t)w->total,
                                               (json_int_t)w->done, window_is_over(w) ? 1 : 0));
    }
    id_text(&b->up_to, ID_INTEGRATION, id);
    json_object_set_new(body, "upTo", json_string(id));
    json_object_set_new(body, "marks", marks);
    json_object_set_new(body, "notSince", json_integer((json_int_t)b->filter.not_since_ms));
    if (b->cancelling)
        json_object_set_new(body, "cancelling", json_true());
    char *text = json_dumps(body, JSON_COMPACT);
    json_decref(body);
    return text;
}

static json_t *with_state(json_t *body, const struct pb_id *id, enum batch_state state, int64_t created_at_ms,
                          int64_t finished_at_ms)
{
    json_object_set_new(body, "id", json_id(id, ID_BATCH));
    json_object_set_new(body, "state", json_string(batch_state_name(state)));
    json_object_set_new(body, "createdAt", json_time(created_at_ms));
    json_object_set_new(body, "finishedAt", json_time(finished_at_ms));
    return body;
}

json_t *batch_shown(const struct batch *b)
{
    uint64_t took_ms = b->all->broker->now_ms - b->began_ms, done = b->counts.done - b->began_done;
    uint64_t total = total_of(b), left = total > b->counts.done ? total - b->counts.done : 0;
    double speed = took_ms ? (double)done * 1000 / (double)took_ms : 0;
    bool runs = batch_runs(b);
    json_t *body = with_state(body_json(b), &b->id, b->state, b->created_at_ms, b->finished_at_ms);
    json_object_set_new(body, "perSecond", runs ? json_real(speed) : json_null());
    json_object_set_new(body, "remainingSeconds",
                        runs && speed > 0 ? json_integer((json_int_t)((double)left / speed)) : json_null());
    return body;
}

json_t *batches_stored_json(const struct store_batch *stored)
{
    json_t *body = json_loads(stored->body, 0, NULL);
    if (!json_is_object(body))
        return body;
    json_object_del(body, "marks");
    json_object_del(body, "upTo");
    json_object_del(body, "notSince");
    json_object_del(body, "cancelling");
    json_object_set_new(body, "perSecond", json_null());
    json_object_set_new(body, "remainingSeconds", json_null());
    return with_state(body, &stored->id, stored->state, stored->created_at_ms, stored->finished_at_ms);
}

/* -- from JSON -- */

static void copy_text(char *out, size_t size, const json_t *object, const char *name)
{
    const char *text = json_string_value(json_object_get(object, name));
    snprintf(out, size, "%s", text ? text : "");
}

static uint64_t number(const json_t *object, const char *name)
{
    json_int_t n = json_integer_value(json_object_get(object, name));
    return n > 0 ? (uint64_t)n : 0;
}

static void read_filter(const json_t *body, struct batch_filter *out)
{
    const json_t *f = json_object_get(body, "filter");
    const char *status = json_string_value(json_object_get(f, "status"));
    const char *health = json_string_value(json_object_get(f, "health"));
    copy_text(out->tenant, sizeof out->tenant, f, "tenant");
    copy_text(out->type, sizeof out->type, f, "type");
    if (status && integration_status_parse(status, &out->status) != PB_OK)
        out->status = 0;
    if (health && integration_health_parse(health, &out->health) != PB_OK)
        out->health = 0;
    out->not_since_ms = (int64_t)number(body, "notSince");
}

static void read_counts(const json_t *body, struct batch_counts *out)
{
    const json_t *by = json_object_get(body, "counts");
    for (int i = 1; i < COUNTS; i++)
        out->by[i] = number(by, batch_count_name(i));
    out->done = number(body, "done");
    out->broken = number(body, "newlyBroken");
    out->healthy = number(body, "newlyHealthy");
}

static pb_err read_mark(const json_t *mark, struct window *out)
{
    const char *type = json_string_value(json_array_get(mark, 0)),
               *id = json_string_value(json_array_get(mark, 1));
    if (!type || strlen(type) > LIMIT_TYPE_CHARS || !id || id_parse(id, ID_INTEGRATION, &out->mark) != PB_OK)
        return PB_E_INVALID;
    memcpy(out->type, type, strlen(type) + 1);
    out->next = out->mark;
    memset(&out->again_to, 0xff, sizeof out->again_to); /* how far it had read is not known */
    out->total = (uint64_t)json_integer_value(json_array_get(mark, 2));
    out->done = (uint64_t)json_integer_value(json_array_get(mark, 3));
    out->exhausted = json_is_true(json_array_get(mark, 4));
    return PB_OK;
}

static pb_err read_marks(const json_t *body, struct batch *out)
{
    const json_t *marks = json_object_get(body, "marks");
    const char *up_to = json_string_value(json_object_get(body, "upTo"));
    size_t count = json_array_size(marks);
    if (!up_to || id_parse(up_to, ID_INTEGRATION, &out->up_to) != PB_OK || count > LIMIT_PACKAGES)
        return PB_E_INVALID;
    out->windows = calloc(count + 1, sizeof *out->windows);
    if (!out->windows)
        return PB_E_MEMORY;
    pb_err err = PB_OK;
    for (; out->window_count < count && !err; out->window_count++) {
        out->windows[out->window_count].batch = out;
        err = read_mark(json_array_get(marks, out->window_count), &out->windows[out->window_count]);
    }
    return err;
}

pb_err batch_read_body(const struct store_batch *stored, struct batch *out)
{
    json_t *body = json_loads(stored->body, 0, NULL);
    if (!body)
        return PB_E_INVALID;
    out->id = stored->id;
    out->state = stored->state;
    out->created_at_ms = stored->created_at_ms;
    out->per_second = (uint32_t)number(body, "ratePerSecond");
    read_filter(body, &out->filter);
    read_counts(body, &out->counts);
    out->cancelling = json_is_true(json_object_get(body, "cancelling"));
    pb_err err = read_marks(body, out);
    json_decref(body);
    return err;
}
