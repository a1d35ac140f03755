#include "worker/transfer.h"

#include "common/clock.h"
#include "common/limits.h"
#include "tests/unit/canned.h"

#include <curl/curl.h>
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
/* cmocka wants the four before it */
#include <cmocka.h>

#define OK_HEAD "HTTP/1.1 200 OK\r\nConnection: close\r\n"
#define TO(where)                                                                                            \
    "HTTP/1.1 302 Found\r\nConnection: close\r\nContent-Length: 0\r\nLocation: " where "\r\n\r\n"

#define KEEP(code, where)                                                                                    \
    "HTTP/1.1 " code "\r\nConnection: close\r\nContent-Length: 0\r\nLocation: " where "\r\n\r\n"

static const struct canned_route routes[] = {
    {.path = "/ok", .answer = OK_HEAD "X-A: b\r\nContent-Length: 5\r\n\r\nhello"},
    {.path = "/early",
     .answer = "HTTP/1.1 103 Early Hints\r\nX-Early: 1\r\n\r\n" OK_HEAD "Content-Length: 0\r\n\r\n"},
    {.path = "/huge", .answer = OK_HEAD "\r\n", .filler = LIMIT_TRANSFER_BODY_BYTES + 1},
    {.path = "/full", .answer = OK_HEAD "\r\n", .filler = LIMIT_TRANSFER_BODY_BYTES},
    {.path = "/headers",
     .answer = OK_HEAD,
     .filler = LIMIT_TRANSFER_HEADERS / 16,
     .text = "X-Long: 0123456\r\n"},
    {.path = "/hang"},
    {.path = "/cut", .answer = OK_HEAD "Content-Length: 100\r\n\r\nhello"},
    {.path = "/nothing", .answer = ""},
    {.path = "/rubbish", .answer = "SSH-2.0-OpenSSH_9.2\r\n"},
    {.path = "/badgzip", .answer = OK_HEAD "Content-Encoding: gzip\r\nContent-Length: 5\r\n\r\nhello"},
    {.path = "/to-ok", .answer = TO("/ok")},
    {.path = "/to-other", .answer = TO("http://other.example/ok")},
    {.path = "/to-self", .answer = TO("/to-self")},
    {.path = "/to-ftp", .answer = TO("ftp://other.example/")},
    {.path = "/to-private", .answer = TO("http://10.0.0.1/")},
    {.path = "/to-metadata", .answer = TO("http://169.254.169.254/latest/")},
    {.path = "/keep", .answer = KEEP("307 Temporary Redirect", "/ok")},
    {.path = "/keep-other", .answer = KEEP("308 Permanent Redirect", "http://other.example/ok")},
};

/* What done() was told, by value. */
struct told {
    bool done;
    enum result_code failure;
    int status;
    char why[LIMIT_RESULT_MESSAGE], head[256], body[64];
    size_t body_len;
};

struct fixture {
    struct canned *server;
    struct transfer *transfer;
    char base[64], connect_to[2][64];
};

static void note(void *arg, const struct transfer_answer *a)
{
    struct told *t = arg;
    assert_false(t->done);
    t->done = true;
    t->failure = a->failure;
    t->status = a->status;
    t->body_len = a->body_len;
    snprintf(t->why, sizeof t->why, "%s", a->why ? a->why : "");
    snprintf(t->head, sizeof t->head, "%s", a->headers);
    snprintf(t->body, sizeof t->body, "%s", a->body);
}

