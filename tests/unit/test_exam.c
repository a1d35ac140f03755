/* Connection tests as packages describe them: what is sent, what an answer means, what is wrong with a
 * package. tests/unit/test_packages.c does the same for the packages that there are. */
#include "worker/declarative/exam.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
/* cmocka wants the four before it */
#include <cmocka.h>

#define NOW_MS INT64_C(1767225600000) /* 2026-01-01T00:00:00Z */
#define KEY    "s3cr3t+key/value"

static struct field fields[] = {
    {.name = "key", .secret = true},
    {.name = "user"},
    {.name = "site"},
    {.name = "spare", .secret = true},
};

struct fixture {
    struct manifest manifest;
    struct credentials credentials;
    struct exam *exam;
};

static void fixture_init(struct fixture *f, const char *package)
{
    json_error_t error;
    *f = (struct fixture){.manifest = {.type = "demo", .fields = fields, .field_count = 4}};
    f->manifest.json = json_loads(package, 0, &error);
    if (!f->manifest.json)
        fail_msg("%s at %d: %s", error.text, error.column, package);
    assert_int_equal(credentials_add(&f->credentials, "key", KEY, strlen(KEY)), PB_OK);
    assert_int_equal(credentials_add(&f->credentials, "user", "ann", 3), PB_OK);
    assert_int_equal(credentials_add(&f->credentials, "site", "acme", 4), PB_OK);
    assert_int_equal(exam_new(&f->manifest, &f->credentials, NOW_MS, &f->exam), PB_OK);
}

static void fixture_fini(struct fixture *f)
{
    exam_free(f->exam);
    credentials_fini(&f->credentials);
    json_decref(f->manifest.json);
}

static void answer(struct fixture *f, int status, const char *headers, const char *body)
{
    struct transfer_answer a = {.status = status,
                                .headers = headers,
                                .headers_len = strlen(headers),
                                .body = body,
                                .body_len = strlen(body)};
    assert_non_null(exam_request(f->exam));
    exam_answer(f->exam, &a, NOW_MS);
}

static const char *header(const struct fixture *f, const char *name)
{
    const struct transfer_request *r = exam_request(f->exam);
    for (size_t i = 0; i < r->header_count; i++)
        if (strcasecmp(r->headers[i].name, name) == 0)
            return r->headers[i].value.data;
    return NULL;
}

static bool is_credential(const struct fixture *f, const char *name)
{
    const struct transfer_request *r = exam_request(f->exam);
    for (size_t i = 0; i < r->header_count; i++)
        if (strcasecmp(r->headers[i].name, name) == 0)
            return r->headers[i].credential;
    return false;
}

#define HTTP        "\"http\":{\"baseUrl\":\"https://api.example.com\"}"
#define STEP(rest)  "{\"id\":\"me\",\"request\":{\"method\":\"GET\",\"path\":\"/me\"}" rest "}"
#define TEST(steps) "{" HTTP ",\"test\":{\"steps\":[" steps "]}}"

/* -- what is sent -- */

static void exam_puts_each_scheme_of_auth_where_it_belongs(void **state)
{
    static const struct {
        const char *auth, *name, *value;
    } cases[] = {
        {"{\"scheme\":\"bearer\",\"token\":\"{key}\"}", "Authorization", "Bearer " KEY},
        {"{\"scheme\":\"basic\",\"username\":\"{user}\",\"password\":\"pw\"}", "Authorization",
         "Basic YW5uOnB3"},
        {"{\"scheme\":\"basic\",\"username\":\"{user}\",\"password\":\"\"}", "Authorization",
         "Basic YW5uOg=="},
        {"{\"scheme\":\"header\",\"name\":\"X-Api-Key\",\"value\":\"{key}\"}", "x-api-key", KEY},
        {"{\"scheme\":\"none\",\"also\":[{\"scheme\":\"header\",\"name\":\"X-User\",\"value\":\"{user}\"}]}",
         "X-User", "ann"},
        {"{\"scheme\":\"bearer\",\"token\":\"{spare}\"}", "Authorization", NULL},
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct fixture f;
        char package[1024];
        snprintf(package, sizeof package, "{" HTTP ",\"auth\":%s,\"test\":{\"steps\":[" STEP("") "]}}",
                 cases[i].auth);
        fixture_init(&f, package);
        const char *value = header(&f, cases[i].name);
        if (!exam_request(f.exam) || !value != !cases[i].value ||
            (value && strcmp(value, cases[i].value) != 0))
            fail_msg("%s: %s", cases[i].auth, value ? value : "none");
        assert_true(!value || is_credential(&f, cases[i].name));
        fixture_fini(&f);
    }
}

