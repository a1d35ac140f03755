#include "common/result.h"

#include "common/integration.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
/* cmocka wants setjmp and stdarg before it */
#include <cmocka.h>

#define MINUTE INT64_C(60000)
#define HOUR   (60 * MINUTE)
#define DAY    (24 * HOUR)
#define NOW    INT64_C(1764000000000)

static const enum result_code first = RESULT_OK, last = RESULT_LIMITED_CAPABILITY;

/* -- names -- */

static void result_names_are_each_others_inverse(void **state)
{
    (void)state;
    for (int i = first; i <= (int)last; i++) {
        enum result_code code = (enum result_code)0;
        assert_non_null(result_code_name((enum result_code)i));
        assert_int_equal(result_code_parse(result_code_name((enum result_code)i), &code), PB_OK);
        assert_int_equal(code, i);
        assert_non_null(result_class_name(result_class((enum result_code)i)));
    }
    enum result_code code = RESULT_TIMEOUT;
    assert_int_equal(result_code_parse("no_such", &code), PB_E_NOT_FOUND);
    assert_int_equal(result_code_parse("", &code), PB_E_NOT_FOUND);
    assert_int_equal(code, RESULT_TIMEOUT);
    assert_null(result_code_name((enum result_code)0));
    assert_null(result_code_name((enum result_code)(last + 1)));
    assert_null(result_class_name((enum result_class)0));
    assert_null(result_class_name((enum result_class)(CLASS_NONE + 1)));
}

static void result_only_ok_and_untestable_accept_a_setup(void **state)
{
    (void)state;
    for (int i = first; i <= (int)last; i++) {
        struct result r = {.code = (enum result_code)i};
        assert_int_equal(result_accepts_setup(&r), i == RESULT_OK || i == RESULT_TEST_UNAVAILABLE);
    }
}

/* -- text -- */

static void result_text_cuts_at_the_boundary_of_a_character(void **state)
{
    static const struct {
        const char *in;
        size_t len, size;
        const char *out;
    } cases[] = {
        {"hello", 5, 10, "hello"},
        {"hello", 5, 6, "hello"},
        {"hello", 5, 5, "hell"},
        {"hello", 3, 10, "hel"},
        {"", 0, 5, ""},
        {"ab\xe2\x82\xac", 5, 6, "ab\xe2\x82\xac"},
        {"ab\xe2\x82\xac", 5, 5, "ab"},
        {"ab\xe2\x82\xac", 5, 4, "ab"},
        {"\xf0\x9f\x98\x80", 4, 4, ""},
        {"a\nb\tc\x7f\x01z", 8, 20, "a b c  z"},
        {"a\0b", 3, 20, "a b"},
        {"a\xff"
         "b",
         3, 20,
         "a\xef\xbf\xbd"
         "b"},
        {"\xff\xff\xff", 3, 5, "\xef\xbf\xbd"},
        {"x", 1, 1, ""},
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char *out = malloc(cases[i].size); /* of its own length, for the sanitizers */
        assert_non_null(out);
        result_text(out, cases[i].size, cases[i].in, cases[i].len);
        assert_string_equal(out, cases[i].out);
        free(out);
    }
}

static void result_text_of_a_very_long_message_is_its_beginning(void **state)
{
    char out[LIMIT_RESULT_MESSAGE + 1], *text = malloc(1000000);
    (void)state;
    assert_non_null(text);
    for (size_t i = 0; i < 1000000; i += 2)
        memcpy(text + i, "\xc3\xa9", 2);
    result_text(out, sizeof out, text, 1000000);
    assert_int_equal(strlen(out), LIMIT_RESULT_MESSAGE);
    assert_memory_equal(out, text, LIMIT_RESULT_MESSAGE);
    memset(text, 0xff, 1000000);
    result_text(out, sizeof out, text, 1000000);
    assert_int_equal(strlen(out), LIMIT_RESULT_MESSAGE); /* 100 times U+FFFD */
    free(text);
}

/* -- JSON -- */

