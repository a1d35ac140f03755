#include "common/event_check.h"

#include "common/limits.h"

#include <jansson.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
/* cmocka wants the four before it */
#include <cmocka.h>

#define SCHEMA                                                                                               \
    "{\"type\":\"object\",\"properties\":{\"amount\":{\"type\":\"integer\"},\"all\":{\"items\":{\"type\":"   \
    "\"integer\"}}},\"required\":[\"amount\"]}"

struct scene {
    struct event_checker *checker;
    struct js_schema *schema;
    struct buf out;
};

static void open_scene(struct scene *s, const char *schema)
{
    s->checker = event_checker_new();
    assert_non_null(s->checker);
    assert_int_equal(js_schema_compile(schema, strlen(schema), NULL, &s->schema, NULL), PB_OK);
    buf_init(&s->out, 4 * 1024 * 1024);
}

static void close_scene(struct scene *s)
{
    event_checker_free(s->checker);
    js_schema_free(s->schema);
    buf_fini(&s->out);
}

/* The answer as JSON; a new reference. It is one line of at most room bytes. */
static json_t *check_in(struct scene *s, const char *text, size_t len, size_t room)
{
    buf_reset(&s->out);
    assert_int_equal(event_check(s->checker, s->schema, text, len, room, &s->out), PB_OK);
    assert_true(s->out.len <= room);
    assert_ptr_equal(memchr(s->out.data, '\n', s->out.len), s->out.data + s->out.len - 1);
    json_t *json =
        json_loadb((const char *)s->out.data, s->out.len, JSON_REJECT_DUPLICATES | JSON_ALLOW_NUL, NULL);
    assert_non_null(json);
    return json;
}

static const char *first(const json_t *answer, const char *member)
{
    const char *text =
        json_string_value(json_object_get(json_array_get(json_object_get(answer, "errors"), 0), member));
    return text ? text : "(none)";
}

static void check_says_that_a_payload_is_valid(void **state)
{
    struct scene s;
    (void)state;
    open_scene(&s, SCHEMA);
    json_decref(check_in(&s, "{\"amount\":1}", 12, EVENT_ANSWER_MIN));
    assert_string_equal(buf_peek(&s.out), "{\"isValid\":true,\"errors\":[]}\n");
    close_scene(&s);
}

static void check_says_what_is_wrong_and_where(void **state)
{
    static const char text[] = "{\"amount\":\"2000\",\"all\":[1,\"x\"]}";
    struct scene s;
    (void)state;
    open_scene(&s, SCHEMA);
    json_t *answer = check_in(&s, text, sizeof text - 1, 4096);
    assert_true(json_is_false(json_object_get(answer, "isValid")));
    assert_int_equal(json_array_size(json_object_get(answer, "errors")), 2);
    assert_string_equal(first(answer, "instanceLocation"), "/amount");
    assert_string_equal(first(answer, "keywordLocation"), "/properties/amount/type");
    assert_string_equal(first(answer, "message"), "amount must be an integer, is the string \"2000\"");
    assert_null(json_object_get(answer, "truncated"));
    json_decref(answer);
    close_scene(&s);
}

static void check_says_where_a_text_is_no_json(void **state)
{
    static const struct {
        const char *text;
        size_t len;
        const char *message;
    } cases[] = {
        {"", 0, "not JSON: line 1, column 1: the document is empty"},
        {"{\"amount\":1}\n\n  }", 17, "not JSON: line 3, column 3: something follows the value"},
        {"{\n\"amount\":\n 01}", 16, NULL},
        {"[1,2", 4, NULL},
        {"{\"a\":\"x\xff\"}", 10, "not JSON: line 1, column 8: not UTF-8"},
        {"{\"a\0\":1}", 8, "not JSON: line 1, column 4: a control character in a string"},
        {"{}\0", 3, NULL},
        {"[1,\n \"abc]", 10, "not JSON: line 2, column 2: a string without end"},
        {"[\"\\\"\\\\\", \"abc]", 14, "not JSON: line 1, column 10: a string without end"},
    };
    struct scene s;
    (void)state;
    open_scene(&s, SCHEMA);
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        json_t *answer = check_in(&s, cases[i].text, cases[i].len, EVENT_ANSWER_MIN);
        assert_true(json_is_false(json_object_get(answer, "isValid")));
        assert_int_equal(json_array_size(json_object_get(answer, "errors")), 1);
        assert_string_equal(first(answer, "instanceLocation"), "");
        if (cases[i].message)
            assert_string_equal(first(answer, "message"), cases[i].message);
        else
            assert_memory_equal(first(answer, "message"), "not JSON: line ", 15);
        json_decref(answer);
    }
    close_scene(&s);
}

