/* The contract of an integration: how one type's service is spoken to.
 *
 * testConnection(credentials): connector->test starts a test and returns at once; its result comes by done(),
 * exactly once, on the worker's loop thread; from within test() where nothing has to be asked of the service,
 * and then *out was written before.
 *
 * validateEventPayload(eventType, payload) is the same for every type, by the schemas of its package:
 * worker/events.c. Actions join this table when they come. */
#ifndef PB_CONNECTOR_H
#define PB_CONNECTOR_H

#include "common/err.h"
#include "common/manifest.h"
#include "common/result.h"
#include "common/seal.h"

struct transfer;

typedef void connector_done(void *arg, const struct result *result);

struct connector_test;

struct connector {
    const char *name;
    /* Takes nothing: manifest and credentials stay the caller's and must outlive the test. deadline_ms is how
     * long all its steps may take together. *out is for cancel and is invalid once done() was called. */
    pb_err (*test)(struct transfer *transfer, const struct manifest *manifest,
                   const struct credentials *credentials, uint32_t deadline_ms, connector_done *done,
                   void *arg, struct connector_test **out);
    /* Ends a test without a result: done() is not called. */
    void (*cancel)(struct connector_test *test);
};

/* The one that reads a manifest's http, auth and test blocks. */
extern const struct connector declarative_connector;

#endif
