/* The engine's own promises; the official suite (make jsonschema-suite) has what a keyword means. */
#include "common/jsonschema/jsonschema.h"
#include "common/jsonschema/limits.h"

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

/* Members that tell branches apart, but for null: on the way to the branch, and in the member. */
#define NULLABLE_OR_B                                                                                        \
    "{\"oneOf\":[{\"oneOf\":[{\"type\":\"object\",\"required\":[\"t\"],\"properties\":{\"t\":{\"const\":"    \
    "\"a\"}}},"                                                                                              \
    "{\"type\":\"null\"}]},{\"type\":\"object\",\"required\":[\"t\"],\"properties\":{\"t\":{\"oneOf\":["     \
    "{\"const\":\"b\"},{\"type\":\"null\"}]}}}]}"

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
        {NULLABLE_OR_B, "null", JS_VALID},
        {NULLABLE_OR_B, "{\"t\":\"a\"}", JS_VALID},
        {NULLABLE_OR_B, "{\"t\":\"b\"}", JS_VALID},
        {NULLABLE_OR_B, "{\"t\":null}", JS_VALID},
        {NULLABLE_OR_B, "{\"t\":\"c\"}", JS_INVALID},
        {NULLABLE_OR_B, "1", JS_INVALID},
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

#define BANK_OR_CARD                                                                                         \
    "{\"oneOf\":[{\"type\":\"object\",\"required\":[\"type\"],\"properties\":{\"type\":{\"const\":\"card\"}" \
    "}},"                                                                                                    \
    "{\"type\":\"object\",\"required\":[\"type\"],\"properties\":{\"type\":{\"const\":\"bank\"},"            \
    "\"iban\":{\"minLength\":15}}}]}"

/* What a person reads: "instance keyword: sentence" for each error, in the document's order. */
static void jsonschema_says_what_is_wrong(void **state)
{
    static const struct {
        const char *schema, *document, *errors;
    } cases[] = {
        {"{\"properties\":{\"amount\":{\"type\":\"integer\"},\"cur\":{\"enum\":[\"eur\",\"usd\"]}},"
         "\"required\":[\"id\"],\"additionalProperties\":false}",
         "{\"x\":1,\"cur\":\"EUR\",\"amount\":\"2000\"}",
         " /required: the document must have the member \"id\"\n"
         "/x /additionalProperties: x is not allowed here\n"
         "/cur /properties/cur/enum: cur must be one of \"eur\", \"usd\", is the string \"EUR\"\n"
         "/amount /properties/amount/type: amount must be an integer, is the string \"2000\"\n"},
        {BANK_OR_CARD, "{\"type\":\"bank\",\"iban\":\"DE\"}",
         " /oneOf: the document must fit what \"type\" \"bank\" asks for, and does not\n"
         "/iban /oneOf/1/properties/iban/minLength: iban must have at least 15 characters, has 2\n"},
        {BANK_OR_CARD, "{\"type\":\"cash\"}",
         " /oneOf: the document must have the member \"type\", one of \"card\", \"bank\", which is the "
         "string "
         "\"cash\"\n"},
        {BANK_OR_CARD, "[]", " /oneOf: the document must be an object, is an array of 0 items\n"},
        {"{\"anyOf\":[{\"minLength\":3,\"pattern\":\"^a\",\"maxLength\":0},{\"enum\":[\"abc\"]}]}", "\"b\"",
         " /anyOf: the document must fit one of 2 alternatives, fits none, is the string \"b\"\n"
         " /anyOf/1/enum: the document must be \"abc\", is the string \"b\"\n"},
        {"{\"oneOf\":[{\"minimum\":1},{\"maximum\":5}]}", "3",
         " /oneOf: the document must fit exactly one of 2 alternatives, fits 2\n"},
        {"{\"$defs\":{\"a/b\":{\"type\":\"null\"}},\"items\":{\"$ref\":\"#/$defs/a~1b\"}}", "[null,true]",
         "/1 /items/$ref/type: item 1 must be null, is true\n"},
        {"{\"dependentRequired\":{\"a\":[\"b\"]},\"uniqueItems\":true}", "{\"a\":1}",
         " /dependentRequired: the document must have the member \"b\" beside \"a\"\n"},
        {"{\"additionalProperties\":{\"multipleOf\":0.1}}", "{\"~/\\n\\u0000\":0.25}",
         "/~0~1\n\\u0000 /additionalProperties/multipleOf: ~/\\u000a\\u0000 must be a multiple of 0.1, is "
         "the "
         "number 0.25\n"},
    };
    struct js_runner *r = js_runner_new();
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct js_schema *s = compile(cases[i].schema);
        const struct js_error *errors = NULL;
        char text[2000] = "";
        size_t count = 0, len = 0;
        bool more;
        assert_int_equal(check(r, s, cases[i].document), JS_INVALID);
        assert_int_equal(js_explain(r, s, 0, &errors, &count, &more), PB_OK);
        for (size_t k = 0; k < count; k++)
            len += (size_t)snprintf(text + len, sizeof text - len, "%s %s: %s\n", errors[k].instance,
                                    errors[k].keyword, errors[k].text);
        assert_string_equal(text, cases[i].errors);
        js_schema_free(s);
    }
    js_runner_free(r);
}

