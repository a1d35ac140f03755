#include "tests/sim/world.h"

#include <stdlib.h>
#include <string.h>

/* -- the network: in order, delayed, and cut -- */

static void push(struct world *w, struct queue *q, const struct message *m)
{
    if (q->count == MESSAGES) {
        broken(w, "more messages on the way than there can be");
        free(m->report);
        return;
    }
    struct message *to = &q->items[(q->head + q->count++) % MESSAGES];
    uint64_t before_ms = q->count > 1 ? q->items[(q->head + q->count - 2) % MESSAGES].at_ms : 0;
    *to = *m;
    to->at_ms = w->now_ms + chance(w, 30) + (one_in(w, 40) && !w->calm ? chance(w, 1000) : 0);
    if (to->at_ms < before_ms)
        to->at_ms = before_ms;
}

static void drop_all(struct queue *q)
{
    for (; q->count; q->count--, q->head = (q->head + 1) % MESSAGES)
        free(q->items[q->head].report);
}

static struct message *next(struct world *w, struct queue *q)
{
    struct message *m = q->count ? &q->items[q->head] : NULL;
    if (!m || m->at_ms > w->now_ms)
        return NULL;
    q->head = (q->head + 1) % MESSAGES;
    q->count--;
    return m;
}

struct worker *worker_of(struct world *w, uint64_t session)
{
    for (size_t i = 0; i < WORKERS; i++)
        if (w->workers[i].link.number == session && session)
            return &w->workers[i];
    return NULL;
}

void send_to_worker(struct world *w, uint64_t session, const struct message *m)
{
    struct worker *to = worker_of(w, session);
    if (to && to->link.broker_open)
        push(w, &to->link.to_worker, m);
}

/* -- what a worker holds -- */

static struct held *find_held(struct worker *k, uint64_t fence)
{
    for (size_t i = 0; i < CAPACITY * 2; i++)
        if (k->held[i].state != H_NONE && k->held[i].fence == fence)
            return &k->held[i];
    return NULL;
}

static uint32_t count_held(const struct worker *k)
{
    uint32_t n = 0;
    for (size_t i = 0; i < CAPACITY * 2; i++)
        n += k->held[i].state != H_NONE;
    return n;
}

static void take_attempt(struct world *w, struct worker *k, const struct message *m)
{
    k->received++;
    if (!w->calm && one_in(w, 150))
        return; /* no memory to begin it */
    for (size_t i = 0; i < CAPACITY * 2; i++)
        if (k->held[i].state == H_NONE) {
            k->held[i] = (struct held){.state = H_RUNNING,
                                       .job = m->job,
                                       .fence = m->fence,
                                       .done_ms = w->now_ms + chance(w, 200) + (one_in(w, 20) ? 1000 : 0)};
            if (w->jobs[m->job].plan.poison && !k->dies_ms)
                k->dies_ms = w->now_ms + chance(w, 100);
            return;
        }
    broken(w, "a worker was sent more than it can hold");
}

static void finish_attempt(struct world *w, struct held *h)
{
    static const enum job_outcome outcomes[] = {OUTCOME_DONE,  OUTCOME_DONE,    OUTCOME_DONE,   OUTCOME_DONE,
                                                OUTCOME_DONE,  OUTCOME_DONE,    OUTCOME_FAILED, OUTCOME_RETRY,
                                                OUTCOME_RETRY, OUTCOME_RETURNED};
    if (w->jobs[h->job].plan.poison) {
        h->done_ms += 1000; /* it never gets there */
        return;
    }
    h->state = H_FINISHED;
    h->outcome = outcomes[chance(w, sizeof outcomes / sizeof outcomes[0])];
    h->retry_after_ms = one_in(w, 4) ? chance(w, 500) : 0;
    h->sent_ms = 0;
}

/* It is to end: it does, or it has come to something else by then. */
static void stop_attempt(struct world *w, struct held *h)
{
    if (h->state != H_RUNNING)
        return;
    h->state = H_FINISHED;
    h->outcome = one_in(w, 4) ? OUTCOME_RETRY : OUTCOME_CANCELLED;
    h->sent_ms = 0;
}

