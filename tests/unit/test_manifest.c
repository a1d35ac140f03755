#include "common/manifest.h"

#include "common/limits.h"
#include "tests/unit/scratch.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
/* cmocka wants setjmp and stdarg before it */
#include <cmocka.h>

/* A whole package in the folder "demo": the text of its manifest with parts put in. */
#define HEAD "{\"type\": \"demo\", \"name\": \"Demo\", \"description\": \"For tests\", "
#define FIELDS                                                                                               \
    "\"credentialSchema\": {\"apiKey\": {\"label\": \"Key\", \"type\": \"password\", \"required\": true}}, "
#define EVENTS "\"events\": [{\"eventType\": \"a.b\", \"schemaPath\": \"schemas/a.b.json\"}]"
#define WHOLE  HEAD FIELDS EVENTS "}"

static pb_err open_demo(void **state, const char *text, struct manifest **out, struct pb_why *why)
{
    char path[256];
    scratch_text(*state, "demo/manifest.json", text);
    scratch_text(*state, "demo/schemas/a.b.json", "{\"type\": \"object\"}");
    return manifest_open(scratch_path(*state, "demo", path), out, why);
}

static struct manifest *good(void **state, const char *text)
{
    struct manifest *m = NULL;
    struct pb_why why = {0};
    if (open_demo(state, text, &m, &why) != PB_OK)
        fail_msg("%s: %s", why.at, why.text);
    return m;
}

/* The text is refused: at this place, with these words. */
static void refused(void **state, const char *text, const char *at, const char *words)
{
    struct manifest *m = NULL;
    struct pb_why why = {0};
    pb_err err = open_demo(state, text, &m, &why);
    if (err == PB_OK)
        fail_msg("was taken, but should be refused at %s: %s", at, words);
    assert_null(m);
    assert_string_equal(why.at, at);
    if (!strstr(why.text, words))
        fail_msg("%s: \"%s\" does not say \"%s\"", at, why.text, words);
}

/* -- what is good -- */

static void manifest_gives_what_the_file_says(void **state)
{
    struct manifest *m =
        good(state, HEAD
             "\"version\": \"1.2.3\", \"docsUrl\": \"https://x\", \"test\": {\"intervalHours\": 1.5}, " FIELDS
                 EVENTS "}");
    assert_string_equal(m->type, "demo");
    assert_string_equal(m->name, "Demo");
    assert_string_equal(m->description, "For tests");
    assert_string_equal(m->version, "1.2.3");
    assert_int_equal(strlen(m->hash), 64);
    assert_int_equal(m->interval_ms, 5400000);
    assert_int_equal(m->field_count, 1);
    assert_string_equal(m->fields[0].name, "apiKey");
    assert_string_equal(m->fields[0].label, "Key");
    assert_int_equal(m->fields[0].type, FIELD_PASSWORD);
    assert_true(m->fields[0].required);
    assert_true(m->fields[0].secret);
    assert_null(m->fields[0].help);
    assert_int_equal(m->event_count, 1);
    assert_string_equal(m->events[0].event_type, "a.b");
    assert_string_equal(m->events[0].schema_path, "schemas/a.b.json");
    assert_null(m->events[0].description);
    manifest_close(m);
    manifest_close(NULL);
}

static void manifest_needs_only_the_fields_of_the_contract(void **state)
{
    struct manifest *m =
        good(state, "{\"type\": \"demo\", \"name\": \"D\", \"credentialSchema\": {}, \"events\": []}");
    assert_string_equal(m->description, "");
    assert_string_equal(m->version, "");
    assert_int_equal(m->field_count, 0);
    assert_int_equal(m->event_count, 0);
    assert_int_equal(m->interval_ms, 86400000);
    char *events = manifest_supported_events(m);
    assert_string_equal(events, "[]");
    free(events);
    manifest_close(m);
}

