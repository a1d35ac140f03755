/* What the files of the board share: its struct, and the moves between states. Nobody else includes this. */
#ifndef PB_BOARD_PARTS_H
#define PB_BOARD_PARTS_H

#include "broker/board/board.h"
#include "broker/board/heap.h"
#include "broker/board/seats.h"
#include "broker/board/slots.h"
#include "broker/board/suspects.h"

struct board {
    struct board_settings settings;
    struct slots slots;
    struct lines *lines;
    struct seats seats;
    struct suspects suspects;
    struct heap delays, deadlines;
    struct index lanes; /* by integration: the last job of its lane */
    struct list held;
    uint64_t held_until_ms;
    uint32_t epoch, fence_counter;
    bool raising; /* an epoch has been asked for */
    uint64_t random;
    struct board_stats stats;
};

struct slot *board_slot(const struct board *b, uint32_t i);
struct board_effect *board_effect(struct board_effects *out, enum board_effect_kind kind);
/* Is there room for one more event's worth of effects? Else says that there is more to do. */
bool board_has_room(struct board_effects *out);
/* Full jitter: uniform in 0 .. backoff_ms << attempts. */
uint64_t board_backoff(struct board *b, uint32_t attempts);

/* Why the job is not to wait or run any more; REASON_NONE: it may. */
enum board_reason board_fate(const struct slot *s);

/* Takes a job out of wherever it waits or runs; its state is the caller's to set. */
void board_unlist(struct board *b, uint32_t i);
void board_delay(struct board *b, uint32_t i, uint64_t due_ms);
/* To a session, now. What it has passed is the caller's business (lines_pass). */
void board_send(struct board *b, uint64_t now_ms, uint32_t i, struct seat *seat, bool alone,
                struct board_effects *out);
/* May another attempt be sent (a fence is left)? */
bool board_may_send(const struct board *b);

#endif