static void exam_puts_parameters_into_the_address(void **state)
{
    struct fixture f;
    (void)state;
    fixture_init(
        &f,
        "{\"http\":{\"baseUrl\":\"https://{site}.example.com/api/\",\"allowedHosts\":[\"*.example.com\"]},"
        "\"auth\":{\"scheme\":\"query\",\"name\":\"k\",\"value\":\"{key}\"},\"test\":{\"steps\":[{\"id\":"
        "\"me\",\"request\":{\"method\":\"GET\",\"path\":\"/u/{user}?a=1\",\"query\":{\"b c\":\"x&y\","
        "\"user\":\"{user}\"}}}]}}");
    const struct transfer_request *r = exam_request(f.exam);
    assert_non_null(r);
    assert_string_equal(r->url.data, "https://acme.example.com/api/u/ann?a=1&b%20c=x&y&user=ann"
                                     "&k=s3cr3t%2Bkey%2Fvalue");
    assert_true(r->url_has_credential);
    assert_int_equal(r->allowed_host_count, 1);
    assert_string_equal(r->allowed_hosts[0], "*.example.com");
    fixture_fini(&f);
}

static void exam_sends_bodies_as_json_and_as_forms(void **state)
{
    struct fixture f;
    (void)state;
    fixture_init(
        &f, TEST("{\"id\":\"me\",\"request\":{\"method\":\"POST\",\"path\":\"/me\",\"json\":{\"q\":\"{{ id "
                 "}}\",\"deep\":[{\"k\":\"{key}\\\"\"}],\"n\":1.5,\"t\":true}}}"));
    assert_string_equal(exam_request(f.exam)->body,
                        "{\"q\":\"{ id }\",\"deep\":[{\"k\":\"" KEY "\\\"\"}],\"n\":1.5,\"t\":true}");
    assert_string_equal(header(&f, "content-type"), "application/json");
    assert_true(exam_request(f.exam)->body_has_credential);
    fixture_fini(&f);
    fixture_init(
        &f, TEST("{\"id\":\"me\",\"request\":{\"method\":\"POST\",\"path\":\"/me\",\"form\":{\"grant\":\"a "
                 "b\",\"user\":\"{user}&x=1\"}}}"));
    assert_string_equal(exam_request(f.exam)->body, "grant=a b&user=ann&x=1");
    fixture_fini(&f);
}

static void exam_lets_a_steps_headers_replace_those_of_all_requests(void **state)
{
    struct fixture f;
    (void)state;
    fixture_init(
        &f,
        "{\"http\":{\"baseUrl\":\"https://a.example\",\"headers\":{\"Version\":\"1\",\"X-A\":\"a\"},"
        "\"timeoutMs\":1234},\"test\":{\"steps\":[{\"id\":\"me\",\"request\":{\"method\":\"GET\",\"path\":"
        "\"/\",\"headers\":{\"version\":\"2\",\"X-Key\":\"{key}\"}}}]}}");
    assert_string_equal(header(&f, "Version"), "2");
    assert_string_equal(header(&f, "X-A"), "a");
    assert_int_equal(exam_request(f.exam)->header_count, 3);
    assert_true(is_credential(&f, "X-Key"));
    assert_false(is_credential(&f, "X-A"));
    assert_int_equal(exam_request(f.exam)->timeout_ms, 1234);
    fixture_fini(&f);
}

static void exam_lets_only_the_base_addresss_host_see_credentials_by_default(void **state)
{
    struct fixture f;
    (void)state;
    fixture_init(&f,
                 "{\"http\":{\"baseUrl\":\"http://127.0.0.1:8080\"},\"test\":{\"steps\":[" STEP("") "]}}");
    assert_string_equal(exam_request(f.exam)->allowed_hosts[0], "127.0.0.1:8080");
    fixture_fini(&f);
}

/* -- what an answer means -- */

