#include "broker/http/bind.h"
#include "broker/http/parse.h"
#include "common/limits.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>
/* cmocka wants setjmp.h, stdarg.h and stdint.h before it */
#include <cmocka.h>

/* -- request targets -- */

static void target_takes_path_and_query_apart(void **state)
{
    struct http_target t;
    (void)state;
    assert_int_equal(http_target_parse("/v1/a%2Fb/c?q=x+y%26z&limit=3&&empty", &t, NULL), PB_OK);
    assert_int_equal(t.segment_count, 3);
    assert_string_equal(t.segments[1], "a/b");
    assert_string_equal(t.segments[2], "c");
    assert_int_equal(t.param_count, 3);
    assert_string_equal(http_target_param(&t, "q"), "x y&z");
    assert_string_equal(http_target_param(&t, "limit"), "3");
    assert_string_equal(http_target_param(&t, "empty"), "");
    assert_null(http_target_param(&t, "Limit"));
    http_target_fini(&t);
}

static void target_keeps_a_plus_in_the_path(void **state)
{
    struct http_target t;
    (void)state;
    assert_int_equal(http_target_parse("/a+b", &t, NULL), PB_OK);
    assert_string_equal(t.segments[0], "a+b");
    http_target_fini(&t);
}

static void target_refuses_what_is_malformed(void **state)
{
    static const struct {
        const char *raw, *at;
        pb_err err;
    } cases[] = {
        {"*", "path", PB_E_INVALID},
        {"http://x/", "path", PB_E_INVALID},
        {"/%", "path", PB_E_INVALID},
        {"/%4", "path", PB_E_INVALID},
        {"/%zz", "path", PB_E_INVALID},
        {"/a%00b", "path", PB_E_INVALID},
        {"/?a=%00", "query", PB_E_INVALID},
        {"/?%a=1", "query", PB_E_INVALID},
        {"/1/2/3/4/5/6/7/8/9", "path", PB_E_LIMIT},
        {"/?1&2&3&4&5&6&7&8&9&10&11&12&13&14&15&16&17", "query", PB_E_LIMIT},
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct http_target t = {0};
        struct pb_why why = {0};
        pb_err err = http_target_parse(cases[i].raw, &t, &why);
        if (err != cases[i].err || strcmp(why.at, cases[i].at) != 0 || t.text)
            fail_msg("%s: %d at %s", cases[i].raw, err, why.at);
    }
}

static struct pb_why check_query(const char *raw, pb_err expected)
{
    static const char *const known[] = {"type", "status", "limit", NULL};
    struct http_target t;
    struct pb_why why = {0};
    assert_int_equal(http_target_parse(raw, &t, NULL), PB_OK);
    assert_int_equal(http_target_check(&t, known, &why), expected);
    http_target_fini(&t);
    return why;
}

static void query_names_the_nearest_when_a_parameter_is_unknown(void **state)
{
    (void)state;
    assert_non_null(strstr(check_query("/?limt=1", PB_E_INVALID).text, "did you mean limit?"));
    assert_non_null(strstr(check_query("/?zzzzzz=1", PB_E_INVALID).text, "type, status, limit"));
    assert_non_null(strstr(check_query("/?limit=1&limit=1", PB_E_INVALID).text, "twice"));
    check_query("/?limit=1&type=x", PB_OK);
}

static void query_is_refused_where_none_is_known(void **state)
{
    struct http_target t;
    struct pb_why why = {0};
    (void)state;
    assert_int_equal(http_target_parse("/healthz?x", &t, NULL), PB_OK);
    assert_int_equal(http_target_check(&t, NULL, &why), PB_E_INVALID);
    assert_string_equal(why.at, "x");
    http_target_fini(&t);
}

