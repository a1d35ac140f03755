/* Tokens are the generic cell rate algorithm (virtual scheduling): a gate keeps the time at which it would
 * have let through all that it did at its steady rate; it lets one more through while that is no more than a
 * burst ahead of now. No timer, no fractions.
 *
 * What keeps a gate's room from being forgotten: whenever a line leaves those whose turn may come, whatever
 * the reason, each of its gates that others wait at is looked at again. */
#include "broker/board/lines.h"

#include "broker/board/heap.h"
#include "broker/board/turns.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#define ANYONE 0 /* the number of the turns that are no gate's; a gate's are its own number + 1 */

struct gate {
    uint64_t name;
    enum board_key key;
    bool paused, pinned; /* pinned: its limit was set from outside */
    bool looked_at;      /* is in the list of gates to be looked at */
    uint32_t next;       /* in that list; free: in the list of free ones */
    uint32_t heap_at;    /* until it opens by itself */
    uint32_t lines, jobs, running;
    uint64_t opens_ms; /* what it stands in the heap for */
    uint64_t virtual_us;
    struct board_limit limit;
    struct turns waiting;
};

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
    struct board_limit defaults[KEYS];
    struct gate *gates;
    size_t gate_capacity, gate_used;
    uint32_t free_gate, look; /* look: head of the list of gates to be looked at */
    struct line *items;
    size_t capacity, used;
    uint32_t free_line;
    struct index by_name, by_gates;
    struct heap opening; /* gates that lines wait at and that open with time */
    struct flows flows;
    struct turns anyone;
};

/* -- gates -- */

struct gate_name {
    enum board_key key;
    uint64_t name;
};

static uint64_t hash_name(enum board_key key, uint64_t name)
{
    return index_mix(name + (uint64_t)key);
}

static uint64_t hash_gate(const void *owner, uint32_t item)
{
    const struct lines *l = owner;
    return hash_name(l->gates[item].key, l->gates[item].name);
}

static bool is_gate(const void *owner, uint32_t item, const void *key)
{
    const struct lines *l = owner;
    const struct gate_name *n = key;
    return l->gates[item].key == n->key && l->gates[item].name == n->name;
}

static uint64_t opening_ms(const void *owner, uint32_t item)
{
    const struct lines *l = owner;
    return l->gates[item].opens_ms;
}

static uint32_t *opening_at(void *owner, uint32_t item)
{
    struct lines *l = owner;
    return &l->gates[item].heap_at;
}

static uint32_t find_gate(const struct lines *l, enum board_key key, uint64_t name)
{
    struct gate_name n = {key, name};
    return index_get(&l->by_name, hash_name(key, name), &n);
}

static pb_err grow_gates(struct lines *l)
{
    if (l->free_gate != NONE || l->gate_used < l->gate_capacity)
        return PB_OK;
    size_t capacity = l->gate_capacity ? l->gate_capacity * 2 : 64;
    struct gate *gates = realloc(l->gates, capacity * sizeof *gates);
    if (!gates)
        return PB_E_MEMORY;
    l->gates = gates;
    l->gate_capacity = capacity;
    return heap_reserve(&l->opening, capacity);
}

static pb_err new_gate(struct lines *l, enum board_key key, uint64_t name, uint32_t *out)
{
    if (grow_gates(l) != PB_OK || heap_reserve(&l->opening, l->gate_capacity) != PB_OK ||
        index_reserve(&l->by_name, l->by_name.count + 1) != PB_OK)
        return PB_E_MEMORY;
    uint32_t i = l->free_gate != NONE ? l->free_gate : (uint32_t)l->gate_used;
    if (i == l->free_gate)
        l->free_gate = l->gates[i].next;
    else
        l->gate_used++;
    l->gates[i] = (struct gate){.name = name, .key = key, .heap_at = HEAP_NOWHERE, .limit = l->defaults[key]};
    turns_init(&l->gates[i].waiting, i + 1);
    pb_err err = index_add(&l->by_name, hash_name(key, name), i);
    assert(!err); /* room was reserved */
    *out = i;
    return err;
}

static pb_err need_gate(struct lines *l, enum board_key key, uint64_t name, uint32_t *out)
{
    uint32_t i = find_gate(l, key, name);
    if (i == NONE)
        return new_gate(l, key, name, out);
    *out = i;
    return PB_OK;
}

/* Nobody stands in its lines and nobody has set it: it is forgotten. */
static void drop_gate(struct lines *l, uint32_t i)
{
    struct gate *g = &l->gates[i];
    if (g->lines || g->running || g->pinned || g->paused || g->looked_at)
        return;
    if (g->heap_at != HEAP_NOWHERE)
        heap_remove(&l->opening, i);
    index_remove(&l->by_name, hash_gate(l, i), i);
    g->next = l->free_gate;
    l->free_gate = i;
}

