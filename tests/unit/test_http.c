#include "broker/broker.h"
#include "broker/http/http.h"
#include "broker/http/jobs.h"
#include "broker/http/problem.h"
#include "broker/http/routes.h"
#include "broker/http/setup.h"
#include "broker/spec.h"
#include "common/limits.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <netinet/in.h>
#include <poll.h>
#include <setjmp.h>
#include <sodium.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>
/* cmocka wants setjmp.h, stdarg.h and stdint.h before it */
#include <cmocka.h>

/* -- routes -- */

static struct route_match match(const char *method, const char *raw, struct http_target *t)
{
    struct route_match m;
    assert_int_equal(http_target_parse(raw, t, NULL), PB_OK);
    routes_match(method, t, &m);
    return m;
}

static void route_is_found_by_method_and_path(void **state)
{
    struct http_target t;
    struct route_match m = match("GET", "/v1/types/a%2Fb/events/x.y/schema", &t);
    (void)state;
    assert_ptr_equal(m.route->handler, types_schema);
    assert_string_equal(m.args[0], "a/b");
    assert_string_equal(m.args[1], "x.y");
    http_target_fini(&t);
    m = match("HEAD", "/v1/jobs/job_1", &t);
    assert_ptr_equal(m.route->handler, jobs_get);
    http_target_fini(&t);
    m = match("DELETE", "/v1/integrations/int_1", &t);
    assert_ptr_equal(m.route->handler, integrations_delete);
    http_target_fini(&t);
    m = match("POST", "/v1/jobs/job_1:cancel?x", &t);
    assert_ptr_equal(m.route->handler, jobs_cancel);
    assert_string_equal(m.args[0], "job_1");
    http_target_fini(&t);
    m = match("POST", "/v1/integrations/int_1/events/a%2Fb/validate:batch", &t);
    assert_ptr_equal(m.route->handler, events_check_lines);
    assert_int_equal(m.route->body_max, LIMIT_HTTP_BULK_BYTES);
    assert_string_equal(m.args[1], "a/b");
    http_target_fini(&t);
    m = match("GET", "/v1/jobs/a%3Ab", &t);
    assert_ptr_equal(m.route->handler, jobs_get);
    assert_string_equal(m.args[0], "a:b");
    http_target_fini(&t);
}

static void route_tells_the_methods_when_another_is_asked(void **state)
{
    static const struct {
        const char *method, *path, *allow;
    } cases[] = {
        {"PUT", "/v1/integrations", "GET, HEAD, POST"},
        {"POST", "/v1/integrations/x", "GET, HEAD, DELETE"},
        {"GET", "/v1/integrations/x/validate", "POST"},
        {"HEAD", "/v1/integrations/x/validate", "POST"},
        {"get", "/healthz", "GET, HEAD"},
        {"GET", "/", ""},
        {"GET", "/v1/types/", ""},
        {"GET", "/v1//types", ""},
        {"GET", "/v1%2Ftypes", ""},
        {"GET", "/v1/types/stripe/events", ""},
        {"GET", "/healthz/", ""},
        {"GET", "/v1/jobs/x:cancel", "POST"},
        {"DELETE", "/v1/jobs/x", "GET, HEAD"},
        {"POST", "/v1/jobs/x%3Acancel", "GET, HEAD"},
        {"POST", "/v1/jobs/x:cancle", ""},
        {"GET", "/v1/jobs/x:", ""},
        {"POST", "/v1/jobs/x:retry/y", ""},
        {"POST", "/v1:jobs/x", ""},
        {"GET", "/v1/jobs:retry", "POST"},
        {"PUT", "/v1/integrations:test", "POST"},
        {"GET", "/v1/integrations/x/events/a.b/validate", "POST"},
        {"GET", "/v1/types/x/events/a%3Ab/validate:batch", "POST"},
        {"POST", "/v1/types/x/events/y/validate:all", ""},
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct http_target t;
        struct route_match m = match(cases[i].method, cases[i].path, &t);
        if (m.route || strcmp(m.allow, cases[i].allow) != 0)
            fail_msg("%s %s: \"%s\"", cases[i].method, cases[i].path, m.allow);
        http_target_fini(&t);
    }
}

