#include "worker/transfer.h"

#include "common/clock.h"
#include "common/limits.h"
#include "worker/egress.h"
#include "worker/exchange.h"
#include "worker/trust.h"

#include <assert.h>
#include <curl/curl.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/timerfd.h>
#include <unistd.h>
#include <utlist.h>

#define NEVER UINT64_MAX

enum stage { WAITING, RUNNING, OVER, TOLD };

struct transfer_call {
    struct transfer *transfer;
    transfer_done *done;
    void *arg;
    enum stage stage;
    struct exchange *exchange;
    struct transfer_call *prev, *next;
};

struct transfer {
    struct exchange_shared shared;
    uint32_t timeout_ms;
    size_t max_in_flight, in_flight, waiting_count, over_count;
    int epoll_fd, timer_fd;
    uint64_t curl_due_ms, waiting_due_ms; /* NEVER: nothing is due */
    uint64_t armed_ms;                    /* when the timer rings; NEVER: it does not */
    struct transfer_call *waiting, *running, *over;
};

/* -- time -- */

/* Setting a timer costs more than all of curl's work on an answer, and curl puts its own off with every step:
 * so one that rings too early is left as it is, and set anew when it has rung. */
static void arm(struct transfer *t)
{
    uint64_t due_ms = t->curl_due_ms < t->waiting_due_ms ? t->curl_due_ms : t->waiting_due_ms;
    if (t->over)
        due_ms = clock_mono_ms();
    if (due_ms >= t->armed_ms)
        return;
    struct itimerspec at = {
        .it_value = {.tv_sec = (time_t)(due_ms / 1000), .tv_nsec = (long)(due_ms % 1000) * 1000000}};
    t->armed_ms = due_ms;
    timerfd_settime(t->timer_fd, TFD_TIMER_ABSTIME, &at, NULL);
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
        curl_multi_assign(t->shared.multi, fd, t);
    return 0;
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

static void call_free(struct transfer_call *c)
{
    exchange_free(c->exchange);
    free(c);
}

static void start_running(struct transfer *t, struct transfer_call *c)
{
    c->stage = RUNNING;
    DL_APPEND(t->running, c);
    t->in_flight++;
    if (!exchange_begin(c->exchange))
        move_over(t, c);
}

static void start_waiting(struct transfer *t)
{
    while (t->waiting && t->in_flight < t->max_in_flight && t->shared.finding < LIMIT_TRANSFER_LOOKUPS) {
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
        uint64_t until_ms = exchange_until_ms(c->exchange);
        if (until_ms <= now_ms) {
            DL_DELETE(t->waiting, c);
            t->waiting_count--;
            exchange_expire(c->exchange);
            move_over(t, c);
        } else if (until_ms < t->waiting_due_ms) {
            t->waiting_due_ms = until_ms;
        }
    }
}

static void tell(struct transfer_call *c)
{
    struct transfer_answer a;
    exchange_answer(c->exchange, &a);
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
    while ((m = curl_multi_info_read(t->shared.multi, &left))) {
        if (m->msg != CURLMSG_DONE)
            continue;
        struct transfer_call *c = exchange_owner(m->easy_handle);
        if (!exchange_go_on(c->exchange, m->data.result))
            move_over(t, c);
    }
}

static void take_time(struct transfer *t)
{
    int running;
    uint64_t count;
    if (read(t->timer_fd, &count, sizeof count) > 0)
        t->armed_ms = NEVER;
    if (clock_mono_ms() < t->curl_due_ms)
        return;
    t->curl_due_ms = NEVER;
    curl_multi_socket_action(t->shared.multi, CURL_SOCKET_TIMEOUT, 0, &running);
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
            curl_multi_socket_action(t->shared.multi, ready[i].data.fd, action_of(ready[i].events), &running);
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

static void wait_in_line(struct transfer *t, struct transfer_call *c)
{
    uint64_t until_ms = exchange_until_ms(c->exchange);
    DL_APPEND(t->waiting, c);
    t->waiting_count++;
    t->waiting_due_ms = until_ms < t->waiting_due_ms ? until_ms : t->waiting_due_ms;
    start_waiting(t);
}

pb_err transfer_start(struct transfer *t, const struct transfer_request *request, transfer_done *done,
                      void *arg, struct transfer_call **out)
{
    if (t->waiting_count >= LIMIT_TRANSFER_WAITING)
        return PB_E_BUSY;
    struct transfer_call *c = calloc(1, sizeof *c);
    if (!c)
        return PB_E_MEMORY;
    *c = (struct transfer_call){.transfer = t, .done = done, .arg = arg};
    pb_err err = exchange_new(&t->shared, request, request->timeout_ms ? request->timeout_ms : t->timeout_ms,
                              c, &c->exchange);
    if (err) {
        free(c);
        return err;
    }
    if (exchange_has_failed(c->exchange))
        move_over(t, c);
    else
        wait_in_line(t, c);
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
    pb_err err = egress_open(s->allow, s->allow_count, &t->shared.egress, why);
    if (!err)
        err = trust_open(s->ca_file, &t->shared.trust, why);
    for (size_t i = 0; i < s->connect_to_count && !err; i++) {
        struct curl_slist *list = curl_slist_append(t->shared.connect_to, s->connect_to[i]);
        t->shared.connect_to = list ? list : t->shared.connect_to;
        err = list ? PB_OK : PB_E_MEMORY;
    }
    if (!err && !(t->shared.user_agent = strdup(s->user_agent)))
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
    t->shared.multi = curl_multi_init();
    if (!t->shared.multi)
        return PB_E_MEMORY;
    curl_multi_setopt(t->shared.multi, CURLMOPT_SOCKETFUNCTION, on_socket);
    curl_multi_setopt(t->shared.multi, CURLMOPT_SOCKETDATA, t);
    curl_multi_setopt(t->shared.multi, CURLMOPT_TIMERFUNCTION, on_timer);
    curl_multi_setopt(t->shared.multi, CURLMOPT_TIMERDATA, t);
    curl_multi_setopt(t->shared.multi, CURLMOPT_MAXCONNECTS, (long)LIMIT_TRANSFER_MAXCONNECTS);
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
    t->curl_due_ms = t->waiting_due_ms = t->armed_ms = NEVER;
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
    exchange_shared_fini(&t->shared);
    curl_multi_cleanup(t->shared.multi);
    curl_slist_free_all(t->shared.connect_to);
    egress_close(t->shared.egress);
    trust_close(t->shared.trust);
    free(t->shared.user_agent);
    if (t->epoll_fd >= 0)
        close(t->epoll_fd);
    if (t->timer_fd >= 0)
        close(t->timer_fd);
    free(t);
}
