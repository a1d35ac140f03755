#include "broker/keeper.h"

#include "broker/broker.h"
#include "broker/effects.h"
#include "broker/journal.h"
#include "broker/reader.h"
#include "broker/retest.h"
#include "common/clock.h"
#include "common/limits.h"

#include <stdlib.h>
#include <string.h>
#include <uthash.h>

#define PAGE       256
#define LOOK_MS    1000  /* between looks when the last one found nothing new */
#define SOON_MS    20    /* when it found a full page */
#define SWEEP_MS   60000 /* from the beginning again: for what came to no result, or was passed over */
#define TYPE_SHARE 4     /* one type has at most this part of the room, so that a slow one leaves some */

/* One integration under way. */
struct kept {
    struct pb_id job, integration;
    char type[LIMIT_TYPE_CHARS + 1];
    UT_hash_handle by_job, by_integration;
};

struct share {
    char type[LIMIT_TYPE_CHARS + 1];
    size_t count;
    UT_hash_handle hh;
};

struct page {
    struct keeper *keeper;
    int64_t now_ms, after_ms;
    struct pb_id after;
    struct retest items[PAGE];
    int64_t due_ms[PAGE];
    size_t count;
};

struct keeper {
    struct broker *broker;
    size_t most;
    struct kept *by_job, *by_integration;
    struct share *shares;
    bool reading, passed_over; /* passed_over: since the sweep began, for want of room for its type */
    int64_t after_ms;          /* where the sweep is: the due time and id of the last one */
    struct pb_id after;
    uint64_t next_ms, sweep_ms;
    uint64_t tested;
};

/* -- what is under way -- */

static struct share *share_of(struct keeper *k, const char *type)
{
    struct share *s;
    HASH_FIND_STR(k->shares, type, s);
    if (s)
        return s;
    s = calloc(1, sizeof *s);
    if (!s)
        return NULL;
    snprintf(s->type, sizeof s->type, "%s", type);
    HASH_ADD_STR(k->shares, type, s);
    return s;
}

static size_t under_way(const struct keeper *k)
{
    return HASH_CNT(by_job, k->by_job);
}

static bool is_under_way(const struct keeper *k, const struct pb_id *integration)
{
    struct kept *one;
    HASH_FIND(by_integration, k->by_integration, integration, sizeof *integration, one);
    return one;
}

static struct kept *find(const struct keeper *k, const struct pb_id *job)
{
    struct kept *one;
    HASH_FIND(by_job, k->by_job, job, sizeof *job, one);
    return one;
}

static void forget(struct keeper *k, struct kept *one)
{
    struct share *s = share_of(k, one->type);
    if (s && --s->count == 0) {
        HASH_DEL(k->shares, s);
        free(s);
    }
    HASH_DELETE(by_job, k->by_job, one);
    HASH_DELETE(by_integration, k->by_integration, one);
    free(one);
}

/* -- sending -- */

static bool is_wanted(struct keeper *k, const struct retest *r)
{
    const struct manifest *m = manifests_find(k->broker->types, r->type);
    return m && !m->billable && !is_under_way(k, &r->integration);
}

static bool has_room(struct keeper *k, const struct retest *r)
{
    if (under_way(k) >= k->most)
        return false; /* before a share is made, which only its last test's end would free */
    const struct share *s = share_of(k, r->type);
    return s && s->count <= k->most / TYPE_SHARE;
}

/* Takes the document. */
static void send(struct keeper *k, struct retest *r)
{
    struct kept *one = calloc(1, sizeof *one);
    struct store_op *op = one ? retest_op(k->broker, r) : NULL;
    if (!op) {
        free(one);
        return;
    }
    one->job = op->job.id;
    one->integration = r->integration;
    memcpy(one->type, r->type, sizeof one->type);
    HASH_ADD(by_job, k->by_job, job, sizeof one->job, one);
    HASH_ADD(by_integration, k->by_integration, integration, sizeof one->integration, one);
    share_of(k, one->type)->count++; /* it is there: has_room() has seen it */
    retest_submit(k->broker, op);
}

static pb_err take(void *arg, const struct integration *in)
{
    struct page *p = arg;
    p->due_ms[p->count] = in->next_validation_ms;
    pb_err err = retest_read(in, &p->items[p->count]);
    p->count += !err;
    return err;
}

static pb_err page_read(struct store *store, void *arg, struct pb_why *why)
{
    struct page *p = arg;
    return store_list_due(store, p->now_ms, p->after_ms, &p->after, PAGE, take, p, why);
}

