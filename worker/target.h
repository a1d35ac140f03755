/* Where a request goes: an address taken apart, what a redirect makes of it, and which hosts may see
 * credentials. Pure. */
#ifndef PB_TARGET_H
#define PB_TARGET_H

#include "common/err.h"
#include "common/secret.h"

#include <stdbool.h>
#include <stddef.h>

#define TARGET_HOST_BYTES 256

struct target {
    struct secret url;            /* whole and normalised, without user, password and fragment */
    char host[TARGET_HOST_BYTES]; /* lower case; an IPv6 address in its brackets */
    unsigned port;
    bool https;
};
void target_fini(struct target *t);

/* PB_E_INVALID: not an http or https address with a host. PB_E_DENIED: with a user or password in it, which
 * would be a way around the packages' auth blocks. */
pb_err target_parse(const char *url, struct target *out, struct pb_why *why) PB_CHECKED;
/* Where a Location header leads, seen from the address that answered it (RFC 9110, section 10.2.2). A user or
 * password in it is dropped. PB_E_DENIED: from https to http. */
pb_err target_redirect(const struct target *from, const char *location, struct target *out,
                       struct pb_why *why) PB_CHECKED;

/* Does a pattern of allowedHosts stand for this target? "api.example.com", "*.example.com" (one label or
 * more), either with ":port"; without one it means the scheme's own port. */
bool target_matches(const struct target *t, const char *pattern);

#endif
