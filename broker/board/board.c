/* See board.h for the promises. How it is laid out: a job is a slot and is named by its number (slots.h).
 * Jobs that could run stand in lines (lines.h); DELAYED ones in a heap by due time; RUNNING and COMMITTING
 * ones in the list of their session's seat (seats.h); suspects in groups (suspects.h); the jobs of one
 * integration in a linked lane whose head alone may run. Each operation is O(log n) or better.
 *
 * Two moves lead out of waiting: board_fate() says that the job is to end, or it goes on. Every path,
 * recovery and restart included, goes through them. */
#include "broker/board/board.h"

#include "broker/board/parts.h"
#include "common/limits.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#define EFFECTS_A_MOVE 4 /* at most so many come of one job's move */

/* -- effects and randomness -- */

struct board_effect *board_effect(struct board_effects *out, enum board_effect_kind kind)
{
    assert(out->count < BOARD_EFFECTS_MAX);
    struct board_effect *e = &out->items[out->count++];
    *e = (struct board_effect){.kind = kind};
    return e;
}

bool board_has_room(struct board_effects *out)
{
    if (out->count + EFFECTS_A_MOVE <= BOARD_EFFECTS_MAX)
        return true;
    out->more = true;
    return false;
}

static uint64_t next_random(struct board *b)
{
    uint64_t z = (b->random += UINT64_C(0x9e3779b97f4a7c15)); /* splitmix64 */
    z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
    return z ^ (z >> 31);
}

uint64_t board_backoff(struct board *b, uint32_t attempts)
{
    uint64_t most = b->settings.backoff_ms;
    for (uint32_t i = 0; i < attempts && most < b->settings.backoff_max_ms; i++)
        most *= 2;
    if (most > b->settings.backoff_max_ms)
        most = b->settings.backoff_max_ms;
    return next_random(b) % (most + 1);
}

/* -- fences -- */

bool board_may_send(const struct board *b)
{
    return b->fence_counter < UINT32_MAX;
}

static uint64_t next_fence(struct board *b, struct board_effects *out)
{
    assert(board_may_send(b));
    if (++b->fence_counter > UINT32_MAX / 2 && !b->raising) {
        b->raising = true;
        board_effect(out, BOARD_RAISE);
    }
    return (uint64_t)b->epoch << 32 | b->fence_counter;
}

static void on_epoch(struct board *b, uint64_t now_ms, const struct board_event *e, struct board_effects *out)
{
    (void)now_ms;
    (void)out;
    assert(e->epoch > b->epoch);
    b->epoch = e->epoch;
    b->fence_counter = 0;
    b->raising = false;
}

/* -- where a job is -- */

struct slot *board_slot(const struct board *b, uint32_t i)
{
    return slot_at(&b->slots, i);
}

static uint32_t find(const struct board *b, const struct pb_id *job)
{
    return slots_find(&b->slots, job);
}

static struct seat *seat_of(struct board *b, const struct slot *s)
{
    return &b->seats.items[s->seat];
}

static void stop_running(struct board *b, uint32_t i)
{
    struct slot *s = board_slot(b, i);
    struct seat *seat = seat_of(b, s);
    seat->running--;
    seat->running_sum -= s->fence;
    list_remove(&b->slots, &seat->slots, i);
    lines_return(b->lines, s->line);
    suspects_seat_changed(b, seat);
}

static void stop_committing(struct board *b, uint32_t i)
{
    struct slot *s = board_slot(b, i);
    if (s->seat != SEAT_NONE)
        list_remove(&b->slots, &seat_of(b, s)->slots, i);
}

static void leave_line(struct board *b, uint32_t i)
{
    lines_remove(b->lines, i);
}

static void leave_held(struct board *b, uint32_t i)
{
    list_remove(&b->slots, &b->held, i);
}

static void leave_delays(struct board *b, uint32_t i)
{
    heap_remove(&b->delays, i);
}

void board_unlist(struct board *b, uint32_t i)
{
    static void (*const leave[SLOT_STATES])(struct board *, uint32_t) = {
        [READY] = leave_line,           [HELD] = leave_held,
        [DELAYED] = leave_delays,       [RUNNING] = stop_running,
        [COMMITTING] = stop_committing, [SUSPECT] = suspects_leave,
        [MARKING] = suspects_leave,
    };
    uint8_t state = board_slot(b, i)->state;
    if (leave[state])
        leave[state](b, i);
}

