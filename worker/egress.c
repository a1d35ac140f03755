#include "worker/egress.h"

#include "common/limits.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define COUNT(table) (sizeof(table) / sizeof((table)[0]))

/* A run of addresses of one family that share their first bits. */
struct range {
    int family;
    unsigned bits;
    uint8_t prefix[16];
};

/* What is not the public Internet: the special-purpose registries of IANA (RFC 6890) and the clouds' own. The
 * first match names the kind. IPv6 addresses that carry an IPv4 one are refused whole, because what they lead
 * to is decided by a gateway that this guard cannot see. */
static const struct refused {
    const char *cidr, *kind;
} refused[] = {
    {"169.254.0.0/16", "a link-local or metadata address"},
    {"168.63.129.16/32", "a cloud platform's metadata address"},
    {"127.0.0.0/8", "a loopback address"},
    {"10.0.0.0/8", "a private address"},
    {"172.16.0.0/12", "a private address"},
    {"192.168.0.0/16", "a private address"},
    {"100.64.0.0/10", "a shared (carrier) address"},
    {"0.0.0.0/8", "an unspecified address"},
    {"192.0.0.0/24", "a protocol-assignment address"},
    {"192.0.2.0/24", "a documentation address"},
    {"198.51.100.0/24", "a documentation address"},
    {"203.0.113.0/24", "a documentation address"},
    {"198.18.0.0/15", "a benchmarking address"},
    {"192.88.99.0/24", "a 6to4 relay address"},
    {"224.0.0.0/4", "a multicast address"},
    {"255.255.255.255/32", "the broadcast address"},
    {"240.0.0.0/4", "a reserved address"},
    {"::1/128", "a loopback address"},
    {"::/128", "an unspecified address"},
    {"::ffff:0:0/96", "an IPv4-mapped address"},
    {"::ffff:0:0:0/96", "an IPv4-translated address"},
    {"::/96", "an IPv4-compatible address"},
    {"64:ff9b::/96", "a NAT64 address"},
    {"64:ff9b:1::/48", "a NAT64 address"},
    {"fd00:ec2::254/128", "a cloud platform's metadata address"},
    {"fc00::/7", "a private address"},
    {"fe80::/10", "a link-local address"},
    {"fec0::/10", "a private address"},
    {"ff00::/8", "a multicast address"},
    {"2001::/32", "a Teredo address"},
    {"2001:2::/48", "a benchmarking address"},
    {"2001:db8::/32", "a documentation address"},
    {"2001::/23", "a protocol-assignment address"},
    {"2002::/16", "a 6to4 address"},
    {"3fff::/20", "a documentation address"},
    /* global unicast is 2000::/3; these three are all the rest */
    {"::/3", "an address outside the public address space"},
    {"4000::/2", "an address outside the public address space"},
    {"8000::/1", "an address outside the public address space"},
};

struct egress {
    struct range refused[COUNT(refused)];
    struct range allowed[LIMIT_EGRESS_RANGES];
    size_t allowed_count;
};

static unsigned width(int family)
{
    return family == AF_INET ? 32 : 128;
}

/* -- CIDRs -- */

static bool shares_prefix(const uint8_t *address, const struct range *r)
{
    unsigned whole = r->bits / 8, rest = r->bits % 8;
    if (memcmp(address, r->prefix, whole) != 0)
        return false;
    return rest == 0 || ((address[whole] ^ r->prefix[whole]) >> (8 - rest)) == 0;
}

static bool has_host_bits(const struct range *r)
{
    for (unsigned bit = r->bits; bit < width(r->family); bit++)
        if (r->prefix[bit / 8] & (0x80u >> (bit % 8)))
            return true;
    return false;
}

static bool parse_bits(const char *text, unsigned max, unsigned *out)
{
    size_t len = strlen(text);
    if (len == 0 || len > 3 || strspn(text, "0123456789") != len)
        return false;
    unsigned long bits = strtoul(text, NULL, 10);
    if (bits > max)
        return false;
    *out = (unsigned)bits;
    return true;
}

