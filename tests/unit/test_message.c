#include "common/message.h"

#include "common/limits.h"
#include "tests/unit/scratch.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
/* cmocka wants setjmp and stdarg before it */
#include <cmocka.h>

/* Scans a copy of its own length, and unpacks it: the two must agree. */
static pb_err parse(const void *bytes, size_t len)
{
    msgpack_zone zone;
    msgpack_object root;
    uint8_t *copy = malloc(len ? len : 1);
    assert_non_null(copy);
    if (len)
        memcpy(copy, bytes, len);
    assert_true(msgpack_zone_init(&zone, 1024));
    pb_err scanned = message_scan(copy, len), unpacked = message_unpack(copy, len, &zone, &root);
    if (scanned)
        assert_int_equal(scanned, unpacked);
    msgpack_zone_destroy(&zone);
    free(copy);
    return unpacked;
}

#define PARSE(text) parse(text, sizeof(text) - 1)

static void message_takes_every_form_that_is_used(void **state)
{
    (void)state;
    assert_int_equal(PARSE("\x00"), PB_OK);
    assert_int_equal(PARSE("\x7f"), PB_OK);
    assert_int_equal(PARSE("\xff"), PB_OK);
    assert_int_equal(PARSE("\xc0"), PB_OK);
    assert_int_equal(PARSE("\xc2"), PB_OK);
    assert_int_equal(PARSE("\xc3"), PB_OK);
    assert_int_equal(PARSE("\xc4\x01z"), PB_OK);
    assert_int_equal(PARSE("\xc5\x00\x01z"), PB_OK);
    assert_int_equal(PARSE("\xc6\x00\x00\x00\x01z"), PB_OK);
    assert_int_equal(PARSE("\xca\x3f\x80\x00\x00"), PB_OK);
    assert_int_equal(PARSE("\xcb\x3f\xf0\x00\x00\x00\x00\x00\x00"), PB_OK);
    assert_int_equal(PARSE("\xcc\xff"), PB_OK);
    assert_int_equal(PARSE("\xcd\xff\xff"), PB_OK);
    assert_int_equal(PARSE("\xce\xff\xff\xff\xff"), PB_OK);
    assert_int_equal(PARSE("\xcf\xff\xff\xff\xff\xff\xff\xff\xff"), PB_OK);
    assert_int_equal(PARSE("\xd0\x80"), PB_OK);
    assert_int_equal(PARSE("\xd1\x80\x00"), PB_OK);
    assert_int_equal(PARSE("\xd2\x80\x00\x00\x00"), PB_OK);
    assert_int_equal(PARSE("\xd3\x80\x00\x00\x00\x00\x00\x00\x00"), PB_OK);
    assert_int_equal(PARSE("\xa1z"), PB_OK);
    assert_int_equal(PARSE("\xd9\x01z"), PB_OK);
    assert_int_equal(PARSE("\xda\x00\x01z"), PB_OK);
    assert_int_equal(PARSE("\xdb\x00\x00\x00\x01z"), PB_OK);
    assert_int_equal(PARSE("\x92\x01\x02"), PB_OK);
    assert_int_equal(PARSE("\xdc\x00\x01\x01"), PB_OK);
    assert_int_equal(PARSE("\xdd\x00\x00\x00\x01\x01"), PB_OK);
    assert_int_equal(PARSE("\x81\xa1k\x01"), PB_OK);
    assert_int_equal(PARSE("\xde\x00\x01\xa1k\x01"), PB_OK);
    assert_int_equal(PARSE("\xdf\x00\x00\x00\x01\xa1k\x01"), PB_OK);
    assert_int_equal(PARSE("\x90"), PB_OK);
    assert_int_equal(PARSE("\x80"), PB_OK);
    assert_int_equal(PARSE("\x93\x90\x80\x92\x90\x01"), PB_OK);
}

static void message_refuses_forms_that_are_not_used(void **state)
{
    (void)state;
    assert_int_equal(PARSE("\xc1"), PB_E_INVALID);
    assert_int_equal(PARSE("\xc7\x01\x01z"), PB_E_INVALID); /* ext */
    assert_int_equal(PARSE("\xc8\x00\x01\x01z"), PB_E_INVALID);
    assert_int_equal(PARSE("\xc9\x00\x00\x00\x01\x01z"), PB_E_INVALID);
    assert_int_equal(PARSE("\xd4\x01z"), PB_E_INVALID); /* fixext */
    assert_int_equal(PARSE("\xd8\x01zzzzzzzzzzzzzzzz"), PB_E_INVALID);
}

