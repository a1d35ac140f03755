#include "common/seal.h"

#include "common/keyring.h"
#include "common/limits.h"
#include "tests/unit/scratch.h"

#include <setjmp.h>
#include <sodium.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
/* cmocka wants setjmp and stdarg before it */
#include <cmocka.h>

#define KEY_1 "key k1 000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f\n"
#define KEY_2 "key k2 ffeeddccbbaa99887766554433221100ffeeddccbbaa99887766554433221100\n"
#define KEY_3 "key k1 1111111111111111111111111111111111111111111111111111111111111111\n"

static const struct seal_owner owner = {.tenant = "acme", .type = "stripe", .integration = {{1, 2, 3}}};

/* The same record under another tenant, type or id. */
static const struct seal_owner strangers[] = {
    {.tenant = "acmf", .type = "stripe", .integration = {{1, 2, 3}}},
    {.tenant = "acme", .type = "stripf", .integration = {{1, 2, 3}}},
    {.tenant = "acme", .type = "stripe", .integration = {{1, 2, 4}}},
    {.tenant = "acmes", .type = "tripe", .integration = {{1, 2, 3}}}, /* the same letters in a row */
    {.tenant = "", .type = "stripe", .integration = {{1, 2, 3}}},
    {.tenant = "acme", .type = "", .integration = {{1, 2, 3}}},
    {.tenant = "acme", .type = "stripe", .integration = {{0}}},
};
#define STRANGERS (sizeof strangers / sizeof strangers[0])

static int start(void **state)
{
    return scratch_start(state) || sodium_init() < 0;
}

static struct keyring *ring_of(void **state, const char *text)
{
    char path[256];
    struct keyring *ring = NULL;
    struct pb_why why = {0};
    scratch_text(*state, "ring", text);
    if (keyring_open(scratch_path(*state, "ring", path), &ring, &why) != PB_OK)
        fail_msg("%s: %s", why.at, why.text);
    return ring;
}

static struct credentials some_credentials(void)
{
    struct credentials c = {0};
    assert_int_equal(credentials_add(&c, "apiKey", "sk_live_\xc3\xa9", 10), PB_OK);
    assert_int_equal(credentials_add(&c, "note", "a\0b", 3), PB_OK);
    assert_int_equal(credentials_add(&c, "empty", "", 0), PB_OK);
    return c;
}

static void assert_same(const struct credentials *a, const struct credentials *b)
{
    assert_int_equal(a->count, b->count);
    for (size_t i = 0; i < a->count; i++) {
        assert_string_equal(a->items[i].name, b->items[i].name);
        assert_int_equal(a->items[i].value.len, b->items[i].value.len);
        assert_memory_equal(a->items[i].value.data, b->items[i].value.data, a->items[i].value.len + 1);
    }
}

static void credentials_are_found_by_name(void **state)
{
    struct credentials c = some_credentials();
    (void)state;
    assert_string_equal(credentials_get(&c, "apiKey")->data, "sk_live_\xc3\xa9");
    assert_int_equal(credentials_get(&c, "note")->len, 3);
    assert_null(credentials_get(&c, "apikey"));
    assert_null(credentials_get(&c, ""));
    credentials_fini(&c);
    assert_int_equal(c.count, 0);
    assert_null(credentials_get(&c, "apiKey"));
    credentials_fini(&c);
}

/* -- on the way in -- */

static void seal_inbound_opens_for_its_owner(void **state)
{
    struct keyring *ring = ring_of(state, KEY_1);
    struct credentials c = some_credentials(), back = {0};
    uint8_t *sealed = NULL;
    size_t len = 0;
    assert_int_equal(seal_inbound(keyring_public(ring), &owner, &c, &sealed, &len), PB_OK);
    assert_null(memmem(sealed, len, "sk_live", 7));
    assert_null(memmem(sealed, len, "acme", 4));
    assert_int_equal(seal_open_inbound(ring, &owner, sealed, len, &back), PB_OK);
    assert_same(&c, &back);
    credentials_fini(&c);
    credentials_fini(&back);
    free(sealed);
    keyring_close(ring);
}

