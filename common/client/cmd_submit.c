/* patchbay jobs submit: brings jobs from a file, one JSON object a line, as many in a request as one may
 * hold.
 *
 * What the broker has no room for at the moment goes into the next request again, before new lines do; so a
 * file of any length gets through a broker that holds fewer jobs than it has lines. */
#include "common/client/answer.h"
#include "common/client/client.h"
#include "common/clock.h"
#include "common/limits.h"

#include <errno.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#define AT(field)      offsetof(struct settings, field)
#define COUNT(t)       (sizeof(t) / sizeof((t)[0]))
#define LINE_BYTES     (1024 * 1024)
#define CHUNK_BYTES    (LIMIT_HTTP_BULK_BYTES - LINE_BYTES)
#define LIMIT_REFUSED  1000 /* that are listed in the end */
#define PAUSE_MIN_MS   500
#define PAUSE_MAX_MS   5000
#define PLAIN_EVERY_MS 5000
#define REQUEST_MS     120000 /* for one request: ten thousand setups are sealed in two seconds */
#define WAIT_MAX_S     86400

struct line {
    char *text;
    size_t len, number;
};

struct submit {
    struct client *client;
    FILE *in;
    const char *name; /* for messages */
    struct line *lines;
    size_t line_count, bytes, number;
    bool at_end;
    size_t accepted, refused;
    struct table refusals;
    struct progress progress; /* total 0: it is not known how many lines there are */
    uint64_t moved_ms;        /* when a job was accepted, or refused for other reasons than room */
    uint64_t pause_ms;
};

static const struct column refusal_columns[] = {
    {"LINE", false, false}, {"CODE", false, false}, {"WHY", true, false}};

/* -- lines -- */

static bool is_blank(const char *text)
{
    return !text[strspn(text, " \t\r\n")];
}

/* Takes lines until the chunk is full or the file over. */
static int fill(struct submit *s)
{
    while (!s->at_end && s->line_count < LIMIT_JOBS_SUBMITTED && s->bytes < CHUNK_BYTES) {
        char *text = NULL;
        size_t size = 0;
        ssize_t len = getline(&text, &size, s->in);
        s->at_end = len < 0;
        s->number += len >= 0;
        if (len > LINE_BYTES) {
            free(text);
            return client_say(s->client, CLIENT_USAGE, "%s: line %zu is longer than %d bytes", s->name,
                              s->number, LINE_BYTES);
        }
        if (len < 0 || is_blank(text)) {
            free(text);
            continue;
        }
        s->lines[s->line_count++] = (struct line){text, (size_t)len, s->number};
        s->bytes += (size_t)len + 1;
    }
    return ferror(s->in)
               ? client_say(s->client, CLIENT_USAGE, "%s cannot be read: %s", s->name, strerror(errno))
               : CLIENT_DONE;
}

static void drop_line(struct submit *s, struct line *l)
{
    s->bytes -= l->len + 1;
    free(l->text);
    *l = (struct line){0};
}

/* A file's lines can be counted beforehand; what comes through a pipe cannot. */
static size_t count_lines(FILE *in)
{
    struct stat st;
    char *text = NULL;
    size_t size = 0, count = 0;
    if (fstat(fileno(in), &st) != 0 || !S_ISREG(st.st_mode))
        return 0;
    while (getline(&text, &size, in) >= 0)
        count += !is_blank(text);
    free(text);
    rewind(in);
    return count;
}

/* -- what became of them -- */

static void moved(struct submit *s)
{
    s->moved_ms = clock_mono_ms();
    s->pause_ms = PAUSE_MIN_MS;
}

static void refuse(struct submit *s, struct line *l, const char *code, const char *why)
{
    if (s->refused++ < LIMIT_REFUSED) {
        table_addf(&s->refusals, "%zu", l->number);
        table_add(&s->refusals, code);
        table_add(&s->refusals, why);
    }
    drop_line(s, l);
}

static bool is_passing(int status)
{
    return status == 429 || status == 503;
}

static bool has_time(const struct submit *s)
{
    return clock_mono_ms() - s->moved_ms < (uint64_t)s->client->settings.wait_s * 1000;
}

