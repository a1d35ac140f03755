/* patchbay event validate: is this a payload of that event? One, or with --ndjson a file of any length, as
 * many lines in a request as one may hold. */
#include "common/client/answer.h"
#include "common/client/client.h"
#include "common/id.h"
#include "common/limits.h"

#include <errno.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define AT(field)   offsetof(struct settings, field)
#define COUNT(t)    (sizeof(t) / sizeof((t)[0]))
#define PATH_BYTES  4096
#define CHUNK_BYTES (8 * 1024 * 1024) /* of one request, unless it holds only one line */
#define REQUEST_MS  60000

struct validation {
    struct client *client;
    FILE *in;
    const char *name;  /* of the file, for messages */
    struct buf path;   /* of the route */
    struct buf chunk;  /* lines that are not sent yet */
    size_t *numbers;   /* of each line of the chunk, in the file */
    size_t line_count; /* of the chunk */
    size_t number;     /* of the line read last */
    size_t good, bad;
};

/* -- whose event -- */

static void add_event(struct buf *path, const char *event)
{
    buf_text(path, "/events/");
    api_escape(path, event);
    buf_text(path, "/validate");
}

/* An integration by its name, where no type has it. */
static int find_integration(struct validation *v, const char *name)
{
    json_t *record = NULL;
    int status = client_find(v->client, name, &record);
    if (!status)
        buf_printf(&v->path, "/v1/integrations/%s", json_text_at(record, "id"));
    json_decref(record);
    return status;
}

static int find_target(struct validation *v, const char *target)
{
    struct api_answer answer = {0};
    struct pb_id id;
    struct buf path;
    if (id_parse(target, ID_INTEGRATION, &id) == PB_OK)
        return find_integration(v, target);
    buf_init(&path, PATH_BYTES);
    buf_text(&path, "/v1/types/");
    api_escape(&path, target);
    struct api_request request = {.method = "GET", .path = buf_peek(&path)};
    int status = client_ask(v->client, &request, &answer);
    if (!status && answer.status == 404)
        status = find_integration(v, target);
    else if (!status && answer.status >= 400)
        status = client_refused(v->client, &answer, stderr);
    else if (!status)
        buf_text(&v->path, buf_peek(&path));
    api_answer_fini(&answer);
    buf_fini(&path);
    return status;
}

/* -- one -- */

static int read_whole(struct validation *v)
{
    char bytes[16384];
    size_t n;
    while ((n = fread(bytes, 1, sizeof bytes, v->in)) > 0 && v->chunk.len <= LIMIT_EVENT_BYTES)
        buf_append(&v->chunk, bytes, n);
    if (ferror(v->in))
        return client_say(v->client, CLIENT_USAGE, "%s cannot be read: %s", v->name, strerror(errno));
    if (v->chunk.len > LIMIT_EVENT_BYTES)
        return client_say(v->client, CLIENT_NO, "%s is larger than the %d bytes that a payload may have",
                          v->name, LIMIT_EVENT_BYTES);
    return CLIENT_DONE;
}

static int validate_one(struct validation *v)
{
    struct api_answer answer = {0};
    int status = read_whole(v);
    if (status)
        return status;
    struct api_request request = {.method = "POST",
                                  .path = buf_peek(&v->path),
                                  .body = buf_peek(&v->chunk),
                                  .body_len = v->chunk.len,
                                  .limit_ms = REQUEST_MS};
    status = client_ask(v->client, &request, &answer);
    if (!status)
        status = answer.status >= 400 ? client_refused(v->client, &answer, stderr)
                                      : client_show_check(v->client, answer.body, v->name);
    api_answer_fini(&answer);
    return status;
}

/* -- many -- */

static void print_bad(struct validation *v, const char *line, size_t len, size_t number)
{
    char name[64];
    struct buf b;
    json_t *check = json_loadb(line, len, JSON_ALLOW_NUL, NULL);
    snprintf(name, sizeof name, "line %zu", number);
    buf_init(&b, 2 * LIMIT_EVENT_ANSWER_BYTES);
    answer_check(check, name, v->client->term.color, &b);
    term_print(&b);
    buf_fini(&b);
    json_decref(check);
}

static int print_lines(struct validation *v, const char *text, size_t len)
{
    static const char valid[] = "{\"isValid\":true";
    size_t i = 0;
    if (v->client->settings.json)
        fwrite(text, 1, len, stdout);
    for (const char *end; len && i < v->line_count && (end = memchr(text, '\n', len)); i++) {
        bool good = strncmp(text, valid, sizeof valid - 1) == 0;
        *(good ? &v->good : &v->bad) += 1;
        if (!good && !v->client->settings.json)
            print_bad(v, text, (size_t)(end - text), v->numbers[i]);
        len -= (size_t)(end + 1 - text);
        text = end + 1;
    }
    return i == v->line_count && !len
               ? CLIENT_DONE
               : client_say(v->client, CLIENT_NO, "the broker answered %zu lines of %zu", i, v->line_count);
}

