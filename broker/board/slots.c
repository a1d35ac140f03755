#include "broker/board/slots.h"

#include <stdlib.h>
#include <string.h>

uint64_t slots_hash(const struct pb_id *id)
{
    uint64_t tail;
    memcpy(&tail, id->bytes + 8, sizeof tail);
    return index_mix(tail);
}

static uint64_t hash_of(const void *owner, uint32_t item)
{
    return slots_hash(&slot_at(owner, item)->id);
}

static bool is_job(const void *owner, uint32_t item, const void *key)
{
    return id_equal(&slot_at(owner, item)->id, key);
}

pb_err slots_init(struct slots *s, size_t max)
{
    *s = (struct slots){.max = max, .free_head = NONE};
    s->by_id = (struct index){.hash = hash_of, .is = is_job, .owner = s};
    s->chunks = calloc(max / SLOT_CHUNK + 1, sizeof(struct slot *));
    return s->chunks ? PB_OK : PB_E_MEMORY;
}

void slots_fini(struct slots *s)
{
    for (size_t i = 0; s->chunks && i <= s->max / SLOT_CHUNK; i++)
        free(s->chunks[i]);
    free(s->chunks);
    index_fini(&s->by_id);
    *s = (struct slots){0};
}

static pb_err add_chunk(struct slots *s)
{
    struct slot **chunk = &s->chunks[s->used / SLOT_CHUNK];
    if (!*chunk)
        *chunk = malloc(SLOT_CHUNK * sizeof(struct slot));
    return *chunk ? PB_OK : PB_E_MEMORY;
}

pb_err slots_take(struct slots *s, const struct pb_id *id, uint32_t *out)
{
    if (slots_find(s, id) != NONE)
        return PB_E_EXISTS;
    if (s->by_id.count >= s->max)
        return PB_E_BUSY;
    if (s->free_head == NONE && add_chunk(s) != PB_OK)
        return PB_E_MEMORY;
    uint32_t i = s->free_head != NONE ? s->free_head : (uint32_t)s->used;
    if (index_add(&s->by_id, slots_hash(id), i) != PB_OK)
        return PB_E_MEMORY;
    if (i == s->free_head)
        s->free_head = slot_at(s, i)->next;
    else
        s->used++;
    *slot_at(s, i) = (struct slot){.id = *id,
                                   .prev = NONE,
                                   .next = NONE,
                                   .lane_next = NONE,
                                   .heap_at = NONE,
                                   .deadline_at = NONE,
                                   .line = NONE,
                                   .seat = SEAT_NONE,
                                   .state = APPENDING};
    s->counts[APPENDING]++;
    *out = i;
    return PB_OK;
}

void slots_give(struct slots *s, uint32_t i)
{
    struct slot *slot = slot_at(s, i);
    index_remove(&s->by_id, slots_hash(&slot->id), i);
    s->counts[slot->state]--;
    slot->state = FREE;
    slot->next = s->free_head;
    s->free_head = i;
}

uint32_t slots_find(const struct slots *s, const struct pb_id *id)
{
    return index_get(&s->by_id, slots_hash(id), id);
}

void slots_set_state(struct slots *s, uint32_t i, enum slot_state state)
{
    struct slot *slot = slot_at(s, i);
    s->counts[slot->state]--;
    s->counts[state]++;
    slot->state = (uint8_t)state;
}

void list_push(const struct slots *s, struct list *l, uint32_t i)
{
    struct slot *slot = slot_at(s, i);
    slot->next = NONE;
    slot->prev = l->tail;
    if (l->tail != NONE)
        slot_at(s, l->tail)->next = i;
    else
        l->head = i;
    l->tail = i;
}

void list_remove(const struct slots *s, struct list *l, uint32_t i)
{
    struct slot *slot = slot_at(s, i);
    if (slot->prev != NONE)
        slot_at(s, slot->prev)->next = slot->next;
    else
        l->head = slot->next;
    if (slot->next != NONE)
        slot_at(s, slot->next)->prev = slot->prev;
    else
        l->tail = slot->prev;
    slot->prev = slot->next = NONE;
}
