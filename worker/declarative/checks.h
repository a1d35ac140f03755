/* Plays a package's checks.json, recorded provider answers, through the connector's real code. Sends nothing:
 * for tests and for `patchbay lint --checks`. */
#ifndef PB_CHECKS_H
#define PB_CHECKS_H

#include "common/manifest.h"

#include <jansson.h>
#include <stddef.h>

/* How many of the checks fail; the first failure's name and reason go to text. What is no list of checks
 * fails. */
size_t checks_play(const struct manifest *m, const json_t *checks, char *text, size_t size);

#endif
