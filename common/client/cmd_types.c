/* patchbay types: what can be connected, and what each type asks for. */
#include "common/client/client.h"

static const struct column type_columns[] = {
    {"TYPE", false, false}, {"NAME", true, false}, {"EVENTS", false, false}, {"DESCRIPTION", true, false}};

struct listing {
    struct table table;
    json_t *items;
};

static bool visit_type(void *arg, json_t *item)
{
    struct listing *l = arg;
    json_array_append(l->items, item);
    table_add(&l->table, json_text_at(item, "type"));
    table_add(&l->table, json_text_at(item, "name"));
    table_addf(&l->table, "%zu", json_array_size(json_object_get(item, "events")));
    table_add(&l->table, json_text_at(item, "description"));
    return !l->table.failed;
}

static int list_types(struct client *c)
{
    struct listing l = {.items = json_array()};
    table_init(&l.table, type_columns, sizeof type_columns / sizeof type_columns[0]);
    int status = client_list(c, "/v1/types", visit_type, &l);
    if (!status)
        status = client_show_list(c, l.items, &l.table,
                                  "no types; the broker's log says what is wrong with its packages");
    table_fini(&l.table);
    json_decref(l.items);
    return status;
}

/* -- one type -- */

static const struct column field_columns[] = {{"FIELD", false, false},
                                              {"LABEL", true, false},
                                              {"KIND", false, false},
                                              {"NEEDED", false, false},
                                              {"WHAT IT IS", true, false}};
static const struct column event_columns[] = {{"EVENT", false, false}, {"DESCRIPTION", true, false}};

static void render_fields(const struct client *c, const json_t *type, struct buf *b)
{
    struct table t;
    const char *name;
    json_t *field;
    table_init(&t, field_columns, sizeof field_columns / sizeof field_columns[0]);
    json_object_foreach(json_object_get(type, "credentialSchema"), name, field)
    {
        table_add(&t, name);
        table_add(&t, json_text_at(field, "label"));
        table_add(&t, json_text_at(field, "type"));
        table_add(&t, json_is_true(json_object_get(field, "required")) ? "yes" : "no");
        table_add(&t, json_text_at(field, "help"));
    }
    table_render(&t, term_width(&c->term), c->term.color, b);
    table_fini(&t);
}

static void render_events(const struct client *c, const json_t *type, struct buf *b)
{
    struct table t;
    json_t *event;
    size_t i;
    table_init(&t, event_columns, sizeof event_columns / sizeof event_columns[0]);
    json_array_foreach(json_object_get(type, "events"), i, event)
    {
        table_add(&t, json_text_at(event, "eventType"));
        table_add(&t, json_text_at(event, "description"));
    }
    table_render(&t, term_width(&c->term), c->term.color, b);
    table_fini(&t);
}

static void render_type(const struct client *c, const json_t *type, struct buf *b)
{
    static const char *const lines[] = {"description", "docsUrl"};
    const char *name = json_text_at(type, "name");
    buf_text(b, style_start(STYLE_STRONG, c->term.color));
    text_safe(b, name ? name : "");
    buf_text(b, style_end(STYLE_STRONG, c->term.color));
    for (size_t i = 0; i < 2; i++) {
        const char *text = json_text_at(type, lines[i]);
        buf_text(b, text ? "\n" : "");
        text_safe(b, text ? text : "");
    }
    buf_text(b, "\n\n");
    render_fields(c, type, b);
    buf_text(b, "\n");
    render_events(c, type, b);
}

static int show_type(struct client *c, const char *type)
{
    struct buf path, b;
    struct api_answer answer = {0};
    buf_init(&path, 1024);
    buf_init(&b, 16 * 1024 * 1024);
    buf_text(&path, "/v1/types/");
    api_escape(&path, type);
    struct api_request request = {.method = "GET", .path = buf_peek(&path)};
    int status = client_call(c, &request, &answer);
    if (!status && c->settings.json) {
        client_print_json(c, answer.body);
    } else if (!status) {
        render_type(c, answer.body, &b);
        term_print(&b);
    }
    api_answer_fini(&answer);
    buf_fini(&b);
    buf_fini(&path);
    return status;
}

static int run(struct client *c)
{
    int status = client_open(c);
    if (status)
        return status;
    return c->settings.operand_count ? show_type(c, c->settings.operands[0]) : list_types(c);
}

const struct command command_types = {
    .name = "types",
    .arguments = "[TYPE]",
    .summary = "what can be connected; with TYPE, its fields and events",
    .operands_max = 1,
    .run = run,
};
