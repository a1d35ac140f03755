/* API tokens: who may ask, and on whose behalf. Only their hashes are kept. Immutable once open, so any
 * thread may look one up. */
#ifndef PB_HTTP_AUTH_H
#define PB_HTTP_AUTH_H

#include "common/err.h"
#include "common/store.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define AUTH_HASH_BYTES       32
#define AUTH_TOKEN_TEXT_BYTES 47 /* "pb_", 43 characters of base64url, NUL */
#define AUTH_TENANT_ALL       "*"

struct auth;
struct broker;

/* In rising order: each may do what the ones before it may. */
enum auth_role { ROLE_NONE, ROLE_VIEWER, ROLE_SUBMITTER, ROLE_OPERATOR, ROLE_ADMIN };

/* Loads the tokens. Where there are none it makes the first one, an administrator's of the whole cluster, and
 * writes it to admin.token in the data folder; a failure leaves neither file nor token behind. Blocks. */
pb_err auth_open(struct broker *b, struct store *store, struct auth **out, struct pb_why *why) PB_CHECKED;
void auth_close(struct auth *a);

/* The token that an Authorization header's value ("Bearer pb_...") names; NULL: none. Takes the same time
 * whichever it is. Lent while open. */
const struct store_token *auth_find(const struct auth *a, const char *authorization);

/* ROLE_NONE for a name that is none. */
enum auth_role auth_role_of(const struct store_token *token);

/* -- for tests -- */

void auth_new_token(char out[AUTH_TOKEN_TEXT_BYTES]);
void auth_hash(const char *token, size_t len, uint8_t out[AUTH_HASH_BYTES]);

#endif
