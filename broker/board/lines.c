/* What keeps a gate's room from being forgotten: whenever a line leaves those whose turn may come, whatever
 * the reason, each of its gates that others wait at is looked at again. */
#include "broker/board/lines.h"

#include "broker/board/gates.h"
#include "broker/board/turns.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#define ANYONE 0 /* the number of the turns that are no gate's; a gate's are its own number + 1 */

struct line {
    struct turn_links links;
    uint32_t gates[KEYS]; /* NONE: no such name */
    uint32_t at;          /* whose turns it is in: NONE, ANYONE or a gate's */
    uint32_t jobs;        /* on the board, wherever they are; free: the next free one */
    struct list ready;
    enum job_priority priority;
};

struct lines {
    struct slots *slots;
    struct gates gates;
    struct line *items;
    size_t capacity, used;
    uint32_t free_line;
    struct index by_gates;
    struct flows flows;
    struct turns anyone;
};

/* -- lines -- */

struct line_name {
    uint32_t gates[KEYS];
    enum job_priority priority;
};

static uint64_t hash_line_name(const uint32_t gates[KEYS], enum job_priority priority)
{
    uint64_t h = (uint64_t)priority;
    for (int k = 0; k < KEYS; k++)
        h = index_mix(h ^ gates[k]) + (uint64_t)k;
    return h;
}

static uint64_t hash_line(const void *owner, uint32_t item)
{
    const struct lines *l = owner;
    return hash_line_name(l->items[item].gates, l->items[item].priority);
}

static bool is_line(const void *owner, uint32_t item, const void *key)
{
    const struct lines *l = owner;
    const struct line_name *n = key;
    const struct line *line = &l->items[item];
    return line->priority == n->priority && memcmp(line->gates, n->gates, sizeof n->gates) == 0;
}

static struct turn_links *links_of(void *owner, uint32_t line)
{
    struct lines *l = owner;
    return &l->items[line].links;
}

static struct turn_lines turn_lines(struct lines *l)
{
    return (struct turn_lines){links_of, l};
}

static uint32_t weight_of(const struct lines *l, const struct line *line)
{
    uint32_t weight = gates_at(&l->gates, line->gates[KEY_TENANT])->limit.weight;
    return weight ? weight : 1;
}

static struct turns *turns_at(struct lines *l, uint32_t at)
{
    return at == ANYONE ? &l->anyone : &gates_at(&l->gates, at - 1)->waiting;
}

static void wait_at(struct lines *l, uint32_t i, uint32_t at)
{
    struct line *line = &l->items[i];
    const struct turn_lines t = turn_lines(l);
    turns_add(&l->flows, &t, turns_at(l, at), i, line->gates[KEY_TENANT], weight_of(l, line), line->priority);
    line->at = at;
}

static void wait_nowhere(struct lines *l, uint32_t i)
{
    struct line *line = &l->items[i];
    const struct turn_lines t = turn_lines(l);
    bool counted = line->at == ANYONE;
    turns_remove(&l->flows, &t, turns_at(l, line->at), i);
    line->at = NONE;
    for (int k = 0; counted && k < KEYS; k++)
        if (line->gates[k] != NONE)
            gates_look_again(&l->gates, line->gates[k]);
}

static pb_err grow_lines(struct lines *l)
{
    if (l->free_line != NONE || l->used < l->capacity)
        return PB_OK;
    size_t capacity = l->capacity ? l->capacity * 2 : 64;
    struct line *items = realloc(l->items, capacity * sizeof *items);
    if (!items)
        return PB_E_MEMORY;
    l->items = items;
    l->capacity = capacity;
    return PB_OK;
}

static pb_err new_line(struct lines *l, const struct line_name *name, uint32_t *out)
{
    uint64_t hash = hash_line_name(name->gates, name->priority);
    if (grow_lines(l) != PB_OK || flows_reserve(&l->flows, l->by_gates.count + 1) != PB_OK)
        return PB_E_MEMORY;
    uint32_t i = l->free_line != NONE ? l->free_line : (uint32_t)l->used;
    pb_err err = index_add(&l->by_gates, hash, i);
    if (err)
        return err;
    if (i == l->free_line)
        l->free_line = l->items[i].jobs;
    else
        l->used++;
    l->items[i] =
        (struct line){.links = {.flow = NONE}, .at = NONE, .ready = EMPTY_LIST, .priority = name->priority};
    memcpy(l->items[i].gates, name->gates, sizeof name->gates);
    for (int k = 0; k < KEYS; k++)
        if (name->gates[k] != NONE)
            gates_at(&l->gates, name->gates[k])->lines++;
    *out = i;
    return PB_OK;
}

