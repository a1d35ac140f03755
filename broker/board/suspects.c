#include "broker/board/suspects.h"

#include "broker/board/parts.h"

#include <assert.h>
#include <stdlib.h>

#define CLOSED_MS 1000 /* a group whose jobs are all paused or limited is looked at again after so long */

/* -- groups -- */

static uint64_t due_of(const void *owner, uint32_t item)
{
    const struct suspects *s = owner;
    return s->groups[item].due_ms;
}

static uint32_t *heap_at(void *owner, uint32_t item)
{
    struct suspects *s = owner;
    return &s->groups[item].heap_at;
}

void suspects_init(struct suspects *s)
{
    *s = (struct suspects){.free_head = NONE, .due_head = NONE, .due_tail = NONE};
    s->waiting = (struct heap){.time = due_of, .place = heap_at, .owner = s};
}

void suspects_fini(struct suspects *s)
{
    free(s->groups);
    heap_fini(&s->waiting);
}

static uint32_t group_new(struct suspects *s, uint32_t level)
{
    if (s->free_head == NONE && s->used == s->capacity) {
        size_t capacity = s->capacity ? s->capacity * 2 : 16;
        struct suspect_group *groups = realloc(s->groups, capacity * sizeof *groups);
        if (!groups)
            return NONE;
        s->groups = groups;
        if (heap_reserve(&s->waiting, capacity) != PB_OK)
            return NONE;
        s->capacity = capacity;
    }
    uint32_t g = s->free_head != NONE ? s->free_head : (uint32_t)s->used;
    if (g == s->free_head)
        s->free_head = s->groups[g].next;
    else
        s->used++;
    s->groups[g] = (struct suspect_group){.slots = EMPTY_LIST, .level = level, .heap_at = HEAP_NOWHERE};
    return g;
}

static void due_push(struct suspects *s, uint32_t g)
{
    struct suspect_group *group = &s->groups[g];
    group->due = true;
    group->next = NONE;
    group->prev = s->due_tail;
    *(s->due_tail == NONE ? &s->due_head : &s->groups[s->due_tail].next) = g;
    s->due_tail = g;
}

static void due_remove(struct suspects *s, uint32_t g)
{
    struct suspect_group *group = &s->groups[g];
    *(group->prev == NONE ? &s->due_head : &s->groups[group->prev].next) = group->next;
    *(group->next == NONE ? &s->due_tail : &s->groups[group->next].prev) = group->prev;
    group->due = false;
}

static void group_wait(struct suspects *s, uint32_t g, uint64_t due_ms)
{
    if (s->groups[g].due)
        due_remove(s, g);
    s->groups[g].due_ms = due_ms;
    heap_put(&s->waiting, g);
}

static void release_seat(struct board *b, struct suspect_group *group)
{
    struct seat *seat = group->session ? seats_find(&b->seats, group->session) : NULL;
    group->session = 0;
    if (!seat || !seat->reserved)
        return;
    seat->reserved = false;
    b->suspects.reserved--;
    seats_update(&b->seats, seat);
}

static void group_free(struct board *b, uint32_t g)
{
    struct suspects *s = &b->suspects;
    struct suspect_group *group = &s->groups[g];
    release_seat(b, group);
    if (group->due)
        due_remove(s, g);
    else if (group->heap_at != HEAP_NOWHERE)
        heap_remove(&s->waiting, g);
    group->next = s->free_head;
    s->free_head = g;
}

void suspects_leave(struct board *b, uint32_t slot)
{
    uint32_t g = board_slot(b, slot)->group;
    struct suspect_group *group = &b->suspects.groups[g];
    list_remove(&b->slots, &group->slots, slot);
    board_slot(b, slot)->heap_at = HEAP_NOWHERE; /* shares its place with group */
    if (--group->count == 0)
        group_free(b, g);
}

static void join_group(struct board *b, uint32_t slot, uint32_t g)
{
    struct suspect_group *group = &b->suspects.groups[g];
    list_push(&b->slots, &group->slots, slot);
    board_slot(b, slot)->group = g;
    slots_set_state(&b->slots, slot, SUSPECT);
    group->count++;
}

/* -- a worker died -- */

/* It ran alone, and what was marked has come true. */
static void charge(struct board *b, uint32_t i)
{
    struct slot *s = board_slot(b, i);
    s->flags = (uint8_t)((s->flags & ~SLOT_MARKED) | SLOT_CHARGED);
    s->crashes++;
    s->attempts++;
}

