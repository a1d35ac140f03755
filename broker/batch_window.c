#include "broker/batch.h"
#include "broker/broker.h"
#include "broker/effects.h"
#include "broker/journal.h"
#include "broker/reader.h"
#include "broker/spec.h"

#include <stdlib.h>
#include <string.h>

#define WINDOW      2048 /* integrations of one type, read and not done */
#define PAGE        512
#define ENTRY_TRIES 3    /* of an integration that was changed while it was tested */
#define YIELD_MS    1000 /* longer than a commit: a job takes its place in the order when it is durable */

/* Documents on their way from the reader. */
struct page {
    struct window *window; /* NULL: nobody wants it any more */
    struct store_filter filter;
    char tenant[LIMIT_TENANT_CHARS + 1], type[LIMIT_TYPE_CHARS + 1];
    struct batch_filter chosen;
    struct pb_id after, up_to, again_to;
    int64_t since_ms; /* when the batch began */
    size_t limit, read, count;
    struct entry items[PAGE];
};

static struct entry *at(const struct window *w, size_t i)
{
    return &w->entries[(w->head + i) % WINDOW];
}

static struct broker *broker_of(const struct window *w)
{
    return w->batch->all->broker;
}

/* -- pages -- */

static bool is_after(const struct pb_id *id, const struct pb_id *other)
{
    return memcmp(id->bytes, other->bytes, sizeof id->bytes) > 0;
}

static bool is_chosen(const struct batch_filter *f, const struct integration *in)
{
    return (!f->status || in->status == f->status) && (!f->health || in->health == f->health) &&
           (!f->not_since_ms || in->last_validated_ms < f->not_since_ms);
}

/* What is read again may have been tested by this very batch, and need not be as it was chosen any more. */
static bool is_part(const struct page *p, const struct integration *in)
{
    bool again = !is_after(&in->id, &p->again_to) && in->last_validated_ms >= p->since_ms;
    return again || is_chosen(&p->chosen, in);
}

static pb_err take(void *arg, const struct integration *in)
{
    struct page *p = arg;
    struct entry *e = &p->items[p->count];
    p->read++;
    p->after = in->id;
    if (!is_part(p, in))
        return PB_OK;
    *e = (struct entry){.state = ENTRY_IDLE, .after = in->status};
    pb_err err = retest_read(in, &e->test);
    if (p->chosen.status)
        e->test.before = p->chosen.status;
    p->count += !err;
    return err;
}

static pb_err page_read(struct store *store, void *arg, struct pb_why *why)
{
    struct page *p = arg;
    return store_list_integrations(store, &p->filter, &p->after, p->limit, take, p, why);
}

static void page_free(struct page *p, size_t from)
{
    for (size_t i = from; i < p->count; i++)
        free(p->items[i].test.doc);
    free(p);
}

static void add(struct window *w, struct entry *e)
{
    struct entry *to = at(w, w->count++);
    *to = *e;
    to->window = w;
    w->idle++;
}

static void page_done(void *arg, pb_err err, const struct pb_why *why)
{
    struct page *p = arg;
    struct window *w = p->window;
    size_t taken = 0;
    if (w)
        w->page = NULL;
    if (w && err && err != PB_E_CLOSED)
        log_why(&broker_of(w)->log, LOG_WARN,
                "a batch's integrations could not be read; they are asked for again", err, why);
    if (w && !err && batch_runs(w->batch)) {
        for (; taken < p->count; taken++)
            add(w, &p->items[taken]);
        w->next = p->after;
        w->exhausted = p->read < p->limit;
        batch_changed(w->batch);
        window_feed(w);
    }
    page_free(p, taken);
}

static bool make_ring(struct window *w)
{
    if (!w->entries)
        w->entries = calloc(WINDOW, sizeof *w->entries);
    return w->entries;
}

static void ask_page(struct window *w)
{
    size_t room = WINDOW - w->count;
    struct page *p = make_ring(w) ? calloc(1, sizeof *p) : NULL;
    if (!p)
        return; /* the next tick tries again */
    const struct batch_filter *f = &w->batch->filter;
    *p = (struct page){.window = w,
                       .after = w->next,
                       .chosen = *f,
                       .up_to = w->batch->up_to,
                       .again_to = w->again_to,
                       .since_ms = w->batch->created_at_ms,
                       .limit = room < PAGE ? room : PAGE};
    memcpy(p->type, w->type, sizeof p->type);
    memcpy(p->tenant, f->tenant, sizeof p->tenant);
    p->filter = (struct store_filter){.tenant = p->tenant, .type = p->type, .up_to = &p->up_to};
    if (!is_after(&w->again_to, &w->next)) { /* nothing is read again: the store chooses */
        p->filter.status = f->status;
        p->filter.health = f->health;
        p->filter.not_since_ms = f->not_since_ms;
    }
    if (reader_submit(broker_of(w)->reader, page_read, page_done, p) == PB_OK)
        w->page = p;
    else
        free(p);
}

/* -- jobs -- */

