/* What several tests need: a folder that is gone afterwards, hex, and a generator of numbers that gives the
 * same ones in every run. Failures end the test at once, so nothing here returns an error. */
#ifndef PB_TESTS_SCRATCH_H
#define PB_TESTS_SCRATCH_H

#include <stddef.h>
#include <stdint.h>

struct scratch {
    char folder[64];
};
void scratch_open(struct scratch *s);
void scratch_close(struct scratch *s); /* with all that is in it */
/* Fixtures of a test or a group: its state is such a folder, one at a time. */
int scratch_start(void **state);
int scratch_stop(void **state);
/* folder/name; out is returned. */
const char *scratch_path(const struct scratch *s, const char *name, char out[256]);
/* Writes a file (making the folders on the way, replacing what was there) and sets its mode. */
void scratch_write(const struct scratch *s, const char *name, const void *bytes, size_t len, unsigned mode);
void scratch_text(const struct scratch *s, const char *name, const char *text);

uint64_t scratch_random(uint64_t *seed); /* splitmix64 */

/* Decodes hex digits; fails unless they give exactly len bytes. */
void scratch_unhex(const char *hex, void *out, size_t len);

/* A test vector of a document: the hex digits behind "name =" on a line of their own. Fails if there is no
 * such line, or more than max bytes. Gives the length. */
size_t scratch_vector(const char *document, const char *name, void *out, size_t max);

/* Changes some of the bytes at random: flips, overwrites, cuts, doubles. Gives the new length, at most
 * max_len. */
size_t scratch_mutate(uint64_t *seed, uint8_t *bytes, size_t len, size_t max_len);

/* Calls parse() with every proper beginning of bytes and then with rounds mutations of them. Each input lies
 * in memory of its own length, so that sanitizers see a read behind its end. parse() must not fail the test.
 */
void scratch_fuzz(const uint8_t *bytes, size_t len, uint64_t seed, int rounds,
                  void (*parse)(void *arg, const uint8_t *bytes, size_t len), void *arg);

#endif
