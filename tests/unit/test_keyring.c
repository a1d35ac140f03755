#include "common/keyring.h"

#include "tests/unit/scratch.h"

#include <setjmp.h>
#include <sodium.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
/* cmocka wants setjmp and stdarg before it */
#include <cmocka.h>

#define HEX_A "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f"
#define HEX_B "ffeeddccbbaa99887766554433221100ffeeddccbbaa99887766554433221100"

static struct scratch *folder(void **state)
{
    return *state;
}

static int start(void **state)
{
    return scratch_start(state) || sodium_init() < 0;
}

static struct keyring *open_text(void **state, const char *text)
{
    char path[256];
    struct keyring *ring = NULL;
    struct pb_why why = {0};
    scratch_text(folder(state), "ring", text);
    if (keyring_open(scratch_path(folder(state), "ring", path), &ring, &why) != PB_OK)
        fail_msg("%s: %s", why.at, why.text);
    return ring;
}

/* Opens what lies at name and expects err, with at ending in where (behind the path) and part in its text. */
static void refused(void **state, const char *name, pb_err err, const char *where, const char *part)
{
    char path[256], at[300];
    struct keyring *ring = NULL;
    struct pb_why why = {0};
    scratch_path(folder(state), name, path);
    assert_int_equal(keyring_open(path, &ring, &why), err);
    assert_null(ring);
    snprintf(at, sizeof at, "%s%s", path, where);
    assert_string_equal(why.at, at);
    if (!strstr(why.text, part))
        fail_msg("\"%s\" does not say \"%s\"", why.text, part);
}

static void keyring_create_makes_a_private_file_that_opens(void **state)
{
    char path[256];
    struct stat st;
    struct keyring *ring = NULL;
    struct pb_why why = {0};
    scratch_path(folder(state), "created", path);
    assert_int_equal(keyring_create(path, &why), PB_OK);
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_mode & 07777, 0600);
    assert_int_equal(keyring_open(path, &ring, &why), PB_OK);
    assert_int_equal(keyring_count(ring), 1);
    assert_int_equal(keyring_current_kid(ring)[0], 'k');
    keyring_close(ring);
}

static void keyring_create_never_writes_over_a_file(void **state)
{
    char path[256], link[256], target[256];
    struct pb_why why = {0};
    scratch_text(folder(state), "precious", "mine");
    scratch_path(folder(state), "precious", path);
    assert_int_equal(keyring_create(path, &why), PB_E_EXISTS);
    assert_string_equal(why.at, path);
    FILE *f = fopen(path, "r");
    char text[8] = "";
    assert_non_null(fgets(text, sizeof text, f));
    fclose(f);
    assert_string_equal(text, "mine");
    /* nor through a link that leads nowhere */
    assert_int_equal(
        symlink(scratch_path(folder(state), "nowhere", target), scratch_path(folder(state), "l", link)), 0);
    assert_int_equal(keyring_create(link, &why), PB_E_EXISTS);
    assert_int_equal(access(target, F_OK), -1);
}

static void keyring_create_says_why_when_the_folder_is_missing(void **state)
{
    char path[256];
    struct pb_why why = {0};
    scratch_path(folder(state), "no/such/ring", path);
    assert_int_equal(keyring_create(path, &why), PB_E_IO);
    assert_string_equal(why.at, path);
    assert_non_null(strstr(why.text, "No such file"));
}

static void keyring_create_gives_another_key_each_time(void **state)
{
    char path[256];
    uint8_t first[32];
    for (int i = 0; i < 2; i++) {
        struct keyring *ring = NULL;
        struct pb_why why = {0};
        scratch_path(folder(state), i ? "fresh1" : "fresh0", path);
        assert_int_equal(keyring_create(path, &why), PB_OK);
        assert_int_equal(keyring_open(path, &ring, &why), PB_OK);
        if (i == 0)
            memcpy(first, keyring_public(ring), 32);
        else
            assert_memory_not_equal(first, keyring_public(ring), 32);
        keyring_close(ring);
    }
}

