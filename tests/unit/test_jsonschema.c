/* The engine's own promises; the official suite (make jsonschema-suite) has what a keyword means. */
#include "common/jsonschema/jsonschema.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
/* cmocka wants setjmp and stdarg before it */
#include <cmocka.h>

static struct js_schema *compile(const char *text)
{
    struct js_schema *s = NULL;
    struct pb_why why = {0};
    if (js_schema_compile(text, strlen(text), NULL, &s, &why) != PB_OK)
        fail_msg("%s: %s: %s", text, why.at, why.text);
    return s;
}

static enum js_verdict check(struct js_runner *r, const struct js_schema *s, const char *document)
{
    enum js_verdict verdict = JS_UNDECIDED;
    struct pb_why why = {0};
    if (js_check(r, s, document, strlen(document), &verdict, &why) != PB_OK)
        fail_msg("%s: %s %s", document, why.at, why.text);
    return verdict;
}

static void jsonschema_tells_valid_from_invalid(void **state)
{
    static const struct {
        const char *schema, *document;
        enum js_verdict verdict;
    } cases[] = {
        {"true", "1", JS_VALID},
        {"false", "1", JS_INVALID},
        {"{\"type\":\"integer\"}", "1.0", JS_VALID},
        {"{\"type\":\"integer\"}", "\"1\"", JS_INVALID},
        {"{\"maximum\":18446744073709551615}", "18446744073709551616", JS_INVALID},
        {"{\"const\":123456789012345678901234567890}", "123456789012345678901234567890.0", JS_VALID},
        {"{\"multipleOf\":0.01}", "4.35", JS_VALID},
        {"{\"required\":[\"a\"],\"properties\":{\"a\":{\"minLength\":2}}}", "{\"a\":\"\xc3\xa9\xc3\xa9\"}",
         JS_VALID},
        {"{\"required\":[\"a\"],\"properties\":{\"a\":{\"minLength\":2}}}", "{\"a\":\"\xc3\xa9\"}",
         JS_INVALID},
        {"{\"properties\":{\"a\":{}},\"unevaluatedProperties\":false}", "{\"b\":1}", JS_INVALID},
        {"{\"$defs\":{\"n\":{\"type\":\"number\"}},\"items\":{\"$ref\":\"#/$defs/n\"}}", "[1,2,\"x\"]",
         JS_INVALID},
    };
    struct js_runner *r = js_runner_new();
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct js_schema *s = compile(cases[i].schema);
        if (check(r, s, cases[i].document) != cases[i].verdict)
            fail_msg("%s of %s", cases[i].schema, cases[i].document);
        js_schema_free(s);
    }
    js_runner_free(r);
}

static void jsonschema_explains_each_error_at_its_place(void **state)
{
    struct js_schema *s =
        compile("{\"properties\":{\"amount\":{\"type\":\"integer\"}},\"required\":[\"currency\"]}");
    struct js_runner *r = js_runner_new();
    const struct js_error *errors;
    size_t count;
    bool more;
    (void)state;
    assert_int_equal(check(r, s, "{\"amount\":\"2000\"}"), JS_INVALID);
    assert_int_equal(js_explain(r, s, 0, &errors, &count, &more), PB_OK);
    assert_int_equal(count, 2);
    assert_false(more);
    bool amount = false, currency = false;
    for (size_t i = 0; i < count; i++) {
        amount |= strcmp(errors[i].instance, "/amount") == 0 && strstr(errors[i].text, "integer") &&
                  strstr(errors[i].keyword, "/properties/amount/type");
        currency |= strcmp(errors[i].instance, "") == 0 && strstr(errors[i].text, "currency") &&
                    strstr(errors[i].keyword, "/required");
    }
    assert_true(amount && currency);
    js_schema_free(s);
    js_runner_free(r);
}

static void jsonschema_refuses_schemas_that_are_none(void **state)
{
    static const char *const cases[] = {
        "",
        "{",
        "[]",
        "{\"type\":\"strin\"}",
        "{\"$ref\":\"#/nowhere\"}",
        "{\"$ref\":\"https://elsewhere.example/x.json\"}",
        "{\"pattern\":\"(\"}",
        "{\"minLength\":-1}",
        "{\"$schema\":\"https://elsewhere.example/dialect\"}",
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct js_schema *s = NULL;
        struct pb_why why = {0};
        if (js_schema_compile(cases[i], strlen(cases[i]), NULL, &s, &why) == PB_OK)
            fail_msg("%s is taken", cases[i]);
        assert_null(s);
        assert_true(why.text[0]);
    }
}

static void jsonschema_bounds_what_is_hostile(void **state)
{
    char deep[200001];
    struct js_runner *r = js_runner_new();
    struct js_schema *any = compile("true"), *loop = compile("{\"$ref\":\"#\"}"),
                     *slow = compile("{\"pattern\":\"^(a+)+$\"}");
    enum js_verdict verdict;
    struct pb_why why = {0};
    (void)state;
    memset(deep, '[', sizeof deep - 1);
    deep[sizeof deep - 1] = 0;
    assert_int_not_equal(js_check(r, any, deep, sizeof deep - 1, &verdict, &why), PB_OK);
    assert_int_not_equal(js_check(r, any, "\"\xff\"", 3, &verdict, &why), PB_OK);
    (void)check(r, loop, "1"); /* ends, whatever it says */
    assert_int_not_equal(check(r, slow, "\"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa!\""),
                         JS_VALID);
    js_schema_free(any);
    js_schema_free(loop);
    js_schema_free(slow);
    js_runner_free(r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(jsonschema_tells_valid_from_invalid),
        cmocka_unit_test(jsonschema_explains_each_error_at_its_place),
        cmocka_unit_test(jsonschema_refuses_schemas_that_are_none),
        cmocka_unit_test(jsonschema_bounds_what_is_hostile),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
