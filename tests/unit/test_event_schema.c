/* The schemas of packages' events: what they refer to, what is refused and how that reads, samples. */
#include "common/event_schema.h"
#include "tests/unit/scratch.h"

#include <jansson.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
/* cmocka wants setjmp and stdarg before it */
#include <cmocka.h>

static pb_err open_demo(void **state, const char *schema, struct manifest **out, struct pb_why *why)
{
    char path[256];
    scratch_text(*state, "demo/manifest.json",
                 "{\"type\": \"demo\", \"name\": \"Demo\", \"description\": \"For tests\","
                 "\"credentialSchema\": {\"k\": {\"label\": \"Key\", \"type\": \"password\"}},"
                 "\"events\": [{\"eventType\": \"paid\", \"schemaPath\": \"schemas/paid.json\"}]}");
    scratch_text(*state, "demo/schemas/paid.json", schema);
    return manifest_open(scratch_path(*state, "demo", path), out, why);
}

static struct manifest *good(void **state, const char *schema)
{
    struct manifest *m = NULL;
    struct pb_why why = {0};
    if (open_demo(state, schema, &m, &why) != PB_OK)
        fail_msg("%s: %s: %s", schema, why.at, why.text);
    return m;
}

static enum js_verdict verdict_of(const struct js_schema *schema, const char *text)
{
    struct js_runner *r = js_runner_new();
    enum js_verdict verdict = JS_UNDECIDED;
    struct pb_why why = {0};
    if (js_check(r, schema, text, strlen(text), &verdict, &why) != PB_OK)
        fail_msg("%s: %s", text, why.text);
    js_runner_free(r);
    return verdict;
}

static void check_event(const struct manifest *m, const char *text, enum js_verdict verdict)
{
    struct js_schema *schema = NULL;
    struct pb_why why = {0};
    if (event_schema_compile(m, &m->events[0], &schema, &why) != PB_OK)
        fail_msg("%s: %s", why.at, why.text);
    assert_int_equal(verdict_of(schema, text), verdict);
    js_schema_free(schema);
}

static void event_schema_refers_to_other_files_of_the_package(void **state)
{
    scratch_text(
        *state, "demo/schemas/money.json",
        "{\"type\": \"integer\", \"$defs\": {\"code\": {\"$ref\": \"../common/code.json#/$defs/c\"}}}");
    scratch_text(*state, "demo/common/code.json", "{\"$defs\": {\"c\": {\"enum\": [\"eur\", \"usd\"]}}}");
    struct manifest *m = good(state, "{\"properties\": {\"amount\": {\"$ref\": \"money.json\"}, \"code\": "
                                     "{\"$ref\": \"package://demo/schemas/money.json#/$defs/code\"}}}");
    check_event(m, "{\"amount\": 5, \"code\": \"eur\"}", JS_VALID);
    check_event(m, "{\"amount\": \"5\"}", JS_INVALID);
    check_event(m, "{\"code\": \"EUR\"}", JS_INVALID);
    manifest_close(m);
}

static void event_schema_changes_the_hash_with_every_file_it_refers_to(void **state)
{
    char before[65];
    scratch_text(*state, "demo/schemas/money.json", "{\"type\": \"integer\"}");
    struct manifest *m = good(state, "{\"properties\": {\"amount\": {\"$ref\": \"money.json\"}}}");
    memcpy(before, m->hash, sizeof before);
    manifest_close(m);
    scratch_text(*state, "demo/schemas/money.json", "{\"type\": \"string\"}");
    m = good(state, "{\"properties\": {\"amount\": {\"$ref\": \"money.json\"}}}");
    assert_string_not_equal(before, m->hash);
    manifest_close(m);
}

static void event_schema_leaves_the_package_for_nothing(void **state)
{
    static const char *const references[] = {
        "https://example.com/schema.json", "file:///etc/passwd", "package://other/schemas/a.json",
        "../../../outside.json",           "none.json",          "link.json",
        "money.json#/$defs/none",          "money%2ejson",
    };
    char link[256];
    scratch_text(*state, "outside.json", "true");
    scratch_text(*state, "demo/schemas/money.json", "{}");
    assert_int_equal(symlink("money.json", scratch_path(*state, "demo/schemas/link.json", link)), 0);
    for (size_t i = 0; i < sizeof references / sizeof references[0]; i++) {
        char schema[256];
        struct manifest *m = NULL;
        struct pb_why why = {0};
        snprintf(schema, sizeof schema, "{\"properties\": {\"a\": {\"$ref\": \"%s\"}}}", references[i]);
        if (open_demo(state, schema, &m, &why) == PB_OK)
            fail_msg("%s was followed", references[i]);
        if (strcmp(why.at, "demo/schemas/paid.json#/properties/a") != 0 || !strstr(why.text, " leads "))
            fail_msg("%s: \"%s\": \"%s\"", references[i], why.at, why.text);
    }
    unlink(link);
}

