/* patchbay workers and patchbay keys: what runs, and what it needs. */
#include "common/client/client.h"
#include "common/id.h"
#include "common/keyring.h"

#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define AT(field) offsetof(struct settings, field)
#define COUNT(t)  (sizeof(t) / sizeof((t)[0]))

/* -- workers -- */

static const struct column columns[] = {{"NAME", true, false},     {"ID", false, false},
                                        {"VERSION", false, false}, {"STATE", false, true},
                                        {"RUNNING", false, false}, {"CAPACITY", false, false},
                                        {"JOINED", false, false},  {"LAST HEARD", false, false}};

struct listing {
    struct table table;
    json_t *items;
};

static void add_number(struct table *t, const json_t *item, const char *key)
{
    if (json_object_get(item, key))
        table_addf(t, "%lld", json_int_at(item, key));
    else
        table_add(t, NULL);
}

static bool visit(void *arg, json_t *item)
{
    struct listing *l = arg;
    json_array_append(l->items, item);
    table_add(&l->table, json_text_at(item, "name"));
    table_add(&l->table, json_text_at(item, "id"));
    table_add(&l->table, json_text_at(item, "version"));
    table_add(&l->table, json_is_true(json_object_get(item, "draining")) ? "draining" : "active");
    add_number(&l->table, item, "running");
    add_number(&l->table, item, "capacity");
    table_add_time(&l->table, json_text_at(item, "joinedAt"));
    table_add_time(&l->table, json_text_at(item, "lastHeardAt"));
    return !l->table.failed;
}

static int run_list(struct client *c)
{
    struct listing l = {.items = json_array()};
    table_init(&l.table, columns, COUNT(columns));
    int status = client_open(c);
    if (!status)
        status = client_list(c, "/v1/workers", visit, &l);
    if (!status)
        status = client_show_list(c, l.items, &l.table,
                                  "no worker is connected; patchbay up starts some, patchbay-worker one");
    table_fini(&l.table);
    json_decref(l.items);
    return status;
}

/* -- workers drain -- */

struct named {
    const char *name;
    char id[CLIENT_ID_BYTES];
    size_t count;
};

static bool visit_named(void *arg, json_t *item)
{
    struct named *n = arg;
    const char *name = json_text_at(item, "name"), *id = json_text_at(item, "id");
    struct pb_id parsed;
    if (!id || id_parse(id, ID_WORKER, &parsed) != PB_OK)
        return true;
    if (strcmp(id, n->name) != 0 && (!name || strcmp(name, n->name) != 0))
        return true;
    snprintf(n->id, sizeof n->id, "%s", id);
    n->count++;
    return true;
}

static int find_worker(struct client *c, struct named *n)
{
    int status = client_list(c, "/v1/workers", visit_named, n);
    if (status || n->count == 1)
        return status;
    return n->count
               ? client_say(c, CLIENT_NO, "%zu workers have the name \"%s\"; name one by its id", n->count,
                            n->name)
               : client_say(c, CLIENT_NO, "there is no worker \"%s\"; patchbay workers lists them", n->name);
}

static int run_drain(struct client *c)
{
    struct named n = {.name = c->settings.operands[0]};
    struct api_answer answer = {0};
    char path[64 + CLIENT_ID_BYTES];
    int status = client_open(c);
    if (!status)
        status = find_worker(c, &n);
    if (status)
        return status;
    snprintf(path, sizeof path, "/v1/workers/%s:drain", n.id);
    status = client_call(c, &(struct api_request){.method = "POST", .path = path}, &answer);
    if (!status && c->settings.json)
        client_print_json(c, answer.body);
    if (!status)
        client_print_ok(c, "%s takes nothing new, finishes what it has, and leaves", n.name);
    api_answer_fini(&answer);
    return status;
}

/* -- keys init -- */

static int run_keys_init(struct client *c)
{
    struct pb_why why = {0};
    char *path = NULL;
    if (asprintf(&path, "%s%s", c->settings.keyring ? c->settings.keyring : c->settings.data_dir,
                 c->settings.keyring ? "" : "/keyring") < 0)
        return client_say(c, CLIENT_NO, "out of memory");
    pb_err err = keyring_create(path, &why);
    int status = err ? client_fail(c, CLIENT_NO, &why) : CLIENT_DONE;
    if (!status && !c->settings.json)
        printf("ok  a new key in %s\n    keep a copy in a safe place: without it no stored credential can be "
               "read\n",
               path);
    free(path);
    return status;
}

static const struct option keys_options[] = {
    {"keyring", OPTION_TEXT, AT(keyring), NULL, 0, 0, "FILE",
     "where to make it (default: keyring in the data folder)"},
};

const struct command command_workers_list = {.name = "workers list",
                                             .is_usual = true,
                                             .arguments = "",
                                             .summary = "the workers and what they do",
                                             .run = run_list};
const struct command command_workers_drain = {
    .name = "workers drain",
    .arguments = "ID|NAME",
    .summary = "have a worker finish what it has, and leave",
    .details = "As if its process had got SIGTERM: no job is lost by it. What started it may start another.",
    .operands_min = 1,
    .operands_max = 1,
    .run = run_drain};
const struct command command_keys_init = {.name = "keys init",
                                          .arguments = "",
                                          .summary = "make the file of master keys that workers read",
                                          .details =
                                              "Never over an existing file. patchbay up does it by itself.",
                                          .options = keys_options,
                                          .option_count = COUNT(keys_options),
                                          .run = run_keys_init};
