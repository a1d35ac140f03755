/* Answers that are wrong below the level of any provider's API: cut off, oversized, not JSON, sent elsewhere.
 */
#ifndef SANDBOX_WIRE_H
#define SANDBOX_WIRE_H

#include "behaviour.h"

struct reply wire_reset(const struct ask *ask);
struct reply wire_truncated(const struct ask *ask);
struct reply wire_html(const struct ask *ask);
struct reply wire_empty(const struct ask *ask);
struct reply wire_huge(const struct ask *ask);
struct reply wire_bomb(const struct ask *ask);
struct reply wire_redirect_same(const struct ask *ask);
struct reply wire_redirect_other(const struct ask *ask);
struct reply wire_redirect_host(const struct ask *ask);
struct reply wire_redirect_loop(const struct ask *ask);

#endif