static void seal_inbound_is_denied_to_any_other_owner(void **state)
{
    struct keyring *ring = ring_of(state, KEY_1);
    struct credentials c = some_credentials(), back = {0};
    uint8_t *sealed = NULL;
    size_t len = 0;
    assert_int_equal(seal_inbound(keyring_public(ring), &owner, &c, &sealed, &len), PB_OK);
    for (size_t i = 0; i < STRANGERS; i++) {
        assert_int_equal(seal_open_inbound(ring, &strangers[i], sealed, len, &back), PB_E_DENIED);
        assert_int_equal(back.count, 0);
    }
    credentials_fini(&c);
    free(sealed);
    keyring_close(ring);
}

static void seal_inbound_is_denied_when_any_byte_is_changed_or_missing(void **state)
{
    struct keyring *ring = ring_of(state, KEY_1);
    struct credentials c = {0}, back = {0};
    uint8_t *sealed = NULL;
    size_t len = 0;
    assert_int_equal(credentials_add(&c, "k", "v", 1), PB_OK);
    assert_int_equal(seal_inbound(keyring_public(ring), &owner, &c, &sealed, &len), PB_OK);
    for (size_t i = 0; i < len; i++) {
        sealed[i] ^= 1;
        assert_int_equal(seal_open_inbound(ring, &owner, sealed, len, &back), PB_E_DENIED);
        sealed[i] ^= 1;
        assert_int_equal(seal_open_inbound(ring, &owner, sealed, i, &back), PB_E_DENIED);
    }
    assert_int_equal(seal_open_inbound(ring, &owner, sealed, len, &back), PB_OK);
    credentials_fini(&c);
    credentials_fini(&back);
    free(sealed);
    keyring_close(ring);
}

/* Keys are rotated while jobs wait: what was sealed to the old one must open still. */
static void seal_inbound_opens_with_any_key_of_the_ring(void **state)
{
    struct keyring *old = ring_of(state, KEY_1), *both = ring_of(state, KEY_1 KEY_2),
                   *other = ring_of(state, KEY_2);
    struct credentials c = some_credentials(), back = {0};
    uint8_t *sealed = NULL;
    size_t len = 0;
    assert_int_equal(seal_inbound(keyring_public(old), &owner, &c, &sealed, &len), PB_OK);
    assert_int_equal(seal_open_inbound(both, &owner, sealed, len, &back), PB_OK);
    assert_same(&c, &back);
    credentials_fini(&back);
    assert_int_equal(seal_open_inbound(other, &owner, sealed, len, &back), PB_E_DENIED);
    credentials_fini(&c);
    free(sealed);
    keyring_close(old);
    keyring_close(both);
    keyring_close(other);
}

/* Anybody may seal to the public key, so the plaintext is hostile, too. */
static void open_plain(struct keyring *ring, const char *plain, size_t len, pb_err expected)
{
    uint8_t sealed[4096 + crypto_box_SEALBYTES];
    struct credentials back = {0};
    assert_true(len <= 4096);
    assert_int_equal(crypto_box_seal(sealed, (const uint8_t *)plain, len, keyring_public(ring)), 0);
    assert_int_equal(seal_open_inbound(ring, &owner, sealed, len + crypto_box_SEALBYTES, &back), expected);
    credentials_fini(&back);
}

#define HEAD                                                                                                 \
    "\x84\xa6tenant\xa4"                                                                                     \
    "acme\xa4type\xa6stripe\xabintegration\xc4\x10\1\2\3\0\0\0\0\0\0\0\0\0\0\0\0\0\xa6"                      \
    "fields"