static pb_err parse_range(const char *text, struct range *out, struct pb_why *why)
{
    char address[INET6_ADDRSTRLEN + 1];
    const char *slash = strchr(text, '/');
    size_t len = slash ? (size_t)(slash - text) : strlen(text);
    struct range r = {0};
    snprintf(address, sizeof address, "%.*s", len < sizeof address ? (int)len : 0, text);
    r.family = strchr(address, ':') ? AF_INET6 : AF_INET;
    r.bits = width(r.family);
    if (inet_pton(r.family, address, r.prefix) != 1)
        return pb_fail(why, PB_E_INVALID, text, "is not a range of addresses such as 10.0.0.0/8 or fd00::/8");
    if (slash && !parse_bits(slash + 1, r.bits, &r.bits))
        return pb_fail(why, PB_E_INVALID, text, "needs a prefix length of 0 to %u after the slash", r.bits);
    if (has_host_bits(&r))
        return pb_fail(why, PB_E_INVALID, text,
                       "has bits set behind its first %u; write the network's own address, or leave the "
                       "prefix length out for one address",
                       r.bits);
    *out = r;
    return PB_OK;
}

static pb_err parse_all(struct egress *e, const char *const *allow, size_t count, struct pb_why *why)
{
    pb_err err = PB_OK;
    for (size_t i = 0; i < COUNT(refused) && !err; i++)
        err = parse_range(refused[i].cidr, &e->refused[i], why);
    for (; e->allowed_count < count && !err; e->allowed_count++)
        err = parse_range(allow[e->allowed_count], &e->allowed[e->allowed_count], why);
    return err;
}

pb_err egress_open(const char *const *allow, size_t count, struct egress **out, struct pb_why *why)
{
    if (count > LIMIT_EGRESS_RANGES)
        return pb_fail(why, PB_E_LIMIT, allow[LIMIT_EGRESS_RANGES],
                       "is one range too many; at most %d are allowed", LIMIT_EGRESS_RANGES);
    struct egress *e = calloc(1, sizeof *e);
    if (!e)
        return PB_E_MEMORY;
    pb_err err = parse_all(e, allow, count, why);
    if (err)
        egress_close(e);
    else
        *out = e;
    return err;
}

void egress_close(struct egress *e)
{
    free(e);
}

/* -- the check -- */

/* The address's bytes, in network order; NULL for what is no Internet address. */
static const uint8_t *bytes_of(const struct sockaddr *address, socklen_t len)
{
    if (address->sa_family == AF_INET && len >= sizeof(struct sockaddr_in))
        return (const uint8_t *)&((const struct sockaddr_in *)(const void *)address)->sin_addr;
    if (address->sa_family == AF_INET6 && len >= sizeof(struct sockaddr_in6))
        return (const uint8_t *)&((const struct sockaddr_in6 *)(const void *)address)->sin6_addr;
    return NULL;
}

static const struct range *find(const struct range *ranges, size_t count, int family, const uint8_t *bytes)
{
    for (size_t i = 0; i < count; i++)
        if (ranges[i].family == family && shares_prefix(bytes, &ranges[i]))
            return &ranges[i];
    return NULL;
}

struct egress_verdict egress_check(const struct egress *e, const struct sockaddr *address, socklen_t len)
{
    const uint8_t *bytes = bytes_of(address, len);
    if (!bytes)
        return (struct egress_verdict){.kind = "no Internet address"};
    if (find(e->allowed, e->allowed_count, address->sa_family, bytes))
        return (struct egress_verdict){.allowed = true, .listed = true};
    const struct range *r = find(e->refused, COUNT(e->refused), address->sa_family, bytes);
    if (r)
        return (struct egress_verdict){.kind = refused[r - e->refused].kind};
    return (struct egress_verdict){.allowed = true};
}
