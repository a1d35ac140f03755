/* patchbay jobs: list, show, cancel and retry. Submitting is cmd_submit.c. */
#include "common/client/answer.h"
#include "common/client/client.h"
#include "common/id.h"
#include "common/limits.h"

#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define AT(field)  offsetof(struct settings, field)
#define COUNT(t)   (sizeof(t) / sizeof((t)[0]))
#define LIST_MAX   100000
#define RATE_MAX   1000
#define PATH_BYTES 8192

/* -- list -- */

static const struct column columns[] = {{"ID", false, false},       {"KIND", false, false},
                                        {"TYPE", false, false},     {"STATE", false, true},
                                        {"PRIORITY", false, false}, {"ATTEMPTS", false, false},
                                        {"CREATED", false, false},  {"RESULT", true, true}};

struct listing {
    struct table table;
    json_t *items;
    size_t max;
    bool more;
};

static bool visit(void *arg, json_t *item)
{
    struct listing *l = arg;
    if (json_array_size(l->items) == l->max) {
        l->more = true;
        return false;
    }
    json_array_append(l->items, item);
    table_add(&l->table, json_text_at(item, "id"));
    table_add(&l->table, json_text_at(item, "kind"));
    table_add(&l->table, json_text_at(item, "type"));
    table_add(&l->table, json_text_at(item, "state"));
    table_add(&l->table, json_text_at(item, "priority"));
    table_addf(&l->table, "%lld", json_int_at(item, "attempts"));
    table_add_time(&l->table, json_text_at(item, "createdAt"));
    table_add(&l->table, json_text_in(item, "result", "code"));
    return !l->table.failed;
}

static int run_list(struct client *c)
{
    struct listing l = {.items = json_array(), .max = (size_t)c->settings.limit};
    struct buf path;
    int status = client_open(c);
    buf_init(&path, PATH_BYTES);
    buf_printf(&path, "/v1/jobs?limit=%zu",
               l.max < 500 ? l.max + 1 : 500); /* one more tells that there are */
    client_filter(&c->settings, &path);
    table_init(&l.table, columns, COUNT(columns));
    if (!status)
        status = client_list(c, buf_peek(&path), visit, &l);
    if (!status)
        status = client_show_list(c, l.items, &l.table, "no jobs that match");
    if (!status && l.more && !c->settings.json)
        printf("these are the newest %zu; --limit N shows more, a filter fewer\n", l.max);
    table_fini(&l.table);
    json_decref(l.items);
    buf_fini(&path);
    return status;
}

/* -- one job's address -- */

static int make_path(struct client *c, const char *verb, char *out, size_t size)
{
    const char *id = c->settings.operands[0];
    struct pb_id parsed;
    if (id_parse(id, ID_JOB, &parsed) != PB_OK)
        return client_say(
            c, CLIENT_USAGE,
            "\"%s\" is no job's id; one looks like job_ and 32 digits, and patchbay jobs lists them", id);
    snprintf(out, size, "/v1/jobs/%s%s", id, verb);
    return CLIENT_DONE;
}

/* Asks for the job that the command names; *out is the caller's to json_decref. */
static int ask(struct client *c, const char *method, const char *verb, uint32_t wait_s, json_t **out)
{
    char path[64 + CLIENT_ID_BYTES];
    int status = make_path(c, verb, path, sizeof path);
    if (!status)
        status = client_open(c);
    if (!status)
        status =
            client_fetch(c, &(struct api_request){.method = method, .path = path, .wait_s = wait_s}, out);
    if (!status && c->settings.json)
        client_print_json(c, *out);
    return status;
}

/* -- show -- */

static void line(struct buf *b, const char *name, const char *text)
{
    if (!text)
        return;
    buf_printf(b, "%-12s ", name);
    text_safe(b, text);
    buf_text(b, "\n");
}

