/* How credentials are protected.
 *
 * On the way in: sealed (libsodium crypto_box_seal: X25519, XSalsa20-Poly1305) to the workers' public key, so
 * that the broker that took them cannot open them again. The plaintext names tenant, type and integration
 * beside the fields; opening it for any other fails. At rest: XChaCha20-Poly1305 under a master key of the
 * keyring, with id, tenant and type as associated data, so that a box copied to another record does not open.
 *
 * No threads; no blocking; errors PB_E_DENIED where a box does not open, without telling why. */
#ifndef PB_SEAL_H
#define PB_SEAL_H

#include "common/err.h"
#include "common/id.h"
#include "common/secret.h"

#include <stddef.h>
#include <stdint.h>

#define SEAL_PUBLIC_BYTES 32
#define SEAL_NONCE_BYTES  24
#define SEAL_KID_CHARS    31

/* Credentials at rest. */
struct seal_box {
    int version; /* 1 */
    char kid[SEAL_KID_CHARS + 1];
    uint8_t nonce[SEAL_NONCE_BYTES];
    uint8_t *bytes; /* ciphertext and tag, owned */
    size_t len;
};
void seal_box_fini(struct seal_box *box);

/* Whose credentials they are. */
struct seal_owner {
    const char *tenant, *type;
    struct pb_id integration;
};

/* Field names and values. Owned; zeroed is empty. */
struct credential {
    char *name;
    struct secret value;
};
struct credentials {
    struct credential *items;
    size_t count;
};
void credentials_fini(struct credentials *c);
pb_err credentials_add(struct credentials *c, const char *name, const char *value, size_t len) PB_CHECKED;
const struct secret *credentials_get(const struct credentials *c, const char *name); /* NULL: none */

/* To the workers' public key. *out is malloc'ed. */
pb_err seal_inbound(const uint8_t public_key[SEAL_PUBLIC_BYTES], const struct seal_owner *owner,
                    const struct credentials *c, uint8_t **out, size_t *out_len) PB_CHECKED;

struct keyring;
/* Tries the keyring's inbound keys, newest first. */
pb_err seal_open_inbound(const struct keyring *ring, const struct seal_owner *owner, const uint8_t *sealed,
                         size_t len, struct credentials *out) PB_CHECKED;
/* Under the keyring's current key. */
pb_err seal_store(const struct keyring *ring, const struct seal_owner *owner, const struct credentials *c,
                  struct seal_box *out) PB_CHECKED;
/* PB_E_NOT_FOUND: the keyring has no key of the box's kid. */
pb_err seal_open_stored(const struct keyring *ring, const struct seal_owner *owner,
                        const struct seal_box *box, struct credentials *out) PB_CHECKED;

#endif