static void exam_goes_by_the_status_where_no_rule_matches(void **state)
{
    static const struct {
        int status;
        enum result_code code;
    } cases[] = {
        {200, RESULT_OK},
        {204, RESULT_OK},
        {301, RESULT_UNEXPECTED_RESPONSE},
        {400, RESULT_UNEXPECTED_RESPONSE},
        {401, RESULT_INVALID_CREDENTIALS},
        {402, RESULT_QUOTA_EXCEEDED},
        {403, RESULT_INSUFFICIENT_SCOPE},
        {404, RESULT_MISCONFIGURED},
        {408, RESULT_TIMEOUT},
        {418, RESULT_UNEXPECTED_RESPONSE},
        {429, RESULT_RATE_LIMITED},
        {500, RESULT_PROVIDER_UNAVAILABLE},
        {599, RESULT_PROVIDER_UNAVAILABLE},
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct fixture f;
        fixture_init(&f, TEST(STEP("")));
        answer(&f, cases[i].status, "", "");
        const struct result *r = exam_result(f.exam);
        assert_null(exam_request(f.exam));
        if (r->code != cases[i].code)
            fail_msg("%d gives %s", cases[i].status, result_code_name(r->code));
        assert_int_equal(r->http_status, cases[i].status);
        assert_true(r->code == RESULT_OK || (r->message[0] && strcmp(r->step_id, "me") == 0 && r->identity));
        assert_string_equal(r->host, "api.example.com");
        fixture_fini(&f);
    }
}

