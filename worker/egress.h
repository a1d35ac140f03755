/* The egress guard: which addresses a provider request may connect to.
 *
 * Credentials and hosts come from people, so a request could be aimed at what only this machine can reach:
 * loopback, a private network, a cloud's metadata service, or one of these dressed up as IPv6. Only addresses
 * of the public Internet pass, and those that an operator has listed. Immutable once opened; nothing blocks.
 */
#ifndef PB_EGRESS_H
#define PB_EGRESS_H

#include "common/err.h"

#include <stdbool.h>
#include <stddef.h>
#include <sys/socket.h>

struct egress;

/* allow: CIDRs ("10.0.0.0/8", "fd00::/8") or single addresses that pass though they are not public. What is
 * wrong with one goes to why. */
pb_err egress_open(const char *const *allow, size_t count, struct egress **out,
                   struct pb_why *why) PB_CHECKED;
void egress_close(struct egress *e);

struct egress_verdict {
    bool allowed;     /* may be connected to */
    bool listed;      /* because the operator said so; plain http is for these alone */
    const char *kind; /* what kind of address was refused: "a loopback address"; NULL where allowed */
};
struct egress_verdict egress_check(const struct egress *e, const struct sockaddr *address, socklen_t len);

#endif
