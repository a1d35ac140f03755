#include "broker/board/seats.h"

#include <assert.h>

static uint64_t hash_of(const void *owner, uint32_t item)
{
    const struct seats *s = owner;
    return index_mix(s->items[item].session);
}

static bool is_session(const void *owner, uint32_t item, const void *key)
{
    const struct seats *s = owner;
    const uint64_t *session = key;
    return s->items[item].session == *session;
}

void seats_init(struct seats *s)
{
    *s = (struct seats){.ring = SEAT_NONE, .free_head = SEAT_NONE};
    s->by_session = (struct index){.hash = hash_of, .is = is_session, .owner = s};
}

void seats_fini(struct seats *s)
{
    index_fini(&s->by_session);
}

uint16_t seats_number(const struct seats *s, const struct seat *seat)
{
    return (uint16_t)(seat - s->items);
}

struct seat *seats_find(struct seats *s, uint64_t session)
{
    uint32_t i = index_get(&s->by_session, index_mix(session), &session);
    return i == INDEX_NONE ? NULL : &s->items[i];
}

struct seat *seats_join(struct seats *s, uint64_t session)
{
    assert(session && !seats_find(s, session) && s->count < LIMIT_SESSIONS);
    uint16_t i = s->free_head != SEAT_NONE ? s->free_head : (uint16_t)s->used;
    if (index_add(&s->by_session, index_mix(session), i) != PB_OK)
        return NULL;
    if (i == s->free_head)
        s->free_head = s->items[i].next;
    else
        s->used++;
    s->count++;
    s->items[i] = (struct seat){.session = session, .slots = EMPTY_LIST};
    return &s->items[i];
}

static void leave_ring(struct seats *s, struct seat *seat)
{
    uint16_t i = seats_number(s, seat);
    s->items[seat->prev].next = seat->next;
    s->items[seat->next].prev = seat->prev;
    if (s->ring == i)
        s->ring = seat->next == i ? SEAT_NONE : seat->next;
    seat->in_ring = false;
}

static void enter_ring(struct seats *s, struct seat *seat)
{
    uint16_t i = seats_number(s, seat);
    if (s->ring == SEAT_NONE) {
        seat->prev = seat->next = s->ring = i;
    } else { /* before the one that is asked next: last */
        seat->next = s->ring;
        seat->prev = s->items[s->ring].prev;
        s->items[seat->prev].next = i;
        s->items[seat->next].prev = i;
    }
    seat->in_ring = true;
}

void seats_leave(struct seats *s, struct seat *seat)
{
    uint16_t i = seats_number(s, seat);
    if (seat->in_ring)
        leave_ring(s, seat);
    index_remove(&s->by_session, index_mix(seat->session), i);
    seat->session = 0;
    seat->next = s->free_head;
    s->free_head = i;
    s->count--;
}

uint64_t seat_credit(const struct seat *seat)
{
    uint64_t on_the_way = seat->sent - seat->received;
    return seat->free > on_the_way ? seat->free - on_the_way : 0;
}

void seats_update(struct seats *s, struct seat *seat)
{
    bool takes = seat_credit(seat) && !seat->reserved && !seat->alone;
    if (takes && !seat->in_ring)
        enter_ring(s, seat);
    else if (!takes && seat->in_ring)
        leave_ring(s, seat);
}

struct seat *seats_next(struct seats *s)
{
    if (s->ring == SEAT_NONE)
        return NULL;
    struct seat *seat = &s->items[s->ring];
    s->ring = seat->next;
    return seat;
}
