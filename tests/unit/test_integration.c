#include "common/integration.h"

#include "common/message.h"
#include "tests/unit/scratch.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
/* cmocka wants setjmp and stdarg before it */
#include <cmocka.h>

/* Every field filled, each with another value. */
static struct integration example(void)
{
    struct integration in = {
        .id = {{0x01, 0x93, 0xb0, 0xc4, 0xd5, 0xe6, 0x7f, 0x80, 0x8a, 0x9b, 0xac, 0xbd, 0xce, 0xdf, 0xe0,
                0xf1}},
        .tenant = strdup("acme"),
        .name = strdup("Shop \xe2\x82\xac"),
        .type = strdup("stripe"),
        .status = STATUS_ERROR,
        .health = HEALTH_DEGRADED,
        .credentials = {.version = 1, .kid = "k1", .nonce = {9, 8, 7}, .bytes = malloc(3), .len = 3},
        .fields = strdup("{\"region\":\"eu\"}"),
        .supported_events = strdup("[{\"eventType\":\"a.b\"}]"),
        .result = strdup("{\"code\":\"timeout\"}"),
        .account_id = strdup("acct_1"),
        .account_label = strdup("Acme Inc."),
        .host = strdup("api.stripe.com"),
        .manifest_version = strdup("1.2.3"),
        .manifest_hash = strdup("00ff"),
        .failures = UINT32_MAX,
        .first_failed_at_ms = 1,
        .suspect_since_ms = 2,
        .last_validated_ms = 3,
        .next_validation_ms = 4,
        .created_at_ms = 5,
        .updated_at_ms = INT64_MAX,
        .generation = 6,
        .revision = INT64_MIN,
        .fence = INT64_MAX,
    };
    assert_non_null(in.credentials.bytes);
    memcpy(in.credentials.bytes, "\0box", 3);
    return in;
}

static void assert_texts(const char *a, const char *b)
{
    assert_int_equal(a == NULL, b == NULL);
    if (a)
        assert_string_equal(a, b);
}

static void assert_same(const struct integration *a, const struct integration *b)
{
    const char *const at[] = {a->tenant,       a->name, a->type,       a->fields,        a->supported_events,
                              a->result,       a->host, a->account_id, a->account_label, a->manifest_version,
                              a->manifest_hash};
    const char *const bt[] = {b->tenant,       b->name, b->type,       b->fields,        b->supported_events,
                              b->result,       b->host, b->account_id, b->account_label, b->manifest_version,
                              b->manifest_hash};
    for (size_t i = 0; i < sizeof at / sizeof at[0]; i++)
        assert_texts(at[i], bt[i]);
    assert_true(id_equal(&a->id, &b->id));
    assert_int_equal(a->status, b->status);
    assert_int_equal(a->health, b->health);
    assert_int_equal(a->credentials.version, b->credentials.version);
    assert_string_equal(a->credentials.kid, b->credentials.kid);
    assert_memory_equal(a->credentials.nonce, b->credentials.nonce, sizeof a->credentials.nonce);
    assert_int_equal(a->credentials.len, b->credentials.len);
    if (a->credentials.len)
        assert_memory_equal(a->credentials.bytes, b->credentials.bytes, a->credentials.len);
    assert_int_equal(a->failures, b->failures);
    assert_true(a->first_failed_at_ms == b->first_failed_at_ms && a->suspect_since_ms == b->suspect_since_ms);
    assert_true(a->last_validated_ms == b->last_validated_ms &&
                a->next_validation_ms == b->next_validation_ms);
    assert_true(a->created_at_ms == b->created_at_ms && a->updated_at_ms == b->updated_at_ms);
    assert_true(a->generation == b->generation && a->revision == b->revision && a->fence == b->fence);
}

static struct buf pack(const struct integration *in)
{
    struct buf b;
    buf_init(&b, LIMIT_MESSAGE_BYTES);
    assert_int_equal(integration_pack(in, &b), PB_OK);
    return b;
}

static pb_err round_trip(const struct integration *in)
{
    struct integration back = {0};
    struct buf b = pack(in);
    pb_err err = integration_unpack(b.data, b.len, &back);
    if (!err)
        assert_same(in, &back);
    integration_fini(&back);
    buf_fini(&b);
    return err;
}

