#include "worker/declarative/judge.h"

#include "common/regex.h"
#include "worker/declarative/pointer.h"

#include <ctype.h>
#include <curl/curl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

/* An answer being judged. */
struct judgement {
    const struct plan *plan;
    const struct plan_step *step;
    const struct redact *redact;
    const struct transfer_answer *answer;
    const json_t *json; /* NULL: the body is none */
    int64_t now_ms;
    struct result *result;
};

/* -- headers -- */

/* A header's value without the spaces around it; NULL: there is none. */
static const char *find_header(const struct transfer_answer *a, const char *name, size_t *len)
{
    const char *end = a->headers + a->headers_len;
    size_t name_len = strlen(name);
    for (const char *line = a->headers; line < end;) {
        const char *eol = memchr(line, '\n', (size_t)(end - line));
        const char *next = eol ? eol + 1 : end;
        if ((size_t)(next - line) > name_len && line[name_len] == ':' &&
            strncasecmp(line, name, name_len) == 0) {
            const char *from = line + name_len + 1, *to = next;
            while (from < to && isspace((unsigned char)*from))
                from++;
            while (to > from && isspace((unsigned char)to[-1]))
                to--;
            *len = (size_t)(to - from);
            return from;
        }
        line = next;
    }
    return NULL;
}

static bool has_content_type(const struct transfer_answer *a, const char *wanted)
{
    size_t len, n = strlen(wanted);
    const char *value = find_header(a, "Content-Type", &len);
    return value && len >= n && strncasecmp(value, wanted, n) == 0 &&
           (len == n || value[n] == ';' || value[n] == ' ');
}

/* -- conditions -- */

static bool equals(const json_t *a, const json_t *b)
{
    if (json_is_number(a) && json_is_number(b))
        return json_is_integer(a) && json_is_integer(b) ? json_integer_value(a) == json_integer_value(b)
                                                        : json_number_value(a) == json_number_value(b);
    return json_equal(a, b);
}

static bool contains_item(const json_t *array, const json_t *value)
{
    for (size_t i = 0; i < json_array_size(array); i++)
        if (equals(json_array_get(array, i), value))
            return true;
    return false;
}

static bool is_in(const struct plan_condition *c, const json_t *v)
{
    return contains_item(c->value, v);
}

static bool contains(const struct plan_condition *c, const json_t *v)
{
    if (json_is_string(v))
        return strstr(json_string_value(v), json_string_value(c->value)) != NULL;
    return contains_item(v, c->value);
}

static bool matches(const struct plan_condition *c, const json_t *v)
{
    return json_is_string(v) && regex_match(c->regex, json_string_value(v), json_string_length(v)) == PB_OK;
}

static bool is_equal(const struct plan_condition *c, const json_t *v)
{
    return equals(v, c->value);
}

static bool is_other(const struct plan_condition *c, const json_t *v)
{
    return !equals(v, c->value);
}

static bool exists(const struct plan_condition *c, const json_t *v)
{
    (void)c, (void)v;
    return true;
}

/* What a relation says of a value that is there, and of one that is not. */
static const struct relation {
    bool (*holds)(const struct plan_condition *c, const json_t *v);
    bool without;
    const char *text; /* of the expectation, for people */
} relations[] = {
    [OP_EXISTS] = {exists, false, "is missing"},
    [OP_ABSENT] = {NULL, true, "is there"},
    [OP_EQ] = {is_equal, false, "is not the expected value"},
    [OP_NE] = {is_other, true, "has a value that it should not have"},
    [OP_IN] = {is_in, false, "is none of the expected values"},
    [OP_CONTAINS] = {contains, false, "does not contain what is expected"},
    [OP_REGEX] = {matches, false, "does not have the expected form"},
};

static bool holds(const struct plan_condition *c, const json_t *json)
{
    const json_t *v = pointer_get(json, c->pointer);
    const struct relation *op = &relations[c->op];
    return v ? op->holds && op->holds(c, v) : op->without;
}

/* The first that does not hold; NULL: all do. */
static const struct plan_condition *broken(const struct plan_conditions *all, const json_t *json)
{
    for (size_t i = 0; i < all->count; i++)
        if (!holds(&all->items[i], json))
            return &all->items[i];
    return NULL;
}

static bool has_status(const struct plan_statuses *s, int status)
{
    for (size_t i = 0; i < s->count; i++)
        if (s->items[i] == status)
            return true;
    return false;
}

/* -- texts -- */

static void put_text(const struct judgement *j, char *out, size_t size, const char *text, size_t len)
{
    struct buf clean;
    buf_init(&clean, 4 * size); /* as much as result_text() looks at */
    clean.secret = true;
    redact_text(j->redact, text, len, &clean);
    result_text(out, size, buf_peek(&clean), clean.len);
    buf_fini(&clean);
}

/* A value as text; nothing for null and for what is not there. */
static void put_value(const struct judgement *j, const json_t *v, char *out, size_t size)
{
    out[0] = 0;
    if (json_is_string(v)) {
        put_text(j, out, size, json_string_value(v), json_string_length(v));
    } else if (v && !json_is_null(v)) {
        char *text = json_dumps(v, JSON_COMPACT | JSON_ENCODE_ANY);
        if (text)
            put_text(j, out, size, text, strlen(text));
        free(text);
    }
}

