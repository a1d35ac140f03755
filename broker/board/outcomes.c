/* What attempts come to: an outcome counts once, if it is of the newest attempt, and means something when it
 * is committed. */
#include "broker/board/parts.h"

#include <assert.h>

static void stale(struct board *b, const struct board_event *e, struct board_effects *out)
{
    struct board_effect *fx = board_effect(out, BOARD_STALE);
    fx->session = e->session;
    fx->job = e->job;
    fx->fence = e->fence;
    fx->cargo = e->cargo;
    b->stats.stale++;
}

/* An attempt that was handed back, or that never left: no attempt is counted. */
static void on_returned(struct board *b, uint64_t now_ms, uint32_t i, const struct board_event *e,
                        struct board_effects *out)
{
    board_unlist(b, i);
    board_slot(b, i)->fence = 0;
    board_tell(out, BOARD_SETTLE, e->session, e->fence);
    if (e->cargo)
        board_effect(out, BOARD_DUPLICATE)->cargo = e->cargo;
    if (e->retry_after_ms && board_fate(board_slot(b, i)) == REASON_NONE)
        board_delay(b, i, now_ms + e->retry_after_ms + board_backoff(b, 0));
    else
        board_end_or_ready(b, now_ms, i, out);
}

void board_count_attempt(struct slot *s)
{
    if (s->attempts < UINT16_MAX)
        s->attempts++;
}

/* What the attempt's outcome means for the job: a retry of one that is to end is its end. */
static enum job_outcome judge(struct slot *s, enum job_outcome outcome, enum board_reason *reason)
{
    if (outcome != OUTCOME_RETRY && outcome != OUTCOME_CANCELLED)
        return outcome;
    if (outcome == OUTCOME_RETRY)
        board_count_attempt(s);
    *reason = board_fate(s);
    return *reason == REASON_NONE ? OUTCOME_RETRY : board_verdict(*reason);
}

static uint64_t wait_before_retry(struct board *b, const struct slot *s, const struct board_event *e)
{
    return e->retry_after_ms ? e->retry_after_ms + board_backoff(b, 0) : board_backoff(b, s->attempts);
}

static void commit(struct board *b, uint64_t now_ms, uint32_t i, const struct board_event *e,
                   struct board_effects *out)
{
    struct slot *s = board_slot(b, i);
    uint16_t seat = s->state == RUNNING ? s->seat : SEAT_NONE;
    struct board_effect fx = {.kind = BOARD_COMMIT, .session = e->session, .job = e->job, .fence = e->fence};
    fx.cargo = e->cargo;
    board_unlist(b, i);
    fx.outcome = judge(s, e->outcome, &fx.reason);
    fx.attempts = s->attempts;
    fx.crashes = s->crashes;
    s->due_ms = fx.not_before_in_ms = fx.outcome == OUTCOME_RETRY ? wait_before_retry(b, s, e) : 0;
    if (s->flags & SLOT_MEMORY) {
        board_tell(out, BOARD_SETTLE, e->session, e->fence);
        if (fx.outcome != OUTCOME_RETRY) {
            board_finish(b, now_ms, i, &fx, out);
            return;
        }
        s->fence = 0;
        board_delay(b, i, now_ms + s->due_ms);
        board_effect(out, BOARD_DUPLICATE)->cargo = e->cargo;
        return;
    }
    s->seat = seat;
    slots_set_state(&b->slots, i, COMMITTING);
    if (seat != SEAT_NONE)
        list_push(&b->slots, &b->seats.items[seat].slots, i);
    *board_effect(out, BOARD_COMMIT) = fx;
}

/* It never left, so those that were sent after it are one fewer in the worker's count. */
static void take_back(struct board *b, uint32_t i)
{
    struct slot *s = board_slot(b, i);
    struct seat *seat = board_seat_of(b, s);
    for (uint32_t k = s->next; k != NONE; k = board_slot(b, k)->next)
        if (board_slot(b, k)->state == RUNNING && board_slot(b, k)->nth > s->nth)
            board_slot(b, k)->nth--;
    seat->sent--;
    seats_update(&b->seats, seat);
}

void board_on_outcome(struct board *b, uint64_t now_ms, const struct board_event *e,
                      struct board_effects *out)
{
    static const bool counts[SLOT_STATES] = {
        [RUNNING] = true, [READY] = true, [DELAYED] = true, [SUSPECT] = true, [MARKING] = true};
    uint32_t i = board_find(b, &e->job);
    struct slot *s = i == NONE ? NULL : board_slot(b, i);
    bool newest = s && e->fence && s->fence == e->fence;
    if (newest && s->state == COMMITTING) {
        board_effect(out, BOARD_DUPLICATE)->cargo = e->cargo;
        return;
    }
    if (!newest || !counts[s->state]) {
        stale(b, e, out);
        return;
    }
    if (e->undelivered && s->state == RUNNING)
        take_back(b, i);
    bool unasked = e->outcome == OUTCOME_CANCELLED && board_fate(s) == REASON_NONE;
    if (e->outcome == OUTCOME_RETURNED || unasked)
        on_returned(b, now_ms, i, e, out);
    else
        commit(b, now_ms, i, e, out);
}

static void settle(struct board *b, const struct slot *s, struct board_effects *out)
{
    if (s->seat != SEAT_NONE)
        board_tell(out, BOARD_SETTLE, board_seat_of(b, s)->session, s->fence);
}

/* The attempt is over and the job is not: whoever says this fence again says nothing new. */
static void go_on(struct board *b, uint64_t now_ms, uint32_t i, uint64_t wait_ms)
{
    struct slot *s = board_slot(b, i);
    s->fence = 0;
    board_delay(b, i, board_fate(s) == REASON_NONE ? now_ms + wait_ms : now_ms);
    b->stats.retried++;
}

void board_on_committed(struct board *b, uint64_t now_ms, const struct board_event *e,
                        struct board_effects *out)
{
    uint32_t i = board_find(b, &e->job);
    assert(i != NONE && board_slot(b, i)->state == COMMITTING);
    struct slot *s = board_slot(b, i);
    settle(b, s, out);
    board_unlist(b, i);
    if (e->err != PB_E_CONFLICT && e->outcome != OUTCOME_RETRY) {
        bool ended = e->outcome == OUTCOME_CANCELLED || e->outcome == OUTCOME_DEAD;
        const struct board_effect how = {.fence = e->fence,
                                         .outcome = e->outcome,
                                         .reason = ended ? board_fate(s) : REASON_NONE,
                                         .cargo = e->cargo};
        board_finish(b, now_ms, i, &how, out);
        return;
    }
    if (e->cargo)
        board_effect(out, BOARD_DUPLICATE)->cargo = e->cargo;
    if (e->err == PB_E_CONFLICT) {
        go_on(b, now_ms, i, board_backoff(b, s->attempts));
        return;
    }
    s->flags &= (uint8_t)~SLOT_MARKED; /* a retry writes the crashes as we count them */
    go_on(b, now_ms, i, s->due_ms);
}
