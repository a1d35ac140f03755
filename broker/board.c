/* See board.h for the promises. How it is laid out: a job is a slot in one growing array and is named by its
 * index; READY and HELD jobs, and the RUNNING and COMMITTING ones of each session (a "seat"), are doubly
 * linked lists of slots; DELAYED jobs are a binary heap by due time; the jobs of one integration are a singly
 * linked "lane" whose head alone may run. Each operation is O(1) or O(log n), but for a seat's search among
 * the sessions. */
#include "broker/board.h"

#include "broker/idmap.h"
#include "common/limits.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#define NONE UINT32_MAX

enum slot_state { FREE, APPENDING, READY, BLOCKED, DELAYED, HELD, RUNNING, COMMITTING, STATES };

struct slot {
    struct pb_id id, integration;
    uint64_t fence; /* the newest; 0: never dispatched by this broker nor claimed by a worker */
    union {
        uint64_t due_ms; /* DELAYED */
        uint64_t nth;    /* RUNNING: the how-manieth attempt of its session; 0: adopted */
    };
    uint32_t prev, next;
    uint32_t lane_next;
    uint32_t heap_at;
    uint16_t seat;
    uint16_t attempts;
    uint8_t state;
};

struct list {
    uint32_t head, tail;
};

struct seat {
    uint64_t session; /* 0: free */
    uint64_t sent, received;
    uint64_t running_sum;
    uint32_t free, running;
    struct list slots;
};

struct board {
    struct board_settings settings;
    struct slot *slots;
    size_t slot_capacity, slot_used; /* slots past slot_used were never taken */
    uint32_t free_head;
    size_t counts[STATES];
    struct list ready, held;
    uint32_t *heap;
    size_t heap_count;
    struct idmap jobs, lanes; /* id -> slot; integration -> the lane's last slot */
    struct seat seats[LIMIT_SESSIONS];
    size_t seat_used, turn; /* seats past seat_used are free; turn: who is asked first */
    uint64_t held_until_ms;
    uint32_t fence_counter;
    uint64_t random;
};

/* -- effects and randomness -- */

static struct board_effect *effect(struct board_effects *out, enum board_effect_kind kind)
{
    assert(out->count < BOARD_EFFECTS_MAX);
    struct board_effect *e = &out->items[out->count++];
    *e = (struct board_effect){.kind = kind};
    return e;
}

static uint64_t next_random(struct board *b)
{
    uint64_t z = (b->random += UINT64_C(0x9e3779b97f4a7c15)); /* splitmix64 */
    z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
    return z ^ (z >> 31);
}

static uint64_t backoff(struct board *b, uint32_t attempts)
{
    uint64_t most = b->settings.backoff_ms;
    for (uint32_t i = 0; i < attempts && most < b->settings.backoff_max_ms; i++)
        most *= 2;
    if (most > b->settings.backoff_max_ms)
        most = b->settings.backoff_max_ms;
    return next_random(b) % (most + 1);
}

static uint64_t next_fence(struct board *b)
{
    /* Four thousand million dispatches of one broker; the next start has the next epoch. */
    assert(b->fence_counter < UINT32_MAX);
    return (uint64_t)b->settings.epoch << 32 | ++b->fence_counter;
}

/* -- slots -- */

static struct slot *at(struct board *b, uint32_t i)
{
    return &b->slots[i];
}

static void set_state(struct board *b, struct slot *s, enum slot_state state)
{
    b->counts[s->state]--;
    b->counts[state]++;
    s->state = (uint8_t)state;
}

static pb_err grow_slots(struct board *b)
{
    size_t capacity = b->slot_capacity ? b->slot_capacity * 2 : 256;
    struct slot *slots = realloc(b->slots, capacity * sizeof *slots);
    if (!slots)
        return PB_E_MEMORY;
    b->slots = slots;
    uint32_t *heap = realloc(b->heap, capacity * sizeof *heap);
    if (!heap)
        return PB_E_MEMORY;
    b->heap = heap;
    b->slot_capacity = capacity;
    return PB_OK;
}

