/* Batches: started, listed, paused and so on. What is under way is shown as it is now; the store has the
 * rest. */
#include "broker/batches.h"

#include "broker/broker.h"
#include "broker/http/filter.h"
#include "broker/http/form.h"
#include "broker/http/routes.h"
#include "common/limits.h"

#include <stdlib.h>
#include <string.h>

/* -- one -- */

struct lookup {
    struct http_request *r;
    struct pb_id id;
    struct store_batch batch;
};

static pb_err look_read(struct store *store, void *arg, struct pb_why *why)
{
    struct lookup *l = arg;
    return store_get_batch(store, &l->id, &l->batch, why);
}

static void refuse_unknown(struct http_request *r)
{
    http_refuse(r, "not_found", "there is no such batch; GET /v1/batches lists them");
}

static void look_done(void *arg, pb_err err, const struct pb_why *why)
{
    struct lookup *l = arg;
    if (err == PB_E_NOT_FOUND || (!err && !http_sees(l->r, l->batch.tenant)))
        refuse_unknown(l->r);
    else if (err)
        http_refuse_error(l->r, err, why);
    else
        http_answer_json(l->r, 200, batches_stored_json(&l->batch));
    store_batch_fini(&l->batch);
    free(l);
}

static void show_stored(struct http_request *r, const struct pb_id *id)
{
    struct lookup *l = calloc(1, sizeof *l);
    pb_err err = l ? PB_OK : PB_E_MEMORY;
    if (l) {
        *l = (struct lookup){.r = r, .id = *id};
        err = http_read(r, look_read, look_done, l);
    }
    if (!err)
        return;
    free(l);
    http_refuse_error(r, err, NULL);
}

/* Whether it is under way and may be seen. */
static bool is_live(const struct http_request *r, const struct pb_id *id)
{
    const char *tenant = batches_tenant(r->broker->batches, id);
    return tenant && http_sees(r, tenant);
}

static void show(struct http_request *r, int status, const struct pb_id *id)
{
    json_t *json = is_live(r, id) ? batches_json(r->broker->batches, id) : NULL;
    if (json)
        http_answer_json(r, status, json);
    else
        show_stored(r, id);
}

void batches_get(struct http_request *r)
{
    struct pb_id id;
    if (http_arg_id(r, ID_BATCH, &id))
        show(r, 200, &id);
}

/* -- orders; each is answered when it is durable -- */

static void ordered(void *arg, const struct pb_id *id, pb_err err)
{
    struct http_request *r = arg;
    if (err)
        http_refuse_error(r, err, NULL);
    else
        show(r, 200, id);
}

static void refuse_order(struct http_request *r, pb_err err, const char *conflict)
{
    if (err == PB_E_NOT_FOUND)
        http_refuse(r, "not_under_way",
                    "this batch is not under way; GET /v1/batches shows what became of it");
    else if (err == PB_E_CONFLICT)
        http_refuse(r, "batch_state", "%s", conflict);
    else
        http_refuse_error(r, err, NULL);
}

static void order(struct http_request *r, enum batch_order what, const char *conflict)
{
    struct pb_id id;
    if (!http_arg_id(r, ID_BATCH, &id) || !http_can_write(r))
        return;
    pb_err err = is_live(r, &id) ? batches_order(r->broker, &id, what, ordered, r) : PB_E_NOT_FOUND;
    if (err)
        refuse_order(r, err, conflict);
}

void batches_pause(struct http_request *r)
{
    order(r, BATCH_PAUSE, "only a batch that runs can be paused");
}

void batches_resume(struct http_request *r)
{
    order(r, BATCH_RESUME, "only a batch that is paused can go on");
}

void batches_cancel(struct http_request *r)
{
    order(r, BATCH_CANCEL, "it is being cancelled already");
}

static bool read_rate(const json_t *body, int64_t *per_second, struct fields_report *report)
{
    return form_integer(body, "ratePerSecond", 0, FILTER_PER_SECOND_MAX, per_second, report);
}

void batches_patch(struct http_request *r)
{
    static const char *const known[] = {"ratePerSecond", NULL};
    struct fields_report report = {0};
    int64_t per_second = -1;
    struct pb_id id;
    json_t *body = NULL;
    if (!http_arg_id(r, ID_BATCH, &id) || !http_can_write(r) || form_read(r, &body) != PB_OK)
        return;
    if (!json_is_object(body))
        form_fault(&report, "", "the body must be an object with ratePerSecond");
    form_check_known(body, known, "what can be changed is ratePerSecond", &report);
    read_rate(body, &per_second, &report);
    if (per_second < 0 && !report.count)
        form_fault(&report, "ratePerSecond", "is required: tests a second, 0 for as fast as possible");
    pb_err err = report.count      ? PB_OK
                 : is_live(r, &id) ? batches_set_rate(r->broker, &id, (uint32_t)per_second, ordered, r)
                                   : PB_E_NOT_FOUND;
    if (report.count)
        form_refuse(r, &report);
    else if (err)
        refuse_order(r, err, "");
    json_decref(body);
}