/* -- a worker's messages -- */

static void take_message(struct world *w, struct worker *k, const struct message *m)
{
    struct held *h = find_held(k, m->fence);
    k->link.heard_worker_ms = w->now_ms;
    if (m->kind == M_ATTEMPT)
        take_attempt(w, k, m);
    else if (m->kind == M_ASK)
        k->asked = true;
    else if (h && m->kind == M_STOP)
        stop_attempt(w, h);
    else if (h && (m->kind == M_CANCEL || h->state == H_FINISHED))
        h->state = H_NONE;
}

static bool is_due(const struct world *w, const struct held *h)
{
    return h->state == H_FINISHED && (!h->sent_ms || w->now_ms - h->sent_ms >= RESEND_MS);
}

/* Those without an outcome sent so far: what the broker, too, counts as running. */
static void count_beat(const struct worker *k, struct board_beat *beat)
{
    for (size_t i = 0; i < CAPACITY * 2; i++)
        if (k->held[i].state == H_RUNNING || (k->held[i].state == H_FINISHED && !k->held[i].sent_ms)) {
            beat->running++;
            beat->running_sum += k->held[i].fence;
        }
}

static void list_held(const struct worker *k, struct report *r)
{
    for (size_t i = 0; i < CAPACITY * 2; i++)
        if (k->held[i].state != H_NONE)
            r->list[r->listed++] = (struct report_item){.job = k->held[i].job, .fence = k->held[i].fence};
}

static void report(struct world *w, struct worker *k, bool goodbye)
{
    struct message m = {.kind = M_REPORT, .report = calloc(1, sizeof *m.report)};
    if (!m.report)
        abort();
    for (size_t i = 0; i < CAPACITY * 2; i++)
        if (is_due(w, &k->held[i])) {
            struct held *h = &k->held[i];
            m.report->items[m.report->count++] =
                (struct report_item){h->job, h->fence, h->outcome, h->retry_after_ms};
            h->sent_ms = w->now_ms ? w->now_ms : 1;
        }
    m.report->has_list = k->asked;
    m.report->goodbye = goodbye;
    if (k->asked)
        list_held(k, m.report);
    uint32_t held = count_held(k);
    m.report->beat.received = k->received;
    m.report->beat.free = held < w->capacity && !k->draining ? w->capacity - held : 0;
    count_beat(k, &m.report->beat);
    k->asked = false;
    k->next_beat_ms = w->now_ms + BEAT_MS;
    push(w, &k->link.to_broker, &m);
}

static bool has_news(const struct world *w, const struct worker *k)
{
    for (size_t i = 0; i < CAPACITY * 2; i++)
        if (is_due(w, &k->held[i]))
            return true;
    return k->asked;
}

/* -- a worker's life -- */

static void cut(struct worker *k)
{
    k->link.worker_open = false;
    drop_all(&k->link.to_worker);
    drop_all(&k->link.to_broker);
}

static void crash(struct world *w, struct worker *k)
{
    tell(w, "worker %d crashes", (int)(k - w->workers));
    k->alive = false;
    k->back_ms = w->now_ms + chance(w, 4000);
    k->dies_ms = 0;
    memset(k->held, 0, sizeof k->held);
    cut(k);
    w->deaths++;
    if (one_in(w, 2)) /* the broken connection is seen at once, or the lease must run out */
        broker_leave(w, k, false);
}

static void hello(struct world *w, struct worker *k)
{
    if (!w->broker_up || w->now_ms < k->next_hello_ms)
        return;
    k->next_hello_ms = w->now_ms + 300;
    broker_leave(w, k, false); /* a worker has one session: links ends the one before */
    cut(k);
    k->received = 0;
    for (size_t i = 0; i < CAPACITY * 2; i++)
        k->held[i].sent_ms = 0;
    broker_join(w, k);
    k->next_beat_ms = w->now_ms;
}