static void jsonschema_lists_errors_up_to_a_limit(void **state)
{
    struct js_schema *s = compile("{\"items\":{\"type\":\"string\"}}");
    struct js_runner *r = js_runner_new();
    const struct js_error *errors = NULL;
    size_t count = 0;
    bool more = false;
    (void)state;
    assert_int_equal(check(r, s, "[1,2,3,4]"), JS_INVALID);
    assert_int_equal(js_explain(r, s, 3, &errors, &count, &more), PB_OK);
    assert_int_equal(count, 3);
    assert_true(more);
    assert_string_equal(errors[2].instance, "/2");
    assert_int_equal(js_explain(r, s, 4, &errors, &count, &more), PB_OK);
    assert_int_equal(count, 4);
    assert_false(more);
    js_schema_free(s);
    js_runner_free(r);
}

/* count times "before NUMBER after", between commas. */
static char *repeated(const char *start, const char *before, const char *after, const char *end, int count)
{
    size_t size = strlen(start) + strlen(end) + (size_t)count * (strlen(before) + strlen(after) + 12) + 1,
           len;
    char *text = malloc(size);
    assert_non_null(text);
    len = (size_t)snprintf(text, size, "%s", start);
    for (int i = 0; i < count; i++)
        len += (size_t)snprintf(text + len, size - len, "%s%s%d%s", i ? "," : "", before, i, after);
    snprintf(text + len, size - len, "%s", end);
    return text;
}

/* Such work is cut off: neither valid nor invalid. */
static void jsonschema_leaves_undecided_what_takes_too_long(void **state)
{
    static const char *const endless[] = {
        "{\"$ref\":\"#\"}",
        "{\"allOf\":[{\"$ref\":\"#\"},{\"$ref\":\"#\"}]}",
        "{\"anyOf\":[{\"not\":{\"$ref\":\"#\"}},{\"$ref\":\"#\"}]}",
        "{\"items\":{\"pattern\":\"^(a|aa)+$\"}}",
    };
    struct js_runner *r = js_runner_new();
    const struct js_error *errors = NULL;
    size_t count = 0;
    bool more = false;
    char *patterns = repeated("{\"patternProperties\":{", "\"[xyz]", "\":true", "}}", 2000);
    char *members = repeated("{", "\"k", "\":1", "}", 2000);
    (void)state;
    for (size_t i = 0; i < sizeof endless / sizeof endless[0]; i++) {
        struct js_schema *s = compile(endless[i]);
        assert_int_equal(
            check(r, s, "[\"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa!\"]"),
            JS_UNDECIDED);
        assert_int_equal(js_explain(r, s, 0, &errors, &count, &more), PB_OK);
        assert_true(more);
        js_schema_free(s);
    }
    struct js_schema *s = compile(patterns);
    assert_int_equal(check(r, s, members), JS_UNDECIDED);
    js_schema_free(s);
    free(patterns);
    free(members);
    js_runner_free(r);
}

