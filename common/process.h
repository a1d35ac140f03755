/* The beginning and the end of a program that runs on. */
#ifndef PB_PROCESS_H
#define PB_PROCESS_H

#include "common/config.h"

#include <stdbool.h>
#include <stdint.h>

/* Hardens the process (common/secret.h), blocks SIGTERM, SIGINT and SIGPIPE before the first thread, starts
 * libsodium and reads the settings. false: the program ends here with *status, and has said why; settings are
 * freed then. */
bool process_begin(const struct program *p, int argc, char **argv, void *settings, int *status);

/* From now on the process ends within so long, with this status, whatever still hangs (common/limbo.h says
 * what could). Everything durable must be done before. */
void process_end_within(uint32_t ms, int status);

#endif