static void make_ready(struct board *b, uint64_t now_ms, uint32_t i)
{
    board_slot(b, i)->ready_ms = now_ms;
    slots_set_state(&b->slots, i, READY);
    lines_push(b->lines, i);
}

void board_delay(struct board *b, uint32_t i, uint64_t due_ms)
{
    board_slot(b, i)->due_ms = due_ms;
    slots_set_state(&b->slots, i, DELAYED);
    heap_put(&b->delays, i);
}

static void make_held(struct board *b, uint32_t i)
{
    slots_set_state(&b->slots, i, HELD);
    list_push(&b->slots, &b->held, i);
}

/* Its turn in the lane has come, or it needs none: due_ms says whether it is wanted yet. */
static void start_waiting(struct board *b, uint64_t now_ms, uint32_t i)
{
    uint64_t due_ms = board_slot(b, i)->due_ms;
    if (due_ms > now_ms)
        board_delay(b, i, due_ms);
    else
        make_ready(b, now_ms, i);
}

/* -- lanes: the jobs of one integration -- */

/* first: nobody is before it. Else it is BLOCKED. */
static pb_err lane_enter(struct board *b, uint32_t i, bool *first)
{
    struct slot *s = board_slot(b, i);
    uint64_t hash = slots_hash(&s->integration);
    *first = true;
    if (id_is_nil(&s->integration))
        return PB_OK;
    uint32_t last = index_get(&b->lanes, hash, &s->integration);
    if (last == NONE && index_add(&b->lanes, hash, i) != PB_OK)
        return PB_E_MEMORY;
    s->flags |= SLOT_IN_LANE;
    if (last == NONE)
        return PB_OK;
    *first = false;
    index_replace(&b->lanes, hash, last, i);
    board_slot(b, last)->lane_next = i;
    slots_set_state(&b->slots, i, BLOCKED);
    s->prev = last;
    return PB_OK;
}

/* If it was the head, the next one may go. */
static void lane_leave(struct board *b, uint64_t now_ms, uint32_t i)
{
    struct slot *s = board_slot(b, i);
    if (!(s->flags & SLOT_IN_LANE))
        return;
    s->flags &= (uint8_t)~SLOT_IN_LANE;
    uint64_t hash = slots_hash(&s->integration);
    uint32_t before = s->state == BLOCKED ? s->prev : NONE, after = s->lane_next;
    s->lane_next = NONE;
    if (before != NONE)
        board_slot(b, before)->lane_next = after;
    if (after != NONE)
        board_slot(b, after)->prev = before;
    else if (before != NONE)
        index_replace(&b->lanes, hash, i, before);
    else
        index_remove(&b->lanes, hash, i);
    if (before == NONE && after != NONE)
        start_waiting(b, now_ms, after);
}

/* -- the end of a job -- */

enum board_reason board_fate(const struct slot *s)
{
    return s->flags & SLOT_CANCELLED         ? REASON_CANCELLED
           : s->flags & SLOT_LOST            ? REASON_LOST
           : s->flags & SLOT_EXPIRED         ? REASON_DEADLINE
           : s->crashes >= LIMIT_JOB_CRASHES ? REASON_POISON
           : s->attempts >= s->max_attempts  ? REASON_ATTEMPTS
                                             : REASON_NONE;
}

static enum job_outcome verdict(enum board_reason reason)
{
    return reason == REASON_CANCELLED ? OUTCOME_CANCELLED : OUTCOME_DEAD;
}

/* Out of everything: the slot is free again. */
static void forget(struct board *b, uint64_t now_ms, uint32_t i)
{
    lane_leave(b, now_ms, i);
    if (board_slot(b, i)->deadline_at != HEAP_NOWHERE)
        heap_remove(&b->deadlines, i);
    lines_leave(b->lines, board_slot(b, i)->line);
    slots_give(&b->slots, i);
}

