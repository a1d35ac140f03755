#include "common/buf.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
/* cmocka wants the four before it */
#include <cmocka.h>

static void buf_is_an_empty_string_while_nothing_was_appended(void **state)
{
    struct buf b;
    size_t len = 99;
    (void)state;
    buf_init(&b, 10);
    assert_string_equal(buf_peek(&b), "");
    char *text = buf_take(&b, &len);
    assert_non_null(text);
    assert_string_equal(text, "");
    assert_int_equal(len, 0);
    free(text);
    buf_fini(&b);
}

static void buf_takes_exactly_its_maximum_and_fails_one_byte_later(void **state)
{
    struct buf b;
    (void)state;
    buf_init(&b, 5);
    buf_append(&b, "abc", 3);
    buf_append(&b, "de", 2);
    assert_false(b.failed);
    assert_string_equal(buf_peek(&b), "abcde");
    buf_append(&b, "", 0);
    assert_false(b.failed);
    buf_append(&b, "f", 1);
    assert_true(b.failed);
    assert_int_equal(b.len, 5);
    buf_fini(&b);
}

static void buf_ignores_what_follows_a_failure(void **state)
{
    struct buf b;
    (void)state;
    buf_init(&b, 4);
    buf_text(&b, "ab");
    buf_text(&b, "too long");
    buf_text(&b, "c"); /* would fit */
    buf_printf(&b, "%d", 1);
    assert_true(b.failed);
    assert_string_equal(buf_peek(&b), "ab");
    assert_null(buf_take(&b, NULL));
    assert_false(b.failed); /* taken, so empty and ready again */
    buf_text(&b, "abcd");
    assert_string_equal(buf_peek(&b), "abcd");
    buf_fini(&b);
}

static void buf_fails_when_the_length_would_overflow(void **state)
{
    struct buf b;
    (void)state;
    buf_init(&b, 100);
    buf_text(&b, "x");
    buf_append(&b, "x", SIZE_MAX);
    assert_true(b.failed);
    assert_int_equal(b.len, 1);
    buf_fini(&b);
}

static void buf_printf_counts_its_text_against_the_maximum(void **state)
{
    struct buf b;
    (void)state;
    buf_init(&b, 6);
    buf_printf(&b, "%s-%02d", "ab", 7);
    assert_string_equal(buf_peek(&b), "ab-07");
    buf_printf(&b, "%s", "cd");
    assert_true(b.failed);
    assert_string_equal(buf_peek(&b), "ab-07");
    buf_fini(&b);
}

static void buf_keeps_what_it_holds_when_it_grows(void **state)
{
    for (int secret = 0; secret < 2; secret++) {
        struct buf b;
        buf_init(&b, 100000);
        b.secret = secret;
        for (int i = 0; i < 10000; i++)
            buf_printf(&b, "%04d", i);
        assert_false(b.failed);
        assert_int_equal(b.len, 40000);
        assert_memory_equal(b.data + 4 * 9876, "9876", 4);
        assert_int_equal(b.data[b.len], 0);
        buf_fini(&b);
        assert_null(b.data);
    }
    (void)state;
}

static void buf_reset_empties_it_and_forgives(void **state)
{
    struct buf b;
    (void)state;
    buf_init(&b, 3);
    buf_text(&b, "abcd");
    buf_reset(&b);
    assert_false(b.failed);
    buf_text(&b, "abc");
    buf_reset(&b);
    assert_string_equal(buf_peek(&b), ""); /* not what was there before */
    buf_text(&b, "abc");
    assert_string_equal(buf_peek(&b), "abc");
    buf_fini(&b);
}

static void buf_take_gives_the_bytes_away(void **state)
{
    struct buf b;
    size_t len = 0;
    (void)state;
    buf_init(&b, 100);
    buf_append(&b, "a\0b", 3);
    char *bytes = buf_take(&b, &len);
    assert_int_equal(len, 3);
    assert_memory_equal(bytes, "a\0b", 4); /* with the NUL behind it */
    assert_int_equal(b.len, 0);
    assert_string_equal(buf_peek(&b), "");
    assert_int_equal(b.max_bytes, 100);
    free(bytes);
    buf_fini(&b);
}