/* What is wrong at the place that the pointer names says more than the detail of several faults. */
static const char *why_of(const json_t *error)
{
    const json_t *first = json_array_get(json_object_get(error, "errors"), 0);
    const char *message = json_text_at(first, "message"), *detail = json_text_at(error, "detail");
    return json_array_size(json_object_get(error, "errors")) > 1 && message ? message : detail;
}

/* One entry of the answer; with patience, what may pass stays for the next request. */
static void settle(struct submit *s, struct line *l, const json_t *item, bool patient)
{
    const json_t *error = json_object_get(item, "error");
    bool passing = error && is_passing((int)json_int_at(error, "status"));
    if (passing && patient)
        return;
    if (error) {
        refuse(s, l, json_text_at(error, "code"), why_of(error));
    } else {
        s->accepted++;
        drop_line(s, l);
    }
    if (!passing)
        moved(s);
}

static void close_gaps(struct submit *s)
{
    size_t kept = 0;
    for (size_t i = 0; i < s->line_count; i++)
        if (s->lines[i].text)
            s->lines[kept++] = s->lines[i];
    s->line_count = kept;
}

static int settle_all(struct submit *s, const json_t *answer)
{
    const json_t *items = json_object_get(answer, "items"), *item;
    bool patient = has_time(s);
    size_t i;
    if (json_array_size(items) != s->line_count)
        return client_say(s->client, CLIENT_UNREACHABLE, "the broker's answer does not fit what was sent");
    json_array_foreach(items, i, item) settle(s, &s->lines[i], item, patient);
    close_gaps(s);
    return CLIENT_DONE;
}

/* -- a request -- */

static void pause_a_while(struct submit *s, uint32_t retry_after_s)
{
    uint64_t ms = retry_after_s * 1000u > s->pause_ms ? retry_after_s * 1000u : s->pause_ms;
    struct timespec pause = {.tv_sec = (time_t)(ms / 1000), .tv_nsec = (long)(ms % 1000) * 1000000};
    nanosleep(&pause, NULL);
    s->pause_ms = s->pause_ms * 2 < PAUSE_MAX_MS ? s->pause_ms * 2 : PAUSE_MAX_MS;
}

static void make_body(const struct submit *s, struct buf *out)
{
    for (size_t i = 0; i < s->line_count; i++) {
        buf_append(out, s->lines[i].text, s->lines[i].len);
        if (s->lines[i].text[s->lines[i].len - 1] != '\n')
            buf_text(out, "\n");
    }
}

static int on_answer(struct submit *s, const struct api_answer *a)
{
    if (is_passing(a->status) && has_time(s)) {
        pause_a_while(s, a->retry_after_s);
        return CLIENT_DONE;
    }
    if (a->status >= 400)
        return client_refused(s->client, a, stderr);
    size_t before = s->line_count;
    int status = settle_all(s, a->body);
    if (!status && s->line_count == before)
        pause_a_while(s, 0);
    return status;
}

static int send_chunk(struct submit *s)
{
    struct buf body;
    struct api_answer answer = {0};
    buf_init(&body, LIMIT_HTTP_BULK_BYTES);
    body.secret = true; /* setups bring credentials */
    make_body(s, &body);
    struct api_request request = {.method = "POST",
                                  .path = "/v1/jobs",
                                  .body = buf_peek(&body),
                                  .body_len = body.len,
                                  .body_type = "application/x-ndjson",
                                  .limit_ms = REQUEST_MS};
    int status = body.failed ? client_say(s->client, CLIENT_NO, "out of memory")
                             : client_ask(s->client, &request, &answer);
    if (status == CLIENT_UNREACHABLE)
        client_say(
            s->client, 0,
            "whether line %zu and those after it were taken is not known; jobs with an idempotencyKey can "
            "simply be sent again",
            s->lines[0].number);
    if (!status)
        status = on_answer(s, &answer);
    api_answer_fini(&answer);
    buf_fini(&body);
    return status;
}

