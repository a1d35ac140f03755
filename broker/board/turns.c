#include "broker/board/turns.h"

#include <assert.h>
#include <stdlib.h>

struct owner {
    uint32_t turns, tenant;
    uint8_t priority;
};

static uint64_t hash_owner(const struct owner *o)
{
    return index_mix(((uint64_t)o->turns << 32 | o->tenant) * PRIORITIES + o->priority);
}

static struct owner owner_of(const struct flow *f)
{
    return (struct owner){f->turns, f->tenant, f->priority};
}

static uint64_t hash_of(const void *owner, uint32_t item)
{
    const struct flows *f = owner;
    struct owner o = owner_of(&f->items[item]);
    return hash_owner(&o);
}

static bool is_flow(const void *owner, uint32_t item, const void *key)
{
    const struct flows *f = owner;
    const struct owner *o = key;
    const struct flow *flow = &f->items[item];
    return flow->turns == o->turns && flow->tenant == o->tenant && flow->priority == o->priority;
}

void flows_init(struct flows *f)
{
    *f = (struct flows){.free_head = NONE};
    f->by_owner = (struct index){.hash = hash_of, .is = is_flow, .owner = f};
}

void flows_fini(struct flows *f)
{
    free(f->items);
    index_fini(&f->by_owner);
    *f = (struct flows){0};
}

pb_err flows_reserve(struct flows *f, size_t count)
{
    if (count <= f->capacity)
        return PB_OK;
    size_t capacity = f->capacity ? f->capacity * 2 : 64;
    if (capacity < count)
        capacity = count;
    struct flow *items = realloc(f->items, capacity * sizeof *items);
    if (!items)
        return PB_E_MEMORY;
    f->items = items;
    pb_err err = index_reserve(&f->by_owner, capacity);
    if (!err)
        f->capacity = capacity;
    return err;
}

void turns_init(struct turns *t, uint32_t number)
{
    *t = (struct turns){.number = number, .ring = {NONE, NONE, NONE}};
}

/* -- flows in rings -- */

static void enter_ring(struct flows *f, struct turns *t, uint32_t i)
{
    struct flow *flow = &f->items[i];
    uint32_t *ring = &t->ring[flow->priority];
    if (*ring == NONE) {
        flow->prev = flow->next = i;
        *ring = i;
        return;
    }
    struct flow *first = &f->items[*ring]; /* the new one comes last: before the one whose turn it is */
    flow->next = *ring;
    flow->prev = first->prev;
    f->items[first->prev].next = i;
    first->prev = i;
}

static void leave_ring(struct flows *f, struct turns *t, uint32_t i)
{
    struct flow *flow = &f->items[i];
    uint32_t *ring = &t->ring[flow->priority];
    f->items[flow->prev].next = flow->next;
    f->items[flow->next].prev = flow->prev;
    if (*ring == i)
        *ring = flow->next == i ? NONE : flow->next;
}

static uint32_t flow_new(struct flows *f, const struct owner *o, uint32_t weight)
{
    uint32_t i = f->free_head != NONE ? f->free_head : (uint32_t)f->used;
    assert(f->free_head != NONE || f->used < f->capacity);
    if (i == f->free_head)
        f->free_head = f->items[i].next;
    else
        f->used++;
    f->items[i] = (struct flow){.turns = o->turns,
                                .tenant = o->tenant,
                                .priority = o->priority,
                                .lines = EMPTY_LIST,
                                .deficit = weight};
    pb_err err = index_add(&f->by_owner, hash_owner(o), i);
    assert(!err); /* room was reserved */
    return i;
}

static void flow_free(struct flows *f, uint32_t i)
{
    index_remove(&f->by_owner, hash_of(f, i), i);
    f->items[i].next = f->free_head;
    f->free_head = i;
}

/* -- lines in flows -- */

static void join_flow(struct flow *flow, const struct turn_lines *lines, uint32_t line)
{
    struct turn_links *links = lines->links(lines->owner, line);
    links->next = NONE;
    links->prev = flow->lines.tail;
    if (flow->lines.tail != NONE)
        lines->links(lines->owner, flow->lines.tail)->next = line;
    else
        flow->lines.head = line;
    flow->lines.tail = line;
}

static void part_flow(struct flow *flow, const struct turn_lines *lines, uint32_t line)
{
    struct turn_links *links = lines->links(lines->owner, line);
    if (links->prev != NONE)
        lines->links(lines->owner, links->prev)->next = links->next;
    else
        flow->lines.head = links->next;
    if (links->next != NONE)
        lines->links(lines->owner, links->next)->prev = links->prev;
    else
        flow->lines.tail = links->prev;
}

void turns_add(struct flows *f, const struct turn_lines *lines, struct turns *t, uint32_t line,
               uint32_t tenant, uint32_t weight, enum job_priority priority)
{
    struct owner o = {t->number, tenant, (uint8_t)(priority - PRIORITY_HIGH)};
    uint32_t i = index_get(&f->by_owner, hash_owner(&o), &o);
    if (i == NONE) {
        i = flow_new(f, &o, weight);
        enter_ring(f, t, i);
    }
    join_flow(&f->items[i], lines, line);
    lines->links(lines->owner, line)->flow = i;
    t->count++;
}

void turns_remove(struct flows *f, const struct turn_lines *lines, struct turns *t, uint32_t line)
{
    struct turn_links *links = lines->links(lines->owner, line);
    uint32_t i = links->flow;
    part_flow(&f->items[i], lines, line);
    links->flow = NONE;
    t->count--;
    if (f->items[i].lines.head != NONE)
        return;
    leave_ring(f, t, i);
    flow_free(f, i);
}

uint32_t turns_peek(const struct flows *f, const struct turns *t)
{
    for (int p = 0; p < PRIORITIES; p++)
        if (t->ring[p] != NONE)
            return f->items[t->ring[p]].lines.head;
    return NONE;
}

void turns_took(struct flows *f, const struct turn_lines *lines, struct turns *t, uint32_t line,
                uint32_t weight)
{
    struct flow *flow = &f->items[lines->links(lines->owner, line)->flow];
    part_flow(flow, lines, line);
    join_flow(flow, lines, line);
    if (flow->deficit > 1) {
        flow->deficit--;
        return;
    }
    flow->deficit = weight;
    t->ring[flow->priority] = flow->next;
}
