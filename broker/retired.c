#include "broker/retired.h"

#include "common/limits.h"

#include <stdlib.h>
#include <utlist.h>

#define QUIET_MS 300 /* three of the pauses that NNG makes after a broken handshake */
#define LOOKS    10  /* a peer that never stops coming keeps no socket for ever */

struct retired_socket {
    struct push *push;
    unsigned peers, looks;
    uint64_t look_ms;
    struct retired_socket *prev, *next;
};

static void close_one(struct retired *r, struct retired_socket *s)
{
    DL_DELETE(r->oldest, s);
    r->count--;
    push_close(s->push);
    free(s);
}

void retired_add(struct retired *r, struct push *push, uint64_t now_ms)
{
    struct retired_socket *s = push ? calloc(1, sizeof *s) : NULL;
    if (!s) {
        push_close(push);
        return;
    }
    if (r->count == LIMIT_RETIRED)
        close_one(r, r->oldest);
    push_retire(push);
    *s = (struct retired_socket){.push = push, .peers = push_peers(push), .look_ms = now_ms + QUIET_MS};
    DL_APPEND(r->oldest, s);
    r->count++;
}

static void look(struct retired *r, struct retired_socket *s, uint64_t now_ms)
{
    unsigned peers = push_peers(s->push);
    if (peers == s->peers || ++s->looks == LOOKS) {
        close_one(r, s);
        return;
    }
    s->peers = peers;
    s->look_ms = now_ms + QUIET_MS;
}

uint64_t retired_tick(struct retired *r, uint64_t now_ms)
{
    struct retired_socket *s, *next;
    uint64_t due_ms = UINT64_MAX;
    DL_FOREACH_SAFE(r->oldest, s, next)
    {
        if (s->look_ms <= now_ms)
            look(r, s, now_ms);
    }
    DL_FOREACH(r->oldest, s)
    {
        due_ms = s->look_ms < due_ms ? s->look_ms : due_ms;
    }
    return due_ms;
}

void retired_close(struct retired *r)
{
    while (r->oldest)
        close_one(r, r->oldest);
}
