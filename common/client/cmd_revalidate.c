/* patchbay revalidate: starts a batch over all integrations that a filter selects, and follows it. */
#include "common/client/batch.h"
#include "common/clock.h"

#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#define AT(field)    offsetof(struct settings, field)
#define COUNT(t)     (sizeof(t) / sizeof((t)[0]))
#define RATE_MAX     100000
#define AGO_MAX_DAYS 36500

/* "90m" is the time 90 minutes ago; anything else is left to the broker, which wants a time of RFC 3339. */
static void read_since(const char *text, char *out, size_t size)
{
    static const struct {
        char unit;
        int64_t ms;
    } units[] = {{'s', 1000}, {'m', 60000}, {'h', 3600000}, {'d', 86400000}};
    char *end, time[CLOCK_TEXT_BYTES];
    long long ago = strtoll(text, &end, 10);
    snprintf(out, size, "%s", text);
    for (size_t i = 0; i < COUNT(units); i++)
        if (end != text && *end == units[i].unit && !end[1] && ago >= 0 &&
            ago <= AGO_MAX_DAYS * INT64_C(86400000) / units[i].ms) {
            clock_text(clock_wall_ms() - ago * units[i].ms, time);
            snprintf(out, size, "%s", time);
        }
}

static char *make_body(const struct settings *s)
{
    char since[128] = "";
    if (s->not_since)
        read_since(s->not_since, since, sizeof since);
    const struct json_text filters[] = {{"tenant", s->tenant},
                                        {"type", s->type},
                                        {"status", s->status},
                                        {"health", s->health},
                                        {"notValidatedSince", s->not_since ? since : NULL}};
    json_t *filter = json_object(), *body = json_pack("{s:s, s:o, s:I}", "kind", "revalidate", "filter",
                                                      filter, "ratePerSecond", (json_int_t)s->rate);
    bool ok = body && json_set_texts(filter, filters, COUNT(filters));
    char *text = ok ? json_dumps(body, JSON_COMPACT) : NULL;
    json_decref(body);
    return text;
}

static int start(struct client *c, json_t **out)
{
    char *body = make_body(&c->settings);
    int status = body ? client_open(c) : client_say(c, CLIENT_USAGE, "a filter is not UTF-8");
    if (!status)
        status =
            client_fetch(c,
                         &(struct api_request){
                             .method = "POST", .path = "/v1/batches", .body = body, .body_len = strlen(body)},
                         out);
    free(body);
    return status;
}

static int run(struct client *c)
{
    json_t *batch = NULL;
    int status = start(c, &batch);
    if (status)
        return status;
    if (!c->settings.no_watch)
        return batch_follow(c, batch);
    if (c->settings.json)
        client_print_json(c, batch);
    const char *id = json_text_at(batch, "id");
    client_print_ok(c, "%s: %lld to be validated; patchbay batch watch %s shows how far it is", id,
                    json_int_at(batch, "total"), id);
    json_decref(batch);
    return CLIENT_DONE;
}

static const struct option options[] = {
    {"type", OPTION_TEXT, AT(type), NULL, 0, 0, "TYPE", "of this type only"},
    {"status", OPTION_TEXT, AT(status), NULL, 0, 0, "STATUS", "active, inactive or error"},
    {"health", OPTION_TEXT, AT(health), NULL, 0, 0, "HEALTH", "ok, degraded or unknown"},
    {"not-validated-since", OPTION_TEXT, AT(not_since), NULL, 0, 0, "TIME",
     "validated before this, or never: 24h, or 2026-01-31T12:00:00Z"},
    {"tenant", OPTION_TEXT, AT(tenant), NULL, 0, 0, "TENANT", "of this tenant only"},
    {"rate", OPTION_NUMBER, AT(rate), "0", 0, RATE_MAX, "N", "so many a second; 0: as fast as can be"},
    {"no-watch", OPTION_FLAG, AT(no_watch), NULL, 0, 0, NULL, "start it and return"},
};

const struct command command_revalidate = {
    .name = "revalidate",
    .arguments = "",
    .summary = "test all integrations, or those that a filter selects",
    .details =
        "Starts a batch in the broker and shows its progress on standard error, then counts by result and\n"
        "the first failures. Ctrl-C ends the watching; the batch goes on (patchbay batch).",
    .options = options,
    .option_count = COUNT(options),
    .run = run,
};