static pb_err take_slot(struct board *b, const struct pb_id *id, uint32_t *out)
{
    if (board_live(b) >= b->settings.jobs_max)
        return PB_E_BUSY;
    if (b->free_head == NONE && b->slot_used == b->slot_capacity && grow_slots(b) != PB_OK)
        return PB_E_MEMORY;
    uint32_t i = b->free_head != NONE ? b->free_head : (uint32_t)b->slot_used;
    if (idmap_put(&b->jobs, id, i) != PB_OK)
        return PB_E_MEMORY;
    if (i == b->free_head)
        b->free_head = at(b, i)->next;
    else
        b->slot_used++;
    *at(b, i) = (struct slot){.id = *id, .prev = NONE, .next = NONE, .lane_next = NONE, .heap_at = NONE};
    b->counts[FREE]++; /* set_state takes it from there */
    *out = i;
    return PB_OK;
}

static void give_slot(struct board *b, uint32_t i)
{
    struct slot *s = at(b, i);
    idmap_remove(&b->jobs, &s->id);
    set_state(b, s, FREE);
    b->counts[FREE]--;
    s->next = b->free_head;
    b->free_head = i;
}

static uint32_t find(const struct board *b, const struct pb_id *job)
{
    return idmap_get(&b->jobs, job);
}

/* -- lists -- */

static void list_push(struct board *b, struct list *l, uint32_t i)
{
    struct slot *s = at(b, i);
    s->next = NONE;
    s->prev = l->tail;
    if (l->tail != NONE)
        at(b, l->tail)->next = i;
    else
        l->head = i;
    l->tail = i;
}

static void list_remove(struct board *b, struct list *l, uint32_t i)
{
    struct slot *s = at(b, i);
    if (s->prev != NONE)
        at(b, s->prev)->next = s->next;
    else
        l->head = s->next;
    if (s->next != NONE)
        at(b, s->next)->prev = s->prev;
    else
        l->tail = s->prev;
    s->prev = s->next = NONE;
}

/* -- the heap of delayed jobs -- */

static void heap_set(struct board *b, size_t where, uint32_t i)
{
    b->heap[where] = i;
    at(b, i)->heap_at = (uint32_t)where;
}

static bool due_before(struct board *b, size_t x, size_t y)
{
    return at(b, b->heap[x])->due_ms < at(b, b->heap[y])->due_ms;
}

static void heap_swap(struct board *b, size_t x, size_t y)
{
    uint32_t i = b->heap[x], j = b->heap[y];
    heap_set(b, x, j);
    heap_set(b, y, i);
}

static void heap_up(struct board *b, size_t where)
{
    for (; where && due_before(b, where, (where - 1) / 2); where = (where - 1) / 2)
        heap_swap(b, where, (where - 1) / 2);
}

static void heap_down(struct board *b, size_t where)
{
    for (;;) {
        size_t least = where, left = 2 * where + 1, right = left + 1;
        if (left < b->heap_count && due_before(b, left, least))
            least = left;
        if (right < b->heap_count && due_before(b, right, least))
            least = right;
        if (least == where)
            return;
        heap_swap(b, where, least);
        where = least;
    }
}

static void heap_push(struct board *b, uint32_t i)
{
    heap_set(b, b->heap_count++, i);
    heap_up(b, b->heap_count - 1);
}

static void heap_remove(struct board *b, uint32_t i)
{
    size_t where = at(b, i)->heap_at, last = --b->heap_count;
    at(b, i)->heap_at = NONE;
    if (where == last)
        return;
    heap_set(b, where, b->heap[last]);
    heap_up(b, where);
    heap_down(b, where);
}

/* -- seats -- */

static struct seat *find_seat(struct board *b, uint64_t session)
{
    for (size_t i = 0; i < b->seat_used; i++)
        if (b->seats[i].session == session)
            return &b->seats[i];
    return NULL;
}

static struct seat *free_seat(struct board *b)
{
    for (size_t i = 0; i < b->seat_used; i++)
        if (b->seats[i].session == 0)
            return &b->seats[i];
    return b->seat_used < LIMIT_SESSIONS ? &b->seats[b->seat_used++] : NULL;
}

static struct seat *seat_of(struct board *b, const struct slot *s)
{
    return &b->seats[s->seat];
}

static uint64_t credit(const struct seat *seat)
{
    uint64_t on_the_way = seat->sent - seat->received;
    return seat->session && seat->free > on_the_way ? seat->free - on_the_way : 0;
}

