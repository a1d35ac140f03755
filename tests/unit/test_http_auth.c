#include "broker/broker.h"
#include "broker/http/auth.h"
#include "broker/http/request.h"

#include <setjmp.h>
#include <sodium.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
/* cmocka wants setjmp.h, stdarg.h and stdint.h before it */
#include <cmocka.h>

/* -- tokens -- */

static struct broker *broker_in(char *folder)
{
    struct broker *b = calloc(1, sizeof *b);
    assert_non_null(b);
    b->log = (struct log){.fd = -1, .level = LOG_ERROR};
    b->settings.data_dir = folder;
    return b;
}

static void remove_folder(const char *folder)
{
    static const char *const files[] = {"admin.token", "s.db", "s.db-wal", "s.db-shm", "s.db.lock"};
    char path[128];
    for (size_t i = 0; i < sizeof files / sizeof files[0]; i++) {
        snprintf(path, sizeof path, "%s/%s", folder, files[i]);
        unlink(path);
    }
    assert_int_equal(rmdir(folder), 0); /* nothing else was left behind */
}

static struct store *open_store(const char *folder)
{
    char url[128];
    struct store *store = NULL;
    struct pb_why why = {0};
    snprintf(url, sizeof url, "sqlite:%s/s.db", folder);
    if (store_open(url, false, &store, &why) != PB_OK)
        fail_msg("%s: %s", why.at, why.text);
    return store;
}

static void read_token(const char *folder, char out[64])
{
    char path[128];
    struct stat st;
    snprintf(path, sizeof path, "%s/admin.token", folder);
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_mode & 07777, 0600);
    FILE *f = fopen(path, "r");
    assert_non_null(f);
    assert_non_null(fgets(out, 64, f));
    fclose(f);
    out[strcspn(out, "\n")] = 0;
}

static void auth_makes_one_token_at_the_first_start(void **state)
{
    char folder[] = "/tmp/test_http.XXXXXX", token[64], header[80], again[64];
    struct auth *auth = NULL;
    struct pb_why why = {0};
    (void)state;
    assert_non_null(mkdtemp(folder));
    struct store *store = open_store(folder);
    struct broker *b = broker_in(folder);
    for (int start = 0; start < 2; start++) {
        assert_int_equal(auth_open(b, store, &auth, &why), PB_OK);
        read_token(folder, start ? again : token);
        snprintf(header, sizeof header, "bearer  %s", token);
        const struct store_token *found = auth_find(auth, header);
        assert_non_null(found);
        assert_string_equal(found->tenant, "*");
        assert_int_equal(auth_role_of(found), ROLE_ADMIN);
        header[strlen(header) - 1] ^= 1;
        assert_null(auth_find(auth, header));
        auth_close(auth);
    }
    assert_string_equal(token, again);
    assert_int_equal(strlen(token), AUTH_TOKEN_TEXT_BYTES - 1);
    store_close(store);
    free(b);
    remove_folder(folder);
}

static void auth_says_what_to_do_when_the_folder_is_missing(void **state)
{
    char folder[] = "/tmp/test_http.XXXXXX", missing[64];
    struct auth *auth = NULL;
    struct pb_why why = {0};
    (void)state;
    assert_non_null(mkdtemp(folder));
    struct store *store = open_store(folder);
    snprintf(missing, sizeof missing, "%s/none", folder);
    struct broker *b = broker_in(missing);
    assert_int_equal(auth_open(b, store, &auth, &why), PB_E_IO);
    assert_null(auth);
    assert_non_null(strstr(why.text, "--data-dir"));
    b->settings.data_dir = folder; /* nothing was stored, so the first start is still to come */
    assert_int_equal(auth_open(b, store, &auth, &why), PB_OK);
    auth_close(auth);
    store_close(store);
    free(b);
    remove_folder(folder);
}

static void auth_leaves_no_file_when_the_store_refuses(void **state)
{
    char folder[] = "/tmp/test_http.XXXXXX", url[128], path[128];
    struct auth *auth = NULL;
    struct store *reading = NULL;
    struct pb_why why = {0};
    (void)state;
    assert_non_null(mkdtemp(folder));
    store_close(open_store(folder));
    snprintf(url, sizeof url, "sqlite:%s/s.db", folder);
    assert_int_equal(store_open(url, true, &reading, &why), PB_OK);
    struct broker *b = broker_in(folder);
    assert_int_equal(auth_open(b, reading, &auth, &why), PB_E_DENIED);
    snprintf(path, sizeof path, "%s/admin.token", folder);
    assert_int_equal(access(path, F_OK), -1);
    store_close(reading);
    free(b);
    remove_folder(folder);
}