/* -- starting -- */

static void read_body(const struct http_request *r, const json_t *body, struct batch_filter *filter,
                      int64_t *per_second, struct fields_report *report)
{
    static const char *const known[] = {"kind", "filter", "ratePerSecond", NULL};
    form_check_known(body, known, "a batch has kind, filter and ratePerSecond", report);
    filter_read_kind(body, report);
    read_rate(body, per_second, report);
    filter_read(body, FILTER_ONCE, http_tenant_filter(r), r->broker->types, filter, report);
}

static void started(void *arg, const struct pb_id *id, pb_err err)
{
    struct http_request *r = arg;
    char text[ID_TEXT_BYTES];
    if (err) {
        http_refuse_error(r, err, NULL);
        return;
    }
    id_text(id, ID_BATCH, text);
    http_header(r, "Location", "/v1/batches/%s", text);
    show(r, 202, id);
}

void batches_create(struct http_request *r)
{
    struct fields_report report = {0};
    struct batch_filter filter = {0};
    int64_t per_second = 0;
    json_t *body = NULL;
    if (!http_can_write(r) || form_read(r, &body) != PB_OK)
        return;
    if (json_is_object(body))
        read_body(r, body, &filter, &per_second, &report);
    else
        form_fault(&report, "",
                   "the body must be an object with kind and, if need be, filter and ratePerSecond");
    json_decref(body);
    if (report.count) {
        form_refuse(r, &report);
        return;
    }
    pb_err err = batches_start(r->broker, NULL, &filter, (uint32_t)per_second, started, r);
    if (err == PB_E_BUSY)
        http_refuse(
            r, "busy",
            "there may be %d batches under way, of one tenant %d, and there are; cancel one, or wait for "
            "one to end",
            LIMIT_BATCHES, LIMIT_BATCHES_TENANT);
    else if (err)
        http_refuse_error(r, err, NULL);
}

/* -- the list -- */

struct listing {
    struct http_request *r;
    struct pb_id before, last;
    size_t limit, count;
    bool more;
    struct store_batch items[LIMIT_HTTP_PAGE];
};

static pb_err add(void *arg, const struct store_batch *batch)
{
    struct listing *l = arg;
    if (l->count == l->limit) {
        l->more = true;
        return PB_OK;
    }
    struct store_batch *copy = &l->items[l->count];
    *copy = *batch;
    copy->body = strdup(batch->body);
    l->last = batch->id;
    l->count += copy->body != NULL;
    return copy->body ? PB_OK : PB_E_MEMORY;
}

static pb_err list_read(struct store *store, void *arg, struct pb_why *why)
{
    struct listing *l = arg;
    return store_list_batches(store, http_tenant_filter(l->r), 0, &l->before, l->limit + 1, add, l, why);
}

static json_t *page(const struct listing *l)
{
    char next[ID_TEXT_BYTES];
    json_t *items = json_array();
    for (size_t i = 0; i < l->count; i++) {
        json_t *live = batches_json(l->r->broker->batches, &l->items[i].id);
        json_array_append_new(items, live ? live : batches_stored_json(&l->items[i]));
    }
    id_text(&l->last, ID_BATCH, next);
    return json_pack("{s:o, s:o}", "items", items, "next", l->more ? json_string(next) : json_null());
}

static void list_done(void *arg, pb_err err, const struct pb_why *why)
{
    struct listing *l = arg;
    if (err)
        http_refuse_error(l->r, err, why);
    else
        http_answer_json(l->r, 200, page(l));
    for (size_t i = 0; i < l->count; i++)
        store_batch_fini(&l->items[i]);
    free(l);
}

void batches_list(struct http_request *r)
{
    struct pb_why why = {0};
    struct http_page asked;
    struct pb_id before = {{0}};
    if (http_page_parse(&r->target, &asked, &why) != PB_OK) {
        http_refuse(r, "invalid_parameter", "%s %s", why.at, why.text);
        return;
    }
    if (*asked.after && id_parse(asked.after, ID_BATCH, &before) != PB_OK) {
        http_refuse(r, "invalid_parameter", "after must be the next of the page before");
        return;
    }
    struct listing *l = calloc(1, sizeof *l);
    pb_err err = l ? PB_OK : PB_E_MEMORY;
    if (l) {
        l->r = r;
        l->before = before;
        l->limit = asked.limit;
        err = http_read(r, list_read, list_done, l);
    }
    if (!err)
        return;
    free(l);
    http_refuse_error(r, err, NULL);
}
