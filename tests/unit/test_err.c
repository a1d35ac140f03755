#include "common/err.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
/* cmocka wants the four before it */
#include <cmocka.h>

static void err_name_is_there_and_unique_for_every_code(void **state)
{
    (void)state;
    for (int i = PB_OK; i <= PB_E_UNSUPPORTED; i++) {
        assert_non_null(pb_err_name((pb_err)i));
        assert_string_not_equal(pb_err_name((pb_err)i), "unknown");
        for (int j = PB_OK; j < i; j++)
            assert_string_not_equal(pb_err_name((pb_err)i), pb_err_name((pb_err)j));
    }
    assert_string_equal(pb_err_name(PB_E_NOT_FOUND), "not_found");
    assert_string_equal(pb_err_name((pb_err)(PB_E_UNSUPPORTED + 1)), "unknown");
    assert_string_equal(pb_err_name((pb_err)-1), "unknown");
}

static void err_fail_fills_why_and_returns_its_code(void **state)
{
    struct pb_why why;
    (void)state;
    assert_int_equal(pb_fail(&why, PB_E_LIMIT, "/name", "is %d too %s", 3, "long"), PB_E_LIMIT);
    assert_string_equal(why.at, "/name");
    assert_string_equal(why.text, "is 3 too long");
    assert_int_equal(pb_fail(&why, PB_E_IO, NULL, "x"), PB_E_IO);
    assert_string_equal(why.at, "");
    assert_int_equal(pb_fail(NULL, PB_E_BUSY, "a", "b"), PB_E_BUSY);
}

static void err_fail_cuts_what_is_too_long(void **state)
{
    struct pb_why why;
    char text[2000];
    (void)state;
    memset(text, 'a', sizeof text - 1);
    text[sizeof text - 1] = 0;
    assert_int_equal(pb_fail(&why, PB_E_INVALID, text, "%s", text), PB_E_INVALID);
    assert_int_equal(strlen(why.at), sizeof why.at - 1);
    assert_int_equal(strlen(why.text), sizeof why.text - 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(err_name_is_there_and_unique_for_every_code),
        cmocka_unit_test(err_fail_fills_why_and_returns_its_code),
        cmocka_unit_test(err_fail_cuts_what_is_too_long),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
