#include "worker/transfer.h"

#include "common/buf.h"
#include "common/clock.h"
#include "common/limits.h"
#include "worker/cause.h"
#include "worker/egress.h"
#include "worker/target.h"
#include "worker/trust.h"

#include <assert.h>
#include <curl/curl.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <unistd.h>
#include <utlist.h>

#define NEVER UINT64_MAX

enum stage { WAITING, RUNNING, OVER, TOLD };

struct header {
    struct secret line; /* "Name: value" */
    bool credential;
};

struct transfer_call {
    struct transfer *transfer;
    transfer_done *done;
    void *arg;
    enum stage stage;
    struct target target; /* of this hop */
    char method[8];
    struct header *headers;
    size_t header_count;
    char *hosts[LIMIT_TRANSFER_HOSTS];
    size_t host_count;
    struct secret body;
    uint64_t started_ms, until_ms;
    unsigned redirects;
    int status;
    bool bare;           /* a redirect led to a host that may not see the credentials: they stay away */
    bool finding;        /* no connection yet: a name lookup may hold a thread */
    const char *refused; /* the kind of address that the guard did not let through */
    bool plain_refused;  /* the address may be connected to, but not without TLS */
    CURL *easy;
    struct curl_slist *lines;
    struct buf head, answer;
    enum result_code failure;
    char why[LIMIT_RESULT_MESSAGE];
    char curl_error[CURL_ERROR_SIZE];
    struct transfer_call *prev, *next;
};

struct transfer {
    CURLM *multi;
    struct egress *egress;
    struct trust *trust;
    struct curl_slist *connect_to;
    char *user_agent;
    uint32_t timeout_ms;
    size_t max_in_flight, in_flight, finding, waiting_count, over_count;
    int epoll_fd, timer_fd;
    uint64_t curl_due_ms, waiting_due_ms; /* NEVER: nothing is due */
    struct transfer_call *waiting, *running, *over;
    CURL *pool[LIMIT_TRANSFER_POOL];
    size_t pooled;
};

/* -- time -- */

static void arm(struct transfer *t)
{
    uint64_t due_ms = t->curl_due_ms < t->waiting_due_ms ? t->curl_due_ms : t->waiting_due_ms;
    uint64_t now_ms = clock_mono_ms();
    struct itimerspec at = {0};
    if (t->over)
        due_ms = now_ms;
    if (due_ms != NEVER) {
        uint64_t left_ms = due_ms > now_ms ? due_ms - now_ms : 0;
        at.it_value.tv_sec = (time_t)(left_ms / 1000);
        at.it_value.tv_nsec = left_ms ? (long)(left_ms % 1000) * 1000000 : 1;
    }
    timerfd_settime(t->timer_fd, 0, &at, NULL);
}

static int on_timer(CURLM *multi, long timeout_ms, void *arg)
{
    struct transfer *t = arg;
    (void)multi;
    t->curl_due_ms = timeout_ms < 0 ? NEVER : clock_mono_ms() + (uint64_t)timeout_ms;
    arm(t);
    return 0;
}

/* -- sockets -- */

static int on_socket(CURL *easy, curl_socket_t fd, int what, void *arg, void *known)
{
    struct transfer *t = arg;
    struct epoll_event ev = {.data.fd = fd};
    (void)easy;
    if (what == CURL_POLL_REMOVE) {
        epoll_ctl(t->epoll_fd, EPOLL_CTL_DEL, fd, NULL);
        return 0;
    }
    ev.events =
        (what & CURL_POLL_IN ? (uint32_t)EPOLLIN : 0) | (what & CURL_POLL_OUT ? (uint32_t)EPOLLOUT : 0);
    if (epoll_ctl(t->epoll_fd, known ? EPOLL_CTL_MOD : EPOLL_CTL_ADD, fd, &ev) != 0)
        return -1;
    if (!known)
        curl_multi_assign(t->multi, fd, t);
    return 0;
}

static void found(struct transfer_call *c)
{
    if (c->finding)
        c->transfer->finding--;
    c->finding = false;
}