static void put_sentence(const struct judgement *j, const char *text)
{
    if (!j->result->message[0])
        put_text(j, j->result->message, sizeof j->result->message, text, strlen(text));
}

/* Where providers commonly put their own word for an error. */
static void put_provider_code(const struct judgement *j)
{
    static const char *const places[] = {"/error/code", "/error/type", "/error",      "/errors/0/code",
                                         "/code",       "/errorCode",  "/error_code", "/errors/0/type"};
    for (size_t i = 0; i < sizeof places / sizeof places[0]; i++) {
        const json_t *v = pointer_get(j->json, places[i]);
        if (json_is_string(v) || json_is_integer(v)) {
            put_value(j, v, j->result->provider_code, sizeof j->result->provider_code);
            return;
        }
    }
}

/* -- when to come back -- */

static int64_t parse_number(const char *text, size_t len)
{
    char number[24], *end;
    if (len == 0 || len >= sizeof number || !isdigit((unsigned char)text[0]))
        return -1;
    memcpy(number, text, len);
    number[len] = 0;
    double n = strtod(number, &end);
    return *end == 0 && n >= 0 && n < 1e15 ? (int64_t)(n * 1000) : -1; /* thousandths */
}

static int64_t parse_date_ms(const char *text, size_t len)
{
    char date[64];
    if (len >= sizeof date)
        return -1;
    memcpy(date, text, len);
    date[len] = 0;
    time_t t = curl_getdate(date, NULL);
    const time_t year_9999 = 253402300799;
    return t < 0 ? -1 : (int64_t)(t < year_9999 ? t : year_9999) * 1000;
}

/* A header that says in how many seconds, or at what date (RFC 9110, section 10.2.3). */
static int64_t after_header(const struct judgement *j, const char *text, size_t len)
{
    int64_t wait_ms = parse_number(text, len);
    return wait_ms >= 0 ? j->now_ms + wait_ms : parse_date_ms(text, len);
}

/* A header that says at what time: seconds or milliseconds since 1970, or a date. */
static int64_t at_header(const struct judgement *j, const char *text, size_t len)
{
    const int64_t year_5138 = INT64_C(100000000000); /* in seconds: what is larger is in milliseconds */
    int64_t at_ms = parse_number(text, len);
    (void)j;
    if (at_ms < 0)
        return parse_date_ms(text, len);
    return at_ms / 1000 > year_5138 ? at_ms / 1000 : at_ms;
}

static void read_retry(const struct judgement *j, const char *const *names, size_t count,
                       int64_t (*read)(const struct judgement *j, const char *text, size_t len))
{
    for (size_t i = 0; i < count && !j->result->retry_at_ms; i++) {
        size_t len;
        const char *value = find_header(j->answer, names[i], &len);
        int64_t at_ms = value ? read(j, value, len) : -1;
        if (at_ms > j->now_ms + LIMIT_RETRY_AFTER_MS)
            at_ms = j->now_ms + LIMIT_RETRY_AFTER_MS;
        if (at_ms >= 0)
            j->result->retry_at_ms = at_ms > j->now_ms ? at_ms : j->now_ms;
    }
}

static void put_retry(const struct judgement *j)
{
    if (result_class(j->result->code) != CLASS_TRANSIENT)
        return;
    read_retry(j, j->plan->after, j->plan->after_count, after_header);
    read_retry(j, j->plan->at, j->plan->at_count, at_header);
}

/* -- verdicts -- */

static void refuse(const struct judgement *j, enum result_code code)
{
    j->result->code = code;
    j->result->identity = j->step->identity;
    snprintf(j->result->step_id, sizeof j->result->step_id, "%s", j->step->id);
    put_provider_code(j);
    put_retry(j);
}

static bool rule_matches(const struct judgement *j, const struct plan_rule *r)
{
    size_t len = 0;
    const char *header = r->header ? find_header(j->answer, r->header, &len) : NULL;
    if (r->statuses.count && !has_status(&r->statuses, j->answer->status))
        return false;
    if (r->header && !header)
        return false;
    if (r->header_value && (strlen(r->header_value) != len || strncasecmp(header, r->header_value, len) != 0))
        return false;
    if (r->body_contains &&
        !memmem(j->answer->body, j->answer->body_len, r->body_contains, strlen(r->body_contains)))
        return false;
    return r->json.count == 0 || !broken(&r->json, j->json);
}

static const struct plan_rule *find_rule(const struct judgement *j)
{
    for (size_t i = 0; i < j->step->rule_count; i++)
        if (rule_matches(j, &j->step->rules[i]))
            return &j->step->rules[i];
    return NULL;
}