static void sit(struct board *b, uint32_t i, struct seat *seat, uint64_t nth)
{
    struct slot *s = at(b, i);
    s->seat = (uint16_t)(seat - b->seats);
    s->nth = nth;
    list_push(b, &seat->slots, i);
    seat->running++;
    seat->running_sum += s->fence;
    set_state(b, s, RUNNING);
}

static void stop_running(struct board *b, struct slot *s)
{
    struct seat *seat = seat_of(b, s);
    seat->running--;
    seat->running_sum -= s->fence;
}

/* -- where a job waits -- */

static void make_ready(struct board *b, uint32_t i)
{
    list_push(b, &b->ready, i);
    set_state(b, at(b, i), READY);
}

static void make_delayed(struct board *b, uint32_t i, uint64_t due_ms)
{
    at(b, i)->due_ms = due_ms;
    heap_push(b, i);
    set_state(b, at(b, i), DELAYED);
}

static void make_held(struct board *b, uint32_t i)
{
    list_push(b, &b->held, i);
    set_state(b, at(b, i), HELD);
}

/* Takes a job out of wherever it is listed; its state is the caller's to set. */
static void unlist(struct board *b, uint32_t i)
{
    struct slot *s = at(b, i);
    switch (s->state) {
    case READY:
        list_remove(b, &b->ready, i);
        break;
    case HELD:
        list_remove(b, &b->held, i);
        break;
    case DELAYED:
        heap_remove(b, i);
        break;
    case RUNNING:
        stop_running(b, s);
        list_remove(b, &seat_of(b, s)->slots, i);
        break;
    case COMMITTING:
        if (s->seat != UINT16_MAX)
            list_remove(b, &seat_of(b, s)->slots, i);
        break;
    default:
        break;
    }
}

/* Puts a job into its integration's lane: at once if that is free, else behind those before it. */
static pb_err enter_lane(struct board *b, uint32_t i, void (*start)(struct board *, uint32_t))
{
    struct slot *s = at(b, i);
    uint32_t last = id_is_nil(&s->integration) ? NONE : idmap_get(&b->lanes, &s->integration);
    if (!id_is_nil(&s->integration) && idmap_put(&b->lanes, &s->integration, i) != PB_OK)
        return PB_E_MEMORY;
    if (last == NONE) {
        start(b, i);
        return PB_OK;
    }
    at(b, last)->lane_next = i;
    set_state(b, s, BLOCKED);
    return PB_OK;
}

/* The head of a lane is done: the next one may run. */
static void leave_lane(struct board *b, uint32_t i)
{
    struct slot *s = at(b, i);
    if (id_is_nil(&s->integration))
        return;
    if (s->lane_next != NONE)
        make_ready(b, s->lane_next);
    else
        idmap_remove(&b->lanes, &s->integration);
}

static void count_attempt(struct slot *s)
{
    if (s->attempts < UINT16_MAX)
        s->attempts++;
}

static void lost(struct board *b, uint64_t now_ms, uint32_t i)
{
    struct slot *s = at(b, i);
    unlist(b, i);
    count_attempt(s);
    make_delayed(b, i, now_ms + backoff(b, s->attempts));
}

/* -- dispatching -- */

static struct seat *seat_with_credit(struct board *b)
{
    for (size_t n = 0; n < b->seat_used; n++) {
        struct seat *seat = &b->seats[b->turn++ % b->seat_used];
        if (credit(seat))
            return seat;
    }
    return NULL;
}

static void dispatch_one(struct board *b, struct seat *seat, struct board_effects *out)
{
    uint32_t i = b->ready.head;
    struct slot *s = at(b, i);
    unlist(b, i);
    s->fence = next_fence(b);
    sit(b, i, seat, ++seat->sent);
    struct board_effect *e = effect(out, BOARD_DISPATCH);
    e->session = seat->session;
    e->job = s->id;
    e->integration = s->integration;
    e->fence = s->fence;
    e->attempts = s->attempts;
}

static void dispatch(struct board *b, struct board_effects *out)
{
    struct seat *seat;
    out->more = false;
    while (b->ready.head != NONE && (seat = seat_with_credit(b))) {
        if (out->count == BOARD_EFFECTS_MAX) {
            out->more = true;
            return;
        }
        dispatch_one(b, seat, out);
    }
}

/* -- events -- */

