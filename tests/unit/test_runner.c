/* What a worker makes of an attempt, without a broker: the outcome that it reports. */
#include "worker/runner.h"

#include "common/limits.h"
#include "common/package_file.h"
#include "tests/unit/scratch.h"
#include "worker/transfer.h"

#include <curl/curl.h>
#include <fcntl.h>
#include <jansson.h>
#include <poll.h>
#include <setjmp.h>
#include <sodium.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
/* cmocka wants setjmp and stdarg before it */
#include <cmocka.h>

#define PATIENCE_MS 5000
#define TEXT(s)     ((struct wire_text){(s), sizeof(s) - 1})
#define KEY         "key k1 000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f\n"

static const struct pb_id job_id = {{0xaa, 1}}, integration_id = {{0xbb, 2}};

struct scene {
    struct scratch scratch;
    struct log log;
    struct keyring *keyring;
    struct manifests *types;
    struct transfer *transfer;
    struct runner *runner;
    unsigned told;
    struct wire_outcome outcome; /* the last one, without what it pointed to */
    char code[65];
    char result[1000];
};

static void on_done(void *arg, const struct wire_outcome *o)
{
    struct scene *s = arg;
    s->told++;
    s->outcome = *o;
    snprintf(s->code, sizeof s->code, "%.*s", (int)o->code.len, o->code.data);
    snprintf(s->result, sizeof s->result, "%.*s", (int)o->result.len, o->result.len ? o->result.data : "");
}

static void open_scene(struct scene *s)
{
    static const char *const nowhere[] = {"api.stripe.com:443:127.0.0.1:9"}; /* which the guard refuses */
    struct transfer_settings requests = {.connect_to = nowhere,
                                         .connect_to_count = 1,
                                         .timeout_ms = PATIENCE_MS,
                                         .max_in_flight = 8,
                                         .user_agent = "test"};
    struct pb_why why = {0};
    char path[256];
    memset(s, 0, sizeof *s);
    s->log.fd = open("/dev/null", O_WRONLY | O_CLOEXEC);
    scratch_open(&s->scratch);
    scratch_write(&s->scratch, "keyring", KEY, sizeof KEY - 1, 0600);
    assert_int_equal(keyring_open(scratch_path(&s->scratch, "keyring", path), &s->keyring, &why), PB_OK);
    assert_int_equal(manifests_open("manifests", &s->log, &s->types, &why), PB_OK);
    assert_int_equal(transfer_open(&requests, &s->log, &s->transfer, &why), PB_OK);
    struct runner_settings settings = {s->types, s->keyring, s->transfer};
    assert_int_equal(runner_open(&settings, &s->log, on_done, s, &s->runner), PB_OK);
}

static void close_scene(struct scene *s)
{
    runner_close(s->runner);
    transfer_close(s->transfer);
    manifests_close(s->types);
    keyring_close(s->keyring);
    scratch_close(&s->scratch);
    close(s->log.fd);
}

static struct wire_attempt attempt_of(enum job_kind kind)
{
    return (struct wire_attempt){.job = job_id,
                                 .fence = 7,
                                 .kind = kind,
                                 .tenant = TEXT("acme"),
                                 .deadline_ms = PATIENCE_MS,
                                 .attempt = 1,
                                 .integration = integration_id,
                                 .type = TEXT("stripe")};
}

/* A payload with the api key, as the broker makes it; name may be empty. */
static void pack_payload(const struct scene *s, const char *name, const char *api_key, struct buf *out)
{
    struct seal_owner owner = {"acme", "stripe", integration_id};
    struct credentials c = {0};
    uint8_t *sealed;
    size_t len;
    assert_int_equal(credentials_add(&c, "apiKey", api_key, strlen(api_key)), PB_OK);
    assert_int_equal(seal_inbound(keyring_public(s->keyring), &owner, &c, &sealed, &len), PB_OK);
    struct wire_setup setup = {.name = {name, strlen(name)}, .sealed = {sealed, len}};
    buf_init(out, LIMIT_MESSAGE_BYTES);
    assert_int_equal(wire_pack_setup(&setup, out), PB_OK);
    credentials_fini(&c);
    free(sealed);
}

