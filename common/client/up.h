/* What `patchbay up` reads from the broker's log and addresses; the rest is behind the command. Pure. */
#ifndef PB_CLIENT_UP_H
#define PB_CLIENT_UP_H

#include "common/err.h"

#include <stdbool.h>
#include <stddef.h>

/* The value of a key in a log line, JSON or text: log_field(line, "port", ...). false: it has none. */
bool log_field(const char *line, const char *key, char *out, size_t size);
/* Does the line say that its program is ready? */
bool log_is_ready(const char *line);

/* The address that a client on this machine uses for a listener: "0.0.0.0:7400" and port 7400 give
 * "http://127.0.0.1:7400". */
pb_err up_address(const char *listen, const char *port, char *out, size_t size) PB_CHECKED;

#endif
