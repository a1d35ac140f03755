/* The runner carries an attempt out: job -> credentials -> connector -> record -> outcome. Stateless between
 * attempts: all it knows comes with the attempt, the keyring and the packages. On the loop's thread. */
#ifndef PB_RUNNER_H
#define PB_RUNNER_H

#include "common/err.h"
#include "common/keyring.h"
#include "common/log.h"
#include "common/manifest.h"
#include "common/wire.h"

struct runner;
struct transfer;

struct runner_settings {
    const struct manifests *types;
    const struct keyring *keyring;
    struct transfer *transfer;
};

/* The outcome is lent for the call. */
typedef void runner_done(void *arg, const struct wire_outcome *outcome);

pb_err runner_open(const struct runner_settings *settings, const struct log *log, runner_done *done,
                   void *arg, struct runner **out) PB_CHECKED;
void runner_close(struct runner *r); /* what still runs ends without an outcome */

/* The loop polls it for reading, then calls runner_turn(), which calls done() of what its threads have ended.
 */
int runner_fd(const struct runner *r);
void runner_turn(struct runner *r);

/* The attempt is lent for the call. done() may be called from within. */
void runner_start(struct runner *r, const struct wire_attempt *attempt);
/* Ends an attempt without an outcome; nothing happens if it is not running. */
void runner_cancel(struct runner *r, uint64_t fence);

#endif