/* "waiting (blocked: another job of its integration comes first)". */
static const char *explain(const char *phase)
{
    static const char *const texts[][2] = {
        {"ready", "it could run now"},
        {"running", "a worker has it"},
        {"delayed", "it waits for its time"},
        {"blocked", "another job of its integration comes first"},
        {"quarantined", "its worker died; it runs with few others or alone"},
        {"recovering", "the broker has just started"},
        {"committing", "what it came to is being written"},
    };
    for (size_t i = 0; i < COUNT(texts); i++)
        if (strcmp(texts[i][0], phase) == 0)
            return texts[i][1];
    return "it is being taken in";
}

static void put_state(const struct client *c, const json_t *job, struct buf *b)
{
    const char *state = json_text_at(job, "state"), *phase = json_text_at(job, "phase");
    enum style style = style_of_state(state ? state : "");
    buf_printf(b, "%-12s %s", "state", style_start(style, c->term.color));
    text_safe(b, state ? state : "-");
    buf_text(b, style_end(style, c->term.color));
    if (phase) {
        buf_text(b, " (");
        text_safe(b, phase);
        buf_printf(b, ": %s)", explain(phase));
    }
    if (json_is_true(json_object_get(job, "cancelRequested")))
        buf_text(b, ", to be cancelled");
    buf_text(b, "\n");
}

static void render(const struct client *c, const json_t *job, struct buf *b)
{
    static const char *const before[] = {"id", "kind"}, *const between[] = {"tenant", "type", "integration",
                                                                            "priority"};
    static const char *const after[][2] = {{"created", "createdAt"},
                                           {"not before", "notBefore"},
                                           {"deadline", "deadline"},
                                           {"finished", "finishedAt"}};
    for (size_t i = 0; i < COUNT(before); i++)
        line(b, before[i], json_text_at(job, before[i]));
    put_state(c, job, b);
    for (size_t i = 0; i < COUNT(between); i++)
        line(b, between[i], json_text_at(job, between[i]));
    buf_printf(b, "%-12s %lld without an outcome, of %lld\n", "attempts", json_int_at(job, "attempts"),
               json_int_at(job, "maxAttempts"));
    for (size_t i = 0; i < COUNT(after); i++)
        line(b, after[i][0], json_text_at(job, after[i][1]));
    if (json_is_object(json_object_get(job, "result")))
        answer_result(json_object_get(job, "result"), c->term.color, b);
}

static int run_show(struct client *c)
{
    json_t *job = NULL;
    struct buf b;
    int status = ask(c, "GET", "", (uint32_t)c->settings.wait_s, &job);
    buf_init(&b, ANSWER_TEXT_BYTES);
    if (!status && !c->settings.json)
        render(c, job, &b);
    term_print(&b);
    buf_fini(&b);
    json_decref(job);
    return status;
}

/* -- cancel -- */

static int run_cancel(struct client *c)
{
    json_t *job = NULL;
    int status = ask(c, "POST", ":cancel", 0, &job);
    const char *state = status ? NULL : json_text_at(job, "state");
    if (!status && state && strcmp(state, "cancelled") == 0)
        client_print_ok(c, "cancelled");
    else if (!status && state && strcmp(state, "waiting") == 0)
        client_print_ok(c, "it is to be cancelled; its worker is told to stop");
    else if (!status)
        status = client_say(c, CLIENT_NO, "too late: the job has just ended as %s",
                            state ? state : "something else");
    json_decref(job);
    return status;
}

/* -- retry -- */

static int retry_one(struct client *c)
{
    json_t *job = NULL;
    int status = ask(c, "POST", ":retry", 0, &job);
    if (!status)
        client_print_ok(c, "it waits again, as new; patchbay jobs show %s tells how far it is",
                        json_text_at(job, "id"));
    json_decref(job);
    return status;
}

static char *replay_body(const struct settings *s)
{
    const struct json_text filters[] = {
        {"kind", s->kind}, {"type", s->type}, {"integration", s->integration}, {"code", s->code}};
    json_t *filter = json_object(),
           *body = json_pack("{s:o, s:I}", "filter", filter, "perSecond", (json_int_t)s->rate);
    bool ok = body && json_set_texts(filter, filters, COUNT(filters));
    char *text = ok ? json_dumps(body, JSON_COMPACT) : NULL;
    json_decref(body);
    return text;
}

