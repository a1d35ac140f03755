/* The queue as a whole: how it does, and what may pass. */
#include "broker/http/queue.h"

#include "broker/broker.h"
#include "broker/control.h"
#include "broker/effects.h"
#include "broker/http/form.h"
#include "broker/http/http.h"
#include "broker/http/rates.h"
#include "broker/http/routes.h"
#include "broker/keeper.h"
#include "broker/links.h"
#include "broker/outage.h"
#include "broker/spec.h"
#include "common/clock.h"
#include "common/limits.h"

#include <stdlib.h>
#include <string.h>

/* -- gathering -- */

void queue_read(struct broker *b, struct queue_state *out)
{
    *out = (struct queue_state){.live = board_live(b->board), .board_bytes = board_bytes(b->board)};
    board_count(b->board, &out->jobs);
    board_get_stats(b->board, &out->stats);
    journal_stats(b->journal, &out->journal);
    out->waits = *effects_waits(b->effects);
    out->store_failing = journal_is_failing(b->journal);
    uint64_t oldest_ms = board_oldest_ready_ms(b->board), now_ms = (uint64_t)clock_wall_ms();
    out->oldest_ready_ms = oldest_ms == UINT64_MAX ? UINT64_MAX : now_ms > oldest_ms ? now_ms - oldest_ms : 0;
}

bool queue_phase(const struct board_counts *c, size_t i, const char **name, size_t *count)
{
    const struct {
        const char *name;
        size_t count;
    } phases[] = {{"appending", c->appending},   {"ready", c->ready},        {"blocked", c->blocked},
                  {"delayed", c->delayed},       {"recovering", c->held},    {"running", c->running},
                  {"committing", c->committing}, {"quarantined", c->suspect}};
    if (i >= sizeof phases / sizeof phases[0])
        return false;
    *name = phases[i].name;
    *count = phases[i].count;
    return true;
}

double queue_quantile_ms(const struct histogram *h, double share)
{
    uint64_t below = 0;
    for (size_t i = 0; i < HISTOGRAM_BUCKETS && h->count; i++) {
        below += h->buckets[i];
        if ((double)below >= share * (double)h->count)
            return (double)histogram_bound_us(i < HISTOGRAM_BUCKETS - 1 ? i : i - 1) / 1000.0;
    }
    return 0;
}

/* -- GET /v1/queue -- */

static json_t *json_jobs(const struct board_counts *c)
{
    json_t *jobs = json_object();
    const char *name;
    size_t count;
    for (size_t i = 0; queue_phase(c, i, &name, &count); i++)
        json_object_set_new(jobs, name, json_integer((json_int_t)count));
    return jobs;
}

struct listing {
    const struct http_request *r;
    json_t *items;
};

/* A tenant's gate is the business of those who may see the tenant. */
static void add_pause(void *arg, enum board_key key, const char *name)
{
    struct listing *l = arg;
    if (key != KEY_TENANT || http_sees(l->r, name))
        json_array_append_new(l->items, json_pack("{s:s, s:s}", "key", spec_key_name(key), "name", name));
}

static void add_replay(void *arg, const struct control_replay *r)
{
    struct listing *l = arg;
    json_array_append_new(l->items,
                          json_pack("{s:I, s:I, s:I}", "perSecond", (json_int_t)r->per_second, "sent",
                                    (json_int_t)r->sent, "refused", (json_int_t)r->refused));
}

static void add_outage(void *arg, const struct outage *o)
{
    json_array_append_new(arg, json_pack("{s:s, s:s, s:I, s:I}", "type", o->type, "code",
                                         result_code_name(o->code), "failed", (json_int_t)o->alike, "tested",
                                         (json_int_t)o->of));
}

static json_t *json_outages(const struct broker *b)
{
    json_t *items = json_array();
    outages_each(b->outages, b->now_ms, add_outage, items);
    return items;
}

static json_t *json_due(const struct broker *b)
{
    struct keeper_stats kept = keeper_stats(b->keeper);
    return json_pack("{s:I, s:I}", "running", (json_int_t)kept.under_way, "tested", (json_int_t)kept.tested);
}

static json_t *json_pauses(const struct http_request *r)
{
    struct listing l = {r, json_array()};
    control_each_pause(r->broker->control, add_pause, &l);
    return l.items;
}

static json_t *json_replays(const struct http_request *r)
{
    struct listing l = {r, json_array()};
    control_each_replay(r->broker->control, add_replay, &l);
    return l.items;
}

static json_t *json_times(const struct histogram *h)
{
    return json_pack("{s:f, s:f, s:I}", "p50", queue_quantile_ms(h, 0.5), "p99", queue_quantile_ms(h, 0.99),
                     "count", (json_int_t)h->count);
}

enum rate { RATE_DISPATCHED, RATE_FINISHED, RATE_RETRIED, RATE_LOST };

static uint64_t finished(const struct board_stats *s)
{
    uint64_t all = 0;
    for (size_t i = 0; i <= OUTCOME_DEAD; i++)
        all += s->finished[i];
    return all;
}

static void counters_of(const struct board_stats *s, uint64_t out[RATES_KINDS])
{
    out[RATE_DISPATCHED] = s->dispatched;
    out[RATE_FINISHED] = finished(s);
    out[RATE_RETRIED] = s->retried;
    out[RATE_LOST] = s->lost;
}

static json_t *json_rates(const struct http_request *r, const struct board_stats *s)
{
    static const char *const names[] = {"dispatched", "finished", "retried", "lost"};
    uint64_t counters[RATES_KINDS];
    json_t *json = json_object();
    counters_of(s, counters);
    for (unsigned i = 0; i < RATES_KINDS; i++)
        json_object_set_new(
            json, names[i],
            json_real(rates_of(http_rates(r->broker->http), r->broker->now_ms, i, counters[i])));
    return json;
}

