#include "worker/link.h"

#include "common/channel.h"
#include "common/limbo.h"
#include "common/limits.h"
#include "common/push.h"
#include "worker/holding.h"

#include <errno.h>
#include <nng/nng.h>
#include <nng/protocol/pipeline0/pull.h>
#include <nng/protocol/reqrep0/req.h>
#include <poll.h>
#include <pthread.h>
#include <sodium.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#define ADDRESS_BYTES    256
#define HELLO_MIN_MS     500 /* patience with a dial, and with the first hello; doubled with each try */
#define HELLO_MAX_MS     5000
#define TRIES_TOLD       3 /* that failed before the log says so */
#define HELLO_RESEND_MS  1000
#define GOODBYE_MS       20   /* for NNG to hand the last message to the system */
#define ANSWERED_MS      1000 /* within which the last answer has come, or none will */
#define RETRY_MIN_MS     100
#define RETRY_MAX_MS     3000
#define UNSETTLED_FACTOR 4 /* no new work while this many times the capacity waits to be settled */

enum link_state { AWAY, CALLING, HELLO_SENT, JOIN_SENT, JOINED };

struct link {
    struct link_settings settings;
    const struct log *log;
    struct link_events events;
    void *arg;
    enum link_state state;
    int epoll_fd, bell_fd;
    nng_socket members, jobs;
    bool members_open, jobs_open;
    struct limbo limbo;
    atomic_bool jobs_dead;
    atomic_int jobs_id; /* of the jobs socket in use; 0: none */
    struct push *reports;
    struct channel_hello hello;
    struct channel channel;
    uint32_t lease_ms, beat_ms;
    char jobs_address[ADDRESS_BYTES], reports_address[ADDRESS_BYTES];
    uint64_t now_ms, called_ms, heard_ms, sent_ms, retry_ms;
    uint32_t tries;
    struct holding holding;
    uint64_t received;
    uint64_t told_received;  /* with the last report, */
    uint32_t told_free;      /* as the credit there */
    struct buf unsent_frame; /* a sealed report that the pipe had no room for */
    bool list_asked, refusal_logged;
    bool draining;
    uint64_t drain_ms; /* since when */
    bool sent_told; /* the broker has answered in this session that it sends no more, and how many it sent */
    uint64_t sent;
};

/* -- sockets and descriptors -- */

static void ring(const struct link *l)
{
    uint64_t one = 1;
    if (write(l->bell_fd, &one, sizeof one) < 0)
        return; /* it is ringing already */
}

static void watch_socket(struct link *l, nng_socket socket, const char *option)
{
    int fd;
    if (nng_socket_get_int(socket, option, &fd) != 0)
        return;
    struct epoll_event ev = {.events = EPOLLIN, .data.fd = fd};
    epoll_ctl(l->epoll_fd, EPOLL_CTL_ADD, fd, &ev);
}

static void unwatch_socket(struct link *l, nng_socket socket, const char *option)
{
    int fd;
    if (nng_socket_get_int(socket, option, &fd) == 0)
        epoll_ctl(l->epoll_fd, EPOLL_CTL_DEL, fd, NULL);
}

static void close_members(struct link *l)
{
    if (!l->members_open)
        return;
    unwatch_socket(l, l->members, NNG_OPT_RECVFD);
    unwatch_socket(l, l->members, NNG_OPT_SENDFD);
    limbo_add(&l->limbo, l->members, l->now_ms + ANSWERED_MS);
    l->members_open = false;
}

static void close_session(struct link *l)
{
    if (l->jobs_open) {
        unwatch_socket(l, l->jobs, NNG_OPT_RECVFD);
        atomic_store(&l->jobs_id, 0);
        /* its pipe may go when l has gone: in limbo, and at the end of the process */
        (void)nng_pipe_notify(l->jobs, NNG_PIPE_EV_REM_POST, NULL, NULL);
        limbo_add(&l->limbo, l->jobs, l->now_ms + 2 * (uint64_t)l->beat_ms); /* pings come with each beat */
        l->jobs_open = false;
    }
    push_close(l->reports);
    l->reports = NULL;
    channel_fini(&l->channel);
    buf_reset(&l->unsent_frame);
}

static void on_jobs_pipe_gone(nng_pipe pipe, nng_pipe_ev event, void *arg)
{
    (void)event;
    struct link *l = arg;
    if (nng_socket_id(nng_pipe_socket(pipe)) != atomic_load(&l->jobs_id))
        return; /* of a session before */
    atomic_store(&l->jobs_dead, true);
    ring(l);
}

