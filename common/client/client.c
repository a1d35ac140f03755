#include "common/client/client.h"

#include "common/client/answer.h"
#include "common/clock.h"
#include "common/id.h"
#include "common/limits.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#define LIMIT_PATH_BYTES 8192
#define LIMIT_PAGES      100000
#define LIST_TEXT_BYTES  (256 * 1024 * 1024)
#define FOLLOW_MIN_MS    100
#define FOLLOW_MAX_MS    2000

/* -- saying what is wrong -- */

int client_say(const struct client *c, int exit, const char *format, ...)
{
    struct pb_why why = {0};
    va_list args;
    va_start(args, format);
    vsnprintf(why.text, sizeof why.text, format, args);
    va_end(args);
    return client_fail(c, exit, &why);
}

int client_fail(const struct client *c, int exit, const struct pb_why *why)
{
    struct buf b;
    buf_init(&b, 4096);
    text_safe(&b, why->at);
    buf_text(&b, why->at[0] ? ": " : "");
    text_safe(&b, why->text);
    fflush(stdout);
    fprintf(stderr, "patchbay%s%s: %s\n", c->command ? " " : "", c->command ? c->command : "", buf_peek(&b));
    buf_fini(&b);
    return exit;
}

int client_open_file(const struct client *c, const char *path, FILE **out, const char **name)
{
    bool input = strcmp(path, "-") == 0;
    *name = input ? "standard input" : path;
    *out = input ? stdin : fopen(path, "re");
    return *out ? CLIENT_DONE : client_say(c, CLIENT_USAGE, "%s cannot be opened: %s", path, strerror(errno));
}

void client_close_file(FILE *f)
{
    if (f != stdin)
        fclose(f);
}

void client_print_json(const struct client *c, const json_t *json)
{
    /* On a terminal nothing but ASCII: JSON escapes control characters only below U+0020. */
    size_t flags = JSON_ENCODE_ANY | (c->term.out_tty ? JSON_INDENT(2) | JSON_ENSURE_ASCII : JSON_COMPACT);
    json_dumpf(json, stdout, flags);
    fputc('\n', stdout);
}

int client_show_check(const struct client *c, const json_t *check, const char *name)
{
    struct buf b;
    bool valid = json_is_true(json_object_get(check, "isValid"));
    buf_init(&b, 2 * LIMIT_EVENT_ANSWER_BYTES);
    if (c->settings.json)
        client_print_json(c, check);
    else
        answer_check(check, name, c->term.color, &b);
    term_print(&b);
    buf_fini(&b);
    return valid ? CLIENT_DONE : CLIENT_NO;
}

int client_show_list(const struct client *c, json_t *items, const struct table *table, const char *if_none)
{
    struct buf b;
    if (c->settings.json) {
        json_t *all = json_pack("{s:O}", "items", items);
        client_print_json(c, all);
        json_decref(all);
        return CLIENT_DONE;
    }
    buf_init(&b, LIST_TEXT_BYTES);
    if (table->cell_count)
        table_render(table, term_width(&c->term), c->term.color, &b);
    else if (!table->failed)
        buf_printf(&b, "%s\n", if_none);
    term_print(&b);
    buf_fini(&b);
    return table->failed
               ? client_say(c, CLIENT_NO,
                            "there are more than a table holds; narrow the list down, or use --json")
               : CLIENT_DONE;
}

void client_print_ok(const struct client *c, const char *format, ...)
{
    char text[512];
    struct buf b;
    va_list args;
    if (c->settings.json)
        return;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    buf_init(&b, 4096);
    text_safe(&b, text);
    printf("%sok%s  %s\n", style_start(STYLE_GOOD, c->term.color), style_end(STYLE_GOOD, c->term.color),
           buf_peek(&b));
    buf_fini(&b);
}

int client_refused(struct client *c, const struct api_answer *a, FILE *out)
{
    struct buf b;
    if (c->settings.json) {
        client_print_json(c, a->body);
        return CLIENT_NO;
    }
    buf_init(&b, ANSWER_TEXT_BYTES);
    answer_problem(a->body, a->status, out == stdout && c->term.color, &b);
    if (a->status == 401)
        buf_printf(&b, "    the token %s%s\n",
                   c->access.token.data ? "is the one of " : "is missing: set PATCHBAY_TOKEN",
                   c->access.token.data ? c->access.token_from : "");
    fputs(buf_peek(&b), out);
    buf_fini(&b);
    return CLIENT_NO;
}

