#include "broker/sockets.h"

#include "broker/retired.h"
#include "common/limits.h"

#include <assert.h>
#include <dirent.h>
#include <errno.h>
#include <nng/nng.h>
#include <nng/protocol/pipeline0/pull.h>
#include <nng/protocol/reqrep0/rep.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/stat.h>
#include <unistd.h>

#define RENEW_MS 5000 /* without a question: is the members' listener still accepting? */

struct sockets {
    nng_socket members, reports;
    nng_listener members_listener;
    int epoll_fd, bell_fd, answer_fd;
    nng_msg *received, *answer;         /* lent to the caller; to be sent when the connection is free */
    char folder[SOCKETS_ADDRESS_BYTES]; /* ipc: where sockets are made; else empty */
    char host[SOCKETS_ADDRESS_BYTES];   /* tcp: what is listened on */
    char members_address[SOCKETS_ADDRESS_BYTES], reports_address[SOCKETS_ADDRESS_BYTES];
    uint64_t renew_ms;
    struct retired retired;
};

/* -- addresses -- */

/* Those of sessions of a broker that was killed. */
static void remove_stale(const char *folder)
{
    struct dirent *entry;
    DIR *dir = opendir(folder);
    while (dir && (entry = readdir(dir)))
        if (strncmp(entry->d_name, "jobs-", 5) == 0 || strncmp(entry->d_name, "reports-", 8) == 0)
            unlinkat(dirfd(dir), entry->d_name, 0);
    if (dir)
        closedir(dir);
}

static pb_err ipc_addresses(struct sockets *s, const char *address, struct pb_why *why)
{
    const size_t longest = sizeof "/reports-0123456789abcdef", room = 107;
    snprintf(s->folder, sizeof s->folder, "%s", address + 6);
    if (strlen(s->folder) + longest > room)
        return pb_fail(why, PB_E_LIMIT, address,
                       "the folder's path is too long for sockets: %zu bytes at most", room - longest);
    if (mkdir(s->folder, 0700) != 0 && errno != EEXIST)
        return pb_fail(why, PB_E_IO, s->folder, "cannot be made: %s", strerror(errno));
    if (chmod(s->folder, 0700) != 0)
        return pb_fail(why, PB_E_IO, s->folder, "cannot be made private: %s", strerror(errno));
    snprintf(s->members_address, sizeof s->members_address, "ipc://%.200s/members", s->folder);
    remove_stale(s->folder);
    return PB_OK;
}

static pb_err tcp_addresses(struct sockets *s, const char *address, struct pb_why *why)
{
    snprintf(s->host, sizeof s->host, "%s", address + 6);
    char *colon = strrchr(s->host, ':'), *end = NULL;
    unsigned long port = colon ? strtoul(colon + 1, &end, 10) : 0;
    if (!colon || *end || port == 0 || port > 65534)
        return pb_fail(why, PB_E_INVALID, address, "must be tcp://HOST:PORT with a port from 1 to 65534");
    *colon = 0;
    snprintf(s->members_address, sizeof s->members_address, "tcp://%.200s:%lu", s->host, port);
    snprintf(s->reports_address, sizeof s->reports_address, "tcp://%.200s:%lu", s->host, port + 1);
    return PB_OK;
}

static pb_err addresses(struct sockets *s, const char *address, struct pb_why *why)
{
    if (strncmp(address, "ipc://", 6) == 0 && address[6])
        return ipc_addresses(s, address, why);
    if (strncmp(address, "tcp://", 6) == 0)
        return tcp_addresses(s, address, why);
    return pb_fail(why, PB_E_INVALID, address, "must be ipc://FOLDER or tcp://HOST:PORT");
}

/* -- listening -- */

static int listen_at(nng_socket socket, const char *url, nng_listener *out)
{
    nng_listener listener;
    int rv = nng_listener_create(&listener, socket, url);
    if (rv != 0)
        return rv;
    if (strncmp(url, "ipc://", 6) == 0)
        rv = nng_listener_set_int(listener, NNG_OPT_IPC_PERMISSIONS, 0600);
    if (rv == 0)
        rv = nng_listener_start(listener, 0);
    if (rv == 0)
        *out = listener;
    else
        nng_listener_close(listener);
    return rv;
}