/* -- addresses -- */

static void members_address(const struct link *l, char out[ADDRESS_BYTES])
{
    bool ipc = strncmp(l->settings.broker, "ipc://", 6) == 0;
    snprintf(out, ADDRESS_BYTES, "%.200s%s", l->settings.broker, ipc ? "/members" : "");
}

/* The broker tells of a tcp address only ":PORT"; the host is the one that we reach it by. */
static void dial_address(const struct link *l, struct wire_text told, char out[ADDRESS_BYTES])
{
    const char *colon = strrchr(l->settings.broker, ':');
    if (told.len && told.data[0] == ':')
        snprintf(out, ADDRESS_BYTES, "%.*s%.*s", (int)(colon - l->settings.broker), l->settings.broker,
                 (int)told.len, told.data);
    else
        snprintf(out, ADDRESS_BYTES, "%.*s", (int)told.len, told.data);
}

/* -- the life of a session -- */

static void go_away(struct link *l, const char *reason)
{
    bool had = l->state == JOINED;
    if (had)
        log_line(l->log, LOG_WARN, "the session with the broker is over; saying hello again", "reason",
                 reason, NULL);
    close_members(l);
    close_session(l);
    l->state = AWAY;
    uint32_t most = (uint32_t)RETRY_MIN_MS << (l->tries < 5 ? l->tries : 5);
    if (most > RETRY_MAX_MS)
        most = RETRY_MAX_MS;
    l->tries = had ? 0 : l->tries + 1;
    l->retry_ms = l->now_ms + (had ? 0 : RETRY_MIN_MS + randombytes_uniform(most));
}

static int dial_members(struct link *l, const char *url)
{
    int rv = nng_req0_open(&l->members);
    if (rv)
        return rv;
    l->members_open = true;
    rv = nng_socket_set_ms(l->members, NNG_OPT_REQ_RESENDTIME, HELLO_RESEND_MS);
    if (rv == 0)
        rv = nng_socket_set_size(l->members, NNG_OPT_RECVMAXSZ, LIMIT_MESSAGE_BYTES);
    return rv ? rv : nng_dial(l->members, url, NULL, NNG_FLAG_NONBLOCK);
}

static void call(struct link *l)
{
    char url[ADDRESS_BYTES];
    members_address(l, url);
    l->state = CALLING;
    l->called_ms = l->now_ms;
    if (channel_greet(l->settings.psk, &l->hello) != PB_OK || dial_members(l, url) != 0) {
        go_away(l, "cannot dial");
        return;
    }
    watch_socket(l, l->members, NNG_OPT_SENDFD);
    watch_socket(l, l->members, NNG_OPT_RECVFD);
}

static bool send_member(struct link *l, const struct buf *b)
{
    nng_msg *msg;
    if (nng_msg_alloc(&msg, b->len) != 0)
        return false;
    memcpy(nng_msg_body(msg), b->data, b->len);
    if (nng_sendmsg(l->members, msg, NNG_FLAG_NONBLOCK) == 0)
        return true;
    nng_msg_free(msg);
    return false;
}

static void send_hello(struct link *l)
{
    struct buf b;
    buf_init(&b, 1024);
    if (wire_pack_hello(&l->hello.hello, &b) == PB_OK && send_member(l, &b)) {
        l->state = HELLO_SENT;
        unwatch_socket(l, l->members, NNG_OPT_SENDFD);
    }
    buf_fini(&b);
}

static struct wire_text text_of(const char *text)
{
    return (struct wire_text){text, strlen(text)};
}

/* What a join says, allocated as one piece with its lists. */
static pb_err pack_join(const struct link *l, struct buf *out)
{
    size_t types = manifests_count(l->settings.types), count = holding_count(&l->holding), i = 0;
    struct wire_join join = {.name = text_of(l->settings.name),
                             .version = text_of(l->settings.version),
                             .capacity = l->settings.capacity};
    join.types = calloc(types + 1, sizeof *join.types);
    join.held = calloc(count + 1, sizeof *join.held);
    pb_err err = join.types && join.held ? PB_OK : PB_E_MEMORY;
    if (!err) {
        memcpy(join.seal_key, l->settings.seal_key, sizeof join.seal_key);
        for (; i < types; i++) {
            const struct manifest *m = manifests_at(l->settings.types, i);
            join.types[i] = (struct wire_type){text_of(m->type), text_of(m->hash)};
        }
        join.held_count = holding_list(&l->holding, join.held);
        join.type_count = types;
        err = wire_pack_join(&join, out);
    }
    free(join.types);
    free(join.held);
    return err;
}

