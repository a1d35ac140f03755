/* Two threads meet here. libmicrohttpd's reads a request to its end, refuses what need not trouble the loop
 * (no token, no such path, too large), suspends the connection and puts the request into a mailbox. The loop
 * takes it out, its handler answers, and resuming the connection gives it back: libmicrohttpd's thread then
 * sends the answer. A request has one owner at any time, and the lock is only over the mailbox and the list
 * of connections.
 *
 * libmicrohttpd neither times a suspended connection out nor lets itself be stopped while there is one, so
 * every request that was handed over is answered before the end. */
#include "broker/http/http.h"

#include "broker/broker.h"
#include "broker/http/bind.h"
#include "broker/http/desk.h"
#include "broker/http/queue.h"
#include "broker/http/rates.h"
#include "broker/http/request.h"
#include "broker/http/routes.h"
#include "common/clock.h"
#include "common/limits.h"

#include <assert.h>
#include <errno.h>
#include <malloc.h>
#include <microhttpd.h>
#include <pthread.h>
#include <sodium.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define STOP_SECONDS        1  /* at the end, for answers to leave */
#define REQUEST_SECONDS     60 /* for a request to come in whole, and for its answer to be taken */
#define SWEEP_MS            1000
#define PER_ADDRESS         (LIMIT_HTTP_CONNECTIONS * 9 / 10)   /* leaves room for other addresses */
#define DROPPED_BYTES       ((size_t)4 * LIMIT_HTTP_BODY_BYTES) /* of an unwanted body; then we hang up */
#define POOL_BYTES          ((size_t)LIMIT_HTTP_HEADER_BYTES + 8 * 1024) /* of a connection */
#define PREFER_BYTES        512
#define DESCRIPTORS_BESIDES 512 /* of the store, the workers and the log */

/* A connection, to cut it off when it is slow. libmicrohttpd's own timeout starts again with every byte. */
struct peer {
    int fd;
    uint64_t since_ms; /* it opened, or its last answer began to leave, or ended */
    bool with_loop;    /* the loop has its request: it is not the peer that is slow */
    struct peer *prev, *next;
};

/* A request and where it stands. */
struct exchange {
    struct http_request r; /* first: handlers know no more than this */
    struct http_listener *listener;
    struct MHD_Connection *connection;
    struct peer *peer;
    pb_err bad_target;
    struct pb_why why; /* with bad_target */
    bool begun;        /* its headers were read */
    bool answered;
    size_t dropped_bytes;
    size_t taken_bytes;    /* of its body, counted in the listener's */
    struct exchange *next; /* in the mailbox */
};

struct http_listener {
    struct broker *broker;
    const struct log *log;
    const struct auth *auth;
    struct MHD_Daemon *daemon;
    uint16_t port;
    int bell_fd;
    uint64_t swept_ms;    /* the loop's */
    size_t bodies_bytes;  /* of all requests that are not over; libmicrohttpd's thread's */
    pthread_mutex_t lock; /* over what follows */
    pthread_cond_t quiet; /* open_count is 0 */
    struct exchange *mail, **mail_tail;
    size_t with_loop;  /* handed over and not answered */
    size_t open_count; /* requests begun and not over */
    struct peer *peers;
    bool closing;
    struct rates rates; /* the loop's */
    struct desk *desk;
};

/* -- peers -- */

static void peer_set(struct exchange *x, bool with_loop)
{
    struct http_listener *l = x->listener;
    if (!x->peer)
        return;
    pthread_mutex_lock(&l->lock);
    x->peer->since_ms = clock_mono_ms();
    x->peer->with_loop = with_loop;
    pthread_mutex_unlock(&l->lock);
}

