/* patchbay test: are these credentials good? Nothing is stored. */
#include "common/client/answer.h"
#include "common/client/client.h"
#include "common/client/credentials.h"
#include "common/limits.h"

#include <stddef.h>
#include <stdio.h>

#define AT(field) offsetof(struct settings, field)
#define COUNT(t)  (sizeof(t) / sizeof((t)[0]))

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

static int run(struct client *c)
{
    return credentials_send(c, post);
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