static void finish(struct board *b, uint64_t now_ms, uint32_t i, const struct board_effect *how,
                   struct board_effects *out)
{
    struct board_effect *fx = board_effect(out, BOARD_FINISH);
    fx->job = board_slot(b, i)->id;
    fx->fence = how->fence;
    fx->outcome = how->outcome;
    fx->reason = how->reason;
    fx->cargo = how->cargo;
    b->stats.finished[how->outcome]++;
    forget(b, now_ms, i);
}

/* The board's own verdict. The job is unlisted. */
static void end_job(struct board *b, uint64_t now_ms, uint32_t i, struct board_effects *out)
{
    struct slot *s = board_slot(b, i);
    enum board_reason reason = board_fate(s);
    const struct board_effect how = {.outcome = verdict(reason), .reason = reason};
    if (s->flags & SLOT_MEMORY) {
        finish(b, now_ms, i, &how, out);
        return;
    }
    s->seat = SEAT_NONE;
    slots_set_state(&b->slots, i, COMMITTING);
    struct board_effect *fx = board_effect(out, BOARD_COMMIT);
    fx->job = s->id;
    fx->outcome = how.outcome;
    fx->reason = reason;
    fx->attempts = s->attempts;
    fx->crashes = s->crashes;
}

static void end_or_ready(struct board *b, uint64_t now_ms, uint32_t i, struct board_effects *out)
{
    if (board_fate(board_slot(b, i)) != REASON_NONE)
        end_job(b, now_ms, i, out);
    else
        make_ready(b, now_ms, i);
}

/* -- dispatching -- */

static void sit(struct board *b, uint32_t i, struct seat *seat, uint64_t nth)
{
    struct slot *s = board_slot(b, i);
    s->seat = seats_number(&b->seats, seat);
    s->nth = nth;
    list_push(&b->slots, &seat->slots, i);
    seat->running++;
    seat->running_sum += s->fence;
    slots_set_state(&b->slots, i, RUNNING);
    seats_update(&b->seats, seat);
}

void board_send(struct board *b, uint64_t now_ms, uint32_t i, struct seat *seat, bool alone,
                struct board_effects *out)
{
    struct slot *s = board_slot(b, i);
    uint64_t waited_ms = s->state == READY ? now_ms - s->ready_ms : 0;
    s->fence = next_fence(b, out);
    sit(b, i, seat, ++seat->sent);
    seats_update(&b->seats, seat);
    b->stats.dispatched++;
    struct board_effect *e = board_effect(out, BOARD_DISPATCH);
    e->session = seat->session;
    e->job = s->id;
    e->integration = s->integration;
    e->fence = s->fence;
    e->attempts = s->attempts;
    e->alone = alone;
    e->waited_ms = waited_ms;
    e->deadline_ms = (uint64_t)s->deadline_s * 1000;
}

static void dispatch(struct board *b, uint64_t now_ms, struct board_effects *out)
{
    suspects_dispatch(b, now_ms, out);
    while (b->seats.ring != SEAT_NONE && board_may_send(b) && board_has_room(out)) {
        uint32_t i = lines_next(b->lines, now_ms);
        if (i == NONE)
            return;
        board_send(b, now_ms, i, seats_next(&b->seats), false, out);
    }
}

/* -- coming in -- */

static void reject(struct board_effects *out, const struct board_event *e, pb_err err)
{
    struct board_effect *fx = board_effect(out, BOARD_REJECT);
    fx->job = e->job;
    fx->err = err;
    fx->cargo = e->cargo;
}

static void fill(struct board *b, uint32_t i, const struct board_event *e)
{
    struct slot *s = board_slot(b, i);
    const struct board_spec *spec = &e->spec;
    uint32_t most = spec->max_attempts ? spec->max_attempts : LIMIT_JOB_ATTEMPTS;
    s->integration = e->integration;
    s->due_ms = spec->not_before_ms;
    s->max_attempts = (uint16_t)(most < UINT16_MAX ? most : UINT16_MAX);
    s->attempts = (uint16_t)(spec->attempts < UINT16_MAX ? spec->attempts : UINT16_MAX);
    s->crashes = (uint8_t)(spec->crashes < UINT8_MAX ? spec->crashes : UINT8_MAX);
    s->flags = (uint8_t)((spec->memory ? SLOT_MEMORY : 0) | (spec->cancelled ? SLOT_CANCELLED : 0));
    if (!spec->deadline_ms)
        return;
    uint64_t seconds = (spec->deadline_ms + 999) / 1000;
    s->deadline_s = (uint32_t)(seconds < UINT32_MAX ? seconds : UINT32_MAX);
    heap_put(&b->deadlines, i);
}

