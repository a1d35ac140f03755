/* Where a job is, and how it comes from one place to the next; and how it ends. Two moves lead out of
 * waiting: board_fate() says that the job is to end, or it goes on. Every path, recovery and restart
 * included, goes through them. */
#include "broker/board/parts.h"
#include "common/limits.h"

#include <assert.h>

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

void board_tell(struct board_effects *out, enum board_effect_kind kind, uint64_t session, uint64_t fence)
{
    struct board_effect *fx = board_effect(out, kind);
    fx->session = session;
    fx->fence = fence;
}

/* -- where a job is -- */

static void stop_running(struct board *b, uint32_t i)
{
    struct slot *s = board_slot(b, i);
    struct seat *seat = board_seat_of(b, s);
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
        list_remove(&b->slots, &board_seat_of(b, s)->slots, i);
}

static void leave_line(struct board *b, uint32_t i)
{
    lines_remove(b->lines, i);
}

static void leave_held(struct board *b, uint32_t i)
{
    list_remove(&b->slots, &b->held, i);
    board_slot(b, i)->heap_at = NONE; /* shares its place with held_ms */
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

void board_start_waiting(struct board *b, uint64_t now_ms, uint32_t i)
{
    const struct slot *s = board_slot(b, i);
    if (board_fate(s) != REASON_NONE)
        board_delay(b, i, now_ms); /* the next tick ends it */
    else if (s->due_ms > now_ms)
        board_delay(b, i, s->due_ms);
    else
        make_ready(b, now_ms, i);
}

/* -- the end of a job -- */

void board_note_loss(struct slot *s)
{
    if ((s->flags & (SLOT_MEMORY | SLOT_RETRIED)) == SLOT_MEMORY)
        s->flags |= SLOT_LOST;
}

enum board_reason board_fate(const struct slot *s)
{
    return s->flags & SLOT_CANCELLED         ? REASON_CANCELLED
           : s->flags & SLOT_LOST            ? REASON_LOST
           : s->flags & SLOT_EXPIRED         ? REASON_DEADLINE
           : s->crashes >= LIMIT_JOB_CRASHES ? REASON_POISON
           : s->attempts >= s->max_attempts  ? REASON_ATTEMPTS
                                             : REASON_NONE;
}

enum job_outcome board_verdict(enum board_reason reason)
{
    return reason == REASON_CANCELLED ? OUTCOME_CANCELLED : OUTCOME_DEAD;
}

/* Out of everything: the slot is free again. */
void board_forget(struct board *b, uint64_t now_ms, uint32_t i)
{
    lanes_leave(b, now_ms, i);
    if (board_slot(b, i)->deadline_at != HEAP_NOWHERE)
        heap_remove(&b->deadlines, i);
    lines_leave(b->lines, board_slot(b, i)->line);
    slots_give(&b->slots, i);
}

void board_finish(struct board *b, uint64_t now_ms, uint32_t i, const struct board_effect *how,
                  struct board_effects *out)
{
    struct board_effect *fx = board_effect(out, BOARD_FINISH);
    fx->job = board_slot(b, i)->id;
    fx->fence = how->fence;
    fx->outcome = how->outcome;
    fx->reason = how->reason;
    fx->cargo = how->cargo;
    b->stats.finished[how->outcome]++;
    board_forget(b, now_ms, i);
}

void board_end(struct board *b, uint64_t now_ms, uint32_t i, struct board_effects *out)
{
    struct slot *s = board_slot(b, i);
    enum board_reason reason = board_fate(s);
    const struct board_effect how = {.outcome = board_verdict(reason), .reason = reason};
    if (s->flags & SLOT_MEMORY) {
        board_finish(b, now_ms, i, &how, out);
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

void board_end_or_ready(struct board *b, uint64_t now_ms, uint32_t i, struct board_effects *out)
{
    if (board_fate(board_slot(b, i)) != REASON_NONE)
        board_end(b, now_ms, i, out);
    else
        make_ready(b, now_ms, i);
}
