#include "worker/exchange.h"

#include "common/buf.h"
#include "common/clock.h"
#include "worker/cause.h"
#include "worker/egress.h"
#include "worker/target.h"
#include "worker/trust.h"

#include <netinet/in.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>

struct header {
    struct secret line; /* "Name: value" */
    bool credential;
};

struct exchange {
    struct exchange_shared *shared;
    void *owner;
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
};

/* -- connections -- */

static void found(struct exchange *x)
{
    if (x->finding)
        x->shared->finding--;
    x->finding = false;
}

/* The egress guard: the address that is about to be connected to. */
static curl_socket_t on_open_socket(void *arg, curlsocktype purpose, struct curl_sockaddr *address)
{
    struct exchange *x = arg;
    (void)purpose;
    found(x);
    struct egress_verdict v = egress_check(x->shared->egress, &address->addr, address->addrlen);
    if (!v.allowed) {
        x->refused = v.kind;
        return CURL_SOCKET_BAD;
    }
    if (!x->target.https && !v.listed) {
        x->plain_refused = true;
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
    struct exchange *x = arg;
    size_t len = size * count;
    if (len >= 5 && memcmp(bytes, "HTTP/", 5) == 0)
        buf_reset(&x->head); /* after a 1xx answer another one follows */
    else
        buf_append(&x->head, bytes, len);
    return x->head.failed ? 0 : len;
}

static size_t on_body(char *bytes, size_t size, size_t count, void *arg)
{
    struct exchange *x = arg;
    buf_append(&x->answer, bytes, size * count);
    return x->answer.failed ? 0 : size * count;
}

/* -- the request -- */

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

static pb_err copy_headers(struct exchange *x, const struct transfer_request *r)
{
    pb_err err = r->header_count > LIMIT_REQUEST_HEADERS ? PB_E_LIMIT : PB_OK;
    x->headers = calloc(r->header_count + 1, sizeof *x->headers);
    if (!x->headers)
        return PB_E_MEMORY;
    for (; x->header_count < r->header_count && !err; x->header_count++)
        err = header_line(&r->headers[x->header_count], &x->headers[x->header_count]);
    return err;
}

static pb_err copy_hosts(struct exchange *x, const struct transfer_request *r)
{
    if (r->allowed_host_count > LIMIT_TRANSFER_HOSTS)
        return PB_E_LIMIT;
    for (; x->host_count < r->allowed_host_count; x->host_count++)
        if (!(x->hosts[x->host_count] = strdup(r->allowed_hosts[x->host_count])))
            return PB_E_MEMORY;
    return PB_OK;
}

static pb_err copy_request(struct exchange *x, const struct transfer_request *r)
{
    snprintf(x->method, sizeof x->method, "%s", r->method);
    pb_err err = copy_headers(x, r);
    if (!err)
        err = copy_hosts(x, r);
    if (!err && r->body)
        err = secret_set(&x->body, r->body, r->body_len);
    return err;
}

__attribute__((format(printf, 3, 4))) static void fail(struct exchange *x, enum result_code code,
                                                       const char *format, ...)
{
    va_list args;
    va_start(args, format);
    vsnprintf(x->why, sizeof x->why, format, args);
    va_end(args);
    x->failure = code;
}

static bool may_see_credentials(const struct exchange *x, const struct target *target)
{
    for (size_t i = 0; i < x->host_count; i++)
        if (target_matches(target, x->hosts[i]))
            return true;
    return false;
}

static bool has_credentials(const struct exchange *x, const struct transfer_request *r)
{
    bool has = r->url_has_credential || r->body_has_credential;
    for (size_t i = 0; i < x->header_count; i++)
        has |= x->headers[i].credential;
    return has;
}

static void check_target(struct exchange *x, const struct transfer_request *r)
{
    struct pb_why why = {0};
    pb_err err = target_parse(r->url.data, &x->target, &why);
    if (err)
        fail(x, err == PB_E_DENIED ? RESULT_BLOCKED_BY_POLICY : RESULT_MISCONFIGURED, "%s", why.text);
    else if (has_credentials(x, r) && !may_see_credentials(x, &x->target))
        fail(x, RESULT_BLOCKED_BY_POLICY, "%s is not among the package's allowed hosts", x->target.host);
}

/* -- one hop: a request and its answer -- */

static CURL *take_easy(struct exchange_shared *s)
{
    return s->pooled ? s->pool[--s->pooled] : curl_easy_init();
}

static void give_easy(struct exchange_shared *s, CURL *easy)
{
    curl_easy_reset(easy);
    if (s->pooled < LIMIT_TRANSFER_POOL)
        s->pool[s->pooled++] = easy;
    else
        curl_easy_cleanup(easy);
}

static bool add_line(struct exchange *x, const char *line)
{
    struct curl_slist *lines = curl_slist_append(x->lines, line);
    x->lines = lines ? lines : x->lines;
    return lines;
}

static bool has_header(const struct exchange *x, const char *name)
{
    size_t len = strlen(name);
    for (size_t i = 0; i < x->header_count; i++)
        if (strncasecmp(x->headers[i].line.data, name, len) == 0 &&
            strchr(":;", x->headers[i].line.data[len]))
            return true;
    return false;
}

static bool make_lines(struct exchange *x)
{
    bool ok = add_line(x, "Expect:"); /* no 100-continue: bodies are small */
    if (!has_header(x, "Content-Type"))
        ok = ok && add_line(x, "Content-Type:");
    for (size_t i = 0; i < x->header_count && ok; i++)
        if (!x->bare || !x->headers[i].credential)
            ok = add_line(x, x->headers[i].line.data);
    return ok;
}

static void wipe_lines(struct exchange *x)
{
    for (struct curl_slist *l = x->lines; l; l = l->next)
        explicit_bzero(l->data, strlen(l->data));
    curl_slist_free_all(x->lines);
    x->lines = NULL;
}

static bool has_body(const struct exchange *x)
{
    return x->body.data || strcmp(x->method, "POST") == 0 || strcmp(x->method, "PUT") == 0 ||
           strcmp(x->method, "PATCH") == 0;
}

static void set_method(const struct exchange *x)
{
    if (has_body(x)) {
        curl_easy_setopt(x->easy, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)x->body.len);
        curl_easy_setopt(x->easy, CURLOPT_POSTFIELDS, x->body.data ? x->body.data : "");
    }
    if (strcmp(x->method, "HEAD") == 0)
        curl_easy_setopt(x->easy, CURLOPT_NOBODY, 1L);
    else
        curl_easy_setopt(x->easy, CURLOPT_CUSTOMREQUEST, x->method);
}

