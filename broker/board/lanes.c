/* The jobs of one integration: a linked lane for each, found by the integration, whose head alone may run. */
#include "broker/board/parts.h"

pb_err lanes_enter(struct board *b, uint32_t i, bool *first)
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

void lanes_leave(struct board *b, uint64_t now_ms, uint32_t i)
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
        board_start_waiting(b, now_ms, after);
}