static void seal_inbound_is_denied_when_the_plaintext_is_malformed(void **state)
{
    struct keyring *ring = ring_of(state, KEY_1);
    char deep[200] = "";
#define PLAIN(text, expected) open_plain(ring, text, sizeof(text) - 1, expected)
    PLAIN(HEAD "\x81\xa1k\xa1v", PB_OK); /* the form is right, so that the others fail for their own fault */
    PLAIN(HEAD "\x80", PB_OK);
    PLAIN("", PB_E_DENIED);
    PLAIN("\xc0", PB_E_DENIED);
    PLAIN(HEAD, PB_E_DENIED);
    PLAIN(HEAD "\xc0", PB_E_DENIED);
    PLAIN(HEAD "\x90", PB_E_DENIED);
    PLAIN(HEAD "\x81\xa1k\x01", PB_E_DENIED);
    PLAIN(HEAD "\x81\x01\xa1v", PB_E_DENIED);
    PLAIN(HEAD "\x81\xa3k\0x\xa1v", PB_E_DENIED);
    PLAIN(HEAD "\x82\xa1k\xa1v\xa1k\xa1w", PB_E_DENIED);
    PLAIN(HEAD "\x80\xc0", PB_E_DENIED); /* trailing bytes */
    PLAIN(HEAD "\xdf\xff\xff\xff\xff", PB_E_DENIED);
#undef PLAIN
    size_t len = sizeof HEAD - 1;
    memcpy(deep, HEAD, len);
    memset(deep + len, 0x91, 64);
    open_plain(ring, deep, len + 65, PB_E_DENIED);
    keyring_close(ring);
}

static void open_fuzzed(void *arg, const uint8_t *bytes, size_t len)
{
    uint8_t *sealed = malloc(len + crypto_box_SEALBYTES);
    struct credentials back = {0};
    struct keyring *ring = arg;
    assert_non_null(sealed);
    assert_int_equal(crypto_box_seal(sealed, bytes, len, keyring_public(ring)), 0);
    pb_err err = seal_open_inbound(ring, &owner, sealed, len + crypto_box_SEALBYTES, &back);
    if (err != PB_OK && err != PB_E_DENIED)
        fail_msg("%s", pb_err_name(err));
    if (err)
        assert_int_equal(back.count, 0);
    credentials_fini(&back);
    free(sealed);
}

static void seal_inbound_opens_or_is_denied_whatever_the_plaintext(void **state)
{
    struct keyring *ring = ring_of(state, KEY_1);
    static const char plain[] = HEAD "\x82\xa1k\xa1v\xa6"
                                     "apiKey\xa7sk_live";
    scratch_fuzz((const uint8_t *)plain, sizeof plain - 1, 7, 2000, open_fuzzed, ring);
    keyring_close(ring);
}

/* -- at rest -- */

static void seal_store_opens_for_its_owner(void **state)
{
    struct keyring *ring = ring_of(state, KEY_1 KEY_2);
    struct credentials c = some_credentials(), back = {0};
    struct seal_box box = {0};
    assert_int_equal(seal_store(ring, &owner, &c, &box), PB_OK);
    assert_int_equal(box.version, 1);
    assert_string_equal(box.kid, "k2"); /* the current one */
    assert_null(memmem(box.bytes, box.len, "sk_live", 7));
    assert_int_equal(seal_open_stored(ring, &owner, &box, &back), PB_OK);
    assert_same(&c, &back);
    seal_box_fini(&box);
    assert_null(box.bytes);
    credentials_fini(&c);
    credentials_fini(&back);
    keyring_close(ring);
}

static void seal_store_never_uses_a_nonce_twice(void **state)
{
    struct keyring *ring = ring_of(state, KEY_1);
    struct credentials c = some_credentials();
    struct seal_box a = {0}, b = {0};
    assert_int_equal(seal_store(ring, &owner, &c, &a), PB_OK);
    assert_int_equal(seal_store(ring, &owner, &c, &b), PB_OK);
    assert_memory_not_equal(a.nonce, b.nonce, sizeof a.nonce);
    assert_int_equal(a.len, b.len);
    assert_memory_not_equal(a.bytes, b.bytes, a.len);
    assert_int_equal(seal_store(ring, &owner, &c, &b), PB_OK); /* over an older box, which is freed */
    seal_box_fini(&a);
    seal_box_fini(&b);
    credentials_fini(&c);
    keyring_close(ring);
}

