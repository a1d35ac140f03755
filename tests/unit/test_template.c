#include "worker/declarative/template.h"

#include "common/limits.h"

#include <jansson.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
/* cmocka wants the four before it */
#include <cmocka.h>

static struct field fields[] = {
    {.name = "apiKey", .secret = true},
    {.name = "subdomain"},
    {.name = "empty"},
};
static const struct manifest manifest = {.type = "demo", .fields = fields, .field_count = 3};

struct expansion {
    pb_err err;
    char text[512];
    bool secret;
    struct pb_why why;
};

static struct expansion expand(const char *template, const char *key, const char *subdomain,
                               enum template_place place)
{
    struct expansion x = {0};
    struct credentials c = {0};
    struct template_env env = {&manifest, &c, "acct_1", "Shop", 1700000000};
    struct buf out;
    buf_init(&out, sizeof x.text - 1);
    assert_int_equal(credentials_add(&c, "apiKey", key, strlen(key)), PB_OK);
    assert_int_equal(credentials_add(&c, "subdomain", subdomain, strlen(subdomain)), PB_OK);
    x.err = template_expand(template, &env, place, &out, &x.secret, &x.why);
    memcpy(x.text, buf_peek(&out), out.len);
    credentials_fini(&c);
    buf_fini(&out);
    return x;
}

