#include "common/limbo.h"

#include "common/limits.h"

#include <stdlib.h>
#include <utlist.h>

struct limbo_socket {
    nng_socket socket;
    uint64_t close_ms;
    struct limbo_socket *prev, *next;
};

static void drop(struct limbo *l, struct limbo_socket *s)
{
    DL_DELETE(l->sockets, s);
    l->count--;
    free(s);
}

static void close_one(struct limbo *l, struct limbo_socket *s)
{
    nng_close(s->socket);
    drop(l, s);
}

void limbo_add(struct limbo *l, nng_socket socket, uint64_t close_ms)
{
    struct limbo_socket *s = calloc(1, sizeof *s);
    if (!s) {
        nng_close(socket);
        return;
    }
    if (l->count == LIMIT_LIMBO)
        close_one(l, l->sockets);
    *s = (struct limbo_socket){.socket = socket, .close_ms = close_ms};
    DL_APPEND(l->sockets, s);
    l->count++;
}

uint64_t limbo_tick(struct limbo *l, uint64_t now_ms)
{
    struct limbo_socket *s, *next;
    uint64_t due_ms = UINT64_MAX;
    DL_FOREACH_SAFE(l->sockets, s, next)
    {
        if (s->close_ms <= now_ms)
            close_one(l, s);
        else if (s->close_ms < due_ms)
            due_ms = s->close_ms;
    }
    return due_ms;
}

void limbo_fini(struct limbo *l)
{
    while (l->sockets)
        drop(l, l->sockets);
}
