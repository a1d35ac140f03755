/* The egress guard: "CIDR, ---, ADDRESS", the address as 4 or 16 bytes. What must never be reached is not,
 * unless it was listed, and least of all an IPv4 address that comes as IPv6. */
#include "tests/fuzz/lib/fuzz.h"

#include "worker/egress.h"

#include <netinet/in.h>
#include <string.h>

static struct egress_verdict ask4(const struct egress *e, const char *bytes)
{
    struct sockaddr_in a = {.sin_family = AF_INET};
    memcpy(&a.sin_addr, bytes, 4);
    return egress_check(e, (const struct sockaddr *)&a, sizeof a);
}

static struct egress_verdict ask6(const struct egress *e, const char *bytes)
{
    struct sockaddr_in6 a = {.sin6_family = AF_INET6};
    memcpy(&a.sin6_addr, bytes, 16);
    return egress_check(e, (const struct sockaddr *)&a, sizeof a);
}

static void check(const struct egress *e, const char *bytes, size_t len)
{
    char mapped[16] = "\0\0\0\0\0\0\0\0\0\0\xff\xff";
    if (len >= 16) {
        struct egress_verdict v = ask6(e, bytes);
        MUST(v.allowed == !v.kind && (v.allowed || !v.listed));
    }
    if (len < 4)
        return;
    memcpy(mapped + 12, bytes, 4);
    struct egress_verdict plain = ask4(e, bytes), dressed = ask6(e, mapped);
    MUST(plain.allowed == !plain.kind && (plain.allowed || !plain.listed));
    MUST(!dressed.allowed || dressed.listed);
    bool inside = bytes[0] == 127 || bytes[0] == 10 || bytes[0] == 0 || memcmp(bytes, "\xa9\xfe", 2) == 0 ||
                  memcmp(bytes, "\xc0\xa8", 2) == 0;
    MUST(!inside || !plain.allowed || plain.listed);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct egress *e = NULL;
    struct pb_why why = {0};
    struct fuzz_parts p;
    fuzz_split(data, size, &p);
    const char *allow[] = {p.text[0]};
    if (egress_open(allow, p.text[0][0] ? 1 : 0, &e, &why) == PB_OK)
        check(e, p.text[1], p.len[1]);
    else
        MUST(why.text[0]);
    egress_close(e);
    fuzz_split_fini(&p);
    return 0;
}
