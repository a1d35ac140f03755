/* Credentials as a JSON object of a type's fields: from the file that --credentials names, or asked for on
 * the terminal, field by field as the type's form has it. Never from arguments, where other users could read
 * them. */
#ifndef PB_CLIENT_CREDENTIALS_H
#define PB_CLIENT_CREDENTIALS_H

#include "common/buf.h"
#include "common/client/client.h"

/* Posts {"type": operand, "name": --name if there is one, "credentials": ..}; post gets the body, which is
 * secret and gone afterwards. Gives an exit status; what is wrong has been said. */
int credentials_send(struct client *c, int (*post)(struct client *c, const struct buf *body));

#endif
