#include "broker/broker.h"
#include "broker/http/routes.h"
#include "broker/journal.h"
#include "broker/links.h"

/* That the loop turns is what this tells. */
void health_alive(struct http_request *r)
{
    http_answer_json(r, 200, json_pack("{s:s}", "status", "ok"));
}

void health_ready(struct http_request *r)
{
    size_t workers = links_worker_count(r->broker->links);
    if (journal_is_failing(r->broker->journal))
        http_refuse(r, "store_unavailable",
                    "the store does not take writes at the moment; the broker's log says why");
    else if (workers == 0)
        http_refuse(r, "no_worker", "no worker is connected; start patchbay-worker");
    else
        http_answer_json(r, 200, json_pack("{s:s, s:I}", "status", "ready", "workers", (json_int_t)workers));
}
