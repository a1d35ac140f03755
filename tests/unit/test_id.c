#include "common/id.h"

#include <setjmp.h>
#include <sodium.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
/* cmocka wants setjmp, stdarg and stddef before it */
#include <cmocka.h>

static int start(void **state)
{
    (void)state;
    return sodium_init() < 0;
}

static void id_new_is_a_uuid_of_version_7(void **state)
{
    struct pb_id id;
    (void)state;
    for (int i = 0; i < 100; i++) {
        id_new(&id, 0x0193b0c4d5e6);
        assert_memory_equal(id.bytes, "\x01\x93\xb0\xc4\xd5\xe6", 6);
        assert_int_equal(id.bytes[6] >> 4, 7);
        assert_int_equal(id.bytes[8] >> 6, 2);
    }
}

static void id_new_sorts_by_time(void **state)
{
    struct pb_id a, b;
    (void)state;
    for (int64_t ms = 1; ms < INT64_C(1) << 47; ms *= 7) {
        id_new(&a, ms);
        id_new(&b, ms + 1);
        assert_true(memcmp(a.bytes, b.bytes, sizeof a.bytes) < 0);
    }
}

static void id_new_differs_within_one_millisecond(void **state)
{
    struct pb_id ids[200];
    (void)state;
    for (size_t i = 0; i < 200; i++) {
        id_new(&ids[i], 1000);
        for (size_t j = 0; j < i; j++)
            assert_false(id_equal(&ids[i], &ids[j]));
    }
}

static void id_next_sorts_within_one_millisecond(void **state)
{
    struct id_series s = {0};
    struct pb_id last, next;
    (void)state;
    id_next(&s, 1000, &last);
    for (int i = 0; i < 20000; i++, last = next) {
        id_next(&s, i < 10000 ? 1000 : 900, &next); /* a clock may be set back */
        assert_true(memcmp(last.bytes, next.bytes, sizeof last.bytes) < 0);
        assert_int_equal(next.bytes[6] >> 4, 7);
    }
    id_next(&s, 5000, &next);
    assert_memory_equal(next.bytes, "\0\0\0\0\x13\x88\x70\0", 8);
}

static void id_text_and_parse_are_each_others_inverse(void **state)
{
    struct pb_id id, back;
    char text[ID_TEXT_BYTES];
    (void)state;
    for (int i = 0; i < 1000; i++) {
        id_new(&id, i);
        id_text(&id, ID_INTEGRATION, text);
        assert_int_equal(strlen(text), 36);
        assert_int_equal(id_parse(text, ID_INTEGRATION, &back), PB_OK);
        assert_true(id_equal(&id, &back));
    }
    static const struct pb_id known = {
        {0x01, 0x93, 0xb0, 0xc4, 0xd5, 0xe6, 0x7f, 0x80, 0x8a, 0x9b, 0xac, 0xbd, 0xce, 0xdf, 0xe0, 0xf1}};
    id_text(&known, ID_JOB, text);
    assert_string_equal(text, "job_0193b0c4d5e67f808a9bacbdcedfe0f1");
}

static void id_parse_refuses_what_is_not_exactly_an_id(void **state)
{
    static const char *const cases[] = {
        "",
        "int_",
        "job_0193b0c4d5e67f808a9bacbdcedfe0f1",
        "int0193b0c4d5e67f808a9bacbdcedfe0f1",
        "0193b0c4d5e67f808a9bacbdcedfe0f1",
        "int_0193b0c4d5e67f808a9bacbdcedfe0f",
        "int_0193b0c4d5e67f808a9bacbdcedfe0f10",
        "int_0193b0c4d5e67f808a9bacbdcedfe0fg",
        "int_0193b0c4-d5e6-7f80-8a9b-acbdcedfe",
        "int_0193B0C4D5E67F808A9BACBDCEDFE0F1",
        " int_0193b0c4d5e67f808a9bacbdcedfe0f1",
        "int_0193b0c4d5e67f808a9bacbdcedfe0f1 ",
        "int_0193b0c4d5e67f80:8a9bacbdcedfe0f",
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct pb_id id = {{42}};
        if (id_parse(cases[i], ID_INTEGRATION, &id) != PB_E_INVALID)
            fail_msg("\"%s\" was taken", cases[i]);
        assert_int_equal(id.bytes[0], 42); /* written only on success */
    }
}

static void id_is_nil_only_when_every_byte_is_zero(void **state)
{
    struct pb_id id = {{0}};
    (void)state;
    assert_true(id_is_nil(&id));
    for (size_t i = 0; i < sizeof id.bytes; i++) {
        id = (struct pb_id){{0}};
        id.bytes[i] = 1;
        assert_false(id_is_nil(&id));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(id_new_is_a_uuid_of_version_7),
        cmocka_unit_test(id_new_sorts_by_time),
        cmocka_unit_test(id_new_differs_within_one_millisecond),
        cmocka_unit_test(id_next_sorts_within_one_millisecond),
        cmocka_unit_test(id_text_and_parse_are_each_others_inverse),
        cmocka_unit_test(id_parse_refuses_what_is_not_exactly_an_id),
        cmocka_unit_test(id_is_nil_only_when_every_byte_is_zero),
    };
    return cmocka_run_group_tests(tests, start, NULL);
}
