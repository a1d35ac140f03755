#include "server.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/resource.h>
#include <unistd.h>

#include "behaviour.h"
#include "delay.h"
#include "slack.h"
#include "stripe.h"
#include "tally.h"

enum {
    CONNECTIONS_MAX = 16384, /* on each listener */
    CONNECTION_BYTES = 16 * 1024,
    IDLE_SECONDS = 120,
    BACKLOG = 4096,
    THREADS = 2, /* on each listener */
    SPARE_FDS = 64,
};

struct server {
    struct server_config config;
    struct tally *tally;
    struct delay_clock *clock;
    struct MHD_Daemon *https, *http;
};

/* From the request line to the last byte of the answer. */
struct request {
    struct server *server;
    struct delay delay;
    struct ask ask;
    bool counted;
    enum { RECEIVING, WAITING, ANSWERING } stage;
};

static const struct provider *const providers[] = {&stripe_provider, &slack_provider};

enum { PROVIDER_COUNT = sizeof providers / sizeof providers[0] };

/* ---- which provider, which key ---- */

static bool host_is(const char *header, const char *host)
{
    size_t length = strcspn(header, ":");
    return length == strlen(host) && strncasecmp(header, host, length) == 0;
}

/* By host; under any other name (localhost, --host) by path, so that a base URL of one's own works too. */
static const struct provider *provider_find(const char *host, const char *path)
{
    for (size_t i = 0; host && i < PROVIDER_COUNT; i++) {
        if (host_is(host, providers[i]->host))
            return providers[i];
    }
    for (size_t i = 0; i < PROVIDER_COUNT; i++) {
        if (strcmp(path, providers[i]->path) == 0)
            return providers[i];
    }
    return NULL;
}

static bool provider_serves(const struct provider *p, const char *method, const char *path)
{
    bool known = false;
    for (size_t i = 0; i < sizeof p->methods / sizeof p->methods[0]; i++)
        known |= p->methods[i] && strcmp(p->methods[i], method) == 0;
    return known && strcmp(path, p->path) == 0;
}

/* The bearer token, or the user name of basic authentication, or "". */
static void read_key(struct MHD_Connection *connection, char out[KEY_MAX_BYTES])
{
    static const char bearer[] = "Bearer ";
    const char *header =
        MHD_lookup_connection_value(connection, MHD_HEADER_KIND, MHD_HTTP_HEADER_AUTHORIZATION);
    if (header && strncasecmp(header, bearer, sizeof bearer - 1) == 0) {
        snprintf(out, KEY_MAX_BYTES, "%s", header + sizeof bearer - 1);
        return;
    }
    char *password = NULL, *user = MHD_basic_auth_get_username_password(connection, &password);
    snprintf(out, KEY_MAX_BYTES, "%s", user ? user : "");
    MHD_free(user);
    MHD_free(password);
}

static int socket_of(struct MHD_Connection *connection)
{
    const union MHD_ConnectionInfo *info =
        MHD_get_connection_info(connection, MHD_CONNECTION_INFO_CONNECTION_FD);
    return info ? info->connect_fd : -1;
}

/* ---- control ---- */

static struct reply control_requests(struct server *s)
{
    return reply_json(MHD_HTTP_OK, tally_report(s->tally));
}

static struct reply control_reset(struct server *s)
{
    tally_reset(s->tally);
    return reply_json(MHD_HTTP_OK, json_object());
}

static const struct control {
    const char *method, *path;
    struct reply (*run)(struct server *s);
} controls[] = {
    {"GET", "/__sandbox/requests", control_requests},
    {"POST", "/__sandbox/reset", control_reset},
};

static const struct control *control_find(const char *method, const char *path)
{
    for (size_t i = 0; i < sizeof controls / sizeof controls[0]; i++) {
        if (strcmp(controls[i].path, path) == 0 && strcmp(controls[i].method, method) == 0)
            return &controls[i];
    }
    return NULL;
}

/* ---- one request ---- */

static void request_decide(struct request *r, struct MHD_Connection *connection, const char *method,
                           const char *path)
{
    struct ask *ask = &r->ask;
    const char *host = MHD_lookup_connection_value(connection, MHD_HEADER_KIND, MHD_HTTP_HEADER_HOST);
    read_key(connection, ask->key);
    ask->provider = provider_find(host, path);
    ask->fd = socket_of(connection);
    ask->followed = MHD_lookup_connection_value(connection, MHD_GET_ARGUMENT_KIND, FOLLOWED_ARG) != NULL;
    bool counts = ask->provider && behaviour_counts(behaviour_word(ask->provider, ask->key));
    ask->nth = tally_enter(r->server->tally, ask->key, counts);
    r->counted = true;
    if (!ask->provider)
        return;
    behaviour_decide(ask);
    if (!provider_serves(ask->provider, method, path)) {
        ask->answer = ANSWER_NO_ROUTE;
        ask->wire = NULL;
        ask->delay_ms = 0;
    }
}

static bool request_waits(struct request *r, struct MHD_Connection *connection)
{
    uint64_t ms = r->ask.delay_ms, more = r->server->config.latency_ms;
    ms = ms < FOREVER_MS - more ? ms + more : FOREVER_MS;
    return ms && delay_suspend(r->server->clock, &r->delay, connection, r->ask.fd, ms);
}

static enum MHD_Result request_answer(const struct request *r, struct MHD_Connection *connection)
{
    /* Gone, or the wait could not begin: whoever never answers must not answer early. */
    if (r->delay.gone || r->ask.delay_ms == FOREVER_MS)
        return MHD_NO;
    if (!r->ask.provider)
        return reply_send(reply_json(MHD_HTTP_NOT_FOUND, json_pack("{s:s}", "error", "no such host or path")),
                          connection);
    return reply_send(behaviour_answer(&r->ask), connection);
}

