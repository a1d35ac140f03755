/* Credentials as a JSON object of a type's fields: from the file that --credentials names, or asked for on
 * the terminal, field by field as the type's form has it. Never from arguments, where other users could read
 * them. */
#ifndef PB_CLIENT_CREDENTIALS_H
#define PB_CLIENT_CREDENTIALS_H

#include "common/buf.h"
#include "common/client/client.h"
#include "common/limits.h"

#define CREDENTIALS_JSON_BYTES (8 * LIMIT_CREDENTIALS_BYTES) /* JSON escapes lengthen them */

/* Appends the object to out, which is secret. Gives an exit status; what is wrong has been said. */
int credentials_read(struct client *c, const char *type, struct buf *out);

#endif