static void integration_keeps_every_field_when_packed(void **state)
{
    struct integration in = example();
    (void)state;
    assert_int_equal(round_trip(&in), PB_OK);
    integration_fini(&in);
    assert_null(in.tenant);
    integration_fini(&in);
}

static void integration_keeps_what_is_empty_apart_from_what_is_not_there(void **state)
{
    struct integration in = {.tenant = strdup("t"),
                             .name = strdup(""),
                             .type = strdup("x"),
                             .status = STATUS_ACTIVE,
                             .health = HEALTH_OK,
                             .fields = strdup("")};
    struct integration back;
    struct buf b = pack(&in);
    (void)state;
    assert_int_equal(integration_unpack(b.data, b.len, &back), PB_OK);
    assert_string_equal(back.fields, "");
    assert_null(back.result);
    assert_same(&in, &back);
    integration_fini(&in);
    integration_fini(&back);
    buf_fini(&b);
}

static void integration_copy_shares_nothing(void **state)
{
    struct integration in = example(), copy;
    (void)state;
    assert_int_equal(integration_copy(&in, &copy), PB_OK);
    assert_same(&in, &copy);
    assert_ptr_not_equal(in.name, copy.name);
    assert_ptr_not_equal(in.credentials.bytes, copy.credentials.bytes);
    in.name[0] = 'X';
    in.credentials.bytes[0] ^= 1;
    assert_int_equal(copy.name[0], 'S');
    assert_int_not_equal(copy.credentials.bytes[0], in.credentials.bytes[0]);
    integration_fini(&in);
    integration_fini(&copy);
    assert_int_equal(integration_copy(&in, &copy), PB_OK); /* a zeroed one */
    assert_null(copy.tenant);
}

static void integration_pack_says_when_the_buffer_is_too_small(void **state)
{
    struct integration in = example();
    struct buf b;
    (void)state;
    buf_init(&b, 100);
    assert_int_equal(integration_pack(&in, &b), PB_E_LIMIT);
    buf_fini(&b);
    integration_fini(&in);
}

/* -- hostile input -- */

static void replace(char **field, size_t len)
{
    free(*field);
    *field = malloc(len + 1);
    assert_non_null(*field);
    memset(*field, 'x', len);
    (*field)[len] = 0;
}

static void integration_unpack_checks_every_length(void **state)
{
    static const struct {
        size_t tenant, name, type, hash;
        pb_err expected;
    } cases[] = {
        {LIMIT_TENANT_CHARS, LIMIT_NAME_CHARS, LIMIT_TYPE_CHARS, 64, PB_OK},
        {LIMIT_TENANT_CHARS + 1, 1, 1, 1, PB_E_INVALID},
        {1, LIMIT_NAME_CHARS + 1, 1, 1, PB_E_INVALID},
        {1, 1, LIMIT_TYPE_CHARS + 1, 1, PB_E_INVALID},
        {1, 1, 1, 65, PB_E_INVALID},
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct integration in = example();
        replace(&in.tenant, cases[i].tenant);
        replace(&in.name, cases[i].name);
        replace(&in.type, cases[i].type);
        replace(&in.manifest_hash, cases[i].hash);
        assert_int_equal(round_trip(&in), cases[i].expected);
        integration_fini(&in);
    }
}

static void integration_unpack_checks_every_number(void **state)
{
    static const struct {
        int status, health, version;
        uint64_t fence;
        pb_err expected;
    } cases[] = {
        {STATUS_ACTIVE, HEALTH_OK, 1, 0, PB_OK},
        {STATUS_ERROR, HEALTH_UNKNOWN, 255, INT64_MAX, PB_OK},
        {0, HEALTH_OK, 1, 0, PB_E_INVALID},
        {STATUS_ERROR + 1, HEALTH_OK, 1, 0, PB_E_INVALID},
        {STATUS_ACTIVE, 0, 1, 0, PB_E_INVALID},
        {STATUS_ACTIVE, HEALTH_UNKNOWN + 1, 1, 0, PB_E_INVALID},
        {STATUS_ACTIVE, HEALTH_OK, 256, 0, PB_E_INVALID},
        {STATUS_ACTIVE, HEALTH_OK, -1, 0, PB_E_INVALID},
        {STATUS_ACTIVE, HEALTH_OK, 1, (uint64_t)INT64_MAX + 1, PB_E_INVALID},
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct integration in = example();
        in.status = (enum integration_status)cases[i].status;
        in.health = (enum integration_health)cases[i].health;
        in.credentials.version = cases[i].version;
        in.fence = cases[i].fence;
        assert_int_equal(round_trip(&in), cases[i].expected);
        integration_fini(&in);
    }
}

