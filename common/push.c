#include "common/push.h"

#include "common/limits.h"

#include <nng/nng.h>
#include <nng/protocol/pipeline0/push.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define NEVER_MS (INT32_MAX / 2) /* no redialling: a new pipe needs a new socket */

struct push {
    nng_socket socket;
    nng_listener listener;
    pthread_mutex_t lock; /* over what follows, and over every send */
    int pipe_id;          /* of the one pipe; 0: none so far */
    bool dead, retired;
    unsigned peers;
    int bell_fd;
    char path[108]; /* of an ipc listener; else empty */
};

static void ring(const struct push *p)
{
    uint64_t one = 1;
    if (p->bell_fd >= 0 && write(p->bell_fd, &one, sizeof one) < 0)
        return; /* it is ringing already */
}

static void on_add_pre(nng_pipe pipe, nng_pipe_ev event, void *arg)
{
    (void)event;
    struct push *p = arg;
    pthread_mutex_lock(&p->lock);
    bool first = p->pipe_id == 0 && !p->retired;
    p->peers++;
    if (first)
        p->pipe_id = nng_pipe_id(pipe);
    pthread_mutex_unlock(&p->lock);
    if (!first)
        nng_pipe_close(pipe);
}

static void on_add_post(nng_pipe pipe, nng_pipe_ev event, void *arg)
{
    (void)pipe;
    (void)event;
    ring(arg);
}

/* Runs for refused pipes, too, which change nothing: a stranger at the address ends no session. */
static void on_rem_post(nng_pipe pipe, nng_pipe_ev event, void *arg)
{
    (void)event;
    struct push *p = arg;
    pthread_mutex_lock(&p->lock);
    p->dead = p->dead || nng_pipe_id(pipe) == p->pipe_id;
    bool rings = p->dead && !p->retired;
    pthread_mutex_unlock(&p->lock);
    if (rings)
        ring(p);
}

static int prepare(struct push *p)
{
    int rv = nng_push0_open(&p->socket);
    if (rv == 0)
        rv = nng_socket_set_size(p->socket, NNG_OPT_RECVMAXSZ, LIMIT_MESSAGE_BYTES);
    if (rv == 0)
        rv = nng_pipe_notify(p->socket, NNG_PIPE_EV_ADD_PRE, on_add_pre, p);
    if (rv == 0)
        rv = nng_pipe_notify(p->socket, NNG_PIPE_EV_ADD_POST, on_add_post, p);
    if (rv == 0)
        rv = nng_pipe_notify(p->socket, NNG_PIPE_EV_REM_POST, on_rem_post, p);
    return rv;
}

static int listen_on(struct push *p, const char *url)
{
    int rv = nng_listener_create(&p->listener, p->socket, url);
    bool ipc = strncmp(url, "ipc://", 6) == 0;
    if (ipc)
        snprintf(p->path, sizeof p->path, "%s", url + 6);
    if (rv == 0 && ipc)
        rv = nng_listener_set_int(p->listener, NNG_OPT_IPC_PERMISSIONS, 0600);
    return rv ? rv : nng_listener_start(p->listener, 0);
}

static int dial_to(struct push *p, const char *url)
{
    nng_dialer dialer;
    int rv = nng_dialer_create(&dialer, p->socket, url);
    if (rv == 0)
        rv = nng_dialer_set_ms(dialer, NNG_OPT_RECONNMINT, NEVER_MS);
    if (rv == 0)
        rv = nng_dialer_set_ms(dialer, NNG_OPT_RECONNMAXT, NEVER_MS);
    return rv ? rv : nng_dialer_start(dialer, NNG_FLAG_NONBLOCK);
}

static pb_err open_with(int (*start)(struct push *, const char *), const char *url, int bell_fd,
                        struct push **out, struct pb_why *why)
{
    struct push *p = calloc(1, sizeof *p);
    if (!p)
        return PB_E_MEMORY;
    *p = (struct push){.bell_fd = bell_fd};
    pthread_mutex_init(&p->lock, NULL);
    int rv = prepare(p);
    if (rv == 0)
        rv = start(p, url);
    if (rv == 0) {
        *out = p;
        return PB_OK;
    }
    push_close(p);
    return pb_fail(why, PB_E_IO, url, "%s", nng_strerror(rv));
}

pb_err push_listen(const char *url, int bell_fd, struct push **out, struct pb_why *why)
{
    return open_with(listen_on, url, bell_fd, out, why);
}

pb_err push_dial(const char *url, int bell_fd, struct push **out, struct pb_why *why)
{
    return open_with(dial_to, url, bell_fd, out, why);
}

void push_close(struct push *p)
{
    if (!p)
        return;
    nng_close(p->socket); /* returns when no pipe is left, so no callback comes after it */
    pthread_mutex_destroy(&p->lock);
    free(p);
}

void push_retire(struct push *p)
{
    pthread_mutex_lock(&p->lock);
    p->dead = p->retired = true;
    pthread_mutex_unlock(&p->lock);
    if (p->path[0])
        unlink(p->path);
}

unsigned push_peers(struct push *p)
{
    pthread_mutex_lock(&p->lock);
    unsigned peers = p->peers;
    pthread_mutex_unlock(&p->lock);
    return peers;
}

static pb_err send_locked(struct push *p, nng_msg *msg)
{
    if (p->dead)
        return PB_E_CLOSED;
    int rv = nng_sendmsg(p->socket, msg, NNG_FLAG_NONBLOCK);
    return rv == 0 ? PB_OK : rv == NNG_EAGAIN ? PB_E_AGAIN : rv == NNG_ENOMEM ? PB_E_MEMORY : PB_E_CLOSED;
}

pb_err push_send(struct push *p, const void *bytes, size_t len)
{
    nng_msg *msg;
    if (len > LIMIT_MESSAGE_BYTES)
        return PB_E_LIMIT;
    if (nng_msg_alloc(&msg, len) != 0)
        return PB_E_MEMORY;
    memcpy(nng_msg_body(msg), bytes, len);
    pthread_mutex_lock(&p->lock);
    pb_err err = send_locked(p, msg);
    pthread_mutex_unlock(&p->lock);
    if (err)
        nng_msg_free(msg);
    return err;
}

int push_send_fd(struct push *p)
{
    int fd;
    return nng_socket_get_int(p->socket, NNG_OPT_SENDFD, &fd) == 0 ? fd : -1;
}

bool push_is_dead(struct push *p)
{
    pthread_mutex_lock(&p->lock);
    bool dead = p->dead;
    pthread_mutex_unlock(&p->lock);
    return dead;
}

uint16_t push_port(const struct push *p)
{
    nng_sockaddr addr;
    if (nng_listener_get_addr(p->listener, NNG_OPT_LOCADDR, &addr) != 0)
        return 0;
    uint16_t port = addr.s_family == NNG_AF_INET6 ? addr.s_in6.sa_port : addr.s_in.sa_port;
    return (uint16_t)(port >> 8 | port << 8); /* from network order */
}
