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
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#define PROBE_MS   5000 /* without a question: is the members' listener still accepting? */
#define ARRIVAL_MS 2000 /* for the broker's own question to arrive */
#define LEAVE_MS   300  /* between two looks at what leaves */
#define ANSWER_MS  1000 /* for a peer to take an answer; meanwhile nobody else is heard */

/* One session's listener for its reports. */
struct reports_listener {
    uint32_t id;    /* 0: free */
    unsigned pipes; /* connections that it accepted and that are still there */
    bool over;      /* its session is: to be closed when the last pipe has gone */
};

struct sockets {
    nng_socket members, reports;
    nng_listener members_listener;
    int epoll_fd, bell_fd, question_fd, answer_fd;
    nng_msg *received, *answer;         /* lent to the caller; to be sent when the connection is free */
    char folder[SOCKETS_ADDRESS_BYTES]; /* ipc: where sockets are made; else empty */
    char host[SOCKETS_ADDRESS_BYTES];   /* tcp: what is listened on */
    char members_address[SOCKETS_ADDRESS_BYTES], reports_address[SOCKETS_ADDRESS_BYTES];
    nng_pipe asker; /* of the last question */
    uint64_t answer_until_ms;
    uint64_t probe_ms; /* when to ask, or by when the question must have come */
    int probe_fd;      /* the broker's own connection to its members' socket; -1: none */
    struct retired retired;
    pthread_mutex_t lock; /* over the listeners: NNG's threads count their pipes */
    struct reports_listener listeners[2 * LIMIT_SESSIONS];
    uint64_t leave_ms;
};

/* -- addresses -- */

/* Of sessions of this broker that ends, or of one that was killed. */
static void remove_sockets(const char *folder)
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
    remove_sockets(s->folder);
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

/* -- the listeners of sessions -- */

static struct reports_listener *find_listener(struct sockets *s, uint32_t id)
{
    for (size_t i = 0; i < 2 * LIMIT_SESSIONS; i++)
        if (s->listeners[i].id == id)
            return &s->listeners[i];
    return NULL;
}

static void on_reports_pipe(nng_pipe pipe, nng_pipe_ev event, void *arg)
{
    struct sockets *s = arg;
    int id = nng_listener_id(nng_pipe_listener(pipe));
    pthread_mutex_lock(&s->lock);
    struct reports_listener *l = id > 0 ? find_listener(s, (uint32_t)id) : NULL;
    if (l && event == NNG_PIPE_EV_ADD_PRE)
        l->pipes++;
    else if (l && l->pipes)
        l->pipes--;
    pthread_mutex_unlock(&s->lock);
}

static bool add_listener(struct sockets *s, uint32_t id)
{
    pthread_mutex_lock(&s->lock);
    struct reports_listener *l = find_listener(s, 0);
    if (l)
        *l = (struct reports_listener){.id = id};
    pthread_mutex_unlock(&s->lock);
    return l;
}

static void leave_listener(struct sockets *s, uint32_t id)
{
    pthread_mutex_lock(&s->lock);
    struct reports_listener *l = find_listener(s, id);
    if (l)
        l->over = true;
    pthread_mutex_unlock(&s->lock);
}

/* One that nothing is connected to any more, so that it can be closed (common/limbo.h); 0: none. */
static uint32_t take_left(struct sockets *s)
{
    uint32_t id = 0;
    pthread_mutex_lock(&s->lock);
    for (size_t i = 0; i < 2 * LIMIT_SESSIONS && !id; i++)
        if (s->listeners[i].over && s->listeners[i].pipes == 0) {
            id = s->listeners[i].id;
            s->listeners[i] = (struct reports_listener){0};
        }
    pthread_mutex_unlock(&s->lock);
    return id;
}