static void only_health_is_open_without_a_token(void **state)
{
    (void)state;
    for (size_t i = 0; routes_at(i); i++) {
        const struct route *r = routes_at(i);
        bool open = strcmp(r->pattern, "/healthz") == 0 || strcmp(r->pattern, "/readyz") == 0;
        if ((r->role == ROLE_NONE) != open)
            fail_msg("%s", r->pattern);
        if (strcmp(r->method, "GET") != 0 && r->role < ROLE_SUBMITTER)
            fail_msg("a viewer may %s %s", r->method, r->pattern);
    }
}

/* A request that is not a listener's: its answer stays in it. */
static void keep_answer(struct http_request *r)
{
    (void)r;
}

static void every_route_is_in_the_description_and_nothing_else(void **state)
{
    struct http_request r = {.answered = keep_answer};
    char line[160];
    (void)state;
    openapi_get(&r);
    assert_int_equal(r.answer.status, 200);
    char *text = strndup(r.answer.text, r.answer.len);
    size_t described = 0, served = 0;
    for (size_t i = 0; routes_at(i); i++, served++) {
        const char *method = routes_at(i)->method;
        snprintf(line, sizeof line, "\n  %s:\n", routes_at(i)->pattern);
        const char *path = strstr(text, line), *end = path ? strstr(path + 1, "\n  /") : NULL;
        char verb[24];
        size_t len = (size_t)snprintf(verb, sizeof verb, "\n    %s:\n", method);
        for (size_t c = 0; c < len; c++)
            verb[c] = (char)tolower((unsigned char)verb[c]);
        const char *at = path ? strstr(path, verb) : NULL;
        if (!at || (end && at > end))
            fail_msg("%s %s is not described", method, routes_at(i)->pattern);
    }
    for (const char *at = text; (at = strstr(at, "operationId:")); at++)
        described++;
    assert_int_equal(described, served);
    free(text);
    http_request_fini(&r);
}

/* -- problems -- */

static void problem_has_what_the_rfc_wants(void **state)
{
    struct fields_fault fault = {.pointer = "/name", .message = "is \xc3"}; /* cut within a character */
    struct problem p = {.code = "invalid_request", .detail = "d", .faults = &fault, .fault_count = 1};
    json_t *json = problem_json(&p);
    (void)state;
    assert_string_equal(json_string_value(json_object_get(json, "type")),
                        "urn:patchbay:problem:invalid_request");
    assert_int_equal(json_integer_value(json_object_get(json, "status")), 422);
    assert_string_equal(json_string_value(json_object_get(json, "code")), "invalid_request");
    assert_string_equal(json_string_value(json_object_get(json, "detail")), "d");
    json_t *error = json_array_get(json_object_get(json, "errors"), 0);
    assert_string_equal(json_string_value(json_object_get(error, "pointer")), "/name");
    assert_string_equal(json_string_value(json_object_get(error, "message")), "is \xef\xbf\xbd");
    assert_null(json_object_get(json, "result"));
    json_decref(json);
}