static void exam_takes_the_first_rule_that_matches(void **state)
{
    static const char package[] =
        TEST(STEP(",\"errors\":["
                  "{\"status\":[401,403],\"header\":{\"name\":\"X-Why\",\"value\":\"expired\"},\"code\":"
                  "\"credentials_expired\"},"
                  "{\"header\":{\"name\":\"X-Gone\"},\"code\":\"account_disabled\"},"
                  "{\"bodyContains\":\"maintenance\",\"code\":\"provider_unavailable\"},"
                  "{\"status\":[409],\"code\":\"ok\"},"
                  "{\"json\":[{\"pointer\":\"/e/0/"
                  "kind\",\"op\":\"in\",\"value\":[\"a\",7]}],\"code\":\"misconfigured\","
                  "\"message\":\"/e/0/text\",\"field\":\"site\"},"
                  "{\"status\":[401],\"code\":\"credentials_revoked\",\"message\":\"/text\"}]"));
    static const struct {
        int status;
        const char *headers, *body;
        enum result_code code;
        const char *message;
    } cases[] = {
        {401, "x-why:  EXPIRED \r\n", "{}", RESULT_CREDENTIALS_EXPIRED, NULL},
        {403, "A: b\r\nX-Why: expired\r\n\r\n", "{}", RESULT_CREDENTIALS_EXPIRED, NULL},
        {403, "X-Why: expired soon\r\n", "{}", RESULT_INSUFFICIENT_SCOPE, NULL},
        {500, "X-Why: expired\r\n", "{}", RESULT_PROVIDER_UNAVAILABLE, NULL},
        {200, "X-Gone: yes\r\n", "{}", RESULT_ACCOUNT_DISABLED, NULL},
        {200, "", "<p>down for maintenance</p>", RESULT_PROVIDER_UNAVAILABLE, NULL},
        {409, "", "", RESULT_OK, NULL},
        {200, "", "{\"e\":[{\"kind\":\"a\",\"text\":\"no such site\"}]}", RESULT_MISCONFIGURED,
         "no such site"},
        {200, "", "{\"e\":[{\"kind\":7,\"text\":null}]}", RESULT_MISCONFIGURED,
         "The service refused the request (HTTP 200)."},
        {200, "", "{\"e\":[{\"kind\":\"b\"}]}", RESULT_OK, NULL},
        {401, "", "{\"text\":{\"why\":1}}", RESULT_CREDENTIALS_REVOKED, "{\"why\":1}"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct fixture f;
        fixture_init(&f, package);
        answer(&f, cases[i].status, cases[i].headers, cases[i].body);
        if (exam_result(f.exam)->code != cases[i].code)
            fail_msg("case %zu gives %s", i, result_code_name(exam_result(f.exam)->code));
        if (cases[i].message)
            assert_string_equal(exam_result(f.exam)->message, cases[i].message);
        fixture_fini(&f);
    }
}

static void exam_holds_an_answer_to_each_condition(void **state)
{
    static const struct {
        const char *condition, *body;
        bool holds;
    } cases[] = {
        {"\"pointer\":\"/a\",\"op\":\"exists\"", "{\"a\":null}", true},
        {"\"pointer\":\"/a\",\"op\":\"exists\"", "{}", false},
        {"\"pointer\":\"/a\",\"op\":\"absent\"", "{}", true},
        {"\"pointer\":\"/a\",\"op\":\"absent\"", "{\"a\":1}", false},
        {"\"pointer\":\"/a\",\"op\":\"eq\",\"value\":1", "{\"a\":1.0}", true},
        {"\"pointer\":\"/a\",\"op\":\"eq\",\"value\":\"1\"", "{\"a\":1}", false},
        {"\"pointer\":\"/a\",\"op\":\"eq\",\"value\":{\"b\":[1]}", "{\"a\":{\"b\":[1]}}", true},
        {"\"pointer\":\"/a\",\"op\":\"ne\",\"value\":1", "{\"a\":2}", true},
        {"\"pointer\":\"/a\",\"op\":\"ne\",\"value\":1", "{}", true},
        {"\"pointer\":\"/a\",\"op\":\"ne\",\"value\":1", "{\"a\":1}", false},
        {"\"pointer\":\"/a\",\"op\":\"in\",\"value\":[1,2]", "{\"a\":2}", true},
        {"\"pointer\":\"/a\",\"op\":\"in\",\"value\":[1,2]", "{\"a\":3}", false},
        {"\"pointer\":\"/a\",\"op\":\"contains\",\"value\":\"b\"", "{\"a\":\"abc\"}", true},
        {"\"pointer\":\"/a\",\"op\":\"contains\",\"value\":\"b\"", "{\"a\":[\"b\"]}", true},
        {"\"pointer\":\"/a\",\"op\":\"contains\",\"value\":\"b\"", "{\"a\":[\"abc\"]}", false},
        {"\"pointer\":\"/a\",\"op\":\"regex\",\"value\":\"^x[0-9]+$\"", "{\"a\":\"x12\"}", true},
        {"\"pointer\":\"/a\",\"op\":\"regex\",\"value\":\"^x[0-9]+$\"", "{\"a\":12}", false},
        {"\"pointer\":\"/a/1\",\"op\":\"eq\",\"value\":2", "{\"a\":[1,2]}", true},
        {"\"pointer\":\"/a/01\",\"op\":\"exists\"", "{\"a\":[1,2]}", false},
        {"\"pointer\":\"/a~1b~0c\",\"op\":\"exists\"", "{\"a/b~c\":1}", true},
        {"\"pointer\":\"\",\"op\":\"eq\",\"value\":\"pong\"", "\"pong\"", true},
        {"\"pointer\":\"/a\",\"op\":\"exists\"", "not json", false},
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct fixture f;
        char package[512];
        snprintf(package, sizeof package, TEST(STEP(",\"expect\":{\"json\":[{%s}]}")), cases[i].condition);
        fixture_init(&f, package);
        answer(&f, 200, "", cases[i].body);
        if ((exam_result(f.exam)->code == RESULT_OK) != cases[i].holds)
            fail_msg("%s of %s: %s", cases[i].condition, cases[i].body, exam_result(f.exam)->message);
        assert_true(cases[i].holds || exam_result(f.exam)->code == RESULT_UNEXPECTED_RESPONSE);
        fixture_fini(&f);
    }
}

static void exam_wants_the_expected_type_of_content(void **state)
{
    static const struct {
        const char *headers;
        bool ok;
    } cases[] = {
        {"Content-Type: application/json\r\n", true},
        {"content-type:application/json;charset=utf-8\r\n", true},
        {"Content-Type: application/jsonp\r\n", false},
        {"Content-Type: text/html\r\n", false},
        {"X-Content-Type: application/json\r\n", false},
        {"", false},
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct fixture f;
        fixture_init(&f, TEST(STEP(",\"expect\":{\"contentType\":\"application/json\"}")));
        answer(&f, 200, cases[i].headers, "{}");
        if ((exam_result(f.exam)->code == RESULT_OK) != cases[i].ok)
            fail_msg("%s", cases[i].headers);
        fixture_fini(&f);
    }
}

static void exam_reads_when_to_come_back(void **state)
{
    static const struct {
        const char *headers;
        int64_t wait_ms; /* -1: not said */
    } cases[] = {
        {"Retry-After: 30\r\n", 30000},
        {"retry-after: 1.5\r\n", 1500},
        {"Retry-After: Thu, 01 Jan 2026 00:01:00 GMT\r\n", 60000},
        {"Retry-After: Wed, 31 Dec 2025 00:00:00 GMT\r\n", 0},
        {"Retry-After: 99999999999\r\n", INT64_C(7) * 24 * 3600 * 1000},
        {"Retry-After: Fri, 02 Jan 2023333333\r\n", INT64_C(7) * 24 * 3600 * 1000},
        {"Retry-After: soon\r\n", -1},
        {"Retry-After: -5\r\n", -1},
        {"Retry-After:\r\n", -1},
        {"X-Reset: 1767225660\r\n", 60000},
        {"X-Reset: 1767225660000\r\n", 60000},
        {"Retry-After: 5\r\nX-Reset: 1767225660\r\n", 5000},
        {"", -1},
    };
    static const char package[] = "{" HTTP ",\"test\":{\"steps\":[" STEP(
        "") "],\"rateLimit\":{\"after\":[\"retry-after\"],\"at\":[\"x-reset\"]}}}";
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct fixture f;
        fixture_init(&f, package);
        answer(&f, 429, cases[i].headers, "");
        int64_t at_ms = exam_result(f.exam)->retry_at_ms;
        int64_t wait_ms = at_ms ? at_ms - NOW_MS : -1;
        if (wait_ms != cases[i].wait_ms)
            fail_msg("%s gives %lld", cases[i].headers, (long long)wait_ms);
        fixture_fini(&f);
    }
}

