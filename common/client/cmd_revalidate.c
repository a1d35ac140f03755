/* patchbay revalidate: tests all integrations that a filter selects. The list is read first, so that the end
 * is known; then a fixed number of slots work through it, each with one validation under way. What the broker
 * puts off (429, 503) is asked again after a pause; what it answers 202 to is followed by its job. */
#include "common/client/answer.h"
#include "common/client/client.h"
#include "common/clock.h"
#include "common/id.h"
#include "common/limits.h"

#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define AT(field)        offsetof(struct settings, field)
#define COUNT(t)         (sizeof(t) / sizeof((t)[0]))
#define LIMIT_REVALIDATE 500000 /* integrations in one run */
#define LIMIT_PARALLEL   256
#define LIMIT_CODES      64   /* that are counted each by itself */
#define LIMIT_FAILED     1000 /* that are listed in the end */
#define LIMIT_TRIES      10   /* refusals for being busy, for one integration */
#define LIMIT_LOST       5    /* times that the broker cannot be reached */
#define PAUSE_MIN_MS     200
#define PAUSE_MAX_MS     10000
#define POLL_MS          500 /* between looks at a job that takes long */
#define PLAIN_EVERY_MS   5000
#define OUT_BYTES        (16 * 1024 * 1024)
#define WAIT_MAX_S       3600

struct target {
    char id[CLIENT_ID_BYTES];
    char *name, *type;
};

enum phase { SLOT_FREE, SLOT_DUE, SLOT_ASKED };

/* One validation under way. */
struct slot {
    enum phase phase;
    size_t target;
    char job[CLIENT_ID_BYTES]; /* "": not validated yet */
    unsigned tries;
    uint64_t due_ms, until_ms;
};

struct count {
    char code[64];
    bool passed;
    size_t count;
};

struct run {
    struct client *client;
    struct target *targets;
    size_t target_count, target_cap, next;
    bool too_many, no_memory;
    struct slot *slots;
    size_t slot_count, passed;
    struct count codes[LIMIT_CODES];
    size_t code_count, failed_count;
    struct table failed; /* the first LIMIT_FAILED of them */
    struct api_many *many;
    struct progress progress;
    pb_err lost; /* the broker is gone */
    struct pb_why why;
};

static const struct column failed_columns[] = {
    {"NAME", true, false}, {"TYPE", false, false}, {"RESULT", false, false}, {"WHY", true, false}};

/* -- the list -- */

static bool reserve_target(struct run *r)
{
    if (r->target_count < r->target_cap)
        return true;
    size_t cap = r->target_cap ? 2 * r->target_cap : 256;
    struct target *targets = realloc(r->targets, cap * sizeof *targets);
    if (!targets)
        return false;
    r->targets = targets;
    r->target_cap = cap;
    return true;
}

static bool visit(void *arg, json_t *item)
{
    struct run *r = arg;
    struct pb_id parsed;
    const char *id = json_text_at(item, "id"), *name = json_text_at(item, "name"),
               *type = json_text_at(item, "type");
    if (!id || id_parse(id, ID_INTEGRATION, &parsed) != PB_OK)
        return true;
    r->too_many = r->target_count == LIMIT_REVALIDATE;
    r->no_memory = !r->too_many && !reserve_target(r);
    if (r->too_many || r->no_memory)
        return false;
    struct target *t = &r->targets[r->target_count];
    *t = (struct target){.name = strdup(name ? name : "-"), .type = strdup(type ? type : "-")};
    snprintf(t->id, sizeof t->id, "%s", id);
    r->target_count++;
    r->no_memory = !t->name || !t->type;
    return !r->no_memory;
}

static int read_list(struct run *r)
{
    struct client *c = r->client;
    struct buf path;
    buf_init(&path, 8192);
    buf_text(&path, "/v1/integrations?limit=500");
    client_filter(&c->settings, &path);
    term_status(&c->term, "reading the list ...");
    int status = client_list(c, buf_peek(&path), visit, r);
    term_status(&c->term, NULL);
    if (!status && r->too_many)
        status = client_say(c, CLIENT_USAGE,
                            "there are more than %d; narrow them down: --type, --status, --health",
                            LIMIT_REVALIDATE);
    else if (!status && r->no_memory)
        status = client_say(c, CLIENT_NO, "out of memory");
    buf_fini(&path);
    return status;
}

/* -- outcomes -- */

static void count_code(struct run *r, const char *code, bool passed)
{
    size_t i = 0;
    while (i < r->code_count && strcmp(r->codes[i].code, code) != 0)
        i++;
    if (i == LIMIT_CODES)
        i--; /* the last one takes what is left over */
    if (i == r->code_count) {
        r->code_count++;
        snprintf(r->codes[i].code, sizeof r->codes[i].code, "%s", i == LIMIT_CODES - 1 ? "other" : code);
        r->codes[i].passed = passed;
    }
    r->codes[i].count++;
}