static void result_json_shows_every_field(void **state)
{
    struct result r = {.code = RESULT_RATE_LIMITED,
                       .http_status = 429,
                       .provider_code = "slow_down",
                       .message = "Too many",
                       .field = "apiKey",
                       .step_id = "me",
                       .retry_at_ms = 1764000000123,
                       .attempt = 2,
                       .duration_ms = 17,
                       .account_id = "acct_1",
                       .account_label = "Acme",
                       .warnings = {{RESULT_LIMITED_CAPABILITY, "no webhooks"}},
                       .warning_count = 1};
    json_t *expected =
        json_pack("{s:s, s:s, s:i, s:s, s:s, s:s, s:s, s:s, s:i, s:i, s:{s:s, s:s}, s:[{s:s, s:s}]}", "code",
                  "rate_limited", "class", "transient", "httpStatus", 429, "providerCode", "slow_down",
                  "message", "Too many", "field", "apiKey", "stepId", "me", "retryAt",
                  "2025-11-24T16:00:00.123Z", "attempt", 2, "durationMs", 17, "account", "id", "acct_1",
                  "label", "Acme", "warnings", "code", "limited_capability", "text", "no webhooks");
    json_t *json = result_json(&r);
    (void)state;
    assert_non_null(expected);
    assert_true(json_equal(json, expected));
    json_decref(json);
    json_decref(expected);
}

static void result_json_leaves_out_what_is_empty(void **state)
{
    struct result r = {.code = RESULT_OK};
    json_t *json = result_json(&r),
           *expected = json_pack("{s:s, s:s, s:i}", "code", "ok", "class", "ok", "durationMs", 0);
    (void)state;
    assert_true(json_equal(json, expected));
    json_decref(json);
    json_decref(expected);
}

/* -- what a result does to the record: the table -- */

/* What one result does to an active integration that was well; and when it is tested next, from when to when
 * after now, for random = 0 and for the largest. An interval is eight days here, so that it is nothing else's
 * length. */
static const struct row {
    enum result_code code;
    enum integration_status status;
    enum integration_health health;
    int64_t from_ms, to_ms;
} table[] = {
    {RESULT_OK, STATUS_ACTIVE, HEALTH_OK, 6 * DAY, 8 * DAY},
    {RESULT_INVALID_CREDENTIALS, STATUS_ACTIVE, HEALTH_DEGRADED, MINUTE, MINUTE * 3 / 2},
    {RESULT_CREDENTIALS_EXPIRED, STATUS_ERROR, HEALTH_DEGRADED, 6 * DAY, 8 * DAY},
    {RESULT_REAUTH_REQUIRED, STATUS_ERROR, HEALTH_DEGRADED, 6 * DAY, 8 * DAY},
    {RESULT_CREDENTIALS_REVOKED, STATUS_ERROR, HEALTH_DEGRADED, 6 * DAY, 8 * DAY},
    {RESULT_ACCOUNT_DISABLED, STATUS_ERROR, HEALTH_DEGRADED, 18 * HOUR, DAY},
    {RESULT_INSUFFICIENT_SCOPE, STATUS_ACTIVE, HEALTH_DEGRADED, 6 * DAY, 8 * DAY},
    {RESULT_MISCONFIGURED, STATUS_ACTIVE, HEALTH_DEGRADED, MINUTE, 2 * MINUTE},
    {RESULT_UNEXPECTED_RESPONSE, STATUS_ACTIVE, HEALTH_DEGRADED, MINUTE, 2 * MINUTE},
    {RESULT_RATE_LIMITED, STATUS_ACTIVE, HEALTH_DEGRADED, MINUTE, 2 * MINUTE},
    {RESULT_QUOTA_EXCEEDED, STATUS_ACTIVE, HEALTH_DEGRADED, 18 * HOUR, DAY},
    {RESULT_PROVIDER_UNAVAILABLE, STATUS_ACTIVE, HEALTH_DEGRADED, MINUTE, 2 * MINUTE},
    {RESULT_TIMEOUT, STATUS_ACTIVE, HEALTH_DEGRADED, MINUTE, 2 * MINUTE},
    {RESULT_DNS_FAILURE, STATUS_ACTIVE, HEALTH_DEGRADED, MINUTE, 2 * MINUTE},
    {RESULT_NETWORK_UNREACHABLE, STATUS_ACTIVE, HEALTH_DEGRADED, MINUTE, 2 * MINUTE},
    {RESULT_TLS_ERROR, STATUS_ACTIVE, HEALTH_DEGRADED, MINUTE, 2 * MINUTE},
    {RESULT_BLOCKED_BY_POLICY, STATUS_ACTIVE, HEALTH_DEGRADED, 6 * DAY, 8 * DAY},
    {RESULT_DECRYPT_FAILED, STATUS_ACTIVE, HEALTH_UNKNOWN, MINUTE, 2 * MINUTE},
    {RESULT_MANIFEST_INVALID, STATUS_ACTIVE, HEALTH_UNKNOWN, MINUTE, 2 * MINUTE},
    {RESULT_PLUGIN_FAILED, STATUS_ACTIVE, HEALTH_UNKNOWN, MINUTE, 2 * MINUTE},
    {RESULT_INTERNAL, STATUS_ACTIVE, HEALTH_UNKNOWN, MINUTE, 2 * MINUTE},
    {RESULT_TEST_UNAVAILABLE, STATUS_ACTIVE, HEALTH_UNKNOWN, -NOW, -NOW}, /* never */
};
#define ROWS     (sizeof table / sizeof table[0])
#define INTERVAL (8 * DAY)

