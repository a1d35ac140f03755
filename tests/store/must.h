/* Short ways with a store for tests outside the suite: what does not succeed ends the test. */
#ifndef PB_TESTS_STORE_MUST_H
#define PB_TESTS_STORE_MUST_H

#include "common/store.h"

#include <stdbool.h>
#include <stddef.h>

struct store *must_open(const char *url, bool read_only);
/* Operations may have any outcome. */
void must_commit(struct store *s, struct store_op *const *ops, size_t count);

#endif
