#include "common/regex.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>
/* cmocka wants the four before it */
#include <cmocka.h>

static pb_err match(const char *pattern, const char *text, size_t len)
{
    void *regex = NULL;
    char reason[100] = "";
    if (regex_compile(pattern, &regex, reason, sizeof reason) != PB_OK)
        fail_msg("%s: %s", pattern, reason);
    pb_err err = regex_match(regex, text, len);
    regex_free(regex);
    return err;
}

static void regex_matches_as_json_schema_does(void **state)
{
    static const struct {
        const char *pattern, *text;
        pb_err expected;
    } cases[] = {
        {"^sk_(live|test)_", "sk_live_1", PB_OK},
        {"^sk_(live|test)_", "xsk_live_1", PB_E_NOT_FOUND},
        {"b", "abc", PB_OK}, /* not anchored */
        {"^abc$", "abc", PB_OK},
        {"^abc$", "abc\n", PB_E_NOT_FOUND}, /* $ is the very end */
        {"^.$", "\xe2\x82\xac", PB_OK},     /* a character, not a byte */
        {"", "", PB_OK},
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
        if (match(cases[i].pattern, cases[i].text, strlen(cases[i].text)) != cases[i].expected)
            fail_msg("%s on %s", cases[i].pattern, cases[i].text);
}

static void regex_looks_at_no_byte_behind_the_length(void **state)
{
    (void)state;
    assert_int_equal(match("^ab$", "abc", 2), PB_OK);
    assert_int_equal(match("c", "abc", 2), PB_E_NOT_FOUND);
    assert_int_equal(match("b", "a\0b", 3), PB_OK);
}

static void regex_compile_says_what_is_wrong_and_where(void **state)
{
    void *regex = NULL;
    char reason[100] = "";
    (void)state;
    assert_int_equal(regex_compile("ab(c", &regex, reason, sizeof reason), PB_E_INVALID);
    assert_null(regex);
    assert_non_null(strstr(reason, "parenthesis"));
    assert_non_null(strstr(reason, "at position 4"));
    assert_int_equal(regex_compile("\\C", &regex, reason, sizeof reason), PB_E_INVALID);
    assert_int_equal(regex_compile("\xff", &regex, reason, sizeof reason), PB_E_INVALID);
    char little[8];
    assert_int_equal(regex_compile("[", &regex, little, sizeof little), PB_E_INVALID);
    assert_int_equal(strlen(little), 7);
    regex_free(NULL);
}

static void regex_gives_up_when_a_pattern_would_hang(void **state)
{
    char text[200];
    (void)state;
    memset(text, 'a', sizeof text);
    text[sizeof text - 1] = '!';
    assert_int_equal(match("^(a|aa|a?a)+$", text, sizeof text), PB_E_LIMIT);
    assert_int_equal(match("^(?:(?:a+)+)+$", text, sizeof text), PB_E_LIMIT);
}

static void regex_does_not_match_what_is_not_utf_8(void **state)
{
    (void)state;
    assert_int_not_equal(match(".*", "\xff\xfe", 2), PB_OK);
    assert_int_not_equal(match(".*", "a\xe2\x82", 3), PB_OK);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(regex_matches_as_json_schema_does),
        cmocka_unit_test(regex_looks_at_no_byte_behind_the_length),
        cmocka_unit_test(regex_compile_says_what_is_wrong_and_where),
        cmocka_unit_test(regex_gives_up_when_a_pattern_would_hang),
        cmocka_unit_test(regex_does_not_match_what_is_not_utf_8),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