static void peer_opened(struct http_listener *l, struct MHD_Connection *connection, void **context)
{
    const union MHD_ConnectionInfo *info =
        MHD_get_connection_info(connection, MHD_CONNECTION_INFO_CONNECTION_FD);
    struct peer *p = info ? calloc(1, sizeof *p) : NULL;
    if (!p)
        return; /* it works without; only libmicrohttpd's timeout applies */
    *p = (struct peer){.fd = info->connect_fd, .since_ms = clock_mono_ms()};
    pthread_mutex_lock(&l->lock);
    p->next = l->peers;
    if (p->next)
        p->next->prev = p;
    l->peers = p;
    pthread_mutex_unlock(&l->lock);
    *context = p;
}

/* Comes before the descriptor is closed, so a number in the list is never another connection's. */
static void peer_closed(struct http_listener *l, struct peer *p)
{
    if (!p)
        return;
    pthread_mutex_lock(&l->lock);
    if (p->next)
        p->next->prev = p->prev;
    *(p->prev ? &p->prev->next : &l->peers) = p->next;
    pthread_mutex_unlock(&l->lock);
    free(p);
}

static void on_peer(void *cls, struct MHD_Connection *connection, void **context,
                    enum MHD_ConnectionNotificationCode code)
{
    if (code == MHD_CONNECTION_NOTIFY_STARTED)
        peer_opened(cls, connection, context);
    else
        peer_closed(cls, *context);
}

static void cut_off_slow_peers(struct http_listener *l, uint64_t now_ms)
{
    if (now_ms - l->swept_ms < SWEEP_MS)
        return;
    l->swept_ms = now_ms;
    pthread_mutex_lock(&l->lock);
    for (struct peer *p = l->peers; p; p = p->next)
        if (!p->with_loop && now_ms > p->since_ms && now_ms - p->since_ms > REQUEST_SECONDS * UINT64_C(1000))
            shutdown(p->fd, SHUT_RDWR); /* libmicrohttpd sees it end, and closes it */
    pthread_mutex_unlock(&l->lock);
}

/* -- from the first line to the last header, on libmicrohttpd's thread -- */

static void note_answer(struct http_request *r)
{
    ((struct exchange *)r)->answered = true;
}

static void *on_uri(void *cls, const char *uri, struct MHD_Connection *connection)
{
    struct http_listener *l = cls;
    struct exchange *x = calloc(1, sizeof *x);
    if (!x)
        return NULL;
    const union MHD_ConnectionInfo *info =
        MHD_get_connection_info(connection, MHD_CONNECTION_INFO_SOCKET_CONTEXT);
    x->listener = l;
    x->connection = connection;
    x->peer = info ? info->socket_context : NULL;
    x->r.broker = l->broker;
    x->r.answered = note_answer;
    buf_init(&x->r.body, LIMIT_HTTP_BODY_BYTES);
    x->r.body.secret = true;
    x->bad_target = http_target_parse(uri, &x->r.target, &x->why);
    pthread_mutex_lock(&l->lock);
    l->open_count++;
    pthread_mutex_unlock(&l->lock);
    return x;
}

static const char *header_of(struct exchange *x, const char *name)
{
    return MHD_lookup_connection_value(x->connection, MHD_HEADER_KIND, name);
}

/* Several lines of one header are one list (RFC 9110, section 5.3). */
static enum MHD_Result add_prefer(void *cls, enum MHD_ValueKind kind, const char *name, const char *value)
{
    struct buf *all = cls;
    (void)kind;
    if (value && strcasecmp(name, "Prefer") == 0)
        buf_printf(all, "%s%s", all->len ? ", " : "", value);
    return MHD_YES;
}

static void read_prefer(struct exchange *x)
{
    struct buf all;
    buf_init(&all, PREFER_BYTES);
    MHD_get_connection_values(x->connection, MHD_HEADER_KIND, add_prefer, &all);
    x->r.wait_seconds = http_prefer_wait(buf_peek(&all));
    buf_fini(&all);
}

static bool copy_header(struct exchange *x, const char *name, char **out)
{
    const char *value = header_of(x, name);
    *out = value ? strdup(value) : NULL;
    return !value || *out;
}

/* Of a body that is going to be dropped, as much is read as of a usual one. */
static size_t body_max(const struct http_request *r)
{
    return r->route && r->route->body_max ? r->route->body_max : LIMIT_HTTP_BODY_BYTES;
}