static void manifest_fields_come_in_the_order_of_the_form(void **state)
{
    static const char *const expected[] = {"first", "second", "alsoSecond", "third", "noOrder", "noOrder2"};
    struct manifest *m =
        good(state, HEAD "\"credentialSchema\": {"
                         "\"noOrder\": {\"label\": \"L\", \"type\": \"text\"},"
                         "\"third\": {\"label\": \"L\", \"type\": \"text\", \"order\": 30},"
                         "\"second\": {\"label\": \"L\", \"type\": \"text\", \"order\": 2},"
                         "\"noOrder2\": {\"label\": \"L\", \"type\": \"text\"},"
                         "\"alsoSecond\": {\"label\": \"L\", \"type\": \"text\", \"order\": 2},"
                         "\"first\": {\"label\": \"L\", \"type\": \"text\", \"order\": -1}}, " EVENTS "}");
    assert_int_equal(m->field_count, 6);
    for (size_t i = 0; i < 6; i++)
        assert_string_equal(m->fields[i].name, expected[i]);
    manifest_close(m);
}

static void manifest_fields_keep_every_member(void **state)
{
    struct manifest *m = good(
        state, HEAD "\"credentialSchema\": {\"region\": {\"label\": \"Region\", \"type\": \"text\", "
                    "\"help\": \"h\", \"placeholder\": \"p\","
                    "\"pattern\": \"^[a-z]+$\", \"format\": \"hostname\", \"default\": \"eu\", \"order\": 1,"
                    "\"options\": [{\"value\": \"eu\", \"label\": \"Europe\"}]},"
                    "\"token\": {\"label\": \"T\", \"type\": \"oauth\", \"visibleWhen\": {\"field\": "
                    "\"region\", \"equals\": \"eu\"}},"
                    "\"open\": {\"label\": \"O\", \"type\": \"password\", \"secret\": false},"
                    "\"shut\": {\"label\": \"S\", \"type\": \"text\", \"secret\": true}}, " EVENTS "}");
    const struct field *f = m->fields;
    assert_string_equal(f->help, "h");
    assert_string_equal(f->placeholder, "p");
    assert_string_equal(f->pattern, "^[a-z]+$");
    assert_non_null(f->regex);
    assert_int_equal(f->format, FORMAT_HOSTNAME);
    assert_string_equal(f->default_value, "eu");
    assert_int_equal(json_array_size(f->options), 1);
    assert_false(f->required || f->secret);
    assert_string_equal(f[1].visible_when_field, "region");
    assert_string_equal(f[1].visible_when_equals, "eu");
    assert_true(f[1].secret && !f[2].secret && f[3].secret);
    manifest_close(m);
}

/* -- what is not: each with its place -- */