static void problem_status_follows_the_error(void **state)
{
    static const struct {
        pb_err err;
        int status;
    } cases[] = {
        {PB_E_BUSY, 429},   {PB_E_STORE, 503},  {PB_E_CLOSED, 503},    {PB_E_LIMIT, 429},
        {PB_E_MEMORY, 503}, {PB_E_DENIED, 500}, {PB_E_NOT_FOUND, 404},
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
        assert_int_equal(problem_kind(problem_code(cases[i].err))->status, cases[i].status);
    assert_int_equal(problem_kind("invalid_credentials")->status, 422);
}

static json_t *answer_of(struct http_request *r)
{
    json_t *json = json_loadb(r->answer.text, r->answer.len, 0, NULL);
    assert_non_null(json);
    return json;
}

static void failed_job_becomes_a_problem_by_its_code(void **state)
{
    static const struct {
        const char *result, *code, *pointer;
        int status;
    } cases[] = {
        {"{\"code\":\"invalid_credentials\",\"message\":\"bad\",\"field\":\"apiKey\"}", "invalid_credentials",
         "/credentials/apiKey", 422},
        {"{\"code\":\"timeout\",\"message\":\"slow\"}", "timeout", NULL, 422},
        {"{\"code\":\"name_taken\",\"message\":\"taken\"}", "name_taken", "/name", 409},
        {"{\"code\":\"not_found\",\"message\":\"gone\"}", "not_found", NULL, 404},
        {NULL, "internal", NULL, 500},
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct http_request r = {.answered = keep_answer};
        struct job job = {.state = JOB_FAILED, .result = (char *)(uintptr_t)cases[i].result};
        jobs_answer_failed(&r, &job);
        json_t *json = answer_of(&r);
        const json_t *error = json_array_get(json_object_get(json, "errors"), 0);
        const char *pointer = json_string_value(json_object_get(error, "pointer"));
        assert_int_equal(r.answer.status, cases[i].status);
        assert_string_equal(r.answer.type, PROBLEM_TYPE);
        assert_string_equal(json_string_value(json_object_get(json, "code")), cases[i].code);
        assert_string_equal(pointer ? pointer : "", cases[i].pointer ? cases[i].pointer : "");
        json_decref(json);
        http_request_fini(&r);
    }
}

static void host_of_a_job_is_the_packages_or_its_type(void **state)
{
    static const struct {
        const char *base, *host;
    } cases[] = {
        {"https://API.Stripe.com/v1", "api.stripe.com"},
        {"https://slack.com", "slack.com"},
        {"http://[::1]", "x"},
        {"https://{shop}.example.com", "x"},
        {"https://example.com:8443/{a}", "example.com"},
        {"{base}", "x"},
        {"", "x"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct manifest m = {.json = json_pack("{s:{s:s}}", "http", "baseUrl", cases[i].base)};
        struct job job = {.type = "x"};
        spec_set_host(&job, &m);
        assert_string_equal(job.host, cases[i].host);
        json_decref(m.json);
    }
    struct job job = {.type = "x"};
    spec_set_host(&job, NULL);
    assert_string_equal(job.host, "x");
}

static void job_is_shown_with_every_member(void **state)
{
    struct job job = {.kind = JOB_VALIDATE,
                      .state = JOB_DONE,
                      .type = "stripe",
                      .attempts = 2,
                      .created_at_ms = 1,
                      .result = (char *)(uintptr_t) "{\"code\":\"ok\"}"};
    json_t *json = jobs_json(&job);
    (void)state;
    assert_string_equal(json_string_value(json_object_get(json, "kind")), "validate");
    assert_string_equal(json_string_value(json_object_get(json, "state")), "done");
    assert_string_equal(json_string_value(json_object_get(json, "createdAt")), "1970-01-01T00:00:00.001Z");
    assert_true(json_is_null(json_object_get(json, "finishedAt")));
    assert_string_equal(json_string_value(json_object_get(json_object_get(json, "result"), "code")), "ok");
    assert_int_equal(json_object_size(json), 14);
    json_decref(json);
}

/* -- setups -- */

static struct manifests *types;

static int open_types(void **state)
{
    struct log quiet = {.fd = -1, .level = LOG_ERROR};
    struct pb_why why = {0};
    (void)state;
    if (sodium_init() < 0 || manifests_open("manifests", &quiet, &types, &why) != PB_OK) {
        fprintf(stderr, "%s: %s\n", why.at, why.text);
        return -1;
    }
    return 0;
}

static int close_types(void **state)
{
    (void)state;
    manifests_close(types);
    return 0;
}

static struct fields_report setup_faults(const char *body)
{
    struct fields_report report = {0};
    struct setup s = {0};
    json_t *json = json_loads(body, JSON_DECODE_ANY, NULL);
    assert_non_null(json);
    assert_int_equal(setup_read(types, json, &s, &report), PB_OK);
    assert_true((report.count == 0) == (s.manifest != NULL));
    credentials_fini(&s.credentials);
    json_decref(json);
    return report;
}

static void setup_is_read_when_all_is_well(void **state)
{
    static const char body[] = "{\"type\":\"stripe\",\"name\":\"B\\u00fccher\",\"credentials\":{\"apiKey\":"
                               "\"sk_test_abcdefghijkl\"}}";
    struct fields_report report = {0};
    struct setup s = {0};
    json_t *json = json_loads(body, 0, NULL);
    (void)state;
    assert_int_equal(setup_read(types, json, &s, &report), PB_OK);
    assert_int_equal(report.count, 0);
    assert_string_equal(s.manifest->type, "stripe");
    assert_string_equal(s.name, "B\xc3\xbc"
                                "cher");
    assert_string_equal(credentials_get(&s.credentials, "apiKey")->data, "sk_test_abcdefghijkl");
    credentials_fini(&s.credentials);
    json_decref(json);
}

static void setup_names_every_fault_at_its_place(void **state)
{
    struct fields_report r = setup_faults("{\"tipe\":1,\"a/b~\":2,\"name\":\"\",\"credentials\":{\"x\":1}}");
    static const struct {
        const char *pointer, *says;
    } expected[] = {
        {"/tipe", "did you mean type?"},
        {"/a~1b~0", "is not known"},
        {"/type", "is required"},
        {"/name", "must not be empty"},
        {"/credentials/x", "must be a string"},
    };
    (void)state;
    assert_int_equal(r.count, sizeof expected / sizeof expected[0]);
    for (size_t i = 0; i < r.count; i++) {
        assert_string_equal(r.faults[i].pointer, expected[i].pointer);
        if (!strstr(r.faults[i].message, expected[i].says))
            fail_msg("%s: %s", r.faults[i].pointer, r.faults[i].message);
    }
}

static void setup_refuses_single_faults(void **state)
{
    static const struct {
        const char *body, *pointer, *says;
    } cases[] = {
        {"[]", "", "must be an object"},
        {"\"x\"", "", "must be an object"},
        {"{\"type\":\"strpe\",\"name\":\"n\",\"credentials\":{}}", "/type", "did you mean stripe?"},
        {"{\"type\":\"zzzzzzzzzz\",\"name\":\"n\",\"credentials\":{}}", "/type", "GET /v1/types"},
        {"{\"type\":7,\"name\":\"n\",\"credentials\":{}}", "/type", "must be a string"},
        {"{\"type\":\"stripe\",\"name\":\"n\"}", "/credentials", "is required"},
        {"{\"type\":\"stripe\",\"name\":\"n\",\"credentials\":[]}", "/credentials", "must be an object"},
        {"{\"type\":\"stripe\",\"name\":\"n\",\"credentials\":{}}", "/credentials/apiKey", "is required"},
        {"{\"type\":\"stripe\",\"name\":\"a\\nb\",\"credentials\":{\"apiKey\":\"sk_test_abcdefghijkl\"}}",
         "/name", "control characters"},
        {"{\"type\":\"stripe\",\"name\":\"a\\u0085b\",\"credentials\":{\"apiKey\":\"sk_test_abcdefghijkl\"}}",
         "/name", "control characters"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct fields_report r = setup_faults(cases[i].body);
        if (r.count != 1 || strcmp(r.faults[0].pointer, cases[i].pointer) != 0 ||
            !strstr(r.faults[0].message, cases[i].says))
            fail_msg("%s: %zu, %s %s", cases[i].body, r.count, r.faults[0].pointer, r.faults[0].message);
    }
}

static void setup_counts_a_name_in_bytes(void **state)
{
    char body[2 * LIMIT_NAME_CHARS + 200], name[LIMIT_NAME_CHARS + 2];
    (void)state;
    for (size_t len = LIMIT_NAME_CHARS; len <= LIMIT_NAME_CHARS + 1; len++) {
        memset(name, 'n', len);
        name[len] = 0;
        snprintf(
            body, sizeof body,
            "{\"type\":\"stripe\",\"name\":\"%s\",\"credentials\":{\"apiKey\":\"sk_test_abcdefghijkl\"}}",
            name);
        assert_int_equal(setup_faults(body).count, len > LIMIT_NAME_CHARS);
    }
}

/* -- a folder, a store, a broker -- */

static struct broker *broker_in(char *folder)
{
    struct broker *b = calloc(1, sizeof *b);
    assert_non_null(b);
    b->log = (struct log){.fd = -1, .level = LOG_ERROR};
    b->settings.data_dir = folder;
    return b;
}

static void remove_folder(const char *folder)
{
    static const char *const files[] = {"admin.token", "s.db", "s.db-wal", "s.db-shm", "s.db.lock"};
    char path[128];
    for (size_t i = 0; i < sizeof files / sizeof files[0]; i++) {
        snprintf(path, sizeof path, "%s/%s", folder, files[i]);
        unlink(path);
    }
    assert_int_equal(rmdir(folder), 0); /* nothing else was left behind */
}

static struct store *open_store(const char *folder)
{
    char url[128];
    struct store *store = NULL;
    struct pb_why why = {0};
    snprintf(url, sizeof url, "sqlite:%s/s.db", folder);
    if (store_open(url, false, &store, &why) != PB_OK)
        fail_msg("%s: %s", why.at, why.text);
    return store;
}

static void read_token(const char *folder, char out[64])
{
    char path[128];
    struct stat st;
    snprintf(path, sizeof path, "%s/admin.token", folder);
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_mode & 07777, 0600);
    FILE *f = fopen(path, "r");
    assert_non_null(f);
    assert_non_null(fgets(out, 64, f));
    fclose(f);
    out[strcspn(out, "\n")] = 0;
}

/* -- the listener, with a loop of the test's -- */

static int connect_to(uint16_t port)
{
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_port = htons(port)};
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    assert_int_equal(connect(fd, (struct sockaddr *)&at, sizeof at), 0);
    return fd;
}

static void say(int fd, const char *text)
{
    assert_int_equal(send(fd, text, strlen(text), MSG_NOSIGNAL), (ssize_t)strlen(text));
}

/* Reads up to the end of what is there within half a second, turning the listener meanwhile. */
static void hear(struct broker *b, int fd, char *out, size_t size)
{
    size_t len = 0;
    for (int quiet = 0; quiet < 50 && len < size - 1;) {
        struct pollfd at = {.fd = fd, .events = POLLIN};
        if (b)
            http_turn(b);
        if (poll(&at, 1, 10) == 0) {
            quiet += len ? 10 : 1;
            continue;
        }
        ssize_t n = recv(fd, out + len, size - 1 - len, 0);
        if (n <= 0)
            break;
        len += (size_t)n;
    }
    out[len] = 0;
}

struct serving {
    char folder[32];
    char token[64];
    struct broker *b;
    struct store *store;
    uint16_t port;
};

static void serve(struct serving *s)
{
    struct pb_why why = {0};
    snprintf(s->folder, sizeof s->folder, "/tmp/test_http.XXXXXX");
    assert_non_null(mkdtemp(s->folder));
    s->store = open_store(s->folder);
    s->b = broker_in(s->folder);
    s->b->types = types;
    assert_int_equal(auth_open(s->b, s->store, &s->b->auth, &why), PB_OK);
    read_token(s->folder, s->token);
    assert_int_equal(http_open(s->b, "127.0.0.1:0", &s->b->http, &why), PB_OK);
    s->port = http_port(s->b->http);
}

static void stop_serving(struct serving *s)
{
    auth_close(s->b->auth);
    store_close(s->store);
    free(s->b);
    remove_folder(s->folder);
}

static void listener_answers_from_the_loop(void **state)
{
    struct serving s;
    char answer[4096], text[256];
    (void)state;
    serve(&s);
    int fd = connect_to(s.port);
    say(fd, "GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n");
    struct pollfd bell = {.fd = http_fd(s.b->http), .events = POLLIN};
    assert_int_equal(poll(&bell, 1, 5000), 1); /* nothing was answered so far: that is the loop's */
    assert_int_equal(recv(fd, answer, sizeof answer, MSG_DONTWAIT), -1);
    hear(s.b, fd, answer, sizeof answer);
    assert_non_null(strstr(answer, "HTTP/1.1 200 "));
    assert_non_null(strstr(answer, "{\"status\":\"ok\"}\n"));
    assert_non_null(strstr(answer, "Cache-Control: no-store\r\n"));
    snprintf(text, sizeof text,
             "GET /v1/types/stripe HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer %s\r\n\r\n", s.token);
    say(fd, text); /* the connection is kept */
    hear(s.b, fd, answer, sizeof answer);
    assert_non_null(strstr(answer, "HTTP/1.1 200 "));
    assert_non_null(strstr(answer, "\"type\":\"stripe\""));
    close(fd);
    http_close(s.b->http);
    stop_serving(&s);
}

static void listener_refuses_without_the_loop(void **state)
{
    static const struct {
        const char *request, *says[3];
    } cases[] = {
        {"GET /v1/types HTTP/1.1\r\nHost: x\r\n\r\n",
         {"HTTP/1.1 401 ", "WWW-Authenticate: Bearer", PROBLEM_TYPE}},
        {"GET /nothing HTTP/1.1\r\nHost: x\r\n\r\n", {"HTTP/1.1 401 ", "", ""}},
        {"PUT /healthz HTTP/1.1\r\nHost: x\r\n\r\n", {"HTTP/1.1 401 ", "", ""}},
        {"GET /healthz?x=1 HTTP/1.1\r\nHost: x\r\n\r\n",
         {"HTTP/1.1 400 ", "invalid_parameter", "takes no parameters"}},
        {"POST /v1/integrations HTTP/1.1\r\nHost: x\r\nContent-Length: 1048577\r\n\r\n",
         {"HTTP/1.1 401 ", "", ""}},
    };
    struct serving s;
    char answer[4096];
    (void)state;
    serve(&s);
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        int fd = connect_to(s.port);
        say(fd, cases[i].request);
        hear(NULL, fd, answer, sizeof answer);
        for (size_t j = 0; j < 3; j++)
            if (!strstr(answer, cases[i].says[j]))
                fail_msg("%s: no %s in %s", cases[i].request, cases[i].says[j], answer);
        close(fd);
    }
    http_close(s.b->http);
    stop_serving(&s);
}