static void show_progress(struct submit *s, bool last)
{
    char text[96];
    s->progress.done = s->accepted + s->refused;
    if (s->progress.total) {
        progress_show(&s->progress, clock_mono_ms(), last);
        return;
    }
    snprintf(text, sizeof text, "%zu accepted, %zu refused", s->accepted, s->refused);
    term_status(&s->client->term, last ? NULL : text);
}

static int send_all(struct submit *s)
{
    int status = fill(s);
    while (!status && s->line_count) {
        show_progress(s, false);
        status = send_chunk(s);
        if (!status)
            status = fill(s);
    }
    show_progress(s, true);
    return status;
}

/* -- the end -- */

static void print_json(struct submit *s)
{
    json_t *refusals = json_array();
    for (size_t i = 0; i + 2 < s->refusals.cell_count; i += 3)
        json_array_append_new(refusals,
                              json_pack("{s:I, s:s, s:s}", "line",
                                        (json_int_t)strtoll(s->refusals.cells[i], NULL, 10), "code",
                                        s->refusals.cells[i + 1], "message", s->refusals.cells[i + 2]));
    json_t *all = json_pack("{s:I, s:I, s:o}", "accepted", (json_int_t)s->accepted, "refused",
                            (json_int_t)s->refused, "refusals", refusals);
    client_print_json(s->client, all);
    json_decref(all);
}

static void print_text(struct submit *s)
{
    struct buf b;
    buf_init(&b, 16 * 1024 * 1024);
    if (s->refusals.cell_count) {
        table_render(&s->refusals, term_width(&s->client->term), s->client->term.color, &b);
        if (s->refused > LIMIT_REFUSED)
            buf_printf(&b, "and %zu more\n", s->refused - LIMIT_REFUSED);
        buf_text(&b, "\n");
    }
    buf_printf(&b, "%zu accepted, %zu refused, in %.1f s\n", s->accepted, s->refused,
               (double)(clock_mono_ms() - s->progress.started_ms) / 1000.0);
    term_print(&b);
    buf_fini(&b);
}

static int submit(struct submit *s)
{
    uint64_t now_ms = clock_mono_ms();
    s->progress = (struct progress){.term = &s->client->term,
                                    .what = "submitted",
                                    .total = count_lines(s->in),
                                    .started_ms = now_ms,
                                    .shown_ms = now_ms,
                                    .plain_every_ms = PLAIN_EVERY_MS};
    moved(s);
    int status = send_all(s);
    s->client->settings.json ? print_json(s) : print_text(s);
    return status ? status : s->refused ? CLIENT_NO : CLIENT_DONE;
}

static int run(struct client *c)
{
    struct submit s = {.client = c};
    int status = client_open_file(c, c->settings.operands[0], &s.in, &s.name);
    if (status)
        return status;
    secret_harden_process();
    s.lines = calloc(LIMIT_JOBS_SUBMITTED, sizeof *s.lines);
    table_init(&s.refusals, refusal_columns, COUNT(refusal_columns));
    status = s.lines ? client_open(c) : client_say(c, CLIENT_NO, "out of memory");
    if (!status)
        status = submit(&s);
    for (size_t i = 0; i < s.line_count; i++)
        free(s.lines[i].text);
    free(s.lines);
    table_fini(&s.refusals);
    client_close_file(s.in);
    return status;
}

static const struct option options[] = {
    {"wait", OPTION_NUMBER, AT(wait_s), "120", 0, WAIT_MAX_S, "SECONDS",
     "how long to go on while the broker has no room"},
};

const struct command command_jobs_submit = {
    .name = "jobs submit",
    .arguments = "FILE|-",
    .summary = "submit jobs, one JSON object a line",
    .details =
        "A line is what POST /v1/jobs takes: {\"kind\": \"validate\", \"integration\": \"int_...\"}, with\n"
        "priority, delaySeconds, deadlineSeconds, maxAttempts and idempotencyKey where wanted. Lines that "
        "are\n"
        "refused are listed in the end. With an idempotencyKey in each, a file can be sent again.",
    .operands_min = 1,
    .operands_max = 1,
    .options = options,
    .option_count = COUNT(options),
    .run = run,
};
