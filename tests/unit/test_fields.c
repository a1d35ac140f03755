#include "common/fields.h"

#include "common/limits.h"
#include "tests/unit/scratch.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
/* cmocka wants setjmp and stdarg before it */
#include <cmocka.h>

/* The form that the tests fill in. "late" stands before "region", which it depends on. */
static const char form[] =
    "{\"type\": \"demo\", \"name\": \"Demo\", \"events\": [], \"credentialSchema\": {"
    "\"apiKey\": {\"label\": \"API key\", \"type\": \"password\", \"required\": true, \"pattern\": "
    "\"^sk_[a-z]+$\","
    " \"placeholder\": \"sk_...\"},"
    "\"late\": {\"label\": \"Late\", \"type\": \"text\", \"required\": true,"
    " \"visibleWhen\": {\"field\": \"region\", \"equals\": \"eu\"}},"
    "\"chain\": {\"label\": \"Chain\", \"type\": \"text\", \"default\": \"link\","
    " \"visibleWhen\": {\"field\": \"region\", \"equals\": \"eu\"}},"
    "\"region\": {\"label\": \"Region\", \"type\": \"text\", \"default\": \"us\","
    " \"options\": [{\"value\": \"us\", \"label\": \"U\"}, {\"value\": \"eu\", \"label\": \"E\"}]},"
    "\"host\": {\"label\": \"Host\", \"type\": \"text\", \"format\": \"hostname\"},"
    "\"site\": {\"label\": \"Site\", \"type\": \"text\", \"format\": \"uri\"},"
    "\"mail\": {\"label\": \"Mail\", \"type\": \"text\", \"format\": \"email\"},"
    "\"uuid\": {\"label\": \"Uuid\", \"type\": \"text\", \"format\": \"uuid\"},"
    "\"pin\": {\"label\": \"Pin\", \"type\": \"text\", \"secret\": true, \"pattern\": \"^[0-9]*$\"}}}";

struct context {
    struct scratch scratch;
    struct manifest *m;
};

static struct manifest *open_form(struct scratch *s, const char *text)
{
    char path[256];
    struct manifest *m = NULL;
    struct pb_why why = {0};
    scratch_text(s, "demo/manifest.json", text);
    if (manifest_open(scratch_path(s, "demo", path), &m, &why) != PB_OK)
        fail_msg("%s: %s", why.at, why.text);
    return m;
}

static int start(void **state)
{
    static struct context c;
    scratch_open(&c.scratch);
    c.m = open_form(&c.scratch, form);
    *state = &c;
    return 0;
}

static int stop(void **state)
{
    struct context *c = *state;
    manifest_close(c->m);
    scratch_close(&c->scratch);
    return 0;
}

static const struct manifest *the_form(void **state)
{
    return ((struct context *)*state)->m;
}

static struct credentials from(const char *json, struct fields_report *report)
{
    struct credentials c = {0};
    json_t *object = json_loads(json, JSON_DECODE_ANY | JSON_ALLOW_NUL, NULL);
    assert_non_null(object);
    assert_int_equal(fields_from_json(object, &c, report), PB_OK);
    json_decref(object);
    return c;
}

/* Both checks over a request's object; c is what came out of it. */
static struct credentials check(void **state, const char *json, struct fields_report *report)
{
    *report = (struct fields_report){0};
    struct credentials c = from(json, report);
    if (report->count == 0)
        assert_int_equal(fields_check(the_form(state), &c, report), PB_OK);
    return c;
}

static void fine(void **state, const char *json)
{
    struct fields_report report;
    struct credentials c = check(state, json, &report);
    if (report.count)
        fail_msg("%s: %s %s", json, report.faults[0].pointer, report.faults[0].message);
    credentials_fini(&c);
}

/* Exactly one fault, at this pointer, with these words. */
static void faulty(void **state, const char *json, const char *pointer, const char *words)
{
    struct fields_report report;
    struct credentials c = check(state, json, &report);
    if (report.count != 1 || strcmp(report.faults[0].pointer, pointer) != 0 ||
        !strstr(report.faults[0].message, words))
        fail_msg("%s: %zu faults: %s: %s", json, report.count, report.faults[0].pointer,
                 report.faults[0].message);
    credentials_fini(&c);
}