/* Five bytes that would have the library reserve gigabytes. */
static void message_refuses_counts_larger_than_what_is_left(void **state)
{
    (void)state;
    assert_int_equal(PARSE("\xdd\xff\xff\xff\xff"), PB_E_INVALID);
    assert_int_equal(PARSE("\xdd\x01\xff\xff\xff"), PB_E_INVALID);
    assert_int_equal(PARSE("\xdf\xff\xff\xff\xff"), PB_E_INVALID);
    assert_int_equal(PARSE("\xdf\x80\x00\x00\x00"), PB_E_INVALID); /* doubled it would be 0 in 32 bits */
    assert_int_equal(PARSE("\xdb\xff\xff\xff\xff"), PB_E_INVALID);
    assert_int_equal(PARSE("\xc6\xff\xff\xff\xff"), PB_E_INVALID);
    assert_int_equal(PARSE("\xdc\xff\xff"), PB_E_INVALID);
    assert_int_equal(PARSE("\xde\xff\xff"), PB_E_INVALID);
    assert_int_equal(PARSE("\x9f\x01"), PB_E_INVALID);
    assert_int_equal(PARSE("\x81\xa1k"), PB_E_INVALID);
    assert_int_equal(PARSE("\x82\xa1k\x01\xa1j"), PB_E_INVALID);
    assert_int_equal(PARSE("\xa2z"), PB_E_INVALID);
}

static void message_refuses_trailing_and_missing_bytes(void **state)
{
    (void)state;
    assert_int_equal(PARSE(""), PB_E_INVALID);
    assert_int_equal(PARSE("\x01\x01"), PB_E_INVALID);
    assert_int_equal(PARSE("\x90\x00"), PB_E_INVALID);
    assert_int_equal(PARSE("\xa1zz"), PB_E_INVALID);
}

static void message_nests_as_deep_as_its_limit_and_no_deeper(void **state)
{
    uint8_t bytes[LIMIT_MESSAGE_DEPTH + 3];
    (void)state;
    memset(bytes, 0x91, sizeof bytes);
    bytes[LIMIT_MESSAGE_DEPTH - 1] = 0x90;
    assert_int_equal(parse(bytes, LIMIT_MESSAGE_DEPTH), PB_OK);
    bytes[LIMIT_MESSAGE_DEPTH - 1] = 0x91;
    bytes[LIMIT_MESSAGE_DEPTH] = 0x01;
    assert_int_equal(parse(bytes, LIMIT_MESSAGE_DEPTH + 1), PB_OK);
    bytes[LIMIT_MESSAGE_DEPTH] = 0x91;
    bytes[LIMIT_MESSAGE_DEPTH + 1] = 0x01;
    assert_int_equal(parse(bytes, LIMIT_MESSAGE_DEPTH + 2), PB_E_LIMIT);
    bytes[LIMIT_MESSAGE_DEPTH] = 0x90;
    assert_int_equal(parse(bytes, LIMIT_MESSAGE_DEPTH + 1), PB_E_LIMIT);
}

static void message_refuses_a_million_opening_brackets(void **state)
{
    size_t len = 1000000;
    uint8_t *bytes = malloc(len);
    (void)state;
    assert_non_null(bytes);
    memset(bytes, 0x91, len);
    assert_int_equal(parse(bytes, len), PB_E_LIMIT);
    memset(bytes, 0x81, len);
    assert_int_not_equal(parse(bytes, len), PB_OK);
    free(bytes);
}

static void message_takes_as_many_objects_as_its_limit_and_no_more(void **state)
{
    uint8_t *bytes = calloc(1, LIMIT_MESSAGE_ITEMS + 6);
    (void)state;
    assert_non_null(bytes);
    for (uint32_t more = 0; more < 2; more++) {
        uint32_t count = LIMIT_MESSAGE_ITEMS - 1 + more; /* and the array itself */
        bytes[0] = 0xdd;
        for (int i = 0; i < 4; i++)
            bytes[1 + i] = (uint8_t)(count >> (24 - 8 * i));
        assert_int_equal(parse(bytes, 5 + count), more ? PB_E_LIMIT : PB_OK);
    }
    free(bytes);
}