static void apply_at(struct integration *in, enum result_code code, int64_t now_ms, uint64_t random)
{
    struct result r = {.code = code};
    assert_int_equal(result_apply(in, &r, &(struct result_terms){now_ms, INTERVAL, random, false, false}),
                     PB_OK);
    assert_int_equal(in->last_validated_ms, now_ms);
}

static struct integration with_status(enum integration_status status)
{
    return (struct integration){.status = status, .health = HEALTH_OK};
}

static bool is_failure(enum result_code code)
{
    return code != RESULT_OK && code != RESULT_TEST_UNAVAILABLE;
}

/* The spread is random modulo the window's width, so random = width - 1 gives the far end. */
static void check_window(const struct row *row)
{
    uint64_t width = (uint64_t)(row->to_ms - row->from_ms + 1);
    const uint64_t randoms[] = {0, width - 1, width, UINT64_MAX, 12345678901};
    for (size_t i = 0; i < 5; i++) {
        struct integration in = with_status(STATUS_ACTIVE);
        apply_at(&in, row->code, NOW, randoms[i]);
        int64_t after = in.next_validation_ms - NOW;
        if (after < row->from_ms || after > row->to_ms)
            fail_msg("%s: tested again after %lld ms", result_code_name(row->code), (long long)after);
        if (i == 0 || i == 2)
            assert_int_equal(after, row->from_ms);
        if (i == 1)
            assert_int_equal(after, row->to_ms);
        integration_fini(&in);
    }
}

static void result_apply_follows_the_table_for_every_code(void **state)
{
    (void)state;
    for (size_t i = 0; i < ROWS; i++) {
        struct integration in = with_status(STATUS_ACTIVE);
        apply_at(&in, table[i].code, NOW, 0);
        if (in.status != table[i].status || in.health != table[i].health)
            fail_msg("%s: %s, %s", result_code_name(table[i].code), integration_status_name(in.status),
                     integration_health_name(in.health));
        assert_int_equal(in.failures, is_failure(table[i].code));
        assert_int_equal(in.first_failed_at_ms, is_failure(table[i].code) ? NOW : 0);
        assert_non_null(strstr(in.result, result_code_name(table[i].code)));
        integration_fini(&in);
        check_window(&table[i]);
    }
    assert_int_equal(ROWS, RESULT_TEST_UNAVAILABLE); /* none is left out */
}

