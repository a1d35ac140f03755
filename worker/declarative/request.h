/* Builds a step's request from its templates and the credentials. Pure. */
#ifndef PB_REQUEST_H
#define PB_REQUEST_H

#include "worker/declarative/plan.h"
#include "worker/declarative/template.h"
#include "worker/transfer.h"

/* Zeroed is empty. The transfer_request inside lends from the rest. */
struct request {
    struct transfer_request transfer;
    struct transfer_header headers[LIMIT_REQUEST_HEADERS];
    char names[LIMIT_REQUEST_HEADERS][104];
    struct secret url, body;
    const char *hosts[LIMIT_TRANSFER_HOSTS];
    char own_host[272]; /* of the base address, where the package lists none */
    char host[256];     /* that is asked */
};

/* PB_E_INVALID: the package is wrong. PB_E_DENIED: a value cannot be used; why->at is its field. */
pb_err request_build(const struct plan *plan, const struct plan_step *step, const struct template_env *env,
                     struct request *out, struct pb_why *why) PB_CHECKED;
void request_fini(struct request *r);

#endif