/* A slot with its place in a line; room in the heaps is seen to here, where it may fail. */
static pb_err take(struct board *b, const struct board_event *e, uint32_t *out)
{
    uint32_t i;
    pb_err err = slots_take(&b->slots, &e->job, &i);
    if (err)
        return err;
    err = heap_reserve(&b->delays, b->slots.by_id.count);
    if (!err && e->spec.deadline_ms)
        err = heap_reserve(&b->deadlines, b->deadlines.count + 1);
    if (!err)
        err = lines_enter(b->lines, e->spec.names, &e->spec.host_limit, e->spec.priority,
                          &board_slot(b, i)->line);
    if (err) {
        slots_give(&b->slots, i);
        return err;
    }
    fill(b, i, e);
    *out = i;
    return PB_OK;
}

/* Durable, or one that need not be: it waits for its turn. */
static void admit(struct board *b, uint64_t now_ms, uint32_t i, struct board_effects *out)
{
    bool first = true;
    if (board_fate(board_slot(b, i)) != REASON_NONE)
        end_job(b, now_ms, i, out);
    else if (lane_enter(b, i, &first) != PB_OK)
        board_delay(b, i, now_ms + board_backoff(b, 0)); /* it runs; only its place in the lane is lost */
    else if (first)
        start_waiting(b, now_ms, i);
}

static void on_submit(struct board *b, uint64_t now_ms, const struct board_event *e,
                      struct board_effects *out)
{
    uint32_t i;
    pb_err err = take(b, e, &i);
    if (err) {
        reject(out, e, err);
        return;
    }
    struct board_effect *fx = board_effect(out, e->spec.memory ? BOARD_ACCEPT : BOARD_APPEND);
    fx->job = e->job;
    fx->cargo = e->cargo;
    if (e->spec.memory)
        admit(b, now_ms, i, out);
}

static void on_appended(struct board *b, uint64_t now_ms, const struct board_event *e,
                        struct board_effects *out)
{
    uint32_t i = find(b, &e->job);
    assert(i != NONE && board_slot(b, i)->state == APPENDING);
    if (e->err) {
        forget(b, now_ms, i);
        reject(out, e, e->err);
        return;
    }
    board_effect(out, BOARD_ACCEPT)->job = e->job;
    admit(b, now_ms, i, out);
}

static void on_loaded(struct board *b, uint64_t now_ms, const struct board_event *e,
                      struct board_effects *out)
{
    uint32_t i;
    bool first = true;
    pb_err err = take(b, e, &i);
    if (err) {
        reject(out, e, err);
        return;
    }
    b->held_until_ms = now_ms + b->settings.recovery_ms;
    if (lane_enter(b, i, &first) != PB_OK || first)
        make_held(b, i);
}

/* -- sessions -- */

static void on_join(struct board *b, uint64_t now_ms, const struct board_event *e, struct board_effects *out)
{
    (void)now_ms;
    (void)out;
    (void)seats_join(&b->seats, e->session); /* without memory for a seat it gets no work */
}

static void tell_session(struct board_effects *out, enum board_effect_kind kind, uint64_t session,
                         uint64_t fence)
{
    struct board_effect *fx = board_effect(out, kind);
    fx->session = session;
    fx->fence = fence;
}

/* Is this fence the job's newest, as far as anyone can know? A job loaded from the store has none yet and
 * takes the largest that a worker names: fences of this broker are all larger. */
static bool may_adopt(const struct slot *s, uint64_t fence)
{
    bool waits = s->state == READY || s->state == DELAYED || s->state == HELD || s->state == SUSPECT;
    return waits && (s->fence == fence || (s->state == HELD && s->fence < fence));
}