static void take_one(struct board *b, uint64_t now_ms, uint32_t i, uint32_t g)
{
    struct slot *s = board_slot(b, i);
    board_note_loss(s);
    board_unlist(b, i);
    if (board_fate(s) != REASON_NONE)
        board_delay(b, i, now_ms); /* the next tick ends it */
    else if (g == NONE)
        board_delay(b, i,
                    now_ms + board_backoff(b, s->attempts)); /* no memory for a group: as any other retry */
    else
        join_group(b, i, g);
}

/* Moves so many of the seat's running jobs into a group of their own. */
static void take_some(struct board *b, uint64_t now_ms, struct seat *seat, uint32_t count, uint32_t level)
{
    uint32_t g = count ? group_new(&b->suspects, level) : NONE, next;
    for (uint32_t i = seat->slots.head; i != NONE && count; i = next) {
        next = board_slot(b, i)->next;
        if (board_slot(b, i)->state != RUNNING)
            continue;
        take_one(b, now_ms, i, g);
        count--;
    }
    if (g == NONE)
        return;
    if (b->suspects.groups[g].count == 0)
        group_free(b, g);
    else
        group_wait(&b->suspects, g, now_ms + board_backoff(b, level));
}

void suspects_take(struct board *b, uint64_t now_ms, struct seat *seat)
{
    uint32_t level = seat->alone ? seat->level + 1 : 0, count = seat->running;
    if (count == 1 && seat->solo)
        for (uint32_t i = seat->slots.head; i != NONE; i = board_slot(b, i)->next)
            if (board_slot(b, i)->state == RUNNING && (board_slot(b, i)->flags & SLOT_MARKED))
                charge(b, i);
    take_some(b, now_ms, seat, count / 2, level);
    take_some(b, now_ms, seat, count - count / 2, level);
}

/* -- a worker of their own -- */

static struct seat *idle_seat(struct board *b)
{
    for (size_t i = 0; i < b->seats.used; i++) {
        struct seat *seat = &b->seats.items[i];
        if (seat->session && !seat->alone && seat_is_idle(seat) && seat_credit(seat) && !seat->reserved)
            return seat;
    }
    return NULL;
}

/* Half of the workers at most, so that the others' jobs go on; but one, if it is the only one. */
static bool may_keep(const struct board *b)
{
    size_t most = b->seats.count / 2;
    return b->suspects.reserved + b->suspects.alone < (most ? most : 1);
}

static struct seat *least_busy_seat(struct board *b)
{
    struct seat *best = NULL;
    for (size_t i = 0; i < b->seats.used; i++) {
        struct seat *seat = &b->seats.items[i];
        bool takes = seat->session && !seat->alone && !seat->reserved && seat->free;
        if (takes && (!best || seat->running < best->running))
            best = seat;
    }
    return best;
}

static void reserve(struct board *b, struct suspect_group *group, struct seat *seat)
{
    group->session = seat->session;
    seat->reserved = true;
    b->suspects.reserved++;
    seats_update(&b->seats, seat);
}

static struct seat *kept_seat(struct board *b, struct suspect_group *group)
{
    struct seat *seat = group->session ? seats_find(&b->seats, group->session) : NULL;
    if (seat && !(seat_is_idle(seat) && !seat_credit(seat)))
        return seat;
    release_seat(b, group); /* it is gone, or takes nothing any more */
    return NULL;
}

/* What a look at all seats has shown, so that the next group need not look. */
struct search {
    bool none_idle, none;
};

static struct seat *search_seat(struct board *b, bool idle_only, struct search *search)
{
    struct seat *seat = search->none_idle ? NULL : idle_seat(b);
    search->none_idle |= !seat;
    if (!seat && !idle_only && !search->none) {
        seat = least_busy_seat(b);
        search->none |= !seat;
    }
    return seat;
}

/* The seat for a group: one that is kept for it and idle by now, or any that is idle; else one is kept. */
static struct seat *find_seat(struct board *b, struct suspect_group *group, struct search *search)
{
    struct seat *seat = kept_seat(b, group), *other = NULL;
    if (seat && !seat_is_idle(seat))
        other = search_seat(b, true, search);
    else if (!seat && may_keep(b))
        other = search_seat(b, false, search);
    if (other) {
        release_seat(b, group);
        reserve(b, group, other);
        seat = other;
    }
    return seat && seat_is_idle(seat) && seat_credit(seat) ? seat : NULL;
}

static void send_suspect(struct board *b, uint64_t now_ms, uint32_t i, struct seat *seat, bool alone,
                         struct board_effects *out)
{
    lines_pass(b->lines, board_slot(b, i)->line, now_ms);
    board_unlist(b, i);
    board_send(b, now_ms, i, seat, alone, out);
}

/* The seat is taken from its reservation into use: it runs these and nothing else until it is idle again. */
static void occupy(struct board *b, struct suspect_group *group, struct seat *seat)
{
    release_seat(b, group);
    seat->alone = true;
    b->suspects.alone++;
    seat->level = group->level;
    seats_update(&b->seats, seat);
}