static void message_refuses_maps_whose_keys_are_doubled_or_no_strings(void **state)
{
    (void)state;
    assert_int_equal(PARSE("\x82\xa1k\x01\xa1j\x02"), PB_OK);
    assert_int_equal(PARSE("\x82\xa1k\x01\xa1k\x02"), PB_E_INVALID);
    assert_int_equal(PARSE("\x82\xa1k\x01\xd9\x01k\x02"), PB_E_INVALID); /* the same in another form */
    assert_int_equal(PARSE("\x81\x01\x01"), PB_E_INVALID);
    assert_int_equal(PARSE("\x81\xc4\x01k\x01"), PB_E_INVALID);
    assert_int_equal(PARSE("\x91\x81\xa1m\x82\xa1k\x01\xa1k\x02"), PB_E_INVALID); /* at any depth */
    assert_int_equal(PARSE("\x82\xa0\x01\xa0\x02"), PB_E_INVALID);
}

static void message_refuses_maps_with_very_many_keys(void **state)
{
    uint8_t bytes[3 + 4 * 65];
    (void)state;
    for (uint32_t count = 64; count <= 65; count++) {
        size_t len = 0;
        bytes[len++] = 0xde;
        bytes[len++] = 0;
        bytes[len++] = (uint8_t)count;
        for (uint32_t i = 0; i < count; i++) {
            bytes[len++] = 0xa2;
            bytes[len++] = (uint8_t)('a' + i / 16);
            bytes[len++] = (uint8_t)('a' + i % 16);
            bytes[len++] = 1;
        }
        assert_int_equal(parse(bytes, len), count == 64 ? PB_OK : PB_E_INVALID);
    }
}

/* -- reading -- */

/* An array of one of each kind, to read from. */
static const char all_kinds[] =
    "\x9a\xcf\xff\xff\xff\xff\xff\xff\xff\xff\x05\xff\xc3\xa3"
    "abc\xc4\x02xy\x92\x01\x02\x81\xa1k\x07\xc0\xd3\x80\x00\x00\x00\x00\x00\x00\x00";
enum { HUGE_U64, FIVE, MINUS_ONE, TRUE_, STR, BIN, ARRAY, MAP, NIL, LEAST, KINDS };

static void with_kinds(void (*test)(const msgpack_object *o))
{
    msgpack_zone zone;
    msgpack_object root;
    assert_true(msgpack_zone_init(&zone, 1024));
    assert_int_equal(message_unpack((const uint8_t *)all_kinds, sizeof all_kinds - 1, &zone, &root), PB_OK);
    assert_int_equal(root.via.array.size, KINDS);
    test(root.via.array.ptr);
    msgpack_zone_destroy(&zone);
}

static void numbers(const msgpack_object *o)
{
    uint64_t u = 77;
    int64_t i = 77;
    bool b = true;
    for (int kind = 0; kind < KINDS; kind++) {
        assert_int_equal(message_u64(&o[kind], UINT64_MAX, &u), kind == HUGE_U64 || kind == FIVE);
        assert_int_equal(message_i64(&o[kind], &i), kind == FIVE || kind == MINUS_ONE || kind == LEAST);
        assert_int_equal(message_bool(&o[kind], &b), kind == TRUE_);
    }
    assert_int_equal(i, INT64_MIN);
    assert_true(message_u64(&o[HUGE_U64], UINT64_MAX, &u));
    assert_true(u == UINT64_MAX);
    assert_false(message_u64(&o[FIVE], 4, &u));
    assert_true(u == UINT64_MAX); /* as it was */
    assert_true(message_u64(&o[FIVE], 5, &u));
    assert_int_equal(u, 5);
    assert_true(message_i64(&o[MINUS_ONE], &i));
    assert_int_equal(i, -1);
    assert_false(message_u64(NULL, 9, &u));
    assert_false(message_i64(NULL, &i));
    assert_false(message_bool(NULL, &b));
}

static void runs(const msgpack_object *o)
{
    const char *text = "as it was";
    const uint8_t *bytes = NULL;
    uint8_t two[2] = {0}, three[3] = {9, 9, 9};
    const msgpack_object *items = NULL;
    size_t len = 77;
    for (int kind = 0; kind < KINDS; kind++) {
        assert_int_equal(message_str(&o[kind], 3, &text, &len), kind == STR);
        assert_int_equal(message_bin(&o[kind], 2, &bytes, &len), kind == BIN);
        assert_int_equal(message_array(&o[kind], 2, &items, &len), kind == ARRAY);
        assert_int_equal(message_bin_exact(&o[kind], two, 2), kind == BIN);
        assert_false(message_bin_exact(&o[kind], three, 3));
        assert_false(message_bin_exact(&o[kind], three, 1));
    }
    assert_memory_equal(text, "abc", 3);
    assert_memory_equal(bytes, "xy", 2);
    assert_memory_equal(two, "xy", 2);
    assert_int_equal(three[0], 9);
    assert_int_equal(items[1].via.u64, 2);
    len = 77;
    assert_false(message_str(&o[STR], 2, &text, &len));
    assert_false(message_bin(&o[BIN], 1, &bytes, &len));
    assert_false(message_array(&o[ARRAY], 1, &items, &len));
    assert_false(message_str(NULL, 9, &text, &len));
    assert_false(message_bin(NULL, 9, &bytes, &len));
    assert_false(message_array(NULL, 9, &items, &len));
    assert_false(message_bin_exact(NULL, two, 2));
    assert_int_equal(len, 77);
}