/* -- asking -- */

int client_open(struct client *c)
{
    struct pb_why why = {0};
    pb_err err = access_open(&c->settings, &c->access, &why);
    if (!err && c->access.token_exposed)
        client_say(c, 0, "warning: %s holds a token and may be read by others; run: chmod 600 %s",
                   c->access.token_from, c->access.token_from);
    if (!err)
        err = api_open(c->access.url, &c->access.token, &c->api, &why);
    return err ? client_fail(c, CLIENT_USAGE, &why) : CLIENT_DONE;
}

int client_ask(struct client *c, const struct api_request *r, struct api_answer *out)
{
    struct pb_why why = {0};
    pb_err err = api_call(c->api, r, out, &why);
    if (err == PB_E_CLOSED)
        return client_say(
            c, CLIENT_UNREACHABLE,
            "cannot reach the broker at %s (%s); start one with `patchbay up`, or set PATCHBAY_URL",
            api_url(c->api), why.text);
    return err ? client_fail(c, CLIENT_UNREACHABLE, &why) : CLIENT_DONE;
}

int client_call(struct client *c, const struct api_request *r, struct api_answer *out)
{
    int status = client_ask(c, r, out);
    if (status || out->status < 400)
        return status;
    status = client_refused(c, out, stderr);
    api_answer_fini(out);
    return status;
}

int client_fetch(struct client *c, const struct api_request *r, json_t **out)
{
    struct api_answer answer = {0};
    int status = client_call(c, r, &answer);
    if (!status)
        *out = json_incref(answer.body);
    api_answer_fini(&answer);
    return status;
}

/* -- lists -- */

void client_filter(const struct settings *s, struct buf *path)
{
    const struct {
        const char *name, *value;
    } filters[] = {
        {"type", s->type},   {"status", s->status}, {"health", s->health},           {"q", s->query},
        {"state", s->state}, {"kind", s->kind},     {"integration", s->integration}, {"code", s->code}};
    for (size_t i = 0; i < sizeof filters / sizeof filters[0]; i++) {
        if (!filters[i].value)
            continue;
        buf_printf(path, "%c%s=", strchr(buf_peek(path), '?') ? '&' : '?', filters[i].name);
        api_escape(path, filters[i].value);
    }
}

/* One page: visits its items and makes path that of the next one; *more says whether there is one. */
static int list_page(struct client *c, const char *base, struct buf *path,
                     bool (*visit)(void *arg, json_t *item), void *arg, bool *more)
{
    struct api_answer answer = {0};
    struct api_request request = {.method = "GET", .path = buf_peek(path)};
    int status = client_call(c, &request, &answer);
    if (status)
        return status;
    json_t *items = json_object_get(answer.body, "items"), *item;
    const char *next = json_text_at(answer.body, "next");
    size_t i;
    *more = next;
    json_array_foreach(items, i, item)
    {
        if (!visit(arg, item)) {
            *more = false;
            break;
        }
    }
    buf_reset(path);
    buf_text(path, base);
    buf_text(path, strchr(base, '?') ? "&after=" : "?after=");
    api_escape(path, next ? next : "");
    if (path->failed)
        status = client_say(c, CLIENT_NO, "the broker's cursor is too long");
    api_answer_fini(&answer);
    return status;
}

int client_list(struct client *c, const char *base, bool (*visit)(void *arg, json_t *item), void *arg)
{
    struct buf path;
    bool more = true;
    int status = CLIENT_DONE;
    buf_init(&path, LIMIT_PATH_BYTES);
    buf_text(&path, base);
    for (size_t page = 0; page < LIMIT_PAGES && more && !status; page++)
        status = list_page(c, base, &path, visit, arg, &more);
    buf_fini(&path);
    return status;
}

/* -- one record -- */

struct named {
    const char *name;
    json_t *found;
    size_t count;
};

