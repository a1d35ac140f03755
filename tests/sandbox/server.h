/* The sandbox's two listeners, one with TLS and one without, over the same answers. Both serve on one
 * address, loopback's unless told otherwise, on libmicrohttpd's own epoll threads; nothing here blocks them.
 */
#ifndef SANDBOX_SERVER_H
#define SANDBOX_SERVER_H

#include <netinet/in.h>
#include <stdbool.h>
#include <stdint.h>

#include "cert.h"

struct server;

struct server_config {
    struct in_addr address;         /* where both listen */
    uint16_t https_port, http_port; /* 0: any free one */
    uint64_t latency_ms;            /* added to every answer of a provider */
};

/* On failure returns NULL and says why in *error (static text). cert is used during the call only. */
struct server *server_open(const struct server_config *config, const struct cert *cert, const char **error);
void server_close(struct server *s); /* ends waiting requests without an answer; accepts NULL */
uint16_t server_https_port(const struct server *s);
uint16_t server_http_port(const struct server *s);

#endif