/* Names of example resolve to the server, too: connections to them go there. */
static void open_with(struct fixture *f, const char *const *allow, size_t allow_count, size_t max_in_flight)
{
    static const struct log log = {.fd = 2, .level = LOG_ERROR};
    struct pb_why why = {0};
    f->server = canned_open(routes, sizeof routes / sizeof routes[0]);
    snprintf(f->base, sizeof f->base, "http://127.0.0.1:%u", canned_port(f->server));
    snprintf(f->connect_to[0], sizeof f->connect_to[0], "other.example:80:127.0.0.1:%u",
             canned_port(f->server));
    snprintf(f->connect_to[1], sizeof f->connect_to[1], "dead.example:80:127.0.0.1:1");
    const char *connect_to[] = {f->connect_to[0], f->connect_to[1]};
    struct transfer_settings s = {
        .allow = allow,
        .allow_count = allow_count,
        .connect_to = connect_to,
        .connect_to_count = 2,
        .timeout_ms = 10000,
        .max_in_flight = max_in_flight,
        .user_agent = "patchbay-test/1",
    };
    if (transfer_open(&s, &log, &f->transfer, &why))
        fail_msg("%s: %s", why.at, why.text);
}

static int setup(void **state)
{
    static const char *const allow[] = {"127.0.0.0/8"};
    struct fixture *f = calloc(1, sizeof *f);
    open_with(f, allow, 1, 8);
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    transfer_close(f->transfer);
    canned_close(f->server);
    free(f);
    return 0;
}

static void turn_until(struct fixture *f, const struct told *told, size_t count)
{
    uint64_t until_ms = clock_mono_ms() + 20000;
    for (size_t i = 0; i < count;) {
        struct pollfd p = {.fd = transfer_fd(f->transfer), .events = POLLIN};
        if (told[i].done) {
            i++;
            continue;
        }
        if (clock_mono_ms() > until_ms)
            fail_msg("call %zu is never answered", i);
        poll(&p, 1, 1000);
        transfer_turn(f->transfer);
    }
}

static struct secret lend(const char *text)
{
    return (struct secret){(char *)(uintptr_t)text, strlen(text)};
}

struct ask {
    const char *method, *url, *body;
    bool with_key;
    uint32_t timeout_ms;
};

static struct transfer_call *start(struct fixture *f, const struct ask *ask, struct told *told)
{
    char url[256];
    struct transfer_call *call = NULL;
    const char *hosts[] = {f->base + strlen("http://")};
    const struct transfer_header headers[] = {
        {"X-Api-Key", lend("k3y"), true},
        {"X-Plain", lend("plain"), false},
        {"X-Empty", lend(""), false},
    };
    snprintf(url, sizeof url, "%s%s", ask->url[0] == '/' ? f->base : "", ask->url);
    struct transfer_request r = {
        .method = ask->method ? ask->method : "GET",
        .url = lend(url),
        .headers = ask->with_key ? headers : headers + 1,
        .header_count = ask->with_key ? 3 : 2,
        .body = ask->body,
        .body_len = ask->body ? strlen(ask->body) : 0,
        .allowed_hosts = hosts,
        .allowed_host_count = 1,
        .timeout_ms = ask->timeout_ms,
    };
    *told = (struct told){0};
    assert_int_equal(transfer_start(f->transfer, &r, note, told, &call), PB_OK);
    assert_false(told->done);
    return call;
}

static struct told get(struct fixture *f, struct ask ask)
{
    struct told told;
    start(f, &ask, &told);
    turn_until(f, &told, 1);
    assert_int_equal(transfer_in_flight(f->transfer), 0);
    return told;
}

/* -- answers -- */

static void transfer_brings_the_answer(void **state)
{
    struct told t = get(*state, (struct ask){.url = "/ok", .with_key = true});
    const char *request = canned_request(((struct fixture *)*state)->server, 0);
    assert_int_equal(t.failure, 0);
    assert_int_equal(t.status, 200);
    assert_string_equal(t.body, "hello");
    assert_non_null(strstr(t.head, "X-A: b\r\n"));
    assert_non_null(strstr(request, "GET /ok HTTP/1.1\r\n"));
    assert_non_null(strstr(request, "X-Api-Key: k3y\r\n"));
    assert_non_null(strstr(request, "X-Empty:\r\n"));
    assert_non_null(strstr(request, "User-Agent: patchbay-test/1\r\n"));
}