static bool visit_named(void *arg, json_t *item)
{
    struct named *n = arg;
    const char *name = json_text_at(item, "name");
    if (!name || strcmp(name, n->name) != 0)
        return true;
    if (!n->found)
        n->found = json_incref(item);
    return ++n->count < 2;
}

static int find_by_name(struct client *c, const char *name, json_t **out)
{
    struct buf path;
    struct named named = {.name = name};
    buf_init(&path, LIMIT_PATH_BYTES);
    buf_text(&path, "/v1/integrations?limit=500&q=");
    api_escape(&path, name);
    int status = path.failed ? client_say(c, CLIENT_USAGE, "the name is too long")
                             : client_list(c, buf_peek(&path), visit_named, &named);
    if (!status && named.count == 0)
        status = client_say(c, CLIENT_NO, "there is no integration \"%s\"; patchbay list shows all", name);
    else if (!status && named.count > 1)
        status =
            client_say(c, CLIENT_NO, "several tenants have an integration \"%s\"; name it by its id", name);
    if (!status)
        *out = named.found;
    else
        json_decref(named.found);
    buf_fini(&path);
    return status;
}

int client_find(struct client *c, const char *operand, json_t **out)
{
    char path[64 + CLIENT_ID_BYTES];
    struct pb_id id;
    if (id_parse(operand, ID_INTEGRATION, &id) != PB_OK)
        return find_by_name(c, operand, out);
    snprintf(path, sizeof path, "/v1/integrations/%s", operand);
    return client_fetch(c, &(struct api_request){.method = "GET", .path = path}, out);
}

/* -- jobs -- */

static bool has_ended(const json_t *job)
{
    const char *state = json_text_at(job, "state");
    return state && (strcmp(state, "done") == 0 || strcmp(state, "failed") == 0 ||
                     strcmp(state, "cancelled") == 0 || strcmp(state, "dead") == 0);
}

static int read_job(struct client *c, json_t **job)
{
    char path[64 + CLIENT_ID_BYTES];
    json_t *now = NULL;
    struct pb_id id;
    const char *text = json_text_at(*job, "id");
    if (!text || id_parse(text, ID_JOB, &id) != PB_OK)
        return client_say(c, CLIENT_NO, "the broker's answer names no job");
    snprintf(path, sizeof path, "/v1/jobs/%s", text);
    int status = client_fetch(c, &(struct api_request){.method = "GET", .path = path}, &now);
    if (!status) {
        json_decref(*job);
        *job = now;
    }
    return status;
}

int client_follow(struct client *c, json_t **job, uint64_t until_ms)
{
    long pause_ms = FOLLOW_MIN_MS;
    int status = CLIENT_DONE;
    while (!status && !has_ended(*job) && clock_mono_ms() < until_ms) {
        struct timespec pause = {.tv_sec = pause_ms / 1000, .tv_nsec = pause_ms % 1000 * 1000000};
        nanosleep(&pause, NULL);
        pause_ms = pause_ms * 3 / 2 < FOLLOW_MAX_MS ? pause_ms * 3 / 2 : FOLLOW_MAX_MS;
        status = read_job(c, job);
    }
    term_status(&c->term, NULL);
    if (!status && !has_ended(*job))
        status = client_say(c, CLIENT_NO,
                            "job %s has not ended yet and goes on by itself; patchbay jobs show %s tells how "
                            "far it is, patchbay "
                            "workers whether there is a worker",
                            json_text_at(*job, "id"), json_text_at(*job, "id"));
    return status;
}

/* -- JSON -- */

const char *json_text_at(const json_t *object, const char *key)
{
    return json_string_value(json_object_get(object, key));
}

const char *json_text_in(const json_t *object, const char *outer, const char *key)
{
    return json_text_at(json_object_get(object, outer), key);
}

long long json_int_at(const json_t *object, const char *key)
{
    return json_integer_value(json_object_get(object, key));
}

bool json_set_texts(json_t *object, const struct json_text *texts, size_t count)
{
    bool ok = true;
    for (size_t i = 0; i < count && ok; i++)
        ok = !texts[i].value || json_object_set_new(object, texts[i].name, json_string(texts[i].value)) == 0;
    return ok;
}