static void result_apply_of_a_setup_is_active_with_what_was_found(void **state)
{
    static const enum result_code codes[] = {RESULT_OK, RESULT_TEST_UNAVAILABLE};
    (void)state;
    for (size_t i = 0; i < 2; i++) {
        struct integration in = {0};
        struct result r = {
            .code = codes[i], .account_id = "acct_1", .account_label = "Acme", .host = "api.example.com"};
        assert_int_equal(result_apply(&in, &r, &(struct result_terms){NOW, INTERVAL, 0, true, false}), PB_OK);
        assert_int_equal(in.status, STATUS_ACTIVE);
        assert_int_equal(in.health, i == 0 ? HEALTH_OK : HEALTH_UNKNOWN);
        assert_string_equal(in.account_id, "acct_1");
        assert_string_equal(in.account_label, "Acme");
        assert_string_equal(in.host, "api.example.com");
        integration_fini(&in);
    }
}

static void result_apply_keeps_the_account_when_a_later_test_does_not_say_it(void **state)
{
    struct integration in = with_status(STATUS_ACTIVE);
    struct result r = {
        .code = RESULT_OK, .account_id = "acct_1", .account_label = "Acme", .host = "a.example"};
    (void)state;
    assert_int_equal(result_apply(&in, &r, &(struct result_terms){NOW, INTERVAL, 0, false, false}), PB_OK);
    apply_at(&in, RESULT_TIMEOUT, NOW + 1, 0);
    assert_string_equal(in.account_id, "acct_1");
    assert_string_equal(in.account_label, "Acme");
    assert_string_equal(in.host, "a.example");
    r = (struct result){.code = RESULT_OK, .account_id = "acct_2"};
    assert_int_equal(result_apply(&in, &r, &(struct result_terms){NOW, INTERVAL, 0, false, false}), PB_OK);
    assert_string_equal(in.account_id, "acct_2");
    integration_fini(&in);
}

static void result_apply_never_changes_inactive(void **state)
{
    (void)state;
    for (size_t i = 0; i < ROWS; i++) {
        struct integration in = with_status(STATUS_INACTIVE);
        for (int n = 0; n < 5; n++)
            apply_at(&in, table[i].code, NOW + n * DAY, 0);
        assert_int_equal(in.status, STATUS_INACTIVE);
        assert_int_equal(in.health, table[i].health);
        integration_fini(&in);
    }
}

/* Nobody waits for a confirmation there: the status cannot change. */
static void result_apply_does_not_hurry_to_confirm_for_inactive_or_failed_ones(void **state)
{
    static const enum integration_status statuses[] = {STATUS_INACTIVE, STATUS_ERROR};
    (void)state;
    for (size_t i = 0; i < 2; i++) {
        struct integration in = with_status(statuses[i]);
        apply_at(&in, RESULT_INVALID_CREDENTIALS, NOW, 0);
        assert_int_equal(in.next_validation_ms, NOW + 6 * DAY);
        assert_int_equal(in.status, statuses[i]);
        integration_fini(&in);
    }
}

static void result_apply_ok_heals_what_failed(void **state)
{
    (void)state;
    for (size_t i = 0; i < ROWS; i++) {
        struct integration in = with_status(STATUS_ERROR);
        apply_at(&in, table[i].code, NOW, 0);
        apply_at(&in, RESULT_OK, NOW + DAY, 0);
        assert_int_equal(in.status, STATUS_ACTIVE);
        assert_int_equal(in.health, HEALTH_OK);
        assert_int_equal(in.failures, 0);
        assert_int_equal(in.first_failed_at_ms, 0);
        assert_int_equal(in.suspect_since_ms, 0);
        integration_fini(&in);
    }
}

static void result_apply_untestable_does_not_heal_an_error(void **state)
{
    struct integration in = with_status(STATUS_ERROR);
    (void)state;
    apply_at(&in, RESULT_TEST_UNAVAILABLE, NOW, 0);
    assert_int_equal(in.status, STATUS_ERROR);
    assert_int_equal(in.next_validation_ms, 0);
    integration_fini(&in);
}

