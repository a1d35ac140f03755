/* See board.h for the promises. How it is laid out: a job is a slot and is named by its number (slots.h).
 * Jobs that could run stand in lines (lines.h); DELAYED ones in a heap by due time; RUNNING and COMMITTING
 * ones in the list of their session's seat (seats.h); suspects in groups (suspects.h); the jobs of one
 * integration in a linked lane whose head alone may run (lanes.c). Each operation is O(log n) or better. */
#include "broker/board/board.h"

#include "broker/board/parts.h"

#include <assert.h>
#include <stdlib.h>

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

/* -- dispatching -- */

void board_sit(struct board *b, uint32_t i, struct seat *seat, uint64_t nth)
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
    s->flags &= (uint8_t)~SLOT_CHARGED;
    board_sit(b, i, seat, ++seat->sent);
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

void board_dispatch(struct board *b, uint64_t now_ms, struct board_effects *out)
{
    suspects_dispatch(b, now_ms, out);
    while (b->seats.ring != SEAT_NONE && board_may_send(b) && board_has_room(out)) {
        uint32_t i = lines_next(b->lines, now_ms);
        if (i == NONE)
            return;
        board_send(b, now_ms, i, seats_next(&b->seats), false, out);
    }
}

/* -- time -- */

static void on_tick(struct board *b, uint64_t now_ms, const struct board_event *e, struct board_effects *out)
{
    (void)e;
    board_release_held(b, now_ms);
    board_expire(b, now_ms, out);
    while (heap_due(&b->delays) <= now_ms && board_has_room(out)) {
        uint32_t i = b->delays.items[0];
        heap_remove(&b->delays, i);
        board_end_or_ready(b, now_ms, i, out);
    }
}

static board_handler *const handlers[] = {
    [BOARD_SUBMIT] = board_on_submit,
    [BOARD_APPENDED] = board_on_appended,
    [BOARD_LOADED] = board_on_loaded,
    [BOARD_JOIN] = board_on_join,
    [BOARD_HELD] = board_on_held,
    [BOARD_BEAT] = board_on_beat,
    [BOARD_LEAVE] = board_on_leave,
    [BOARD_OUTCOME] = board_on_outcome,
    [BOARD_COMMITTED] = board_on_committed,
    [BOARD_MARKED] = board_on_marked,
    [BOARD_CANCEL_JOB] = board_on_cancel_job,
    [BOARD_EPOCH] = on_epoch,
    [BOARD_TICK] = on_tick,
};

void board_step(struct board *b, uint64_t now_ms, const struct board_event *event, struct board_effects *out)
{
    assert(event->kind >= BOARD_SUBMIT && event->kind <= BOARD_TICK && out->count == 0);
    out->more = false;
    handlers[event->kind](b, now_ms, event, out);
    board_dispatch(b, now_ms, out);
}

static uint64_t least(uint64_t x, uint64_t y)
{
    return x < y ? x : y;
}

uint64_t board_due_ms(const struct board *b)
{
    uint64_t due_ms = least(heap_due(&b->delays), heap_due(&b->deadlines));
    due_ms = least(due_ms, suspects_due_ms(b));
    if (b->seats.ring != SEAT_NONE && board_may_send(b))
        due_ms = least(due_ms, lines_due_ms(b->lines));
    return least(due_ms, board_held_due_ms(b));
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
