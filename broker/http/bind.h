/* The listening socket: from "HOST:PORT" to a descriptor, with errors that say what to do. */
#ifndef PB_HTTP_BIND_H
#define PB_HTTP_BIND_H

#include "common/err.h"

#include <stdbool.h>
#include <stdint.h>

#define BIND_HOST_BYTES 256

struct bind_address {
    char host[BIND_HOST_BYTES]; /* without brackets */
    char port[6];
};

/* "127.0.0.1:7400", "localhost:0", "[::1]:7400". Pure. */
pb_err bind_parse(const char *text, struct bind_address *out, struct pb_why *why) PB_CHECKED;

struct bind_socket {
    int fd; /* non-blocking, listening */
    uint16_t port;
    bool is_loopback;
};
/* Looks the host up, which may block. */
pb_err bind_open(const char *text, struct bind_socket *out, struct pb_why *why) PB_CHECKED;

#endif
