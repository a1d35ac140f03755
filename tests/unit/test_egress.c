#include "worker/egress.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/un.h>
/* cmocka wants the four before it */
#include <cmocka.h>

static struct egress_verdict check(const struct egress *e, const char *text)
{
    struct sockaddr_in v4 = {.sin_family = AF_INET};
    struct sockaddr_in6 v6 = {.sin6_family = AF_INET6};
    if (inet_pton(AF_INET, text, &v4.sin_addr) == 1)
        return egress_check(e, (struct sockaddr *)&v4, sizeof v4);
    assert_int_equal(inet_pton(AF_INET6, text, &v6.sin6_addr), 1);
    return egress_check(e, (struct sockaddr *)&v6, sizeof v6);
}

static struct egress *open_guard(const char *const *allow, size_t count)
{
    struct egress *e = NULL;
    struct pb_why why = {0};
    pb_err err = egress_open(allow, count, &e, &why);
    if (err)
        fail_msg("%s: %s", why.at, why.text);
    return e;
}

static void egress_refuses_what_is_not_public(void **state)
{
    static const struct {
        const char *address, *kind;
    } cases[] = {
        {"127.0.0.1", "loopback"},
        {"127.255.255.254", "loopback"},
        {"10.0.0.1", "private"},
        {"10.255.255.255", "private"},
        {"172.16.0.1", "private"},
        {"172.31.255.255", "private"},
        {"192.168.1.1", "private"},
        {"169.254.169.254", "metadata"},
        {"168.63.129.16", "metadata"},
        {"100.64.0.1", "shared"},
        {"100.100.100.200", "shared"},
        {"100.127.255.255", "shared"},
        {"0.0.0.0", "unspecified"},
        {"0.1.2.3", "unspecified"},
        {"192.0.0.192", "protocol"},
        {"192.0.2.1", "documentation"},
        {"198.51.100.7", "documentation"},
        {"203.0.113.9", "documentation"},
        {"198.18.0.1", "benchmarking"},
        {"198.19.255.255", "benchmarking"},
        {"192.88.99.1", "6to4"},
        {"224.0.0.1", "multicast"},
        {"239.255.255.255", "multicast"},
        {"240.0.0.1", "reserved"},
        {"255.255.255.255", "broadcast"},
        {"::1", "loopback"},
        {"::", "unspecified"},
        {"::127.0.0.1", "compatible"},
        {"::ffff:127.0.0.1", "mapped"},
        {"::ffff:8.8.8.8", "mapped"},
        {"::ffff:0:127.0.0.1", "translated"},
        {"64:ff9b::7f00:1", "NAT64"},
        {"64:ff9b:1::a00:1", "NAT64"},
        {"fc00::1", "private"},
        {"fdff:ffff::1", "private"},
        {"fd00:ec2::254", "metadata"},
        {"fe80::1", "link-local"},
        {"febf::1", "link-local"},
        {"fec0::1", "private"},
        {"ff02::1", "multicast"},
        {"2001::7f00:1", "Teredo"},
        {"2001:2::1", "benchmarking"},
        {"2001:10::1", "protocol"},
        {"2001:db8::1", "documentation"},
        {"3fff:fff::1", "documentation"},
        {"2002:7f00:1::", "6to4"},
        {"100::1", "outside"},
        {"5f00::1", "outside"},
        {"1234::1", "outside"},
        {"9000::1", "outside"},
    };
    struct egress *e = open_guard(NULL, 0);
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct egress_verdict v = check(e, cases[i].address);
        if (v.allowed || v.listed || !v.kind || !strstr(v.kind, cases[i].kind))
            fail_msg("%s: %s", cases[i].address, v.kind ? v.kind : "allowed");
    }
    egress_close(e);
}

static void egress_lets_public_addresses_through(void **state)
{
    static const char *const cases[] = {
        "1.1.1.1",         "8.8.8.8",    "9.255.255.255",   "11.0.0.0",        "100.63.255.255",
        "100.128.0.0",     "126.0.0.1",  "128.0.0.1",       "169.253.255.255", "169.255.0.0",
        "172.15.255.255",  "172.32.0.0", "192.0.1.0",       "192.167.255.255", "192.169.0.0",
        "198.17.255.255",  "198.20.0.0", "223.255.255.255", "168.63.129.15",   "2001:200::1",
        "2001:4860::8888", "2003::1",    "2606:4700::1111", "2a00:1450::1",    "3ffe::1",
        "2001:db9::1",
    };
    struct egress *e = open_guard(NULL, 0);
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct egress_verdict v = check(e, cases[i]);
        if (!v.allowed || v.listed || v.kind)
            fail_msg("%s: %s", cases[i], v.kind ? v.kind : "listed");
    }
    egress_close(e);
}

