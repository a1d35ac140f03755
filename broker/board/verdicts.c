/* Jobs that are not to go on: cancelled, too late, or found to be poison. */
#include "broker/board/parts.h"

/* A flag says so by now. What runs is asked to stop; what is held or being marked is ended when it leaves
 * that state, what is being committed when it would be tried again. */
static void doom(struct board *b, uint64_t now_ms, uint32_t i, struct board_effects *out)
{
    static const bool waits[SLOT_STATES] = {
        [READY] = true, [BLOCKED] = true, [DELAYED] = true, [SUSPECT] = true};
    struct slot *s = board_slot(b, i);
    if (s->state == RUNNING)
        board_tell(out, BOARD_STOP, board_seat_of(b, s)->session, s->fence);
    if (!waits[s->state])
        return;
    board_unlist(b, i);
    if (s->state == BLOCKED)
        lanes_leave(b, now_ms, i);
    board_end(b, now_ms, i, out);
}

/* Those that do not end at once must not come back when the broker starts again. */
static void note(const struct slot *s, struct board_effects *out)
{
    static const bool noted[SLOT_STATES] = {
        [RUNNING] = true, [HELD] = true, [MARKING] = true, [COMMITTING] = true};
    if (!noted[s->state] || s->flags & SLOT_MEMORY)
        return;
    struct board_effect *fx = board_effect(out, BOARD_NOTE);
    bool counted = s->flags & SLOT_MARKED && s->state != COMMITTING; /* what is committed says it without */
    fx->job = s->id;
    fx->crashes = s->crashes + (counted ? 1u : 0u);
}

void board_on_cancel_job(struct board *b, uint64_t now_ms, const struct board_event *e,
                         struct board_effects *out)
{
    uint32_t i = board_find(b, &e->job);
    struct slot *s = i == NONE ? NULL : board_slot(b, i);
    if (!s || s->flags & SLOT_CANCELLED)
        return;
    s->flags |= SLOT_CANCELLED;
    note(s, out);
    doom(b, now_ms, i, out);
}

void board_on_marked(struct board *b, uint64_t now_ms, const struct board_event *e, struct board_effects *out)
{
    uint32_t i = board_find(b, &e->job);
    if (i == NONE || board_slot(b, i)->state != MARKING)
        return;
    if (board_fate(board_slot(b, i)) == REASON_NONE) {
        suspects_marked(b, now_ms, i, out);
        return;
    }
    board_unlist(b, i);
    board_end(b, now_ms, i, out);
}

void board_expire(struct board *b, uint64_t now_ms, struct board_effects *out)
{
    while (heap_due(&b->deadlines) <= now_ms && board_has_room(out)) {
        uint32_t i = b->deadlines.items[0];
        heap_remove(&b->deadlines, i);
        board_slot(b, i)->flags |= SLOT_EXPIRED;
        doom(b, now_ms, i, out);
    }
}
