/* Workers come, say what they hold and how much more they can take, and go. */
#include "broker/board/parts.h"

void board_on_join(struct board *b, uint64_t now_ms, const struct board_event *e, struct board_effects *out)
{
    (void)now_ms;
    (void)out;
    (void)seats_join(&b->seats, e->session); /* without memory for a seat it gets no work */
}

/* Is this fence the job's newest, as far as anyone can know? A job loaded from the store has none yet and
 * takes the largest that a worker names: fences of this broker are all larger. */
static bool may_adopt(const struct slot *s, uint64_t fence)
{
    static const bool waits[SLOT_STATES] = {
        [READY] = true, [DELAYED] = true, [HELD] = true, [SUSPECT] = true, [MARKING] = true};
    return waits[s->state] && fence && (s->fence == fence || (s->state == HELD && s->fence < fence));
}

/* It goes on, so nobody died of it: what was charged or only marked is taken back. Of a loaded job the last
 * crash may be a mark. */
static void uncharge(struct slot *s)
{
    bool charged = s->flags & SLOT_CHARGED, doubtful = s->state == HELD && !(s->flags & SLOT_MARKED);
    if (!s->crashes || (!charged && !doubtful))
        return;
    s->crashes--;
    s->attempts -= charged;
    s->flags = (uint8_t)((s->flags & ~SLOT_CHARGED) | SLOT_MARKED);
}

/* Only the settling goes to the new session. */
static void settle_with(struct board *b, uint32_t i, struct seat *seat)
{
    board_unlist(b, i);
    board_slot(b, i)->seat = seats_number(&b->seats, seat);
    list_push(&b->slots, &seat->slots, i);
}

/* Is it this session's from now on? Its attempt has passed the gates before; it only counts as running. */
static bool adopt(struct board *b, uint32_t i, struct seat *seat, uint64_t fence)
{
    struct slot *s = board_slot(b, i);
    bool moves = (s->state == RUNNING || s->state == COMMITTING) && s->fence == fence;
    bool better = s->state == RUNNING && s->nth == 0 && s->fence < fence && fence >> 32 < b->settings.epoch;
    if (s->state == RUNNING && moves && board_seat_of(b, s) == seat)
        return true;
    if (!moves && !better && !may_adopt(s, fence))
        return false;
    if (s->state == COMMITTING) {
        settle_with(b, i, seat);
        return true;
    }
    uncharge(s);
    board_unlist(b, i);
    s->fence = fence;
    lines_resume(b->lines, s->line);
    board_sit(b, i, seat, 0);
    return true;
}

void board_on_held(struct board *b, uint64_t now_ms, const struct board_event *e, struct board_effects *out)
{
    struct seat *seat = seats_find(&b->seats, e->session);
    uint32_t i = board_find(b, &e->job);
    (void)now_ms;
    if (!seat)
        return;
    if (i == NONE || !adopt(b, i, seat, e->fence))
        board_tell(out, BOARD_CANCEL, e->session, e->fence);
    else if (board_slot(b, i)->state == RUNNING && board_fate(board_slot(b, i)) != REASON_NONE)
        board_tell(out, BOARD_STOP, e->session, e->fence);
}

void board_on_beat(struct board *b, uint64_t now_ms, const struct board_event *e, struct board_effects *out)
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
        board_tell(out, BOARD_ASK, e->session, 0);
}

static void lose(struct board *b, uint64_t now_ms, uint32_t i)
{
    struct slot *s = board_slot(b, i);
    board_unlist(b, i);
    board_note_loss(s);
    board_delay(b, i, board_fate(s) != REASON_NONE ? now_ms : now_ms + board_backoff(b, s->attempts));
}

void board_on_leave(struct board *b, uint64_t now_ms, const struct board_event *e, struct board_effects *out)
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
        board_count_attempt(s);
        b->stats.lost++;
        lose(b, now_ms, i);
    }
    board_dispatch(b, now_ms, out);
}
