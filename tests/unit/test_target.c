#include "worker/target.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
/* cmocka wants the four before it */
#include <cmocka.h>

static struct target parse(const char *url)
{
    struct target t = {0};
    struct pb_why why = {0};
    if (target_parse(url, &t, &why) != PB_OK)
        fail_msg("%s: %s", url, why.text);
    return t;
}

static void target_takes_an_address_apart(void **state)
{
    static const struct {
        const char *url, *host;
        unsigned port;
        bool https;
    } cases[] = {
        {"https://api.example.com/v1?x=1", "api.example.com", 443, true},
        {"http://API.Example.com", "api.example.com", 80, false},
        {"https://h:8443/", "h", 8443, true},
        {"https://[2001:DB8::1]/", "[2001:db8::1]", 443, true},
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct target t = parse(cases[i].url);
        assert_string_equal(t.host, cases[i].host);
        assert_int_equal(t.port, cases[i].port);
        assert_int_equal(t.https, cases[i].https);
        target_fini(&t);
    }
}

static void target_refuses_what_is_no_web_address(void **state)
{
    static const char *const cases[] = {"",         "api.example.com/v1", "ftp://a/",  "file:///etc/passwd",
                                        "https://", "gopher://a:1/",      "/relative", "https://a b/",
                                        "dict://a/"};
    struct target t = {0};
    struct pb_why why = {0};
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
        if (target_parse(cases[i], &t, &why) != PB_E_INVALID)
            fail_msg("%s gives %s", cases[i], t.url.data);
    assert_int_equal(target_parse("https://user@a/", &t, &why), PB_E_DENIED);
    assert_int_equal(target_parse("https://user:pass@a/", &t, &why), PB_E_DENIED);
    assert_null(t.url.data);
}

static void target_follows_a_location(void **state)
{
    static const struct {
        const char *from, *location, *to;
    } cases[] = {
        {"https://a.example/x/y?q", "/z", "https://a.example/z"},
        {"https://a.example/x/y", "z?k=v", "https://a.example/x/z?k=v"},
        {"https://a.example/x/y", "../z", "https://a.example/z"},
        {"https://a.example/x", "//b.example/z", "https://b.example/z"},
        {"https://a.example/x", "https://b.example/z#top", "https://b.example/z"},
        {"https://a.example/x", "https://u:p@b.example/z", "https://b.example/z"},
        {"http://a.example/x", "https://a.example/x", "https://a.example/x"},
        {"http://a.example/x", "http://a.example:81/x", "http://a.example:81/x"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct target from = parse(cases[i].from), to = {0};
        struct pb_why why = {0};
        if (target_redirect(&from, cases[i].location, &to, &why))
            fail_msg("%s: %s", cases[i].location, why.text);
        assert_string_equal(to.url.data, cases[i].to);
        target_fini(&from);
        target_fini(&to);
    }
}

static void target_refuses_a_location_that_loses_tls_or_leads_nowhere(void **state)
{
    struct target from = parse("https://a.example/x"), to = {0};
    struct pb_why why = {0};
    (void)state;
    assert_int_equal(target_redirect(&from, "http://a.example/x", &to, &why), PB_E_DENIED);
    assert_int_equal(target_redirect(&from, "ftp://a.example/x", &to, &why), PB_E_INVALID);
    assert_int_equal(target_redirect(&from, "file:///etc/passwd", &to, &why), PB_E_INVALID);
    assert_null(to.url.data);
    target_fini(&from);
}

static void target_matches_patterns_of_allowed_hosts(void **state)
{
    static const struct {
        const char *url, *pattern;
        bool matches;
    } cases[] = {
        {"https://api.example.com", "api.example.com", true},
        {"https://api.example.com", "API.EXAMPLE.COM", true},
        {"https://api.example.com", "example.com", false},
        {"https://api.example.com.evil", "api.example.com", false},
        {"https://xapi.example.com", "api.example.com", false},
        {"https://a.example.com", "*.example.com", true},
        {"https://a.b.example.com", "*.example.com", true},
        {"https://example.com", "*.example.com", false},
        {"https://evilexample.com", "*.example.com", false},
        {"https://example.com:8443", "example.com", false},
        {"https://example.com:8443", "example.com:8443", true},
        {"https://example.com", "example.com:443", true},
        {"http://example.com", "example.com", true},
        {"http://example.com", "example.com:443", false},
        {"https://[2001:db8::1]", "[2001:db8::1]", true},
        {"https://[2001:db8::1]:1", "[2001:db8::1]:1", true},
        {"https://a.example.com:1", "*.example.com:1", true},
        {"https://a.example.com", "*.", false},
        {"https://a.example.com", "", false},
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct target t = parse(cases[i].url);
        if (target_matches(&t, cases[i].pattern) != cases[i].matches)
            fail_msg("%s and %s", cases[i].url, cases[i].pattern);
        target_fini(&t);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(target_takes_an_address_apart),
        cmocka_unit_test(target_refuses_what_is_no_web_address),
        cmocka_unit_test(target_follows_a_location),
        cmocka_unit_test(target_refuses_a_location_that_loses_tls_or_leads_nowhere),
        cmocka_unit_test(target_matches_patterns_of_allowed_hosts),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