static void drop_line(struct lines *l, uint32_t i)
{
    struct line *line = &l->items[i];
    assert(line->at == NONE);
    index_remove(&l->by_gates, hash_line(l, i), i);
    for (int k = 0; k < KEYS; k++)
        if (line->gates[k] != NONE) {
            gates_at(&l->gates, line->gates[k])->lines--;
            gates_drop(&l->gates, line->gates[k]);
        }
    line->jobs = l->free_line;
    l->free_line = i;
}

static pb_err find_gates(struct lines *l, const uint64_t names[KEYS], uint32_t gates[KEYS])
{
    pb_err err = PB_OK;
    for (int k = 0; k < KEYS; k++)
        gates[k] = NONE;
    for (int k = 0; !err && k < KEYS; k++)
        if (names[k])
            err = gates_need(&l->gates, (enum board_key)k, names[k], &gates[k]);
    return err;
}

static void drop_gates(struct lines *l, const uint32_t gates[KEYS])
{
    for (int k = 0; k < KEYS; k++)
        if (gates[k] != NONE)
            gates_drop(&l->gates, gates[k]);
}

pb_err lines_enter(struct lines *l, const uint64_t names[KEYS], const struct board_limit *host_limit,
                   enum job_priority priority, bool capped, uint32_t *out)
{
    struct line_name name = {.priority = priority};
    uint32_t line = NONE;
    assert(names[KEY_TENANT]);
    pb_err err = find_gates(l, names, name.gates);
    const struct gate *tenant = err ? NULL : gates_at(&l->gates, name.gates[KEY_TENANT]);
    if (!err && capped && tenant->limit.jobs_max && tenant->jobs >= tenant->limit.jobs_max)
        err = PB_E_LIMIT;
    if (!err)
        line = index_get(&l->by_gates, hash_line_name(name.gates, priority), &name);
    if (!err && line == NONE)
        err = new_line(l, &name, &line);
    if (err) {
        drop_gates(l, name.gates);
        return err;
    }
    uint32_t host = name.gates[KEY_HOST];
    if (host_limit && host != NONE && !gates_at(&l->gates, host)->pinned)
        gates_set_limit(&l->gates, host, host_limit);
    l->items[line].jobs++;
    gates_at(&l->gates, name.gates[KEY_TENANT])->jobs++;
    *out = line;
    return PB_OK;
}

void lines_leave(struct lines *l, uint32_t i)
{
    struct line *line = &l->items[i];
    gates_at(&l->gates, line->gates[KEY_TENANT])->jobs--;
    if (--line->jobs == 0)
        drop_line(l, i);
}

void lines_push(struct lines *l, uint32_t slot)
{
    uint32_t i = slot_at(l->slots, slot)->line;
    list_push(l->slots, &l->items[i].ready, slot);
    if (l->items[i].at == NONE)
        wait_at(l, i, ANYONE);
}

void lines_remove(struct lines *l, uint32_t slot)
{
    uint32_t i = slot_at(l->slots, slot)->line;
    list_remove(l->slots, &l->items[i].ready, slot);
    if (l->items[i].ready.head == NONE)
        wait_nowhere(l, i);
}

/* -- turns -- */

static uint32_t closed_gate(const struct lines *l, const struct line *line, uint64_t now_ms)
{
    for (int k = 0; k < KEYS; k++)
        if (line->gates[k] != NONE && gate_room(gates_at(&l->gates, line->gates[k]), now_ms) == 0)
            return line->gates[k];
    return NONE;
}

/* Lets as many lines come back as there is room for: each may use up one. */
static void look_at(struct lines *l, uint32_t i, uint64_t now_ms)
{
    const struct turn_lines t = turn_lines(l);
    struct turns *waiting = &gates_at(&l->gates, i)->waiting;
    for (uint64_t n = gate_room(gates_at(&l->gates, i), now_ms); n && waiting->count; n--) {
        uint32_t line = turns_peek(&l->flows, waiting);
        turns_took(&l->flows, &t, waiting, line, weight_of(l, &l->items[line]));
        turns_remove(&l->flows, &t, waiting, line);
        wait_at(l, line, ANYONE);
    }
    gates_await(&l->gates, i);
}

static void look_at_all(struct lines *l, uint64_t now_ms)
{
    gates_open_due(&l->gates, now_ms);
    for (uint32_t i; (i = gates_take_look(&l->gates)) != NONE;) {
        look_at(l, i, now_ms);
        gates_drop(&l->gates, i);
    }
}