static void egress_lets_listed_ranges_through_and_nothing_beside_them(void **state)
{
    static const char *const allow[] = {"127.0.0.1", "10.1.0.0/16", "192.168.128.0/17", "fd00:1::/32", "::1"};
    static const char *const listed[] = {"127.0.0.1",       "10.1.0.0",     "10.1.255.255", "192.168.128.0",
                                         "192.168.255.255", "fd00:1:ff::1", "::1"};
    static const char *const others[] = {"127.0.0.2", "10.0.255.255", "10.2.0.0",        "192.168.127.255",
                                         "fd00:2::1", "::2",          "::ffff:127.0.0.1"};
    struct egress *e = open_guard(allow, sizeof allow / sizeof allow[0]);
    (void)state;
    for (size_t i = 0; i < sizeof listed / sizeof listed[0]; i++) {
        struct egress_verdict v = check(e, listed[i]);
        if (!v.allowed || !v.listed)
            fail_msg("%s is refused", listed[i]);
    }
    for (size_t i = 0; i < sizeof others / sizeof others[0]; i++)
        if (check(e, others[i]).allowed)
            fail_msg("%s is let through", others[i]);
    egress_close(e);
}

static void egress_lets_everything_through_when_all_is_listed(void **state)
{
    static const char *const allow[] = {"0.0.0.0/0", "::/0"};
    struct egress *e = open_guard(allow, 2);
    (void)state;
    assert_true(check(e, "127.0.0.1").listed);
    assert_true(check(e, "8.8.8.8").listed);
    assert_true(check(e, "fe80::1").listed);
    egress_close(e);
}

static void egress_names_what_is_wrong_when_a_range_is_malformed(void **state)
{
    static const struct {
        const char *cidr, *text;
    } cases[] = {
        {"", "not a range"},
        {"localhost", "not a range"},
        {"10.0.0/8", "not a range"},
        {"10.0.0.0.0/8", "not a range"},
        {"010.0.0.0/8", "not a range"},
        {"fd00::/8/8", "prefix length of 0 to 128"},
        {"10.0.0.0/", "prefix length of 0 to 32"},
        {"10.0.0.0/33", "prefix length of 0 to 32"},
        {"10.0.0.0/-1", "prefix length of 0 to 32"},
        {"10.0.0.0/8x", "prefix length of 0 to 32"},
        {"10.0.0.0/0008", "prefix length of 0 to 32"},
        {"fd00::/129", "prefix length of 0 to 128"},
        {"10.0.0.1/8", "bits set behind its first 8"},
        {"fd00::1/64", "bits set behind its first 64"},
        {"1111:2222:3333:4444:5555:6666:7777:8888:9999:aaaa:bbbb/8", "not a range"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct pb_why why = {0};
        struct egress *e = NULL;
        assert_int_equal(egress_open(&cases[i].cidr, 1, &e, &why), PB_E_INVALID);
        assert_null(e);
        assert_string_equal(why.at, cases[i].cidr);
        if (!strstr(why.text, cases[i].text))
            fail_msg("%s: %s", cases[i].cidr, why.text);
    }
}

static void egress_refuses_what_is_no_internet_address(void **state)
{
    struct egress *e = open_guard(NULL, 0);
    struct sockaddr_un un = {.sun_family = AF_UNIX};
    struct sockaddr_in cut = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(0x08080808)};
    (void)state;
    assert_false(egress_check(e, (struct sockaddr *)&un, sizeof un).allowed);
    assert_false(egress_check(e, (struct sockaddr *)&cut, 4).allowed);
    assert_true(egress_check(e, (struct sockaddr *)&cut, sizeof cut).allowed);
    egress_close(e);
    egress_close(NULL);
}

static void egress_refuses_more_ranges_than_its_limit(void **state)
{
    const char *allow[65];
    struct egress *e = NULL;
    struct pb_why why = {0};
    (void)state;
    for (size_t i = 0; i < 65; i++)
        allow[i] = "10.0.0.0/8";
    assert_int_equal(egress_open(allow, 65, &e, &why), PB_E_LIMIT);
    assert_int_equal(egress_open(allow, 64, &e, &why), PB_OK);
    egress_close(e);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(egress_refuses_what_is_not_public),
        cmocka_unit_test(egress_lets_public_addresses_through),
        cmocka_unit_test(egress_lets_listed_ranges_through_and_nothing_beside_them),
        cmocka_unit_test(egress_lets_everything_through_when_all_is_listed),
        cmocka_unit_test(egress_names_what_is_wrong_when_a_range_is_malformed),
        cmocka_unit_test(egress_refuses_what_is_no_internet_address),
        cmocka_unit_test(egress_refuses_more_ranges_than_its_limit),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