static void reject(struct board_effects *out, const struct board_event *e, pb_err err)
{
    struct board_effect *fx = effect(out, BOARD_REJECT);
    fx->job = e->job;
    fx->err = err;
    fx->cargo = e->cargo;
}

static void on_submit(struct board *b, uint64_t now_ms, const struct board_event *e,
                      struct board_effects *out)
{
    (void)now_ms;
    uint32_t i;
    pb_err err = find(b, &e->job) != NONE ? PB_E_EXISTS : take_slot(b, &e->job, &i);
    if (err) {
        reject(out, e, err);
        return;
    }
    at(b, i)->integration = e->integration;
    set_state(b, at(b, i), APPENDING);
    struct board_effect *fx = effect(out, BOARD_APPEND);
    fx->job = e->job;
    fx->cargo = e->cargo;
}

static void on_appended(struct board *b, uint64_t now_ms, const struct board_event *e,
                        struct board_effects *out)
{
    (void)now_ms;
    uint32_t i = find(b, &e->job);
    assert(i != NONE && at(b, i)->state == APPENDING);
    if (e->err) {
        give_slot(b, i);
        reject(out, e, e->err);
        return;
    }
    effect(out, BOARD_ACCEPT)->job = e->job;
    if (enter_lane(b, i, make_ready) != PB_OK)
        make_delayed(
            b, i, now_ms + backoff(b, 0)); /* durable already: it runs, only its place in the lane is lost */
}

static void on_loaded(struct board *b, uint64_t now_ms, const struct board_event *e,
                      struct board_effects *out)
{
    uint32_t i;
    pb_err err = take_slot(b, &e->job, &i);
    if (!err) {
        struct slot *s = at(b, i);
        s->integration = e->integration;
        s->attempts = (uint16_t)(e->attempts < UINT16_MAX ? e->attempts : UINT16_MAX);
        b->held_until_ms = now_ms + b->settings.recovery_ms;
        err = enter_lane(b, i, make_held);
        if (err)
            give_slot(b, i);
    }
    if (err)
        reject(out, e, err);
}

static void on_join(struct board *b, uint64_t now_ms, const struct board_event *e, struct board_effects *out)
{
    (void)now_ms;
    (void)out;
    assert(e->session && !find_seat(b, e->session));
    struct seat *seat = free_seat(b);
    assert(seat); /* links admits LIMIT_SESSIONS at most */
    *seat = (struct seat){.session = e->session, .slots = {NONE, NONE}};
}

/* Is this fence the job's newest, as far as anyone can know? A job loaded from the store has none yet and
 * takes the largest that a worker names: fences of this broker are all larger. */
static bool may_adopt(const struct slot *s, uint64_t fence)
{
    bool waits = s->state == READY || s->state == DELAYED || s->state == HELD;
    return waits && (s->fence == fence || (s->state == HELD && s->fence < fence));
}

static bool adopt(struct board *b, uint32_t i, struct seat *seat, uint64_t fence)
{
    struct slot *s = at(b, i);
    bool moves = (s->state == RUNNING || s->state == COMMITTING) && s->fence == fence;
    bool better = s->state == RUNNING && s->nth == 0 && s->fence < fence && fence >> 32 < b->settings.epoch;
    if (s->state == COMMITTING && moves) { /* only the settling goes to the new session */
        unlist(b, i);
        s->seat = (uint16_t)(seat - b->seats);
        list_push(b, &seat->slots, i);
        return true;
    }
    if (!moves && !better && !may_adopt(s, fence))
        return false;
    unlist(b, i);
    s->fence = fence;
    sit(b, i, seat, 0);
    return true;
}

static void on_held(struct board *b, uint64_t now_ms, const struct board_event *e, struct board_effects *out)
{
    (void)now_ms;
    struct seat *seat = find_seat(b, e->session);
    uint32_t i = find(b, &e->job);
    if (!seat || (i != NONE && adopt(b, i, seat, e->fence)))
        return;
    struct board_effect *fx = effect(out, BOARD_CANCEL);
    fx->session = e->session;
    fx->fence = e->fence;
}

