/* What waits to be said to one worker: attempts, fences that are settled, cancelled or to be stopped, and
 * questions; and the messages that it is said in, full ones while there is a backlog. Part of links.c.
 *
 * Pure: no sockets, no clock. Fences may name any attempt that came before them, so those that end one go out
 * with the last of the attempts, or after it. */
#ifndef PB_OUTBOX_H
#define PB_OUTBOX_H

#include "common/buf.h"
#include "common/err.h"
#include "common/wire.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct outgoing {
    struct wire_attempt attempt; /* its texts and payload lie in bytes */
    uint8_t *bytes;
    uint64_t session; /* that it was meant for */
    struct outgoing *next;
};

struct outgoing_queue {
    struct outgoing *head, **tail;
    size_t count;
};

enum outbox_list { OUTBOX_SETTLED, OUTBOX_CANCEL, OUTBOX_STOP, OUTBOX_LISTS };

struct outbox {
    struct outgoing_queue attempts;
    struct {
        uint64_t *items;
        size_t count, capacity;
    } fences[OUTBOX_LISTS];
    bool ask_list, ask_drain, tell_sent; /* tell_sent: how many attempts went out; no more come then */
    uint64_t sent;                       /* attempts, in all */
};

void outbox_init(struct outbox *o);
void outbox_fini(struct outbox *o);

/* Copies the attempt. Without memory it is left out: the list that its worker is asked for will show the
 * loss. */
void outbox_attempt(struct outbox *o, uint64_t session, const struct wire_attempt *a);
/* Without memory it is left out: a settled fence is reported again, and settled again. */
void outbox_fence(struct outbox *o, enum outbox_list list, uint64_t fence);
bool outbox_has_news(const struct outbox *o);

/* Packs the next message, at most LIMIT_BATCH_ENTRIES of each and LIMIT_BATCH_BYTES; what is in it leaves the
 * box only when then() has taken it (it seals it). */
pb_err outbox_pack(struct outbox *o, pb_err (*then)(void *arg, const struct buf *plain),
                   void *arg) PB_CHECKED;

void outgoing_init(struct outgoing_queue *q);
void outgoing_move(struct outgoing_queue *from, struct outgoing_queue *to);
struct outgoing *outgoing_pop(struct outgoing_queue *q); /* NULL: it is empty. Free it. */
void outgoing_free(struct outgoing *one);

#endif