static void send(struct window *w, struct entry *e)
{
    struct broker *b = broker_of(w);
    struct store_op *op = retest_op(b, &e->test);
    if (!op)
        return;
    e->job = op->job.id;
    e->state = ENTRY_OUT;
    w->idle--;
    w->out++;
    HASH_ADD(hh, w->batch->all->by_job, job, sizeof e->job, e);
    retest_submit(b, op);
}

void window_feed(struct window *w)
{
    bool runs = batch_runs(w->batch);
    size_t allowed = runs && w->idle ? batch_allowance(w->batch, w->idle) : 0;
    for (size_t i = 0; i < w->count && allowed; i++)
        if (at(w, i)->state == ENTRY_IDLE && at(w, i)->not_before_ms <= broker_of(w)->now_ms) {
            send(w, at(w, i));
            allowed--;
        }
    if (runs && !w->page && !w->exhausted && w->count <= WINDOW - PAGE)
        ask_page(w);
}

static void come_back(struct entry *e, enum entry_state state)
{
    struct window *w = e->window;
    HASH_DEL(w->batch->all->by_job, e);
    e->state = state;
    w->out--;
    w->idle += state == ENTRY_IDLE;
}

/* -- the mark -- */

static void count_entry(struct batch_counts *c, const struct entry *e)
{
    c->done++;
    c->by[e->count]++;
    c->broken += e->test.before != STATUS_ERROR && e->after == STATUS_ERROR;
    c->healthy += e->test.before == STATUS_ERROR && e->after == STATUS_ACTIVE;
}

static void advance(struct window *w)
{
    while (w->count && at(w, 0)->state == ENTRY_DONE) {
        struct entry *e = at(w, 0);
        count_entry(&w->batch->counts, e);
        w->mark = e->test.integration;
        if (++w->done > w->total) /* of a setup that was under way when the batch began */
            w->total = w->done;
        free(e->test.doc);
        *e = (struct entry){0};
        w->head = (w->head + 1) % WINDOW;
        w->count--;
    }
}

/* Stopped, and nothing is out: what is beyond the mark is read again when it goes on. */
static void drop_rest(struct window *w)
{
    for (size_t i = 0; i < w->count; i++) {
        free(at(w, i)->test.doc);
        *at(w, i) = (struct entry){0};
    }
    w->head = w->count = w->idle = 0;
    if (is_after(&w->next, &w->again_to))
        w->again_to = w->next;
    w->next = w->mark;
    w->exhausted = false;
}

/* After something has come back. */
static void settle(struct window *w)
{
    bool runs = batch_runs(w->batch);
    advance(w);
    if (!runs && w->out == 0)
        drop_rest(w);
    batch_changed(w->batch);
}

void window_done(struct entry *e, uint8_t count)
{
    struct window *w = e->window;
    e->count = count;
    come_back(e, ENTRY_DONE);
    settle(w);
}

void window_again(struct entry *e, bool read_again)
{
    struct window *w = e->window;
    if (read_again && ++e->tries >= ENTRY_TRIES) {
        window_done(e, COUNT_NOT_TESTED);
        return;
    }
    come_back(e, ENTRY_IDLE);
    settle(w);
}

void window_stop(struct window *w)
{
    struct broker *b = broker_of(w);
    if (w->page)
        w->page->window = NULL;
    w->page = NULL;
    if (w->out == 0)
        drop_rest(w);
    for (size_t i = 0, n = w->count; i < n && w->out; i++)
        if (at(w, i)->state == ENTRY_OUT)
            retest_cancel(b, &at(w, i)->job);
}

/* By halves: integrations lie in the order of their ids. NULL: it is not in the window. */
static struct entry *find_entry(const struct window *w, const struct pb_id *integration)
{
    size_t from = 0, to = w->count;
    while (from < to) {
        size_t middle = from + (to - from) / 2;
        if (is_after(integration, &at(w, middle)->test.integration))
            from = middle + 1;
        else
            to = middle;
    }
    return from < w->count && id_equal(&at(w, from)->test.integration, integration) ? at(w, from) : NULL;
}

void window_yield(struct window *w, const struct pb_id *integration)
{
    struct broker *b = broker_of(w);
    struct entry *e = find_entry(w, integration);
    if (!e || e->state != ENTRY_OUT || !retest_is_waiting(b, &e->job))
        return;
    e->not_before_ms = b->now_ms + YIELD_MS;
    retest_cancel(b, &e->job);
}

bool window_is_over(const struct window *w)
{
    return w->exhausted && w->count == 0 && !w->page;
}

void window_count_left(struct window *w)
{
    const struct batch_filter *f = &w->batch->filter;
    uint64_t left = w->total - w->done;
    bool lasting = !f->status && !f->health && !f->not_since_ms; /* then only deleting takes one out */
    w->batch->counts.done += left;
    w->batch->counts.by[lasting ? COUNT_DELETED : COUNT_LEFT] += left;
    w->done = w->total;
}

void window_free(struct window *w)
{
    if (w->page)
        w->page->window = NULL;
    for (size_t i = 0; i < w->count; i++) {
        if (at(w, i)->state == ENTRY_OUT)
            HASH_DEL(w->batch->all->by_job, at(w, i));
        free(at(w, i)->test.doc);
    }
    free(w->entries);
}
