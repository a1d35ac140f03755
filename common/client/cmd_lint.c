/* patchbay lint: are these packages right? Reads them as broker and workers do, checks every sample against
 * its event's schema, and with --checks plays the recorded answers through the connector's code. Without a
 * broker. */
#include "common/client/client.h"
#include "common/event_check.h"
#include "common/event_schema.h"
#include "common/limits.h"
#include "common/manifest.h"
#include "common/package_file.h"
#include "worker/declarative/checks.h"

#include <dirent.h>
#include <errno.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define AT(field)  offsetof(struct settings, field)
#define COUNT(t)   (sizeof(t) / sizeof((t)[0]))
#define PATH_BYTES 4096

struct lint {
    struct client *client;
    struct event_checker *checker;
    struct js_cache *cache;
    json_t *items;  /* {package, ok, faults: [{at, message}]} */
    json_t *faults; /* of the package at hand; lent */
    const char *package;
    size_t packages, bad;
    size_t samples, checks; /* of the package at hand */
};

/* -- faults -- */

static json_t *clean(const char *text)
{
    struct buf b;
    buf_init(&b, 8192);
    buf_utf8(&b, text, strlen(text));
    json_t *json = json_string(buf_peek(&b));
    buf_fini(&b);
    return json;
}

static void fault(struct lint *l, const char *at, const char *text)
{
    json_array_append_new(l->faults, json_pack("{s:o, s:o}", "at", clean(at), "message", clean(text)));
}

static void fault_in(struct lint *l, const char *file, const char *pointer, const char *text)
{
    char at[PATH_BYTES];
    snprintf(at, sizeof at, "%.200s/%.300s%s%.3000s", l->package, file, pointer[0] ? "#" : "", pointer);
    fault(l, at, text);
}

/* -- samples -- */

static void take_errors(struct lint *l, const char *file, const struct buf *answer)
{
    json_t *check = json_loadb(buf_peek(answer), answer->len, JSON_ALLOW_NUL, NULL), *error;
    size_t i;
    json_array_foreach(json_object_get(check, "errors"), i, error)
        fault_in(l, file, json_text_at(error, "instanceLocation"), json_text_at(error, "message"));
    json_decref(check);
}

static void check_sample(struct lint *l, const struct manifest *m, const struct event_type *e)
{
    char file[LIMIT_EVENT_TYPE_CHARS + 24];
    struct buf text, answer;
    struct js_cached *cached = NULL;
    struct pb_why why = {0};
    snprintf(file, sizeof file, "samples/%s.json", e->event_type);
    pb_err err = package_file_read(m->folder, file, LIMIT_EVENT_BYTES, &text);
    if (err) {
        fault_in(l, file, "",
                 err == PB_E_NOT_FOUND ? "every event needs a sample; there is no such file"
                                       : "the file cannot be read, or is too large");
        return;
    }
    buf_init(&answer, 2 * LIMIT_EVENT_ANSWER_BYTES);
    err = event_schema_get(l->cache, m, e->event_type, &cached, &why);
    if (!err)
        err = event_check(l->checker, js_cached_schema(cached), buf_peek(&text), text.len,
                          LIMIT_EVENT_ANSWER_BYTES, &answer);
    if (err)
        fault(l, why.at, why.text);
    else
        take_errors(l, file, &answer);
    if (cached)
        js_cache_put(l->cache, cached);
    l->samples++;
    buf_fini(&answer);
    buf_fini(&text);
}

/* -- recorded answers -- */

static void play_checks(struct lint *l, const struct manifest *m)
{
    char text[512] = "";
    struct buf file;
    json_error_t error;
    pb_err err = package_file_read(m->folder, "checks.json", LIMIT_CHECKS_BYTES, &file);
    if (err) {
        fault_in(l, "checks.json", "",
                 err == PB_E_NOT_FOUND ? "there is none" : "it cannot be read, or is too large");
        return;
    }
    json_t *checks = json_loadb(buf_peek(&file), file.len, JSON_REJECT_DUPLICATES, &error);
    if (!checks) {
        snprintf(text, sizeof text, "line %d, column %d: %s", error.line, error.column, error.text);
        fault_in(l, "checks.json", "", text);
    } else if (checks_play(m, checks, text, sizeof text)) {
        fault_in(l, "checks.json", "", text);
    }
    l->checks = json_array_size(checks);
    json_decref(checks);
    buf_fini(&file);
}

/* -- one package -- */

