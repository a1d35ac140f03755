#include "common/client/batch.h"

#include "common/client/answer.h"
#include "common/clock.h"
#include "common/id.h"

#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/signalfd.h>
#include <unistd.h>

#define LOOK_MS        400
#define PLAIN_EVERY_MS 5000
#define LOST_MS        30000 /* a broker that is started again is back before */
#define FAILURES_SHOWN 20
#define OUT_BYTES      (4 * 1024 * 1024)
#define COUNT(t)       (sizeof(t) / sizeof((t)[0]))

/* -- asking -- */

static int check_id(struct client *c, const char *id)
{
    struct pb_id parsed;
    if (id && id_parse(id, ID_BATCH, &parsed) == PB_OK)
        return CLIENT_DONE;
    return client_say(c, CLIENT_USAGE, "\"%s\" is no batch's id; patchbay batch list shows them",
                      id ? id : "");
}

int batch_ask(struct client *c, const char *method, const char *id, const char *verb, const char *body,
              json_t **out)
{
    char path[64 + CLIENT_ID_BYTES];
    int status = check_id(c, id);
    if (status)
        return status;
    snprintf(path, sizeof path, "/v1/batches/%s%s", id, verb);
    return client_fetch(
        c,
        &(struct api_request){
            .method = method, .path = path, .body = body, .body_len = body ? strlen(body) : 0},
        out);
}

/* -- showing -- */

void batch_put_filter(const json_t *record, struct buf *out)
{
    const char *name;
    json_t *value;
    bool some = false;
    json_object_foreach(json_object_get(record, "filter"), name, value)
    {
        const char *text = json_string_value(value);
        buf_text(out, some ? ", " : "");
        text_safe(out, name);
        buf_text(out, " ");
        text_safe(out, text ? text : "-");
        some = true;
    }
    if (!some)
        buf_text(out, "all");
}

/* -- watching -- */

struct watch {
    struct client *client;
    json_t *batch;
    char path[64 + CLIENT_ID_BYTES];
    struct progress progress;
    int signals;
    uint64_t seen_ms; /* when the broker answered last */
};

static bool is_over(const json_t *batch)
{
    return json_is_string(json_object_get(batch, "finishedAt"));
}

static void show(struct watch *w, bool last)
{
    const char *state = json_text_at(w->batch, "state");
    double speed = json_number_value(json_object_get(w->batch, "perSecond"));
    uint64_t now_ms = clock_mono_ms();
    struct progress *p = &w->progress;
    p->what = state && strcmp(state, "paused") == 0 ? "validated (paused)" : "validated";
    p->total = (size_t)json_int_at(w->batch, "total");
    p->done = (size_t)json_int_at(w->batch, "done");
    if (speed > 0) /* by the broker's own measure: the watching may have begun late */
        p->started_ms = now_ms - (uint64_t)((double)p->done * 1000 / speed);
    progress_show(p, now_ms, last);
}

static int look(struct watch *w)
{
    struct api_answer answer = {0};
    struct pb_why why = {0};
    struct client *c = w->client;
    pb_err err = api_call(c->api, &(struct api_request){.method = "GET", .path = w->path}, &answer, &why);
    if (err == PB_E_CLOSED && clock_mono_ms() - w->seen_ms < LOST_MS)
        return CLIENT_DONE;
    if (err)
        return client_say(c, CLIENT_UNREACHABLE, "lost the broker at %s: %s", api_url(c->api), why.text);
    w->seen_ms = clock_mono_ms();
    int status =
        answer.status < 400 || answer.status == 503 ? CLIENT_DONE : client_refused(c, &answer, stderr);
    if (answer.status < 400) {
        json_decref(w->batch);
        w->batch = json_incref(answer.body);
    }
    api_answer_fini(&answer);
    return status;
}

/* True: the user has had enough. */
static bool rest(const struct watch *w)
{
    struct pollfd fd = {.fd = w->signals, .events = POLLIN};
    return poll(&fd, 1, LOOK_MS) > 0;
}

static int leave(struct watch *w)
{
    const char *id = json_text_at(w->batch, "id");
    if (w->client->term.err_tty)
        fputc('\n', stderr);
    return client_say(w->client, CLIENT_NO,
                      "the batch goes on by itself; patchbay batch watch %s shows it again, patchbay batch "
                      "cancel %s ends it",
                      id, id);
}

static int watch(struct watch *w)
{
    int status = CLIENT_DONE;
    bool left = false;
    while (!status && !left && !is_over(w->batch)) {
        show(w, false);
        left = rest(w);
        if (!left)
            status = look(w);
    }
    if (left)
        return leave(w);
    if (!status)
        show(w, true);
    return status;
}

static int watch_interruptibly(struct watch *w)
{
    sigset_t interrupts, before;
    sigemptyset(&interrupts);
    sigaddset(&interrupts, SIGINT);
    sigprocmask(SIG_BLOCK, &interrupts, &before);
    w->signals = signalfd(-1, &interrupts, SFD_CLOEXEC);
    int status = w->signals < 0 ? client_say(w->client, CLIENT_NO, "no descriptor is left") : watch(w);
    if (w->signals >= 0) {
        struct signalfd_siginfo taken;
        struct pollfd fd = {.fd = w->signals, .events = POLLIN};
        if (poll(&fd, 1, 0) > 0 && read(w->signals, &taken, sizeof taken) < 0)
            status = CLIENT_NO;
        close(w->signals);
    }
    sigprocmask(SIG_SETMASK, &before, NULL);
    return status;
}