/* What has not ended goes back; what is lost with the goodbye is lost. */
static void goodbye(struct world *w, struct worker *k)
{
    bool hands_back = one_in(w, 2);
    for (size_t i = 0; i < CAPACITY * 2 && hands_back; i++)
        if (k->held[i].state == H_RUNNING) {
            k->held[i].state = H_FINISHED;
            k->held[i].outcome = OUTCOME_RETURNED;
        }
    tell(w, "worker %d says goodbye", (int)(k - w->workers));
    k->draining = true;
    report(w, k, true);
    memset(k->held, 0, sizeof k->held);
    drop_all(&k->link.to_worker);
    k->link.worker_open = k->draining = false;
    k->alive = false;
    k->dies_ms = 0;
    k->back_ms = w->now_ms + chance(w, 2000);
}

static void work(struct world *w, struct worker *k)
{
    struct message *m;
    while (k->link.worker_open && (m = next(w, &k->link.to_worker)) && !w->failure[0])
        take_message(w, k, m);
    for (size_t i = 0; i < CAPACITY * 2; i++)
        if (k->held[i].state == H_RUNNING && w->now_ms >= k->held[i].done_ms)
            finish_attempt(w, &k->held[i]);
    if (!k->link.worker_open || w->now_ms - k->link.heard_worker_ms > LEASE_MS || !w->broker_up)
        hello(w, k);
    else if (w->now_ms >= k->next_beat_ms || has_news(w, k))
        report(w, k, false);
}

static void faults(struct world *w, struct worker *k)
{
    if (one_in(w, 300))
        crash(w, k);
    else if (one_in(w, 400) && k->link.worker_open && w->now_ms >= k->stalled_until_ms)
        goodbye(w, k);
    else if (one_in(w, 200))
        k->stalled_until_ms = w->now_ms + chance(w, 3 * LEASE_MS);
    else if (one_in(w, 150)) /* the connection breaks: what is on the way is lost */ {
        cut(k);
        broker_leave(w, k, false);
    } else if (one_in(w, 100) && k->link.to_worker.count) { /* a message is lost: the counter shows it */
        cut(k);
    }
    if (one_in(w, 200))
        k->draining = !k->draining;
}

static void turn(struct world *w, struct worker *k)
{
    if (!k->alive) {
        k->alive = w->now_ms >= k->back_ms;
        return;
    }
    if (k->dies_ms && w->now_ms >= k->dies_ms && w->now_ms >= k->stalled_until_ms)
        crash(w, k);
    else if (!w->calm)
        faults(w, k);
    else
        k->draining = false;
    if (k->alive && w->now_ms >= k->stalled_until_ms)
        work(w, k);
}

/* The broker's side of a session: pings, what came, the lease. */
static void broker_side(struct world *w, struct worker *k)
{
    struct link *l = &k->link;
    struct message *m;
    if (!w->broker_up || !l->broker_open)
        return;
    while (l->broker_open && !w->failure[0] && (m = next(w, &l->to_broker))) {
        struct report *r = m->report;
        m->report = NULL;
        broker_take(w, k, r);
        if (!w->calm && one_in(w, 60) && l->broker_open && !w->failure[0] && !r->goodbye)
            broker_take(w, k, r); /* it comes twice */
        free(r);
    }
    if (l->broker_open && w->now_ms - l->heard_broker_ms > LEASE_MS)
        broker_leave(w, k, false);
    else if (l->worker_open && w->now_ms >= k->stalled_until_ms && k->alive)
        l->heard_worker_ms = w->now_ms; /* a ping */
}

void peers_turn(struct world *w)
{
    for (size_t n = 0, i = chance(w, WORKERS); n < WORKERS && !w->failure[0]; n++, i = (i + 1) % WORKERS) {
        turn(w, &w->workers[i]);
        if (!w->failure[0])
            broker_side(w, &w->workers[i]);
    }
}

void peers_free(struct world *w)
{
    for (size_t i = 0; i < WORKERS; i++)
        cut(&w->workers[i]);
}
