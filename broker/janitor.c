#include "broker/janitor.h"

#include "broker/broker.h"
#include "broker/journal.h"
#include "common/clock.h"
#include "common/limits.h"

#define SWEEP_MS 10000
#define GO_ON_MS 50 /* after a sweep that found as much as it may remove */
#define DAY_MS   (INT64_C(24) * 3600 * 1000)

static void on_swept(void *arg, struct store_op *op, pb_err err)
{
    struct broker *b = arg;
    bool more = !err && op->purge.removed == LIMIT_PURGE_ROWS;
    b->janitor.busy = false;
    b->janitor.next_ms = b->now_ms + (more ? GO_ON_MS : SWEEP_MS);
    b->janitor.removed += err ? 0 : op->purge.removed;
    journal_op_free(op);
}

static void sweep(struct broker *b)
{
    int64_t now_ms = clock_wall_ms();
    struct store_op *op = journal_op_new(STORE_PURGE_JOBS);
    b->janitor.next_ms = b->now_ms + SWEEP_MS;
    if (!op)
        return;
    op->purge = (struct store_purge){.ended_before_ms = now_ms - b->settings.keep_days * DAY_MS,
                                     .dead_before_ms = now_ms - b->settings.keep_dead_days * DAY_MS,
                                     .keep_count = (uint64_t)b->settings.keep_jobs};
    b->janitor.busy = journal_submit(b->journal, op, on_swept, b) == PB_OK;
    if (!b->janitor.busy)
        journal_op_free(op);
}

uint64_t janitor_tick(struct broker *b)
{
    if (!b->janitor.busy && b->now_ms >= b->janitor.next_ms && !b->draining)
        sweep(b);
    return b->janitor.busy ? UINT64_MAX : b->janitor.next_ms;
}
