/* How jobs come onto the board: submitted, or found in the store at the start. */
#include "broker/board/parts.h"

#include <assert.h>

#define RELEASED_A_TICK 4096 /* so that a million loaded jobs do not stop the loop */

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
    s->flags = (uint8_t)((spec->memory ? SLOT_MEMORY : 0) | (spec->retried ? SLOT_RETRIED : 0) |
                         (spec->cancelled ? SLOT_CANCELLED : 0));
    if (!spec->deadline_ms)
        return;
    uint64_t seconds = (spec->deadline_ms + 999) / 1000;
    s->deadline_s = (uint32_t)(seconds < UINT32_MAX ? seconds : UINT32_MAX);
    heap_put(&b->deadlines, i);
}

/* Zeros say nothing about the host: the default, or whatever another job has said, holds. */
static const struct board_limit *host_limit(const struct board_spec *spec)
{
    const struct board_limit *l = &spec->host_limit;
    return l->interval_us || l->burst || l->concurrency ? l : NULL;
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
        err = lines_enter(b->lines, e->spec.names, host_limit(&e->spec), e->spec.priority,
                          e->kind == BOARD_SUBMIT, &board_slot(b, i)->line);
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
        board_end(b, now_ms, i, out);
    else if (lanes_enter(b, i, &first) != PB_OK)
        board_delay(b, i, now_ms + board_backoff(b, 0)); /* it runs; only its place in the lane is lost */
    else if (first)
        board_start_waiting(b, now_ms, i);
}

void board_on_submit(struct board *b, uint64_t now_ms, const struct board_event *e, struct board_effects *out)
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

void board_on_appended(struct board *b, uint64_t now_ms, const struct board_event *e,
                       struct board_effects *out)
{
    uint32_t i = board_find(b, &e->job);
    assert(i != NONE && board_slot(b, i)->state == APPENDING);
    if (e->err) {
        board_forget(b, now_ms, i);
        reject(out, e, e->err);
        return;
    }
    board_effect(out, BOARD_ACCEPT)->job = e->job;
    admit(b, now_ms, i, out);
}

/* Each for as long, however long the loading goes on. */
static void make_held(struct board *b, uint64_t now_ms, uint32_t i)
{
    b->held_until_ms = now_ms + b->settings.recovery_ms;
    board_slot(b, i)->held_ms = (uint32_t)b->held_until_ms;
    slots_set_state(&b->slots, i, HELD);
    list_push(&b->slots, &b->held, i);
}

void board_on_loaded(struct board *b, uint64_t now_ms, const struct board_event *e, struct board_effects *out)
{
    uint32_t i;
    bool first = true;
    pb_err err = take(b, e, &i);
    if (err) {
        reject(out, e, err);
        return;
    }
    if (lanes_enter(b, i, &first) != PB_OK || first)
        make_held(b, now_ms, i);
}

uint64_t board_held_due_ms(const struct board *b)
{
    if (b->held.head == NONE)
        return UINT64_MAX;
    uint32_t before_last = (uint32_t)b->held_until_ms - board_slot(b, b->held.head)->held_ms;
    return b->held_until_ms - before_last;
}

static void release(struct board *b, uint64_t now_ms, uint32_t i)
{
    struct slot *s = board_slot(b, i);
    uint64_t wanted_ms = s->due_ms, due_ms = now_ms + board_backoff(b, s->attempts);
    board_unlist(b, i);
    if (board_fate(s) != REASON_NONE)
        due_ms = now_ms;
    else if (wanted_ms > due_ms)
        due_ms = wanted_ms;
    board_delay(b, i, due_ms);
}

/* A restart is no reason for a storm. */
void board_release_held(struct board *b, uint64_t now_ms)
{
    for (size_t n = 0; board_held_due_ms(b) <= now_ms && n < RELEASED_A_TICK; n++)
        release(b, now_ms, b->held.head);
}