static void seal_store_is_denied_to_any_other_owner(void **state)
{
    struct keyring *ring = ring_of(state, KEY_1);
    struct credentials c = some_credentials(), back = {0};
    struct seal_box box = {0};
    assert_int_equal(seal_store(ring, &owner, &c, &box), PB_OK);
    for (size_t i = 0; i < STRANGERS; i++) {
        assert_int_equal(seal_open_stored(ring, &strangers[i], &box, &back), PB_E_DENIED);
        assert_int_equal(back.count, 0);
    }
    seal_box_fini(&box);
    credentials_fini(&c);
    keyring_close(ring);
}

static void deny(const struct keyring *ring, const struct seal_box *box)
{
    struct credentials back = {0};
    assert_int_equal(seal_open_stored(ring, &owner, box, &back), PB_E_DENIED);
    assert_int_equal(back.count, 0);
}

static void seal_store_is_denied_when_any_part_of_the_box_is_changed(void **state)
{
    struct keyring *ring = ring_of(state, KEY_1);
    struct credentials c = some_credentials(), back = {0};
    struct seal_box box = {0};
    assert_int_equal(seal_store(ring, &owner, &c, &box), PB_OK);
    const struct seal_box whole = box;
    for (size_t i = 0; i < box.len; i++) {
        box.bytes[i] ^= 0x80;
        deny(ring, &box);
        box.bytes[i] ^= 0x80;
        box.len = i;
        deny(ring, &box);
        box.len = whole.len;
    }
    for (size_t i = 0; i < sizeof box.nonce; i++) {
        box.nonce[i] ^= 1;
        deny(ring, &box);
        box.nonce[i] ^= 1;
    }
    box.version = 2;
    deny(ring, &box);
    box.version = 1;
    assert_int_equal(seal_open_stored(ring, &owner, &box, &back), PB_OK);
    credentials_fini(&back);
    seal_box_fini(&box);
    credentials_fini(&c);
    keyring_close(ring);
}

static void seal_store_needs_the_key_that_it_names(void **state)
{
    struct keyring *ring = ring_of(state, KEY_1), *rotated = ring_of(state, KEY_1 KEY_2);
    struct keyring *without = ring_of(state, KEY_2), *same_name = ring_of(state, KEY_3);
    struct credentials c = some_credentials(), back = {0};
    struct seal_box box = {0};
    assert_int_equal(seal_store(ring, &owner, &c, &box), PB_OK);
    assert_int_equal(seal_open_stored(rotated, &owner, &box, &back), PB_OK);
    credentials_fini(&back);
    assert_int_equal(seal_open_stored(without, &owner, &box, &back), PB_E_NOT_FOUND);
    assert_int_equal(seal_open_stored(same_name, &owner, &box, &back), PB_E_DENIED);
    seal_box_fini(&box);
    credentials_fini(&c);
    keyring_close(ring);
    keyring_close(rotated);
    keyring_close(without);
    keyring_close(same_name);
}

/* -- limits: what is sealed can be opened again, and what could not be is refused before -- */