static void send_join(struct link *l)
{
    struct buf plain, frame;
    buf_init(&plain, LIMIT_MESSAGE_BYTES);
    buf_init(&frame, LIMIT_MESSAGE_BYTES);
    pb_err err = pack_join(l, &plain);
    if (!err)
        err = channel_seal(&l->channel, plain.data, plain.len, &frame);
    if (!err && send_member(l, &frame))
        l->state = JOIN_SENT;
    else
        go_away(l, "the join could not be sent");
    buf_fini(&plain);
    buf_fini(&frame);
}

static void on_welcome(struct link *l, const struct wire_welcome *w)
{
    pb_err err = channel_take_welcome(l->settings.psk, &l->hello, w, &l->channel);
    if (!err) {
        send_join(l);
        return;
    }
    log_line(l->log, LOG_ERROR, "the broker does not prove the cluster secret", "broker", l->settings.broker,
             NULL);
    go_away(l, "not our broker");
}

static void on_refused(struct link *l, struct wire_text reason)
{
    char text[256];
    snprintf(text, sizeof text, "%.*s", (int)(reason.len < 255 ? reason.len : 255), reason.data);
    if (!l->refusal_logged)
        log_line(l->log, LOG_ERROR, "the broker refuses this worker; it goes on asking", "broker",
                 l->settings.broker, "reason", text, NULL);
    l->refusal_logged = true;
    go_away(l, "refused");
}

static int dial_jobs(struct link *l)
{
    nng_dialer dialer;
    int rv = nng_pull0_open(&l->jobs);
    if (rv)
        return rv;
    l->jobs_open = true;
    atomic_store(&l->jobs_dead, false);
    atomic_store(&l->jobs_id, nng_socket_id(l->jobs));
    rv = nng_socket_set_size(l->jobs, NNG_OPT_RECVMAXSZ, LIMIT_MESSAGE_BYTES);
    if (rv == 0)
        rv = nng_pipe_notify(l->jobs, NNG_PIPE_EV_REM_POST, on_jobs_pipe_gone, l);
    if (rv == 0)
        rv = nng_dialer_create(&dialer, l->jobs, l->jobs_address);
    return rv ? rv : nng_dialer_start(dialer, NNG_FLAG_NONBLOCK);
}

static void start_session(struct link *l, const struct wire_joined *j)
{
    struct pb_why why = {0};
    dial_address(l, j->jobs, l->jobs_address);
    dial_address(l, j->reports, l->reports_address);
    l->lease_ms = j->lease_ms;
    l->beat_ms = j->beat_ms;
    close_members(l);
    if (dial_jobs(l) != 0 || push_dial(l->reports_address, l->bell_fd, &l->reports, &why) != PB_OK) {
        go_away(l, "cannot dial the broker's sockets");
        return;
    }
    watch_socket(l, l->jobs, NNG_OPT_RECVFD);
    l->state = JOINED;
    l->tries = 0;
    l->received = l->told_received = 0;
    l->told_free = 0;
    l->sent_told = false;
    l->refusal_logged = false;
    l->heard_ms = l->now_ms;
    l->sent_ms = 0;
    holding_begin_session(&l->holding);
    log_line(l->log, LOG_INFO, "joined", "broker", l->settings.broker, NULL);
}

static void on_join_answer(struct link *l, const struct wire_sealed *frame)
{
    struct buf plain;
    struct wire_message m;
    buf_init(&plain, LIMIT_MESSAGE_BYTES);
    pb_err err = channel_open(&l->channel, frame, &plain);
    if (!err)
        err = wire_read(plain.data, plain.len, &m);
    if (!err && m.kind == WIRE_JOINED && m.joined.lease_ms && m.joined.beat_ms)
        start_session(l, &m.joined);
    else
        go_away(l, "the join's answer is not valid");
    if (!err)
        wire_fini(&m);
    buf_fini(&plain);
}