static void run_key(struct scene *s, enum job_kind kind, const char *api_key)
{
    struct wire_attempt a = attempt_of(kind);
    struct buf payload;
    pack_payload(s, kind == JOB_TEST ? "" : "My shop", api_key, &payload);
    a.payload = (struct wire_bytes){payload.data, payload.len};
    runner_start(s->runner, &a);
    buf_fini(&payload);
    for (int waited_ms = 0; !s->told && waited_ms < PATIENCE_MS; waited_ms += 5) {
        poll(NULL, 0, 5);
        transfer_turn(s->transfer);
    }
    assert_int_equal(s->told, 1);
    assert_memory_equal(&s->outcome.job, &job_id, sizeof job_id);
    assert_int_equal(s->outcome.fence, 7);
}

static void runner_answers_a_ping_at_once(void **state)
{
    struct scene s;
    (void)state;
    open_scene(&s);
    struct wire_attempt a = attempt_of(JOB_PING);
    a.type = TEXT("");
    a.payload = (struct wire_bytes){(const uint8_t *)"any\0thing\xff", 10};
    runner_start(s.runner, &a);
    assert_int_equal(s.told, 1);
    assert_int_equal(s.outcome.outcome, OUTCOME_DONE);
    assert_int_equal(s.outcome.fence, 7);
    assert_int_equal(s.outcome.change.kind, CHANGE_NONE);
    assert_int_equal(s.outcome.change.doc.len, 0);
    assert_string_equal(s.result, "");
    assert_string_equal(s.code, "");
    close_scene(&s);
}

/* The same credentials fail a setup; a test of them is done, and tells why. */
static void runner_ends_a_test_as_done_when_the_fields_are_wrong(void **state)
{
    struct scene s;
    (void)state;
    open_scene(&s);
    run_key(&s, JOB_TEST, "not a key");
    assert_int_equal(s.outcome.outcome, OUTCOME_DONE);
    assert_int_equal(s.outcome.change.kind, CHANGE_NONE);
    assert_string_equal(s.code, "misconfigured");
    assert_non_null(strstr(s.result, "\"attempt\":1"));
    s.told = 0;
    run_key(&s, JOB_SETUP, "not a key");
    assert_int_equal(s.outcome.outcome, OUTCOME_FAILED);
    assert_string_equal(s.code, "misconfigured");
    close_scene(&s);
}

static void runner_ends_a_test_as_done_when_the_provider_cannot_be_asked(void **state)
{
    struct scene s;
    (void)state;
    open_scene(&s);
    run_key(&s, JOB_TEST, "sk_test_ok");
    assert_int_equal(s.outcome.outcome, OUTCOME_DONE);
    assert_int_equal(s.outcome.change.kind, CHANGE_NONE);
    assert_string_equal(s.code, "blocked_by_policy");
    close_scene(&s);
}

/* A box that is used for another integration than it was sealed for. */
static void runner_ends_a_test_as_done_when_the_credentials_are_somebody_elses(void **state)
{
    struct scene s;
    struct buf payload;
    (void)state;
    open_scene(&s);
    struct wire_attempt a = attempt_of(JOB_TEST);
    a.tenant = TEXT("other");
    pack_payload(&s, "", "sk_test_ok", &payload);
    a.payload = (struct wire_bytes){payload.data, payload.len};
    runner_start(s.runner, &a);
    assert_int_equal(s.told, 1);
    assert_int_equal(s.outcome.outcome, OUTCOME_DONE);
    assert_string_equal(s.code, "decrypt_failed");
    buf_fini(&payload);
    close_scene(&s);
}

static void runner_hands_back_kinds_that_it_does_not_know(void **state)
{
    static const unsigned kinds[] = {0, JOB_VALIDATE_EVENT + 1, 255};
    struct scene s;
    (void)state;
    open_scene(&s);
    for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++) {
        struct wire_attempt a = attempt_of((enum job_kind)kinds[i]);
        runner_start(s.runner, &a);
        assert_int_equal(s.told, i + 1);
        assert_int_equal(s.outcome.outcome, OUTCOME_RETRY);
    }
    close_scene(&s);
}