static pb_err cannot_listen(struct pb_why *why, const char *address, int rv)
{
    const char *remedy = rv == NNG_EADDRINUSE
                             ? "; another broker listens there: stop it, or choose another --cluster-listen"
                             : "";
    return pb_fail(why, PB_E_IO, address, "cannot listen: %s%s", nng_strerror(rv), remedy);
}

static pb_err open_members(struct sockets *s, struct pb_why *why)
{
    int rv = nng_rep0_open(&s->members);
    if (rv == 0)
        rv = nng_socket_set_size(s->members, NNG_OPT_RECVMAXSZ, LIMIT_MESSAGE_BYTES);
    if (rv == 0)
        rv = listen_at(s->members, s->members_address, &s->members_listener);
    return rv ? cannot_listen(why, s->members_address, rv) : PB_OK;
}

static pb_err open_reports(struct sockets *s, struct pb_why *why)
{
    nng_listener listener;
    int rv = nng_pull0_open(&s->reports);
    if (rv == 0)
        rv = nng_socket_set_size(s->reports, NNG_OPT_RECVMAXSZ, LIMIT_MESSAGE_BYTES);
    if (rv == 0 && s->reports_address[0])
        rv = listen_at(s->reports, s->reports_address, &listener);
    return rv ? cannot_listen(why, s->reports_address, rv) : PB_OK;
}

/* -- descriptors -- */

bool sockets_watch(struct sockets *s, int fd, bool on)
{
    struct epoll_event ev = {.events = EPOLLIN, .data.fd = fd};
    return epoll_ctl(s->epoll_fd, on ? EPOLL_CTL_ADD : EPOLL_CTL_DEL, fd, &ev) == 0;
}

static pb_err watch_all(struct sockets *s, struct pb_why *why)
{
    int questions, reports;
    s->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    s->bell_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    int rv = nng_socket_get_int(s->members, NNG_OPT_RECVFD, &questions);
    if (rv == 0)
        rv = nng_socket_get_int(s->members, NNG_OPT_SENDFD, &s->answer_fd);
    if (rv == 0)
        rv = nng_socket_get_int(s->reports, NNG_OPT_RECVFD, &reports);
    if (rv != 0 || !sockets_watch(s, s->bell_fd, true) || !sockets_watch(s, questions, true) ||
        !sockets_watch(s, s->answer_fd, true) || !sockets_watch(s, reports, true))
        return pb_fail(why, PB_E_IO, "cluster-listen", "cannot watch the sockets: %s",
                       rv ? nng_strerror(rv) : strerror(errno));
    return PB_OK;
}

int sockets_fd(const struct sockets *s)
{
    return s->epoll_fd;
}

bool sockets_bell(struct sockets *s)
{
    uint64_t rings;
    return read(s->bell_fd, &rings, sizeof rings) > 0;
}

/* -- open and close -- */

pb_err sockets_open(const char *address, struct sockets **out, struct pb_why *why)
{
    struct sockets *s = calloc(1, sizeof *s);
    if (!s)
        return PB_E_MEMORY;
    s->epoll_fd = s->bell_fd = -1;
    pb_err err = addresses(s, address, why);
    if (!err)
        err = open_members(s, why);
    if (!err)
        err = open_reports(s, why);
    if (!err)
        err = watch_all(s, why);
    if (err)
        sockets_close(s);
    else
        *out = s;
    return err;
}

void sockets_close(struct sockets *s)
{
    if (!s)
        return;
    retired_close(&s->retired);
    nng_msg_free(s->received);
    nng_msg_free(s->answer);
    if (nng_socket_id(s->members) > 0)
        nng_close(s->members);
    if (nng_socket_id(s->reports) > 0)
        nng_close(s->reports);
    if (s->bell_fd >= 0)
        close(s->bell_fd);
    if (s->epoll_fd >= 0)
        close(s->epoll_fd);
    free(s);
}

/* -- what comes in -- */

static bool receive(struct sockets *s, nng_socket from, const uint8_t **bytes, size_t *len)
{
    nng_msg_free(s->received);
    s->received = NULL;
    if (nng_recvmsg(from, &s->received, NNG_FLAG_NONBLOCK) != 0)
        return false;
    *bytes = nng_msg_body(s->received);
    *len = nng_msg_len(s->received);
    return true;
}