static uint64_t burst_us(const struct gate *g)
{
    return (uint64_t)g->limit.interval_us * (g->limit.burst ? g->limit.burst : 1);
}

static uint64_t tokens(const struct gate *g, uint64_t now_us)
{
    uint64_t ahead_us = g->virtual_us > now_us ? g->virtual_us - now_us : 0;
    return ahead_us < burst_us(g) ? (burst_us(g) - ahead_us) / g->limit.interval_us : 0;
}

/* How many more attempts the gate lets through now. */
static uint64_t room(const struct gate *g, uint64_t now_ms)
{
    uint64_t n = g->paused ? 0 : UINT64_MAX;
    if (n && g->limit.concurrency)
        n = g->limit.concurrency > g->running ? g->limit.concurrency - g->running : 0;
    if (n && g->limit.interval_us) {
        uint64_t some = tokens(g, now_ms * 1000);
        n = some < n ? some : n;
    }
    return n;
}

/* When it opens by time alone; UINT64_MAX: something else must happen. */
static uint64_t opens_ms(const struct gate *g)
{
    bool full = g->limit.concurrency && g->running >= g->limit.concurrency;
    if (g->paused || full || !g->limit.interval_us)
        return UINT64_MAX;
    uint64_t open_us =
        g->virtual_us + g->limit.interval_us - burst_us(g); /* virtual_us is beyond now, so no wrap */
    return (open_us + 999) / 1000;
}

static void pass(struct gate *g, uint64_t now_ms)
{
    g->running++;
    if (!g->limit.interval_us)
        return;
    uint64_t now_us = now_ms * 1000;
    g->virtual_us = (g->virtual_us > now_us ? g->virtual_us : now_us) + g->limit.interval_us;
}

static void look_again(struct lines *l, uint32_t i)
{
    struct gate *g = &l->gates[i];
    if (g->looked_at || g->waiting.count == 0)
        return;
    g->looked_at = true;
    g->next = l->look;
    l->look = i;
}

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
    uint32_t weight = l->gates[line->gates[KEY_TENANT]].limit.weight;
    return weight ? weight : 1;
}

static struct turns *turns_at(struct lines *l, uint32_t at)
{
    return at == ANYONE ? &l->anyone : &l->gates[at - 1].waiting;
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
            look_again(l, line->gates[k]);
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
            l->gates[name->gates[k]].lines++;
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
            l->gates[line->gates[k]].lines--;
            drop_gate(l, line->gates[k]);
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
            err = need_gate(l, (enum board_key)k, names[k], &gates[k]);
    return err;
}

static void drop_gates(struct lines *l, const uint32_t gates[KEYS])
{
    for (int k = 0; k < KEYS; k++)
        if (gates[k] != NONE)
            drop_gate(l, gates[k]);
}

static void set_limit(struct lines *l, uint32_t i, const struct board_limit *limit)
{
    l->gates[i].limit = *limit;
    look_again(l, i);
}

pb_err lines_enter(struct lines *l, const uint64_t names[KEYS], const struct board_limit *host_limit,
                   enum job_priority priority, uint32_t *out)
{
    struct line_name name = {.priority = priority};
    uint32_t line = NONE;
    assert(names[KEY_TENANT]);
    pb_err err = find_gates(l, names, name.gates);
    const struct gate *tenant = err ? NULL : &l->gates[name.gates[KEY_TENANT]];
    if (!err && tenant->limit.jobs_max && tenant->jobs >= tenant->limit.jobs_max)
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
    if (host_limit && host != NONE && !l->gates[host].pinned)
        set_limit(l, host, host_limit);
    l->items[line].jobs++;
    l->gates[name.gates[KEY_TENANT]].jobs++;
    *out = line;
    return PB_OK;
}

void lines_leave(struct lines *l, uint32_t i)
{
    struct line *line = &l->items[i];
    l->gates[line->gates[KEY_TENANT]].jobs--;
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
        if (line->gates[k] != NONE && room(&l->gates[line->gates[k]], now_ms) == 0)
            return line->gates[k];
    return NONE;
}

/* Who still waits at a gate that has given what room it had waits for its time, if it has one. */
static void await_opening(struct lines *l, uint32_t i)
{
    struct gate *g = &l->gates[i];
    if (g->heap_at != HEAP_NOWHERE)
        heap_remove(&l->opening, i);
    g->opens_ms = opens_ms(g);
    if (g->waiting.count && g->opens_ms != UINT64_MAX)
        heap_put(&l->opening, i);
}