/* The egress guard: the address that is about to be connected to. */
static curl_socket_t on_open_socket(void *arg, curlsocktype purpose, struct curl_sockaddr *address)
{
    struct transfer_call *c = arg;
    (void)purpose;
    found(c);
    struct egress_verdict v = egress_check(c->transfer->egress, &address->addr, address->addrlen);
    if (!v.allowed) {
        c->refused = v.kind;
        return CURL_SOCKET_BAD;
    }
    if (!c->target.https && !v.listed) {
        c->plain_refused = true;
        return CURL_SOCKET_BAD;
    }
    return socket(address->family, address->socktype | SOCK_CLOEXEC, address->protocol);
}

/* A connection is there, perhaps one that was kept. */
static int on_connected(void *arg, char *ip, char *local_ip, int port, int local_port)
{
    (void)ip, (void)local_ip, (void)port, (void)local_port;
    found(arg);
    return CURL_PREREQFUNC_OK;
}

/* -- what comes back -- */

static size_t on_header(char *bytes, size_t size, size_t count, void *arg)
{
    struct transfer_call *c = arg;
    size_t len = size * count;
    if (len >= 5 && memcmp(bytes, "HTTP/", 5) == 0)
        buf_reset(&c->head); /* after a 1xx answer another one follows */
    else
        buf_append(&c->head, bytes, len);
    return c->head.failed ? 0 : len;
}

static size_t on_body(char *bytes, size_t size, size_t count, void *arg)
{
    struct transfer_call *c = arg;
    buf_append(&c->answer, bytes, size * count);
    return c->answer.failed ? 0 : size * count;
}

/* -- calls -- */

static void call_free(struct transfer_call *c)
{
    for (size_t i = 0; i < c->header_count; i++)
        secret_fini(&c->headers[i].line);
    for (size_t i = 0; i < c->host_count; i++)
        free(c->hosts[i]);
    free(c->headers);
    secret_fini(&c->body);
    target_fini(&c->target);
    buf_fini(&c->head);
    buf_fini(&c->answer);
    free(c);
}

static pb_err header_line(const struct transfer_header *from, struct header *to)
{
    struct buf line;
    buf_init(&line, LIMIT_REQUEST_BYTES + 256);
    line.secret = true;
    buf_text(&line, from->name);
    if (from->value.len) {
        buf_text(&line, ": ");
        buf_append(&line, from->value.data, from->value.len);
    } else {
        buf_text(&line, ";"); /* how curl is told of an empty one */
    }
    pb_err err = line.failed ? PB_E_LIMIT : secret_set(&to->line, line.data, line.len);
    to->credential = from->credential;
    buf_fini(&line);
    return err;
}

static pb_err copy_headers(struct transfer_call *c, const struct transfer_request *r)
{
    pb_err err = r->header_count > LIMIT_REQUEST_HEADERS ? PB_E_LIMIT : PB_OK;
    c->headers = calloc(r->header_count + 1, sizeof *c->headers);
    if (!c->headers)
        return PB_E_MEMORY;
    for (; c->header_count < r->header_count && !err; c->header_count++)
        err = header_line(&r->headers[c->header_count], &c->headers[c->header_count]);
    return err;
}

static pb_err copy_hosts(struct transfer_call *c, const struct transfer_request *r)
{
    if (r->allowed_host_count > LIMIT_TRANSFER_HOSTS)
        return PB_E_LIMIT;
    for (; c->host_count < r->allowed_host_count; c->host_count++)
        if (!(c->hosts[c->host_count] = strdup(r->allowed_hosts[c->host_count])))
            return PB_E_MEMORY;
    return PB_OK;
}

static pb_err copy_request(struct transfer_call *c, const struct transfer_request *r)
{
    snprintf(c->method, sizeof c->method, "%s", r->method);
    pb_err err = copy_headers(c, r);
    if (!err)
        err = copy_hosts(c, r);
    if (!err && r->body)
        err = secret_set(&c->body, r->body, r->body_len);
    return err;
}

__attribute__((format(printf, 3, 4))) static void fail(struct transfer_call *c, enum result_code code,
                                                       const char *format, ...)
{
    va_list args;
    va_start(args, format);
    vsnprintf(c->why, sizeof c->why, format, args);
    va_end(args);
    c->failure = code;
}

static bool may_see_credentials(const struct transfer_call *c, const struct target *target)
{
    for (size_t i = 0; i < c->host_count; i++)
        if (target_matches(target, c->hosts[i]))
            return true;
    return false;
}