static void by_status(const struct judgement *j)
{
    static const struct {
        int from, to;
        enum result_code code;
        const char *text;
    } defaults[] = {
        {401, 401, RESULT_INVALID_CREDENTIALS, "The service does not accept these credentials (HTTP 401)."},
        {402, 402, RESULT_QUOTA_EXCEEDED, "The account's quota or balance is used up (HTTP 402)."},
        {403, 403, RESULT_INSUFFICIENT_SCOPE, "These credentials may not do this (HTTP 403)."},
        {404, 404, RESULT_MISCONFIGURED, "The service has nothing at this address (HTTP 404)."},
        {408, 408, RESULT_TIMEOUT, "The service gave up waiting (HTTP 408)."},
        {429, 429, RESULT_RATE_LIMITED, "The service asks for fewer requests (HTTP 429)."},
        {500, 599, RESULT_PROVIDER_UNAVAILABLE, "The service has a failure of its own (HTTP 5xx)."},
        {0, 999, RESULT_UNEXPECTED_RESPONSE, "The service answered with a status that was not expected."},
    };
    size_t i = 0;
    while (j->answer->status < defaults[i].from || j->answer->status > defaults[i].to)
        i++;
    put_sentence(j, defaults[i].text);
    /* once another step has shown that the credentials are good, a refusal is about what they may do */
    bool scope = defaults[i].code == RESULT_INVALID_CREDENTIALS && !j->step->identity;
    refuse(j, scope ? RESULT_INSUFFICIENT_SCOPE : defaults[i].code);
}

static void unexpected(const struct judgement *j, const struct plan_condition *c)
{
    char text[LIMIT_RESULT_MESSAGE];
    if (c)
        snprintf(text, sizeof text, "The service's answer is not what its package expects: %.60s %s.",
                 c->pointer[0] ? c->pointer : "the whole", relations[c->op].text);
    else
        snprintf(text, sizeof text, "The service's answer is not what its package expects: it is not %.60s.",
                 j->step->content_type);
    put_sentence(j, text);
    refuse(j, RESULT_UNEXPECTED_RESPONSE);
}

static void add_warning(struct result *r, enum result_code code, const char *text)
{
    if (r->warning_count == LIMIT_RESULT_WARNINGS)
        return;
    struct result_warning *w = &r->warnings[r->warning_count++];
    w->code = code;
    result_text(w->text, sizeof w->text, text, strlen(text));
}

static void pass(const struct judgement *j)
{
    struct result *r = j->result;
    r->code = RESULT_OK;
    if (j->step->account_id)
        put_value(j, pointer_get(j->json, j->step->account_id), r->account_id, sizeof r->account_id);
    if (j->step->account_label)
        put_value(j, pointer_get(j->json, j->step->account_label), r->account_label, sizeof r->account_label);
    for (size_t i = 0; i < j->step->warning_count; i++)
        if (!broken(&j->step->warnings[i].json, j->json))
            add_warning(r, j->step->warnings[i].code, j->step->warnings[i].text);
}

static void by_rule(const struct judgement *j, const struct plan_rule *rule)
{
    struct result *r = j->result;
    if (rule->code == RESULT_OK) {
        pass(j);
        return;
    }
    if (rule->message)
        put_value(j, pointer_get(j->json, rule->message), r->message, sizeof r->message);
    if (rule->field)
        snprintf(r->field, sizeof r->field, "%s", rule->field);
    char text[LIMIT_RESULT_MESSAGE];
    snprintf(text, sizeof text, "The service refused the request (HTTP %d).", j->answer->status);
    put_sentence(j, text);
    refuse(j, rule->code);
}

static void by_expectation(const struct judgement *j)
{
    const struct plan_step *s = j->step;
    int status = j->answer->status;
    bool expected = s->statuses.count ? has_status(&s->statuses, status) : status >= 200 && status < 300;
    const struct plan_condition *c = broken(&s->expect, j->json);
    if (!expected)
        by_status(j);
    else if (s->content_type && !has_content_type(j->answer, s->content_type))
        unexpected(j, NULL);
    else if (c)
        unexpected(j, c);
    else
        pass(j);
}

static void no_answer(const struct judgement *j)
{
    put_text(j, j->result->message, sizeof j->result->message, j->answer->why, strlen(j->answer->why));
    refuse(j, j->answer->failure);
}

/* A refusal of a step that only asks what the credentials may do is no failure of them. */
static void turn_to_warning(const struct judgement *j)
{
    struct result *r = j->result;
    if (r->code != RESULT_INSUFFICIENT_SCOPE || j->step->identity)
        return;
    add_warning(r, r->code, r->message);
    r->message[0] = r->field[0] = r->step_id[0] = r->provider_code[0] = 0;
    r->code = RESULT_OK;
}

void judge_answer(const struct plan *plan, const struct plan_step *step, const struct redact *redact,
                  const struct transfer_answer *answer, int64_t now_ms, struct result *result)
{
    json_t *json =
        answer->body_len ? json_loadb(answer->body, answer->body_len, JSON_DECODE_ANY, NULL) : NULL;
    struct judgement j = {plan, step, redact, answer, json, now_ms, result};
    const struct plan_rule *rule = answer->failure ? NULL : find_rule(&j);
    result->http_status = answer->status;
    if (answer->failure)
        no_answer(&j);
    else if (rule)
        by_rule(&j, rule);
    else
        by_expectation(&j);
    turn_to_warning(&j);
    json_decref(json);
}