static void keyring_open_refuses_a_file_that_others_may_read(void **state)
{
    static const struct {
        unsigned mode;
        const char *text;
    } cases[] = {
        {0640, "mode 640"}, {0604, "mode 604"}, {0660, "mode 660"}, {0644, "mode 644"}, {0601, "mode 601"},
    };
    char path[256];
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        scratch_write(folder(state), "open", "key k1 " HEX_A "\n", 72, cases[i].mode);
        refused(state, "open", PB_E_DENIED, "", cases[i].text);
        refused(state, "open", PB_E_DENIED, "", "chmod 600 ");
    }
    scratch_write(folder(state), "open", "key k1 " HEX_A "\n", 72, 0400);
    struct keyring *ring = NULL;
    struct pb_why why = {0};
    assert_int_equal(keyring_open(scratch_path(folder(state), "open", path), &ring, &why), PB_OK);
    keyring_close(ring);
}

static void keyring_open_refuses_what_is_no_regular_file(void **state)
{
    char path[256];
    assert_int_equal(mkdir(scratch_path(folder(state), "folder", path), 0700), 0);
    refused(state, "folder", PB_E_DENIED, "", "regular file");
    assert_int_equal(mkfifo(scratch_path(folder(state), "pipe", path), 0600), 0);
    refused(state, "pipe", PB_E_DENIED, "", "regular file"); /* and does not wait for a writer */
}

static void keyring_open_looks_at_what_a_link_leads_to(void **state)
{
    char path[256], link[256];
    struct keyring *ring = NULL;
    struct pb_why why = {0};
    scratch_write(folder(state), "target", "key k1 " HEX_A "\n", 72, 0644);
    assert_int_equal(
        symlink(scratch_path(folder(state), "target", path), scratch_path(folder(state), "link", link)), 0);
    refused(state, "link", PB_E_DENIED, "", "mode 644");
    assert_int_equal(chmod(path, 0600), 0);
    assert_int_equal(keyring_open(link, &ring, &why), PB_OK); /* as mounted secrets are */
    keyring_close(ring);
}

static void keyring_open_names_the_remedy_when_the_file_is_missing(void **state)
{
    refused(state, "missing", PB_E_IO, "", "`patchbay keys init` makes one");
}

static void keyring_open_names_the_line_that_is_malformed(void **state)
{
    static const struct {
        const char *line;
        const char *part;
    } cases[] = {
        {"nonsense", "must be: key NAME"},
        {"key", "must be: key NAME"},
        {"key ", "must be: key NAME"},
        {"key k2", "must be: key NAME"},
        {"key k2 ", "must be: key NAME"},
        {"key k2 0011", "must be: key NAME"},
        {"key k2 " HEX_B "00", "must be: key NAME"},
        {"key k2 " HEX_B " more", "must be: key NAME"},
        {"key k2 " HEX_B "more", "must be: key NAME"},
        {"key k2 0g0102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f", "must be: key NAME"},
        {"key k/2 " HEX_B, "must be: key NAME"},
        {"keyk2 " HEX_B, "must be: key NAME"},
        {"key  " HEX_B, "must be: key NAME"},
        {"key k2345678901234567890123456789012 " HEX_B, "must be: key NAME"}, /* 32 characters */
        {"key k234567890123456789012345678901" HEX_B, "must be: key NAME"},
        {"KEY k2 " HEX_B, "must be: key NAME"},
        {"key k1 " HEX_B, "is there already: k1"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char text[512];
        snprintf(text, sizeof text, "# first\nkey k1 " HEX_A "\n\n%s\nkey k3 " HEX_B "\n", cases[i].line);
        scratch_text(folder(state), "bad", text);
        refused(state, "bad", PB_E_INVALID, ":4", cases[i].part);
    }
}

static void keyring_open_refuses_a_file_without_a_key(void **state)
{
    static const char *const cases[] = {"", "\n\n", "# only a comment\n", "   \t\r\n"};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        scratch_text(folder(state), "empty", cases[i]);
        refused(state, "empty", PB_E_INVALID, "", "holds no key");
    }
}

/* A rest of a line must not be taken for a line of its own. */
static void keyring_open_refuses_lines_that_are_too_long(void **state)
{
    char text[600];
    int len = snprintf(text, sizeof text, "key k1 " HEX_A "\n#%*s", 254, "");
    snprintf(text + len, sizeof text - (size_t)len, "key k2 " HEX_B "\n");
    scratch_text(folder(state), "long", text);
    refused(state, "long", PB_E_LIMIT, ":2", "longer than");
    len = snprintf(text, sizeof text, "#%*s\nkey k1 " HEX_A "\n", 253, "");
    assert_int_equal(len, 255 + 72);
    keyring_close(open_text(state, text));
}