static bool is_too_large(struct exchange *x)
{
    const char *announced = header_of(x, "Content-Length");
    return announced && strtoull(announced, NULL, 10) > body_max(&x->r);
}

static void refuse_too_large(struct http_request *r)
{
    http_refuse(r, "too_large", "a body may have at most %zu bytes here", body_max(r));
}

/* Without a token nobody learns even which paths there are. */
static bool is_allowed(struct exchange *x, const struct route *route)
{
    struct http_request *r = &x->r;
    const char *authorization = header_of(x, "Authorization");
    if (route && route->role == ROLE_NONE)
        return true;
    r->token = auth_find(x->listener->auth, authorization);
    if (!r->token) {
        http_header(r, "WWW-Authenticate", "Bearer realm=\"patchbay\"%s",
                    authorization ? ", error=\"invalid_token\"" : "");
        http_refuse(
            r, "unauthorized", "%s",
            authorization
                ? "the token is not known; the first start wrote one to admin.token in the data folder"
                : "send a token, as Authorization: Bearer pb_...; the first start wrote one to "
                  "admin.token in the data folder");
        return false;
    }
    if (!route || auth_role_of(r->token) >= route->role)
        return true;
    http_refuse(r, "forbidden", "this token's role is %s, which does not allow this", r->token->role);
    return false;
}

static bool has_route(struct http_request *r, const struct route_match *m)
{
    if (m->route)
        return true;
    if (m->allow[0]) {
        http_header(r, "Allow", "%s", m->allow);
        http_refuse(r, "method_not_allowed", "this address knows %s", m->allow);
    } else {
        http_refuse(r, "not_found",
                    "there is nothing at this address; GET /openapi.yaml lists what there is");
    }
    return false;
}

static bool is_well_formed(struct exchange *x)
{
    struct http_request *r = &x->r;
    struct pb_why why = {0};
    if (header_of(x, "Transfer-Encoding") && header_of(x, "Content-Length")) {
        http_header(r, "Connection", "close"); /* a proxy may see another end of it (RFC 9112, section 6.1) */
        http_refuse(r, "bad_request", "Transfer-Encoding and Content-Length exclude each other");
        return false;
    }
    if (http_target_check(&r->target, r->route->query, &why) != PB_OK) {
        http_refuse(r, "invalid_parameter", "%s %s", why.at, why.text);
        return false;
    }
    if (!copy_header(x, "Content-Type", &r->content_type) || !copy_header(x, "Idempotency-Key", &r->idem)) {
        http_refuse_error(r, PB_E_MEMORY, NULL);
        return false;
    }
    if (r->idem && !http_is_idem(r->idem)) {
        http_refuse(r, "bad_request", "an Idempotency-Key must be 1 to %d printable ASCII characters",
                    LIMIT_IDEM_CHARS);
        return false;
    }
    return true;
}

/* Everything that can be said before the body. What is refused here answers once the body was read and
 * dropped, because a connection that is closed with bytes unread may lose the answer. */
static void begin(struct exchange *x, const char *method)
{
    struct http_request *r = &x->r;
    struct route_match m = {0};
    if (x->bad_target == PB_OK)
        routes_match(method, &r->target, &m);
    r->route = m.route;
    memcpy(r->args, m.args, sizeof r->args);
    r->body.max_bytes = body_max(r);
    if (!is_allowed(x, m.route))
        return;
    if (x->bad_target) {
        http_refuse(r, "bad_request", "the %s %s", x->why.at, x->why.text);
        return;
    }
    if (has_route(r, &m) && is_well_formed(x))
        read_prefer(x);
}

/* -- the body -- */