static void jsonschema_refuses_documents_that_are_no_json(void **state)
{
    static const struct {
        const char *text;
        size_t len;
    } cases[] = {
        {"\"\xff\"", 3},
        {"\"a\0b\"", 5},
        {"[1,]", 4},
        {"{\"a\"}", 5},
        {"[1 2]", 5},
        {"01", 2},
        {"1.", 2},
        {"-", 1},
        {"nul", 3},
        {"\"\\x\"", 4},
        {"\"\\ud800\"", 8},
        {"{\"a\":1}}", 8},
        {"[0\"1\"]", 6},
        {"\"open", 5},
        {"\"\n\"", 3},
        {"[true\"a\"]", 9},
        {"\xef\xbb\xbf"
         "1",
         4},
        {" ", 1},
    };
    char deep[2 * 513 + 1];
    struct js_runner *r = js_runner_new();
    struct pb_why why = {0};
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
        if (js_runner_parse(r, cases[i].text, cases[i].len, &why) == PB_OK)
            fail_msg("%s is taken", cases[i].text);
    memset(deep, '[', 513);
    memset(deep + 513, ']', 513);
    assert_int_equal(js_runner_parse(r, deep, 2 * 513, &why), PB_E_INVALID);
    assert_non_null(strstr(why.text, "too deeply"));
    assert_int_equal(js_runner_parse(r, deep + 1, 2 * 512, &why), PB_OK);
    js_runner_free(r);
}

static void schema_refused(char *schema, pb_err wanted)
{
    struct js_schema *s = NULL;
    struct pb_why why = {0};
    pb_err err = js_schema_compile(schema, strlen(schema), NULL, &s, &why);
    if (err != wanted)
        fail_msg("%.80s: %s %s", schema, pb_err_name(err), why.text);
    free(schema);
}

static void jsonschema_refuses_schemas_beyond_its_limits(void **state)
{
    char *big = calloc(1, JS_LIMIT_SCHEMA_BYTES + 2),
         *pattern = repeated("{\"pattern\":\"", "a", "", "\"}", 2000);
    (void)state;
    memset(big, ' ', JS_LIMIT_SCHEMA_BYTES);
    big[JS_LIMIT_SCHEMA_BYTES] = '1';
    schema_refused(big, PB_E_LIMIT);
    schema_refused(pattern, PB_E_LIMIT);
    schema_refused(repeated("{\"properties\":{", "\"a", "\":true", "}}", JS_LIMIT_SLOTS + 1), PB_E_LIMIT);
    schema_refused(repeated("{\"allOf\":[", "{\"pattern\":\"[a]", "\"}", "]}", JS_LIMIT_PATTERNS + 1),
                   PB_E_LIMIT);
    schema_refused(repeated("{\"allOf\":[", "{\"$anchor\":\"a", "\"}", ",{\"$ref\":\"#none\"}]}", 10),
                   PB_E_NOT_FOUND);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(jsonschema_tells_valid_from_invalid),
        cmocka_unit_test(jsonschema_explains_each_error_at_its_place),
        cmocka_unit_test(jsonschema_refuses_schemas_that_are_none),
        cmocka_unit_test(jsonschema_says_what_is_wrong),
        cmocka_unit_test(jsonschema_lists_errors_up_to_a_limit),
        cmocka_unit_test(jsonschema_leaves_undecided_what_takes_too_long),
        cmocka_unit_test(jsonschema_refuses_documents_that_are_no_json),
        cmocka_unit_test(jsonschema_refuses_schemas_beyond_its_limits),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