static void on_member_message(struct link *l, const uint8_t *bytes, size_t len)
{
    struct wire_message m;
    if (wire_read(bytes, len, &m) != PB_OK) {
        go_away(l, "the broker's answer is not valid");
        return;
    }
    if (m.kind == WIRE_WELCOME && l->state == HELLO_SENT)
        on_welcome(l, &m.welcome);
    else if (m.kind == WIRE_SEALED && l->state == JOIN_SENT)
        on_join_answer(l, &m.sealed);
    else if (m.kind == WIRE_REFUSED)
        on_refused(l, m.refused);
    else
        go_away(l, "asked to start again");
    wire_fini(&m);
}

static void turn_members(struct link *l)
{
    nng_msg *msg;
    if (l->state == CALLING)
        send_hello(l);
    if (!l->members_open || nng_recvmsg(l->members, &msg, NNG_FLAG_NONBLOCK) != 0)
        return;
    on_member_message(l, nng_msg_body(msg), nng_msg_len(msg));
    nng_msg_free(msg);
}

/* -- attempts held -- */

/* An outcome that the link gives by itself. */
static void end_unasked(struct link *l, const struct pb_id *job, uint64_t fence, enum job_outcome outcome)
{
    struct wire_outcome o = {.job = *job, .fence = fence, .outcome = outcome};
    link_outcome(l, &o);
}

static void take_attempt(struct link *l, const struct wire_attempt *a)
{
    l->received++;
    if (holding_add(&l->holding, &a->job, a->fence) != PB_OK)
        return;      /* it came before; or, without memory, the broker finds it missing from our list */
    if (l->draining) /* it was on its way; another worker begins it sooner than this one could end it */
        end_unasked(l, &a->job, a->fence, OUTCOME_RETURNED);
    else
        l->events.attempt(l->arg, a);
}

/* What has finished has an outcome that is reported anyway. */
static void take_stop(struct link *l, uint64_t fence)
{
    const struct pb_id *job = holding_running(&l->holding, fence);
    if (!job)
        return;
    l->events.cancel(l->arg, fence);
    end_unasked(l, job, fence, OUTCOME_CANCELLED);
}

static void take_cancel(struct link *l, uint64_t fence)
{
    if (holding_running(&l->holding, fence))
        l->events.cancel(l->arg, fence);
    holding_drop(&l->holding, fence);
}

static void take_jobs(struct link *l, const struct wire_jobs *jobs)
{
    for (size_t i = 0; i < jobs->attempt_count; i++)
        take_attempt(l, &jobs->attempts[i]);
    for (size_t i = 0; i < jobs->settled_count; i++)
        holding_settle(&l->holding, jobs->settled[i]);
    for (size_t i = 0; i < jobs->cancel_count; i++)
        take_cancel(l, jobs->cancel[i]);
    for (size_t i = 0; i < jobs->stop_count; i++)
        take_stop(l, jobs->stop[i]);
    l->list_asked = l->list_asked || jobs->list;
    l->sent_told = l->sent_told || jobs->has_sent;
    l->sent = jobs->has_sent ? jobs->sent : l->sent;
    if (jobs->drain)
        link_drain(l);
}

static void on_jobs_message(struct link *l, const uint8_t *bytes, size_t len)
{
    struct wire_message outer, m;
    struct buf plain;
    uint64_t expected = l->channel.seen + 1;
    if (wire_read(bytes, len, &outer) != PB_OK)
        return; /* not from our broker, or damaged: a gap in the counters will show it */
    buf_init(&plain, LIMIT_MESSAGE_BYTES);
    pb_err err = outer.kind == WIRE_SEALED ? channel_open(&l->channel, &outer.sealed, &plain) : PB_E_INVALID;
    wire_fini(&outer);
    if (!err && l->channel.seen != expected) {
        go_away(l, "a message was lost");
        err = PB_E_CLOSED;
    }
    if (!err)
        err = wire_read(plain.data, plain.len, &m);
    if (!err) {
        l->heard_ms = l->now_ms;
        if (m.kind == WIRE_JOBS)
            take_jobs(l, &m.jobs);
        wire_fini(&m);
    }
    buf_fini(&plain);
}

static void turn_jobs(struct link *l)
{
    nng_msg *msg;
    while (l->jobs_open && nng_recvmsg(l->jobs, &msg, NNG_FLAG_NONBLOCK) == 0) {
        on_jobs_message(l, nng_msg_body(msg), nng_msg_len(msg));
        nng_msg_free(msg);
    }
}