static bool adopt(struct board *b, uint64_t now_ms, uint32_t i, struct seat *seat, uint64_t fence)
{
    struct slot *s = board_slot(b, i);
    bool moves = (s->state == RUNNING || s->state == COMMITTING) && s->fence == fence;
    bool better = s->state == RUNNING && s->nth == 0 && s->fence < fence && fence >> 32 < b->settings.epoch;
    if (!moves && !better && !may_adopt(s, fence))
        return false;
    board_unlist(b, i);
    if (s->state == COMMITTING) { /* only the settling goes to the new session */
        s->seat = seats_number(&b->seats, seat);
        list_push(&b->slots, &seat->slots, i);
        return true;
    }
    s->fence = fence;
    lines_pass(b->lines, s->line, now_ms);
    sit(b, i, seat, 0);
    return true;
}

static void on_held(struct board *b, uint64_t now_ms, const struct board_event *e, struct board_effects *out)
{
    struct seat *seat = seats_find(&b->seats, e->session);
    uint32_t i = find(b, &e->job);
    if (!seat)
        return;
    if (i == NONE || !adopt(b, now_ms, i, seat, e->fence))
        tell_session(out, BOARD_CANCEL, e->session, e->fence);
    else if (board_slot(b, i)->state == RUNNING && board_fate(board_slot(b, i)) != REASON_NONE)
        tell_session(out, BOARD_STOP, e->session, e->fence);
}

static void on_beat(struct board *b, uint64_t now_ms, const struct board_event *e, struct board_effects *out)
{
    (void)now_ms;
    struct seat *seat = seats_find(&b->seats, e->session);
    if (!seat || e->beat.received > seat->sent)
        return; /* it cannot have what was never sent: a fault of the peer, which keeps its old credit */
    seat->received = e->beat.received;
    seat->free = e->beat.free;
    suspects_seat_changed(b, seat);
    seats_update(&b->seats, seat);
    bool same = e->beat.running == seat->running && e->beat.running_sum == seat->running_sum;
    if (seat->received == seat->sent && !same)
        tell_session(out, BOARD_ASK, e->session, 0);
}

static void lose(struct board *b, uint64_t now_ms, uint32_t i)
{
    struct slot *s = board_slot(b, i);
    board_unlist(b, i);
    if (s->flags & SLOT_MEMORY)
        s->flags |= SLOT_LOST;
    board_delay(b, i, board_fate(s) != REASON_NONE ? now_ms : now_ms + board_backoff(b, s->attempts));
}

static void count_attempt(struct slot *s)
{
    if (s->attempts < UINT16_MAX)
        s->attempts++;
}

static void on_leave(struct board *b, uint64_t now_ms, const struct board_event *e, struct board_effects *out)
{
    (void)out;
    struct seat *seat = seats_find(&b->seats, e->session);
    if (!seat)
        return;
    b->stats.lost += seat->running;
    if (!e->graceful)
        suspects_take(b, now_ms, seat);
    while (seat->slots.head != NONE) {
        uint32_t i = seat->slots.head;
        if (board_slot(b, i)->state == RUNNING) {
            lose(b, now_ms, i);
            continue;
        }
        board_unlist(b, i); /* its outcome is being committed, and nobody is left to settle it with */
        board_slot(b, i)->seat = SEAT_NONE;
    }
    suspects_seat_gone(b, seat);
    seats_leave(&b->seats, seat);
}

/* -- outcomes -- */

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
    tell_session(out, BOARD_SETTLE, e->session, e->fence);
    if (e->cargo)
        board_effect(out, BOARD_DUPLICATE)->cargo = e->cargo;
    if (e->retry_after_ms)
        board_delay(b, i, now_ms + e->retry_after_ms);
    else
        end_or_ready(b, now_ms, i, out);
}

