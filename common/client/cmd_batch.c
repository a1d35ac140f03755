/* patchbay batch: list, show, watch, pause, resume, cancel and rate. Starting one is cmd_revalidate.c. */
#include "common/client/batch.h"
#include "common/limits.h"

#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#define AT(field) offsetof(struct settings, field)
#define COUNT(t)  (sizeof(t) / sizeof((t)[0]))
#define LIST_MAX  10000
#define OUT_BYTES (16 * 1024 * 1024)
#define RATE_MAX  100000

/* -- list -- */

static const struct column columns[] = {
    {"ID", false, false},      {"STATE", false, true},     {"DONE", false, false}, {"OF", false, false},
    {"CREATED", false, false}, {"FINISHED", false, false}, {"FILTER", true, false}};

struct listing {
    struct table table;
    json_t *items;
    size_t max;
};

static bool visit(void *arg, json_t *item)
{
    struct listing *l = arg;
    struct buf filter;
    if (json_array_size(l->items) == l->max)
        return false;
    buf_init(&filter, 4096);
    batch_put_filter(item, &filter);
    json_array_append(l->items, item);
    table_add(&l->table, json_text_at(item, "id"));
    table_add(&l->table, json_text_at(item, "state"));
    table_addf(&l->table, "%lld", json_int_at(item, "done"));
    table_addf(&l->table, "%lld", json_int_at(item, "total"));
    table_add_time(&l->table, json_text_at(item, "createdAt"));
    table_add_time(&l->table, json_text_at(item, "finishedAt"));
    table_add(&l->table, buf_peek(&filter));
    buf_fini(&filter);
    return !l->table.failed;
}

static int run_list(struct client *c)
{
    struct listing l = {.items = json_array(), .max = (size_t)c->settings.limit};
    char path[64];
    int status = client_open(c);
    table_init(&l.table, columns, COUNT(columns));
    snprintf(path, sizeof path, "/v1/batches?limit=%zu", l.max < LIMIT_HTTP_PAGE ? l.max : LIMIT_HTTP_PAGE);
    if (!status)
        status = client_list(c, path, visit, &l);
    if (!status)
        status = client_show_list(c, l.items, &l.table, "no batches yet; patchbay revalidate starts one");
    table_fini(&l.table);
    json_decref(l.items);
    return status;
}

/* -- one -- */

static int ask(struct client *c, const char *method, const char *verb, const char *body, json_t **out)
{
    int status = client_open(c);
    return status ? status : batch_ask(c, method, c->settings.operands[0], verb, body, out);
}

static void put_rate(const json_t *batch, struct buf *b)
{
    const json_t *speed = json_object_get(batch, "perSecond"),
                 *left = json_object_get(batch, "remainingSeconds");
    long long rate = json_int_at(batch, "ratePerSecond");
    buf_text(b, "rate      ");
    if (json_is_number(speed))
        buf_printf(b, "%.0f a second, ", json_number_value(speed));
    if (json_is_integer(left))
        buf_printf(b, "%lld s left, ", (long long)json_integer_value(left));
    if (rate)
        buf_printf(b, "%lld at most\n", rate);
    else
        buf_text(b, "no limit of its own\n");
}

static void put_types(const json_t *batch, struct buf *b)
{
    const char *type;
    json_t *how_far;
    json_object_foreach(json_object_get(batch, "types"), type, how_far)
    {
        buf_text(b, "          ");
        text_safe(b, type);
        buf_printf(b, " %lld of %lld\n", json_int_at(how_far, "done"), json_int_at(how_far, "total"));
    }
}

static void put_counts(const struct client *c, const json_t *batch, struct buf *b)
{
    const char *code;
    json_t *count;
    json_object_foreach(json_object_get(batch, "counts"), code, count)
    {
        buf_printf(b, "%8lld  %s", (long long)json_integer_value(count),
                   style_start(style_of_state(code), c->term.color));
        text_safe(b, code);
        buf_printf(b, "%s\n", style_end(style_of_state(code), c->term.color));
    }
}