static void event_schema_says_where_a_schema_is_wrong_and_why(void **state)
{
    static const struct {
        const char *schema, *at, *words;
    } cases[] = {
        {"{\"properties\": {\"a\": {\"type\": \"strin\"}}}", "demo/schemas/paid.json#/properties/a/type",
         "type must be one of \"array\", \"boolean\""},
        {"{\"required\": \"a\"}", "demo/schemas/paid.json#/required", "required must be an array"},
        {"{\"$defs\": {\"unused\": {\"minLength\": -1}}}", "demo/schemas/paid.json#/$defs/unused/minLength",
         "minLength must be at least 0, is the number -1"},
        {"{\"pattern\": \"(\"}", "demo/schemas/paid.json#", "a group has no end"},
        {"{\"items\": {\"$ref\": \"#/$defs/x\"}}", "demo/schemas/paid.json#/items", "leads nowhere"},
        {"{\"$schema\": \"http://json-schema.org/draft-04/schema#\"}", "demo/schemas/paid.json",
         "$schema names no draft known here"},
        {"{\"$id\": \"https://example.com/a.json\", \"not\": {\"pattern\": \"[\"}}",
         "demo/schemas/paid.json https://example.com/a.json#/not", "a class has no end"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct manifest *m = NULL;
        struct pb_why why = {0};
        if (open_demo(state, cases[i].schema, &m, &why) == PB_OK)
            fail_msg("%s was taken", cases[i].schema);
        if (!strstr(why.at, cases[i].at) || !strstr(why.text, cases[i].words))
            fail_msg("%s: \"%s\": \"%s\"", cases[i].schema, why.at, why.text);
    }
}

static void event_schema_comes_from_the_cache_once_it_is_there(void **state)
{
    struct js_cache *cache = js_cache_new(10, 1 << 24);
    struct js_cached *first = NULL, *second = NULL;
    struct pb_why why = {0};
    struct manifest *m = good(state, "{\"type\": \"object\"}");
    assert_int_equal(event_schema_get(cache, m, "paid", &first, &why), PB_OK);
    assert_int_equal(event_schema_get(cache, m, "paid", &second, &why), PB_OK);
    assert_ptr_equal(js_cached_schema(first), js_cached_schema(second));
    assert_int_equal(verdict_of(js_cached_schema(first), "[]"), JS_INVALID);
    assert_int_equal(js_cache_counts(cache).misses, 1);
    assert_int_equal(event_schema_get(cache, m, "refunded", &first, &why), PB_E_NOT_FOUND);
    js_cache_put(cache, first);
    js_cache_put(cache, second);
    manifest_close(m);
    js_cache_free(cache);
}

/* Every package that comes with the program: each event has a sample, which its schema allows. */
static void check_samples(const struct manifest *m)
{
    for (size_t i = 0; i < m->event_count; i++) {
        char path[512];
        struct js_schema *schema = NULL;
        struct pb_why why = {0};
        snprintf(path, sizeof path, "%s/samples/%s.json", m->folder, m->events[i].event_type);
        json_t *sample = json_load_file(path, 0, NULL);
        char *text = sample ? json_dumps(sample, JSON_COMPACT) : NULL;
        if (!text)
            fail_msg("%s is not there, or is no JSON", path);
        if (event_schema_compile(m, &m->events[i], &schema, &why) != PB_OK)
            fail_msg("%s: %s", why.at, why.text);
        if (verdict_of(schema, text) != JS_VALID)
            fail_msg("%s is not what its schema says", path);
        if (verdict_of(schema, "\"no such event\"") != JS_INVALID)
            fail_msg("the schema of %s refuses nothing", path);
        js_schema_free(schema);
        json_decref(sample);
        free(text);
    }
}

static void event_schema_allows_every_sample(void **state)
{
    struct manifests *all = NULL;
    struct pb_why why = {0};
    (void)state;
    if (manifests_open("manifests", NULL, &all, &why) != PB_OK)
        fail_msg("%s: %s", why.at, why.text);
    assert_true(manifests_count(all) >= 2);
    for (size_t i = 0; i < manifests_count(all); i++)
        check_samples(manifests_at(all, i));
    manifests_close(all);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(event_schema_refers_to_other_files_of_the_package),
        cmocka_unit_test(event_schema_changes_the_hash_with_every_file_it_refers_to),
        cmocka_unit_test(event_schema_leaves_the_package_for_nothing),
        cmocka_unit_test(event_schema_says_where_a_schema_is_wrong_and_why),
        cmocka_unit_test(event_schema_comes_from_the_cache_once_it_is_there),
        cmocka_unit_test(event_schema_allows_every_sample),
    };
    return cmocka_run_group_tests_name("event_schema", tests, scratch_start, scratch_stop);
}