static bool has_credentials(const struct transfer_call *c, const struct transfer_request *r)
{
    bool has = r->url_has_credential || r->body_has_credential;
    for (size_t i = 0; i < c->header_count; i++)
        has |= c->headers[i].credential;
    return has;
}

static void check_target(struct transfer_call *c, const struct transfer_request *r)
{
    struct pb_why why = {0};
    pb_err err = target_parse(r->url.data, &c->target, &why);
    if (err)
        fail(c, err == PB_E_DENIED ? RESULT_BLOCKED_BY_POLICY : RESULT_MISCONFIGURED, "%s", why.text);
    else if (has_credentials(c, r) && !may_see_credentials(c, &c->target))
        fail(c, RESULT_BLOCKED_BY_POLICY, "%s is not among the package's allowed hosts", c->target.host);
}

/* -- one hop: a request and its answer -- */

static CURL *take_easy(struct transfer *t)
{
    return t->pooled ? t->pool[--t->pooled] : curl_easy_init();
}

static void give_easy(struct transfer *t, CURL *easy)
{
    curl_easy_reset(easy);
    if (t->pooled < LIMIT_TRANSFER_POOL)
        t->pool[t->pooled++] = easy;
    else
        curl_easy_cleanup(easy);
}

static bool add_line(struct transfer_call *c, const char *line)
{
    struct curl_slist *lines = curl_slist_append(c->lines, line);
    c->lines = lines ? lines : c->lines;
    return lines;
}

static bool has_header(const struct transfer_call *c, const char *name)
{
    size_t len = strlen(name);
    for (size_t i = 0; i < c->header_count; i++)
        if (strncasecmp(c->headers[i].line.data, name, len) == 0 &&
            strchr(":;", c->headers[i].line.data[len]))
            return true;
    return false;
}

static bool make_lines(struct transfer_call *c)
{
    bool ok = add_line(c, "Expect:"); /* no 100-continue: bodies are small */
    if (!has_header(c, "Content-Type"))
        ok = ok && add_line(c, "Content-Type:");
    for (size_t i = 0; i < c->header_count && ok; i++)
        if (!c->bare || !c->headers[i].credential)
            ok = add_line(c, c->headers[i].line.data);
    return ok;
}

static void wipe_lines(struct transfer_call *c)
{
    for (struct curl_slist *l = c->lines; l; l = l->next)
        explicit_bzero(l->data, strlen(l->data));
    curl_slist_free_all(c->lines);
    c->lines = NULL;
}

static bool has_body(const struct transfer_call *c)
{
    return c->body.data || strcmp(c->method, "POST") == 0 || strcmp(c->method, "PUT") == 0 ||
           strcmp(c->method, "PATCH") == 0;
}

static void set_method(const struct transfer_call *c)
{
    if (has_body(c)) {
        curl_easy_setopt(c->easy, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)c->body.len);
        curl_easy_setopt(c->easy, CURLOPT_POSTFIELDS, c->body.data ? c->body.data : "");
    }
    if (strcmp(c->method, "HEAD") == 0)
        curl_easy_setopt(c->easy, CURLOPT_NOBODY, 1L);
    else
        curl_easy_setopt(c->easy, CURLOPT_CUSTOMREQUEST, c->method);
}

static void set_callbacks(struct transfer_call *c)
{
    curl_easy_setopt(c->easy, CURLOPT_PRIVATE, c);
    curl_easy_setopt(c->easy, CURLOPT_OPENSOCKETFUNCTION, on_open_socket);
    curl_easy_setopt(c->easy, CURLOPT_OPENSOCKETDATA, c);
    curl_easy_setopt(c->easy, CURLOPT_PREREQFUNCTION, on_connected);
    curl_easy_setopt(c->easy, CURLOPT_PREREQDATA, c);
    curl_easy_setopt(c->easy, CURLOPT_HEADERFUNCTION, on_header);
    curl_easy_setopt(c->easy, CURLOPT_HEADERDATA, c);
    curl_easy_setopt(c->easy, CURLOPT_WRITEFUNCTION, on_body);
    curl_easy_setopt(c->easy, CURLOPT_WRITEDATA, c);
    curl_easy_setopt(c->easy, CURLOPT_ERRORBUFFER, c->curl_error);
}

