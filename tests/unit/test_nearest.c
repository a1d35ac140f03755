#include "common/nearest.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
/* cmocka wants the four before it */
#include <cmocka.h>

static const char *const known[] = {"apiKey", "accountId", "webhookSecret", "url", "port", "listen"};

static void nearest_finds_what_was_meant(void **state)
{
    static const struct {
        const char *word, *found;
    } cases[] = {
        {"apiKey", "apiKey"},      {"APIKEY", "apiKey"}, /* case costs nothing */
        {"api_key", "apiKey"},                           /* an insertion */
        {"apKey", "apiKey"},                             /* a deletion */
        {"apiKez", "apiKey"},                            /* a replacement */
        {"paiKey", "apiKey"},                            /* a swap of neighbours */
        {"acountid", "accountId"}, {"webhook_secert", "webhookSecret"},
        {"prot", "port"},          {"lisetn", "listen"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        const char *found = nearest(cases[i].word, known, 6);
        if (!found || strcmp(found, cases[i].found) != 0)
            fail_msg("%s: %s", cases[i].word, found ? found : "nothing");
    }
}

static void nearest_is_null_when_more_than_a_third_of_the_letters_differ(void **state)
{
    static const char *const cases[] = {"",         "x",     "xy",          "qqqqqq",
                                        "password", "apple", "accountName", "zzzhookSexxxt"};
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        const char *found = nearest(cases[i], known, 6);
        if (found)
            fail_msg("%s: %s", cases[i], found);
    }
    static const char *const one_letter[] = {"q"};
    assert_null(nearest("x", one_letter, 1));
    assert_non_null(nearest("Q", one_letter, 1));
}

static void nearest_prefers_the_smaller_distance_and_then_the_first(void **state)
{
    static const char *const close[] = {"tokens", "tokem", "token", "tokep"};
    (void)state;
    assert_string_equal(nearest("token", close, 4), "token");
    assert_string_equal(nearest("tokeq", close, 4), "tokem");
}

static void nearest_passes_over_words_longer_than_it_can_compare(void **state)
{
    char longest[65], longer[66];
    const char *words[] = {longer, longest};
    (void)state;
    memset(longest, 'a', 64);
    memset(longer, 'a', 65);
    longest[64] = longer[65] = 0;
    assert_ptr_equal(nearest(longest, words, 2), longest);
    assert_null(nearest(longer, words, 2));
    assert_null(nearest("a", words, 0));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nearest_finds_what_was_meant),
        cmocka_unit_test(nearest_is_null_when_more_than_a_third_of_the_letters_differ),
        cmocka_unit_test(nearest_prefers_the_smaller_distance_and_then_the_first),
        cmocka_unit_test(nearest_passes_over_words_longer_than_it_can_compare),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
