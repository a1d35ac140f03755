/* patchbay queue: how the queue does, and what may pass. */
#include "common/client/client.h"

#include <stddef.h>
#include <stdio.h>
#include <string.h>

#define AT(field) offsetof(struct settings, field)
#define COUNT(t)  (sizeof(t) / sizeof((t)[0]))

/* -- show -- */

static void head(struct buf *b, const char *name)
{
    buf_printf(b, "%-9s ", name);
}

static double real_at(const json_t *object, const char *key)
{
    return json_number_value(json_object_get(object, key));
}

/* "5 ms", "1.6 s", "12 min", "3 h", "2 d": as much as a person wants to know. */
static void put_time(struct buf *b, double ms)
{
    static const struct {
        double below_ms, unit_ms;
        int decimals;
        const char *unit;
    } units[] = {{1, 1, 1, "ms"},
                 {1000, 1, 0, "ms"},
                 {60e3, 1e3, 1, "s"},
                 {3600e3, 60e3, 0, "min"},
                 {48 * 3600e3, 3600e3, 0, "h"},
                 {1e300, 86400e3, 0, "d"}};
    size_t i = 0;
    while (ms >= units[i].below_ms && i + 1 < COUNT(units))
        i++;
    buf_printf(b, "%.*f %s", units[i].decimals, ms / units[i].unit_ms, units[i].unit);
}

static void put_jobs(const json_t *queue, struct buf *b)
{
    const char *name;
    json_t *count;
    bool some = false;
    head(b, "jobs");
    buf_printf(b, "%lld live", json_int_at(queue, "live"));
    json_object_foreach(json_object_get(queue, "jobs"), name, count)
    {
        if (!json_integer_value(count))
            continue;
        buf_printf(b, "%s%lld ", some ? ", " : ": ", (long long)json_integer_value(count));
        text_safe(b, name);
        some = true;
    }
    const json_t *oldest = json_object_get(queue, "oldestReadyMs");
    if (json_is_integer(oldest)) {
        buf_text(b, "; the oldest that could run is ");
        put_time(b, (double)json_integer_value(oldest));
        buf_text(b, " old");
    }
    buf_text(b, "\n");
}

static void put_rates(const json_t *queue, struct buf *b)
{
    const json_t *rates = json_object_get(queue, "perSecond");
    head(b, "rate");
    buf_printf(b, "%.1f started, %.1f ended, %.1f tried again a second\n", real_at(rates, "dispatched"),
               real_at(rates, "finished"), real_at(rates, "retried"));
}

static void put_times(const char *name, const json_t *times, struct buf *b)
{
    if (!json_int_at(times, "count"))
        return;
    head(b, name);
    buf_text(b, "half within ");
    put_time(b, real_at(times, "p50"));
    buf_text(b, ", 99 of 100 within ");
    put_time(b, real_at(times, "p99"));
    buf_text(b, "\n");
}

static void put_store(const struct client *c, const json_t *queue, struct buf *b)
{
    const char *state = json_text_at(queue, "store");
    enum style style = style_of_state(state ? state : "");
    head(b, "store");
    buf_text(b, style_start(style, c->term.color));
    text_safe(b, state ? state : "-");
    buf_text(b, style_end(style, c->term.color));
    if (state && strcmp(state, "failing") == 0)
        buf_text(b, "  no new jobs are taken; the broker's log says why");
    buf_text(b, "\n");
}

static void put_workers(const json_t *queue, struct buf *b)
{
    head(b, "workers");
    buf_printf(b, "%lld%s\n", json_int_at(queue, "workers"),
               json_int_at(queue, "workers") ? "" : "; start one with patchbay-worker or patchbay up");
}

static void put_pauses(const struct client *c, const json_t *queue, struct buf *b)
{
    const json_t *pause;
    size_t i;
    json_array_foreach(json_object_get(queue, "pauses"), i, pause)
    {
        const char *key = json_text_at(pause, "key"), *name = json_text_at(pause, "name");
        head(b, i ? "" : "paused");
        buf_text(b, style_start(STYLE_WARN, c->term.color));
        text_safe(b, key ? key : "-");
        buf_text(b, " ");
        text_safe(b, name ? name : "-");
        buf_text(b, style_end(STYLE_WARN, c->term.color));
        buf_text(b, "\n");
    }
}

static void put_outages(const struct client *c, const json_t *queue, struct buf *b)
{
    const json_t *outage;
    size_t i;
    json_array_foreach(json_object_get(queue, "outages"), i, outage)
    {
        const char *type = json_text_at(outage, "type"), *code = json_text_at(outage, "code");
        head(b, i ? "" : "outage");
        buf_text(b, style_start(STYLE_WARN, c->term.color));
        text_safe(b, type ? type : "-");
        buf_printf(b, ": %lld of %lld tests ", json_int_at(outage, "failed"), json_int_at(outage, "tested"));
        text_safe(b, code ? code : "-");
        buf_printf(b, "%s; no integration is put into the status error for it\n",
                   style_end(STYLE_WARN, c->term.color));
    }
}