/* -- what came of it -- */

struct failures {
    const char *since; /* RFC 3339, of the broker: compares as text */
    struct table table;
    json_t *items;
    bool more;
};

static const struct column columns[] = {
    {"NAME", true, false}, {"TYPE", false, false}, {"RESULT", false, true}, {"WHY", true, false}};

static bool visit(void *arg, json_t *item)
{
    struct failures *f = arg;
    const char *validated = json_text_at(item, "lastValidated");
    const json_t *result = json_object_get(item, "result");
    const char *const cells[] = {json_text_at(item, "name"), json_text_at(item, "type"),
                                 json_text_at(result, "code"), json_text_at(result, "message")};
    if (!validated || !f->since || strcmp(validated, f->since) < 0)
        return true;
    f->more = json_array_size(f->items) == FAILURES_SHOWN;
    if (f->more)
        return false;
    for (size_t i = 0; i < COUNT(cells); i++)
        table_add(&f->table, cells[i]);
    json_array_append_new(f->items, json_pack("{s:s?, s:s?, s:s?, s:s?}", "name", cells[0], "type", cells[1],
                                              "code", cells[2], "message", cells[3]));
    return true;
}

static int read_failures(struct client *c, const json_t *batch, struct failures *f)
{
    static const char *const healths[] = {"degraded", "unknown"};
    int status = CLIENT_DONE;
    for (size_t i = 0; i < COUNT(healths) && !status && !f->more; i++) {
        struct buf path;
        struct settings filter = {.type = json_text_in(batch, "filter", "type"), .health = healths[i]};
        buf_init(&path, 8192);
        buf_text(&path, "/v1/integrations?limit=500");
        client_filter(&filter, &path);
        status = client_list(c, buf_peek(&path), visit, f);
        buf_fini(&path);
    }
    return status;
}

/* Of a code, or of what stands for one in a batch's counts. */
static bool is_failure(const char *code)
{
    static const char *const fine[] = {"ok", "test_unavailable", "deleted", "no_longer_selected"};
    for (size_t i = 0; i < COUNT(fine); i++)
        if (strcmp(code, fine[i]) == 0)
            return false;
    return true;
}

static long long count_failed(const json_t *batch)
{
    const char *code;
    json_t *count;
    long long failed = 0;
    json_object_foreach(json_object_get(batch, "counts"), code, count)
    {
        failed += is_failure(code) ? json_integer_value(count) : 0;
    }
    return failed;
}

static void put_counts(const struct client *c, const json_t *batch, struct buf *b)
{
    const char *code;
    json_t *count;
    json_object_foreach(json_object_get(batch, "counts"), code, count)
    {
        enum style style = is_failure(code) ? STYLE_BAD : STYLE_GOOD;
        buf_printf(b, "%8lld  %s", (long long)json_integer_value(count), style_start(style, c->term.color));
        text_safe(b, code);
        buf_printf(b, "%s\n", style_end(style, c->term.color));
    }
}

static void put_report(const struct client *c, const json_t *batch, const struct failures *f, struct buf *b)
{
    long long done = json_int_at(batch, "done"), failed = count_failed(batch),
              broken = json_int_at(batch, "newlyBroken"), healthy = json_int_at(batch, "newlyHealthy");
    if (json_array_size(f->items)) {
        table_render(&f->table, term_width(&c->term), c->term.color, b);
        buf_text(b, f->more ? "these are the first; patchbay list --health degraded shows more\n\n" : "\n");
    }
    put_counts(c, batch, b);
    buf_printf(b, "%8lld  validated, %lld passed, %lld failed", done, done - failed, failed);
    if (broken)
        buf_printf(b, "; %lld newly broken", broken);
    if (healthy)
        buf_printf(b, "; %lld healthy again", healthy);
    buf_printf(b, "%s\n",
               strcmp(json_text_at(batch, "state"), "cancelled") == 0 ? "; then it was cancelled" : "");
}

static int report(struct client *c, json_t *batch)
{
    struct failures f = {.since = json_text_at(batch, "createdAt"), .items = json_array()};
    struct buf b;
    long long failed = count_failed(batch);
    table_init(&f.table, columns, COUNT(columns));
    int status = failed ? read_failures(c, batch, &f) : CLIENT_DONE;
    buf_init(&b, OUT_BYTES);
    if (!status && c->settings.json) {
        json_object_set(batch, "failures", f.items);
        client_print_json(c, batch);
    } else if (!status) {
        put_report(c, batch, &f, &b);
    }
    term_print(&b);
    buf_fini(&b);
    table_fini(&f.table);
    json_decref(f.items);
    return status ? status : failed ? CLIENT_NO : CLIENT_DONE;
}

int batch_follow(struct client *c, json_t *batch)
{
    uint64_t now_ms = clock_mono_ms();
    struct watch w = {.client = c, .batch = batch, .seen_ms = now_ms};
    const char *id = json_text_at(batch, "id");
    int status = check_id(c, id);
    w.progress = (struct progress){
        .term = &c->term, .started_ms = now_ms, .shown_ms = now_ms, .plain_every_ms = PLAIN_EVERY_MS};
    snprintf(w.path, sizeof w.path, "/v1/batches/%s", id ? id : "");
    if (!status && !is_over(batch))
        status = watch_interruptibly(&w);
    if (!status)
        status = report(c, w.batch);
    json_decref(w.batch);
    return status;
}