/* Lets as many lines come back as there is room for: each may use up one. */
static void look_at(struct lines *l, uint32_t i, uint64_t now_ms)
{
    for (uint64_t n = room(&l->gates[i], now_ms); n && l->gates[i].waiting.count; n--) {
        const struct turn_lines t = turn_lines(l);
        uint32_t line = turns_peek(&l->flows, &l->gates[i].waiting);
        turns_took(&l->flows, &t, &l->gates[i].waiting, line, weight_of(l, &l->items[line]));
        turns_remove(&l->flows, &t, &l->gates[i].waiting, line);
        wait_at(l, line, ANYONE);
    }
    await_opening(l, i);
}

static void look_at_all(struct lines *l, uint64_t now_ms)
{
    while (heap_due(&l->opening) <= now_ms) {
        uint32_t i = l->opening.items[0];
        heap_remove(&l->opening, i);
        look_again(l, i);
    }
    while (l->look != NONE) {
        uint32_t i = l->look;
        l->look = l->gates[i].next;
        l->gates[i].looked_at = false;
        look_at(l, i, now_ms);
        drop_gate(l, i);
    }
}

static void stand_at(struct lines *l, uint32_t line, uint32_t gate)
{
    wait_nowhere(l, line);
    wait_at(l, line, gate + 1);
    await_opening(l, gate);
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
            pass(&l->gates[l->items[i].gates[k]], now_ms);
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
        assert(l->gates[gate].running);
        l->gates[gate].running--;
        look_again(l, gate);
    }
}

/* -- settings -- */

pb_err lines_limit(struct lines *l, enum board_key key, uint64_t name, const struct board_limit *limit)
{
    uint32_t i;
    pb_err err = need_gate(l, key, name, &i);
    if (err)
        return err;
    l->gates[i].pinned = limit != NULL;
    set_limit(l, i, limit ? limit : &l->defaults[key]);
    drop_gate(l, i);
    return PB_OK;
}

pb_err lines_pause(struct lines *l, enum board_key key, uint64_t name, bool paused)
{
    uint32_t i;
    pb_err err = need_gate(l, key, name, &i);
    if (err)
        return err;
    l->gates[i].paused = paused;
    look_again(l, i);
    drop_gate(l, i);
    return PB_OK;
}

uint64_t lines_due_ms(const struct lines *l)
{
    return l->look != NONE ? 0 : heap_due(&l->opening);
}

static uint64_t made_ms(const struct pb_id *id)
{
    uint64_t ms = 0;
    for (int i = 0; i < 6; i++) /* RFC 9562, section 5.7: the first 48 bits are the time */
        ms = ms << 8 | id->bytes[i];
    return ms;
}

uint64_t lines_oldest_ms(const struct lines *l)
{
    uint64_t oldest = UINT64_MAX;
    for (size_t i = 0; i < l->used; i++) {
        const struct line *line = &l->items[i];
        if (line->at == NONE)
            continue;
        uint64_t ms = made_ms(&slot_at(l->slots, line->ready.head)->id);
        oldest = ms < oldest ? ms : oldest;
    }
    return oldest;
}

size_t lines_bytes(const struct lines *l)
{
    return l->capacity * sizeof *l->items + l->gate_capacity * sizeof *l->gates +
           l->flows.capacity * sizeof *l->flows.items +
           (l->by_name.capacity + l->by_gates.capacity + l->flows.by_owner.capacity) * sizeof(uint32_t);
}

/* -- life -- */

pb_err lines_new(struct slots *slots, const struct board_limit defaults[KEYS], struct lines **out)
{
    struct lines *l = calloc(1, sizeof *l);
    if (!l)
        return PB_E_MEMORY;
    *l = (struct lines){.slots = slots, .free_gate = NONE, .look = NONE, .free_line = NONE};
    memcpy(l->defaults, defaults, sizeof l->defaults);
    l->by_name = (struct index){.hash = hash_gate, .is = is_gate, .owner = l};
    l->by_gates = (struct index){.hash = hash_line, .is = is_line, .owner = l};
    l->opening = (struct heap){.time = opening_ms, .place = opening_at, .owner = l};
    flows_init(&l->flows);
    turns_init(&l->anyone, ANYONE);
    *out = l;
    return PB_OK;
}

void lines_free(struct lines *l)
{
    if (!l)
        return;
    index_fini(&l->by_name);
    index_fini(&l->by_gates);
    heap_fini(&l->opening);
    flows_fini(&l->flows);
    free(l->gates);
    free(l->items);
    free(l);
}