static void result_apply_transient_and_own_failures_never_flip(void **state)
{
    (void)state;
    for (size_t i = 0; i < ROWS; i++) {
        enum result_class cls = result_class(table[i].code);
        if (cls != CLASS_TRANSIENT && cls != CLASS_OURS && cls != CLASS_POLICY)
            continue;
        struct integration in = with_status(STATUS_ACTIVE);
        for (int n = 0; n < 200; n++)
            apply_at(&in, table[i].code, NOW + n * DAY, UINT64_MAX);
        assert_int_equal(in.status, STATUS_ACTIVE);
        assert_int_equal(in.failures, 200);
        integration_fini(&in);
    }
}

/* -- a bad key is confirmed by a second probe, a minute later or more -- */

static void result_apply_bad_key_flips_on_a_second_probe_after_a_minute(void **state)
{
    static const struct {
        int64_t after_ms;
        enum integration_status expected;
    } cases[] = {
        {0, STATUS_ACTIVE},     {1000, STATUS_ACTIVE}, {MINUTE - 1, STATUS_ACTIVE},
        {MINUTE, STATUS_ERROR}, {DAY, STATUS_ERROR},
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct integration in = with_status(STATUS_ACTIVE);
        apply_at(&in, RESULT_INVALID_CREDENTIALS, NOW, 0);
        assert_int_equal(in.suspect_since_ms, NOW);
        apply_at(&in, RESULT_INVALID_CREDENTIALS, NOW + cases[i].after_ms, 0);
        assert_int_equal(in.status, cases[i].expected);
        assert_int_equal(in.suspect_since_ms, NOW); /* since the first */
        bool again_soon = in.next_validation_ms - NOW - cases[i].after_ms < HOUR;
        assert_int_equal(again_soon, cases[i].expected == STATUS_ACTIVE);
        integration_fini(&in);
    }
}

static void result_apply_holds_flips_back_while_the_provider_is_down(void **state)
{
    struct integration in = with_status(STATUS_ACTIVE);
    struct result r = {.code = RESULT_CREDENTIALS_REVOKED};
    (void)state;
    const struct result_terms held = {NOW, INTERVAL, 0, false, true};
    assert_int_equal(result_apply(&in, &r, &held), PB_OK);
    assert_int_equal(in.status, STATUS_ACTIVE);
    assert_int_equal(in.health, HEALTH_DEGRADED);
    assert_int_equal(in.next_validation_ms, NOW + MINUTE); /* soon, and then less and less often */
    r.code = RESULT_OK;
    assert_int_equal(result_apply(&in, &r, &held), PB_OK);
    assert_int_equal(in.next_validation_ms, NOW + INTERVAL * 3 / 4);
    r.code = RESULT_CREDENTIALS_REVOKED;
    apply_at(&in, r.code, NOW, 0); /* the provider is well, and says so still */
    assert_int_equal(in.status, STATUS_ERROR);
    integration_fini(&in);
}

static void result_apply_bad_key_probed_often_within_a_minute_does_not_flip(void **state)
{
    struct integration in = with_status(STATUS_ACTIVE);
    (void)state;
    for (int i = 0; i < 59; i++)
        apply_at(&in, RESULT_INVALID_CREDENTIALS, NOW + i * 1000, 0);
    assert_int_equal(in.status, STATUS_ACTIVE);
    apply_at(&in, RESULT_INVALID_CREDENTIALS, NOW + MINUTE, 0);
    assert_int_equal(in.status, STATUS_ERROR);
    integration_fini(&in);
}