bool sockets_report(struct sockets *s, const uint8_t **bytes, size_t *len)
{
    return receive(s, s->reports, bytes, len);
}

/* REP forgets whom it owes an answer as soon as a send is tried, also when it fails because the connection is
 * busy with the answer before. So nothing is sent until it can be, and no question is received until then. */
static void send_answer(struct sockets *s)
{
    struct pollfd writable = {.fd = s->answer_fd, .events = POLLIN};
    if (!s->answer || poll(&writable, 1, 0) != 1)
        return;
    if (nng_sendmsg(s->members, s->answer, NNG_FLAG_NONBLOCK) != 0)
        nng_msg_free(s->answer); /* the asker is gone */
    s->answer = NULL;
}

bool sockets_question(struct sockets *s, uint64_t now_ms, const uint8_t **bytes, size_t *len)
{
    send_answer(s);
    if (s->answer || !receive(s, s->members, bytes, len))
        return false;
    s->renew_ms = now_ms + RENEW_MS;
    return true;
}

void sockets_answer(struct sockets *s, const uint8_t *bytes, size_t len)
{
    assert(!s->answer);
    if (nng_msg_alloc(&s->answer, len) != 0) {
        s->answer = NULL; /* it asks again */
        return;
    }
    memcpy(nng_msg_body(s->answer), bytes, len);
    send_answer(s);
}

/* -- one session's sockets -- */

static pb_err open_ipc(struct sockets *s, const char *name, struct session_sockets *out, struct pb_why *why)
{
    nng_listener listener;
    snprintf(out->jobs_told, sizeof out->jobs_told, "ipc://%.200s/jobs-%s", s->folder, name);
    snprintf(out->reports_told, sizeof out->reports_told, "ipc://%.200s/reports-%s", s->folder, name);
    int rv = listen_at(s->reports, out->reports_told, &listener);
    if (rv != 0)
        return cannot_listen(why, out->reports_told, rv);
    out->reports = (uint32_t)nng_listener_id(listener);
    return push_listen(out->jobs_told, s->bell_fd, &out->jobs, why);
}

static pb_err open_tcp(struct sockets *s, struct session_sockets *out, struct pb_why *why)
{
    char url[SOCKETS_ADDRESS_BYTES];
    snprintf(url, sizeof url, "tcp://%.200s:0", s->host);
    pb_err err = push_listen(url, s->bell_fd, &out->jobs, why);
    if (err)
        return err;
    snprintf(out->jobs_told, sizeof out->jobs_told, ":%u", push_port(out->jobs));
    snprintf(out->reports_told, sizeof out->reports_told, "%s", strrchr(s->reports_address, ':'));
    return PB_OK;
}

pb_err sockets_open_session(struct sockets *s, const char *name, struct session_sockets *out,
                            struct pb_why *why)
{
    return s->folder[0] ? open_ipc(s, name, out, why) : open_tcp(s, out, why);
}

void sockets_end_session(struct sockets *s, struct session_sockets *session, uint64_t now_ms)
{
    if (session->reports)
        nng_listener_close((nng_listener){.id = session->reports});
    retired_add(&s->retired, session->jobs, now_ms);
    *session = (struct session_sockets){0};
}

/* -- time -- */

/* Only when nobody has asked for a while, so that it cuts nobody off. */
static void renew_members(struct sockets *s)
{
    nng_listener_close(s->members_listener);
    if (listen_at(s->members, s->members_address, &s->members_listener) != 0)
        s->members_listener = (nng_listener)NNG_LISTENER_INITIALIZER; /* tried again next time */
}

uint64_t sockets_tick(struct sockets *s, uint64_t now_ms)
{
    uint64_t due_ms = retired_tick(&s->retired, now_ms);
    if (!s->folder[0])
        return due_ms;
    if (s->renew_ms && now_ms >= s->renew_ms)
        renew_members(s);
    if (!s->renew_ms || now_ms >= s->renew_ms)
        s->renew_ms = now_ms + RENEW_MS;
    return s->renew_ms < due_ms ? s->renew_ms : due_ms;
}
