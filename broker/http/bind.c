#include "broker/http/bind.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define BACKLOG 511

static pb_err malformed(const char *text, struct pb_why *why)
{
    return pb_fail(
        why, PB_E_INVALID, "--http-listen",
        "must be HOST:PORT, as 127.0.0.1:7400 or [::1]:7400, with a port from 0 (any that is free) to "
        "65535; it is \"%.200s\"",
        text);
}

static bool is_port(const char *text)
{
    size_t len = strlen(text);
    return len >= 1 && len <= 5 && strspn(text, "0123456789") == len && strtol(text, NULL, 10) <= UINT16_MAX;
}

pb_err bind_parse(const char *text, struct bind_address *out, struct pb_why *why)
{
    bool bracketed = text[0] == '[';
    const char *host = text + bracketed, *end = bracketed ? strchr(host, ']') : strchr(host, ':');
    const char *colon = end && bracketed ? end + 1 : end;
    if (!colon || *colon != ':' || end == host || (size_t)(end - host) >= BIND_HOST_BYTES ||
        !is_port(colon + 1))
        return malformed(text, why);
    struct bind_address a = {0};
    memcpy(a.host, host, (size_t)(end - host));
    snprintf(a.port, sizeof a.port, "%s", colon + 1);
    *out = a;
    return PB_OK;
}

static bool is_loopback(const struct sockaddr_storage *a)
{
    if (a->ss_family == AF_INET6)
        return IN6_IS_ADDR_LOOPBACK(&((const struct sockaddr_in6 *)a)->sin6_addr);
    return ntohl(((const struct sockaddr_in *)a)->sin_addr.s_addr) >> 24 == 127;
}

/* A descriptor that listens at the address, or -1 with errno. */
static int listen_at(const struct addrinfo *at)
{
    int one = 1, fd = socket(at->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return -1;
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    if (bind(fd, at->ai_addr, at->ai_addrlen) == 0 && listen(fd, BACKLOG) == 0)
        return fd;
    int reason = errno;
    close(fd);
    errno = reason;
    return -1;
}

static pb_err refused(const char *text, int reason, struct pb_why *why)
{
    static const struct {
        int reason;
        const char *text;
    } known[] = {
        {EADDRINUSE, "is in use; stop what listens there or choose another with --http-listen"},
        {EACCES, "may not be used by this user; choose a port above 1023 with --http-listen"},
        {EADDRNOTAVAIL, "is not an address of this machine; choose another with --http-listen"},
    };
    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++)
        if (known[i].reason == reason)
            return pb_fail(why, PB_E_IO, "--http-listen", "address %.200s %s", text, known[i].text);
    return pb_fail(why, PB_E_IO, "--http-listen", "cannot listen at %.200s: %s", text, strerror(reason));
}

static void describe(struct bind_socket *s)
{
    struct sockaddr_storage at = {0};
    socklen_t len = sizeof at;
    if (getsockname(s->fd, (struct sockaddr *)&at, &len) != 0)
        return;
    s->is_loopback = is_loopback(&at);
    s->port = ntohs(at.ss_family == AF_INET6 ? ((struct sockaddr_in6 *)&at)->sin6_port
                                             : ((struct sockaddr_in *)&at)->sin_port);
}

pb_err bind_open(const char *text, struct bind_socket *out, struct pb_why *why)
{
    const struct addrinfo hints = {
        .ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM, .ai_flags = AI_PASSIVE | AI_NUMERICSERV};
    struct bind_socket s = {.fd = -1};
    struct bind_address address;
    struct addrinfo *all = NULL;
    pb_err err = bind_parse(text, &address, why);
    if (err)
        return err;
    int failed = getaddrinfo(address.host, address.port, &hints, &all);
    if (failed)
        return pb_fail(why, PB_E_NOT_FOUND, "--http-listen", "the host of %.200s cannot be found: %s", text,
                       gai_strerror(failed));
    int reason = 0;
    for (const struct addrinfo *at = all; at && s.fd < 0; at = at->ai_next)
        if ((s.fd = listen_at(at)) < 0)
            reason = errno;
    freeaddrinfo(all);
    if (s.fd < 0)
        return refused(text, reason, why);
    describe(&s);
    *out = s;
    return PB_OK;
}
