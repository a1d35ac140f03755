/* patchbay schedule: list, show, set and rm: batches that start by themselves. */
#include "common/client/batch.h"
#include "common/limits.h"

#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#define AT(field) offsetof(struct settings, field)
#define COUNT(t)  (sizeof(t) / sizeof((t)[0]))
#define OUT_BYTES (4 * 1024 * 1024)
#define RATE_MAX  100000

/* -- list -- */

static const struct column columns[] = {{"NAME", false, false},      {"TENANT", true, false},
                                        {"CRON", true, false},       {"ZONE", true, false},
                                        {"NEXT RUN", false, false},  {"LAST RUN", false, false},
                                        {"LAST BATCH", false, false}};

struct listing {
    struct table table;
    json_t *items;
};

static bool visit(void *arg, json_t *item)
{
    struct listing *l = arg;
    json_array_append(l->items, item);
    table_add(&l->table, json_text_at(item, "name"));
    table_add(&l->table, json_text_at(item, "tenant"));
    table_add(&l->table, json_text_at(item, "cron"));
    table_add(&l->table, json_text_at(item, "timeZone"));
    table_add_time(&l->table, json_text_at(item, "nextRun"));
    table_add_time(&l->table, json_text_in(item, "lastRun", "at"));
    table_add(&l->table, json_text_in(item, "lastRun", "batch"));
    return !l->table.failed;
}

static int run_list(struct client *c)
{
    struct listing l = {.items = json_array()};
    int status = client_open(c);
    table_init(&l.table, columns, COUNT(columns));
    if (!status)
        status = client_list(c, "/v1/schedules?limit=500", visit, &l);
    if (!status)
        status =
            client_show_list(c, l.items, &l.table,
                             "no schedules yet; patchbay schedule set NAME --cron \"30 4 * * *\" makes one");
    table_fini(&l.table);
    json_decref(l.items);
    return status;
}

/* -- one -- */

/* *out is NULL where the answer has no body. */
static int ask(struct client *c, const char *method, const char *body, json_t **out)
{
    struct buf path;
    buf_init(&path, 4096);
    buf_text(&path, "/v1/schedules/");
    api_escape(&path, c->settings.operands[0]);
    if (c->settings.tenant) {
        buf_text(&path, "?tenant=");
        api_escape(&path, c->settings.tenant);
    }
    int status = client_open(c);
    if (!status)
        status = client_fetch(
            c,
            &(struct api_request){
                .method = method, .path = buf_peek(&path), .body = body, .body_len = body ? strlen(body) : 0},
            out);
    buf_fini(&path);
    return status;
}

static void put_line(struct buf *b, const char *head, const char *text)
{
    buf_printf(b, "%-10s", head);
    text_safe(b, text ? text : "-");
    buf_text(b, "\n");
}

static void put_runs(const json_t *schedule, struct buf *b)
{
    const char *skipped = json_text_in(schedule, "lastSkipped", "at"),
               *reason = json_text_in(schedule, "lastSkipped", "reason");
    put_line(b, "next run", json_text_at(schedule, "nextRun"));
    put_line(b, "last run", json_text_in(schedule, "lastRun", "at"));
    put_line(b, "batch", json_text_in(schedule, "lastRun", "batch"));
    if (skipped && reason)
        buf_printf(b, "skipped   %s: %s\n", skipped,
                   strcmp(reason, "missed") == 0 ? "its time was missed"
                                                 : "the batch of the run before was still under way");
}

static void render(const json_t *schedule, struct buf *b)
{
    long long rate = json_int_at(schedule, "ratePerSecond"), jitter = json_int_at(schedule, "jitterSeconds");
    const char *missed = json_text_at(schedule, "missed");
    put_line(b, "name", json_text_at(schedule, "name"));
    put_line(b, "tenant", json_text_at(schedule, "tenant"));
    put_line(b, "cron", json_text_at(schedule, "cron"));
    put_line(b, "time zone", json_text_at(schedule, "timeZone"));
    buf_text(b, "filter    ");
    batch_put_filter(schedule, b);
    buf_text(b, "\n");
    if (rate)
        buf_printf(b, "rate      %lld a second at most\n", rate);
    if (jitter)
        buf_printf(b, "jitter    up to %lld s\n", jitter);
    put_line(b, "missed", missed && strcmp(missed, "skip") == 0 ? "not made up for" : "runs once, late");
    if (json_is_false(json_object_get(schedule, "enabled")))
        buf_text(b, "disabled  it does not run\n");
    put_runs(schedule, b);
}

static void print_one(struct client *c, const json_t *schedule)
{
    struct buf b;
    buf_init(&b, OUT_BYTES);
    if (c->settings.json)
        client_print_json(c, schedule);
    else
        render(schedule, &b);
    term_print(&b);
    buf_fini(&b);
}