static void exam_reads_retry_after_where_a_package_says_nothing_of_limits(void **state)
{
    struct fixture f;
    (void)state;
    fixture_init(&f, TEST(STEP("")));
    answer(&f, 503, "Retry-After: 2\r\n", "");
    assert_int_equal(exam_result(f.exam)->retry_at_ms, NOW_MS + 2000);
    fixture_fini(&f);
    fixture_init(&f, TEST(STEP("")));
    answer(&f, 401, "Retry-After: 2\r\n", "");
    assert_int_equal(exam_result(f.exam)->retry_at_ms, 0);
    fixture_fini(&f);
}

/* -- several steps -- */

#define TWO_STEPS                                                                                            \
    TEST(STEP(                                                                                               \
        ",\"extract\":{\"accountId\":\"/id\",\"accountLabel\":\"/name\"}") ",{\"id\":\"hooks\",\"request\":" \
                                                                           "{"                               \
                                                                           "\"method\":\"GET\",\"path\":\"/" \
                                                                           "a/{account.id}/hooks\"}}")

static void exam_hands_what_it_extracted_to_the_next_step(void **state)
{
    struct fixture f;
    (void)state;
    fixture_init(&f, TWO_STEPS);
    answer(&f, 200, "", "{\"id\":42,\"name\":\"Acme / EU\"}");
    assert_string_equal(exam_request(f.exam)->url.data, "https://api.example.com/a/42/hooks");
    answer(&f, 200, "", "[]");
    assert_int_equal(exam_result(f.exam)->code, RESULT_OK);
    assert_string_equal(exam_result(f.exam)->account_id, "42");
    assert_string_equal(exam_result(f.exam)->account_label, "Acme / EU");
    fixture_fini(&f);
}

static void exam_takes_a_refusal_of_a_later_step_as_a_warning(void **state)
{
    static const int statuses[] = {401, 403};
    (void)state;
    for (size_t i = 0; i < 2; i++) {
        struct fixture f;
        fixture_init(&f, TWO_STEPS);
        answer(&f, 200, "", "{\"id\":42}");
        answer(&f, statuses[i], "", "");
        const struct result *r = exam_result(f.exam);
        assert_int_equal(r->code, RESULT_OK);
        assert_int_equal(r->warning_count, 1);
        assert_int_equal(r->warnings[0].code, RESULT_INSUFFICIENT_SCOPE);
        assert_true(r->warnings[0].text[0]);
        assert_string_equal(r->message, "");
        fixture_fini(&f);
    }
}

static void exam_ends_at_the_first_step_that_fails(void **state)
{
    struct fixture f;
    (void)state;
    fixture_init(&f, TWO_STEPS);
    answer(&f, 500, "", "");
    assert_null(exam_request(f.exam));
    assert_int_equal(exam_result(f.exam)->code, RESULT_PROVIDER_UNAVAILABLE);
    fixture_fini(&f);
}