void link_turn(struct link *l, uint64_t now_ms)
{
    uint64_t rings;
    l->now_ms = now_ms;
    if (read(l->bell_fd, &rings, sizeof rings) < 0 && errno != EAGAIN)
        log_line(l->log, LOG_ERROR, "the link's eventfd cannot be read", "reason", strerror(errno), NULL);
    turn_members(l);
    turn_jobs(l);
    if (l->state == JOINED && (push_is_dead(l->reports) || atomic_load(&l->jobs_dead)))
        go_away(l, "the connection broke");
}

/* -- reports -- */

static uint32_t free_slots(const struct link *l)
{
    bool blocked = l->draining || l->holding.unsettled >= UNSETTLED_FACTOR * l->settings.capacity;
    return blocked || l->holding.running >= l->settings.capacity ? 0
                                                                 : l->settings.capacity - l->holding.running;
}

/* Does the broker think that there is much less room here than there is? It would wait for the next beat. */
static bool has_room_untold(const struct link *l)
{
    uint64_t since = l->received - l->told_received;
    uint32_t known = since < l->told_free ? l->told_free - (uint32_t)since : 0, free = free_slots(l);
    return free > known && (known == 0 || free - known >= l->settings.capacity / 2);
}

static pb_err seal_report(struct link *l)
{
    struct wire_outcome outcomes[LIMIT_BATCH_ENTRIES];
    struct wire_report r = {
        .received = l->received, .free = free_slots(l), .draining = l->draining, .outcomes = outcomes};
    struct buf plain;
    l->told_free = r.free;
    l->told_received = r.received;
    r.outcome_count = holding_report(&l->holding, l->now_ms, 2 * (uint64_t)l->beat_ms, outcomes);
    holding_count_running(&l->holding, &r.running, &r.running_sum);
    if (l->list_asked && (r.list = calloc(holding_count(&l->holding) + 1, sizeof *r.list))) {
        r.list_count = holding_list(&l->holding, r.list);
        r.has_list = true;
        l->list_asked = false;
    }
    buf_init(&plain, LIMIT_MESSAGE_BYTES);
    buf_reset(&l->unsent_frame);
    pb_err err = wire_pack_report(&r, &plain);
    if (!err)
        err = channel_seal(&l->channel, plain.data, plain.len, &l->unsent_frame);
    buf_fini(&plain);
    free(r.list);
    return err;
}

static void send_reports(struct link *l)
{
    bool beat = l->now_ms >= l->sent_ms + l->beat_ms;
    pb_err err = PB_OK;
    while (!err &&
           (l->unsent_frame.len || l->holding.unsent || l->list_asked || beat || has_room_untold(l))) {
        if (!l->unsent_frame.len)
            err = seal_report(l);
        if (!err)
            err = push_send(l->reports, l->unsent_frame.data, l->unsent_frame.len);
        if (!err) {
            buf_reset(&l->unsent_frame);
            l->sent_ms = l->now_ms;
            beat = false;
        }
    }
}

/* -- time -- */

static uint64_t tick_joined(struct link *l)
{
    if (l->now_ms >= l->heard_ms + l->lease_ms) {
        go_away(l, "nothing was heard of the broker for a whole lease");
        return l->retry_ms;
    }
    send_reports(l);
    /* The pipe rings when it comes up; when it is full, a short wait is enough. */
    if (l->unsent_frame.len)
        return l->now_ms + 10;
    uint64_t beat_ms = l->sent_ms + l->beat_ms, lease_ms = l->heard_ms + l->lease_ms;
    return beat_ms < lease_ms ? beat_ms : lease_ms;
}

/* When this try is given up for a new socket. NNG's dialer redials by itself, but not when the peer broke off
 * in the handshake, as a dying broker does: then it stays silent for good, so a dial gets little patience. */
static uint64_t call_ends_ms(const struct link *l)
{
    uint64_t patience_ms = HELLO_MIN_MS;
    for (uint32_t i = 0; l->state != CALLING && i < l->tries && patience_ms < HELLO_MAX_MS; i++)
        patience_ms *= 2;
    return l->called_ms + (patience_ms < HELLO_MAX_MS ? patience_ms : HELLO_MAX_MS);
}

