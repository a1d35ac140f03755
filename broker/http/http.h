/* The broker's HTTP API: libmicrohttpd on a thread of its own takes requests in and hands each, read to its
 * end, to the loop; the loop answers, at once or later, and the answer goes back the same way. What is served
 * is the table in routes.c; what it means is schemas/openapi.yaml.
 *
 * HTTP only: where others than this machine may connect, a proxy in front ends TLS. */
#ifndef PB_HTTP_H
#define PB_HTTP_H

#include "common/err.h"

#include <stdint.h>

struct broker;
struct http_listener;

/* Listens on "HOST:PORT" or "[ADDRESS]:PORT"; port 0 takes a free one. The broker's types and auth must be
 * open, and stay so until http_close(). */
pb_err http_open(struct broker *b, const char *listen, struct http_listener **out,
                 struct pb_why *why) PB_CHECKED;
/* Answers what is under way, waits a moment for the answers to leave, and ends the thread. Whatever a handler
 * has asked of the intake or the reader must have been answered before: close those first. */
void http_close(struct http_listener *l);

/* The loop polls it for reading, then calls http_turn(), which runs the handlers of what came in. */
int http_fd(const struct http_listener *l);
void http_turn(struct broker *b);

/* For types_events.c: what the reader's thread checks payloads with. */
struct desk;
struct desk *http_desk(struct http_listener *l);

/* For queue.c, which fills and reads it. */
struct rates;
struct rates *http_rates(struct http_listener *l);

uint16_t http_port(const struct http_listener *l);

#endif