static void settle(struct run *r, struct slot *s, const char *code, const char *text, bool passed)
{
    const struct target *t = &r->targets[s->target];
    count_code(r, code ? code : "unknown", passed);
    r->progress.done++;
    r->passed += passed;
    if (!passed && r->failed_count++ < LIMIT_FAILED) {
        table_add(&r->failed, t->name);
        table_add(&r->failed, t->type);
        table_add(&r->failed, code);
        table_add(&r->failed, text);
    }
    *s = (struct slot){0};
}

static void settle_job(struct run *r, struct slot *s, const json_t *job)
{
    const json_t *result = json_object_get(job, "result");
    const char *code = json_text_at(result, "code");
    settle(r, s, code ? code : json_text_at(job, "state"), json_text_at(result, "message"),
           answer_passed(result));
}

static void pause_slot(struct slot *s, uint64_t now_ms, uint64_t pause_ms)
{
    s->phase = SLOT_DUE;
    s->due_ms = now_ms + pause_ms;
}

/* Not ended yet: looks at the job again in a while, until time is up. */
static void follow_job(struct run *r, struct slot *s, const json_t *job, uint64_t now_ms)
{
    const char *id = json_text_at(job, "id");
    struct pb_id parsed;
    if (!id || id_parse(id, ID_JOB, &parsed) != PB_OK) {
        settle(r, s, "unknown", "the broker's answer names no job", false);
    } else if (now_ms >= s->until_ms) {
        settle(r, s, "not_ended", "the test goes on; its outcome was not waited for", false);
    } else {
        snprintf(s->job, sizeof s->job, "%s", id);
        pause_slot(s, now_ms, POLL_MS);
    }
}

static void put_off(struct run *r, struct slot *s, const struct api_answer *a, uint64_t now_ms)
{
    uint64_t pause_ms = (uint64_t)PAUSE_MIN_MS << (s->tries < 10 ? s->tries : 10);
    if (a->retry_after_s * 1000ull > pause_ms)
        pause_ms = a->retry_after_s * 1000ull;
    if (++s->tries >= LIMIT_TRIES || now_ms >= s->until_ms)
        settle(r, s, json_text_at(a->body, "code"), json_text_at(a->body, "detail"), false);
    else
        pause_slot(s, now_ms, pause_ms < PAUSE_MAX_MS ? pause_ms : PAUSE_MAX_MS);
}

static void on_answer(struct run *r, struct slot *s, const struct api_answer *a, uint64_t now_ms)
{
    const char *state = json_text_at(a->body, "state");
    bool ended = state && strcmp(state, "waiting") != 0 && strcmp(state, "running") != 0;
    if (a->status == 429 || a->status == 503)
        put_off(r, s, a, now_ms);
    else if (a->status >= 400)
        settle(r, s, json_text_at(a->body, "code"), json_text_at(a->body, "detail"), false);
    else if (ended)
        settle_job(r, s, a->body);
    else
        follow_job(r, s, a->body, now_ms);
}

/* -- slots -- */

static void ask(struct run *r, struct slot *s, uint64_t now_ms)
{
    char path[64 + 2 * CLIENT_ID_BYTES];
    struct api_request request = {.method = s->job[0] ? "GET" : "POST", .path = path};
    uint64_t left_s = s->until_ms > now_ms ? (s->until_ms - now_ms) / 1000 + 1 : 1;
    if (s->job[0]) {
        snprintf(path, sizeof path, "/v1/jobs/%s", s->job);
    } else {
        snprintf(path, sizeof path, "/v1/integrations/%s/validate", r->targets[s->target].id);
        request.wait_s = (uint32_t)(left_s < LIMIT_HTTP_WAIT_SECONDS ? left_s : LIMIT_HTTP_WAIT_SECONDS);
    }
    s->phase = SLOT_ASKED;
    r->lost = api_many_start(r->many, &request, s);
}

/* Gives a free slot its next integration, and asks for those that are due. */
static void tend(struct run *r, struct slot *s, uint64_t now_ms)
{
    if (s->phase == SLOT_FREE && r->next < r->target_count)
        *s = (struct slot){.phase = SLOT_DUE,
                           .target = r->next++,
                           .until_ms = now_ms + (uint64_t)r->client->settings.wait_s * 1000};
    if (s->phase == SLOT_DUE && s->due_ms <= now_ms)
        ask(r, s, now_ms);
}

/* A broker that is started again is back in a moment; asking twice does no harm. */
static void on_lost(struct run *r, struct slot *s, const struct api_done *done, uint64_t now_ms)
{
    if (done->err != PB_E_CLOSED || s->tries >= LIMIT_LOST) {
        r->lost = done->err;
        r->why = done->why;
        return;
    }
    pause_slot(s, now_ms, (uint64_t)PAUSE_MIN_MS << s->tries++);
}

static void take_answers(struct run *r)
{
    struct api_done done;
    while (!r->lost && api_many_take(r->many, &done)) {
        if (done.err)
            on_lost(r, done.arg, &done, clock_mono_ms());
        else
            on_answer(r, done.arg, &done.answer, clock_mono_ms());
        api_answer_fini(&done.answer);
    }
}