static void stand_at(struct lines *l, uint32_t line, uint32_t gate)
{
    wait_nowhere(l, line);
    wait_at(l, line, gate + 1);
    gates_await(&l->gates, gate);
}

uint32_t lines_next(struct lines *l, uint64_t now_ms)
{
    uint32_t i, gate;
    for (;;) {
        look_at_all(l, now_ms);
        i = turns_peek(&l->flows, &l->anyone);
        if (i == NONE)
            return NONE;
        gate = closed_gate(l, &l->items[i], now_ms);
        if (gate == NONE)
            break;
        stand_at(l, i, gate);
    }
    const struct turn_lines t = turn_lines(l);
    uint32_t slot = l->items[i].ready.head;
    turns_took(&l->flows, &t, &l->anyone, i, weight_of(l, &l->items[i]));
    lines_pass(l, i, now_ms);
    lines_remove(l, slot);
    return slot;
}

void lines_pass(struct lines *l, uint32_t i, uint64_t now_ms)
{
    for (int k = 0; k < KEYS; k++)
        if (l->items[i].gates[k] != NONE)
            gates_pass(&l->gates, l->items[i].gates[k], now_ms);
}

void lines_resume(struct lines *l, uint32_t i)
{
    for (int k = 0; k < KEYS; k++)
        if (l->items[i].gates[k] != NONE)
            gates_at(&l->gates, l->items[i].gates[k])->running++;
}

bool lines_is_open(struct lines *l, uint32_t line, uint64_t now_ms)
{
    return closed_gate(l, &l->items[line], now_ms) == NONE;
}

void lines_return(struct lines *l, uint32_t i)
{
    for (int k = 0; k < KEYS; k++) {
        uint32_t gate = l->items[i].gates[k];
        if (gate == NONE)
            continue;
        assert(gates_at(&l->gates, gate)->running);
        gates_at(&l->gates, gate)->running--;
        gates_look_again(&l->gates, gate);
    }
}

/* -- settings -- */

pb_err lines_limit(struct lines *l, enum board_key key, uint64_t name, const struct board_limit *limit)
{
    uint32_t i;
    pb_err err = gates_need(&l->gates, key, name, &i);
    if (err)
        return err;
    gates_at(&l->gates, i)->pinned = limit != NULL;
    gates_set_limit(&l->gates, i, limit ? limit : &l->gates.defaults[key]);
    gates_drop(&l->gates, i);
    return PB_OK;
}

pb_err lines_pause(struct lines *l, enum board_key key, uint64_t name, bool paused)
{
    uint32_t i;
    pb_err err = gates_need(&l->gates, key, name, &i);
    if (err)
        return err;
    gates_at(&l->gates, i)->paused = paused;
    gates_look_again(&l->gates, i);
    gates_drop(&l->gates, i);
    return PB_OK;
}

uint64_t lines_due_ms(const struct lines *l)
{
    return gates_due_ms(&l->gates);
}

uint64_t lines_oldest_ms(const struct lines *l)
{
    uint64_t oldest = UINT64_MAX;
    for (size_t i = 0; i < l->used; i++) {
        const struct line *line = &l->items[i];
        if (line->at == NONE)
            continue;
        uint64_t ms = id_ms(&slot_at(l->slots, line->ready.head)->id);
        oldest = ms < oldest ? ms : oldest;
    }
    return oldest;
}

size_t lines_bytes(const struct lines *l)
{
    return l->capacity * sizeof *l->items + gates_bytes(&l->gates) +
           l->flows.capacity * sizeof *l->flows.items +
           (l->by_gates.capacity + l->flows.by_owner.capacity) * sizeof(uint32_t);
}

/* -- life -- */

pb_err lines_new(struct slots *slots, const struct board_limit defaults[KEYS], struct lines **out)
{
    struct lines *l = calloc(1, sizeof *l);
    if (!l)
        return PB_E_MEMORY;
    *l = (struct lines){.slots = slots, .free_line = NONE};
    gates_init(&l->gates, defaults);
    l->by_gates = (struct index){.hash = hash_line, .is = is_line, .owner = l};
    flows_init(&l->flows);
    turns_init(&l->anyone, ANYONE);
    *out = l;
    return PB_OK;
}

void lines_free(struct lines *l)
{
    if (!l)
        return;
    gates_fini(&l->gates);
    index_fini(&l->by_gates);
    flows_fini(&l->flows);
    free(l->items);
    free(l);
}
