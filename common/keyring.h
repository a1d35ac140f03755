/* The keyring: the file of master keys, which only workers read.
 *
 * One line a key, oldest first: "key <kid> <64 hex digits>", and comments with #. The last key is current: it
 * encrypts; the others decrypt what they once encrypted. From each master key two are derived (crypto_kdf):
 * one for records at rest, one X25519 pair that credentials are sealed to on arrival. Master keys lie in
 * sodium_malloc memory. */
#ifndef PB_KEYRING_H
#define PB_KEYRING_H

#include "common/err.h"
#include "common/seal.h"

#define KEYRING_KEYS_MAX 64

struct keyring;

/* Makes a file with one new random key, mode 0600, never over an existing one (PB_E_EXISTS). Its folder must
 * exist. */
pb_err keyring_create(const char *path, struct pb_why *why) PB_CHECKED;
/* Refuses a file that group or others may read, that is not a regular file, or that is not well formed;
 * why names file, line and remedy. */
pb_err keyring_open(const char *path, struct keyring **out, struct pb_why *why) PB_CHECKED;
void keyring_close(struct keyring *ring);

/* The current key's public half, for sealing. Lent while the ring is open. */
const uint8_t *keyring_public(const struct keyring *ring);
const char *keyring_current_kid(const struct keyring *ring);

/* For seal.c: keys by index, newest first. */
size_t keyring_count(const struct keyring *ring);
const char *keyring_kid(const struct keyring *ring, size_t i);
const uint8_t *keyring_record_key(const struct keyring *ring, size_t i); /* 32 bytes */
const uint8_t *keyring_box_public(const struct keyring *ring, size_t i); /* 32 bytes */
const uint8_t *keyring_box_secret(const struct keyring *ring, size_t i); /* 32 bytes */

#endif
