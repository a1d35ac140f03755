/* One job of POST /v1/jobs: read, checked, and made ready to be submitted. Off the loop's thread: it asks the
 * store and seals credentials, which takes its time. */
#ifndef PB_HTTP_ENTRY_H
#define PB_HTTP_ENTRY_H

#include "broker/http/form.h"
#include "common/job.h"
#include "common/manifest.h"
#include "common/seal.h"
#include "common/store.h"

#include <stdbool.h>

/* On whose behalf, and with what. Lent for the call. */
struct entry_context {
    const struct manifests *types;
    const char *tenant;      /* of what is new */
    bool all_tenants;        /* may it name any tenant's integrations? */
    const uint8_t *seal_key; /* NULL: no worker has told it yet */
};

/* A job, or why it is none. */
struct entry {
    struct job job;
    bool duplicate;   /* job.id is that of an older one with its idempotency key */
    const char *code; /* a problem's; NULL: it is a job. A literal */
    struct fields_fault
        *faults; /* with invalid_request; as many as there are: thousands of entries have some */
    size_t fault_count;
    struct fields_fault fault; /* with any other code that blames a member; pointer "" where none is */
    char detail[256];
};

void entry_fini(struct entry *e);

/* Fills e, zeroed before, from one object of the body; the job's id is left to whoever submits it. Other than
 * PB_OK: no memory, or the store failed. */
pb_err entry_read(struct entry *e, const json_t *object, const struct entry_context *c, struct store *store,
                  struct pb_why *why) PB_CHECKED;

void entry_refuse(struct entry *e, const char *code, const char *member, const char *format, ...)
    __attribute__((format(printf, 4, 5)));

/* The problem document, with pointers below "/index" (negative: as they are). New reference. */
json_t *entry_problem(const struct entry *e, long index);

#endif