static void manifest_names_the_place_of_every_fault_of_the_root(void **state)
{
    static const struct {
        const char *text, *at, *words;
    } cases[] = {
        {"", "demo/manifest.json", "is not valid JSON: line 1"},
        {"{", "demo/manifest.json", "is not valid JSON: line 1"},
        {"{\n\n \"type\": demo}", "demo/manifest.json", "line 3, column"},
        {"{\"type\": \"demo\", \"type\": \"demo\"}", "demo/manifest.json", "duplicate"},
        {"[]", "demo/manifest.json", "must be an object"},
        {WHOLE "x", "demo/manifest.json", "is not valid JSON"},
        {"{}", "demo/manifest.json#/type", "is required"},
        {"{\"type\": 3}", "demo/manifest.json#/type", "must be a string"},
        {"{\"type\": \"\"}", "demo/manifest.json#/type", "must not be empty"},
        {"{\"type\": \"demo\"}", "demo/manifest.json#/name", "is required"},
        {"{\"type\": \"Demo\", \"name\": \"D\"}", "demo/manifest.json#/type", "lower-case letters"},
        {"{\"type\": \"other\", \"name\": \"D\"}", "demo/manifest.json#/type",
         "must equal the folder's name, demo"},
        {HEAD FIELDS EVENTS ", \"version\": 1}", "demo/manifest.json#/version", "must be a string"},
        {HEAD FIELDS EVENTS ", \"evnets\": []}", "demo/manifest.json#/evnets", "did you mean events"},
        {HEAD FIELDS EVENTS ", \"zzz\": []}", "demo/manifest.json#/zzz", "is not known"},
        {HEAD EVENTS "}", "demo/manifest.json#/credentialSchema", "is required"},
        {HEAD "\"credentialSchema\": [], " EVENTS "}", "demo/manifest.json#/credentialSchema",
         "must be an object"},
        {HEAD "\"credentialSchema\": {}}", "demo/manifest.json#/events", "is required"},
        {HEAD "\"credentialSchema\": {}, \"events\": {}}", "demo/manifest.json#/events", "must be an array"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
        refused(state, cases[i].text, cases[i].at, cases[i].words);
}

static void manifest_names_the_place_of_every_fault_of_a_field(void **state)
{
    static const struct {
        const char *field, *at, *words;
    } cases[] = {
        {"3", "", "must be an object"},
        {"{}", "/label", "is required"},
        {"{\"label\": \"\"}", "/label", "must not be empty"},
        {"{\"label\": \"L\"}", "/type", "is required"},
        {"{\"label\": \"L\", \"type\": \"secret\"}", "/type", "text, password or oauth"},
        {"{\"label\": \"L\", \"type\": \"text\", \"help\": 1}", "/help", "must be a string"},
        {"{\"label\": \"L\", \"type\": \"text\", \"lable\": 1}", "/lable", "did you mean label"},
        {"{\"label\": \"L\", \"type\": \"text\", \"required\": 1}", "/required", "must be true or false"},
        {"{\"label\": \"L\", \"type\": \"text\", \"secret\": \"\"}", "/secret", "must be true or false"},
        {"{\"label\": \"L\", \"type\": \"text\", \"format\": \"url\"}", "/format",
         "uri, email, hostname or uuid"},
        {"{\"label\": \"L\", \"type\": \"text\", \"pattern\": \"(\"}", "/pattern",
         "is not a regular expression: "},
        {"{\"label\": \"L\", \"type\": \"text\", \"options\": []}", "/options", "array of {value, label}"},
        {"{\"label\": \"L\", \"type\": \"text\", \"options\": {}}", "/options", "array of {value, label}"},
        {"{\"label\": \"L\", \"type\": \"text\", \"options\": [1]}", "/options", "both strings"},
        {"{\"label\": \"L\", \"type\": \"text\", \"options\": [{\"value\": \"v\"}]}", "/options",
         "both strings"},
        {"{\"label\": \"L\", \"type\": \"text\", \"visibleWhen\": 1}", "/visibleWhen",
         "must be {field, equals}"},
        {"{\"label\": \"L\", \"type\": \"text\", \"visibleWhen\": {\"field\": \"f\"}}", "/visibleWhen",
         "both strings"},
        {"{\"label\": \"L\", \"type\": \"text\", \"visibleWhen\": {\"field\": \"g\", \"equals\": \"1\"}}",
         "/visibleWhen", "names a field that is not there: g"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char text[1024], at[128];
        snprintf(text, sizeof text, HEAD "\"credentialSchema\": {\"f\": %s}, " EVENTS "}", cases[i].field);
        snprintf(at, sizeof at, "demo/manifest.json#/credentialSchema/f%s", cases[i].at);
        refused(state, text, at, cases[i].words);
    }
}

static void manifest_names_the_place_of_every_fault_of_an_event(void **state)
{
    static const struct {
        const char *event, *at, *words;
    } cases[] = {
        {"3", "", "must be an object"},
        {"{}", "/eventType", "is required"},
        {"{\"eventType\": \"\"}", "/eventType", "must not be empty"},
        {"{\"eventType\": \"e\"}", "/schemaPath", "is required"},
        {"{\"eventType\": \"e\", \"schemaPath\": \"\"}", "/schemaPath", "must not be empty"},
        {"{\"eventType\": \"e\", \"schemaPath\": 3}", "/schemaPath", "must be a string"},
        {"{\"eventType\": \"e\", \"schemaPath\": \"s\", \"description\": 3}", "/description",
         "must be a string"},
        {"{\"eventType\": \"e\", \"schemapath\": \"s\"}", "/schemapath", "did you mean schemaPath"},
        {"{\"eventType\": \"a.b\", \"schemaPath\": \"schemas/a.b.json\"}", "/eventType",
         "is there twice: a.b"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char text[1024], at[128];
        snprintf(text, sizeof text,
                 HEAD FIELDS
                 "\"events\": [{\"eventType\": \"a.b\", \"schemaPath\": \"schemas/a.b.json\"}, %s]}",
                 cases[i].event);
        snprintf(at, sizeof at, "demo/manifest.json#/events/1%s", cases[i].at);
        refused(state, text, at, cases[i].words);
    }
}

static void schema_path_refused(void **state, const char *path, const char *words)
{
    char text[8192];
    snprintf(text, sizeof text, HEAD FIELDS "\"events\": [{\"eventType\": \"e\", \"schemaPath\": \"%s\"}]}",
             path);
    refused(state, text, "demo/manifest.json#/events/0/schemaPath", words);
}

static void manifest_schema_paths_stay_inside_the_package(void **state)
{
    static const char *const outside[] = {
        "../demo2/schema.json",
        "../demo/schemas/a.b.json", /* goes out and comes back */
        "schemas/../../secret.json",
        "schemas/../schemas/a.b.json", /* never leaves, but cannot be read without working it out */
        "..",
        "schemas/..",
        "/etc/passwd",
        "/proc/self/environ",
        "//etc/passwd",
    };
    scratch_text(*state, "secret.json", "{}");
    scratch_text(*state, "demo2/schema.json", "{}");
    for (size_t i = 0; i < sizeof outside / sizeof outside[0]; i++)
        schema_path_refused(state, outside[i], "must be a file inside the package");
    struct manifest *m =
        good(state, HEAD FIELDS "\"events\": [{\"eventType\": \"e\", \"schemaPath\": \"./schemas/a.b.json\"},"
                                "{\"eventType\": \"f\", \"schemaPath\": \"schemas//a.b.json\"}]}");
    manifest_close(m);
    scratch_text(*state, "demo/..schema", "{}"); /* a name, not a way out */
    manifest_close(
        good(state, HEAD FIELDS "\"events\": [{\"eventType\": \"e\", \"schemaPath\": \"..schema\"}]}"));
}

static void manifest_schema_paths_do_not_follow_links(void **state)
{
    char secret[256], link[256], inner[256], folder[256], way[256];
    scratch_text(*state, "secret.json", "{}");
    scratch_text(*state, "demo/schemas/a.b.json", "{}");
    scratch_path(*state, "secret.json", secret);
    assert_int_equal(symlink(secret, scratch_path(*state, "demo/schemas/link.json", link)), 0);
    schema_path_refused(state, "schemas/link.json", "not reached through a link");
    assert_int_equal(symlink("a.b.json", scratch_path(*state, "demo/schemas/inner.json", inner)), 0);
    schema_path_refused(state, "schemas/inner.json", "not reached through a link");
    assert_int_equal(symlink(scratch_path(*state, "", folder), scratch_path(*state, "demo/way", way)), 0);
    schema_path_refused(state, "way/secret.json", "not reached through a link");
}

static void manifest_schema_paths_name_regular_files_that_are_json(void **state)
{
    char path[256];
    assert_int_equal(mkdir(scratch_path(*state, "demo/folder", path), 0700), 0);
    assert_int_equal(mkfifo(scratch_path(*state, "demo/pipe", path), 0600), 0);
    schema_path_refused(state, "schemas/none.json", "names a file that is not there: schemas/none.json");
    schema_path_refused(state, "none/a.json", "names a file that is not there");
    schema_path_refused(state, "folder", "must be a file inside the package");
    schema_path_refused(state, "pipe",
                        "must be a file inside the package"); /* and does not wait for a writer */
    schema_path_refused(state, ".", "must be a file inside the package");
    scratch_text(*state, "demo/bad.json", "{\n\"a\": }");
    schema_path_refused(state, "bad.json", "is not valid JSON: bad.json, line 2");
    scratch_text(*state, "demo/bad.json", "");
    schema_path_refused(state, "bad.json", "is not valid JSON");
    scratch_text(*state, "demo/bad.json", "{\"a\": 1, \"a\": 2}");
    schema_path_refused(state, "bad.json", "is not valid JSON");
    static const char *const no_schemas[] = {"[]", "3", "null", "\"text\""};
    for (size_t i = 0; i < sizeof no_schemas / sizeof no_schemas[0]; i++) {
        scratch_text(*state, "demo/bad.json", no_schemas[i]);
        schema_path_refused(state, "bad.json", "is not a JSON Schema");
    }
    scratch_text(*state, "demo/bad.json", "true"); /* a schema, too: anything goes */
    manifest_close(
        good(state, HEAD FIELDS "\"events\": [{\"eventType\": \"e\", \"schemaPath\": \"bad.json\"}]}"));
}

static void manifest_refuses_files_that_are_too_large_or_deep(void **state)
{
    struct pb_why why = {0};
    struct manifest *m = NULL;
    char path[256], *big = malloc(LIMIT_SCHEMA_BYTES + 64);
    assert_non_null(big);
    memset(big, ' ', LIMIT_SCHEMA_BYTES + 1);
    memcpy(big, "{}", 2);
    scratch_write(*state, "demo/big.json", big, LIMIT_SCHEMA_BYTES + 1, 0600);
    schema_path_refused(state, "big.json", "is too large");
    memset(big, '[', 65);
    memset(big + 65, ']', 65);
    scratch_write(*state, "demo/deep.json", big, 130, 0600);
    schema_path_refused(state, "deep.json", "is nested too deeply: deep.json");
    scratch_write(*state, "demo/manifest.json", big, 130, 0600);
    assert_int_equal(manifest_open(scratch_path(*state, "demo", path), &m, &why), PB_E_LIMIT);
    assert_string_equal(why.at, "demo/manifest.json");
    assert_non_null(strstr(why.text, "nested too deeply"));
    memset(big, ' ', LIMIT_MANIFEST_BYTES + 1);
    memcpy(big, WHOLE, sizeof WHOLE - 1);
    scratch_write(*state, "demo/manifest.json", big, LIMIT_MANIFEST_BYTES + 1, 0600);
    assert_int_equal(manifest_open(path, &m, &why), PB_E_LIMIT);
    assert_non_null(strstr(why.text, "at most 256 KiB"));
    scratch_write(*state, "demo/manifest.json", big, LIMIT_MANIFEST_BYTES, 0600);
    assert_int_equal(manifest_open(path, &m, &why), PB_OK);
    manifest_close(m);
    free(big);
}

/* Brackets within strings nest nothing. */
static void manifest_counts_depth_outside_of_strings_only(void **state)
{
    static const char many[] =
        "[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[";
    char text[1024];
    snprintf(text, sizeof text, HEAD "\"docsUrl\": \"\\\"%s\", " FIELDS EVENTS "}", many);
    manifest_close(good(state, text));
}

static void manifest_refuses_more_than_its_limits(void **state)
{
    struct pb_why why = {0};
    struct manifest *m = NULL;
    for (int more = 0; more < 2; more++) {
        char text[16384];
        size_t len = (size_t)snprintf(text, sizeof text, HEAD "\"credentialSchema\": {");
        for (int i = 0; i < LIMIT_PACKAGE_FIELDS + more; i++)
            len += (size_t)snprintf(text + len, sizeof text - len,
                                    "%s\"f%d\": {\"label\": \"L\", \"type\": \"text\"}", i ? ", " : "", i);
        snprintf(text + len, sizeof text - len, "}, " EVENTS "}");
        assert_int_equal(open_demo(state, text, &m, &why), more ? PB_E_LIMIT : PB_OK);
        if (more == 0)
            manifest_close(m);
    }
    assert_string_equal(why.at, "demo/manifest.json#/credentialSchema");
    char text[1024], name[LIMIT_EVENT_TYPE_CHARS + 2];
    memset(name, 'e', sizeof name);
    name[sizeof name - 1] = 0;
    for (int more = 1; more >= 0; more--) {
        snprintf(text, sizeof text,
                 HEAD FIELDS "\"events\": [{\"eventType\": \"%s\", \"schemaPath\": \"schemas/a.b.json\"}]}",
                 name + 1 - more);
        assert_int_equal(open_demo(state, text, &m, &why), more ? PB_E_LIMIT : PB_OK);
    }
    assert_string_equal(why.at, "demo/manifest.json#/events/0/eventType");
    manifest_close(m);
    name[LIMIT_FIELD_NAME_CHARS + 1] = 0;
    snprintf(text, sizeof text,
             HEAD "\"credentialSchema\": {\"%s\": {\"label\": \"L\", \"type\": \"text\"}}, " EVENTS "}",
             name);
    assert_int_equal(open_demo(state, text, &m, &why), PB_E_LIMIT);
}

static void manifest_type_is_what_the_format_says(void **state)
{
    static const char *const good_types[] = {"a", "stripe", "a1", "my-crm-2", "x--"};
    static const char *const bad_types[] = {"",    "1a",  "-a",  "A",        "aB", "a_b",
                                            "a.b", "a/b", "a b", "\xc3\xa9", "a\n"};
    char longest[LIMIT_TYPE_CHARS + 2];
    (void)state;
    for (size_t i = 0; i < sizeof good_types / sizeof good_types[0]; i++)
        assert_true(manifest_type_is_valid(good_types[i]));
    for (size_t i = 0; i < sizeof bad_types / sizeof bad_types[0]; i++)
        assert_false(manifest_type_is_valid(bad_types[i]));
    memset(longest, 'a', sizeof longest);
    longest[LIMIT_TYPE_CHARS + 1] = 0;
    assert_false(manifest_type_is_valid(longest));
    assert_true(manifest_type_is_valid(longest + 1));
}

static void manifest_interval_is_a_day_when_it_makes_no_sense(void **state)
{
    static const struct {
        const char *hours;
        int64_t ms;
    } cases[] = {
        {"24", 86400000},   {"0.5", 1800000},    {"168", 604800000},
        {"0", 86400000},    {"-1", 86400000},    {"\"1\"", 86400000},
        {"1e99", 86400000}, {"0.001", 86400000}, {"8784", INT64_C(8784) * 3600000},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char text[1024];
        snprintf(text, sizeof text, HEAD FIELDS EVENTS ", \"test\": {\"intervalHours\": %s}}",
                 cases[i].hours);
        struct manifest *m = good(state, text);
        assert_int_equal(m->interval_ms, cases[i].ms);
        manifest_close(m);
    }
}

/* -- the hash -- */

static void hash_of(void **state, const char *manifest, const char *schema, char out[65])
{
    char path[256];
    struct manifest *m = NULL;
    struct pb_why why = {0};
    scratch_text(*state, "demo/manifest.json", manifest);
    scratch_text(*state, "demo/schemas/a.b.json", schema);
    assert_int_equal(manifest_open(scratch_path(*state, "demo", path), &m, &why), PB_OK);
    memcpy(out, m->hash, 65);
    manifest_close(m);
}

static void manifest_hash_changes_with_every_file_of_the_package(void **state)
{
    char a[65], again[65], text[65], schema[65];
    hash_of(state, WHOLE, "{}", a);
    hash_of(state, WHOLE, "{}", again);
    hash_of(state, WHOLE " ", "{}", text);
    hash_of(state, WHOLE, "{} ", schema);
    assert_string_equal(a, again);
    assert_string_not_equal(a, text);
    assert_string_not_equal(a, schema);
    assert_string_not_equal(text, schema);
}

/* -- what others ask of one -- */

static void manifest_schema_gives_the_file_of_an_event(void **state)
{
    struct manifest *m = good(state, WHOLE);
    char *text = NULL, path[256];
    size_t len = 0;
    assert_int_equal(manifest_schema(m, "a.b", &text, &len), PB_OK);
    assert_string_equal(text, "{\"type\": \"object\"}");
    assert_int_equal(len, strlen(text));
    free(text);
    assert_int_equal(manifest_schema(m, "a.c", &text, &len), PB_E_NOT_FOUND);
    assert_int_equal(manifest_schema(m, "", &text, &len), PB_E_NOT_FOUND);
    /* a link put there after opening leads nowhere, either */
    scratch_text(*state, "secret.json", "{}");
    scratch_path(*state, "demo/schemas/a.b.json", path);
    assert_int_equal(unlink(path), 0);
    assert_int_equal(symlink("../../secret.json", path), 0);
    assert_int_equal(manifest_schema(m, "a.b", &text, &len), PB_E_DENIED);
    assert_int_equal(unlink(path), 0);
    manifest_close(m);
}

static void manifest_supported_events_refer_to_the_package(void **state)
{
    struct manifest *m =
        good(state, HEAD FIELDS "\"events\": [{\"eventType\": \"a.b\", \"schemaPath\": \"schemas/a.b.json\","
                                "\"description\": \"An \\\"event\\\"\"}]}");
    char *text = manifest_supported_events(m);
    assert_string_equal(text,
                        "[{\"eventType\":\"a.b\",\"schemaReference\":\"integrations/demo/schemas/a.b.json\","
                        "\"description\":\"An \\\"event\\\"\"}]");
    free(text);
    manifest_close(m);
}

static void manifest_json_shows_what_a_form_needs(void **state)
{
    struct manifest *m =
        good(state, HEAD "\"auth\": {\"scheme\": \"bearer\"}, \"category\": \"x\", " FIELDS EVENTS "}");
    json_t *json = manifest_json(m);
    assert_string_equal(json_string_value(json_object_get(json, "type")), "demo");
    assert_string_equal(json_string_value(json_object_get(json, "category")), "x");
    assert_string_equal(json_string_value(json_object_get(json, "hash")), m->hash);
    assert_non_null(json_object_get(json_object_get(json, "credentialSchema"), "apiKey"));
    assert_string_equal(
        json_string_value(json_object_get(json_array_get(json_object_get(json, "events"), 0), "eventType")),
        "a.b");
    assert_null(json_object_get(json, "auth"));
    assert_null(json_object_get(json, "docsUrl"));
    json_decref(json);
    manifest_close(m);
}

/* -- all of them -- */

static void put_package(void **state, const char *type, const char *name)
{
    char path[128], text[512];
    snprintf(path, sizeof path, "all/%s/manifest.json", type);
    snprintf(text, sizeof text,
             "{\"type\": \"%s\", \"name\": \"%s\", \"credentialSchema\": {}, \"events\": []}", type, name);
    scratch_text(*state, path, text);
}

static void manifests_leave_a_faulty_package_out_and_say_so(void **state)
{
    char path[256], text[2048] = "";
    struct manifests *all = NULL;
    struct pb_why why = {0};
    int fd = open(scratch_path(*state, "log", path), O_RDWR | O_CREAT | O_TRUNC, 0600);
    struct log log = {.fd = fd, .format = LOG_JSON, .level = LOG_DEBUG, .program = "test"};
    put_package(state, "zeta", "Z");
    put_package(state, "alpha", "A");
    put_package(state, "mid", "M");
    put_package(state, "broken", "B\", \"nmae\": \"x");
    put_package(state, ".hidden", "H");
    scratch_text(*state, "all/empty/readme.txt", "no package");
    scratch_text(*state, "all/file.json", "{}");
    assert_int_equal(manifests_open(scratch_path(*state, "all", path), &log, &all, &why), PB_OK);
    assert_int_equal(manifests_count(all), 3);
    assert_string_equal(manifests_at(all, 0)->type, "alpha"); /* sorted */
    assert_string_equal(manifests_at(all, 1)->type, "mid");
    assert_string_equal(manifests_at(all, 2)->type, "zeta");
    assert_ptr_equal(manifests_find(all, "mid"), manifests_at(all, 1));
    assert_null(manifests_find(all, "broken"));
    assert_null(manifests_find(all, "al"));
    assert_null(manifests_find(all, ""));
    assert_true(pread(fd, text, sizeof text - 1, 0) > 0);
    assert_non_null(strstr(text, "\"at\":\"broken/manifest.json#/nmae\""));
    assert_null(strchr(strchr(text, '\n') + 1, '\n')); /* one line: only that one is wrong */
    manifests_close(all);
    manifests_close(NULL);
    close(fd);
}

static void manifests_need_one_good_package(void **state)
{
    char path[256];
    struct manifests *all = NULL;
    struct pb_why why = {0};
    struct log log = {.fd = open("/dev/null", O_WRONLY), .level = LOG_ERROR, .program = "test"};
    assert_int_equal(manifests_open(scratch_path(*state, "no-folder", path), &log, &all, &why), PB_E_IO);
    assert_string_equal(why.at, path);
    scratch_text(*state, "none/x/manifest.json", "{}");
    assert_int_equal(manifests_open(scratch_path(*state, "none", path), &log, &all, &why), PB_E_NOT_FOUND);
    assert_string_equal(why.at, path);
    assert_non_null(strstr(why.text, "--manifests"));
    assert_null(all);
    close(log.fd);
}

static void manifests_that_come_with_the_program_are_good(void **state)
{
    struct manifests *all = NULL;
    struct pb_why why = {0};
    char path[256], text[64] = "";
    int fd = open(scratch_path(*state, "log2", path), O_RDWR | O_CREAT, 0600);
    struct log log = {.fd = fd, .level = LOG_DEBUG, .program = "test"};
    if (manifests_open("manifests", &log, &all, &why) != PB_OK)
        fail_msg("%s: %s", why.at, why.text);
    assert_int_equal(pread(fd, text, sizeof text - 1, 0), 0);
    assert_non_null(manifests_find(all, "stripe"));
    assert_non_null(manifests_find(all, "slack"));
    manifests_close(all);
    close(fd);
}

/* Whatever a manifest's bytes are: opened, or refused with a place. */
static void open_any(void *arg, const uint8_t *bytes, size_t len)
{
    const struct scratch *s = arg;
    char path[256];
    struct manifest *m = NULL;
    struct pb_why why = {0};
    scratch_write(s, "demo/manifest.json", bytes, len, 0600);
    if (manifest_open(scratch_path(s, "demo", path), &m, &why) == PB_OK)
        manifest_close(m);
    else if (strncmp(why.at, "demo/manifest.json", 18) != 0 || !why.text[0])
        fail_msg("no place: \"%s\" \"%s\"", why.at, why.text);
}

static void manifest_survives_any_change_of_its_text(void **state)
{
    static const char text[] =
        HEAD "\"credentialSchema\": {\"a\": {\"label\": \"L\", \"type\": \"text\", \"pattern\": \"^a+$\","
             "\"options\": [{\"value\": \"v\", \"label\": \"l\"}], \"visibleWhen\": {\"field\": \"a\","
             "\"equals\": \"v\"}}}, " EVENTS "}";
    manifest_close(good(state, text));
    scratch_fuzz((const uint8_t *)text, sizeof text - 1, 4, 3000, open_any, *state);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(manifest_gives_what_the_file_says),
        cmocka_unit_test(manifest_needs_only_the_fields_of_the_contract),
        cmocka_unit_test(manifest_fields_come_in_the_order_of_the_form),
        cmocka_unit_test(manifest_fields_keep_every_member),
        cmocka_unit_test(manifest_names_the_place_of_every_fault_of_the_root),
        cmocka_unit_test(manifest_names_the_place_of_every_fault_of_a_field),
        cmocka_unit_test(manifest_names_the_place_of_every_fault_of_an_event),
        cmocka_unit_test(manifest_schema_paths_stay_inside_the_package),
        cmocka_unit_test(manifest_schema_paths_do_not_follow_links),
        cmocka_unit_test(manifest_schema_paths_name_regular_files_that_are_json),
        cmocka_unit_test(manifest_refuses_files_that_are_too_large_or_deep),
        cmocka_unit_test(manifest_counts_depth_outside_of_strings_only),
        cmocka_unit_test(manifest_refuses_more_than_its_limits),
        cmocka_unit_test(manifest_type_is_what_the_format_says),
        cmocka_unit_test(manifest_interval_is_a_day_when_it_makes_no_sense),
        cmocka_unit_test(manifest_hash_changes_with_every_file_of_the_package),
        cmocka_unit_test(manifest_schema_gives_the_file_of_an_event),
        cmocka_unit_test(manifest_supported_events_refer_to_the_package),
        cmocka_unit_test(manifest_json_shows_what_a_form_needs),
        cmocka_unit_test(manifests_leave_a_faulty_package_out_and_say_so),
        cmocka_unit_test(manifests_need_one_good_package),
        cmocka_unit_test(manifests_that_come_with_the_program_are_good),
        cmocka_unit_test(manifest_survives_any_change_of_its_text),
    };
    return cmocka_run_group_tests(tests, scratch_start, scratch_stop);
}