static void transfer_sends_method_and_body(void **state)
{
    struct fixture *f = *state;
    assert_int_equal(get(f, (struct ask){.method = "POST", .url = "/ok", .body = "a=b"}).status, 200);
    assert_non_null(strstr(canned_request(f->server, 0), "POST /ok"));
    assert_non_null(strstr(canned_request(f->server, 0), "Content-Length: 3\r\n"));
    assert_non_null(strstr(canned_request(f->server, 0), "\r\n\r\na=b"));
    assert_null(strstr(canned_request(f->server, 0), "Expect:"));
    assert_int_equal(get(f, (struct ask){.method = "POST", .url = "/ok"}).status, 200);
    assert_non_null(strstr(canned_request(f->server, 1), "Content-Length: 0\r\n"));
    assert_null(strstr(canned_request(f->server, 1), "Content-Type:"));
    assert_int_equal(get(f, (struct ask){.method = "DELETE", .url = "/ok"}).status, 200);
    assert_non_null(strstr(canned_request(f->server, 2), "DELETE /ok"));
}

static void transfer_keeps_the_last_answers_headers_only(void **state)
{
    struct told t = get(*state, (struct ask){.url = "/early"});
    assert_int_equal(t.status, 200);
    assert_null(strstr(t.head, "X-Early"));
}

static void transfer_takes_a_body_up_to_its_limit(void **state)
{
    struct told t = get(*state, (struct ask){.url = "/full"});
    assert_int_equal(t.failure, 0);
    assert_int_equal(t.body_len, LIMIT_TRANSFER_BODY_BYTES);
}