/* Few large bodies are well, and many small ones; not as many large ones as there can be connections. */
static void keep_body(struct exchange *x, const char *bytes, size_t len)
{
    struct http_listener *l = x->listener;
    if (len > LIMIT_HTTP_BODIES_BYTES - l->bodies_bytes) {
        http_refuse(&x->r, "overloaded", "the broker reads too many large bodies; try again in a moment");
        return;
    }
    l->bodies_bytes += len;
    x->taken_bytes += len;
    buf_append(&x->r.body, bytes, len);
    if (x->r.body.failed)
        http_refuse_error(&x->r, PB_E_MEMORY, NULL);
}

static enum MHD_Result take_body(struct exchange *x, const char *bytes, size_t len)
{
    bool wanted = !x->answered && x->r.route->body_max;
    if (wanted && len <= body_max(&x->r) - x->r.body.len) {
        keep_body(x, bytes, len);
        return MHD_YES;
    }
    if (wanted)
        refuse_too_large(&x->r);
    if (x->answered)
        buf_fini(&x->r.body);
    x->dropped_bytes += len;
    return x->dropped_bytes <= DROPPED_BYTES ? MHD_YES : MHD_NO;
}

/* -- the answer -- */

static struct MHD_Response *response(struct http_answer *a)
{
    struct MHD_Response *resp =
        a->text ? MHD_create_response_from_buffer(a->len, a->text, MHD_RESPMEM_MUST_FREE)
                : MHD_create_response_from_buffer(0, (void *)(uintptr_t) "", MHD_RESPMEM_PERSISTENT);
    if (!resp)
        return NULL;
    a->text = NULL;
    if (a->type)
        MHD_add_response_header(resp, MHD_HTTP_HEADER_CONTENT_TYPE, a->type);
    MHD_add_response_header(resp, MHD_HTTP_HEADER_CACHE_CONTROL, "no-store");
    MHD_add_response_header(resp, "X-Content-Type-Options", "nosniff");
    for (size_t i = 0; i < a->header_count; i++)
        MHD_add_response_header(resp, a->headers[i].name, a->headers[i].value);
    return resp;
}

static enum MHD_Result send_answer(struct exchange *x)
{
    struct MHD_Response *resp = response(&x->r.answer);
    if (!resp)
        return MHD_NO;
    peer_set(x, false);
    enum MHD_Result queued = MHD_queue_response(x->connection, (unsigned)x->r.answer.status, resp);
    MHD_destroy_response(resp);
    return queued;
}

/* -- the mailbox -- */

static void ring(const struct http_listener *l)
{
    uint64_t one = 1;
    if (write(l->bell_fd, &one, sizeof one) < 0)
        return; /* it is ringing already */
}

/* On the loop's thread. After this the request is libmicrohttpd's again. */
static void bring_back(struct http_request *r)
{
    struct exchange *x = (struct exchange *)r;
    struct http_listener *l = x->listener;
    pthread_mutex_lock(&l->lock);
    l->with_loop--;
    pthread_mutex_unlock(&l->lock);
    x->answered = true;
    MHD_resume_connection(x->connection);
}

/* Suspended first: the loop may have answered before this returns. */
static void post(struct exchange *x)
{
    struct http_listener *l = x->listener;
    x->r.answered = bring_back;
    MHD_suspend_connection(x->connection);
    l->with_loop++;
    x->next = NULL;
    *l->mail_tail = x;
    l->mail_tail = &x->next;
    ring(l);
}

static enum MHD_Result hand_over(struct exchange *x)
{
    struct http_listener *l = x->listener;
    peer_set(x, true);
    pthread_mutex_lock(&l->lock);
    bool closing = l->closing, full = l->with_loop >= LIMIT_HTTP_QUEUE;
    if (!closing && !full)
        post(x);
    pthread_mutex_unlock(&l->lock);
    if (!closing && !full)
        return MHD_YES;
    if (closing) {
        http_header(&x->r, "Connection", "close");
        http_refuse_error(&x->r, PB_E_CLOSED, NULL);
    } else {
        http_refuse(&x->r, "overloaded", "%d requests wait for an answer already; try again in a moment",
                    LIMIT_HTTP_QUEUE);
    }
    return send_answer(x);
}

