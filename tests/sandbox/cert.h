/* A throw-away certificate authority, and one server certificate from it. Nothing but the authority's public
 * certificate ever leaves the process; both are forgotten with it. */
#ifndef SANDBOX_CERT_H
#define SANDBOX_CERT_H

#include <stdbool.h>
#include <stddef.h>

struct cert {
    char *ca_pem, *leaf_pem, *leaf_key_pem; /* owned */
};

/* names are DNS names, beside which the certificate always holds 127.0.0.1. On failure says why in *error
 * (static text) and leaves nothing to free. */
bool cert_make(struct cert *c, const char *const *names, size_t count, const char **error);
void cert_fini(struct cert *c); /* accepts a zeroed one */

#endif