static void keyring_open_takes_as_many_keys_as_its_limit(void **state)
{
    char text[80 * (KEYRING_KEYS_MAX + 1)] = "";
    size_t len = 0;
    for (int i = 0; i < KEYRING_KEYS_MAX; i++)
        len += (size_t)snprintf(text + len, sizeof text - len, "key k%d " HEX_A "\n", i);
    struct keyring *ring = open_text(state, text);
    assert_int_equal(keyring_count(ring), KEYRING_KEYS_MAX);
    assert_string_equal(keyring_current_kid(ring), "k63");
    keyring_close(ring);
    snprintf(text + len, sizeof text - len, "key last " HEX_A "\n");
    scratch_text(folder(state), "many", text);
    refused(state, "many", PB_E_LIMIT, ":65", "more than 64 keys");
}

static void keyring_gives_keys_newest_first(void **state)
{
    struct keyring *ring =
        open_text(state, "# a comment\nkey old " HEX_A "\n\nkey new.2026_1-x " HEX_B " \t\r\n");
    assert_int_equal(keyring_count(ring), 2);
    assert_string_equal(keyring_current_kid(ring), "new.2026_1-x");
    assert_string_equal(keyring_kid(ring, 0), "new.2026_1-x");
    assert_string_equal(keyring_kid(ring, 1), "old");
    assert_ptr_equal(keyring_public(ring), keyring_box_public(ring, 0));
    assert_memory_not_equal(keyring_record_key(ring, 0), keyring_record_key(ring, 1), 32);
    keyring_close(ring);
    keyring_close(NULL);
}

/* What is derived must never change: stored credentials depend on it. The numbers are libsodium's crypto_kdf
 * over the master key 00..1f with the context "pbkeys01": number 1, and the X25519 pair with number 2 as its
 * seed. */
static void keyring_derives_the_same_keys_for_ever(void **state)
{
    uint8_t master[32], record[32], seed[32], pk[32], sk[32], expected[32];
    struct keyring *ring = open_text(state, "key k1 " HEX_A "\n");
    scratch_unhex(HEX_A, master, 32);
    crypto_kdf_derive_from_key(record, 32, 1, "pbkeys01", master);
    crypto_kdf_derive_from_key(seed, 32, 2, "pbkeys01", master);
    crypto_box_seed_keypair(pk, sk, seed);
    assert_memory_equal(keyring_record_key(ring, 0), record, 32);
    assert_memory_equal(keyring_box_public(ring, 0), pk, 32);
    assert_memory_equal(keyring_box_secret(ring, 0), sk, 32);
    scratch_unhex("5540953286b199178a5a2ab43d3ef23ead72bbe021302d1d8f9318134f477fa9", expected, 32);
    assert_memory_equal(record, expected, 32);
    scratch_unhex("d90fd578ff8f12ea44328ca56341ba4b54bf9bbf9ae01132dbdb2eaf024c4737", expected, 32);
    assert_memory_equal(pk, expected, 32);
    keyring_close(ring);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(keyring_create_makes_a_private_file_that_opens),
        cmocka_unit_test(keyring_create_never_writes_over_a_file),
        cmocka_unit_test(keyring_create_says_why_when_the_folder_is_missing),
        cmocka_unit_test(keyring_create_gives_another_key_each_time),
        cmocka_unit_test(keyring_open_refuses_a_file_that_others_may_read),
        cmocka_unit_test(keyring_open_refuses_what_is_no_regular_file),
        cmocka_unit_test(keyring_open_looks_at_what_a_link_leads_to),
        cmocka_unit_test(keyring_open_names_the_remedy_when_the_file_is_missing),
        cmocka_unit_test(keyring_open_names_the_line_that_is_malformed),
        cmocka_unit_test(keyring_open_refuses_a_file_without_a_key),
        cmocka_unit_test(keyring_open_refuses_lines_that_are_too_long),
        cmocka_unit_test(keyring_open_takes_as_many_keys_as_its_limit),
        cmocka_unit_test(keyring_gives_keys_newest_first),
        cmocka_unit_test(keyring_derives_the_same_keys_for_ever),
    };
    return cmocka_run_group_tests(tests, start, scratch_stop);
}