static void put_replays(const json_t *queue, struct buf *b)
{
    const json_t *replay;
    size_t i;
    json_array_foreach(json_object_get(queue, "replays"), i, replay)
    {
        head(b, i ? "" : "retrying");
        buf_printf(b, "%lld a second: %lld sent again, %lld refused\n", json_int_at(replay, "perSecond"),
                   json_int_at(replay, "sent"), json_int_at(replay, "refused"));
    }
}

static void render(const struct client *c, const json_t *queue, struct buf *b)
{
    put_jobs(queue, b);
    put_rates(queue, b);
    put_times("waits", json_object_get(queue, "dispatchWaitMs"), b);
    put_times("commits", json_object_get(json_object_get(queue, "journal"), "commitMs"), b);
    put_store(c, queue, b);
    put_workers(queue, b);
    put_pauses(c, queue, b);
    put_outages(c, queue, b);
    put_replays(queue, b);
}

static int run_show(struct client *c)
{
    struct api_answer answer = {0};
    struct buf b;
    int status = client_open(c);
    if (!status)
        status = client_call(c, &(struct api_request){.method = "GET", .path = "/v1/queue"}, &answer);
    if (status)
        return status;
    buf_init(&b, 1024 * 1024);
    if (c->settings.json)
        client_print_json(c, answer.body);
    else
        render(c, answer.body, &b);
    term_print(&b);
    buf_fini(&b);
    api_answer_fini(&answer);
    return CLIENT_DONE;
}

/* -- pause and resume -- */

static int make_gate(struct client *c, struct buf *body, const char **key, const char **name)
{
    const struct {
        const char *key, *name;
    } gates[] = {{"tenant", c->settings.tenant},
                 {"type", c->settings.type},
                 {"host", c->settings.host},
                 {"kind", c->settings.kind}};
    size_t count = 0;
    for (size_t i = 0; i < COUNT(gates); i++) {
        if (!gates[i].name)
            continue;
        count++;
        *key = gates[i].key;
        *name = gates[i].name;
    }
    if (count != 1)
        return client_say(c, CLIENT_USAGE, "say what: one of --tenant, --type, --host and --kind");
    buf_printf(body, "{\"%s\":\"", *key);
    buf_json_escape(body, *name, strlen(*name));
    buf_text(body, "\"}");
    return body->failed ? client_say(c, CLIENT_USAGE, "--%s is too long", *key) : CLIENT_DONE;
}

static int turn(struct client *c, const char *path, const char *done)
{
    struct buf body;
    struct api_answer answer = {0};
    const char *key = NULL, *name = NULL;
    buf_init(&body, 4096);
    int status = make_gate(c, &body, &key, &name);
    if (!status)
        status = client_open(c);
    if (!status)
        status =
            client_call(c,
                        &(struct api_request){
                            .method = "POST", .path = path, .body = buf_peek(&body), .body_len = body.len},
                        &answer);
    if (!status && c->settings.json)
        client_print_json(c, answer.body);
    if (!status)
        client_print_ok(c, "%s %s %s", key, name, done);
    api_answer_fini(&answer);
    buf_fini(&body);
    return status;
}

static int run_pause(struct client *c)
{
    return turn(c, "/v1/queue:pause", "is paused: what runs goes on, nothing new begins");
}

static int run_resume(struct client *c)
{
    return turn(c, "/v1/queue:resume", "goes on");
}

/* -- the tables -- */

static const struct option gate_options[] = {
    {"tenant", OPTION_TEXT, AT(tenant), NULL, 0, 0, "TENANT", "all jobs of a tenant"},
    {"type", OPTION_TEXT, AT(type), NULL, 0, 0, "TYPE", "all jobs about integrations of a type"},
    {"host", OPTION_TEXT, AT(host), NULL, 0, 0, "HOST", "all jobs that ask a provider's host"},
    {"kind", OPTION_TEXT, AT(kind), NULL, 0, 0, "KIND", "all setups, validations (validate), deletions, ..."},
};

const struct command command_queue_show = {.name = "queue show",
                                           .is_usual = true,
                                           .arguments = "",
                                           .summary =
                                               "how many jobs wait and run, how fast, and what is paused",
                                           .run = run_show};
const struct command command_queue_pause = {
    .name = "queue pause",
    .arguments = "",
    .summary = "let no more jobs of a tenant, type, host or kind begin",
    .details = "New jobs are taken in, and wait. It holds until it is resumed, over restarts of the broker.",
    .options = gate_options,
    .option_count = COUNT(gate_options),
    .run = run_pause};
const struct command command_queue_resume = {.name = "queue resume",
                                             .arguments = "",
                                             .summary = "let them begin again",
                                             .options = gate_options,
                                             .option_count = COUNT(gate_options),
                                             .run = run_resume};
