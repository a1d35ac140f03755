#include "common/secret.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>
/* cmocka wants setjmp and stdarg before it */
#include <cmocka.h>

static void secret_holds_a_copy_with_a_nul_behind_it(void **state)
{
    struct secret s = {0};
    char from[] = "ab\0cd";
    (void)state;
    assert_int_equal(secret_set(&s, from, 5), PB_OK);
    from[0] = 'X';
    assert_int_equal(s.len, 5);
    assert_memory_equal(s.data, "ab\0cd", 6);
    secret_fini(&s);
    assert_null(s.data);
    assert_int_equal(s.len, 0);
}

static void secret_replaces_what_was_there(void **state)
{
    struct secret s = {0};
    (void)state;
    assert_int_equal(secret_set(&s, "a long one", 10), PB_OK);
    assert_int_equal(secret_set(&s, "b", 1), PB_OK);
    assert_string_equal(s.data, "b");
    assert_int_equal(s.len, 1);
    assert_int_equal(secret_set(&s, s.data, s.len), PB_OK); /* from itself */
    assert_string_equal(s.data, "b");
    secret_fini(&s);
}

static void secret_can_be_empty(void **state)
{
    struct secret s = {0};
    (void)state;
    assert_int_equal(secret_set(&s, NULL, 0), PB_OK);
    assert_string_equal(s.data, "");
    assert_int_equal(s.len, 0);
    secret_fini(&s);
    secret_fini(&s); /* a zeroed one */
}

/* In a process of its own, since it cannot be undone. The status is the number of what did not hold. */
static int hardened(void)
{
    struct rlimit core;
    secret_harden_process();
    if (getrlimit(RLIMIT_CORE, &core) != 0 || core.rlim_cur != 0 || core.rlim_max != 0)
        return 1;
#ifndef __SANITIZE_ADDRESS__
    if (prctl(PR_GET_DUMPABLE) != 0)
        return 2;
#endif
    return 0;
}

static void secret_harden_process_turns_core_dumps_and_debuggers_off(void **state)
{
    int status = -1;
    (void)state;
    pid_t child = fork();
    if (child == 0)
        _exit(hardened());
    assert_true(child > 0);
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(secret_holds_a_copy_with_a_nul_behind_it),
        cmocka_unit_test(secret_replaces_what_was_there),
        cmocka_unit_test(secret_can_be_empty),
        cmocka_unit_test(secret_harden_process_turns_core_dumps_and_debuggers_off),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