static pb_err there_and_back(struct keyring *ring, const struct credentials *c)
{
    struct seal_box box = {0};
    struct credentials back = {0};
    uint8_t *sealed = NULL;
    size_t len = 0;
    pb_err err = seal_store(ring, &owner, c, &box),
           in = seal_inbound(keyring_public(ring), &owner, c, &sealed, &len);
    assert_int_equal(err, in);
    if (!err) {
        assert_int_equal(seal_open_stored(ring, &owner, &box, &back), PB_OK);
        assert_same(c, &back);
        credentials_fini(&back);
        assert_int_equal(seal_open_inbound(ring, &owner, sealed, len, &back), PB_OK);
        assert_same(c, &back);
        assert_true(box.len <= 2 * LIMIT_CREDENTIALS_BYTES); /* what a record takes */
    }
    credentials_fini(&back);
    seal_box_fini(&box);
    free(sealed);
    return err;
}

static struct credentials many(size_t count, size_t len)
{
    struct credentials c = {0};
    char name[32], *value = calloc(1, len + 1);
    assert_non_null(value);
    memset(value, 'x', len);
    for (size_t i = 0; i < count; i++) {
        snprintf(name, sizeof name, "f%zu", i);
        assert_int_equal(credentials_add(&c, name, value, len), PB_OK);
    }
    free(value);
    return c;
}

static void seal_refuses_what_it_could_not_open_again(void **state)
{
    static const struct {
        size_t count, len;
        pb_err expected;
    } cases[] = {
        {0, 0, PB_OK},
        {1, LIMIT_CREDENTIAL_BYTES, PB_OK},
        {1, LIMIT_CREDENTIAL_BYTES + 1, PB_E_LIMIT},
        {LIMIT_PACKAGE_FIELDS, 1, PB_OK},
        {LIMIT_PACKAGE_FIELDS + 1, 1, PB_E_LIMIT},
        {4, LIMIT_CREDENTIAL_BYTES, PB_OK},
        {7, LIMIT_CREDENTIAL_BYTES, PB_OK},
        {8, 16340, PB_OK},
        {8, 16375, PB_E_LIMIT},
        {8, LIMIT_CREDENTIAL_BYTES, PB_E_LIMIT},
    };
    struct keyring *ring = ring_of(state, KEY_1);
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct credentials c = many(cases[i].count, cases[i].len);
        pb_err err = there_and_back(ring, &c);
        if (err != cases[i].expected)
            fail_msg("%zu fields of %zu bytes: %s", cases[i].count, cases[i].len, pb_err_name(err));
        credentials_fini(&c);
    }
    keyring_close(ring);
}

static void seal_opens_all_that_it_takes_around_the_limit(void **state)
{
    struct keyring *ring = ring_of(state, KEY_1);
    pb_err last = PB_OK;
    for (size_t len = 16350; len <= 16380; len++) {
        struct credentials c = many(8, len);
        pb_err err = there_and_back(ring, &c);
        assert_true(err == PB_OK || err == PB_E_LIMIT);
        assert_true(err == PB_E_LIMIT || last == PB_OK); /* one border, not two */
        last = err;
        credentials_fini(&c);
    }
    assert_int_equal(last, PB_E_LIMIT);
    keyring_close(ring);
}

static void seal_refuses_names_that_are_too_long_or_there_twice(void **state)
{
    struct keyring *ring = ring_of(state, KEY_1);
    struct credentials c = {0}, twice = {0};
    char name[LIMIT_FIELD_NAME_CHARS + 2];
    memset(name, 'n', sizeof name);
    name[sizeof name - 1] = 0;
    assert_int_equal(credentials_add(&c, name, "v", 1), PB_OK);
    assert_int_equal(there_and_back(ring, &c), PB_E_LIMIT);
    assert_int_equal(credentials_add(&twice, name + 1, "v", 1), PB_OK);
    assert_int_equal(there_and_back(ring, &twice), PB_OK);
    assert_int_equal(credentials_add(&twice, name + 1, "w", 1), PB_OK);
    assert_int_equal(there_and_back(ring, &twice), PB_E_INVALID);
    credentials_fini(&c);
    credentials_fini(&twice);
    keyring_close(ring);
}

/* -- the vectors of schemas/messages.md -- */

