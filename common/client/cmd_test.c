/* patchbay test: are these credentials good? Nothing is stored. */
#include "common/client/answer.h"
#include "common/client/client.h"
#include "common/client/credentials.h"

#include <stddef.h>
#include <stdio.h>
#include <string.h>

#define AT(field)     offsetof(struct settings, field)
#define COUNT(t)      (sizeof(t) / sizeof((t)[0]))
#define REQUEST_BYTES (CREDENTIALS_JSON_BYTES + 1024)

static int print_result(struct client *c, const json_t *result)
{
    struct buf b;
    buf_init(&b, ANSWER_TEXT_BYTES);
    if (c->settings.json)
        client_print_json(c, result);
    else
        answer_result(result, c->term.color, &b);
    term_print(&b);
    buf_fini(&b);
    return answer_passed(result) ? CLIENT_DONE : CLIENT_NO;
}

static int post(struct client *c, const struct buf *body)
{
    struct api_answer answer = {0};
    struct api_request request = {.method = "POST",
                                  .path = "/v1/integrations:test",
                                  .body = buf_peek(body),
                                  .body_len = body->len,
                                  .wait_s = (uint32_t)c->settings.wait_s};
    term_status(&c->term, "testing the connection ...");
    int status = client_ask(c, &request, &answer);
    term_status(&c->term, NULL);
    if (!status)
        status = answer.status >= 400 ? client_refused(c, &answer, stdout) : print_result(c, answer.body);
    api_answer_fini(&answer);
    return status;
}

static void make_body(const char *type, const struct buf *credentials, struct buf *out)
{
    buf_text(out, "{\"type\":\"");
    buf_json_escape(out, type, strlen(type));
    buf_text(out, "\",\"credentials\":");
    buf_append(out, credentials->data, credentials->len);
    buf_text(out, "}");
}

static int run(struct client *c)
{
    struct buf credentials, body;
    secret_harden_process();
    buf_init(&credentials, CREDENTIALS_JSON_BYTES);
    buf_init(&body, REQUEST_BYTES);
    credentials.secret = body.secret = true;
    int status = client_open(c);
    if (!status)
        status = credentials_read(c, c->settings.operands[0], &credentials);
    if (!status) {
        make_body(c->settings.operands[0], &credentials, &body);
        status = body.failed ? client_say(c, CLIENT_USAGE, "the request would be too long") : post(c, &body);
    }
    buf_fini(&body);
    buf_fini(&credentials);
    return status;
}

static const struct option options[] = {
    {"credentials", OPTION_TEXT, AT(credentials), NULL, 0, 0, "FILE",
     "JSON object of the type's fields; - for standard input"},
    {"wait", OPTION_NUMBER, AT(wait_s), "30", 1, LIMIT_HTTP_WAIT_SECONDS, "SECONDS",
     "how long to wait for the outcome"},
};

const struct command command_test = {
    .name = "test",
    .arguments = "TYPE",
    .summary = "try credentials without storing anything",
    .details = "Asks for the fields on a terminal, as setup does; programs give --credentials.",
    .operands_min = 1,
    .operands_max = 1,
    .options = options,
    .option_count = COUNT(options),
    .run = run,
};