/* One bad probe never flips: whatever failed before for another reason confirms nothing. */
static void result_apply_suspicion_is_confirmed_only_by_its_own_kind(void **state)
{
    static const enum result_code between[] = {RESULT_OK,
                                               RESULT_TIMEOUT,
                                               RESULT_RATE_LIMITED,
                                               RESULT_INTERNAL,
                                               RESULT_MISCONFIGURED,
                                               RESULT_TEST_UNAVAILABLE,
                                               RESULT_INSUFFICIENT_SCOPE};
    (void)state;
    for (size_t i = 0; i < sizeof between / sizeof between[0]; i++) {
        struct integration in = with_status(STATUS_ACTIVE);
        apply_at(&in, RESULT_INVALID_CREDENTIALS, NOW, 0);
        apply_at(&in, between[i], NOW + HOUR, 0);
        apply_at(&in, RESULT_INVALID_CREDENTIALS, NOW + 2 * HOUR, 0);
        if (in.status != STATUS_ACTIVE)
            fail_msg("%s in between confirms a bad key", result_code_name(between[i]));
        assert_int_equal(in.suspect_since_ms, NOW + 2 * HOUR);
        apply_at(&in, RESULT_INVALID_CREDENTIALS, NOW + 2 * HOUR + MINUTE, 0);
        assert_int_equal(in.status, STATUS_ERROR);
        integration_fini(&in);
    }
}

/* -- a configuration counts as broken after three failures over a day -- */

static void result_apply_configuration_flips_after_three_failures_over_a_day(void **state)
{
    static const struct {
        int count;
        int64_t apart_ms;
        enum integration_status expected;
    } cases[] = {
        {1, DAY, STATUS_ACTIVE},      {2, 2 * DAY, STATUS_ACTIVE},     /* long, but only two */
        {3, DAY / 2, STATUS_ERROR},   {3, DAY / 2 - 1, STATUS_ACTIVE}, /* three, but not over a day */
        {100, MINUTE, STATUS_ACTIVE}, {5, 6 * HOUR, STATUS_ERROR},
    };
    static const enum result_code codes[] = {RESULT_MISCONFIGURED, RESULT_UNEXPECTED_RESPONSE};
    (void)state;
    for (size_t i = 0; i < 2 * sizeof cases / sizeof cases[0]; i++) {
        struct integration in = with_status(STATUS_ACTIVE);
        for (int n = 0; n < cases[i / 2].count; n++)
            apply_at(&in, codes[(i + (size_t)n) % 2], NOW + n * cases[i / 2].apart_ms,
                     0); /* of either code */
        if (in.status != cases[i / 2].expected)
            fail_msg("%d failures, %lld ms apart", cases[i / 2].count, (long long)cases[i / 2].apart_ms);
        integration_fini(&in);
    }
}

static void result_apply_configuration_does_not_flip_for_failures_of_the_provider(void **state)
{
    struct integration in = with_status(STATUS_ACTIVE);
    (void)state;
    for (int n = 0; n < 50; n++)
        apply_at(&in, RESULT_PROVIDER_UNAVAILABLE, NOW + n * HOUR, 0);
    apply_at(&in, RESULT_MISCONFIGURED, NOW + 50 * HOUR, 0); /* one bad probe */
    assert_int_equal(in.status, STATUS_ACTIVE);
    assert_int_equal(in.failures, 51);
    apply_at(&in, RESULT_MISCONFIGURED, NOW + 74 * HOUR, 0);
    assert_int_equal(in.status, STATUS_ERROR);
    integration_fini(&in);
}

/* -- scope -- */

static void result_apply_missing_scope_flips_only_at_the_identity_step(void **state)
{
    (void)state;
    for (int identity = 0; identity < 2; identity++) {
        struct integration in = with_status(STATUS_ACTIVE);
        struct result r = {.code = RESULT_INSUFFICIENT_SCOPE, .identity = identity};
        assert_int_equal(result_apply(&in, &r, &(struct result_terms){NOW, INTERVAL, 0, false, false}),
                         PB_OK);
        assert_int_equal(in.status, identity ? STATUS_ERROR : STATUS_ACTIVE);
        integration_fini(&in);
    }
}

/* -- when next -- */