static void on_beat(struct board *b, uint64_t now_ms, const struct board_event *e, struct board_effects *out)
{
    (void)now_ms;
    struct seat *seat = find_seat(b, e->session);
    if (!seat || e->beat.received > seat->sent)
        return; /* it cannot have what was never sent: a fault of the peer, which keeps its old credit */
    seat->received = e->beat.received;
    seat->free = e->beat.free;
    bool same = e->beat.running == seat->running && e->beat.running_sum == seat->running_sum;
    if (seat->received == seat->sent && !same)
        effect(out, BOARD_ASK)->session = e->session;
}

static void on_leave(struct board *b, uint64_t now_ms, const struct board_event *e, struct board_effects *out)
{
    (void)out;
    struct seat *seat = find_seat(b, e->session);
    if (!seat)
        return;
    while (seat->slots.head != NONE) {
        uint32_t i = seat->slots.head;
        if (at(b, i)->state == RUNNING) {
            lost(b, now_ms, i);
            continue;
        }
        unlist(b, i); /* its outcome is being committed, and nobody is left to settle it with */
        at(b, i)->seat = UINT16_MAX;
    }
    seat->session = 0;
}

/* An attempt that was handed back, or that never left: no attempt is counted. */
static void on_returned(struct board *b, uint64_t now_ms, uint32_t i, const struct board_event *e,
                        struct board_effects *out)
{
    unlist(b, i);
    if (e->retry_after_ms)
        make_delayed(b, i, now_ms + e->retry_after_ms);
    else
        make_ready(b, i);
    struct board_effect *fx = effect(out, BOARD_STALE);
    fx->session = e->session;
    fx->job = e->job;
    fx->fence = e->fence;
    fx->cargo = e->cargo;
}

static void commit(struct board *b, uint32_t i, const struct board_event *e, struct board_effects *out)
{
    struct slot *s = at(b, i);
    bool seated = s->state == RUNNING;
    uint16_t seat = s->seat;
    unlist(b, i);
    s->seat = seated ? seat : UINT16_MAX;
    if (seated)
        list_push(b, &b->seats[seat].slots, i);
    if (e->outcome == OUTCOME_RETRY)
        count_attempt(s);
    s->due_ms = e->retry_after_ms; /* until it is DELAYED: how long to wait; 0: backoff */
    set_state(b, s, COMMITTING);
    struct board_effect *fx = effect(out, BOARD_COMMIT);
    fx->session = e->session;
    fx->job = e->job;
    fx->fence = e->fence;
    fx->outcome = e->outcome;
    fx->attempts = s->attempts;
    fx->cargo = e->cargo;
}

static void on_outcome(struct board *b, uint64_t now_ms, const struct board_event *e,
                       struct board_effects *out)
{
    uint32_t i = find(b, &e->job);
    struct slot *s = i == NONE ? NULL : at(b, i);
    bool newest = s && s->fence == e->fence;
    if (newest && s->state == COMMITTING) {
        effect(out, BOARD_DUPLICATE)->cargo = e->cargo;
        return;
    }
    if (!newest || (s->state != RUNNING && s->state != READY && s->state != DELAYED)) {
        struct board_effect *fx = effect(out, BOARD_STALE);
        fx->session = e->session;
        fx->job = e->job;
        fx->fence = e->fence;
        fx->cargo = e->cargo;
        return;
    }
    if (e->undelivered && s->state == RUNNING)
        seat_of(b, s)->sent--;
    if (e->outcome == OUTCOME_RETURNED)
        on_returned(b, now_ms, i, e, out);
    else
        commit(b, i, e, out);
}

static void settle(struct board *b, const struct slot *s, struct board_effects *out)
{
    if (s->seat == UINT16_MAX)
        return;
    struct board_effect *fx = effect(out, BOARD_SETTLE);
    fx->session = b->seats[s->seat].session;
    fx->fence = s->fence;
}

static void on_committed(struct board *b, uint64_t now_ms, const struct board_event *e,
                         struct board_effects *out)
{
    uint32_t i = find(b, &e->job);
    assert(i != NONE && at(b, i)->state == COMMITTING);
    struct slot *s = at(b, i);
    settle(b, s, out);
    unlist(b, i);
    bool again = e->err == PB_E_CONFLICT;
    if (again || e->outcome == OUTCOME_RETRY) {
        uint64_t wait_ms = s->due_ms && !again ? s->due_ms + backoff(b, 0) : backoff(b, s->attempts);
        make_delayed(b, i, now_ms + wait_ms);
        effect(out, BOARD_DUPLICATE)->cargo = e->cargo;
        return;
    }
    struct board_effect *fx = effect(out, BOARD_FINISH);
    fx->job = e->job;
    fx->fence = e->fence;
    fx->outcome = e->outcome;
    fx->cargo = e->cargo;
    leave_lane(b, i);
    give_slot(b, i);
}