static int run_show(struct client *c)
{
    json_t *schedule = NULL;
    int status = ask(c, "GET", NULL, &schedule);
    if (!status)
        print_one(c, schedule);
    json_decref(schedule);
    return status;
}

static char *make_body(const struct settings *s)
{
    const struct json_text texts[] = {{"timeZone", s->time_zone}, {"missed", s->missed}},
                           filters[] = {{"type", s->type}, {"status", s->status}, {"health", s->health}};
    json_t *filter = json_object(),
           *body = json_pack("{s:s, s:s, s:o, s:I, s:I, s:b}", "kind", "revalidate", "cron", s->cron,
                             "filter", filter, "ratePerSecond", (json_int_t)s->rate, "jitterSeconds",
                             (json_int_t)s->jitter_s, "enabled", (int)!s->disabled);
    bool ok =
        body && json_set_texts(body, texts, COUNT(texts)) && json_set_texts(filter, filters, COUNT(filters));
    char *text = ok ? json_dumps(body, JSON_COMPACT) : NULL;
    json_decref(body);
    return text;
}

static int run_set(struct client *c)
{
    json_t *schedule = NULL;
    if (!c->settings.cron)
        return client_say(c, CLIENT_USAGE, "--cron says when it runs, as in --cron \"30 4 * * *\"");
    char *body = make_body(&c->settings);
    int status =
        body ? ask(c, "PUT", body, &schedule) : client_say(c, CLIENT_USAGE, "an option's value is not UTF-8");
    if (!status)
        print_one(c, schedule);
    json_decref(schedule);
    free(body);
    return status;
}

static int run_rm(struct client *c)
{
    json_t *none = NULL;
    int status = ask(c, "DELETE", NULL, &none);
    if (!status)
        client_print_ok(c, "%s is removed; a batch that it started goes on", c->settings.operands[0]);
    json_decref(none);
    return status;
}

/* -- the tables -- */

#define TENANT                                                                                               \
    {                                                                                                        \
        "tenant", OPTION_TEXT, AT(tenant), NULL, 0, 0, "TENANT",                                             \
            "a tenant's schedule, with the cluster's token"                                                  \
    }

static const struct option one_options[] = {TENANT};
static const struct option set_options[] = {
    {"cron", OPTION_TEXT, AT(cron), NULL, 0, 0, "EXPRESSION",
     "minute, hour, day of month, month, day of week; or @hourly, @daily, @weekly, @monthly"},
    {"time-zone", OPTION_TEXT, AT(time_zone), NULL, 0, 0, "ZONE", "as in Europe/Berlin; UTC unless given"},
    {"type", OPTION_TEXT, AT(type), NULL, 0, 0, "TYPE", "of this type only"},
    {"status", OPTION_TEXT, AT(status), NULL, 0, 0, "STATUS", "active, inactive or error"},
    {"health", OPTION_TEXT, AT(health), NULL, 0, 0, "HEALTH", "ok, degraded or unknown"},
    {"rate", OPTION_NUMBER, AT(rate), "0", 0, RATE_MAX, "N", "so many a second; 0: as fast as can be"},
    {"jitter", OPTION_NUMBER, AT(jitter_s), "0", 0, LIMIT_JITTER_SECONDS, "SECONDS",
     "put each run off by up to this"},
    {"missed", OPTION_TEXT, AT(missed), NULL, 0, 0, "POLICY",
     "of times at which no broker ran: run_once (the default) or skip"},
    {"disabled", OPTION_FLAG, AT(disabled), NULL, 0, 0, NULL, "keep it, but do not run it"},
    TENANT,
};

#define ONE .arguments = "NAME", .operands_min = 1, .operands_max = 1

const struct command command_schedule_list = {.name = "schedule list",
                                              .is_usual = true,
                                              .arguments = "",
                                              .summary = "batches that start by themselves",
                                              .run = run_list};
const struct command command_schedule_show = {.name = "schedule show",
                                              ONE,
                                              .summary = "when a schedule runs, and how it ran last",
                                              .options = one_options,
                                              .option_count = COUNT(one_options),
                                              .run = run_show};
const struct command command_schedule_set = {
    .name = "schedule set",
    ONE,
    .summary = "have a batch start at the times of a cron expression",
    .details = "Makes the schedule, or replaces it as a whole: an option that is not given has its default.",
    .options = set_options,
    .option_count = COUNT(set_options),
    .run = run_set};
const struct command command_schedule_rm = {.name = "schedule rm",
                                            ONE,
                                            .summary = "remove a schedule",
                                            .options = one_options,
                                            .option_count = COUNT(one_options),
                                            .run = run_rm};