static void buf_fini_accepts_a_zeroed_one(void **state)
{
    struct buf b = {0};
    (void)state;
    buf_fini(&b);
    buf_fini(&b);
}

/* RFC 3629: what is well formed, and what only looks so. */
static const struct {
    const char *in;
    size_t len;
    const char *out;
} utf8[] = {
    {"plain", 5, "plain"},
    {"\xc3\xa9", 2, "\xc3\xa9"},
    {"\xe2\x82\xac", 3, "\xe2\x82\xac"},
    {"\xf0\x9f\x98\x80", 4, "\xf0\x9f\x98\x80"},
    {"\xf4\x8f\xbf\xbf", 4, "\xf4\x8f\xbf\xbf"}, /* U+10FFFF */
    {"\x80", 1, "\xef\xbf\xbd"},                 /* a continuation alone */
    {"\xff", 1, "\xef\xbf\xbd"},
    {"a\xc3", 2, "a\xef\xbf\xbd"}, /* cut */
    {"\xe2\x82", 2, "\xef\xbf\xbd\xef\xbf\xbd"},
    {"\xc0\xaf", 2, "\xef\xbf\xbd\xef\xbf\xbd"}, /* overlong "/" */
    {"\xe0\x80\xaf", 3, "\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd"},
    {"\xed\xa0\x80", 3, "\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd"},                 /* a surrogate */
    {"\xf4\x90\x80\x80", 4, "\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd"}, /* past U+10FFFF */
    {"\xc3(", 2, "\xef\xbf\xbd("},
};

static void buf_utf8_replaces_what_is_not_well_formed(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof utf8 / sizeof utf8[0]; i++) {
        struct buf b;
        buf_init(&b, 100);
        buf_utf8(&b, utf8[i].in, utf8[i].len);
        assert_string_equal(buf_peek(&b), utf8[i].out);
        buf_reset(&b);
        buf_json_escape(&b, utf8[i].in, utf8[i].len);
        assert_string_equal(buf_peek(&b), utf8[i].out);
        buf_fini(&b);
    }
}

static void buf_json_escape_leaves_nothing_that_ends_a_string(void **state)
{
    struct buf b;
    (void)state;
    buf_init(&b, 100);
    buf_json_escape(&b, "a\"b\\c\nd\te\0f\x7f", 12);
    assert_string_equal(buf_peek(&b), "a\\\"b\\\\c\\nd\\u0009e\\u0000f\\u007f");
    buf_fini(&b);
}

static void buf_json_escape_stops_when_the_buffer_is_full(void **state)
{
    struct buf b;
    (void)state;
    buf_init(&b, 4);
    buf_json_escape(&b, "\x01\x01\x01", 3);
    assert_true(b.failed);
    buf_fini(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(buf_is_an_empty_string_while_nothing_was_appended),
        cmocka_unit_test(buf_takes_exactly_its_maximum_and_fails_one_byte_later),
        cmocka_unit_test(buf_ignores_what_follows_a_failure),
        cmocka_unit_test(buf_fails_when_the_length_would_overflow),
        cmocka_unit_test(buf_printf_counts_its_text_against_the_maximum),
        cmocka_unit_test(buf_keeps_what_it_holds_when_it_grows),
        cmocka_unit_test(buf_reset_empties_it_and_forgives),
        cmocka_unit_test(buf_take_gives_the_bytes_away),
        cmocka_unit_test(buf_fini_accepts_a_zeroed_one),
        cmocka_unit_test(buf_utf8_replaces_what_is_not_well_formed),
        cmocka_unit_test(buf_json_escape_leaves_nothing_that_ends_a_string),
        cmocka_unit_test(buf_json_escape_stops_when_the_buffer_is_full),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