/* -- shape -- */

static void fields_from_json_takes_strings(void **state)
{
    struct fields_report report = {0};
    struct credentials c = from("{\"a\": \"1\", \"b\": \"\", \"c\": \"\\u00e9\"}", &report);
    (void)state;
    assert_int_equal(report.count, 0);
    assert_int_equal(c.count, 3);
    assert_string_equal(credentials_get(&c, "a")->data, "1");
    assert_int_equal(credentials_get(&c, "b")->len, 0);
    assert_string_equal(credentials_get(&c, "c")->data, "\xc3\xa9");
    credentials_fini(&c);
    c = from("{}", &report);
    assert_int_equal(c.count + report.count, 0);
}

static void fields_from_json_refuses_what_is_no_object(void **state)
{
    static const char *const cases[] = {"[]", "\"apiKey\"", "3", "null"};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
        faulty(state, cases[i], "/credentials", "must be an object");
    struct fields_report report = {0};
    struct credentials c = {0};
    assert_int_equal(fields_from_json(NULL, &c, &report), PB_OK);
    assert_int_equal(report.count, 1);
}

static void fields_from_json_names_every_value_that_is_no_plain_string(void **state)
{
    struct fields_report report = {0};
    static const char *const bad[] = {"1",         "true",      "null",         "{}",        "[\"a\"]",
                                      "\"a\\nb\"", "\"a\\rb\"", "\"a\\u0000\"", "\"key\\n\""};
    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        char json[64];
        snprintf(json, sizeof json, "{\"ok\": \"x\", \"bad\": %s}", bad[i]);
        report = (struct fields_report){0};
        struct credentials c = from(json, &report);
        assert_int_equal(report.count, 1);
        assert_string_equal(report.faults[0].pointer, "/credentials/bad");
        assert_int_equal(c.count, 0); /* empty when there are faults */
        assert_null(c.items);
    }
    report = (struct fields_report){0};
    struct credentials c = from("{\"a\": 1, \"b\": 2, \"c\": \"x\"}", &report);
    assert_int_equal(report.count, 2);
    assert_int_equal(c.count, 0);
}

static json_t *of_lengths(size_t count, size_t len)
{
    json_t *object = json_object();
    char name[32], *value = malloc(len);
    assert_non_null(value);
    memset(value, 'v', len);
    for (size_t i = 0; i < count; i++) {
        snprintf(name, sizeof name, "f%zu", i);
        json_object_set_new(object, name, json_stringn(value, len));
    }
    free(value);
    return object;
}

static void fields_from_json_keeps_within_its_limits(void **state)
{
    static const struct {
        size_t count, len, faults;
    } cases[] = {
        {1, LIMIT_CREDENTIAL_BYTES, 0}, {1, LIMIT_CREDENTIAL_BYTES + 1, 1}, {4, LIMIT_CREDENTIAL_BYTES, 0},
        {5, LIMIT_CREDENTIAL_BYTES, 1}, {6, LIMIT_CREDENTIAL_BYTES, 2},
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct fields_report report = {0};
        struct credentials c = {0};
        json_t *object = of_lengths(cases[i].count, cases[i].len);
        assert_int_equal(fields_from_json(object, &c, &report), PB_OK);
        assert_int_equal(report.count, cases[i].faults);
        assert_int_equal(c.count, cases[i].faults ? 0 : cases[i].count);
        credentials_fini(&c);
        json_decref(object);
    }
}

static void fields_report_stops_at_its_limit(void **state)
{
    struct fields_report report = {0};
    struct credentials c = {0};
    json_t *object = of_lengths(100, LIMIT_CREDENTIAL_BYTES + 1);
    (void)state;
    assert_int_equal(fields_from_json(object, &c, &report), PB_OK);
    assert_int_equal(report.count, FIELDS_FAULTS_MAX);
    json_decref(object);
}