/* As many as the worker can take; the others keep waiting for the next one. */
static void send_many(struct board *b, uint64_t now_ms, uint32_t g, struct seat *seat,
                      struct board_effects *out)
{
    struct suspect_group *group = &b->suspects.groups[g];
    uint32_t i = group->slots.head, next;
    occupy(b, group, seat);
    for (; i != NONE && seat_credit(seat) && board_may_send(b) && board_has_room(out); i = next) {
        next = board_slot(b, i)->next;
        if (lines_is_open(b->lines, board_slot(b, i)->line, now_ms))
            send_suspect(b, now_ms, i, seat, false, out);
    }
    if (i == NONE && b->suspects.groups[g].count)
        group_wait(&b->suspects, g, now_ms + CLOSED_MS);
    suspects_seat_changed(b, seat);
}

static void send_one(struct board *b, uint64_t now_ms, uint32_t g, struct seat *seat,
                     struct board_effects *out)
{
    struct suspect_group *group = &b->suspects.groups[g];
    uint32_t i = group->slots.head;
    struct slot *s = board_slot(b, i);
    if (s->flags & SLOT_MEMORY)
        s->flags |= SLOT_MARKED; /* nowhere to write it down, and with the broker the job goes, too */
    if (s->flags & SLOT_MARKED) {
        occupy(b, group, seat);
        seat->solo = true;
        send_suspect(b, now_ms, i, seat, true, out);
        return;
    }
    due_remove(&b->suspects, g); /* the seat stays kept for it */
    slots_set_state(&b->slots, i, MARKING);
    struct board_effect *fx = board_effect(out, BOARD_MARK);
    fx->job = s->id;
    fx->crashes = s->crashes + 1u;
}

void suspects_marked(struct board *b, uint64_t now_ms, uint32_t slot, struct board_effects *out)
{
    uint32_t g = board_slot(b, slot)->group;
    board_slot(b, slot)->flags |= SLOT_MARKED;
    slots_set_state(&b->slots, slot, SUSPECT);
    due_push(&b->suspects, g);
    suspects_dispatch(b, now_ms, out);
}

static void make_due(struct board *b, uint64_t now_ms)
{
    struct suspects *s = &b->suspects;
    while (heap_due(&s->waiting) <= now_ms) {
        uint32_t g = s->waiting.items[0];
        heap_remove(&s->waiting, g);
        due_push(s, g);
    }
}

/* Brings a job whose gates are open to the head of its group, so that no worker is kept for one that could
 * not run. */
static bool bring_open(struct board *b, struct suspect_group *group, uint64_t now_ms)
{
    for (uint32_t n = group->count; n; n--) {
        uint32_t i = group->slots.head;
        if (lines_is_open(b->lines, board_slot(b, i)->line, now_ms))
            return true;
        list_remove(&b->slots, &group->slots, i);
        list_push(&b->slots, &group->slots, i);
    }
    return false;
}

static void try_group(struct board *b, uint64_t now_ms, uint32_t g, struct search *search,
                      struct board_effects *out)
{
    struct suspect_group *group = &b->suspects.groups[g];
    if (!bring_open(b, group, now_ms)) {
        release_seat(b, group);
        group_wait(&b->suspects, g, now_ms + CLOSED_MS);
        return;
    }
    struct seat *seat = find_seat(b, group, search);
    if (seat && group->count == 1)
        send_one(b, now_ms, g, seat, out);
    else if (seat)
        send_many(b, now_ms, g, seat, out);
}

void suspects_dispatch(struct board *b, uint64_t now_ms, struct board_effects *out)
{
    struct search search = {0};
    uint32_t next;
    make_due(b, now_ms);
    for (uint32_t g = b->suspects.due_head; g != NONE && board_may_send(b) && board_has_room(out); g = next) {
        next = b->suspects.groups[g].next;
        try_group(b, now_ms, g, &search, out);
    }
}

static void stop_alone(struct board *b, struct seat *seat)
{
    b->suspects.alone -= seat->alone;
    seat->alone = seat->solo = false;
}

void suspects_seat_changed(struct board *b, struct seat *seat)
{
    if (!seat->alone || !seat_is_idle(seat))
        return;
    stop_alone(b, seat);
    seats_update(&b->seats, seat);
}

void suspects_seat_gone(struct board *b, struct seat *seat)
{
    b->suspects.reserved -= seat->reserved;
    seat->reserved = false;
    stop_alone(b, seat);
}

uint64_t suspects_due_ms(const struct board *b)
{
    return heap_due(&b->suspects.waiting);
}