static void listener_refuses_a_body_that_is_too_large(void **state)
{
    struct serving s;
    char answer[4096], head[256], chunk[8192];
    (void)state;
    serve(&s);
    int fd = connect_to(s.port);
    snprintf(head, sizeof head,
             "POST /v1/integrations HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer %s\r\n"
             "Content-Length: 1048577\r\n\r\n",
             s.token);
    say(fd, head);
    hear(NULL, fd, answer, sizeof answer); /* announced: at once */
    assert_non_null(strstr(answer, "HTTP/1.1 413 "));
    assert_non_null(strstr(answer, "1048576"));
    close(fd);
    fd = connect_to(s.port);
    snprintf(head, sizeof head,
             "POST /v1/integrations HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer %s\r\n"
             "Transfer-Encoding: chunked\r\n\r\n",
             s.token);
    say(fd, head);
    memset(chunk, ' ', sizeof chunk);
    memcpy(chunk, "1000\r\n", 6);
    memcpy(chunk + 6 + 4096, "\r\n", 3);
    for (int i = 0; i < 257; i++) /* 4 KiB more than the limit */
        say(fd, chunk);
    say(fd, "0\r\n\r\n");
    hear(NULL, fd, answer, sizeof answer);
    assert_non_null(strstr(answer, "HTTP/1.1 413 "));
    close(fd);
    http_close(s.b->http);
    stop_serving(&s);
}

