/* What the board is to know of a job: its names as hashes, its limits, and its times on the board's clock. */
#ifndef PB_SPEC_H
#define PB_SPEC_H

#include "broker/board/board.h"
#include "common/job.h"
#include "common/manifest.h"

struct broker;

struct board_spec spec_of(const struct broker *b, const struct job *job);

/* A name as the board has it: a keyed hash, never 0. The key is this process's own, so that nobody can make
 * up names that meet. */
uint64_t spec_name(const struct broker *b, enum board_key key, const char *text);

/* "tenant", "type", "host" or "kind" as the API spells it. PB_E_NOT_FOUND: another word. */
pb_err spec_key_parse(const char *text, enum board_key *out) PB_CHECKED;
const char *spec_key_name(enum board_key key);

/* A time on the wall as one of the board's; 0 stays 0, and what has passed is the first moment there is. */
uint64_t spec_board_ms(const struct broker *b, int64_t wall_ms);

/* The name of the provider's gate for a job that asks it: the host where the package names a fixed one, else
 * the type. By the package alone, so that every job of a type counts for one gate. type is set. */
void spec_set_host(struct job *job, const struct manifest *m);

#endif