static uint64_t tick_state(struct link *l, uint64_t now_ms)
{
    if (l->state == AWAY && now_ms >= l->retry_ms)
        call(l);
    if (l->state != AWAY && l->state != JOINED && now_ms >= call_ends_ms(l)) {
        if (l->tries == TRIES_TOLD)
            log_line(l->log, LOG_WARN, "no answer from the broker; it goes on asking", "broker",
                     l->settings.broker, NULL);
        go_away(l, "no answer");
    }
    if (l->state == JOINED)
        return tick_joined(l);
    return l->state == AWAY ? l->retry_ms : call_ends_ms(l);
}

uint64_t link_tick(struct link *l, uint64_t now_ms)
{
    l->now_ms = now_ms;
    uint64_t state_ms = tick_state(l, now_ms), limbo_ms = limbo_tick(&l->limbo, now_ms);
    return state_ms < limbo_ms ? state_ms : limbo_ms;
}

/* -- outcomes -- */

void link_outcome(struct link *l, const struct wire_outcome *outcome)
{
    holding_finish(&l->holding, outcome);
}

void link_drain(struct link *l)
{
    if (l->draining)
        return;
    l->draining = true;
    l->drain_ms = l->now_ms;
    l->sent_ms = 0; /* say it with the next tick */
    log_line(l->log, LOG_INFO, "draining: no new work, what runs is finished", NULL);
}

bool link_is_draining(const struct link *l)
{
    return l->draining;
}

/* Before the broker has heard that this worker drains it may have sent more. It answers with how many it sent
 * in all; one that never answers is waited for no longer than a lease. */
static bool may_more_come(const struct link *l)
{
    bool has_all = l->sent_told && l->received >= l->sent;
    return l->state == JOINED && !has_all && l->now_ms < l->drain_ms + l->lease_ms;
}

bool link_is_drained(const struct link *l)
{
    return l->draining && holding_count(&l->holding) == 0 && !may_more_come(l);
}

bool link_has_joined(const struct link *l)
{
    return l->state == JOINED;
}

/* -- life -- */

static pb_err check_address(const char *broker, struct pb_why *why)
{
    bool ipc = strncmp(broker, "ipc://", 6) == 0 && broker[6];
    bool tcp = strncmp(broker, "tcp://", 6) == 0 && strrchr(broker + 6, ':');
    return ipc || tcp ? PB_OK
                      : pb_fail(why, PB_E_INVALID, "--broker",
                                "must be ipc://FOLDER or tcp://HOST:PORT; it is %s", broker);
}

pb_err link_open(const struct link_settings *settings, const struct log *log,
                 const struct link_events *events, void *arg, struct link **out, struct pb_why *why)
{
    pb_err err = check_address(settings->broker, why);
    if (err)
        return err;
    struct link *l = calloc(1, sizeof *l);
    if (!l)
        return PB_E_MEMORY;
    *l = (struct link){.settings = *settings, .log = log, .events = *events, .arg = arg};
    buf_init(&l->unsent_frame, LIMIT_MESSAGE_BYTES);
    l->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    l->bell_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    struct epoll_event ev = {.events = EPOLLIN, .data.fd = l->bell_fd};
    if (l->epoll_fd < 0 || l->bell_fd < 0 || epoll_ctl(l->epoll_fd, EPOLL_CTL_ADD, l->bell_fd, &ev) != 0) {
        err = pb_fail(why, PB_E_IO, "link", "cannot watch descriptors: %s", strerror(errno));
        link_close(l);
        return err;
    }
    *out = l;
    return PB_OK;
}

/* So that the broker knows at once, and its log does not speak of a fault. */
static void say_goodbye(struct link *l)
{
    struct buf plain, frame;
    buf_init(&plain, 64);
    buf_init(&frame, 256);
    if (wire_pack_leave(&plain) == PB_OK &&
        channel_seal(&l->channel, plain.data, plain.len, &frame) == PB_OK &&
        push_send(l->reports, frame.data, frame.len) == PB_OK)
        poll(NULL, 0, GOODBYE_MS);
    buf_fini(&plain);
    buf_fini(&frame);
}

void link_close(struct link *l)
{
    if (!l)
        return;
    if (l->state == JOINED)
        say_goodbye(l);
    close_members(l);
    close_session(l);
    holding_fini(&l->holding);
    limbo_fini(&l->limbo);
    sodium_memzero(&l->hello, sizeof l->hello);
    buf_fini(&l->unsent_frame);
    if (l->bell_fd >= 0)
        close(l->bell_fd);
    if (l->epoll_fd >= 0)
        close(l->epoll_fd);
    free(l);
}

int link_fd(const struct link *l)
{
    return l->epoll_fd;
}
