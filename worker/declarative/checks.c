#include "worker/declarative/checks.h"

#include "common/buf.h"
#include "worker/declarative/exam.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define NOW_MS INT64_C(1767225600000) /* 2026-01-01 */

/* One check under way; the first thing that is not as it should be goes to text. */
struct play {
    const char *name;
    char *text;
    size_t size;
    bool failed;
};

static void fault(struct play *p, const char *what, const char *wanted, const char *got)
{
    if (!p->failed)
        snprintf(p->text, p->size, "%s: %s is \"%s\", not \"%s\"", p->name, what, got ? got : "(none)",
                 wanted);
    p->failed = true;
}

/* Packages are written by people: what should be text and is not is taken as empty. */
static const char *text_of(const json_t *json)
{
    return json_is_string(json) ? json_string_value(json) : "";
}

static void compare(struct play *p, const char *what, const json_t *wanted, const char *got)
{
    if (wanted && (!got || strcmp(text_of(wanted), got) != 0))
        fault(p, what, text_of(wanted), got);
}

static const char *sent_header(const struct transfer_request *r, const char *name)
{
    for (size_t i = 0; i < r->header_count; i++)
        if (strcasecmp(r->headers[i].name, name) == 0)
            return r->headers[i].value.data;
    return NULL;
}

static void compare_request(struct play *p, const json_t *wanted, const struct transfer_request *r)
{
    const char *name;
    json_t *value;
    compare(p, "the method", json_object_get(wanted, "method"), r->method);
    compare(p, "the address", json_object_get(wanted, "url"), r->url.data);
    json_object_foreach(json_object_get(wanted, "headers"), name, value)
        compare(p, name, value, sent_header(r, name));
}

static char *headers_text(const json_t *headers)
{
    struct buf b;
    const char *name;
    json_t *value;
    buf_init(&b, 65536);
    json_object_foreach((json_t *)headers, name, value) buf_printf(&b, "%s: %s\r\n", name, text_of(value));
    buf_text(&b, "\r\n");
    char *text = strdup(buf_peek(&b));
    buf_fini(&b);
    return text;
}

static char *body_text(const json_t *body)
{
    return json_is_string(body) ? strdup(json_string_value(body)) : json_dumps(body, JSON_COMPACT);
}

static void give_answer(struct exam *e, const json_t *answer)
{
    char *headers = headers_text(json_object_get(answer, "headers"));
    char *body = body_text(json_object_get(answer, "body"));
    struct transfer_answer a = {
        .status = (int)json_integer_value(json_object_get(answer, "status")),
        .headers = headers,
        .headers_len = strlen(headers),
        .body = body ? body : "",
        .body_len = body ? strlen(body) : 0,
    };
    exam_answer(e, &a, NOW_MS);
    free(headers);
    free(body);
}

static void compare_warnings(struct play *p, const json_t *wanted, const struct result *r)
{
    if (!wanted)
        return;
    char got[24], count[24];
    snprintf(got, sizeof got, "%zu", r->warning_count);
    snprintf(count, sizeof count, "%zu", json_array_size(wanted));
    if (strcmp(got, count) != 0)
        fault(p, "the number of warnings", count, got);
    for (size_t i = 0; i < r->warning_count && i < json_array_size(wanted); i++)
        compare(p, "a warning", json_array_get(wanted, i), result_code_name(r->warnings[i].code));
}

static void compare_result(struct play *p, const json_t *expect, const struct result *r)
{
    compare(p, "the code", json_object_get(expect, "code"), result_code_name(r->code));
    compare(p, "accountId", json_object_get(expect, "accountId"), r->account_id);
    compare(p, "accountLabel", json_object_get(expect, "accountLabel"), r->account_label);
    compare(p, "the message", json_object_get(expect, "message"), r->message);
    compare(p, "the field", json_object_get(expect, "field"), r->field);
    compare(p, "providerCode", json_object_get(expect, "providerCode"), r->provider_code);
    compare_warnings(p, json_object_get(expect, "warnings"), r);
}

static void play_answers(struct play *p, const json_t *check, struct exam *e)
{
    const json_t *answers = json_object_get(check, "answers");
    size_t i = 0;
    for (; i < json_array_size(answers) && exam_request(e); i++) {
        const json_t *answer = json_array_get(answers, i);
        compare_request(p, json_object_get(answer, "request"), exam_request(e));
        give_answer(e, answer);
    }
    if (exam_request(e) || i < json_array_size(answers))
        fault(p, "the number of requests", "that of the answers", "another");
    else
        compare_result(p, json_object_get(check, "expect"), exam_result(e));
}

static bool play_one(const struct manifest *m, const json_t *check, char *text, size_t size)
{
    struct play p = {text_of(json_object_get(check, "name")), text, size, false};
    struct credentials credentials = {0};
    struct exam *e = NULL;
    if (!json_is_object(json_object_get(check, "expect")))
        fault(&p, "expect", "there", NULL);
    const char *field;
    json_t *value;
    json_object_foreach(json_object_get(check, "credentials"), field, value)
    {
        if (credentials_add(&credentials, field, text_of(value), strlen(text_of(value))))
            fault(&p, "memory", "enough", "too little");
    }
    if (exam_new(m, &credentials, NOW_MS, &e) == PB_OK)
        play_answers(&p, check, e);
    else
        fault(&p, "the exam", "made", "not made");
    exam_free(e);
    credentials_fini(&credentials);
    return !p.failed;
}

size_t checks_play(const struct manifest *m, const json_t *checks, char *text, size_t size)
{
    size_t failures = 0;
    char ignored[256];
    if (!json_is_array(checks)) {
        snprintf(text, size, "it must be a list of checks");
        return 1;
    }
    for (size_t i = 0; i < json_array_size(checks); i++)
        if (!play_one(m, json_array_get(checks, i), failures ? ignored : text,
                      failures ? sizeof ignored : size))
            failures++;
    return failures;
}
