/* What has been asked of the sandbox, for tests to look at. Any thread. */
#ifndef SANDBOX_TALLY_H
#define SANDBOX_TALLY_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

struct tally;

struct tally *tally_open(void); /* NULL: no memory */
void tally_close(struct tally *t);

/* Counts a request in. Returns which one with this key it is, from 1; 0 if it is not counted by key, because
 * key is "" or already too many are known. Keys whose answer depends on their count have a table of their own
 * (counted_answer), so that a benchmark with many keys does not push them out. */
uint64_t tally_enter(struct tally *t, const char *key, bool counted_answer);
void tally_leave(struct tally *t);

json_t *tally_report(struct tally *t); /* {total, byKey, maxConcurrent}; NULL: no memory */
void tally_reset(struct tally *t);

#endif