static int retry_all(struct client *c)
{
    struct api_answer answer = {0};
    char *body = replay_body(&c->settings);
    int status = body ? client_open(c) : client_say(c, CLIENT_USAGE, "a filter is not UTF-8");
    if (!status)
        status = client_call(
            c,
            &(struct api_request){
                .method = "POST", .path = "/v1/jobs:retry", .body = body, .body_len = strlen(body)},
            &answer);
    if (!status && c->settings.json)
        client_print_json(c, answer.body);
    if (!status)
        client_print_ok(c, "dead jobs are sent again, %lld a second; patchbay queue shows how far it is",
                        json_int_at(answer.body, "perSecond"));
    api_answer_fini(&answer);
    free(body);
    return status;
}

static int run_retry(struct client *c)
{
    const struct settings *s = &c->settings;
    if (s->all == (s->operand_count > 0))
        return client_say(c, CLIENT_USAGE,
                          "name one dead job by its id, or say --all, with a filter if need be");
    if (!s->all && (s->kind || s->type || s->integration || s->code))
        return client_say(c, CLIENT_USAGE, "a filter goes with --all; a job that is named needs none");
    return s->all ? retry_all(c) : retry_one(c);
}

/* -- the tables -- */

#define FILTERS                                                                                              \
    {"kind", OPTION_TEXT, AT(kind), NULL, 0, 0, "KIND", "setup, validate, delete or ping"},                  \
        {"type", OPTION_TEXT, AT(type), NULL, 0, 0, "TYPE", "about integrations of this type only"},         \
        {"integration", OPTION_TEXT, AT(integration), NULL, 0, 0, "ID", "about this one only"},              \
    {                                                                                                        \
        "code", OPTION_TEXT, AT(code), NULL, 0, 0, "CODE", "whose result has this code, such as timeout"     \
    }

static const struct option list_options[] = {
    {"state", OPTION_TEXT, AT(state), NULL, 0, 0, "STATE", "waiting, done, failed, cancelled or dead"},
    FILTERS,
    {"limit", OPTION_NUMBER, AT(limit), "50", 1, LIST_MAX, "N", "how many at most"},
};
static const struct option show_options[] = {
    {"wait", OPTION_NUMBER, AT(wait_s), "0", 0, LIMIT_HTTP_WAIT_SECONDS, "SECONDS",
     "wait as long for its end"},
};
static const struct option retry_options[] = {
    {"all", OPTION_FLAG, AT(all), NULL, 0, 0, NULL, "all dead jobs that the filters select"},
    FILTERS,
    {"rate", OPTION_NUMBER, AT(rate), "10", 1, RATE_MAX, "N", "with --all: so many a second"},
};

const struct command command_jobs_list = {.name = "jobs list",
                                          .is_usual = true,
                                          .arguments = "",
                                          .summary = "jobs, newest first",
                                          .options = list_options,
                                          .option_count = COUNT(list_options),
                                          .run = run_list};
const struct command command_jobs_show = {.name = "jobs show",
                                          .arguments = "ID",
                                          .summary = "one job, and what it waits for",
                                          .operands_min = 1,
                                          .operands_max = 1,
                                          .options = show_options,
                                          .option_count = COUNT(show_options),
                                          .run = run_show};
const struct command command_jobs_cancel = {.name = "jobs cancel",
                                            .arguments = "ID",
                                            .summary = "have a job not run, or stop it",
                                            .operands_min = 1,
                                            .operands_max = 1,
                                            .run = run_cancel};
const struct command command_jobs_retry = {.name = "jobs retry",
                                           .arguments = "ID|--all",
                                           .summary = "send a dead job again, or all that filters select",
                                           .details = "Dead are jobs that were given up: out of attempts, "
                                                      "too late, or deadly to their workers. Sent again,\n"
                                                      "a job starts as new.",
                                           .operands_max = 1,
                                           .options = retry_options,
                                           .option_count = COUNT(retry_options),
                                           .run = run_retry};