static void exam_passes_on_why_there_was_no_answer(void **state)
{
    struct fixture f;
    struct transfer_answer none = {
        .failure = RESULT_DNS_FAILURE, .why = "no address for " KEY ".example", .headers = "", .body = ""};
    (void)state;
    fixture_init(&f, TEST(STEP("")));
    exam_answer(f.exam, &none, NOW_MS);
    assert_int_equal(exam_result(f.exam)->code, RESULT_DNS_FAILURE);
    assert_string_equal(exam_result(f.exam)->message, "no address for [redacted].example");
    fixture_fini(&f);
}

/* -- secrets -- */

static void exam_takes_every_form_of_a_secret_out_of_what_it_keeps(void **state)
{
    static const char *const echoes[] = {
        KEY,
        "S3CR3T+KEY/VALUE",
        "s3cr3t%2Bkey%2Fvalue",
        "s3cr3t%2bkey%2fvalue",
        "czNjcjN0K2tleS92YWx1ZQ==",
        "YW5uOnMzY3IzdCtrZXkvdmFsdWU=",
    };
    (void)state;
    for (size_t i = 0; i < sizeof echoes / sizeof echoes[0]; i++) {
        struct fixture f;
        char body[512];
        fixture_init(
            &f, "{" HTTP ",\"auth\":{\"scheme\":\"basic\",\"username\":\"{user}\",\"password\":\"{key}\"},"
                "\"test\":{\"steps\":[" STEP(",\"errors\":[{\"status\":[400],\"code\":\"misconfigured\","
                                             "\"message\":\"/m\"}]") "]}}");
        snprintf(body, sizeof body, "{\"m\":\"bad key %s!\",\"code\":\"%s\"}", echoes[i], echoes[i]);
        answer(&f, 400, "", body);
        const struct result *r = exam_result(f.exam);
        if (strncmp(r->message, "bad key [redacted]", 18) != 0 ||
            strncmp(r->provider_code, "[redacted]", 10) != 0)
            fail_msg("%s: %s, %s", echoes[i], r->message, r->provider_code);
        fixture_fini(&f);
    }
}

static void exam_takes_a_secret_out_that_a_cut_would_have_split(void **state)
{
    struct fixture f;
    char body[512] = "{\"m\":\"";
    (void)state;
    memset(body + 6, 'x', 290);
    snprintf(body + 296, sizeof body - 296, KEY "\"}");
    fixture_init(
        &f, TEST(STEP(",\"errors\":[{\"status\":[400],\"code\":\"misconfigured\",\"message\":\"/m\"}]")));
    answer(&f, 400, "", body);
    assert_null(strstr(exam_result(f.exam)->message, "s3c"));
    fixture_fini(&f);
}

/* -- packages that cannot be tested -- */

static void exam_is_over_at_once_without_a_test(void **state)
{
    struct fixture f;
    (void)state;
    fixture_init(&f, "{}");
    assert_null(exam_request(f.exam));
    assert_int_equal(exam_result(f.exam)->code, RESULT_TEST_UNAVAILABLE);
    fixture_fini(&f);
}

static void exam_names_the_field_whose_value_cannot_be_used(void **state)
{
    struct fixture f;
    (void)state;
    fixture_init(
        &f,
        "{\"http\":{\"baseUrl\":\"https://{key}.example.com\",\"userHost\":true},\"test\":{\"steps\":[" STEP(
            "") "]}}");
    assert_null(exam_request(f.exam));
    assert_int_equal(exam_result(f.exam)->code, RESULT_MISCONFIGURED);
    assert_string_equal(exam_result(f.exam)->field, "key");
    assert_null(strstr(exam_result(f.exam)->message, "s3c"));
    fixture_fini(&f);
}