static void template_expands_names_functions_and_literals(void **state)
{
    static const struct {
        const char *template, *text;
    } cases[] = {
        {"plain", "plain"},
        {"", ""},
        {"Bearer {apiKey}", "Bearer key-eu1"},
        {"{ apiKey }", "key-eu1"},
        {"{base64(apiKey)}", "a2V5LWV1MQ=="},
        {"{after_last(apiKey,'-')}", "eu1"},
        {"{after_last(apiKey, 'x')}", "key-eu1"},
        {"{default(empty,'fallback')}", "fallback"},
        {"{default(apiKey,'fallback')}", "key-eu1"},
        {"{default(empty,default(empty,'b'))}", "b"},
        {"{account.id}/{account.label}", "acct_1/Shop"},
        {"{now}", "1700000000"},
        {"{empty}", ""},
        {"{{ viewer {{ id }} }}", "{ viewer { id } }"},
        {"{base64('user:pass')}", "dXNlcjpwYXNz"},
        {"{urlencode('a b&c')}", "a%20b%26c"},
        {"x{apiKey}y{subdomain}z", "xkey-eu1yacmez"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct expansion x = expand(cases[i].template, "key-eu1", "acme", PLACE_HEADER);
        if (x.err)
            fail_msg("%s: %s", cases[i].template, x.why.text);
        assert_string_equal(x.text, cases[i].text);
    }
}

static void template_tells_whether_a_secret_was_used(void **state)
{
    (void)state;
    assert_true(expand("{apiKey}", "k", "s", PLACE_HEADER).secret);
    assert_true(expand("{base64(default(apiKey,subdomain))}", "k", "s", PLACE_HEADER).secret);
    assert_false(expand("{subdomain}{account.id}{now}", "k", "s", PLACE_HEADER).secret);
}

static void template_escapes_values_for_their_place(void **state)
{
    (void)state;
    assert_string_equal(expand("/a/{apiKey}/b", "x/../y?z#", "s", PLACE_PATH).text, "/a/x%2F..%2Fy%3Fz%23/b");
    assert_string_equal(expand("{apiKey}", "a&b=c d", "s", PLACE_QUERY).text, "a%26b%3Dc%20d");
    assert_string_equal(expand("{apiKey}", "\xc3\xa9", "s", PLACE_QUERY).text, "%C3%A9");
    assert_string_equal(expand("{apiKey}", "a\"b", "s", PLACE_JSON).text, "a\"b");
    assert_string_equal(expand("https://{subdomain}.example.com", "k", "ac-me.eu", PLACE_BASE_URL).text,
                        "https://ac-me.eu.example.com");
    assert_string_equal(expand("{subdomain}", "k", "https://own.example.com:8443/x", PLACE_BASE_URL).text,
                        "https://own.example.com:8443/x");
}

static void template_refuses_values_that_would_leave_their_place(void **state)
{
    static const struct {
        const char *template, *value;
        enum template_place place;
    } cases[] = {
        {"https://{subdomain}.example.com", "evil.com/", PLACE_BASE_URL},
        {"https://{subdomain}.example.com", "user@evil.com", PLACE_BASE_URL},
        {"https://{subdomain}.example.com", "a:80", PLACE_BASE_URL},
        {"https://{subdomain}.example.com", "evil.com#", PLACE_BASE_URL},
        {"https://{subdomain}.example.com", "evil.com?", PLACE_BASE_URL},
        {"https://{subdomain}.example.com", "evil.com\\", PLACE_BASE_URL},
        {"https://{subdomain}.example.com", "", PLACE_BASE_URL},
        {"{subdomain}", "https://a.b/?x", PLACE_BASE_URL},
        {"{subdomain}", "https://a.b/#x", PLACE_BASE_URL},
        {"{subdomain}", "https://a.b/ x", PLACE_BASE_URL},
        {"{subdomain}", "", PLACE_BASE_URL},
        {"/{subdomain}/x", "..", PLACE_PATH},
        {"/{subdomain}/x", ".", PLACE_PATH},
        {"X {subdomain}", "a\r\nX-Evil: 1", PLACE_HEADER},
        {"X {subdomain}", "a\nb", PLACE_HEADER},
        {"X {subdomain}", "a\x7f", PLACE_HEADER},
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct expansion x = expand(cases[i].template, "k", cases[i].value, cases[i].place);
        if (x.err != PB_E_DENIED)
            fail_msg("%s with \"%s\" gives %s", cases[i].template, cases[i].value, x.text);
        assert_string_equal(x.why.at, "subdomain");
        assert_true(x.why.text[0]);
    }
}

static void template_names_what_is_wrong_when_it_is_malformed(void **state)
{
    static const struct {
        const char *template, *text;
    } cases[] = {
        {"{apikey}", "did you mean apiKey?"},
        {"{nothing_like_it}", "is no field"},
        {"{token.access_token}", "is no field"},
        {"{apiKey", "closing brace"},
        {"apiKey}", "without an opening one"},
        {"{}", "needs the name"},
        {"{ }", "needs the name"},
        {"{apiKey subdomain}", "closing brace"},
        {"{base64(apiKey}", "closing parenthesis"},
        {"{base64 (apiKey)}", "names {base64}"},
        {"{after_last(apiKey)}", "comma"},
        {"{base64(apiKey,'x')}", "closing parenthesis"},
        {"{md5(apiKey)}", "function that is not"},
        {"{'open}", "closing '"},
        {"{base64(", "needs the name"},
        {"{base64()}", "needs the name"},
        {"{-}", "needs the name"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct expansion x = expand(cases[i].template, "k", "s", PLACE_HEADER);
        assert_int_equal(x.err, PB_E_INVALID);
        if (!strstr(x.why.text, cases[i].text))
            fail_msg("%s: %s", cases[i].template, x.why.text);
    }
}

static void template_refuses_functions_nested_too_deeply(void **state)
{
    char deep[1024] = "{";
    size_t len = 1;
    (void)state;
    for (int i = 0; i < 100; i++)
        len += (size_t)snprintf(deep + len, sizeof deep - len, "base64(");
    snprintf(deep + len, sizeof deep - len, "apiKey");
    struct expansion x = expand(deep, "k", "s", PLACE_HEADER);
    assert_int_equal(x.err, PB_E_INVALID);
    assert_non_null(strstr(x.why.text, "deeply"));
}

static void template_encodes_long_values_in_base64_without_padding_between(void **state)
{
    char value[200], expected[300];
    struct buf out;
    (void)state;
    memset(value, 'a', sizeof value);
    buf_init(&out, sizeof expected);
    template_base64(&out, value, 199);
    assert_int_equal(out.len, (199 + 2) / 3 * 4);
    assert_int_equal(strcspn(buf_peek(&out), "="), out.len - 2);
    buf_fini(&out);
}

/* Whatever stands in a template, it ends with a text or a reason, and reads nothing beyond its end. */
static void template_survives_arbitrary_text(void **state)
{
    static const char alphabet[] = "{}()',. abcapiKeybase64default_now";
    uint32_t seed = 12345;
    (void)state;
    for (int round = 0; round < 20000; round++) {
        char *text = malloc(16);
        size_t len = 0;
        while (len < 15) {
            seed = seed * 1664525 + 1013904223;
            text[len++] = alphabet[(seed >> 16) % (sizeof alphabet - 1)];
        }
        text[len] = 0;
        struct expansion x = expand(text, "k", "s", (enum template_place)(round % 5));
        assert_true(x.err == PB_OK || x.why.text[0]);
        free(text);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(template_expands_names_functions_and_literals),
        cmocka_unit_test(template_tells_whether_a_secret_was_used),
        cmocka_unit_test(template_escapes_values_for_their_place),
        cmocka_unit_test(template_refuses_values_that_would_leave_their_place),
        cmocka_unit_test(template_names_what_is_wrong_when_it_is_malformed),
        cmocka_unit_test(template_refuses_functions_nested_too_deeply),
        cmocka_unit_test(template_encodes_long_values_in_base64_without_padding_between),
        cmocka_unit_test(template_survives_arbitrary_text),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