static void page_has_a_default_and_bounds(void **state)
{
    static const struct {
        const char *raw;
        size_t limit; /* 0: refused */
    } cases[] = {
        {"/", 50},
        {"/?limit=1", 1},
        {"/?limit=500", 500},
        {"/?limit=501", 0},
        {"/?limit=0", 0},
        {"/?limit=", 0},
        {"/?limit=-1", 0},
        {"/?limit=1x", 0},
        {"/?limit=%201", 0},
        {"/?limit=18446744073709551617", 0},
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct http_target t;
        struct http_page page = {0};
        struct pb_why why;
        assert_int_equal(http_target_parse(cases[i].raw, &t, NULL), PB_OK);
        pb_err err = http_page_parse(&t, &page, &why);
        if (err != (cases[i].limit ? PB_OK : PB_E_INVALID) || page.limit != cases[i].limit)
            fail_msg("%s: %d, %zu", cases[i].raw, err, page.limit);
        http_target_fini(&t);
    }
}

/* -- headers -- */

static void prefer_gives_the_seconds_to_wait(void **state)
{
    static const struct {
        const char *value;
        uint32_t seconds;
    } cases[] = {
        {NULL, 0},
        {"", 0},
        {"wait=10", 10},
        {"Wait = 10", 10},
        {"wait=\"7\"", 7},
        {"respond-async, wait=5", 5},
        {"handling=lenient;x=1 , wait=5;y", 5},
        {"wait=3, wait=9", 3},
        {"wait=60", 60},
        {"wait=61", 60},
        {"wait=99999999999999999999", 60},
        {"wait", 0},
        {"wait=", 0},
        {"wait=-1", 0},
        {"wait=1.5", 0},
        {"wait=abc, wait=4", 4},
        {"waiting=4", 0},
        {"x=wait=4", 0},
        {",,,", 0},
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
        if (http_prefer_wait(cases[i].value) != cases[i].seconds)
            fail_msg("%s: %u", cases[i].value, http_prefer_wait(cases[i].value));
}

static void json_type_is_told_from_others(void **state)
{
    (void)state;
    assert_true(http_is_json_type("application/json"));
    assert_true(http_is_json_type("Application/JSON; charset=utf-8"));
    assert_true(http_is_json_type("application/vnd.x+json"));
    assert_false(http_is_json_type(NULL));
    assert_false(http_is_json_type(""));
    assert_false(http_is_json_type("+json"));
    assert_false(http_is_json_type("application/jsonl"));
    assert_false(http_is_json_type("text/plain; application/json"));
}

static void idempotency_key_is_printable_and_bounded(void **state)
{
    char longest[LIMIT_IDEM_CHARS + 2];
    (void)state;
    memset(longest, 'k', sizeof longest);
    longest[LIMIT_IDEM_CHARS] = 0;
    assert_true(http_is_idem(longest));
    longest[LIMIT_IDEM_CHARS] = 'k';
    longest[LIMIT_IDEM_CHARS + 1] = 0;
    assert_false(http_is_idem(longest));
    assert_true(http_is_idem("a b~"));
    assert_false(http_is_idem(""));
    assert_false(http_is_idem("a\tb"));
    assert_false(http_is_idem("\xc3\xa4"));
}

/* -- JSON -- */

static void json_fault_names_line_and_column(void **state)
{
    static const struct {
        const char *text, *at, *says;
    } cases[] = {
        {"{\"a\":1,\n\"a\":2}", "line 2, column 3", "twice"},
        {"{\"a\":\n\n tru}", "line 3, column 4", "expected"},
        {"{\"a\":", "line 1, column 5", "too early"},
        {"{} x", "line 1, column 4", "follows"},
        {"{\"a\":\"\\u0000\"}", "line 1, column 13", "\\u0000"},
        {"", "", "empty"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        json_t *json = NULL;
        struct pb_why why = {0};
        pb_err err = http_json_parse(cases[i].text, strlen(cases[i].text), &json, &why);
        if (err != PB_E_INVALID || strcmp(why.at, cases[i].at) != 0 || !strstr(why.text, cases[i].says))
            fail_msg("%s: %d at %s: %s", cases[i].text, err, why.at, why.text);
    }
}

static void json_fault_does_not_quote_the_body(void **state)
{
    static const char body[] = "{\"apiKey\":\"sk_live_secret\" \"sk_live_other\"}";
    json_t *json = NULL;
    struct pb_why why = {0};
    (void)state;
    assert_int_equal(http_json_parse(body, sizeof body - 1, &json, &why), PB_E_INVALID);
    assert_null(strstr(why.text, "sk_live"));
}

static void json_depth_is_bounded(void **state)
{
    char text[4 * LIMIT_JSON_DEPTH];
    json_t *json = NULL;
    struct pb_why why = {0};
    (void)state;
    memset(text, '[', LIMIT_JSON_DEPTH + 1);
    memset(text + LIMIT_JSON_DEPTH + 1, ']', LIMIT_JSON_DEPTH + 1);
    assert_int_equal(http_json_parse(text, 2 * LIMIT_JSON_DEPTH + 2, &json, &why), PB_E_LIMIT);
    assert_int_equal(http_json_parse(text + 1, 2 * LIMIT_JSON_DEPTH, &json, &why), PB_OK);
    json_decref(json);
    static const char quoted[] =
        "\"[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[\\\"[\"";
    assert_int_equal(http_json_parse(quoted, sizeof quoted - 1, &json, &why), PB_OK);
    json_decref(json);
}

/* -- listening -- */

static void bind_reads_host_and_port(void **state)
{
    static const struct {
        const char *text, *host, *port; /* host NULL: refused */
    } cases[] = {
        {"127.0.0.1:7400", "127.0.0.1", "7400"},
        {"[::1]:0", "::1", "0"},
        {"localhost:65535", "localhost", "65535"},
        {"localhost:65536", NULL, NULL},
        {"localhost:", NULL, NULL},
        {"localhost", NULL, NULL},
        {":7400", NULL, NULL},
        {"::1:7400", NULL, NULL},
        {"[::1]7400", NULL, NULL},
        {"[::1", NULL, NULL},
        {"h:-1", NULL, NULL},
        {"h: 80", NULL, NULL},
        {"h:80x", NULL, NULL},
        {"", NULL, NULL},
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct bind_address a = {0};
        struct pb_why why = {0};
        pb_err err = bind_parse(cases[i].text, &a, &why);
        if (cases[i].host &&
            (err || strcmp(a.host, cases[i].host) != 0 || strcmp(a.port, cases[i].port) != 0))
            fail_msg("%s: %d, %s, %s", cases[i].text, err, a.host, a.port);
        if (!cases[i].host && (err != PB_E_INVALID || !strstr(why.text, "HOST:PORT")))
            fail_msg("%s: %d, %s", cases[i].text, err, why.text);
    }
}

static void bind_says_so_when_the_port_is_in_use(void **state)
{
    struct bind_socket first, second;
    char text[32];
    struct pb_why why = {0};
    (void)state;
    assert_int_equal(bind_open("127.0.0.1:0", &first, &why), PB_OK);
    assert_true(first.is_loopback);
    assert_int_not_equal(first.port, 0);
    snprintf(text, sizeof text, "127.0.0.1:%d", first.port);
    assert_int_equal(bind_open(text, &second, &why), PB_E_IO);
    assert_non_null(strstr(why.text, "is in use"));
    close(first.fd);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(target_takes_path_and_query_apart),
        cmocka_unit_test(target_keeps_a_plus_in_the_path),
        cmocka_unit_test(target_refuses_what_is_malformed),
        cmocka_unit_test(query_names_the_nearest_when_a_parameter_is_unknown),
        cmocka_unit_test(query_is_refused_where_none_is_known),
        cmocka_unit_test(page_has_a_default_and_bounds),
        cmocka_unit_test(prefer_gives_the_seconds_to_wait),
        cmocka_unit_test(json_type_is_told_from_others),
        cmocka_unit_test(idempotency_key_is_printable_and_bounded),
        cmocka_unit_test(json_fault_names_line_and_column),
        cmocka_unit_test(json_fault_does_not_quote_the_body),
        cmocka_unit_test(json_depth_is_bounded),
        cmocka_unit_test(bind_reads_host_and_port),
        cmocka_unit_test(bind_says_so_when_the_port_is_in_use),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