static void check_never_calls_valid_what_takes_too_much_work(void **state)
{
    static const char schema[] =
        "{\"$ref\":\"#/$defs/a\",\"$defs\":{\"a\":{\"$ref\":\"#/$defs/b\"},\"b\":{\"$ref\":"
        "\"#/$defs/a\"}}}";
    struct scene s;
    (void)state;
    open_scene(&s, schema);
    json_t *answer = check_in(&s, "1", 1, 4096);
    assert_true(json_is_false(json_object_get(answer, "isValid")));
    assert_non_null(strstr(first(answer, "message"), "undecided"));
    json_decref(answer);
    close_scene(&s);
}

static void check_refuses_too_large_a_payload(void **state)
{
    struct scene s;
    (void)state;
    open_scene(&s, "true");
    char *text = malloc(LIMIT_EVENT_BYTES + 1);
    memset(text, ' ', LIMIT_EVENT_BYTES + 1);
    text[0] = '1';
    json_t *answer = check_in(&s, text, LIMIT_EVENT_BYTES, 4096);
    assert_true(json_is_true(json_object_get(answer, "isValid")));
    json_decref(answer);
    answer = check_in(&s, text, LIMIT_EVENT_BYTES + 1, 4096);
    assert_non_null(strstr(first(answer, "message"), "1048576"));
    json_decref(answer);
    free(text);
    close_scene(&s);
}

static void check_leaves_errors_out_that_do_not_fit(void **state)
{
    static const char many[] = "{\"amount\":1,\"all\":[\"a\",\"b\",\"c\",\"d\",\"e\",\"f\",\"g\",\"h\"]}";
    struct scene s;
    size_t before = 0;
    (void)state;
    open_scene(&s, SCHEMA);
    for (size_t room = EVENT_ANSWER_MIN; room < 4096; room += 50) {
        json_t *answer = check_in(&s, many, sizeof many - 1, room);
        size_t count = json_array_size(json_object_get(answer, "errors"));
        assert_true(count >= 1 && count >= before);
        assert_int_equal(json_is_true(json_object_get(answer, "truncated")), count < 8);
        before = count;
        json_decref(answer);
    }
    assert_int_equal(before, 8);
    close_scene(&s);
}

/* However long the names, and however many of their characters take an escape. */
static void check_cuts_even_the_only_error_to_its_room(void **state)
{
    static const char *const pieces[] = {"k", "\\\"", "\\\\", "\\u0001", "\xc3\xa9", "\\u0000"};
    struct scene s;
    (void)state;
    open_scene(&s, "{\"additionalProperties\":{\"type\":\"integer\"}}");
    for (size_t i = 0; i < sizeof pieces / sizeof pieces[0]; i++)
        for (size_t n = 1; n < 1500; n = n * 3 / 2 + 1) {
            struct buf text;
            buf_init(&text, 1000000);
            buf_text(&text, "{\"");
            for (size_t k = 0; k < n; k++)
                buf_text(&text, pieces[i]);
            buf_text(&text, "\":\"x\"}");
            json_t *answer = check_in(&s, buf_peek(&text), text.len, EVENT_ANSWER_MIN);
            assert_int_equal(json_array_size(json_object_get(answer, "errors")), 1);
            assert_true(strlen(first(answer, "message")) > 10);
            json_decref(answer);
            buf_fini(&text);
        }
    close_scene(&s);
}

static void lines_are_what_is_not_blank(void **state)
{
    static const char text[] = "\n  \t\r\n{}\r\n\n 1 \n\n[2]";
    static const char *const wanted[] = {"{}", " 1 ", "[2]"};
    struct event_lines lines = {text, sizeof text - 1};
    const char *line;
    size_t len, i = 0;
    (void)state;
    assert_int_equal(event_lines_count(lines), 3);
    for (; event_lines_next(&lines, &line, &len); i++) {
        assert_int_equal(len, strlen(wanted[i]));
        assert_memory_equal(line, wanted[i], len);
    }
    assert_int_equal(i, 3);
    assert_int_equal(event_lines_count((struct event_lines){"", 0}), 0);
    assert_int_equal(event_lines_count((struct event_lines){"\n\n", 2}), 0);
}

static void shares_are_never_below_the_least(void **state)
{
    (void)state;
    assert_int_equal(event_share(0, 5), EVENT_ANSWER_MIN);
    assert_int_equal(event_share(100000, 0), LIMIT_EVENT_LINE_ANSWER);
    assert_int_equal(event_share(6000, 6), 1000);
    assert_int_equal(event_share(LIMIT_EVENT_ANSWER_BYTES, 1), LIMIT_EVENT_LINE_ANSWER);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(check_says_that_a_payload_is_valid),
        cmocka_unit_test(check_says_what_is_wrong_and_where),
        cmocka_unit_test(check_says_where_a_text_is_no_json),
        cmocka_unit_test(check_never_calls_valid_what_takes_too_much_work),
        cmocka_unit_test(check_refuses_too_large_a_payload),
        cmocka_unit_test(check_leaves_errors_out_that_do_not_fit),
        cmocka_unit_test(check_cuts_even_the_only_error_to_its_room),
        cmocka_unit_test(lines_are_what_is_not_blank),
        cmocka_unit_test(shares_are_never_below_the_least),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