static void exam_names_the_place_where_a_package_is_wrong(void **state)
{
    static const struct {
        const char *package, *text;
    } cases[] = {
        {"{\"http\":{},\"test\":{\"steps\":[]}}", "demo/manifest.json#/http/baseUrl: is required"},
        {"{\"http\":{\"baseUrl\":7},\"test\":{\"steps\":[]}}", "#/http/baseUrl: must be a string"},
        {"{" HTTP ",\"test\":{\"steps\":[]}}", "#/test/steps: needs at least one"},
        {"{" HTTP ",\"test\":{\"step\":[]}}", "#/test/step: is not a known member; did you mean steps?"},
        {"{" HTTP ",\"test\":{}}", "#/test/steps: is required"},
        {TEST("{\"id\":\"x\"}"), "#/test/steps/0/request: is required"},
        {TEST(STEP("") "," STEP(",\"errros\":[]")),
         "#/test/steps/1/errros: is not a known member; did you mean errors?"},
        {TEST(STEP(",\"errors\":[{\"code\":\"ok\"}]")), "#/test/steps/0/errors/0: needs one of"},
        {TEST(STEP(",\"errors\":[{\"status\":[401],\"code\":\"bad\"}]")),
         "errors/0/code: \"bad\" is not a result code"},
        {TEST(STEP(",\"errors\":[{\"status\":[40],\"code\":\"ok\"}]")),
         "errors/0/status/0: must be an HTTP status"},
        {TEST(STEP(",\"errors\":[{\"status\":[401],\"code\":\"ok\",\"field\":\"nope\"}]")),
         "is not in credentialSchema"},
        {TEST(STEP(",\"errors\":[{\"status\":[401],\"code\":\"ok\",\"message\":\"m\"}]")),
         "is not a JSON pointer"},
        {TEST(STEP(",\"expect\":{\"json\":[{\"pointer\":\"/a\",\"op\":\"is\"}]}")), "op: must be one of"},
        {TEST(STEP(",\"expect\":{\"json\":[{\"pointer\":\"/a\",\"op\":\"eq\"}]}")), "value: is required"},
        {TEST(STEP(",\"expect\":{\"json\":[{\"pointer\":\"/a\",\"op\":\"regex\",\"value\":\"(\"}]}")),
         "regular expression"},
        {TEST("{\"id\":\"x\",\"request\":{\"method\":\"FETCH\",\"path\":\"/\"}}"),
         "request/method: must be GET"},
        {TEST("{\"id\":\"x\",\"request\":{\"method\":\"GET\",\"path\":\"/{nope}\"}}"), "is no field"},
        {TEST("{\"id\":\"x\",\"request\":{\"method\":\"GET\",\"path\":\"/\",\"json\":{},\"form\":{}}}"),
         "one body"},
        {"{\"http\":{\"baseUrl\":\"https://{site}.x\"},\"test\":{\"steps\":[" STEP("") "]}}",
         "allowedHosts: is needed"},
        {"{" HTTP ",\"auth\":{\"scheme\":\"oauth2\"},\"test\":{\"steps\":[" STEP("") "]}}",
         "cannot be carried out"},
        {"{" HTTP ",\"auth\":{\"scheme\":\"bearer\"},\"test\":{\"steps\":[" STEP("") "]}}",
         "#/auth/token: is required"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct fixture f;
        fixture_init(&f, cases[i].package);
        const struct result *r = exam_result(f.exam);
        assert_null(exam_request(f.exam));
        assert_int_equal(r->code, RESULT_MANIFEST_INVALID);
        if (!strstr(r->message, cases[i].text))
            fail_msg("%s: %s", cases[i].package, r->message);
        fixture_fini(&f);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(exam_puts_each_scheme_of_auth_where_it_belongs),
        cmocka_unit_test(exam_puts_parameters_into_the_address),
        cmocka_unit_test(exam_sends_bodies_as_json_and_as_forms),
        cmocka_unit_test(exam_lets_a_steps_headers_replace_those_of_all_requests),
        cmocka_unit_test(exam_lets_only_the_base_addresss_host_see_credentials_by_default),
        cmocka_unit_test(exam_goes_by_the_status_where_no_rule_matches),
        cmocka_unit_test(exam_takes_the_first_rule_that_matches),
        cmocka_unit_test(exam_holds_an_answer_to_each_condition),
        cmocka_unit_test(exam_wants_the_expected_type_of_content),
        cmocka_unit_test(exam_reads_when_to_come_back),
        cmocka_unit_test(exam_reads_retry_after_where_a_package_says_nothing_of_limits),
        cmocka_unit_test(exam_hands_what_it_extracted_to_the_next_step),
        cmocka_unit_test(exam_takes_a_refusal_of_a_later_step_as_a_warning),
        cmocka_unit_test(exam_ends_at_the_first_step_that_fails),
        cmocka_unit_test(exam_passes_on_why_there_was_no_answer),
        cmocka_unit_test(exam_takes_every_form_of_a_secret_out_of_what_it_keeps),
        cmocka_unit_test(exam_takes_a_secret_out_that_a_cut_would_have_split),
        cmocka_unit_test(exam_is_over_at_once_without_a_test),
        cmocka_unit_test(exam_names_the_field_whose_value_cannot_be_used),
        cmocka_unit_test(exam_names_the_place_where_a_package_is_wrong),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