static void runner_says_nothing_of_what_was_cancelled(void **state)
{
    struct scene s;
    struct buf payload;
    (void)state;
    open_scene(&s);
    struct wire_attempt a = attempt_of(JOB_TEST);
    pack_payload(&s, "", "sk_test_ok", &payload);
    a.payload = (struct wire_bytes){payload.data, payload.len};
    runner_start(s.runner, &a);
    assert_int_equal(s.told, 0); /* it waits for the provider */
    runner_cancel(s.runner, 7);
    runner_cancel(s.runner, 7);
    for (int i = 0; i < 20; i++) {
        poll(NULL, 0, 5);
        transfer_turn(s.transfer);
    }
    assert_int_equal(s.told, 0);
    buf_fini(&payload);
    close_scene(&s);
}

/* -- events -- */

static void start_event(struct scene *s, uint64_t fence, const char *event, bool lines, const char *text,
                        size_t len)
{
    struct wire_event e = {{event, strlen(event)}, lines, {(const uint8_t *)text, len}};
    struct wire_attempt a = attempt_of(JOB_VALIDATE_EVENT);
    struct buf payload;
    buf_init(&payload, LIMIT_MESSAGE_BYTES);
    assert_int_equal(wire_pack_event(&e, &payload), PB_OK);
    a.fence = fence;
    a.payload = (struct wire_bytes){payload.data, payload.len};
    runner_start(s->runner, &a);
    buf_fini(&payload);
}

static void wait_for(struct scene *s, unsigned told)
{
    struct pollfd bell = {.fd = runner_fd(s->runner), .events = POLLIN};
    while (s->told < told) {
        assert_int_equal(poll(&bell, 1, PATIENCE_MS), 1);
        runner_turn(s->runner);
    }
}

static void runner_checks_a_payload_on_a_thread_of_its_own(void **state)
{
    static const char bad[] = "{\"id\":\"evt_1\"}", none[] = "{]";
    struct scene s;
    struct buf sample;
    (void)state;
    open_scene(&s);
    assert_int_equal(package_file_read("manifests/stripe", "samples/invoice.paid.json", 10000, &sample),
                     PB_OK);
    start_event(&s, 7, "invoice.paid", false, (const char *)sample.data, sample.len);
    assert_int_equal(s.told, 0);
    wait_for(&s, 1);
    assert_int_equal(s.outcome.outcome, OUTCOME_DONE);
    assert_int_equal(s.outcome.change.kind, CHANGE_NONE);
    assert_string_equal(s.result, "{\"isValid\":true,\"errors\":[]}\n");
    start_event(&s, 8, "invoice.paid", false, bad, sizeof bad - 1);
    wait_for(&s, 2);
    assert_int_equal(s.outcome.fence, 8);
    assert_int_equal(s.outcome.outcome, OUTCOME_DONE);
    assert_memory_equal(s.result, "{\"isValid\":false,", 17);
    start_event(&s, 9, "invoice.paid", false, none, sizeof none - 1);
    wait_for(&s, 3);
    assert_non_null(strstr(s.result, "not JSON: line 1, column 2"));
    buf_fini(&sample);
    close_scene(&s);
}

static void runner_answers_lines_in_their_order(void **state)
{
    static const char lines[] = "1\n\n{\n[]";
    struct scene s;
    (void)state;
    open_scene(&s);
    start_event(&s, 7, "invoice.paid", true, lines, sizeof lines - 1);
    wait_for(&s, 1);
    assert_int_equal(s.outcome.outcome, OUTCOME_DONE);
    const char *first = strstr(s.result, "is the number 1"), *second = strstr(s.result, "not JSON"),
               *third = strstr(s.result, "is an array");
    if (!first || !second || !third || first > second || second > third)
        fail_msg("%s", s.result);
    close_scene(&s);
}

static void runner_fails_an_event_that_the_package_has_not(void **state)
{
    struct scene s;
    (void)state;
    open_scene(&s);
    start_event(&s, 7, "invoice.lost", false, "{}", 2);
    assert_int_equal(s.told, 1);
    assert_int_equal(s.outcome.outcome, OUTCOME_FAILED);
    assert_non_null(strstr(s.result, "\"code\":\"not_found\""));
    close_scene(&s);
}

