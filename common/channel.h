/* The encrypted channel between a worker's session and the broker: who proves the cluster secret gets a key
 * for each direction. schemas/messages.md, "The handshake", says it for other languages; the shape is that of
 * Noise NNpsk0 (noiseprotocol.org), built from libsodium's primitives. Pure: no sockets, no clock. */
#ifndef PB_CHANNEL_H
#define PB_CHANNEL_H

#include "common/buf.h"
#include "common/err.h"
#include "common/wire.h"

#define CHANNEL_PSK_BYTES 32
#define CHANNEL_OVERHEAD  64 /* what a sealed frame is longer than what is in it, at most */

/* Reads the cluster secret (64 hex digits, mode 0600) and derives the key that hellos are bound to. */
pb_err channel_read_secret(const char *path, uint8_t psk[CHANNEL_PSK_BYTES], struct pb_why *why) PB_CHECKED;
/* Makes such a file; PB_E_EXISTS if there is one. */
pb_err channel_create_secret(const char *path, struct pb_why *why) PB_CHECKED;

/* Plain data; wipe with channel_fini. */
struct channel {
    uint8_t session[WIRE_SESSION_BYTES];
    uint8_t key_out[32], key_in[32];
    uint64_t sent, seen; /* the counter of the last frame of each direction */
};
void channel_fini(struct channel *c);

/* The worker's half: says hello with a new session, then takes the welcome. */
struct channel_hello {
    struct wire_hello hello;
    uint8_t secret_key[32];
};
pb_err channel_greet(const uint8_t psk[CHANNEL_PSK_BYTES], struct channel_hello *out) PB_CHECKED;
/* PB_E_DENIED: it does not prove the secret. */
pb_err channel_take_welcome(const uint8_t psk[CHANNEL_PSK_BYTES], const struct channel_hello *h,
                            const struct wire_welcome *w, struct channel *out) PB_CHECKED;

/* The broker's half. PB_E_DENIED: the hello does not prove the secret. PB_E_UNSUPPORTED: no common version.
 */
pb_err channel_welcome(const uint8_t psk[CHANNEL_PSK_BYTES], const struct wire_hello *hello,
                       struct wire_welcome *w, struct channel *out) PB_CHECKED;

/* Appends the frame that holds plain to out. */
pb_err channel_seal(struct channel *c, const uint8_t *plain, size_t len, struct buf *out) PB_CHECKED;
/* Opens a frame into plain (emptied first). PB_E_DENIED: not authentic, or its counter is not above the last
 * one's. */
pb_err channel_open(struct channel *c, const struct wire_sealed *frame, struct buf *plain) PB_CHECKED;

#endif