static void work_off(struct keeper *k, struct page *p)
{
    for (size_t i = 0; i < p->count; i++) {
        struct retest *r = &p->items[i];
        bool wanted = is_wanted(k, r), room = wanted && has_room(k, r);
        if (wanted && !room && under_way(k) >= k->most)
            return; /* the next look begins here */
        if (room)
            send(k, r);
        k->passed_over = k->passed_over || (wanted && !room);
        k->after_ms = p->due_ms[i];
        k->after = r->integration;
    }
}

static void page_free(struct page *p)
{
    for (size_t i = 0; i < p->count; i++)
        free(p->items[i].doc);
    free(p);
}

static void begin_sweep(struct keeper *k, uint64_t now_ms)
{
    k->after_ms = 0;
    k->after = (struct pb_id){{0}};
    k->passed_over = false;
    k->sweep_ms = now_ms + SWEEP_MS;
}

static void page_done(void *arg, pb_err err, const struct pb_why *why)
{
    struct page *p = arg;
    struct keeper *k = p->keeper;
    uint64_t now_ms = k->broker->now_ms;
    bool full = p->count == PAGE;
    k->reading = false;
    if (err && err != PB_E_CLOSED)
        log_why(&k->broker->log, LOG_WARN, "what is due could not be read; it is asked for again", err, why);
    if (!err && !k->broker->draining)
        work_off(k, p);
    k->next_ms = now_ms + (full && !err ? SOON_MS : LOOK_MS);
    page_free(p);
}

static void look(struct keeper *k)
{
    struct page *p = calloc(1, sizeof *p);
    k->next_ms = k->broker->now_ms + LOOK_MS;
    if (!p)
        return;
    *p = (struct page){.keeper = k, .now_ms = clock_wall_ms(), .after_ms = k->after_ms, .after = k->after};
    k->reading = reader_submit(k->broker->reader, page_read, page_done, p) == PB_OK;
    if (!k->reading)
        free(p);
}

uint64_t keeper_tick(struct broker *b)
{
    struct keeper *k = b->keeper;
    if (!k->most || b->draining)
        return UINT64_MAX;
    if (k->reading || under_way(k) > k->most / 2)
        return b->now_ms + LOOK_MS;
    if (b->now_ms >= k->sweep_ms || k->passed_over)
        begin_sweep(k, b->now_ms);
    if (b->now_ms >= k->next_ms)
        look(k);
    return k->reading ? b->now_ms + LOOK_MS : k->next_ms;
}

/* -- what comes back -- */

static void on_written(void *arg, struct store_op *op, pb_err err)
{
    struct broker *b = arg;
    struct kept *one = b->keeper ? find(b->keeper, &op->job.id) : NULL;
    if (one) {
        b->keeper->tested += !err && !op->outcome;
        forget(b->keeper, one);
    }
    journal_op_free(op);
}

/* What came to no result is still due: the next sweep finds it. */
bool keeper_finished(struct broker *b, const struct board_effect *finish, struct store_op *op)
{
    struct kept *one = b->keeper ? find(b->keeper, &finish->job) : NULL;
    if (!one)
        return false;
    bool written = finish->outcome == OUTCOME_DONE && op && op->change.kind != CHANGE_NONE;
    if (written && retest_write(b, op, on_written, b) == PB_OK)
        return true;
    forget(b->keeper, one);
    journal_op_free(op);
    return true;
}

bool keeper_rejected(struct broker *b, const struct pb_id *job)
{
    struct kept *one = b->keeper ? find(b->keeper, job) : NULL;
    if (one)
        forget(b->keeper, one);
    return one;
}

/* It is still due: the next sweep finds it, if the other job does not make that needless. */
void keeper_yield(struct broker *b, const struct pb_id *integration)
{
    struct kept *one = NULL;
    if (b->keeper)
        HASH_FIND(by_integration, b->keeper->by_integration, integration, sizeof *integration, one);
    if (one && retest_is_waiting(b, &one->job))
        retest_cancel(b, &one->job);
}

struct keeper_stats keeper_stats(const struct keeper *k)
{
    return (struct keeper_stats){.tested = k->tested, .under_way = under_way(k)};
}

/* -- life -- */

pb_err keeper_open(struct broker *b, size_t at_a_time, struct keeper **out)
{
    struct keeper *k = calloc(1, sizeof *k);
    if (!k)
        return PB_E_MEMORY;
    k->broker = b;
    k->most = at_a_time;
    *out = k;
    return PB_OK;
}

void keeper_close(struct keeper *k)
{
    struct kept *one, *next;
    if (!k)
        return;
    HASH_ITER(by_job, k->by_job, one, next)
    {
        forget(k, one);
    }
    free(k);
}