static void work(struct run *r)
{
    while (!r->lost && r->progress.done < r->target_count) {
        for (size_t i = 0; i < r->slot_count && !r->lost; i++)
            tend(r, &r->slots[i], clock_mono_ms());
        api_many_wait(r->many, 50);
        take_answers(r);
        progress_show(&r->progress, clock_mono_ms(), false);
    }
}

/* -- what came of it -- */

static void print_json(struct run *r)
{
    json_t *counts = json_object(), *all;
    for (size_t i = 0; i < r->code_count; i++)
        json_object_set_new(counts, r->codes[i].code, json_integer((json_int_t)r->codes[i].count));
    json_t *failed = json_array();
    for (size_t i = 0; i + 3 < r->failed.cell_count; i += 4)
        json_array_append_new(failed, json_pack("{s:s, s:s, s:s, s:s}", "name", r->failed.cells[i], "type",
                                                r->failed.cells[i + 1], "code", r->failed.cells[i + 2],
                                                "message", r->failed.cells[i + 3]));
    all = json_pack("{s:I, s:I, s:I, s:o, s:o}", "total", (json_int_t)r->target_count, "passed",
                    (json_int_t)r->passed, "failed", (json_int_t)r->failed_count, "counts", counts,
                    "failures", failed);
    client_print_json(r->client, all);
    json_decref(all);
}

static void print_text(struct run *r)
{
    struct buf b;
    bool color = r->client->term.color;
    buf_init(&b, OUT_BYTES);
    if (r->failed.cell_count) {
        table_render(&r->failed, term_width(&r->client->term), color, &b);
        if (r->failed_count > LIMIT_FAILED)
            buf_printf(&b, "and %zu more\n", r->failed_count - LIMIT_FAILED);
        buf_text(&b, "\n");
    }
    for (size_t i = 0; i < r->code_count; i++) {
        enum style style = r->codes[i].passed ? STYLE_GOOD : STYLE_BAD;
        buf_printf(&b, "%8zu  %s", r->codes[i].count, style_start(style, color));
        text_safe(&b, r->codes[i].code);
        buf_printf(&b, "%s\n", style_end(style, color));
    }
    buf_printf(&b, "%8zu  validated, %zu passed, %zu failed, in %.1f s\n", r->progress.done, r->passed,
               r->failed_count, (double)(clock_mono_ms() - r->progress.started_ms) / 1000.0);
    term_print(&b);
    buf_fini(&b);
}

static int finish(struct run *r)
{
    struct client *c = r->client;
    if (r->target_count)
        progress_show(&r->progress, clock_mono_ms(), true);
    c->settings.json ? print_json(r) : print_text(r);
    if (r->lost)
        return client_say(c, CLIENT_UNREACHABLE, "lost the broker at %s after %zu of %zu: %s",
                          api_url(c->api), r->progress.done, r->target_count, r->why.text);
    return r->failed_count ? CLIENT_NO : CLIENT_DONE;
}

static int run_all(struct run *r)
{
    struct client *c = r->client;
    int status = read_list(r);
    if (status)
        return status;
    r->slot_count = (size_t)c->settings.parallel;
    r->slots = calloc(r->slot_count, sizeof *r->slots);
    if (!r->slots || api_many_open(c->api, r->slot_count, &r->many) != PB_OK)
        return client_say(c, CLIENT_NO, "out of memory");
    uint64_t now_ms = clock_mono_ms();
    r->progress = (struct progress){.term = &c->term,
                                    .what = "validated",
                                    .total = r->target_count,
                                    .started_ms = now_ms,
                                    .shown_ms = now_ms,
                                    .plain_every_ms = PLAIN_EVERY_MS};
    work(r);
    return finish(r);
}

static int run(struct client *c)
{
    struct run r = {.client = c};
    table_init(&r.failed, failed_columns, COUNT(failed_columns));
    int status = client_open(c);
    if (!status)
        status = run_all(&r);
    api_many_close(r.many);
    table_fini(&r.failed);
    for (size_t i = 0; i < r.target_count; i++) {
        free(r.targets[i].name);
        free(r.targets[i].type);
    }
    free(r.targets);
    free(r.slots);
    return status;
}

static const struct option options[] = {
    {"type", OPTION_TEXT, AT(type), NULL, 0, 0, "TYPE", "of this type only"},
    {"status", OPTION_TEXT, AT(status), NULL, 0, 0, "STATUS", "active, inactive or error"},
    {"health", OPTION_TEXT, AT(health), NULL, 0, 0, "HEALTH", "ok, degraded or unknown"},
    {"query", OPTION_TEXT, AT(query), NULL, 0, 0, "TEXT", "with this in the name or the account's label"},
    {"parallel", OPTION_NUMBER, AT(parallel), "16", 1, LIMIT_PARALLEL, "N", "validations at a time"},
    {"wait", OPTION_NUMBER, AT(wait_s), "120", 1, WAIT_MAX_S, "SECONDS", "how long to wait for one outcome"},
};

const struct command command_revalidate = {
    .name = "revalidate",
    .arguments = "",
    .summary = "test all integrations, or those that a filter selects",
    .details = "Shows progress on standard error, then which ones failed and why, and counts by result.",
    .options = options,
    .option_count = COUNT(options),
    .run = run,
};