static void set_callbacks(struct exchange *x)
{
    curl_easy_setopt(x->easy, CURLOPT_PRIVATE, x);
    curl_easy_setopt(x->easy, CURLOPT_OPENSOCKETFUNCTION, on_open_socket);
    curl_easy_setopt(x->easy, CURLOPT_OPENSOCKETDATA, x);
    curl_easy_setopt(x->easy, CURLOPT_PREREQFUNCTION, on_connected);
    curl_easy_setopt(x->easy, CURLOPT_PREREQDATA, x);
    curl_easy_setopt(x->easy, CURLOPT_HEADERFUNCTION, on_header);
    curl_easy_setopt(x->easy, CURLOPT_HEADERDATA, x);
    curl_easy_setopt(x->easy, CURLOPT_WRITEFUNCTION, on_body);
    curl_easy_setopt(x->easy, CURLOPT_WRITEDATA, x);
    curl_easy_setopt(x->easy, CURLOPT_ERRORBUFFER, x->curl_error);
}

/* Nothing of this comes from the environment: a proxy named there would hide the address from the guard. */
static void set_policy(const struct exchange *x)
{
    const struct exchange_shared *s = x->shared;
    curl_easy_setopt(x->easy, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(x->easy, CURLOPT_PROXY, "");
    curl_easy_setopt(x->easy, CURLOPT_PROTOCOLS_STR, "http,https");
    curl_easy_setopt(x->easy, CURLOPT_FOLLOWLOCATION, 0L);
    curl_easy_setopt(x->easy, CURLOPT_DISALLOW_USERNAME_IN_URL, 1L);
    curl_easy_setopt(x->easy, CURLOPT_ACCEPT_ENCODING, "");
    curl_easy_setopt(x->easy, CURLOPT_USERAGENT, s->user_agent);
    curl_easy_setopt(x->easy, CURLOPT_CONNECT_TO, s->connect_to);
    curl_easy_setopt(x->easy, CURLOPT_CAPATH,
                     NULL); /* with a folder curl would not keep what it has parsed */
    if (trust_path(s->trust))
        curl_easy_setopt(x->easy, CURLOPT_CAINFO, trust_path(s->trust));
}

static void set_times(const struct exchange *x, uint64_t left_ms)
{
    uint64_t connect_ms = left_ms < LIMIT_TRANSFER_CONNECT_MS ? left_ms : LIMIT_TRANSFER_CONNECT_MS;
    curl_easy_setopt(x->easy, CURLOPT_TIMEOUT_MS, (long)left_ms);
    curl_easy_setopt(x->easy, CURLOPT_CONNECTTIMEOUT_MS, (long)connect_ms);
}

static void timed_out(struct exchange *x)
{
    fail(x, RESULT_TIMEOUT, "%s did not answer within %llu ms", x->target.host,
         (unsigned long long)(x->until_ms - x->started_ms));
}

/* Leaves a reason in x if the hop cannot begin. */
static void begin_hop(struct exchange *x)
{
    uint64_t now_ms = clock_mono_ms();
    buf_reset(&x->head);
    buf_reset(&x->answer);
    x->refused = NULL;
    x->plain_refused = false;
    x->curl_error[0] = 0;
    if (now_ms >= x->until_ms) {
        timed_out(x);
        return;
    }
    bool ok = (x->easy || (x->easy = take_easy(x->shared))) && make_lines(x);
    if (ok) {
        curl_easy_setopt(x->easy, CURLOPT_URL, x->target.url.data);
        curl_easy_setopt(x->easy, CURLOPT_HTTPHEADER, x->lines);
        set_callbacks(x);
        set_policy(x);
        set_method(x);
        set_times(x, x->until_ms - now_ms);
        x->finding = true;
        x->shared->finding++;
        ok = curl_multi_add_handle(x->shared->multi, x->easy) == CURLM_OK;
    }
    if (!ok)
        fail(x, RESULT_INTERNAL, "no memory for a request");
}

static void end_hop(struct exchange *x)
{
    found(x);
    if (x->easy) {
        curl_multi_remove_handle(x->shared->multi, x->easy);
        give_easy(x->shared, x->easy);
        x->easy = NULL;
    }
    wipe_lines(x);
}

/* -- why there is no answer -- */

static void explain(struct exchange *x, CURLcode code)
{
    if (x->refused && code == CURLE_COULDNT_CONNECT)
        fail(x, RESULT_BLOCKED_BY_POLICY,
             "%s is %s, which requests may not go to; --allow-egress can allow it", x->target.host,
             x->refused);
    else if (x->plain_refused && code == CURLE_COULDNT_CONNECT)
        fail(x, RESULT_BLOCKED_BY_POLICY, "%s is asked over plain http; only https is allowed",
             x->target.host);
    else if (x->answer.failed)
        fail(x, RESULT_UNEXPECTED_RESPONSE, "%s sent an answer of more than %d bytes", x->target.host,
             LIMIT_TRANSFER_BODY_BYTES);
    else if (x->head.failed)
        fail(x, RESULT_UNEXPECTED_RESPONSE, "%s sent more than %d bytes of headers", x->target.host,
             LIMIT_TRANSFER_HEADERS);
    else if (code == CURLE_OPERATION_TIMEDOUT)
        timed_out(x);
    else
        x->failure = cause_of(code, x->target.host, x->curl_error, x->why, sizeof x->why);
}

/* -- redirects -- */

static bool is_redirect(long status)
{
    return status == 301 || status == 302 || status == 303 || status == 307 || status == 308;
}

/* What a client does with the method: RFC 9110, sections 15.4.2 to 15.4.9. */
static void change_method(struct exchange *x, long status)
{
    bool get = status == 303 ? strcmp(x->method, "HEAD") != 0
                             : (status == 301 || status == 302) && strcmp(x->method, "POST") == 0;
    if (!get)
        return;
    snprintf(x->method, sizeof x->method, "GET");
    secret_fini(&x->body);
}

static void redirect(struct exchange *x, long status, const char *location)
{
    struct target to = {0};
    struct pb_why why = {0};
    if (++x->redirects > LIMIT_TRANSFER_REDIRECTS) {
        fail(x, RESULT_UNEXPECTED_RESPONSE, "%s redirects more than %d times", x->target.host,
             LIMIT_TRANSFER_REDIRECTS);
        return;
    }
    pb_err err = target_redirect(&x->target, location, &to, &why);
    if (err) {
        fail(x, err == PB_E_DENIED ? RESULT_BLOCKED_BY_POLICY : RESULT_UNEXPECTED_RESPONSE, "%s", why.text);
        return;
    }
    change_method(x, status);
    x->bare = x->bare || !may_see_credentials(x, &to);
    target_fini(&x->target);
    x->target = to;
    if (x->bare && x->body.len)
        fail(x, RESULT_BLOCKED_BY_POLICY,
             "the provider redirects a request with a body to %s, which is not "
             "among the package's allowed hosts",
             to.host);
}

/* The address that an answer redirects to; NULL: none. Copied, because the next hop resets the handle. */
static char *location_of(struct exchange *x, long *status)
{
    struct curl_header *h;
    curl_easy_getinfo(x->easy, CURLINFO_RESPONSE_CODE, status);
    if (!is_redirect(*status) || curl_easy_header(x->easy, "Location", 0, CURLH_HEADER, -1, &h) != CURLHE_OK)
        return NULL;
    return strdup(h->value);
}

/* -- its life -- */

void exchange_free(struct exchange *x)
{
    if (!x)
        return;
    end_hop(x);
    for (size_t i = 0; i < x->header_count; i++)
        secret_fini(&x->headers[i].line);
    for (size_t i = 0; i < x->host_count; i++)
        free(x->hosts[i]);
    free(x->headers);
    secret_fini(&x->body);
    target_fini(&x->target);
    buf_fini(&x->head);
    buf_fini(&x->answer);
    free(x);
}

pb_err exchange_new(struct exchange_shared *shared, const struct transfer_request *request,
                    uint32_t timeout_ms, void *owner, struct exchange **out)
{
    struct exchange *x = calloc(1, sizeof *x);
    if (!x)
        return PB_E_MEMORY;
    uint64_t now_ms = clock_mono_ms();
    *x = (struct exchange){.shared = shared, .owner = owner, .started_ms = now_ms};
    x->until_ms = now_ms + (timeout_ms < LIMIT_TRANSFER_TIMEOUT_MS ? timeout_ms : LIMIT_TRANSFER_TIMEOUT_MS);
    buf_init(&x->head, LIMIT_TRANSFER_HEADERS);
    buf_init(&x->answer, LIMIT_TRANSFER_BODY_BYTES);
    x->head.secret = x->answer.secret = true; /* providers echo keys */
    pb_err err = copy_request(x, request);
    if (err) {
        exchange_free(x);
        return err;
    }
    check_target(x, request);
    *out = x;
    return PB_OK;
}

bool exchange_begin(struct exchange *x)
{
    begin_hop(x);
    if (x->failure)
        end_hop(x);
    return !x->failure;
}

bool exchange_go_on(struct exchange *x, CURLcode code)
{
    long status = 0;
    char *location = code == CURLE_OK ? location_of(x, &status) : NULL;
    if (code != CURLE_OK)
        explain(x, code);
    end_hop(x);
    x->status = (int)status;
    if (!location)
        return false;
    redirect(x, status, location);
    free(location);
    return !x->failure && exchange_begin(x);
}

void exchange_expire(struct exchange *x)
{
    fail(x, RESULT_TIMEOUT, "the worker was too busy to ask %s in time", x->target.host);
}

bool exchange_has_failed(const struct exchange *x)
{
    return x->failure;
}

uint64_t exchange_until_ms(const struct exchange *x)
{
    return x->until_ms;
}

void exchange_answer(struct exchange *x, struct transfer_answer *out)
{
    *out = (struct transfer_answer){
        .failure = x->failure,
        .why = x->failure ? x->why : NULL,
        .status = x->failure ? 0 : x->status,
        .headers = buf_peek(&x->head),
        .headers_len = x->failure ? 0 : x->head.len,
        .body = buf_peek(&x->answer),
        .body_len = x->failure ? 0 : x->answer.len,
        .duration_ms = (uint32_t)(clock_mono_ms() - x->started_ms),
    };
}

void *exchange_owner(CURL *easy)
{
    struct exchange *x = NULL;
    curl_easy_getinfo(easy, CURLINFO_PRIVATE, &x);
    return x->owner;
}

void exchange_shared_fini(struct exchange_shared *s)
{
    while (s->pooled)
        curl_easy_cleanup(s->pool[--s->pooled]);
}
