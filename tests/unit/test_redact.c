#include "worker/declarative/redact.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
/* cmocka wants the four before it */
#include <cmocka.h>

#define KEY "s3cr3t"

static struct field fields[] = {{.name = "key", .secret = true}, {.name = "user"}};
static const struct manifest demo = {.type = "demo", .fields = fields, .field_count = 2};

static int start(void **state)
{
    struct credentials c = {0};
    struct redact *r = NULL;
    assert_int_equal(credentials_add(&c, "key", KEY, strlen(KEY)), PB_OK);
    assert_int_equal(credentials_add(&c, "user", "annabel", 7), PB_OK);
    assert_int_equal(redact_new(&demo, &c, &r), PB_OK);
    credentials_fini(&c);
    *state = r;
    return 0;
}

static int stop(void **state)
{
    redact_free(*state);
    return 0;
}

/* What comes of text in a buffer that holds room bytes. */
static void gives(void **state, size_t room, const char *text, const char *expected)
{
    struct buf out;
    buf_init(&out, room);
    redact_text(*state, text, strlen(text), &out);
    assert_string_equal(buf_peek(&out), expected);
    buf_fini(&out);
}

static void redact_takes_secrets_out_and_leaves_the_rest(void **state)
{
    gives(state, 100, "", "");
    gives(state, 100, "annabel said " KEY "!", "annabel said " REDACTED "!");
    gives(state, 100, "S3CR3T" KEY, REDACTED REDACTED);
    gives(state, 100, "s3cr3", "s3cr3");
}

static void redact_fills_the_buffer_and_stops(void **state)
{
    gives(state, 4, "abcd", "abcd");
    gives(state, 4, "abcdefgh", "abcd");
    gives(state, 12, "a" KEY "bcdef", "a" REDACTED "b");
}

/* A secret that begins before the end and goes on behind it is one all the same. */
static void redact_lets_no_beginning_of_a_secret_through_at_the_end(void **state)
{
    for (size_t room = 1; room < 16; room++) {
        struct buf out;
        buf_init(&out, room);
        redact_text(*state, "ab" KEY " " KEY, strlen("ab" KEY " " KEY), &out);
        assert_true(out.len <= room);
        assert_null(strstr(buf_peek(&out), "s3"));
        buf_fini(&out);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(redact_takes_secrets_out_and_leaves_the_rest),
        cmocka_unit_test(redact_fills_the_buffer_and_stops),
        cmocka_unit_test(redact_lets_no_beginning_of_a_secret_through_at_the_end),
    };
    return cmocka_run_group_tests(tests, start, stop);
}