static void auth_refuses_what_is_no_bearer_token(void **state)
{
    static const char *const values[] = {NULL, "", "Bearer", "Bearer ", "Basic pb_x", "pb_x", "Bearerpb_x"};
    char folder[] = "/tmp/test_http.XXXXXX", longer[512];
    struct auth *auth = NULL;
    struct pb_why why = {0};
    (void)state;
    assert_non_null(mkdtemp(folder));
    struct store *store = open_store(folder);
    struct broker *b = broker_in(folder);
    assert_int_equal(auth_open(b, store, &auth, &why), PB_OK);
    for (size_t i = 0; i < sizeof values / sizeof values[0]; i++)
        assert_null(auth_find(auth, values[i]));
    memset(longer, 'x', sizeof longer - 1);
    longer[sizeof longer - 1] = 0;
    memcpy(longer, "Bearer ", 7);
    assert_null(auth_find(auth, longer));
    auth_close(auth);
    store_close(store);
    free(b);
    remove_folder(folder);
}

static void auth_hash_is_blake2b_of_the_text(void **state)
{
    uint8_t hash[AUTH_HASH_BYTES];
    char hex[2 * AUTH_HASH_BYTES + 1];
    (void)state;
    auth_hash("abc", 3, hash);
    sodium_bin2hex(hex, sizeof hex, hash, sizeof hash);
    assert_string_equal(hex, "bddd813c634239723171ef3fee98579b94964e3bb1cb3e427262c8c068d52319");
}

static void auth_tokens_are_never_the_same(void **state)
{
    char one[AUTH_TOKEN_TEXT_BYTES], other[AUTH_TOKEN_TEXT_BYTES];
    (void)state;
    auth_new_token(one);
    auth_new_token(other);
    assert_memory_equal(one, "pb_", 3);
    assert_int_equal(strspn(one + 3, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"), 43);
    assert_string_not_equal(one, other);
}

static void auth_role_is_none_when_its_name_is_unknown(void **state)
{
    (void)state;
    assert_int_equal(auth_role_of(&(struct store_token){.role = "viewer"}), ROLE_VIEWER);
    assert_int_equal(auth_role_of(&(struct store_token){.role = "submitter"}), ROLE_SUBMITTER);
    assert_int_equal(auth_role_of(&(struct store_token){.role = "root"}), ROLE_NONE);
    assert_int_equal(auth_role_of(&(struct store_token){.role = ""}), ROLE_NONE);
}

/* -- tenants -- */

static void tenant_sees_its_own_and_the_cluster_sees_all(void **state)
{
    struct store_token acme = {.tenant = "acme"}, all = {.tenant = "*"};
    struct http_request of_acme = {.token = &acme}, of_all = {.token = &all};
    (void)state;
    assert_true(http_sees(&of_acme, "acme"));
    assert_false(http_sees(&of_acme, "other"));
    assert_true(http_sees(&of_all, "acme"));
    assert_string_equal(http_tenant_filter(&of_acme), "acme");
    assert_null(http_tenant_filter(&of_all));
    assert_string_equal(http_tenant_new(&of_acme), "acme");
    assert_string_equal(http_tenant_new(&of_all), BROKER_TENANT);
}

static int start_sodium(void **state)
{
    (void)state;
    return sodium_init() < 0 ? -1 : 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(auth_makes_one_token_at_the_first_start),
        cmocka_unit_test(auth_says_what_to_do_when_the_folder_is_missing),
        cmocka_unit_test(auth_leaves_no_file_when_the_store_refuses),
        cmocka_unit_test(auth_refuses_what_is_no_bearer_token),
        cmocka_unit_test(auth_hash_is_blake2b_of_the_text),
        cmocka_unit_test(auth_tokens_are_never_the_same),
        cmocka_unit_test(auth_role_is_none_when_its_name_is_unknown),
        cmocka_unit_test(tenant_sees_its_own_and_the_cluster_sees_all),
    };
    return cmocka_run_group_tests(tests, start_sodium, NULL);
}
