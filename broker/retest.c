#include "broker/retest.h"

#include "broker/broker.h"
#include "broker/effects.h"
#include "broker/spec.h"
#include "common/buf.h"
#include "common/clock.h"

#include <stdio.h>
#include <string.h>

pb_err retest_read(const struct integration *in, struct retest *out)
{
    struct retest r = {.integration = in->id, .before = in->status};
    struct buf packed;
    buf_init(&packed, LIMIT_MESSAGE_BYTES);
    snprintf(r.tenant, sizeof r.tenant, "%s", in->tenant);
    snprintf(r.type, sizeof r.type, "%s", in->type);
    pb_err err = integration_pack(in, &packed);
    if (!err && !(r.doc = (uint8_t *)buf_take(&packed, &r.doc_len)))
        err = PB_E_MEMORY;
    buf_fini(&packed);
    if (!err)
        *out = r;
    return err;
}

struct store_op *retest_op(struct broker *b, struct retest *r)
{
    struct store_op *op = journal_op_new(STORE_APPEND_JOB);
    if (!op)
        return NULL;
    op->job = (struct job){.kind = JOB_VALIDATE,
                           .state = JOB_WAITING,
                           .integration = r->integration,
                           .priority = PRIORITY_LOW,
                           .ephemeral = true,
                           .created_at_ms = clock_wall_ms(),
                           .payload = r->doc,
                           .payload_len = r->doc_len};
    id_new(&op->job.id, op->job.created_at_ms);
    memcpy(op->job.tenant, r->tenant, sizeof op->job.tenant);
    memcpy(op->job.type, r->type, sizeof op->job.type);
    spec_set_host(&op->job, manifests_find(b->types, r->type));
    r->doc = NULL;
    return op;
}

void retest_submit(struct broker *b, struct store_op *op)
{
    struct board_event event = {.kind = BOARD_SUBMIT,
                                .job = op->job.id,
                                .integration = op->job.integration,
                                .spec = spec_of(b, &op->job),
                                .cargo = op};
    effects_step(b, &event);
}

pb_err retest_write(struct broker *b, struct store_op *op, journal_done *done, void *arg)
{
    op->kind = STORE_CHANGE;
    op->change.if_revision = op->change.doc.revision - 1;
    return journal_submit(b->journal, op, done, arg);
}

bool retest_is_waiting(const struct broker *b, const struct pb_id *job)
{
    static const char *const waiting[] = {"ready", "delayed", "blocked"};
    bool cancelled = false;
    const char *state = board_state_of(b->board, job, &cancelled);
    for (size_t i = 0; state && i < sizeof waiting / sizeof waiting[0]; i++)
        if (strcmp(state, waiting[i]) == 0)
            return !cancelled;
    return false;
}

void retest_cancel(struct broker *b, const struct pb_id *job)
{
    effects_step(b, &(struct board_event){.kind = BOARD_CANCEL_JOB, .job = *job});
}