static void print_package(const struct lint *l, size_t events)
{
    struct buf b;
    json_t *one;
    size_t i;
    bool good = json_array_size(l->faults) == 0, color = l->client->term.color;
    buf_init(&b, 4 * 1024 * 1024);
    buf_printf(&b, "%s%s%s  ", style_start(good ? STYLE_GOOD : STYLE_BAD, color), good ? "ok" : "no",
               style_end(good ? STYLE_GOOD : STYLE_BAD, color));
    text_safe(&b, l->package);
    if (good)
        buf_printf(&b, "  %zu events, %zu samples", events, l->samples);
    if (good && l->client->settings.checks)
        buf_printf(&b, ", %zu checks", l->checks);
    buf_text(&b, "\n");
    json_array_foreach(l->faults, i, one)
    {
        buf_text(&b, "    ");
        text_safe(&b, json_text_at(one, "at"));
        buf_text(&b, ": ");
        text_safe(&b, json_text_at(one, "message"));
        buf_text(&b, "\n");
    }
    term_print(&b);
    buf_fini(&b);
}

static size_t look_inside(struct lint *l, const char *path)
{
    struct manifest *m = NULL;
    struct pb_why why = {0};
    size_t events = 0;
    if (manifest_open(path, &m, &why) != PB_OK) {
        fault(l, why.at, why.text);
        return 0;
    }
    for (; events < m->event_count; events++)
        check_sample(l, m, &m->events[events]);
    if (l->client->settings.checks)
        play_checks(l, m);
    manifest_close(m);
    return events;
}

static void lint_package(struct lint *l, const char *path, const char *name)
{
    l->faults = json_array();
    l->package = name;
    l->samples = l->checks = 0;
    size_t events = look_inside(l, path);
    l->packages++;
    l->bad += json_array_size(l->faults) > 0;
    if (!l->client->settings.json)
        print_package(l, events);
    json_array_append_new(l->items, json_pack("{s:o, s:b, s:o}", "package", clean(name), "ok",
                                              json_array_size(l->faults) == 0, "faults", l->faults));
}

/* -- a folder -- */

static bool has_manifest(const char *path)
{
    char file[PATH_BYTES];
    snprintf(file, sizeof file, "%.4000s/manifest.json", path);
    FILE *f = fopen(file, "re");
    if (f)
        fclose(f);
    return f;
}

static int is_visible(const struct dirent *entry)
{
    return entry->d_name[0] != '.';
}

static int lint_folder(struct lint *l, const char *folder)
{
    char path[PATH_BYTES];
    struct dirent **entries = NULL;
    int count = scandir(folder, &entries, is_visible, alphasort);
    if (count < 0)
        return client_say(l->client, CLIENT_USAGE, "%s cannot be read: %s", folder, strerror(errno));
    for (int i = 0; i < count; i++) {
        snprintf(path, sizeof path, "%.3500s/%s", folder, entries[i]->d_name);
        if (has_manifest(path))
            lint_package(l, path, entries[i]->d_name);
        free(entries[i]);
    }
    free(entries);
    return l->packages ? CLIENT_DONE
                       : client_say(l->client, CLIENT_USAGE,
                                    "there is no package in %s: a package is a folder with a "
                                    "manifest.json",
                                    folder);
}

static int lint(struct lint *l, const char *folder)
{
    char *whole = realpath(folder, NULL);
    int status = CLIENT_DONE;
    if (whole && has_manifest(whole))
        lint_package(l, whole, strrchr(whole, '/') + 1);
    else
        status = lint_folder(l, folder);
    free(whole);
    if (l->client->settings.json && !status)
        client_print_json(l->client, l->items);
    return status ? status : l->bad ? CLIENT_NO : CLIENT_DONE;
}

static int run(struct client *c)
{
    struct lint l = {.client = c,
                     .checker = event_checker_new(),
                     .cache = js_cache_new(LIMIT_EVENT_SCHEMAS, LIMIT_EVENT_SCHEMA_BYTES),
                     .items = json_array()};
    int status = l.checker && l.cache && l.items
                     ? lint(&l, c->settings.operand_count ? c->settings.operands[0] : "manifests")
                     : client_say(c, CLIENT_NO, "out of memory");
    event_checker_free(l.checker);
    js_cache_free(l.cache);
    json_decref(l.items);
    return status;
}

static const struct option options[] = {
    {"checks", OPTION_FLAG, AT(checks), NULL, 0, 0, NULL,
     "play checks.json, recorded answers of the service, through the connector's code"},
};

const struct command command_lint = {
    .name = "lint",
    .arguments = "[DIR]",
    .summary = "check packages: manifests, schemas and samples",
    .details =
        "DIR is a package, or a folder of packages (default: manifests). Needs no broker. Names file, JSON\n"
        "pointer and reason of each fault.",
    .operands_max = 1,
    .options = options,
    .option_count = COUNT(options),
    .run = run,
};