static enum MHD_Result on_request(void *cls, struct MHD_Connection *connection, const char *url,
                                  const char *method, const char *version, const char *bytes, size_t *len,
                                  void **context)
{
    struct exchange *x = *context;
    (void)cls;
    (void)connection;
    (void)url;
    (void)version;
    if (!x)
        return MHD_NO; /* there was no memory for it */
    if (!x->begun) {
        x->begun = true;
        begin(x, method);
        if (!is_too_large(x))
            return MHD_YES;
        if (!x->answered)
            refuse_too_large(&x->r);
        return send_answer(x); /* at once, without reading on */
    }
    if (*len) {
        size_t n = *len;
        *len = 0;
        return take_body(x, bytes, n);
    }
    return x->answered ? send_answer(x) : hand_over(x);
}

static void on_completed(void *cls, struct MHD_Connection *connection, void **context,
                         enum MHD_RequestTerminationCode code)
{
    struct http_listener *l = cls;
    struct exchange *x = *context;
    (void)connection;
    (void)code;
    if (!x)
        return;
    *context = NULL;
    log_line(l->log, LOG_DEBUG, "request", "method", x->r.route ? x->r.route->method : NULL, "route",
             x->r.route ? x->r.route->pattern : NULL, "status", log_int((char[24]){0}, x->r.answer.status),
             NULL);
    peer_set(x, false);
    l->bodies_bytes -= x->taken_bytes;
    http_request_fini(&x->r);
    free(x);
    pthread_mutex_lock(&l->lock);
    if (--l->open_count == 0)
        pthread_cond_signal(&l->quiet);
    pthread_mutex_unlock(&l->lock);
}

/* -- on the loop's thread -- */

static struct exchange *take_mail(struct http_listener *l)
{
    pthread_mutex_lock(&l->lock);
    struct exchange *all = l->mail;
    l->mail = NULL;
    l->mail_tail = &l->mail;
    pthread_mutex_unlock(&l->lock);
    return all;
}

int http_fd(const struct http_listener *l)
{
    return l->bell_fd;
}

static void route(struct broker *b, struct http_request *r)
{
    if (b->draining && r->route->role != ROLE_NONE)
        http_refuse_error(r, PB_E_CLOSED, NULL);
    else
        r->route->handler(r);
}

void http_turn(struct broker *b)
{
    struct http_listener *l = b->http;
    uint64_t rings;
    cut_off_slow_peers(l, b->now_ms);
    queue_look(b);
    if (read(l->bell_fd, &rings, sizeof rings) < 0)
        return;
    for (struct exchange *x = take_mail(l), *next; x; x = next) {
        next = x->next; /* a handler may answer, and then it is gone */
        route(b, &x->r);
    }
}

/* -- opening and closing -- */

static void on_mhd_log(void *cls, const char *format, va_list args)
{
    char text[512];
    vsnprintf(text, sizeof text, format, args);
    text[strcspn(text, "\r\n")] = 0;
    log_line(cls, LOG_DEBUG, "libmicrohttpd", "text", text, NULL);
}

/* A thousand connections do not fit into the 1,024 descriptors that many systems start a process with. */
static void raise_descriptors(void)
{
    struct rlimit limit;
    const rlim_t wanted = LIMIT_HTTP_CONNECTIONS + DESCRIPTORS_BESIDES;
    if (getrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_cur >= wanted)
        return;
    limit.rlim_cur = limit.rlim_max < wanted ? limit.rlim_max : wanted;
    setrlimit(RLIMIT_NOFILE, &limit);
}

/* jansson keeps parts of a request's body, credentials among them, in its own memory. */
static void free_wiped(void *memory)
{
    if (memory)
        sodium_memzero(memory, malloc_usable_size(memory));
    free(memory);
}

