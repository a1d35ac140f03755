/* Which certificate authorities are trusted: the system's, and those of a file beside them. curl reads one
 * file, so the two are joined in a file that lives in memory; because it has a path, curl parses it once a
 * day and not once a connection. */
#ifndef PB_TRUST_H
#define PB_TRUST_H

#include "common/err.h"

struct trust;

/* ca_file: PEM; NULL: the system's alone. */
pb_err trust_open(const char *ca_file, struct trust **out, struct pb_why *why) PB_CHECKED;
void trust_close(struct trust *t);
/* For CURLOPT_CAINFO. Lent while open. NULL: curl's own default. */
const char *trust_path(const struct trust *t);

#endif