static void listener_answers_what_waits_when_it_closes(void **state)
{
    struct serving s;
    char answer[4096];
    (void)state;
    serve(&s);
    int fd = connect_to(s.port);
    say(fd, "GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n");
    struct pollfd bell = {.fd = http_fd(s.b->http), .events = POLLIN};
    assert_int_equal(poll(&bell, 1, 5000), 1);
    http_close(s.b->http);
    hear(NULL, fd, answer, sizeof answer);
    assert_non_null(strstr(answer, "HTTP/1.1 503 "));
    assert_non_null(strstr(answer, "\"draining\""));
    assert_non_null(strstr(answer, "Retry-After: "));
    close(fd);
    stop_serving(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(route_is_found_by_method_and_path),
        cmocka_unit_test(route_tells_the_methods_when_another_is_asked),
        cmocka_unit_test(only_health_is_open_without_a_token),
        cmocka_unit_test(every_route_is_in_the_description_and_nothing_else),
        cmocka_unit_test(problem_has_what_the_rfc_wants),
        cmocka_unit_test(problem_status_follows_the_error),
        cmocka_unit_test(failed_job_becomes_a_problem_by_its_code),
        cmocka_unit_test(host_of_a_job_is_the_packages_or_its_type),
        cmocka_unit_test(job_is_shown_with_every_member),
        cmocka_unit_test(setup_is_read_when_all_is_well),
        cmocka_unit_test(setup_names_every_fault_at_its_place),
        cmocka_unit_test(setup_refuses_single_faults),
        cmocka_unit_test(setup_counts_a_name_in_bytes),
        cmocka_unit_test(listener_answers_from_the_loop),
        cmocka_unit_test(listener_refuses_without_the_loop),
        cmocka_unit_test(listener_refuses_a_body_that_is_too_large),
        cmocka_unit_test(listener_answers_what_waits_when_it_closes),
    };
    return cmocka_run_group_tests(tests, open_types, close_types);
}