static void close_left(struct sockets *s)
{
    uint32_t id;
    while ((id = take_left(s)))
        nng_listener_close((nng_listener){.id = id});
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
    if (rv == 0)
        rv = nng_pipe_notify(s->reports, NNG_PIPE_EV_ADD_PRE, on_reports_pipe, s);
    if (rv == 0)
        rv = nng_pipe_notify(s->reports, NNG_PIPE_EV_REM_POST, on_reports_pipe, s);
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
    int reports;
    s->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    s->bell_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    int rv = nng_socket_get_int(s->members, NNG_OPT_RECVFD, &s->question_fd);
    if (rv == 0)
        rv = nng_socket_get_int(s->members, NNG_OPT_SENDFD, &s->answer_fd);
    if (rv == 0)
        rv = nng_socket_get_int(s->reports, NNG_OPT_RECVFD, &reports);
    if (rv != 0 || !sockets_watch(s, s->bell_fd, true) || !sockets_watch(s, s->question_fd, true) ||
        !sockets_watch(s, reports, true))
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
    s->epoll_fd = s->bell_fd = s->probe_fd = -1;
    pthread_mutex_init(&s->lock, NULL);
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
    if (s->probe_fd >= 0)
        close(s->probe_fd);
    if (s->folder[0])
        remove_sockets(s->folder); /* what receives is left to the process's end: common/limbo.h */
    if (s->bell_fd >= 0)
        close(s->bell_fd);
    if (s->epoll_fd >= 0)
        close(s->epoll_fd);
    if (nng_socket_id(s->reports) <= 0)
        free(s); /* else NNG's threads still count pipes with it, until the process ends */
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

/* While an answer waits, its way out is watched instead of further questions, which cannot be taken yet. Each
 * of the two descriptors would wake the loop without end in the other's time: NNG has the way out open also
 * for a question that was never answered. */
static void hold(struct sockets *s, bool held)
{
    sockets_watch(s, held ? s->question_fd : s->answer_fd, false);
    sockets_watch(s, held ? s->answer_fd : s->question_fd, true);
}

static bool is_held(struct sockets *s)
{
    if (!s->answer)
        return false;
    send_answer(s);
    if (!s->answer)
        hold(s, false);
    return s->answer;
}

/* A peer that asks and does not take its answers keeps everybody else waiting: it is put out. */
static void put_out_slow_asker(struct sockets *s, uint64_t now_ms)
{
    if (!is_held(s) || now_ms < s->answer_until_ms)
        return;
    nng_pipe_close(s->asker);
    nng_msg_free(s->answer);
    s->answer = NULL;
    hold(s, false);
}

static void end_probe(struct sockets *s)
{
    if (s->probe_fd >= 0)
        close(s->probe_fd);
    s->probe_fd = -1;
}

bool sockets_question(struct sockets *s, uint64_t now_ms, const uint8_t **bytes, size_t *len)
{
    do {
        if (is_held(s) || !receive(s, s->members, bytes, len))
            return false;
        s->probe_ms = now_ms + PROBE_MS;
        end_probe(s);
    } while (*len == 0); /* the broker's own */
    s->asker = nng_msg_get_pipe(s->received);
    s->answer_until_ms = now_ms + ANSWER_MS;
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
    if (s->answer)
        hold(s, true);
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
    if (!add_listener(s, out->reports))
        return pb_fail(why, PB_E_BUSY, "members", "too many sessions that are not quite over; try again");
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
        leave_listener(s, session->reports);
    retired_add(&s->retired, session->jobs, now_ms);
    *session = (struct session_sockets){0};
}

/* -- is the members' listener still accepting? -- */

/* A question of the broker to itself: a REQ peer's handshake (SP header, protocol 0x30) and, in an NNG ipc
 * frame, a request without a body. */
static void ask_oneself(struct sockets *s)
{
    static const uint8_t question[] = {0, 'S', 'P', 0, 0, 0x30, 0,    0, 1, 0, 0,
                                       0, 0,   0,   0, 0, 4,    0x80, 0, 0, 1};
    struct sockaddr_un to = {.sun_family = AF_UNIX};
    snprintf(to.sun_path, sizeof to.sun_path, "%.90s/members", s->folder);
    s->probe_fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (s->probe_fd >= 0 && connect(s->probe_fd, (struct sockaddr *)&to, sizeof to) == 0 &&
        send(s->probe_fd, question, sizeof question, MSG_NOSIGNAL) == sizeof question)
        return;
    if (s->probe_fd >= 0)
        close(s->probe_fd);
    s->probe_fd = -1;
}

/* Nobody is connected to it that it has accepted, so it can be closed. */
static void renew_members(struct sockets *s)
{
    nng_listener_close(s->members_listener);
    if (listen_at(s->members, s->members_address, &s->members_listener) != 0)
        s->members_listener = (nng_listener)NNG_LISTENER_INITIALIZER; /* tried again next time */
}

static void probe(struct sockets *s, uint64_t now_ms)
{
    bool asked = s->probe_fd >= 0;
    end_probe(s);
    if (asked)
        renew_members(s);
    else
        ask_oneself(s);
    s->probe_ms = now_ms + (s->probe_fd >= 0 ? ARRIVAL_MS : PROBE_MS);
}

/* -- time -- */

uint64_t sockets_tick(struct sockets *s, uint64_t now_ms)
{
    uint64_t due_ms = retired_tick(&s->retired, now_ms);
    put_out_slow_asker(s, now_ms);
    if (s->answer && s->answer_until_ms < due_ms)
        due_ms = s->answer_until_ms;
    if (!s->folder[0])
        return due_ms;
    if (!s->probe_ms)
        s->probe_ms = now_ms + PROBE_MS;
    if (now_ms >= s->probe_ms)
        probe(s, now_ms);
    if (now_ms >= s->leave_ms) {
        close_left(s);
        s->leave_ms = now_ms + LEAVE_MS;
    }
    return s->probe_ms < due_ms ? s->probe_ms : due_ms;
}