static enum MHD_Result request_received(struct request *r, struct MHD_Connection *connection,
                                        const char *method, const char *path)
{
    const struct control *control = control_find(method, path);
    if (control)
        return reply_send(control->run(r->server), connection);
    request_decide(r, connection, method, path);
    r->stage = WAITING;
    if (request_waits(r, connection))
        return MHD_YES;
    r->stage = ANSWERING;
    return request_answer(r, connection);
}

static enum MHD_Result on_request(void *cls, struct MHD_Connection *connection, const char *path,
                                  const char *method, const char *version, const char *body,
                                  size_t *body_bytes, void **state)
{
    (void)version;
    (void)body;
    struct request *r = *state;
    if (!r) {
        *state = r = calloc(1, sizeof *r);
        if (r)
            r->server = cls;
        return r ? MHD_YES : MHD_NO;
    }
    if (*body_bytes) { /* read to its end, and not looked at */
        *body_bytes = 0;
        return MHD_YES;
    }
    if (r->stage == RECEIVING)
        return request_received(r, connection, method, path);
    r->stage = ANSWERING;
    return request_answer(r, connection);
}

static void on_completed(void *cls, struct MHD_Connection *connection, void **state,
                         enum MHD_RequestTerminationCode why)
{
    (void)cls;
    (void)connection;
    (void)why;
    struct request *r = *state;
    if (r && r->counted)
        tally_leave(r->server->tally);
    free(r);
    *state = NULL;
}

/* ---- the listeners ---- */

/* Both listeners together may use all files but a few. */
static unsigned connection_limit(void)
{
    struct rlimit files;
    if (getrlimit(RLIMIT_NOFILE, &files) != 0)
        return 256;
    files.rlim_cur = files.rlim_max;
    (void)setrlimit(RLIMIT_NOFILE, &files);
    rlim_t each = files.rlim_cur > 2 * SPARE_FDS ? (files.rlim_cur - SPARE_FDS) / 2 : SPARE_FDS;
    return each < CONNECTIONS_MAX ? (unsigned)each : CONNECTIONS_MAX;
}

static struct MHD_Daemon *listen_on(struct server *s, uint16_t port, const struct cert *cert)
{
    unsigned flags = MHD_USE_EPOLL_INTERNAL_THREAD | MHD_ALLOW_SUSPEND_RESUME | (cert ? MHD_USE_TLS : 0u);
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_port = htons(port), .sin_addr = s->config.address};
    struct MHD_OptionItem tls[] = {
        {MHD_OPTION_HTTPS_MEM_KEY, 0, cert ? cert->leaf_key_pem : NULL},
        {MHD_OPTION_HTTPS_MEM_CERT, 0, cert ? cert->leaf_pem : NULL},
        {MHD_OPTION_END, 0, NULL},
    };
    return MHD_start_daemon(flags, port, NULL, NULL, on_request, s, MHD_OPTION_SOCK_ADDR, &at,
                            MHD_OPTION_THREAD_POOL_SIZE, (unsigned)THREADS, MHD_OPTION_CONNECTION_LIMIT,
                            connection_limit(), MHD_OPTION_CONNECTION_MEMORY_LIMIT, (size_t)CONNECTION_BYTES,
                            MHD_OPTION_CONNECTION_TIMEOUT, (unsigned)IDLE_SECONDS,
                            MHD_OPTION_LISTEN_BACKLOG_SIZE, (unsigned)BACKLOG,
                            MHD_OPTION_SIGPIPE_HANDLED_BY_APP, 1, MHD_OPTION_NOTIFY_COMPLETED, on_completed,
                            NULL, MHD_OPTION_ARRAY, cert ? tls : tls + 2, MHD_OPTION_END);
}

static void daemon_stop(struct MHD_Daemon *d)
{
    if (!d)
        return;
    int listener = MHD_quiesce_daemon(d);
    MHD_stop_daemon(d);
    if (listener >= 0)
        close(listener);
}

static uint16_t daemon_port(struct MHD_Daemon *d)
{
    const union MHD_DaemonInfo *info = MHD_get_daemon_info(d, MHD_DAEMON_INFO_BIND_PORT);
    return info ? info->port : 0;
}

/* The first step that fails ends it, and *error says which. */
static bool start(struct server *s, const struct cert *cert, const char **error)
{
    *error = "out of memory";
    if (!(s->tally = tally_open()))
        return false;
    *error = "cannot start a thread";
    if (!(s->clock = delay_open()))
        return false;
    *error = "cannot listen for HTTPS; is the port taken?";
    if (!(s->https = listen_on(s, s->config.https_port, cert)))
        return false;
    *error = "cannot listen for HTTP; is the port taken?";
    return (s->http = listen_on(s, s->config.http_port, NULL)) != NULL;
}

struct server *server_open(const struct server_config *config, const struct cert *cert, const char **error)
{
    struct server *s = calloc(1, sizeof *s);
    *error = "out of memory";
    if (!s)
        return NULL;
    s->config = *config;
    if (!start(s, cert, error)) {
        server_close(s);
        return NULL;
    }
    return s;
}

/* The clock first: libmicrohttpd aborts if it is stopped with a connection still suspended. */
void server_close(struct server *s)
{
    if (!s)
        return;
    if (s->clock)
        delay_stop(s->clock);
    daemon_stop(s->https);
    daemon_stop(s->http);
    delay_close(s->clock);
    tally_close(s->tally);
    free(s);
}

uint16_t server_https_port(const struct server *s)
{
    return daemon_port(s->https);
}

uint16_t server_http_port(const struct server *s)
{
    return daemon_port(s->http);
}
