#include "common/job.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
/* cmocka wants the three before it */
#include <cmocka.h>

/* The names are part of the API: as many as there are numbers, and none for others. */
#define EXPECT_NAMES(name_of, kind, ...)                                                                     \
    do {                                                                                                     \
        static const char *const expected[] = {__VA_ARGS__};                                                 \
        const unsigned count = sizeof expected / sizeof expected[0];                                         \
        assert_null(name_of((kind)0));                                                                       \
        for (unsigned i = 0; i < count; i++)                                                                 \
            assert_string_equal(name_of((kind)(i + 1)), expected[i]);                                        \
        assert_null(name_of((kind)(count + 1)));                                                             \
        assert_null(name_of((kind)0xffffffffu));                                                             \
    } while (0)

static void job_names_every_number_and_no_other(void **state)
{
    (void)state;
    EXPECT_NAMES(job_kind_name, enum job_kind, "setup", "validate", "delete", "test", "ping",
                 "validate_event");
    EXPECT_NAMES(job_state_name, enum job_state, "waiting", "done", "failed", "cancelled", "dead");
    EXPECT_NAMES(job_priority_name, enum job_priority, "high", "normal", "low");
    EXPECT_NAMES(job_outcome_name, enum job_outcome, "done", "failed", "retry", "returned", "cancelled",
                 "dead");
}

static void job_is_durable_unless_it_tests(void **state)
{
    (void)state;
    for (enum job_kind kind = JOB_SETUP; kind <= JOB_VALIDATE_EVENT; kind++)
        assert_int_equal(job_is_durable(&(struct job){.kind = kind}),
                         kind != JOB_TEST && kind != JOB_VALIDATE_EVENT);
    assert_false(job_is_durable(&(struct job){.kind = JOB_VALIDATE, .ephemeral = true}));
}

static void job_fini_frees_and_zeroes(void **state)
{
    struct job job = {.payload = NULL, .result = strdup("{}"), .attempts = 3}, zero = {0};
    (void)state;
    job_fini(&job);
    assert_memory_equal(&job, &zero, sizeof job);
    job_fini(&job);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(job_names_every_number_and_no_other),
        cmocka_unit_test(job_is_durable_unless_it_tests),
        cmocka_unit_test(job_fini_frees_and_zeroes),
    };
    return cmocka_run_group_tests_name("job", tests, NULL, NULL);
}
