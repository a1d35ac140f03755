/* Which broker is asked, and with which token: options over environment over the file
 * ~/.config/patchbay/config over what `patchbay up` left in the data folder. */
#ifndef PB_CLIENT_ACCESS_H
#define PB_CLIENT_ACCESS_H

#include "common/client/args.h"
#include "common/err.h"
#include "common/secret.h"

#include <stdbool.h>

#define ACCESS_URL_DEFAULT "http://127.0.0.1:7400"

struct access {
    char *url;           /* without a slash at its end */
    struct secret token; /* .data NULL: none was found */
    char *token_from;    /* for messages: "PATCHBAY_TOKEN", a file */
    bool token_exposed;  /* it stands in a file that others may read */
};

/* PB_E_INVALID: the file has a fault, the address is none, or the token holds what no token does. */
pb_err access_open(const struct settings *settings, struct access *out, struct pb_why *why) PB_CHECKED;
void access_fini(struct access *a);

/* Reads url = and token = from an INI file into a where they are not set yet. PB_E_NOT_FOUND: no such file.
 */
pb_err access_read_file(const char *path, struct access *a, struct pb_why *why) PB_CHECKED;

/* Does the address name this machine? Only such a broker is shown the data folder's own token. */
bool access_is_local(const char *url);

#endif