static void transfer_names_why_there_is_no_answer(void **state)
{
    static const struct {
        struct ask ask;
        enum result_code failure;
        const char *why;
    } cases[] = {
        {{.url = "/huge"}, RESULT_UNEXPECTED_RESPONSE, "more than 2097152 bytes"},
        {{.url = "/headers"}, RESULT_UNEXPECTED_RESPONSE, "bytes of headers"},
        {{.url = "/hang", .timeout_ms = 100}, RESULT_TIMEOUT, "did not answer within 100 ms"},
        {{.url = "/cut"}, RESULT_PROVIDER_UNAVAILABLE, "broke"},
        {{.url = "/nothing"}, RESULT_PROVIDER_UNAVAILABLE, "without an answer"},
        {{.url = "/rubbish"}, RESULT_UNEXPECTED_RESPONSE, "does not answer in HTTP"},
        {{.url = "/badgzip"}, RESULT_UNEXPECTED_RESPONSE, "decompressed"},
        {{.url = "http://dead.example/"}, RESULT_NETWORK_UNREACHABLE, "cannot connect"},
        {{.url = "http://nowhere.invalid/"}, RESULT_DNS_FAILURE, "nowhere.invalid"},
        {{.url = "not a url"}, RESULT_MISCONFIGURED, "address"},
        {{.url = "https://u:p@a.example/"}, RESULT_BLOCKED_BY_POLICY, "user or password"},
        {{.url = "http://other.example/", .with_key = true}, RESULT_BLOCKED_BY_POLICY, "allowed hosts"},
        {{.url = "http://10.1.2.3/"}, RESULT_BLOCKED_BY_POLICY, "a private address"},
        {{.url = "http://[::1]/"}, RESULT_BLOCKED_BY_POLICY, "a loopback address"},
        {{.url = "http://2130706433.nip/"}, RESULT_DNS_FAILURE, "2130706433.nip"},
        {{.url = "http://0xa000001/"}, RESULT_BLOCKED_BY_POLICY, "a private address"},
        {{.url = "/to-self"}, RESULT_UNEXPECTED_RESPONSE, "redirects more than 5 times"},
        {{.url = "/to-ftp"}, RESULT_UNEXPECTED_RESPONSE, "address"},
        {{.url = "/to-private"}, RESULT_BLOCKED_BY_POLICY, "a private address"},
        {{.url = "/to-metadata"}, RESULT_BLOCKED_BY_POLICY, "metadata"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct told t = get(*state, cases[i].ask);
        if (t.failure != cases[i].failure || !strstr(t.why, cases[i].why))
            fail_msg("%s: %s, %s", cases[i].ask.url, t.failure ? result_code_name(t.failure) : "an answer",
                     t.why);
        assert_int_equal(t.status, 0);
        assert_int_equal(t.body_len, 0);
    }
}

/* -- policy -- */

static void transfer_refuses_plain_http_to_public_addresses(void **state)
{
    struct told t = get(*state, (struct ask){.url = "http://1.1.1.1/"});
    assert_int_equal(t.failure, RESULT_BLOCKED_BY_POLICY);
    assert_non_null(strstr(t.why, "plain http"));
}

static void transfer_reaches_nothing_local_unless_allowed(void **state)
{
    struct fixture f;
    (void)state;
    open_with(&f, NULL, 0, 8);
    struct told t = get(&f, (struct ask){.url = "/ok"});
    assert_int_equal(t.failure, RESULT_BLOCKED_BY_POLICY);
    assert_non_null(strstr(t.why, "--allow-egress"));
    assert_int_equal(canned_count(f.server), 0);
    transfer_close(f.transfer);
    canned_close(f.server);
}

static void transfer_ignores_a_proxy_of_the_environment(void **state)
{
    setenv("http_proxy", "http://127.0.0.1:1", 1);
    setenv("ALL_PROXY", "http://127.0.0.1:1", 1);
    struct told t = get(*state, (struct ask){.url = "/ok"});
    unsetenv("http_proxy");
    unsetenv("ALL_PROXY");
    assert_int_equal(t.status, 200);
}

/* -- redirects -- */

static void transfer_follows_a_redirect_with_credentials_to_an_allowed_host(void **state)
{
    struct fixture *f = *state;
    struct told t = get(f, (struct ask){.url = "/to-ok", .with_key = true});
    assert_int_equal(t.status, 200);
    assert_int_equal(canned_count(f->server), 2);
    assert_non_null(strstr(canned_request(f->server, 1), "X-Api-Key: k3y"));
}

static void transfer_drops_credentials_when_redirected_to_another_host(void **state)
{
    struct fixture *f = *state;
    struct told t = get(f, (struct ask){.url = "/to-other", .with_key = true});
    const char *second = canned_request(f->server, 1);
    assert_int_equal(t.status, 200);
    assert_non_null(strstr(second, "Host: other.example\r\n"));
    assert_null(strstr(second, "k3y"));
    assert_non_null(strstr(second, "X-Plain: plain"));
}

static void transfer_turns_a_post_into_a_get_unless_told_to_keep_it(void **state)
{
    struct fixture *f = *state;
    get(f, (struct ask){.method = "POST", .url = "/to-ok", .body = "b0dy"});
    assert_non_null(strstr(canned_request(f->server, 1), "GET /ok"));
    assert_null(strstr(canned_request(f->server, 1), "b0dy"));
    get(f, (struct ask){.method = "POST", .url = "/keep", .body = "b0dy"});
    assert_non_null(strstr(canned_request(f->server, 3), "POST /ok"));
    assert_non_null(strstr(canned_request(f->server, 3), "b0dy"));
}

static void transfer_sends_no_body_to_a_host_that_is_not_allowed(void **state)
{
    struct fixture *f = *state;
    struct told t = get(f, (struct ask){.method = "POST", .url = "/keep-other", .body = "b0dy"});
    assert_int_equal(t.failure, RESULT_BLOCKED_BY_POLICY);
    assert_int_equal(canned_count(f->server), 1);
}

/* -- many at a time -- */

static void transfer_carries_many_requests_and_answers_each_once(void **state)
{
    struct fixture *f = *state;
    struct told told[200];
    for (size_t i = 0; i < 200; i++) {
        start(f, &(struct ask){.url = "/ok"}, &told[i]);
        assert_true(transfer_in_flight(f->transfer) <= 8);
    }
    turn_until(f, told, 200);
    for (size_t i = 0; i < 200; i++)
        assert_int_equal(told[i].status, 200);
}

static void transfer_gives_up_on_requests_that_wait_too_long(void **state)
{
    struct fixture *f = *state;
    struct told told[9];
    for (size_t i = 0; i < 8; i++)
        start(f, &(struct ask){.url = "/hang", .timeout_ms = 1000}, &told[i]);
    start(f, &(struct ask){.url = "/ok", .timeout_ms = 50}, &told[8]);
    turn_until(f, told, 9);
    assert_int_equal(told[8].failure, RESULT_TIMEOUT);
    assert_non_null(strstr(told[8].why, "too busy"));
}

static void transfer_cancels_in_every_stage_without_an_answer(void **state)
{
    struct fixture *f = *state;
    struct transfer_call *calls[10];
    struct told told[10], last;
    for (size_t i = 0; i < 9; i++)
        calls[i] = start(f, &(struct ask){.url = "/hang"}, &told[i]);
    calls[9] = start(f, &(struct ask){.url = "not a url"}, &told[9]);
    for (size_t i = 0; i < 10; i++)
        transfer_cancel(calls[i]);
    assert_int_equal(transfer_in_flight(f->transfer), 0);
    start(f, &(struct ask){.url = "/ok"}, &last);
    turn_until(f, &last, 1);
    for (size_t i = 0; i < 10; i++)
        assert_false(told[i].done);
}

static void transfer_names_the_setting_that_is_wrong(void **state)
{
    static const struct log log = {.fd = 2, .level = LOG_ERROR};
    static const char *const bad[] = {"10.0.0.0/99"};
    struct transfer *t = NULL;
    struct pb_why why = {0};
    (void)state;
    assert_int_equal(
        transfer_open(&(struct transfer_settings){.allow = bad, .allow_count = 1, .user_agent = "x"}, &log,
                      &t, &why),
        PB_E_INVALID);
    assert_string_equal(why.at, "10.0.0.0/99");
    assert_int_equal(
        transfer_open(&(struct transfer_settings){.ca_file = "/nonexistent.pem", .user_agent = "x"}, &log, &t,
                      &why),
        PB_E_IO);
    assert_string_equal(why.at, "/nonexistent.pem");
    assert_int_equal(
        transfer_open(&(struct transfer_settings){.ca_file = "Makefile", .user_agent = "x"}, &log, &t, &why),
        PB_E_INVALID);
    assert_non_null(strstr(why.text, "no certificate"));
    assert_null(t);
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(transfer_brings_the_answer),
        CASE(transfer_sends_method_and_body),
        CASE(transfer_keeps_the_last_answers_headers_only),
        CASE(transfer_takes_a_body_up_to_its_limit),
        CASE(transfer_names_why_there_is_no_answer),
        CASE(transfer_refuses_plain_http_to_public_addresses),
        cmocka_unit_test(transfer_reaches_nothing_local_unless_allowed),
        CASE(transfer_ignores_a_proxy_of_the_environment),
        CASE(transfer_follows_a_redirect_with_credentials_to_an_allowed_host),
        CASE(transfer_drops_credentials_when_redirected_to_another_host),
        CASE(transfer_turns_a_post_into_a_get_unless_told_to_keep_it),
        CASE(transfer_sends_no_body_to_a_host_that_is_not_allowed),
        CASE(transfer_carries_many_requests_and_answers_each_once),
        CASE(transfer_gives_up_on_requests_that_wait_too_long),
        CASE(transfer_cancels_in_every_stage_without_an_answer),
        cmocka_unit_test(transfer_names_the_setting_that_is_wrong),
    };
    curl_global_init(CURL_GLOBAL_DEFAULT);
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    curl_global_cleanup();
    return failed;
}