static void runner_fails_an_event_whose_type_no_worker_has(void **state)
{
    struct scene s;
    (void)state;
    open_scene(&s);
    struct wire_attempt a = attempt_of(JOB_VALIDATE_EVENT);
    a.type = TEXT("unheard-of");
    runner_start(s.runner, &a);
    assert_int_equal(s.outcome.outcome, OUTCOME_RETRY);
    a.attempt = 6;
    runner_start(s.runner, &a);
    assert_int_equal(s.told, 2);
    assert_int_equal(s.outcome.outcome, OUTCOME_FAILED);
    assert_non_null(strstr(s.result, "\"code\":\"no_package\""));
    close_scene(&s);
}

/* 100 MiB at once are more than may wait; what there is no room for goes back, and what has room is answered.
 */
static void runner_hands_payloads_back_that_it_has_no_room_for(void **state)
{
    enum { COUNT = 100 };
    struct scene s;
    (void)state;
    open_scene(&s);
    char *text = malloc(LIMIT_EVENT_BYTES);
    memset(text, ' ', LIMIT_EVENT_BYTES);
    text[0] = '1';
    for (unsigned i = 0; i < COUNT; i++)
        start_event(&s, i + 1, "invoice.paid", false, text, LIMIT_EVENT_BYTES);
    assert_int_equal(s.told, COUNT - LIMIT_EVENT_WAITING / LIMIT_EVENT_BYTES);
    assert_int_equal(s.outcome.outcome, OUTCOME_RETURNED);
    assert_true(s.outcome.retry_after_ms > 0);
    wait_for(&s, COUNT);
    assert_int_equal(s.outcome.outcome, OUTCOME_DONE);
    start_event(&s, COUNT + 1, "invoice.paid", false, text, LIMIT_EVENT_BYTES);
    wait_for(&s, COUNT + 1);
    assert_int_equal(s.outcome.outcome, OUTCOME_DONE);
    free(text);
    close_scene(&s);
}

static void runner_forgets_events_that_were_cancelled_or_are_left_at_the_end(void **state)
{
    struct scene s;
    (void)state;
    open_scene(&s);
    for (unsigned i = 1; i <= 50; i++)
        start_event(&s, i, "invoice.paid", false, "{}", 2);
    for (unsigned i = 1; i <= 25; i++)
        runner_cancel(s.runner, i);
    wait_for(&s, 25);
    for (int i = 0; i < 10; i++) {
        poll(NULL, 0, 5);
        runner_turn(s.runner);
    }
    assert_int_equal(s.told, 25);
    for (unsigned i = 51; i <= 100; i++)
        start_event(&s, i, "invoice.paid", false, "{}", 2);
    close_scene(&s);
    assert_int_equal(s.told, 25);
}

static int begin(void **state)
{
    (void)state;
    return sodium_init() < 0 || curl_global_init(CURL_GLOBAL_DEFAULT) != 0;
}

static int end(void **state)
{
    (void)state;
    curl_global_cleanup();
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(runner_answers_a_ping_at_once),
        cmocka_unit_test(runner_ends_a_test_as_done_when_the_fields_are_wrong),
        cmocka_unit_test(runner_ends_a_test_as_done_when_the_provider_cannot_be_asked),
        cmocka_unit_test(runner_ends_a_test_as_done_when_the_credentials_are_somebody_elses),
        cmocka_unit_test(runner_hands_back_kinds_that_it_does_not_know),
        cmocka_unit_test(runner_says_nothing_of_what_was_cancelled),
        cmocka_unit_test(runner_checks_a_payload_on_a_thread_of_its_own),
        cmocka_unit_test(runner_answers_lines_in_their_order),
        cmocka_unit_test(runner_fails_an_event_that_the_package_has_not),
        cmocka_unit_test(runner_fails_an_event_whose_type_no_worker_has),
        cmocka_unit_test(runner_hands_payloads_back_that_it_has_no_room_for),
        cmocka_unit_test(runner_forgets_events_that_were_cancelled_or_are_left_at_the_end),
    };
    return cmocka_run_group_tests(tests, begin, end);
}
