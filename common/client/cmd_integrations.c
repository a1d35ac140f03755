/* patchbay list, show, rm and validate: what is connected. */
#include "common/client/answer.h"
#include "common/client/client.h"
#include "common/clock.h"
#include "common/limits.h"

#include <stddef.h>
#include <stdio.h>
#include <string.h>

#define AT(field)  offsetof(struct settings, field)
#define COUNT(t)   (sizeof(t) / sizeof((t)[0]))
#define WAIT_MAX_S 3600
#define OUT_BYTES  (256 * 1024 * 1024)

/* -- list -- */

static const struct column columns[] = {{"ID", false, false},
                                        {"NAME", true, false},
                                        {"TYPE", false, false},
                                        {"STATUS", false, true},
                                        {"HEALTH", false, true},
                                        {"ACCOUNT", true, false},
                                        {"LAST VALIDATED", false, false},
                                        {"RESULT", false, true}};

struct listing {
    bool json;
    struct table table;
    json_t *items;
};

static bool visit(void *arg, json_t *item)
{
    static const char *const plain[] = {"id", "name", "type", "status", "health"};
    struct listing *l = arg;
    if (l->json)
        return json_array_append(l->items, item) == 0;
    for (size_t i = 0; i < COUNT(plain); i++)
        table_add(&l->table, json_text_at(item, plain[i]));
    const char *label = json_text_in(item, "account", "label");
    table_add(&l->table, label ? label : json_text_in(item, "account", "id"));
    table_add_time(&l->table, json_text_at(item, "lastValidated"));
    table_add(&l->table, json_text_in(item, "result", "code"));
    return !l->table.failed;
}

static int run_list(struct client *c)
{
    struct listing l = {.json = c->settings.json, .items = json_array()};
    struct buf path;
    int status = client_open(c);
    buf_init(&path, 8192);
    buf_text(&path, "/v1/integrations?limit=500");
    client_filter(&c->settings, &path);
    table_init(&l.table, columns, COUNT(columns));
    if (!status)
        status = client_list(c, buf_peek(&path), visit, &l);
    if (!status)
        status = client_show_list(c, l.items, &l.table,
                                  "no integrations; patchbay setup TYPE --name NAME makes one");
    table_fini(&l.table);
    json_decref(l.items);
    buf_fini(&path);
    return status;
}

/* -- show -- */

static void line(struct buf *b, const char *name, const char *text)
{
    if (!text)
        return;
    buf_printf(b, "%-16s", name);
    text_safe(b, text);
    buf_text(b, "\n");
}

static void render_fields(struct buf *b, const json_t *record)
{
    const char *name;
    json_t *value;
    json_object_foreach(json_object_get(record, "fields"), name, value)
    {
        buf_text(b, "  ");
        text_safe(b, name);
        buf_text(b, " = ");
        text_safe(b, json_is_string(value) ? json_string_value(value) : "...");
        buf_text(b, "\n");
    }
}

static void render_events(struct buf *b, const json_t *record)
{
    const json_t *events = json_object_get(record, "supportedEvents"), *event;
    size_t i;
    buf_printf(b, "%-16s%zu\n", "events", json_array_size(events));
    json_array_foreach(events, i, event)
    {
        const char *type = json_text_at(event, "eventType");
        buf_text(b, "  ");
        text_safe(b, type ? type : "-");
        buf_text(b, "\n");
    }
}

static void render_record(const struct client *c, const json_t *record, struct buf *b)
{
    static const char *const texts[] = {"id",        "name",          "type",          "tenant",
                                        "status",    "health",        "host",          "createdAt",
                                        "updatedAt", "firstFailedAt", "lastValidated", "nextValidation"};
    for (size_t i = 0; i < COUNT(texts); i++)
        line(b, texts[i], json_text_at(record, texts[i]));
    line(b, "account", json_text_in(record, "account", "id"));
    line(b, "account label", json_text_in(record, "account", "label"));
    if (json_int_at(record, "failures"))
        buf_printf(b, "%-16s%lld\n", "failures", json_int_at(record, "failures"));
    if (json_is_object(json_object_get(record, "result")))
        answer_result(json_object_get(record, "result"), c->term.color, b);
    render_fields(b, record);
    render_events(b, record);
}

static int run_show(struct client *c)
{
    json_t *record = NULL;
    struct buf b;
    int status = client_open(c);
    if (!status)
        status = client_find(c, c->settings.operands[0], &record);
    buf_init(&b, OUT_BYTES);
    if (!status && c->settings.json) {
        client_print_json(c, record);
    } else if (!status) {
        render_record(c, record, &b);
        term_print(&b);
    }
    json_decref(record);
    buf_fini(&b);
    return status;
}

/* -- one record's path -- */

static bool make_path(const json_t *record, const char *rest, char *out, size_t size)
{
    const char *id = json_text_at(record, "id");
    if (!id || strlen(id) >= CLIENT_ID_BYTES || strpbrk(id, "/?#% "))
        return false;
    snprintf(out, size, "/v1/integrations/%s%s", id, rest);
    return true;
}

/* -- rm -- */

static bool is_sure(struct client *c, const json_t *record)
{
    struct buf b;
    if (c->settings.yes)
        return true;
    buf_init(&b, 2 * LIMIT_NAME_CHARS + 64);
    buf_text(&b, "Delete ");
    text_safe(&b, json_text_at(record, "name"));
    buf_printf(&b, " (%s)?", json_text_at(record, "type"));
    bool yes = term_confirm(buf_peek(&b));
    buf_fini(&b);
    return yes;
}

