#include "broker/broker.h"
#include "broker/http/routes.h"
#include "broker/links.h"
#include "common/clock.h"
#include "common/json.h"

static json_t *time_ago(uint64_t ago_ms)
{
    return json_time(clock_wall_ms() - (int64_t)ago_ms);
}

static void add(void *arg, const struct links_worker *w)
{
    json_array_append_new(arg, json_pack("{s:s, s:s, s:s, s:I, s:I, s:I, s:b, s:o, s:o, s:I}", "id", w->id,
                                         "name", w->name, "version", w->version, "capacity",
                                         (json_int_t)w->capacity, "running", (json_int_t)w->running, "free",
                                         (json_int_t)w->free, "draining", w->draining, "joinedAt",
                                         time_ago(w->joined_ago_ms), "lastHeardAt", time_ago(w->heard_ago_ms),
                                         "attemptsSent", (json_int_t)w->attempts_sent));
}

void workers_list(struct http_request *r)
{
    json_t *items = json_array();
    links_each_worker(r->broker->links, r->broker->now_ms, add, items);
    http_answer_json(r, 200, json_pack("{s:o, s:n}", "items", items, "next"));
}

/* -- one is to leave -- */

void workers_drain(struct http_request *r)
{
    if (!http_is_cluster(r)) {
        http_refuse(r, "forbidden", "workers are everybody's: this needs a token of the tenant *");
        return;
    }
    pb_err err = links_drain(r->broker->links, r->args[0]);
    if (err == PB_E_NOT_FOUND)
        http_refuse(r, "not_found", "there is no such worker; GET /v1/workers lists them");
    else if (err)
        http_refuse_error(r, err, NULL);
    else
        http_answer_json(r, 202, json_pack("{s:s, s:b}", "id", r->args[0], "draining", true));
}