static void render(const struct client *c, const json_t *batch, struct buf *b)
{
    const char *state = json_text_at(batch, "state");
    state = state ? state : "-";
    buf_printf(b, "id        %s\nstate     %s%s%s\nfilter    ", json_text_at(batch, "id"),
               style_start(style_of_state(state), c->term.color), state,
               style_end(style_of_state(state), c->term.color));
    batch_put_filter(batch, b);
    buf_printf(b, "\nbegan     %s\n", json_text_at(batch, "createdAt"));
    if (json_text_at(batch, "finishedAt"))
        buf_printf(b, "finished  %s\n", json_text_at(batch, "finishedAt"));
    buf_printf(b, "done      %lld of %lld; %lld newly broken, %lld healthy again\n",
               json_int_at(batch, "done"), json_int_at(batch, "total"), json_int_at(batch, "newlyBroken"),
               json_int_at(batch, "newlyHealthy"));
    put_types(batch, b);
    put_rate(batch, b);
    put_counts(c, batch, b);
}

static int run_show(struct client *c)
{
    json_t *batch = NULL;
    struct buf b;
    int status = ask(c, "GET", "", NULL, &batch);
    buf_init(&b, OUT_BYTES);
    if (!status && c->settings.json)
        client_print_json(c, batch);
    else if (!status)
        render(c, batch, &b);
    term_print(&b);
    buf_fini(&b);
    json_decref(batch);
    return status;
}

static int run_watch(struct client *c)
{
    json_t *batch = NULL;
    int status = ask(c, "GET", "", NULL, &batch);
    return status ? status : batch_follow(c, batch);
}

/* -- orders -- */

static int order(struct client *c, const char *method, const char *verb, const char *body, const char *done)
{
    json_t *batch = NULL;
    int status = ask(c, method, verb, body, &batch);
    if (!status && c->settings.json)
        client_print_json(c, batch);
    if (!status)
        client_print_ok(c, "%lld of %lld done; %s", json_int_at(batch, "done"), json_int_at(batch, "total"),
                        done);
    json_decref(batch);
    return status;
}

static int run_pause(struct client *c)
{
    return order(c, "POST", ":pause", NULL, "it is paused, and stays so until it is resumed");
}

static int run_resume(struct client *c)
{
    return order(c, "POST", ":resume", NULL, "it goes on");
}

static int run_cancel(struct client *c)
{
    return order(c, "POST", ":cancel", NULL, "it is cancelled; what is done stays done");
}

static int run_rate(struct client *c)
{
    const char *text = c->settings.operands[1];
    char body[64], *end;
    long rate = strtol(text, &end, 10);
    if (end == text || *end || rate < 0 || rate > RATE_MAX)
        return client_say(c, CLIENT_USAGE,
                          "a rate is a number from 0 (no limit) to %d a second; it is \"%s\"", RATE_MAX,
                          text);
    snprintf(body, sizeof body, "{\"ratePerSecond\":%ld}", rate);
    return order(c, "PATCH", "", body, rate ? "it keeps to the new rate" : "it has no limit of its own now");
}

/* -- the tables -- */

static const struct option list_options[] = {
    {"limit", OPTION_NUMBER, AT(limit), "50", 1, LIST_MAX, "N", "how many at most"},
};

#define ONE .arguments = "ID", .operands_min = 1, .operands_max = 1

const struct command command_batch_list = {.name = "batch list",
                                           .is_usual = true,
                                           .arguments = "",
                                           .summary = "batches, newest first",
                                           .options = list_options,
                                           .option_count = COUNT(list_options),
                                           .run = run_list};
const struct command command_batch_show = {
    .name = "batch show", ONE, .summary = "how far a batch is, and what came of it", .run = run_show};
const struct command command_batch_watch = {
    .name = "batch watch", ONE, .summary = "follow a batch to its end, then report", .run = run_watch};
const struct command command_batch_pause = {
    .name = "batch pause", ONE, .summary = "let a batch rest, over restarts of the broker", .run = run_pause};
const struct command command_batch_resume = {
    .name = "batch resume", ONE, .summary = "let a paused batch go on", .run = run_resume};
const struct command command_batch_cancel = {
    .name = "batch cancel", ONE, .summary = "end a batch; what is done stays done", .run = run_cancel};
const struct command command_batch_rate = {.name = "batch rate",
                                           .arguments = "ID N",
                                           .summary = "have a batch test so many a second; 0: no limit",
                                           .operands_min = 2,
                                           .operands_max = 2,
                                           .run = run_rate};