/* What the attempt's outcome means for the job: a retry of one that is to end is its end. */
static enum job_outcome judge(struct slot *s, enum job_outcome outcome, enum board_reason *reason)
{
    if (outcome != OUTCOME_RETRY && outcome != OUTCOME_CANCELLED)
        return outcome;
    if (outcome == OUTCOME_RETRY)
        count_attempt(s);
    *reason = board_fate(s);
    return *reason == REASON_NONE ? OUTCOME_RETRY : verdict(*reason);
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
        tell_session(out, BOARD_SETTLE, e->session, e->fence);
        if (fx.outcome != OUTCOME_RETRY) {
            finish(b, now_ms, i, &fx, out);
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

static void on_outcome(struct board *b, uint64_t now_ms, const struct board_event *e,
                       struct board_effects *out)
{
    static const bool counts[SLOT_STATES] = {
        [RUNNING] = true, [READY] = true, [DELAYED] = true, [SUSPECT] = true, [MARKING] = true};
    uint32_t i = find(b, &e->job);
    struct slot *s = i == NONE ? NULL : board_slot(b, i);
    bool newest = s && s->fence == e->fence;
    if (newest && s->state == COMMITTING) {
        board_effect(out, BOARD_DUPLICATE)->cargo = e->cargo;
        return;
    }
    if (!newest || !counts[s->state]) {
        stale(b, e, out);
        return;
    }
    if (e->undelivered && s->state == RUNNING) {
        seat_of(b, s)->sent--;
        seats_update(&b->seats, seat_of(b, s));
    }
    bool unasked = e->outcome == OUTCOME_CANCELLED && board_fate(s) == REASON_NONE;
    if (e->outcome == OUTCOME_RETURNED || unasked)
        on_returned(b, now_ms, i, e, out);
    else
        commit(b, now_ms, i, e, out);
}

static void settle(struct board *b, const struct slot *s, struct board_effects *out)
{
    if (s->seat != SEAT_NONE)
        tell_session(out, BOARD_SETTLE, seat_of(b, s)->session, s->fence);
}

/* The attempt is over and the job is not: whoever says this fence again says nothing new. */
static void go_on(struct board *b, uint64_t now_ms, uint32_t i, uint64_t wait_ms)
{
    board_slot(b, i)->fence = 0;
    board_delay(b, i, now_ms + wait_ms);
    b->stats.retried++;
}

static void on_committed(struct board *b, uint64_t now_ms, const struct board_event *e,
                         struct board_effects *out)
{
    uint32_t i = find(b, &e->job);
    assert(i != NONE && board_slot(b, i)->state == COMMITTING);
    struct slot *s = board_slot(b, i);
    settle(b, s, out);
    board_unlist(b, i);
    if (e->err != PB_E_CONFLICT && e->outcome != OUTCOME_RETRY) {
        const struct board_effect how = {.fence = e->fence, .outcome = e->outcome, .cargo = e->cargo};
        finish(b, now_ms, i, &how, out);
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

/* -- jobs that are not to go on -- */

/* A flag says so by now. What runs is asked to stop; what is held or being marked is ended when it leaves
 * that state, what is being committed when it would be tried again. */
static void doom(struct board *b, uint64_t now_ms, uint32_t i, struct board_effects *out)
{
    static const bool waits[SLOT_STATES] = {
        [READY] = true, [BLOCKED] = true, [DELAYED] = true, [SUSPECT] = true};
    struct slot *s = board_slot(b, i);
    if (s->state == RUNNING)
        tell_session(out, BOARD_STOP, seat_of(b, s)->session, s->fence);
    if (!waits[s->state])
        return;
    board_unlist(b, i);
    if (s->state == BLOCKED)
        lane_leave(b, now_ms, i);
    end_job(b, now_ms, i, out);
}

static void on_cancel_job(struct board *b, uint64_t now_ms, const struct board_event *e,
                          struct board_effects *out)
{
    uint32_t i = find(b, &e->job);
    struct slot *s = i == NONE ? NULL : board_slot(b, i);
    if (!s || s->flags & SLOT_CANCELLED)
        return;
    s->flags |= SLOT_CANCELLED;
    bool noted = s->state == RUNNING || s->state == HELD || s->state == MARKING;
    if (noted && !(s->flags & SLOT_MEMORY)) {
        struct board_effect *fx = board_effect(out, BOARD_NOTE);
        fx->job = s->id;
        fx->crashes = s->crashes + (s->flags & SLOT_MARKED ? 1u : 0u);
    }
    doom(b, now_ms, i, out);
}

static void on_marked(struct board *b, uint64_t now_ms, const struct board_event *e,
                      struct board_effects *out)
{
    uint32_t i = find(b, &e->job);
    if (i == NONE || board_slot(b, i)->state != MARKING)
        return;
    if (board_fate(board_slot(b, i)) == REASON_NONE) {
        suspects_marked(b, now_ms, i, out);
        return;
    }
    board_unlist(b, i);
    end_job(b, now_ms, i, out);
}

/* -- time -- */

/* A restart is no reason for a storm. */
static void release_held(struct board *b, uint64_t now_ms)
{
    while (b->held.head != NONE && now_ms >= b->held_until_ms) {
        uint32_t i = b->held.head;
        struct slot *s = board_slot(b, i);
        uint64_t wanted_ms = s->due_ms, due_ms = now_ms + board_backoff(b, s->attempts);
        board_unlist(b, i);
        if (board_fate(s) != REASON_NONE)
            due_ms = now_ms;
        else if (wanted_ms > due_ms)
            due_ms = wanted_ms;
        board_delay(b, i, due_ms);
    }
}

static void on_tick(struct board *b, uint64_t now_ms, const struct board_event *e, struct board_effects *out)
{
    (void)e;
    release_held(b, now_ms);
    while (heap_due(&b->deadlines) <= now_ms && board_has_room(out)) {
        uint32_t i = b->deadlines.items[0];
        heap_remove(&b->deadlines, i);
        board_slot(b, i)->flags |= SLOT_EXPIRED;
        doom(b, now_ms, i, out);
    }
    while (heap_due(&b->delays) <= now_ms && board_has_room(out)) {
        uint32_t i = b->delays.items[0];
        heap_remove(&b->delays, i);
        end_or_ready(b, now_ms, i, out);
    }
}

typedef void handler(struct board *, uint64_t, const struct board_event *, struct board_effects *);

static handler *const handlers[] = {
    [BOARD_SUBMIT] = on_submit,
    [BOARD_APPENDED] = on_appended,
    [BOARD_LOADED] = on_loaded,
    [BOARD_JOIN] = on_join,
    [BOARD_HELD] = on_held,
    [BOARD_BEAT] = on_beat,
    [BOARD_LEAVE] = on_leave,
    [BOARD_OUTCOME] = on_outcome,
    [BOARD_COMMITTED] = on_committed,
    [BOARD_MARKED] = on_marked,
    [BOARD_CANCEL_JOB] = on_cancel_job,
    [BOARD_EPOCH] = on_epoch,
    [BOARD_TICK] = on_tick,
};

void board_step(struct board *b, uint64_t now_ms, const struct board_event *event, struct board_effects *out)
{
    assert(event->kind >= BOARD_SUBMIT && event->kind <= BOARD_TICK && out->count == 0);
    out->more = false;
    handlers[event->kind](b, now_ms, event, out);
    dispatch(b, now_ms, out);
}

void board_reconcile(struct board *b, uint64_t now_ms, uint64_t session,
                     bool (*listed)(void *arg, uint64_t fence), void *arg, struct board_effects *out)
{
    struct seat *seat = seats_find(&b->seats, session);
    uint32_t next;
    out->more = false;
    for (uint32_t i = seat ? seat->slots.head : NONE; i != NONE; i = next) {
        struct slot *s = board_slot(b, i);
        next = s->next;
        if (s->state != RUNNING || s->nth > seat->received || listed(arg, s->fence))
            continue;
        count_attempt(s);
        b->stats.lost++;
        lose(b, now_ms, i);
    }
    dispatch(b, now_ms, out);
}

static uint64_t least(uint64_t x, uint64_t y)
{
    return x < y ? x : y;
}

uint64_t board_due_ms(const struct board *b)
{
    uint64_t due_ms = least(heap_due(&b->delays), heap_due(&b->deadlines));
    due_ms = least(due_ms, suspects_due_ms(b));
    if (b->seats.ring != SEAT_NONE)
        due_ms = least(due_ms, lines_due_ms(b->lines));
    return b->held.head != NONE ? least(due_ms, b->held_until_ms) : due_ms;
}

pb_err board_limit(struct board *b, enum board_key key, uint64_t name, const struct board_limit *limit)
{
    return lines_limit(b->lines, key, name, limit);
}

pb_err board_pause(struct board *b, enum board_key key, uint64_t name, bool paused)
{
    return lines_pause(b->lines, key, name, paused);
}

/* -- life -- */

static uint64_t due_of(const void *owner, uint32_t item)
{
    return board_slot(owner, item)->due_ms;
}

static uint32_t *delay_place(void *owner, uint32_t item)
{
    return &board_slot(owner, item)->heap_at;
}

static uint64_t deadline_of(const void *owner, uint32_t item)
{
    return (uint64_t)board_slot(owner, item)->deadline_s * 1000;
}

static uint32_t *deadline_place(void *owner, uint32_t item)
{
    return &board_slot(owner, item)->deadline_at;
}

static uint64_t lane_hash(const void *owner, uint32_t item)
{
    return slots_hash(&board_slot(owner, item)->integration);
}

static bool is_lane(const void *owner, uint32_t item, const void *key)
{
    return id_equal(&board_slot(owner, item)->integration, key);
}

pb_err board_new(const struct board_settings *settings, struct board **out)
{
    struct board *b = calloc(1, sizeof *b);
    if (!b)
        return PB_E_MEMORY;
    b->settings = *settings;
    b->epoch = settings->epoch;
    b->random = settings->seed;
    b->held = EMPTY_LIST;
    b->delays = (struct heap){.time = due_of, .place = delay_place, .owner = b};
    b->deadlines = (struct heap){.time = deadline_of, .place = deadline_place, .owner = b};
    b->lanes = (struct index){.hash = lane_hash, .is = is_lane, .owner = b};
    seats_init(&b->seats);
    suspects_init(&b->suspects);
    pb_err err = slots_init(&b->slots, settings->jobs_max);
    if (!err)
        err = lines_new(&b->slots, settings->defaults, &b->lines);
    if (err) {
        board_free(b);
        return err;
    }
    *out = b;
    return PB_OK;
}

void board_free(struct board *b)
{
    if (!b)
        return;
    lines_free(b->lines);
    suspects_fini(&b->suspects);
    seats_fini(&b->seats);
    heap_fini(&b->delays);
    heap_fini(&b->deadlines);
    index_fini(&b->lanes);
    slots_fini(&b->slots);
    free(b);
}

/* -- what it looks like -- */

void board_count(const struct board *b, struct board_counts *out)
{
    const size_t *counts = b->slots.counts;
    *out = (struct board_counts){
        .appending = counts[APPENDING],
        .ready = counts[READY],
        .blocked = counts[BLOCKED],
        .delayed = counts[DELAYED],
        .held = counts[HELD],
        .running = counts[RUNNING],
        .committing = counts[COMMITTING],
        .suspect = counts[SUSPECT] + counts[MARKING],
    };
}

void board_get_stats(const struct board *b, struct board_stats *out)
{
    *out = b->stats;
}

size_t board_live(const struct board *b)
{
    return b->slots.by_id.count;
}

bool board_has(const struct board *b, const struct pb_id *job)
{
    uint32_t i = find(b, job);
    return i != NONE && board_slot(b, i)->state != APPENDING;
}

const char *board_state_of(const struct board *b, const struct pb_id *job, bool *cancelled)
{
    static const char *const names[SLOT_STATES] = {
        [APPENDING] = "appending",   [READY] = "ready",         [BLOCKED] = "blocked",
        [DELAYED] = "delayed",       [HELD] = "recovering",     [RUNNING] = "running",
        [COMMITTING] = "committing", [SUSPECT] = "quarantined", [MARKING] = "quarantined"};
    uint32_t i = find(b, job);
    if (i == NONE)
        return NULL;
    *cancelled = board_slot(b, i)->flags & SLOT_CANCELLED;
    return names[board_slot(b, i)->state];
}

uint32_t board_running_of(const struct board *b, uint64_t session)
{
    struct seat *seat = seats_find((struct seats *)(uintptr_t)&b->seats, session);
    return seat ? seat->running : 0;
}

uint64_t board_oldest_ready_ms(const struct board *b)
{
    return lines_oldest_ms(b->lines);
}

size_t board_bytes(const struct board *b)
{
    size_t chunks = (b->slots.used + SLOT_CHUNK - 1) / SLOT_CHUNK;
    size_t cells = b->slots.by_id.capacity + b->lanes.capacity + b->delays.capacity + b->deadlines.capacity;
    return chunks * SLOT_CHUNK * sizeof(struct slot) + cells * sizeof(uint32_t) + lines_bytes(b->lines);
}