void queue_look(struct broker *b)
{
    struct board_stats stats;
    uint64_t counters[RATES_KINDS];
    if (!b->board)
        return; /* a listener alone, in its tests */
    board_get_stats(b->board, &stats);
    counters_of(&stats, counters);
    rates_look(http_rates(b->http), b->now_ms, counters);
}

static json_t *json_journal(const struct journal_stats *j)
{
    return json_pack("{s:I, s:I, s:I, s:o}", "commits", (json_int_t)j->commits, "operations",
                     (json_int_t)j->ops, "failures", (json_int_t)j->failures, "commitMs",
                     json_times(&j->commit_time));
}

void queue_get(struct http_request *r)
{
    struct queue_state q;
    queue_read(r->broker, &q);
    json_t *oldest =
        q.oldest_ready_ms == UINT64_MAX ? json_null() : json_integer((json_int_t)q.oldest_ready_ms);
    http_answer_json(r, 200,
                     json_pack("{s:I, s:o, s:o, s:o, s:o, s:o, s:o, s:s, s:o, s:o, s:o, s:I, s:I}", "live",
                               (json_int_t)q.live, "jobs", json_jobs(&q.jobs), "oldestReadyMs", oldest,
                               "pauses", json_pauses(r), "replays", json_replays(r), "outages",
                               json_outages(r->broker), "dueTests", json_due(r->broker), "store",
                               q.store_failing ? "failing" : "ok", "journal", json_journal(&q.journal),
                               "dispatchWaitMs", json_times(&q.waits), "perSecond", json_rates(r, &q.stats),
                               "workers", (json_int_t)links_worker_count(r->broker->links), "boardBytes",
                               (json_int_t)q.board_bytes));
}

/* -- pausing and resuming -- */

struct named_gate {
    enum board_key key;
    char name[LIMIT_HOST_CHARS + 1];
};

struct asked {
    struct http_request *r;
    struct named_gate gate;
    bool paused;
};

static bool is_kind(const char *name)
{
    for (int k = JOB_SETUP; k <= JOB_VALIDATE_EVENT; k++)
        if (strcmp(job_kind_name((enum job_kind)k), name) == 0)
            return true;
    return false;
}

static void check_name(const struct named_gate *g, struct fields_report *report)
{
    const char *member = spec_key_name(g->key);
    if (!g->name[0])
        form_fault(report, member, "must not be empty");
    else if (g->key == KEY_KIND && !is_kind(g->name))
        form_fault(report, member, "must be setup, validate, delete, test or ping");
    else if (g->key == KEY_TYPE && !manifest_type_is_valid(g->name))
        form_fault(report, member, "must be a type's name, as GET /v1/types lists them");
}

static void read_gate(const json_t *body, struct named_gate *g, struct fields_report *report)
{
    static const char *const known[] = {"tenant", "type", "host", "kind", NULL};
    static const char what[] = "name one of tenant, type, host and kind";
    const char *member;
    json_t *value;
    if (!json_is_object(body) || json_object_size(body) != 1) {
        form_fault(report, "", "%s, and nothing else", what);
        return;
    }
    form_check_known(body, known, what, report);
    json_object_foreach((json_t *)(uintptr_t)body, member, value)
    {
        const char *text = form_text(body, member, true, report);
        if (text && strlen(text) > LIMIT_HOST_CHARS)
            form_fault(report, member, "is too long: at most %d bytes", LIMIT_HOST_CHARS);
        if (report->count || !text || spec_key_parse(member, &g->key) != PB_OK)
            continue;
        strncpy(g->name, text, sizeof g->name - 1);
        check_name(g, report);
    }
}

static void gate_done(void *arg, pb_err err)
{
    struct asked *a = arg;
    if (err)
        http_refuse_error(a->r, err, NULL);
    else
        http_answer_json(a->r, 200,
                         json_pack("{s:s, s:s, s:b}", "key", spec_key_name(a->gate.key), "name", a->gate.name,
                                   "paused", a->paused));
    free(a);
}

static void turn_gate(struct http_request *r, const struct named_gate *g, bool paused)
{
    struct asked *a = malloc(sizeof *a);
    pb_err err = a ? PB_OK : PB_E_MEMORY;
    if (a) {
        *a = (struct asked){r, *g, paused};
        err = control_pause(r->broker, g->key, g->name, paused, gate_done, a);
    }
    if (!err)
        return;
    free(a);
    if (err == PB_E_LIMIT)
        http_refuse(r, "limit_reached", "%d pauses are in force already; resume some first", LIMIT_PAUSES);
    else
        http_refuse_error(r, err, NULL);
}

/* Pausing a type, a host or a kind holds up everybody's jobs. */
static bool may_turn(struct http_request *r, const struct named_gate *g)
{
    if (http_is_cluster(r) || (g->key == KEY_TENANT && http_sees(r, g->name)))
        return true;
    http_refuse(r, "forbidden", "this token is one of the tenant %s and may pause that tenant alone",
                r->token->tenant);
    return false;
}

static void pause_or_resume(struct http_request *r, bool paused)
{
    struct fields_report report = {0};
    struct named_gate g = {0};
    json_t *body = NULL;
    if (!http_can_write(r) || form_read(r, &body) != PB_OK)
        return;
    read_gate(body, &g, &report);
    json_decref(body);
    if (report.count)
        form_refuse(r, &report);
    else if (may_turn(r, &g))
        turn_gate(r, &g, paused);
}

void queue_pause(struct http_request *r)
{
    pause_or_resume(r, true);
}

void queue_resume(struct http_request *r)
{
    pause_or_resume(r, false);
}