/* Leaves one key out, by renaming it. */
static pb_err without(const char *key)
{
    struct integration in = example(), back = {0};
    struct buf b = pack(&in);
    char head[32] = {0};
    head[0] = (char)(0xa0 | strlen(key));
    memcpy(head + 1, key, strlen(key));
    uint8_t *at = memmem(b.data, b.len, head, strlen(key) + 1);
    assert_non_null(at);
    at[1] = '?';
    pb_err err = integration_unpack(b.data, b.len, &back);
    integration_fini(&in);
    integration_fini(&back);
    buf_fini(&b);
    return err;
}

static void integration_unpack_needs_every_key_but_those_of_optional_texts(void **state)
{
    static const char *const needed[] = {"id",
                                         "tenant",
                                         "name",
                                         "type",
                                         "firstFailedAt",
                                         "failures",
                                         "lastValidated",
                                         "suspectSince",
                                         "nextValidation",
                                         "createdAt",
                                         "updatedAt",
                                         "generation",
                                         "revision",
                                         "status",
                                         "health",
                                         "fence",
                                         "credentials",
                                         "v",
                                         "kid",
                                         "nonce",
                                         "box"};
    static const char *const optional[] = {"fields",       "events", "result",          "accountId",
                                           "accountLabel", "host",   "manifestVersion", "manifestHash"};
    (void)state;
    for (size_t i = 0; i < sizeof needed / sizeof needed[0]; i++)
        if (without(needed[i]) != PB_E_INVALID)
            fail_msg("%s is not missed", needed[i]);
    for (size_t i = 0; i < sizeof optional / sizeof optional[0]; i++)
        if (without(optional[i]) != PB_OK)
            fail_msg("%s is needed", optional[i]);
}

static void integration_unpack_refuses_texts_with_a_nul(void **state)
{
    struct integration in = example(), back = {0};
    struct buf b = pack(&in);
    (void)state;
    uint8_t *at = memmem(b.data, b.len, "acme", 4);
    assert_non_null(at);
    at[2] = 0;
    assert_int_equal(integration_unpack(b.data, b.len, &back), PB_E_INVALID);
    buf_fini(&b);
    integration_fini(&in);
}

struct tally {
    size_t read, refused;
};

static void unpack_any(void *arg, const uint8_t *bytes, size_t len)
{
    struct tally *t = arg;
    struct integration in = {0};
    if (integration_unpack(bytes, len, &in) != PB_OK) {
        t->refused++;
        assert_null(in.tenant); /* written only on success */
        return;
    }
    t->read++;
    struct buf b = pack(&in); /* what was taken can be packed, shown and copied */
    json_t *json = integration_json(&in);
    json_decref(json);
    buf_fini(&b);
    integration_fini(&in);
}

static void integration_unpack_survives_any_change(void **state)
{
    struct integration in = example();
    struct buf b = pack(&in);
    struct tally t = {0};
    (void)state;
    scratch_fuzz(b.data, b.len, 99, 20000, unpack_any, &t);
    assert_int_equal(integration_unpack(NULL, 0, &in), PB_E_INVALID);
    assert_true(t.read > 1000 && t.refused > b.len);
    buf_fini(&b);
    integration_fini(&in);
}

/* -- JSON -- */

static const char *text_at(const json_t *json, const char *key)
{
    const char *text = json_string_value(json_object_get(json, key));
    return text ? text : "(none)";
}