/* Nothing of this comes from the environment: a proxy named there would hide the address from the guard. */
static void set_policy(const struct transfer_call *c)
{
    const struct transfer *t = c->transfer;
    curl_easy_setopt(c->easy, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(c->easy, CURLOPT_PROXY, "");
    curl_easy_setopt(c->easy, CURLOPT_PROTOCOLS_STR, "http,https");
    curl_easy_setopt(c->easy, CURLOPT_FOLLOWLOCATION, 0L);
    curl_easy_setopt(c->easy, CURLOPT_DISALLOW_USERNAME_IN_URL, 1L);
    curl_easy_setopt(c->easy, CURLOPT_ACCEPT_ENCODING, "");
    curl_easy_setopt(c->easy, CURLOPT_USERAGENT, t->user_agent);
    curl_easy_setopt(c->easy, CURLOPT_CONNECT_TO, t->connect_to);
    curl_easy_setopt(c->easy, CURLOPT_CAPATH,
                     NULL); /* with a folder curl would not keep what it has parsed */
    if (trust_path(t->trust))
        curl_easy_setopt(c->easy, CURLOPT_CAINFO, trust_path(t->trust));
}

static void set_times(const struct transfer_call *c, uint64_t left_ms)
{
    uint64_t connect_ms = left_ms < LIMIT_TRANSFER_CONNECT_MS ? left_ms : LIMIT_TRANSFER_CONNECT_MS;
    curl_easy_setopt(c->easy, CURLOPT_TIMEOUT_MS, (long)left_ms);
    curl_easy_setopt(c->easy, CURLOPT_CONNECTTIMEOUT_MS, (long)connect_ms);
}

static void timed_out(struct transfer_call *c)
{
    fail(c, RESULT_TIMEOUT, "%s did not answer within %llu ms", c->target.host,
         (unsigned long long)(c->until_ms - c->started_ms));
}

/* Leaves a reason in c if the hop cannot begin. */
static void begin_hop(struct transfer_call *c)
{
    uint64_t now_ms = clock_mono_ms();
    buf_reset(&c->head);
    buf_reset(&c->answer);
    c->refused = NULL;
    c->plain_refused = false;
    c->curl_error[0] = 0;
    if (now_ms >= c->until_ms) {
        timed_out(c);
        return;
    }
    bool ok = (c->easy || (c->easy = take_easy(c->transfer))) && make_lines(c);
    if (ok) {
        curl_easy_setopt(c->easy, CURLOPT_URL, c->target.url.data);
        curl_easy_setopt(c->easy, CURLOPT_HTTPHEADER, c->lines);
        set_callbacks(c);
        set_policy(c);
        set_method(c);
        set_times(c, c->until_ms - now_ms);
        c->finding = true;
        c->transfer->finding++;
        ok = curl_multi_add_handle(c->transfer->multi, c->easy) == CURLM_OK;
    }
    if (!ok)
        fail(c, RESULT_INTERNAL, "no memory for a request");
}

static void end_hop(struct transfer_call *c)
{
    found(c);
    if (c->easy) {
        curl_multi_remove_handle(c->transfer->multi, c->easy);
        give_easy(c->transfer, c->easy);
        c->easy = NULL;
    }
    wipe_lines(c);
}

/* -- why there is no answer -- */

static void explain(struct transfer_call *c, CURLcode code)
{
    if (c->refused && code == CURLE_COULDNT_CONNECT)
        fail(c, RESULT_BLOCKED_BY_POLICY,
             "%s is %s, which requests may not go to; --allow-egress can allow it", c->target.host,
             c->refused);
    else if (c->plain_refused && code == CURLE_COULDNT_CONNECT)
        fail(c, RESULT_BLOCKED_BY_POLICY, "%s is asked over plain http; only https is allowed",
             c->target.host);
    else if (c->answer.failed)
        fail(c, RESULT_UNEXPECTED_RESPONSE, "%s sent an answer of more than %d bytes", c->target.host,
             LIMIT_TRANSFER_BODY_BYTES);
    else if (c->head.failed)
        fail(c, RESULT_UNEXPECTED_RESPONSE, "%s sent more than %d bytes of headers", c->target.host,
             LIMIT_TRANSFER_HEADERS);
    else if (code == CURLE_OPERATION_TIMEDOUT)
        timed_out(c);
    else
        c->failure = cause_of(code, c->target.host, c->curl_error, c->why, sizeof c->why);
}

/* -- redirects -- */

static bool is_redirect(long status)
{
    return status == 301 || status == 302 || status == 303 || status == 307 || status == 308;
}

/* What a client does with the method: RFC 9110, sections 15.4.2 to 15.4.9. */
static void change_method(struct transfer_call *c, long status)
{
    bool get = status == 303 ? strcmp(c->method, "HEAD") != 0
                             : (status == 301 || status == 302) && strcmp(c->method, "POST") == 0;
    if (!get)
        return;
    snprintf(c->method, sizeof c->method, "GET");
    secret_fini(&c->body);
}

static void redirect(struct transfer_call *c, long status, const char *location)
{
    struct target to = {0};
    struct pb_why why = {0};
    if (++c->redirects > LIMIT_TRANSFER_REDIRECTS) {
        fail(c, RESULT_UNEXPECTED_RESPONSE, "%s redirects more than %d times", c->target.host,
             LIMIT_TRANSFER_REDIRECTS);
        return;
    }
    pb_err err = target_redirect(&c->target, location, &to, &why);
    if (err) {
        fail(c, err == PB_E_DENIED ? RESULT_BLOCKED_BY_POLICY : RESULT_UNEXPECTED_RESPONSE, "%s", why.text);
        return;
    }
    change_method(c, status);
    c->bare = c->bare || !may_see_credentials(c, &to);
    target_fini(&c->target);
    c->target = to;
    if (c->bare && c->body.len)
        fail(c, RESULT_BLOCKED_BY_POLICY,
             "the provider redirects a request with a body to %s, which is not "
             "among the package's allowed hosts",
             to.host);
}

/* The address that an answer redirects to; NULL: none. Copied, because the next hop resets the handle. */
static char *location_of(struct transfer_call *c, long *status)
{
    struct curl_header *h;
    curl_easy_getinfo(c->easy, CURLINFO_RESPONSE_CODE, status);
    if (!is_redirect(*status) || curl_easy_header(c->easy, "Location", 0, CURLH_HEADER, -1, &h) != CURLHE_OK)
        return NULL;
    return strdup(h->value);
}

/* -- a call's life -- */

static void move_over(struct transfer *t, struct transfer_call *c)
{
    if (c->stage == RUNNING) {
        DL_DELETE(t->running, c);
        t->in_flight--;
    }
    c->stage = OVER;
    DL_APPEND(t->over, c);
    t->over_count++;
}

static void hop_ended(struct transfer *t, struct transfer_call *c, CURLcode code)
{
    long status = 0;
    char *location = code == CURLE_OK ? location_of(c, &status) : NULL;
    if (code != CURLE_OK)
        explain(c, code);
    end_hop(c);
    c->status = (int)status;
    if (location) {
        redirect(c, status, location);
        free(location);
        if (!c->failure)
            begin_hop(c);
        if (!c->failure)
            return;
        end_hop(c);
    }
    move_over(t, c);
}

static void start_running(struct transfer *t, struct transfer_call *c)
{
    c->stage = RUNNING;
    DL_APPEND(t->running, c);
    t->in_flight++;
    begin_hop(c);
    if (c->failure) {
        end_hop(c);
        move_over(t, c);
    }
}

static void start_waiting(struct transfer *t)
{
    while (t->waiting && t->in_flight < t->max_in_flight && t->finding < LIMIT_TRANSFER_LOOKUPS) {
        struct transfer_call *c = t->waiting;
        DL_DELETE(t->waiting, c);
        t->waiting_count--;
        start_running(t, c);
    }
}

/* Those whose time was over before they began. */
static void end_waiting(struct transfer *t)
{
    uint64_t now_ms = clock_mono_ms();
    struct transfer_call *c, *next;
    if (now_ms < t->waiting_due_ms)
        return;
    t->waiting_due_ms = NEVER;
    DL_FOREACH_SAFE(t->waiting, c, next)
    {
        if (c->until_ms <= now_ms) {
            DL_DELETE(t->waiting, c);
            t->waiting_count--;
            fail(c, RESULT_TIMEOUT, "the worker was too busy to ask %s in time", c->target.host);
            move_over(t, c);
        } else if (c->until_ms < t->waiting_due_ms) {
            t->waiting_due_ms = c->until_ms;
        }
    }
}

static void tell(struct transfer_call *c)
{
    struct transfer_answer a = {
        .failure = c->failure,
        .why = c->failure ? c->why : NULL,
        .status = c->failure ? 0 : c->status,
        .headers = buf_peek(&c->head),
        .headers_len = c->failure ? 0 : c->head.len,
        .body = buf_peek(&c->answer),
        .body_len = c->failure ? 0 : c->answer.len,
        .duration_ms = (uint32_t)(clock_mono_ms() - c->started_ms),
    };
    c->done(c->arg, &a);
    call_free(c);
}

/* What done() starts anew and fails at once is told in the next turn, so that this one ends. */
static void tell_all(struct transfer *t)
{
    for (size_t n = t->over_count; n > 0 && t->over; n--) {
        struct transfer_call *c = t->over;
        DL_DELETE(t->over, c);
        t->over_count--;
        c->stage = TOLD;
        tell(c);
    }
}

/* -- the turn -- */

static void take_finished(struct transfer *t)
{
    CURLMsg *m;
    int left;
    while ((m = curl_multi_info_read(t->multi, &left))) {
        struct transfer_call *c = NULL;
        CURLcode code = m->data.result;
        if (m->msg != CURLMSG_DONE)
            continue;
        curl_easy_getinfo(m->easy_handle, CURLINFO_PRIVATE, &c);
        hop_ended(t, c, code);
    }
}

static void take_time(struct transfer *t)
{
    int running;
    uint64_t count;
    ssize_t n = read(t->timer_fd, &count, sizeof count);
    (void)n; /* what is due is known without it */
    if (clock_mono_ms() < t->curl_due_ms)
        return;
    t->curl_due_ms = NEVER;
    curl_multi_socket_action(t->multi, CURL_SOCKET_TIMEOUT, 0, &running);
}

static int action_of(uint32_t events)
{
    return (events & (EPOLLIN | EPOLLHUP) ? CURL_CSELECT_IN : 0) |
           (events & EPOLLOUT ? CURL_CSELECT_OUT : 0) | (events & EPOLLERR ? CURL_CSELECT_ERR : 0);
}

static void take_sockets(struct transfer *t)
{
    struct epoll_event ready[128];
    int running, n = epoll_wait(t->epoll_fd, ready, 128, 0);
    for (int i = 0; i < n; i++)
        if (ready[i].data.fd != t->timer_fd)
            curl_multi_socket_action(t->multi, ready[i].data.fd, action_of(ready[i].events), &running);
}

void transfer_turn(struct transfer *t)
{
    take_sockets(t);
    take_time(t);
    take_finished(t);
    end_waiting(t);
    start_waiting(t);
    tell_all(t);
    arm(t);
}

/* -- for callers -- */

pb_err transfer_start(struct transfer *t, const struct transfer_request *request, transfer_done *done,
                      void *arg, struct transfer_call **out)
{
    if (t->waiting_count >= LIMIT_TRANSFER_WAITING)
        return PB_E_BUSY;
    struct transfer_call *c = calloc(1, sizeof *c);
    if (!c)
        return PB_E_MEMORY;
    uint32_t timeout_ms = request->timeout_ms ? request->timeout_ms : t->timeout_ms;
    uint64_t now_ms = clock_mono_ms();
    *c = (struct transfer_call){.transfer = t, .done = done, .arg = arg, .started_ms = now_ms};
    c->until_ms = now_ms + (timeout_ms < LIMIT_TRANSFER_TIMEOUT_MS ? timeout_ms : LIMIT_TRANSFER_TIMEOUT_MS);
    buf_init(&c->head, LIMIT_TRANSFER_HEADERS);
    buf_init(&c->answer, LIMIT_TRANSFER_BODY_BYTES);
    c->head.secret = c->answer.secret = true; /* providers echo keys */
    pb_err err = copy_request(c, request);
    if (err) {
        call_free(c);
        return err;
    }
    check_target(c, request);
    if (c->failure) {
        move_over(t, c);
    } else {
        DL_APPEND(t->waiting, c);
        t->waiting_count++;
        t->waiting_due_ms = c->until_ms < t->waiting_due_ms ? c->until_ms : t->waiting_due_ms;
        start_waiting(t);
    }
    arm(t);
    *out = c;
    return PB_OK;
}

void transfer_cancel(struct transfer_call *c)
{
    struct transfer *t = c->transfer;
    assert(c->stage != TOLD);
    if (c->stage == WAITING) {
        DL_DELETE(t->waiting, c);
        t->waiting_count--;
    } else if (c->stage == RUNNING) {
        end_hop(c);
        DL_DELETE(t->running, c);
        t->in_flight--;
    } else {
        DL_DELETE(t->over, c);
        t->over_count--;
    }
    call_free(c);
}

size_t transfer_in_flight(const struct transfer *t)
{
    return t->in_flight;
}

int transfer_fd(const struct transfer *t)
{
    return t->epoll_fd;
}

/* -- open and close -- */

static pb_err open_settings(struct transfer *t, const struct transfer_settings *s, struct pb_why *why)
{
    pb_err err = egress_open(s->allow, s->allow_count, &t->egress, why);
    if (!err)
        err = trust_open(s->ca_file, &t->trust, why);
    for (size_t i = 0; i < s->connect_to_count && !err; i++) {
        struct curl_slist *list = curl_slist_append(t->connect_to, s->connect_to[i]);
        t->connect_to = list ? list : t->connect_to;
        err = list ? PB_OK : PB_E_MEMORY;
    }
    if (!err && !(t->user_agent = strdup(s->user_agent)))
        err = PB_E_MEMORY;
    t->timeout_ms = s->timeout_ms;
    t->max_in_flight = s->max_in_flight;
    return err;
}

static pb_err open_descriptors(struct transfer *t, struct pb_why *why)
{
    t->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    t->timer_fd = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC);
    struct epoll_event ev = {.events = EPOLLIN, .data.fd = t->timer_fd};
    if (t->epoll_fd < 0 || t->timer_fd < 0 || epoll_ctl(t->epoll_fd, EPOLL_CTL_ADD, t->timer_fd, &ev) != 0)
        return pb_fail(why, PB_E_IO, "requests", "cannot watch descriptors: %s", strerror(errno));
    return PB_OK;
}