static struct MHD_Daemon *start(struct http_listener *l, int fd)
{
    const unsigned flags =
        MHD_USE_EPOLL_INTERNAL_THREAD | MHD_ALLOW_SUSPEND_RESUME | MHD_USE_ITC | MHD_USE_ERROR_LOG;
    return MHD_start_daemon(flags, 0, NULL, NULL, on_request, l, MHD_OPTION_EXTERNAL_LOGGER, on_mhd_log,
                            (void *)(uintptr_t)l->log, MHD_OPTION_LISTEN_SOCKET, fd,
                            MHD_OPTION_CONNECTION_LIMIT, (unsigned)LIMIT_HTTP_CONNECTIONS,
                            MHD_OPTION_PER_IP_CONNECTION_LIMIT, (unsigned)PER_ADDRESS,
                            MHD_OPTION_CONNECTION_TIMEOUT, (unsigned)LIMIT_HTTP_IDLE_SECONDS,
                            MHD_OPTION_CONNECTION_MEMORY_LIMIT, POOL_BYTES, MHD_OPTION_STRICT_FOR_CLIENT, 1,
                            MHD_OPTION_URI_LOG_CALLBACK, on_uri, l, MHD_OPTION_NOTIFY_COMPLETED, on_completed,
                            l, MHD_OPTION_NOTIFY_CONNECTION, on_peer, l, MHD_OPTION_END);
}

static void listener_free(struct http_listener *l)
{
    if (l->bell_fd >= 0)
        close(l->bell_fd);
    desk_close(l->desk);
    pthread_mutex_destroy(&l->lock);
    pthread_cond_destroy(&l->quiet);
    free(l);
}

pb_err http_open(struct broker *b, const char *listen, struct http_listener **out, struct pb_why *why)
{
    struct bind_socket socket;
    pb_err err = bind_open(listen, &socket, why);
    if (err)
        return err;
    struct http_listener *l = calloc(1, sizeof *l);
    if (!l) {
        close(socket.fd);
        return PB_E_MEMORY;
    }
    *l = (struct http_listener){.broker = b, .log = &b->log, .auth = b->auth, .port = socket.port};
    l->mail_tail = &l->mail;
    pthread_mutex_init(&l->lock, NULL);
    pthread_cond_init(&l->quiet, NULL);
    raise_descriptors();
    json_set_alloc_funcs(malloc, free_wiped);
    l->bell_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    if (l->bell_fd >= 0 && desk_open(&l->desk) == PB_OK)
        l->daemon = start(l, socket.fd);
    if (!l->daemon) {
        err = pb_fail(why, PB_E_IO, "--http-listen", "cannot serve %.200s: %s", listen, strerror(errno));
        close(socket.fd);
        listener_free(l);
        return err;
    }
    if (!socket.is_loopback)
        log_line(&b->log, LOG_WARN,
                 "HTTP listens beyond this machine and is not encrypted; put a proxy with TLS in front of it",
                 "listen", listen, NULL);
    *out = l;
    return PB_OK;
}

static void refuse_mail(struct http_listener *l)
{
    for (struct exchange *x = take_mail(l), *next; x; x = next) {
        next = x->next;
        http_refuse_error(&x->r, PB_E_CLOSED, NULL);
    }
}

static void wait_until_quiet(struct http_listener *l)
{
    struct timespec until;
    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += STOP_SECONDS;
    pthread_mutex_lock(&l->lock);
    while (l->open_count && pthread_cond_timedwait(&l->quiet, &l->lock, &until) == 0)
        ;
    assert(l->with_loop == 0);
    pthread_mutex_unlock(&l->lock);
}

void http_close(struct http_listener *l)
{
    if (!l)
        return;
    int fd = MHD_quiesce_daemon(l->daemon);
    pthread_mutex_lock(&l->lock);
    l->closing = true;
    pthread_mutex_unlock(&l->lock);
    refuse_mail(l);
    wait_until_quiet(l);
    MHD_stop_daemon(l->daemon);
    if (fd >= 0)
        close(fd);
    listener_free(l);
}

struct desk *http_desk(struct http_listener *l)
{
    return l->desk;
}

struct rates *http_rates(struct http_listener *l)
{
    return &l->rates;
}

uint16_t http_port(const struct http_listener *l)
{
    return l->port;
}