static void integration_json_shows_what_people_may_see(void **state)
{
    struct integration in = example();
    in.revision = 12;
    in.updated_at_ms = 1764000000123;
    json_t *json = integration_json(&in);
    (void)state;
    assert_non_null(json);
    assert_string_equal(text_at(json, "id"), "int_0193b0c4d5e67f808a9bacbdcedfe0f1");
    assert_string_equal(text_at(json, "tenant"), "acme");
    assert_string_equal(text_at(json, "name"), "Shop \xe2\x82\xac");
    assert_string_equal(text_at(json, "status"), "error");
    assert_string_equal(text_at(json, "health"), "degraded");
    assert_string_equal(text_at(json, "updatedAt"), "2025-11-24T16:00:00.123Z");
    assert_string_equal(text_at(json_object_get(json, "account"), "label"), "Acme Inc.");
    assert_string_equal(text_at(json_object_get(json, "manifest"), "version"), "1.2.3");
    assert_string_equal(text_at(json_object_get(json, "fields"), "region"), "eu");
    assert_string_equal(text_at(json_object_get(json, "result"), "code"), "timeout");
    assert_string_equal(text_at(json_array_get(json_object_get(json, "supportedEvents"), 0), "eventType"),
                        "a.b");
    assert_int_equal(json_integer_value(json_object_get(json, "revision")), 12);
    assert_int_equal(json_integer_value(json_object_get(json, "failures")), UINT32_MAX);
    assert_null(json_object_get(json, "credentials"));
    assert_null(json_object_get(json, "fence"));
    char *text = json_dumps(json, 0);
    assert_null(strstr(text, "nonce"));
    free(text);
    json_decref(json);
    integration_fini(&in);
}

static void integration_json_says_null_for_what_is_not_there(void **state)
{
    struct integration in = {.tenant = strdup("t"),
                             .name = strdup("n"),
                             .type = strdup("x"),
                             .status = STATUS_INACTIVE,
                             .health = HEALTH_UNKNOWN,
                             .result = strdup("not JSON {")};
    json_t *json = integration_json(&in);
    (void)state;
    assert_true(json_is_null(json_object_get(json, "lastValidated")));
    assert_true(json_is_null(json_object_get(json, "host")));
    assert_true(json_is_null(json_object_get(json, "result")));
    assert_true(json_is_object(json_object_get(json, "fields")));
    assert_true(json_is_array(json_object_get(json, "supportedEvents")));
    json_decref(json);
    integration_fini(&in);
}

static void integration_names_are_each_others_inverse(void **state)
{
    enum integration_status status = STATUS_ACTIVE;
    enum integration_health health = HEALTH_OK;
    (void)state;
    for (int i = 1; i <= 3; i++) {
        assert_int_equal(
            integration_status_parse(integration_status_name((enum integration_status)i), &status), PB_OK);
        assert_int_equal(status, i);
        assert_int_equal(
            integration_health_parse(integration_health_name((enum integration_health)i), &health), PB_OK);
        assert_int_equal(health, i);
    }
    assert_null(integration_status_name((enum integration_status)0));
    assert_null(integration_status_name((enum integration_status)4));
    assert_null(integration_health_name((enum integration_health)4));
    assert_null(integration_health_name((enum integration_health) - 1));
    assert_int_equal(integration_status_parse("Active", &status), PB_E_NOT_FOUND);
    assert_int_equal(integration_health_parse("", &health), PB_E_NOT_FOUND);
    assert_int_equal(status, 3);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(integration_keeps_every_field_when_packed),
        cmocka_unit_test(integration_keeps_what_is_empty_apart_from_what_is_not_there),
        cmocka_unit_test(integration_copy_shares_nothing),
        cmocka_unit_test(integration_pack_says_when_the_buffer_is_too_small),
        cmocka_unit_test(integration_unpack_checks_every_length),
        cmocka_unit_test(integration_unpack_checks_every_number),
        cmocka_unit_test(integration_unpack_needs_every_key_but_those_of_optional_texts),
        cmocka_unit_test(integration_unpack_refuses_texts_with_a_nul),
        cmocka_unit_test(integration_unpack_survives_any_change),
        cmocka_unit_test(integration_json_shows_what_people_may_see),
        cmocka_unit_test(integration_json_says_null_for_what_is_not_there),
        cmocka_unit_test(integration_names_are_each_others_inverse),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