static pb_err open_multi(struct transfer *t)
{
    t->multi = curl_multi_init();
    if (!t->multi)
        return PB_E_MEMORY;
    curl_multi_setopt(t->multi, CURLMOPT_SOCKETFUNCTION, on_socket);
    curl_multi_setopt(t->multi, CURLMOPT_SOCKETDATA, t);
    curl_multi_setopt(t->multi, CURLMOPT_TIMERFUNCTION, on_timer);
    curl_multi_setopt(t->multi, CURLMOPT_TIMERDATA, t);
    curl_multi_setopt(t->multi, CURLMOPT_MAXCONNECTS, (long)LIMIT_TRANSFER_MAXCONNECTS);
    return PB_OK;
}

pb_err transfer_open(const struct transfer_settings *settings, const struct log *log, struct transfer **out,
                     struct pb_why *why)
{
    struct transfer *t = calloc(1, sizeof *t);
    (void)log;
    if (!t)
        return PB_E_MEMORY;
    t->epoll_fd = t->timer_fd = -1;
    t->curl_due_ms = t->waiting_due_ms = NEVER;
    pb_err err = open_settings(t, settings, why);
    if (!err)
        err = open_descriptors(t, why);
    if (!err)
        err = open_multi(t);
    if (err)
        transfer_close(t);
    else
        *out = t;
    return err;
}

static void cancel_all(struct transfer_call *const *list)
{
    while (*list)
        transfer_cancel(*list);
}

void transfer_close(struct transfer *t)
{
    if (!t)
        return;
    cancel_all(&t->waiting);
    cancel_all(&t->running);
    cancel_all(&t->over);
    while (t->pooled)
        curl_easy_cleanup(t->pool[--t->pooled]);
    curl_multi_cleanup(t->multi);
    curl_slist_free_all(t->connect_to);
    egress_close(t->egress);
    trust_close(t->trust);
    free(t->user_agent);
    if (t->epoll_fd >= 0)
        close(t->epoll_fd);
    if (t->timer_fd >= 0)
        close(t->timer_fd);
    free(t);
}
