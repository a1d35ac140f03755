/* What the board looks like from outside. */
#include "broker/board/parts.h"

void board_count(const struct board *b, struct board_counts *out)
{
    const size_t *counts = b->slots.counts;
    *out = (struct board_counts){
        .appending = counts[APPENDING],
        .ready = counts[READY],
        .blocked = counts[BLOCKED],
        .delayed = counts[DELAYED],
        .held = counts[HELD],
        .running = counts[RUNNING],
        .committing = counts[COMMITTING],
        .suspect = counts[SUSPECT] + counts[MARKING],
    };
}

void board_get_stats(const struct board *b, struct board_stats *out)
{
    *out = b->stats;
}

size_t board_live(const struct board *b)
{
    return b->slots.by_id.count;
}

bool board_has(const struct board *b, const struct pb_id *job)
{
    uint32_t i = board_find(b, job);
    return i != NONE && board_slot(b, i)->state != APPENDING;
}

const char *board_state_of(const struct board *b, const struct pb_id *job, bool *cancelled)
{
    static const char *const names[SLOT_STATES] = {
        [APPENDING] = "appending",   [READY] = "ready",         [BLOCKED] = "blocked",
        [DELAYED] = "delayed",       [HELD] = "recovering",     [RUNNING] = "running",
        [COMMITTING] = "committing", [SUSPECT] = "quarantined", [MARKING] = "quarantined"};
    uint32_t i = board_find(b, job);
    if (i == NONE)
        return NULL;
    *cancelled = board_slot(b, i)->flags & SLOT_CANCELLED;
    return names[board_slot(b, i)->state];
}

uint32_t board_running_of(const struct board *b, uint64_t session)
{
    struct seat *seat = seats_find((struct seats *)(uintptr_t)&b->seats, session);
    return seat ? seat->running : 0;
}

uint64_t board_oldest_ready_ms(const struct board *b)
{
    return lines_oldest_ms(b->lines);
}

size_t board_bytes(const struct board *b)
{
    size_t chunks = (b->slots.used + SLOT_CHUNK - 1) / SLOT_CHUNK;
    size_t cells = b->slots.by_id.capacity + b->lanes.capacity + b->delays.capacity + b->deadlines.capacity;
    return chunks * SLOT_CHUNK * sizeof(struct slot) + cells * sizeof(uint32_t) + lines_bytes(b->lines);
}