static void on_tick(struct board *b, uint64_t now_ms, const struct board_event *e, struct board_effects *out)
{
    (void)e;
    (void)out;
    while (b->held.head != NONE && now_ms >= b->held_until_ms) {
        uint32_t i = b->held.head;
        struct slot *s = at(b, i);
        unlist(b, i);
        make_delayed(b, i, now_ms + backoff(b, s->attempts)); /* a restart is no reason for a storm */
    }
    while (b->heap_count && at(b, b->heap[0])->due_ms <= now_ms) {
        uint32_t i = b->heap[0];
        unlist(b, i);
        make_ready(b, i);
    }
}

typedef void handler(struct board *, uint64_t, const struct board_event *, struct board_effects *);

static handler *const handlers[] = {
    [BOARD_SUBMIT] = on_submit, [BOARD_APPENDED] = on_appended, [BOARD_LOADED] = on_loaded,
    [BOARD_JOIN] = on_join,     [BOARD_HELD] = on_held,         [BOARD_BEAT] = on_beat,
    [BOARD_LEAVE] = on_leave,   [BOARD_OUTCOME] = on_outcome,   [BOARD_COMMITTED] = on_committed,
    [BOARD_TICK] = on_tick,
};

void board_step(struct board *b, uint64_t now_ms, const struct board_event *event, struct board_effects *out)
{
    assert(event->kind >= BOARD_SUBMIT && event->kind <= BOARD_TICK && out->count == 0);
    handlers[event->kind](b, now_ms, event, out);
    dispatch(b, out);
}

void board_reconcile(struct board *b, uint64_t now_ms, uint64_t session,
                     bool (*listed)(void *arg, uint64_t fence), void *arg, struct board_effects *out)
{
    struct seat *seat = find_seat(b, session);
    uint32_t next;
    for (uint32_t i = seat ? seat->slots.head : NONE; i != NONE; i = next) {
        struct slot *s = at(b, i);
        next = s->next;
        if (s->state == RUNNING && s->nth <= seat->received && !listed(arg, s->fence))
            lost(b, now_ms, i);
    }
    dispatch(b, out);
}

uint64_t board_due_ms(const struct board *b)
{
    uint64_t due_ms = b->heap_count ? b->slots[b->heap[0]].due_ms : UINT64_MAX;
    return b->held.head != NONE && b->held_until_ms < due_ms ? b->held_until_ms : due_ms;
}

/* -- life -- */

pb_err board_new(const struct board_settings *settings, struct board **out)
{
    struct board *b = calloc(1, sizeof *b);
    if (!b)
        return PB_E_MEMORY;
    b->settings = *settings;
    b->free_head = NONE;
    b->ready = b->held = (struct list){NONE, NONE};
    b->random = settings->seed;
    *out = b;
    return PB_OK;
}

void board_free(struct board *b)
{
    if (!b)
        return;
    idmap_fini(&b->jobs);
    idmap_fini(&b->lanes);
    free(b->slots);
    free(b->heap);
    free(b);
}

void board_count(const struct board *b, struct board_counts *out)
{
    *out = (struct board_counts){
        .appending = b->counts[APPENDING],
        .ready = b->counts[READY],
        .blocked = b->counts[BLOCKED],
        .delayed = b->counts[DELAYED],
        .held = b->counts[HELD],
        .running = b->counts[RUNNING],
        .committing = b->counts[COMMITTING],
    };
}

size_t board_live(const struct board *b)
{
    return b->jobs.count;
}

bool board_has(const struct board *b, const struct pb_id *job)
{
    uint32_t i = find(b, job);
    return i != NONE && b->slots[i].state != APPENDING;
}

uint32_t board_running_of(const struct board *b, uint64_t session)
{
    for (size_t i = 0; i < b->seat_used; i++)
        if (session && b->seats[i].session == session)
            return b->seats[i].running;
    return 0;
}