static int send_chunk(struct validation *v)
{
    struct api_answer answer = {0};
    struct api_request request = {.method = "POST",
                                  .path = buf_peek(&v->path),
                                  .body = buf_peek(&v->chunk),
                                  .body_len = v->chunk.len,
                                  .body_type = "application/x-ndjson",
                                  .as_text = true,
                                  .limit_ms = REQUEST_MS};
    int status = v->line_count ? client_ask(v->client, &request, &answer) : CLIENT_DONE;
    if (!status && v->line_count)
        status = answer.status >= 400 ? client_refused(v->client, &answer, stderr)
                                      : print_lines(v, answer.text, answer.text_len);
    api_answer_fini(&answer);
    buf_reset(&v->chunk);
    v->line_count = 0;
    return status;
}

static bool is_blank(const char *text, size_t len)
{
    size_t i = 0;
    while (i < len && strchr(" \t\r\n", text[i]) && text[i])
        i++;
    return i == len;
}

static int take_line(struct validation *v, const char *line, size_t len)
{
    int status = CLIENT_DONE;
    v->number++;
    if (is_blank(line, len))
        return status;
    if (len + 1 > LIMIT_HTTP_BULK_BYTES)
        return client_say(v->client, CLIENT_USAGE, "line %zu of %s is longer than a request may be",
                          v->number, v->name);
    if (v->line_count == LIMIT_EVENT_LINES || v->chunk.len + len + 1 > CHUNK_BYTES)
        status = send_chunk(v);
    v->numbers[v->line_count++] = v->number;
    buf_append(&v->chunk, line, len);
    if (line[len - 1] != '\n')
        buf_text(&v->chunk, "\n");
    return v->chunk.failed ? client_say(v->client, CLIENT_NO, "out of memory") : status;
}

static int validate_lines(struct validation *v)
{
    char *line = NULL;
    size_t size = 0;
    ssize_t len;
    int status = CLIENT_DONE;
    buf_text(&v->path, ":batch");
    while (!status && (len = getline(&line, &size, v->in)) > 0)
        status = take_line(v, line, (size_t)len);
    free(line);
    if (!status && ferror(v->in))
        status = client_say(v->client, CLIENT_USAGE, "%s cannot be read: %s", v->name, strerror(errno));
    if (!status)
        status = send_chunk(v);
    if (!v->client->settings.json && (!status || v->good + v->bad))
        printf("%zu valid, %zu not%s\n", v->good, v->bad, status ? "; the rest was not checked" : "");
    return status ? status : v->bad ? CLIENT_NO : CLIENT_DONE;
}

/* -- the command -- */

static int validate(struct validation *v)
{
    struct client *c = v->client;
    int status = client_open(c);
    if (!status)
        status = find_target(v, c->settings.operands[0]);
    if (status)
        return status;
    add_event(&v->path, c->settings.operands[1]);
    v->numbers = c->settings.ndjson ? calloc(LIMIT_EVENT_LINES, sizeof *v->numbers) : NULL;
    if (v->path.failed)
        return client_say(c, CLIENT_USAGE, "the names are too long");
    if (c->settings.ndjson && !v->numbers)
        return client_say(c, CLIENT_NO, "out of memory");
    return c->settings.ndjson ? validate_lines(v) : validate_one(v);
}

static int run(struct client *c)
{
    struct validation v = {.client = c};
    int status = client_open_file(c, c->settings.operands[2], &v.in, &v.name);
    if (status)
        return status;
    buf_init(&v.path, PATH_BYTES);
    buf_init(&v.chunk, LIMIT_HTTP_BULK_BYTES + CHUNK_BYTES);
    status = validate(&v);
    free(v.numbers);
    buf_fini(&v.chunk);
    buf_fini(&v.path);
    client_close_file(v.in);
    return status;
}

static const struct option options[] = {
    {"ndjson", OPTION_FLAG, AT(ndjson), NULL, 0, 0, NULL, "the file has a payload a line"},
};

const struct command command_event_validate = {
    .name = "event validate",
    .arguments = "TYPE|ID|NAME EVENT FILE|-",
    .summary = "check a payload, or with --ndjson many, against an event's schema",
    .details =
        "An integration's payloads are checked by a worker, those of a TYPE by the broker itself. Says for\n"
        "each payload that is not valid what is wrong at which place, and by which line of the schema.",
    .operands_min = 3,
    .operands_max = 3,
    .options = options,
    .option_count = COUNT(options),
    .run = run,
};
