/* Where `patchbay up` keeps what it needs: the data folder with its secrets, the folder of sockets, the
 * programs and packages. */
#ifndef PB_CLIENT_PLACE_H
#define PB_CLIENT_PLACE_H

#include "common/err.h"

#include <stdbool.h>
#include <stddef.h>

#define PLACE_SOCKET_FOLDER_MAX 80 /* sun_path has 108 bytes; "/jobs-" and 16 digits come after it */

struct place {
    char *data, *run, *logs; /* folders, absolute */
    char *cluster_secret, *keyring, *admin_token;
    char *broker, *worker, *manifests; /* programs and folder */
    bool run_is_temporary;             /* made for this launch, since the data folder's path is too long */
    bool first_time;                   /* there is no admin token yet */
    int lock_fd;                       /* -1: not locked */
};

/* Makes data_dir and what is missing in it, and locks it: PB_E_BUSY if another launcher has it. manifests may
 * be NULL. Zero *out before; place_close() is due even after an error. */
pb_err place_open(const char *data_dir, const char *manifests, struct place *out,
                  struct pb_why *why) PB_CHECKED;
void place_close(struct place *p);

#endif