static int remove_record(struct client *c, const json_t *record)
{
    char path[128];
    struct api_answer answer = {0};
    if (!make_path(record, "", path, sizeof path) || !json_text_at(record, "name") ||
        !json_text_at(record, "type"))
        return client_say(c, CLIENT_NO, "the broker's answer is no integration");
    if (!is_sure(c, record))
        return client_say(c, CLIENT_NO, "nothing was deleted");
    struct api_request request = {.method = "DELETE", .path = path, .wait_s = LIMIT_HTTP_WAIT_SECONDS};
    int status = client_call(c, &request, &answer);
    if (!status && answer.status == 202)
        status = client_follow(c, &answer.body, clock_mono_ms() + LIMIT_HTTP_WAIT_SECONDS * 1000);
    if (!status && answer.body && json_text_at(answer.body, "state") &&
        strcmp(json_text_at(answer.body, "state"), "done") != 0)
        status = client_say(c, CLIENT_NO, "the deletion ended as %s", json_text_at(answer.body, "state"));
    if (!status && !c->settings.json)
        printf("%sok%s  deleted\n", style_start(STYLE_GOOD, c->term.color),
               style_end(STYLE_GOOD, c->term.color));
    api_answer_fini(&answer);
    return status;
}

static int run_rm(struct client *c)
{
    json_t *record = NULL;
    if (!c->settings.yes && !c->term.can_ask)
        return client_say(c, CLIENT_USAGE,
                          "there is no terminal to ask on whether it is to be deleted; say --yes");
    int status = client_open(c);
    if (!status)
        status = client_find(c, c->settings.operands[0], &record);
    if (!status)
        status = remove_record(c, record);
    json_decref(record);
    return status;
}

/* -- validate -- */

static int print_job(struct client *c, const json_t *job)
{
    const json_t *result = json_object_get(job, "result");
    const char *state = json_text_at(job, "state");
    bool passed = answer_passed(result);
    struct buf b;
    if (c->settings.json) {
        client_print_json(c, job);
    } else if (json_is_object(result)) {
        buf_init(&b, ANSWER_TEXT_BYTES);
        answer_result(result, c->term.color, &b);
        term_print(&b);
        buf_fini(&b);
    } else {
        client_say(c, 0, "the test ended as %s", state ? state : "nothing known");
    }
    return passed ? CLIENT_DONE : CLIENT_NO;
}

static int validate(struct client *c, const json_t *record)
{
    char path[128];
    struct api_answer answer = {0};
    int64_t wait_s =
        c->settings.wait_s < LIMIT_HTTP_WAIT_SECONDS ? c->settings.wait_s : LIMIT_HTTP_WAIT_SECONDS;
    if (!make_path(record, "/validate", path, sizeof path))
        return client_say(c, CLIENT_NO, "the broker's answer is no integration");
    struct api_request request = {.method = "POST", .path = path, .wait_s = (uint32_t)wait_s};
    uint64_t until_ms = clock_mono_ms() + (uint64_t)c->settings.wait_s * 1000;
    term_status(&c->term, "testing the connection ...");
    int status = client_ask(c, &request, &answer);
    term_status(&c->term, NULL);
    if (!status && answer.status >= 400) {
        status = client_refused(c, &answer, stdout);
    } else if (!status) {
        status = client_follow(c, &answer.body, until_ms);
        if (!status)
            status = print_job(c, answer.body);
    }
    api_answer_fini(&answer);
    return status;
}

static int run_validate(struct client *c)
{
    json_t *record = NULL;
    int status = client_open(c);
    if (!status)
        status = client_find(c, c->settings.operands[0], &record);
    if (!status)
        status = validate(c, record);
    json_decref(record);
    return status;
}

/* -- the tables -- */

static const struct option list_options[] = {
    {"type", OPTION_TEXT, AT(type), NULL, 0, 0, "TYPE", "of this type only"},
    {"status", OPTION_TEXT, AT(status), NULL, 0, 0, "STATUS", "active, inactive or error"},
    {"health", OPTION_TEXT, AT(health), NULL, 0, 0, "HEALTH", "ok, degraded or unknown"},
    {"query", OPTION_TEXT, AT(query), NULL, 0, 0, "TEXT", "with this in the name or the account's label"},
};
static const struct option rm_options[] = {
    {"yes", OPTION_FLAG, AT(yes), NULL, 0, 0, NULL, "do not ask"},
};
static const struct option validate_options[] = {
    {"wait", OPTION_NUMBER, AT(wait_s), "120", 1, WAIT_MAX_S, "SECONDS", "how long to wait for the outcome"},
};

const struct command command_list = {.name = "list",
                                     .arguments = "",
                                     .summary = "what is connected, and how it is",
                                     .options = list_options,
                                     .option_count = COUNT(list_options),
                                     .run = run_list};
const struct command command_show = {.name = "show",
                                     .arguments = "ID|NAME",
                                     .summary = "one integration in full",
                                     .operands_min = 1,
                                     .operands_max = 1,
                                     .run = run_show};
const struct command command_rm = {.name = "rm",
                                   .arguments = "ID|NAME",
                                   .summary = "delete an integration and its credentials",
                                   .operands_min = 1,
                                   .operands_max = 1,
                                   .options = rm_options,
                                   .option_count = COUNT(rm_options),
                                   .run = run_rm};
const struct command command_validate = {.name = "validate",
                                         .arguments = "ID|NAME",
                                         .summary = "test an integration now",
                                         .operands_min = 1,
                                         .operands_max = 1,
                                         .options = validate_options,
                                         .option_count = COUNT(validate_options),
                                         .run = run_validate};