static void result_apply_backs_off_from_a_minute_to_six_hours(void **state)
{
    static const int64_t ceilings[] = {2 * MINUTE,  4 * MINUTE,   8 * MINUTE,   16 * MINUTE, 32 * MINUTE,
                                       64 * MINUTE, 128 * MINUTE, 256 * MINUTE, 6 * HOUR,    6 * HOUR};
    struct integration in = with_status(STATUS_ACTIVE);
    (void)state;
    for (size_t i = 0; i < sizeof ceilings / sizeof ceilings[0]; i++) {
        uint64_t width = (uint64_t)(ceilings[i] - MINUTE + 1);
        apply_at(&in, RESULT_TIMEOUT, NOW, width - 1);
        assert_int_equal(in.next_validation_ms - NOW, ceilings[i]);
    }
    in.failures = UINT32_MAX - 1; /* no number is too large to double by */
    apply_at(&in, RESULT_TIMEOUT, NOW, 0);
    assert_int_equal(in.next_validation_ms - NOW, MINUTE);
    integration_fini(&in);
}

static void result_apply_waits_as_long_as_the_provider_asks(void **state)
{
    static const struct {
        int64_t retry_after_ms, from_ms, to_ms;
    } cases[] = {
        {5 * HOUR, 5 * HOUR, 5 * HOUR + MINUTE},
        {1, 1, 1 + MINUTE},
        {0, MINUTE, 2 * MINUTE}, /* it did not say, or it is past */
        {-HOUR, MINUTE, 2 * MINUTE},
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        for (uint64_t random = 0; random < 200000; random += 7919) {
            struct integration in = with_status(STATUS_ACTIVE);
            struct result r = {.code = RESULT_RATE_LIMITED, .retry_at_ms = NOW + cases[i].retry_after_ms};
            assert_int_equal(
                result_apply(&in, &r, &(struct result_terms){NOW, INTERVAL, random, false, false}), PB_OK);
            assert_in_range((uint64_t)(in.next_validation_ms - NOW), (uint64_t)cases[i].from_ms,
                            (uint64_t)cases[i].to_ms);
            integration_fini(&in);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(result_names_are_each_others_inverse),
        cmocka_unit_test(result_only_ok_and_untestable_accept_a_setup),
        cmocka_unit_test(result_text_cuts_at_the_boundary_of_a_character),
        cmocka_unit_test(result_text_of_a_very_long_message_is_its_beginning),
        cmocka_unit_test(result_json_shows_every_field),
        cmocka_unit_test(result_json_leaves_out_what_is_empty),
        cmocka_unit_test(result_apply_follows_the_table_for_every_code),
        cmocka_unit_test(result_apply_of_a_setup_is_active_with_what_was_found),
        cmocka_unit_test(result_apply_keeps_the_account_when_a_later_test_does_not_say_it),
        cmocka_unit_test(result_apply_never_changes_inactive),
        cmocka_unit_test(result_apply_does_not_hurry_to_confirm_for_inactive_or_failed_ones),
        cmocka_unit_test(result_apply_ok_heals_what_failed),
        cmocka_unit_test(result_apply_untestable_does_not_heal_an_error),
        cmocka_unit_test(result_apply_transient_and_own_failures_never_flip),
        cmocka_unit_test(result_apply_bad_key_flips_on_a_second_probe_after_a_minute),
        cmocka_unit_test(result_apply_holds_flips_back_while_the_provider_is_down),
        cmocka_unit_test(result_apply_bad_key_probed_often_within_a_minute_does_not_flip),
        cmocka_unit_test(result_apply_suspicion_is_confirmed_only_by_its_own_kind),
        cmocka_unit_test(result_apply_configuration_flips_after_three_failures_over_a_day),
        cmocka_unit_test(result_apply_configuration_does_not_flip_for_failures_of_the_provider),
        cmocka_unit_test(result_apply_missing_scope_flips_only_at_the_identity_step),
        cmocka_unit_test(result_apply_backs_off_from_a_minute_to_six_hours),
        cmocka_unit_test(result_apply_waits_as_long_as_the_provider_asks),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