static void maps(const msgpack_object *o)
{
    for (int kind = 0; kind < KINDS; kind++)
        assert_int_equal(message_get(&o[kind], "k") != NULL, kind == MAP);
    assert_int_equal(message_get(&o[MAP], "k")->via.u64, 7);
    assert_null(message_get(&o[MAP], ""));
    assert_null(message_get(&o[MAP], "kk"));
    assert_null(message_get(NULL, "k"));
}

static void message_numbers_are_read_within_their_range_only(void **state)
{
    (void)state;
    with_kinds(numbers);
}

static void message_runs_are_read_within_their_length_only(void **state)
{
    (void)state;
    with_kinds(runs);
}

static void message_get_finds_keys_of_maps_only(void **state)
{
    (void)state;
    with_kinds(maps);
}

static void message_writes_what_it_reads(void **state)
{
    struct buf b;
    msgpack_packer pk;
    (void)state;
    buf_init(&b, 100);
    message_packer(&pk, &b);
    msgpack_pack_array(&pk, 4);
    message_put_str(&pk, "a\0b", 3);
    message_put_text(&pk, "text");
    message_put_text(&pk, NULL);
    message_put_bin(&pk, "xy", 2);
    assert_int_equal(b.len, 1 + 4 + 5 + 1 + 4);
    assert_memory_equal(b.data,
                        "\x94\xa3"
                        "a\0b\xa4text\xc0\xc4\x02xy",
                        b.len);
    assert_int_equal(parse(b.data, b.len), PB_OK);
    buf_fini(&b);
    buf_init(&b, 2);
    message_packer(&pk, &b);
    message_put_text(&pk, "too long");
    assert_true(b.failed);
    buf_fini(&b);
}

/* -- anything -- */

static void parse_any(void *arg, const uint8_t *bytes, size_t len)
{
    size_t *taken = arg;
    *taken += parse(bytes, len) == PB_OK;
}

static void message_survives_anything(void **state)
{
    size_t taken = 0;
    uint64_t seed = 3;
    (void)state;
    scratch_fuzz((const uint8_t *)all_kinds, sizeof all_kinds - 1, 1, 20000, parse_any, &taken);
    assert_in_range(taken, 500, 15000); /* it does go both ways */
    for (int i = 0; i < 50000; i++) {
        uint8_t bytes[24];
        size_t len = (size_t)scratch_random(&seed) % sizeof bytes;
        for (size_t k = 0; k < len; k++)
            bytes[k] = (uint8_t)scratch_random(&seed);
        parse_any(&taken, bytes, len);
    }
}

static void message_refuses_every_beginning_of_a_message(void **state)
{
    (void)state;
    for (size_t len = 0; len < sizeof all_kinds - 1; len++)
        assert_int_equal(parse(all_kinds, len), PB_E_INVALID);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(message_takes_every_form_that_is_used),
        cmocka_unit_test(message_refuses_forms_that_are_not_used),
        cmocka_unit_test(message_refuses_counts_larger_than_what_is_left),
        cmocka_unit_test(message_refuses_trailing_and_missing_bytes),
        cmocka_unit_test(message_nests_as_deep_as_its_limit_and_no_deeper),
        cmocka_unit_test(message_refuses_a_million_opening_brackets),
        cmocka_unit_test(message_takes_as_many_objects_as_its_limit_and_no_more),
        cmocka_unit_test(message_refuses_maps_whose_keys_are_doubled_or_no_strings),
        cmocka_unit_test(message_refuses_maps_with_very_many_keys),
        cmocka_unit_test(message_numbers_are_read_within_their_range_only),
        cmocka_unit_test(message_runs_are_read_within_their_length_only),
        cmocka_unit_test(message_get_finds_keys_of_maps_only),
        cmocka_unit_test(message_writes_what_it_reads),
        cmocka_unit_test(message_survives_anything),
        cmocka_unit_test(message_refuses_every_beginning_of_a_message),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
