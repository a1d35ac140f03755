/* Patterns: ECMA-262's meaning, by PCRE2 or by the walk for simple ones, and what is no pattern. */
#include "common/jsonschema/pattern.h"
#include "common/jsonschema/simple.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
/* cmocka wants setjmp and stdarg before it */
#include <cmocka.h>

static const struct {
    const char *source, *yes, *no; /* texts; "" is one, too */
    bool simple;
} cases[] = {
    {"^[0-9a-f]{40}$", "0123456789abcdef0123456789abcdef01234567", "0123456789abcdef", true},
    {"^ch_[A-Za-z0-9]{14,}$", "ch_3MmlLrLkdIwHu7ix", "ch_3MmlLrLkdIw-", true},
    {"^[A-Z]{3}$", "EUR", "EURO", true},
    {"^a?b*c+", "cx", "ab", true},
    {"^\\d{1,3}\\.\\d{1,3}$", "12.345", "12.3456", true},
    {"^[a\\-z]+$", "a-z", "b", true},
    {"^\xc3\xa9t\xc3\xa9$", "\xc3\xa9t\xc3\xa9", "ete", true},
    {"^$", "", "a", true},
    {"^a{0,2}$", "aa", "aaa", true},
    {"^[a-z]+[a-z0-9]*$", "ab1", "1", false}, /* may have to give back */
    {"^a+b?a$", "aa", "b", false},
    {"^\xc3\xa9+$", "\xc3\xa9\xc3\xa9", "\xc3", false},
    {"^(a|b)$", "a", "c", false},
    {"^[^a]$", "\xc3\xa9", "a", false},
    {"a", "bab", "b", false},
    {"^.$", "\xf0\x9f\x98\x80", "\n", false},
    {"^\\s\\S$", "\xe2\x80\xa8x", "xx", false},
    {"\\p{Letter}", "\xc3\xa9", "1", false},
    {"^a{2}{", "aa{", "aa", false},
};

static bool matches(const char *source, const char *text)
{
    char reason[200];
    int64_t fuel = 1000000;
    struct js_pattern *p = NULL;
    struct js_matcher *m = js_matcher_new();
    if (js_pattern_new(source, strlen(source), &p, reason, sizeof reason) != PB_OK)
        fail_msg("%s: %s", source, reason);
    pb_err err = js_pattern_match(p, m, text, strlen(text), &fuel);
    assert_true(err == PB_OK || err == PB_E_NOT_FOUND);
    assert_true(fuel < 1000000);
    js_pattern_free(p);
    js_matcher_free(m);
    return err == PB_OK;
}

static void pattern_matches_as_ecma_262_says(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
        if (!matches(cases[i].source, cases[i].yes) || matches(cases[i].source, cases[i].no))
            fail_msg("%s: %s, %s", cases[i].source, cases[i].yes, cases[i].no);
}

static void pattern_takes_the_simple_way_where_there_is_one(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct js_simple *s = js_simple_new(cases[i].source, strlen(cases[i].source));
        if ((s != NULL) != cases[i].simple)
            fail_msg("%s is%s simple", cases[i].source, s ? "" : " not");
        js_simple_free(s);
    }
}

static void pattern_refuses_what_ecma_262_does_not_have(void **state)
{
    static const char *const bad[] = {"(",      "a)",      "[a",        "*a",           "a**",
                                      "\\",     "^a{3,2}", "^[b-a]",    "(?i)a",        "a++",
                                      "\\Aa",   "\\2(a)",  "\\u12",     "\\p{Nothing}", "(?<n>a",
                                      "\\k<n>", "\\cé",    "(?#note)a", "\\Q.\\E",      "\\x{41}"};
    static const char *const bad_to_the_letter[] = {"]", "a}", "{", "\\-", "\\_", "^]"};
    char reason[200];
    struct js_pattern *p = NULL;
    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        if (js_pattern_new(bad[i], strlen(bad[i]), &p, reason, sizeof reason) == PB_OK)
            fail_msg("%s is taken", bad[i]);
        assert_false(js_pattern_valid(bad[i], strlen(bad[i])));
        assert_true(reason[0]);
    }
    for (size_t i = 0; i < sizeof bad_to_the_letter / sizeof bad_to_the_letter[0]; i++)
        if (js_pattern_valid(bad_to_the_letter[i], strlen(bad_to_the_letter[i])))
            fail_msg("%s is called valid", bad_to_the_letter[i]);
}

/* One heavy match is paid for, many are not to be had. */
static void pattern_costs_what_it_takes(void **state)
{
    static const char slow[] = "^(a|aa)+$", text[] = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa!";
    char reason[200];
    int64_t fuel = 250000;
    struct js_pattern *p = NULL;
    struct js_matcher *m = js_matcher_new();
    (void)state;
    assert_int_equal(js_pattern_new(slow, strlen(slow), &p, reason, sizeof reason), PB_OK);
    assert_int_equal(js_pattern_match(p, m, text, strlen(text), &fuel), PB_E_LIMIT);
    assert_in_range(fuel, 1, 150000);
    assert_int_equal(js_pattern_match(p, m, "aaa", 3, &fuel), PB_OK);
    assert_true(fuel > 100000);
    js_pattern_free(p);
    js_matcher_free(m);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(pattern_matches_as_ecma_262_says),
        cmocka_unit_test(pattern_takes_the_simple_way_where_there_is_one),
        cmocka_unit_test(pattern_refuses_what_ecma_262_does_not_have),
        cmocka_unit_test(pattern_costs_what_it_takes),
    };
    return cmocka_run_group_tests_name("jsonschema_pattern", tests, NULL, NULL);
}