/* RFC 6901: ~ and / have escapes; and a name that is cut is still text. */
static void fields_pointers_are_json_pointers_whatever_the_name(void **state)
{
    static const struct {
        const char *name, *pointer;
    } cases[] = {
        {"", "/credentials/"},      {"a/b", "/credentials/a~1b"},          {"a~b", "/credentials/a~0b"},
        {"~1", "/credentials/~01"}, {"\xc3\xa9", "/credentials/\xc3\xa9"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct fields_report report = {0};
        struct credentials c = {0};
        json_t *object = json_pack("{s:i}", cases[i].name, 1);
        assert_int_equal(fields_from_json(object, &c, &report), PB_OK);
        assert_string_equal(report.faults[0].pointer, cases[i].pointer);
        json_decref(object);
    }
}

static void fields_pointers_of_long_names_are_cut_at_a_character(void **state)
{
    (void)state;
    for (size_t before = 0; before < 8; before++) {
        char name[400];
        struct fields_report report = {0};
        struct credentials c = {0};
        memset(name, 'a', before);
        for (size_t i = before; i + 4 < sizeof name; i += 4)
            memcpy(name + i, before % 2 ? "\xf0\x9f\x98\x80" : "/~/~", 5);
        json_t *object = json_pack("{s:i}", name, 1);
        assert_int_equal(fields_from_json(object, &c, &report), PB_OK);
        size_t len = strlen(report.faults[0].pointer);
        assert_in_range(len, sizeof report.faults[0].pointer - 8, sizeof report.faults[0].pointer - 1);
        json_t *text = json_string(report.faults[0].pointer); /* refuses what is not UTF-8 */
        assert_non_null(text);
        json_decref(text);
        json_decref(object);
    }
}

/* -- against the form -- */

static void fields_check_takes_what_is_right(void **state)
{
    fine(state, "{\"apiKey\": \"sk_abc\"}");
    fine(state, "{\"apiKey\": \"sk_abc\", \"region\": \"eu\", \"late\": \"x\"}");
    fine(state,
         "{\"apiKey\": \"sk_abc\", \"host\": \"a-b.example.com\", \"site\": \"https://x.example:8080/p?q#f\","
         "\"mail\": \"a@b.example\", \"uuid\": \"0193b0c4-d5e6-7f80-8a9b-acbdcedfe0f1\", \"pin\": \"1234\"}");
    fine(state, "{\"apiKey\": \"sk_abc\", \"host\": \"\", \"pin\": \"\"}"); /* an empty one was left out */
}

static void fields_check_names_the_nearest_field_for_an_unknown_one(void **state)
{
    faulty(state, "{\"apiKey\": \"sk_abc\", \"regoin\": \"eu\"}", "/credentials/regoin",
           "did you mean region?");
    faulty(state, "{\"apiKey\": \"sk_abc\", \"APIKEY\": \"x\"}", "/credentials/APIKEY",
           "did you mean apiKey?");
    faulty(state, "{\"apiKey\": \"sk_abc\", \"zzzzzz\": \"x\"}", "/credentials/zzzzzz",
           "GET /v1/types/demo lists them");
    faulty(state, "{\"apiKey\": \"sk_abc\", \"a/b\": \"x\"}", "/credentials/a~1b", "is not a field of Demo");
}

static void fields_check_misses_what_is_required_and_visible(void **state)
{
    faulty(state, "{}", "/credentials/apiKey", "API key is required");
    faulty(state, "{\"apiKey\": \"\"}", "/credentials/apiKey", "API key is required");
    faulty(state, "{\"apiKey\": \"sk_abc\", \"region\": \"eu\"}", "/credentials/late", "Late is required");
    fine(state, "{\"apiKey\": \"sk_abc\", \"region\": \"us\"}");
    fine(state, "{\"apiKey\": \"sk_abc\", \"region\": \"\"}"); /* not the value that shows it */
}

static void fields_check_compares_with_the_pattern(void **state)
{
    faulty(state, "{\"apiKey\": \"pk_abc\"}", "/credentials/apiKey",
           "does not look right: it looks like sk_...; was it copied whole?");
    faulty(state, "{\"apiKey\": \"sk_abc \"}", "/credentials/apiKey", "does not look right");
    faulty(state, "{\"apiKey\": \"sk_abc\", \"pin\": \"12a\"}", "/credentials/pin",
           "Pin does not look right; was it");
}

static void fields_check_offers_only_the_options(void **state)
{
    faulty(state, "{\"apiKey\": \"sk_abc\", \"region\": \"mars\"}", "/credentials/region",
           "must be one of the offered values");
    faulty(state, "{\"apiKey\": \"sk_abc\", \"region\": \"U\"}", "/credentials/region",
           "one of the offered"); /* a label */
}

static void fields_check_knows_the_formats(void **state)
{
    static const struct {
        const char *field, *value;
        bool ok;
    } cases[] = {
        {"host", "example.com", true},
        {"host", "localhost", true},
        {"host", "xn--bcher-kva.example", true},
        {"host", "https://example.com", false},
        {"host", "example.com/path", false},
        {"host", "example.com:80", false},
        {"host", "-a.example", false},
        {"host", "a-.example", false},
        {"host", "a..b", false},
        {"host", ".a", false},
        {"host", "a b", false},
        {"host", "evil.com#.good.com", false},
        {"host", "evil.com@good.com", false},
        {"host",
         "b\xc3\xbc"
         "cher.example",
         false},
        {"site", "https://a.example", true},
        {"site", "http://a.example:1/p?q=1#f", true},
        {"site", "a.example", false},
        {"site", "https://user:pass@a.example", false},
        {"site", "https://", false},
        {"site", "https:// a", false},
        {"site", "javascript:alert(1)", false},
        {"site", "https://a.example:port/", false},
        {"site", "https://[2001:db8::1]:8/", true},
        {"site", "https://a.example\\\\@b.example/", false},
        {"mail", "a@b.example", true},
        {"mail", "first.last+tag@sub.b.example", true},
        {"mail", "a", false},
        {"mail", "a@b", false},
        {"mail", "a@b@c.example", false},
        {"mail", "a b@c.example", false},
        {"uuid", "0193B0C4-d5e6-7f80-8a9b-acbdcedfe0f1", true},
        {"uuid", "0193b0c4d5e67f808a9bacbdcedfe0f1", false},
        {"uuid", "0193b0c4-d5e6-7f80-8a9b-acbdcedfe0f1x", false},
        {"uuid", "g193b0c4-d5e6-7f80-8a9b-acbdcedfe0f1", false},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char json[256], pointer[64];
        snprintf(json, sizeof json, "{\"apiKey\": \"sk_abc\", \"%s\": \"%s\"}", cases[i].field,
                 cases[i].value);
        snprintf(pointer, sizeof pointer, "/credentials/%s", cases[i].field);
        if (cases[i].ok)
            fine(state, json);
        else
            faulty(state, json, pointer, "must be ");
    }
}

static void fields_check_limits_a_host_name_to_253_characters(void **state)
{
    for (int more = 0; more < 2; more++) {
        char json[512], host[256];
        for (size_t i = 0; i < 253; i++)
            host[i] = i % 50 == 49 ? '.' : 'a';
        host[253] = 'b';
        host[253 + more] = 0;
        snprintf(json, sizeof json, "{\"apiKey\": \"sk_abc\", \"host\": \"%s\"}", host);
        if (more)
            faulty(state, json, "/credentials/host", "must be a host name");
        else
            fine(state, json);
    }
}

static void fields_check_fills_in_defaults(void **state)
{
    struct fields_report report;
    struct credentials c = check(state, "{\"apiKey\": \"sk_abc\"}", &report);
    assert_string_equal(credentials_get(&c, "region")->data, "us");
    assert_null(credentials_get(&c, "chain")); /* hidden, so left alone */
    credentials_fini(&c);
    c = check(state, "{\"apiKey\": \"sk_abc\", \"region\": \"eu\", \"late\": \"x\"}", &report);
    assert_string_equal(credentials_get(&c, "region")->data, "eu");
    assert_string_equal(credentials_get(&c, "chain")->data, "link");
    credentials_fini(&c);
}

/* A default counts wherever it stands: what depends on it is checked after it was filled in. */
static void fields_check_fills_in_defaults_before_it_looks_at_what_is_visible(void **state)
{
    static const char text[] =
        "{\"type\": \"demo\", \"name\": \"Demo\", \"events\": [], \"credentialSchema\": {"
        "\"c\": {\"label\": \"C\", \"type\": \"text\", \"required\": true, \"visibleWhen\": {\"field\": "
        "\"b\", \"equals\": \"2\"}},"
        "\"b\": {\"label\": \"B\", \"type\": \"text\", \"default\": \"2\", \"visibleWhen\": {\"field\": "
        "\"a\", \"equals\": \"1\"}},"
        "\"a\": {\"label\": \"A\", \"type\": \"text\", \"default\": \"1\"}}}";
    struct context *context = *state;
    struct manifest *m = open_form(&context->scratch, text);
    struct fields_report report = {0};
    struct credentials c = {0};
    assert_int_equal(fields_check(m, &c, &report), PB_OK);
    assert_string_equal(credentials_get(&c, "b")->data, "2");
    assert_int_equal(report.count, 1);
    assert_string_equal(report.faults[0].pointer, "/credentials/c");
    credentials_fini(&c);
    manifest_close(m);
}

static void fields_messages_never_hold_a_value(void **state)
{
    static const char json[] =
        "{\"apiKey\": \"hunter2\", \"region\": \"hunter2\", \"host\": \"hunter2 x\", \"zzzz\": \"hunter2\","
        "\"mail\": \"hunter2\", \"pin\": \"hunter2\"}";
    struct fields_report report;
    struct credentials c = check(state, json, &report);
    assert_int_equal(report.count, 6);
    for (size_t i = 0; i < report.count; i++) {
        assert_null(strstr(report.faults[i].message, "hunter2"));
        assert_null(strstr(report.faults[i].pointer, "hunter2"));
    }
    credentials_fini(&c);
}

static void fields_check_stops_looking_when_the_report_is_full(void **state)
{
    struct fields_report report = {0};
    struct credentials c = {0};
    json_t *object = of_lengths(20000, 1);
    assert_int_equal(fields_from_json(object, &c, &report), PB_OK);
    assert_int_equal(report.count, 0);
    assert_int_equal(fields_check(the_form(state), &c, &report), PB_OK);
    assert_int_equal(report.count, FIELDS_FAULTS_MAX);
    credentials_fini(&c);
    json_decref(object);
}

static void fields_public_json_shows_what_is_not_secret(void **state)
{
    struct fields_report report;
    struct credentials c =
        check(state, "{\"apiKey\": \"sk_abc\", \"pin\": \"1234\", \"host\": \"a\\\"b\"}", &report);
    credentials_fini(&c);
    c = check(state, "{\"apiKey\": \"sk_abc\", \"pin\": \"1234\", \"host\": \"a.example\"}", &report);
    char *text = fields_public_json(the_form(state), &c);
    json_t *json = json_loads(text, 0, NULL),
           *expected = json_pack("{s:s, s:s}", "region", "us", "host", "a.example");
    assert_true(json_equal(json, expected));
    json_decref(json);
    json_decref(expected);
    free(text);
    credentials_fini(&c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(fields_from_json_takes_strings),
        cmocka_unit_test(fields_from_json_refuses_what_is_no_object),
        cmocka_unit_test(fields_from_json_names_every_value_that_is_no_plain_string),
        cmocka_unit_test(fields_from_json_keeps_within_its_limits),
        cmocka_unit_test(fields_report_stops_at_its_limit),
        cmocka_unit_test(fields_pointers_are_json_pointers_whatever_the_name),
        cmocka_unit_test(fields_pointers_of_long_names_are_cut_at_a_character),
        cmocka_unit_test(fields_check_takes_what_is_right),
        cmocka_unit_test(fields_check_names_the_nearest_field_for_an_unknown_one),
        cmocka_unit_test(fields_check_misses_what_is_required_and_visible),
        cmocka_unit_test(fields_check_compares_with_the_pattern),
        cmocka_unit_test(fields_check_offers_only_the_options),
        cmocka_unit_test(fields_check_knows_the_formats),
        cmocka_unit_test(fields_check_limits_a_host_name_to_253_characters),
        cmocka_unit_test(fields_check_fills_in_defaults),
        cmocka_unit_test(fields_check_fills_in_defaults_before_it_looks_at_what_is_visible),
        cmocka_unit_test(fields_messages_never_hold_a_value),
        cmocka_unit_test(fields_check_stops_looking_when_the_report_is_full),
        cmocka_unit_test(fields_public_json_shows_what_is_not_secret),
    };
    return cmocka_run_group_tests(tests, start, stop);
}