static void seal_vectors_of_the_document_open(void **state)
{
    static const char document[] = "schemas/messages.md";
    struct keyring *ring = ring_of(state, KEY_1);
    struct seal_owner whose = {.tenant = "acme", .type = "stripe"};
    struct credentials back = {0};
    struct seal_box box = {.version = 1, .kid = "k1"};
    uint8_t bytes[512], expected[32];
    scratch_vector(document, "seal_public", expected, sizeof expected);
    assert_memory_equal(keyring_public(ring), expected, sizeof expected);
    scratch_vector(document, "record_key", expected, sizeof expected);
    assert_memory_equal(keyring_record_key(ring, 0), expected, sizeof expected);
    scratch_vector(document, "integration", whose.integration.bytes, sizeof whose.integration.bytes);
    size_t len = scratch_vector(document, "inbound", bytes, sizeof bytes);
    assert_int_equal(seal_open_inbound(ring, &whose, bytes, len, &back), PB_OK);
    assert_int_equal(back.count, 1);
    assert_string_equal(credentials_get(&back, "apiKey")->data, "sk_test_1");
    credentials_fini(&back);
    scratch_vector(document, "stored_nonce", box.nonce, sizeof box.nonce);
    box.len = scratch_vector(document, "stored_box", bytes, sizeof bytes);
    box.bytes = bytes;
    assert_int_equal(seal_open_stored(ring, &whose, &box, &back), PB_OK);
    assert_string_equal(credentials_get(&back, "apiKey")->data, "sk_test_1");
    credentials_fini(&back);
    keyring_close(ring);
}

/* The document's plaintext and associated data, which only it shows: the box follows from them. */
static void seal_vectors_of_plaintext_and_data_hold(void **state)
{
    static const char document[] = "schemas/messages.md";
    uint8_t key[32], nonce[24], data[128], plain[256], box[300], expected[300];
    unsigned long long len = 0;
    (void)state;
    scratch_vector(document, "record_key", key, sizeof key);
    scratch_vector(document, "stored_nonce", nonce, sizeof nonce);
    size_t data_len = scratch_vector(document, "stored_data", data, sizeof data);
    size_t plain_len = scratch_vector(document, "credentials", plain, sizeof plain);
    crypto_aead_xchacha20poly1305_ietf_encrypt(box, &len, plain, plain_len, data, data_len, NULL, nonce, key);
    assert_int_equal(scratch_vector(document, "stored_box", expected, sizeof expected), len);
    assert_memory_equal(box, expected, (size_t)len);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(credentials_are_found_by_name),
        cmocka_unit_test(seal_inbound_opens_for_its_owner),
        cmocka_unit_test(seal_inbound_is_denied_to_any_other_owner),
        cmocka_unit_test(seal_inbound_is_denied_when_any_byte_is_changed_or_missing),
        cmocka_unit_test(seal_inbound_opens_with_any_key_of_the_ring),
        cmocka_unit_test(seal_inbound_is_denied_when_the_plaintext_is_malformed),
        cmocka_unit_test(seal_inbound_opens_or_is_denied_whatever_the_plaintext),
        cmocka_unit_test(seal_store_opens_for_its_owner),
        cmocka_unit_test(seal_store_never_uses_a_nonce_twice),
        cmocka_unit_test(seal_store_is_denied_to_any_other_owner),
        cmocka_unit_test(seal_store_is_denied_when_any_part_of_the_box_is_changed),
        cmocka_unit_test(seal_store_needs_the_key_that_it_names),
        cmocka_unit_test(seal_refuses_what_it_could_not_open_again),
        cmocka_unit_test(seal_opens_all_that_it_takes_around_the_limit),
        cmocka_unit_test(seal_refuses_names_that_are_too_long_or_there_twice),
        cmocka_unit_test(seal_vectors_of_the_document_open),
        cmocka_unit_test(seal_vectors_of_plaintext_and_data_hold),
    };
    return cmocka_run_group_tests(tests, start, scratch_stop);
}
