/* patchbay setup: connects a service. Asks for what the type needs, has it tested, and says what came of it.
 */
#include "common/client/answer.h"
#include "common/client/client.h"
#include "common/client/credentials.h"
#include "common/clock.h"
#include "common/limits.h"

#include <stddef.h>
#include <stdio.h>
#include <string.h>

#define AT(field)  offsetof(struct settings, field)
#define WAIT_MAX_S 3600

/* -- what came of it -- */

static void render_record(const struct client *c, const json_t *record, struct buf *b)
{
    static const char *const parts[] = {"id", "name", "type", "status"};
    const json_t *result = json_object_get(record, "result");
    size_t events = json_array_size(json_object_get(record, "supportedEvents"));
    if (json_is_object(result))
        answer_result(result, c->term.color, b);
    buf_printf(b, "%sok%s  %zu event type%s registered\n", style_start(STYLE_GOOD, c->term.color),
               style_end(STYLE_GOOD, c->term.color), events, events == 1 ? "" : "s");
    for (size_t i = 0; i < sizeof parts / sizeof parts[0]; i++) {
        const char *text = json_text_at(record, parts[i]);
        buf_text(b, i ? "  " : "");
        text_safe(b, text ? text : "-");
    }
    buf_text(b, "\n");
}

static int print_record(struct client *c, const json_t *record)
{
    struct buf b;
    if (c->settings.json) {
        client_print_json(c, record);
        return CLIENT_DONE;
    }
    buf_init(&b, ANSWER_TEXT_BYTES);
    render_record(c, record, &b);
    term_print(&b);
    buf_fini(&b);
    return CLIENT_DONE;
}

static int print_failed(struct client *c, const json_t *job)
{
    const json_t *result = json_object_get(job, "result");
    struct buf b;
    if (c->settings.json) {
        client_print_json(c, job);
        return CLIENT_NO;
    }
    if (!json_is_object(result))
        return client_say(c, CLIENT_NO, "the setup ended as %s", json_text_at(job, "state"));
    buf_init(&b, ANSWER_TEXT_BYTES);
    answer_result(result, c->term.color, &b);
    term_print(&b);
    buf_fini(&b);
    return CLIENT_NO;
}

/* The setup takes longer than the broker lets a caller wait: its job is followed. */
static int follow(struct client *c, json_t **job, uint64_t until_ms)
{
    json_t *record = NULL;
    term_status(&c->term, "testing the connection takes its time ...");
    int status = client_follow(c, job, until_ms);
    if (status)
        return status;
    const char *state = json_text_at(*job, "state"), *id = json_text_at(*job, "integration");
    if (!id || strcmp(state, "done") != 0 || !answer_passed(json_object_get(*job, "result")))
        return print_failed(c, *job);
    status = client_find(c, id, &record);
    if (!status)
        status = print_record(c, record);
    json_decref(record);
    return status;
}

static int post(struct client *c, const struct buf *body)
{
    struct api_answer answer = {0};
    int64_t wait_s =
        c->settings.wait_s < LIMIT_HTTP_WAIT_SECONDS ? c->settings.wait_s : LIMIT_HTTP_WAIT_SECONDS;
    struct api_request request = {.method = "POST",
                                  .path = "/v1/integrations",
                                  .body = buf_peek(body),
                                  .body_len = body->len,
                                  .wait_s = (uint32_t)wait_s};
    uint64_t until_ms = clock_mono_ms() + (uint64_t)c->settings.wait_s * 1000;
    term_status(&c->term, "testing the connection ...");
    int status = client_ask(c, &request, &answer);
    term_status(&c->term, NULL);
    if (!status && answer.status >= 400)
        status = client_refused(c, &answer, stdout);
    else if (!status)
        status = answer.status == 202 ? follow(c, &answer.body, until_ms) : print_record(c, answer.body);
    api_answer_fini(&answer);
    return status;
}

static int run(struct client *c)
{
    if (!c->settings.name)
        return client_say(c, CLIENT_USAGE, "what is it to be called? patchbay setup %s --name NAME",
                          c->settings.operands[0]);
    return credentials_send(c, post);
}

static const struct option options[] = {
    {"name", OPTION_TEXT, AT(name), NULL, 0, 0, "NAME", "what the integration is called; needed"},
    {"credentials", OPTION_TEXT, AT(credentials), NULL, 0, 0, "FILE",
     "JSON object of the type's fields; - for standard input"},
    {"wait", OPTION_NUMBER, AT(wait_s), "120", 1, WAIT_MAX_S, "SECONDS", "how long to wait for the outcome"},
};

const struct command command_setup = {
    .name = "setup",
    .arguments = "TYPE",
    .summary = "connect a service: asks for its credentials and tests them",
    .details =
        "On a terminal each field of the type is asked for, secrets without showing them. Programs give\n"
        "--credentials. Credentials are never arguments, where other users could read them.",
    .operands_min = 1,
    .operands_max = 1,
    .options = options,
    .option_count = sizeof options / sizeof options[0],
    .run = run,
};
