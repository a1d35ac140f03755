#include "worker/holding.h"

#include "common/limits.h"

#include <stdlib.h>
#include <string.h>
#include <uthash.h>

#define ENTRY_BYTES 128 /* of an outcome in a report, beside its texts and document */

struct held {
    uint64_t fence;
    struct pb_id job;
    bool finished;
    uint64_t sent_ms; /* finished: when it was reported last in this session; 0: not yet */
    struct wire_outcome outcome;
    uint8_t *bytes; /* what outcome points to */
    UT_hash_handle hh;
};

static struct held *find(const struct holding *h, uint64_t fence)
{
    struct held *one;
    HASH_FIND(hh, h->all, &fence, sizeof fence, one);
    return one;
}

/* -- one -- */

pb_err holding_add(struct holding *h, const struct pb_id *job, uint64_t fence)
{
    if (find(h, fence))
        return PB_E_EXISTS;
    struct held *one = calloc(1, sizeof *one);
    if (!one)
        return PB_E_MEMORY;
    one->fence = fence;
    one->job = *job;
    HASH_ADD(hh, h->all, fence, sizeof one->fence, one);
    h->running++;
    h->running_sum += fence;
    return PB_OK;
}

const struct pb_id *holding_running(const struct holding *h, uint64_t fence)
{
    const struct held *one = find(h, fence);
    return one && !one->finished ? &one->job : NULL;
}

static size_t outcome_bytes(const struct wire_outcome *o)
{
    return o->result.len + o->code.len + o->change.doc.len;
}

static const void *copy_part(uint8_t **at, const void *from, size_t len)
{
    uint8_t *to = *at;
    if (len)
        memcpy(to, from, len);
    *at += len;
    return to;
}

void holding_finish(struct holding *h, const struct wire_outcome *outcome)
{
    struct held *one = find(h, outcome->fence);
    uint8_t *at = one && !one->finished ? malloc(outcome_bytes(outcome) + 1) : NULL;
    if (!at)
        return;
    one->bytes = at;
    one->outcome = *outcome;
    one->outcome.code.data = copy_part(&at, outcome->code.data, outcome->code.len);
    one->outcome.result.data = copy_part(&at, outcome->result.data, outcome->result.len);
    one->outcome.change.doc.data = copy_part(&at, outcome->change.doc.data, outcome->change.doc.len);
    one->finished = true;
    one->sent_ms = 0;
    h->running--;
    h->running_sum -= one->fence;
    h->unsettled++;
    h->unsent++;
}

static void drop(struct holding *h, struct held *one)
{
    if (one->finished) {
        h->unsettled--;
        h->unsent -= one->sent_ms == 0;
    } else {
        h->running--;
        h->running_sum -= one->fence;
    }
    HASH_DEL(h->all, one);
    free(one->bytes);
    free(one);
}

void holding_drop(struct holding *h, uint64_t fence)
{
    struct held *one = find(h, fence);
    if (one)
        drop(h, one);
}

void holding_settle(struct holding *h, uint64_t fence)
{
    struct held *one = find(h, fence);
    if (one && one->finished)
        drop(h, one);
}

/* -- all -- */

void holding_fini(struct holding *h)
{
    struct held *one, *next;
    HASH_ITER(hh, h->all, one, next)
    {
        drop(h, one);
    }
}

void holding_begin_session(struct holding *h)
{
    h->unsent = 0;
    for (struct held *one = h->all; one; one = one->hh.next) {
        one->sent_ms = 0;
        h->unsent += one->finished;
    }
}

size_t holding_count(const struct holding *h)
{
    return HASH_COUNT(h->all);
}

size_t holding_list(const struct holding *h, struct wire_held *out)
{
    size_t count = 0;
    for (const struct held *one = h->all; one; one = one->hh.next)
        out[count++] = (struct wire_held){one->job, one->fence};
    return count;
}

static bool is_due(const struct held *one, uint64_t now_ms, uint64_t resend_ms)
{
    return one->finished && (one->sent_ms == 0 || now_ms >= one->sent_ms + resend_ms);
}

size_t holding_report(struct holding *h, uint64_t now_ms, uint64_t resend_ms,
                      struct wire_outcome out[LIMIT_BATCH_ENTRIES])
{
    size_t count = 0, bytes = 0;
    for (struct held *one = h->all; one && count < LIMIT_BATCH_ENTRIES; one = one->hh.next) {
        if (!is_due(one, now_ms, resend_ms))
            continue;
        bytes += outcome_bytes(&one->outcome) + ENTRY_BYTES;
        if (count && bytes > LIMIT_BATCH_BYTES)
            break;
        h->unsent -= one->sent_ms == 0;
        one->sent_ms = now_ms;
        out[count++] = one->outcome;
    }
    return count;
}

void holding_count_running(const struct holding *h, uint32_t *running, uint64_t *sum)
{
    *running = h->running;
    *sum = h->running_sum;
    for (const struct held *one = h->all; one && h->unsent; one = one->hh.next) {
        if (!one->finished || one->sent_ms)
            continue;
        ++*running;
        *sum += one->fence;
    }
}
