/* The worker's side of the NNG link: says hello, joins, takes attempts from its own jobs socket, reports, and
 * says hello again when the session is over (schemas/messages.md). It keeps every outcome until the broker
 * has settled it, over as many sessions as that takes.
 *
 * On the loop's thread; nothing blocks. */
#ifndef PB_LINK_H
#define PB_LINK_H

#include "common/err.h"
#include "common/log.h"
#include "common/manifest.h"
#include "common/wire.h"

#include <stdbool.h>

struct link;

struct link_settings {
    const char *broker; /* ipc://FOLDER or tcp://HOST:PORT, as the broker's --cluster-listen */
    const uint8_t *psk, *seal_key;
    const char *name, *version;
    uint32_t capacity; /* attempts at a time */
    const struct manifests *types;
};

struct link_events {
    /* Lent for the call. The answer is link_outcome() with its fence, sooner or later. */
    void (*attempt)(void *arg, const struct wire_attempt *attempt);
    /* Stop the attempt; the runner's outcome is not wanted: it is no longer this worker's, or the link
     * reports it as cancelled by itself. */
    void (*cancel)(void *arg, uint64_t fence);
};

pb_err link_open(const struct link_settings *settings, const struct log *log,
                 const struct link_events *events, void *arg, struct link **out,
                 struct pb_why *why) PB_CHECKED;
/* Its NNG sockets end with the process (process_end_within). */
void link_close(struct link *l);

int link_fd(const struct link *l);
void link_turn(struct link *l, uint64_t now_ms);
/* Beats, leases, hellos that are due; gives the time of the next one. */
uint64_t link_tick(struct link *l, uint64_t now_ms);

/* Copies the outcome; it goes out with the next link_tick(). An attempt that was cancelled meanwhile is
 * ignored. */
void link_outcome(struct link *l, const struct wire_outcome *outcome);

/* Takes no more work; also the broker can ask for it. Attempts that were on their way are handed back as they
 * come. link_is_drained(): all that was ever sent has come, nothing runs and everything is settled. */
void link_drain(struct link *l);
bool link_is_draining(const struct link *l);
bool link_is_drained(const struct link *l);
bool link_has_joined(const struct link *l);

#endif
