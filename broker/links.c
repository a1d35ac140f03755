/* Sessions are found by three names: the number the board knows, the 16 bytes that frames carry, and their
 * place in the list. A session begins with a hello (pending, at most LIMIT_HELLO_MS), becomes a member by a
 * join that only the holder of the session's keys can have sealed, and gets its PUSH socket then and not
 * before. */
#include "broker/links.h"

#include "broker/outbox.h"
#include "broker/sockets.h"
#include "common/buf.h"
#include "common/channel.h"
#include "common/clock.h"
#include "common/limits.h"
#include "common/push.h"

#include <assert.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <uthash.h>
#include <utlist.h>

#define MESSAGES_A_TURN 256 /* of each socket, so that a flood on one leaves the other its turn */
#define BAD_LOG_MS      60000

struct session {
    links_session number;
    uint8_t wire_id[WIRE_SESSION_BYTES];
    struct channel channel;
    bool joined;
    struct buf hello_answer, join_answer; /* for a hello or join that is sent again */
    uint8_t hello_key[WIRE_KEY_BYTES];
    uint64_t began_ms, heard_ms, sent_ms;
    struct session_sockets sockets;
    int send_fd;       /* in epoll while a frame waits for room; -1: not */
    struct buf unsent; /* one sealed frame that the pipe had no room for */
    struct outbox outbox;
    char id[ID_TEXT_BYTES], name[LIMIT_WORKER_NAME + 1], version[32];
    uint32_t capacity, free, running;
    bool draining, goodbye;
    bool has_news; /* it is in the list of those that have */
    struct session *prev, *next;
    UT_hash_handle by_number, by_wire_id;
};

struct links {
    struct links_settings settings;
    const struct log *log;
    struct links_events events;
    void *arg;
    struct sockets *sockets;
    struct session *by_number, *by_wire_id;
    struct session *news; /* those that something waits to be said to: a turn costs the others nothing */
    uint64_t now_ms;      /* of the last turn or tick */
    uint64_t due_ms;      /* not before it a deadline of any session passes */
    size_t pending, joined;
    links_session last_number;
    uint64_t second_ms;
    unsigned refused_this_second;
    uint64_t bad_logged_ms, bad_count;
    struct outbox undelivered; /* each session's at most its worker's credit */
};

/* -- sessions -- */

static void add_news(struct links *l, struct session *s)
{
    if (!s->has_news)
        DL_APPEND(l->news, s);
    s->has_news = true;
}

static void drop_news(struct links *l, struct session *s)
{
    if (s->has_news)
        DL_DELETE(l->news, s);
    s->has_news = false;
}

static struct session *by_number(struct links *l, links_session number)
{
    struct session *s;
    HASH_FIND(by_number, l->by_number, &number, sizeof number, s);
    return s;
}

static struct session *by_wire_id(struct links *l, const uint8_t *wire_id)
{
    struct session *s;
    HASH_FIND(by_wire_id, l->by_wire_id, wire_id, WIRE_SESSION_BYTES, s);
    return s;
}

static struct session *session_new(struct links *l, const struct wire_hello *hello, uint64_t now_ms)
{
    struct session *s = calloc(1, sizeof *s);
    if (!s)
        return NULL;
    s->number = ++l->last_number;
    s->send_fd = -1;
    s->began_ms = s->heard_ms = s->sent_ms = now_ms;
    outbox_init(&s->outbox);
    memcpy(s->wire_id, hello->session, sizeof s->wire_id);
    memcpy(s->hello_key, hello->key, sizeof s->hello_key);
    buf_init(&s->hello_answer, 1024);
    buf_init(&s->join_answer, 4096);
    buf_init(&s->unsent, LIMIT_MESSAGE_BYTES);
    HASH_ADD(by_number, l->by_number, number, sizeof s->number, s);
    HASH_ADD(by_wire_id, l->by_wire_id, wire_id, WIRE_SESSION_BYTES, s);
    l->pending++;
    l->due_ms = 0; /* its deadlines are not among those that were looked at */
    return s;
}

static void watch_send(struct links *l, struct session *s, bool on)
{
    if (on == (s->send_fd >= 0))
        return;
    int fd = on ? push_send_fd(s->sockets.jobs) : s->send_fd;
    bool watched = fd >= 0 && sockets_watch(l->sockets, fd, on) && on;
    s->send_fd = watched ? fd : -1;
}

static void session_free(struct links *l, struct session *s)
{
    watch_send(l, s, false);
    drop_news(l, s);
    sockets_end_session(l->sockets, &s->sockets, l->now_ms);
    HASH_DELETE(by_number, l->by_number, s);
    HASH_DELETE(by_wire_id, l->by_wire_id, s);
    *(s->joined ? &l->joined : &l->pending) -= 1;
    outbox_fini(&s->outbox);
    buf_fini(&s->hello_answer);
    buf_fini(&s->join_answer);
    buf_fini(&s->unsent);
    channel_fini(&s->channel);
    free(s);
}

static void session_end(struct links *l, struct session *s, const char *reason)
{
    links_session number = s->number;
    bool joined = s->joined;
    bool goodbye = s->goodbye;
    if (joined)
        log_line(l->log, goodbye || s->draining ? LOG_INFO : LOG_WARN, "worker left", "worker", s->name, "id",
                 s->id, "reason", reason, NULL);
    session_free(l, s);
    if (joined)
        l->events.left(l->arg, number, reason, goodbye);
}

/* -- answers on the members socket -- */

static void reply_packed(struct links *l, struct buf *b, pb_err err)
{
    if (!err)
        sockets_answer(l->sockets, b->data, b->len);
    buf_fini(b);
}

static void refuse(struct links *l, const char *reason)
{
    struct buf b;
    buf_init(&b, 1024);
    reply_packed(l, &b, wire_pack_refused(reason, &b));
}

static void ask_restart(struct links *l)
{
    struct buf b;
    buf_init(&b, 64);
    reply_packed(l, &b, wire_pack_restart(&b));
}

/* Counts what does not parse or authenticate, and says so once a minute. */
static void bad_message(struct links *l, const char *where, pb_err err, uint64_t now_ms)
{
    l->bad_count++;
    if (l->bad_logged_ms && now_ms < l->bad_logged_ms + BAD_LOG_MS)
        return;
    l->bad_logged_ms = now_ms;
    log_line(l->log, LOG_WARN, "messages that are not valid were dropped", "socket", where, "error",
             pb_err_name(err), "count", log_int((char[24]){0}, (long long)l->bad_count), NULL);
}

/* At most LIMIT_HELLO_REFUSALS a second are answered and logged; what is over is dropped. */
static bool may_refuse(struct links *l, uint64_t now_ms)
{
    if (now_ms - l->second_ms >= 1000) {
        l->second_ms = now_ms;
        l->refused_this_second = 0;
    }
    return l->refused_this_second++ < LIMIT_HELLO_REFUSALS;
}

static void refuse_hello(struct links *l, pb_err err, uint64_t now_ms)
{
    if (!may_refuse(l, now_ms))
        return;
    if (err == PB_E_DENIED) {
        log_line(l->log, LOG_WARN, "a hello was refused: it does not know the cluster secret", NULL);
        refuse(l, "wrong cluster secret: this worker's --cluster-secret is not the broker's");
    } else if (err == PB_E_UNSUPPORTED) {
        refuse(l, "no common protocol version");
    } else {
        refuse(l, "the broker is full");
    }
}

/* -- hello and join -- */

static void on_hello(struct links *l, const struct wire_hello *hello, uint64_t now_ms)
{
    struct session *s = by_wire_id(l, hello->session);
    if (s) {
        bool same = memcmp(s->hello_key, hello->key, sizeof s->hello_key) == 0;
        if (same && !s->joined)
            sockets_answer(l->sockets, s->hello_answer.data, s->hello_answer.len);
        else
            ask_restart(l);
        return;
    }
    struct wire_welcome w;
    struct channel channel;
    pb_err err = channel_welcome(l->settings.secret, hello, &w, &channel);
    if (!err && (l->pending >= LIMIT_HELLOS_PENDING || l->joined >= LIMIT_SESSIONS))
        err = PB_E_BUSY;
    if (!err && !(s = session_new(l, hello, now_ms)))
        err = PB_E_MEMORY;
    if (err) {
        refuse_hello(l, err, now_ms);
        return;
    }
    s->channel = channel;
    channel_fini(&channel);
    if (wire_pack_welcome(&w, &s->hello_answer) == PB_OK)
        sockets_answer(l->sockets, s->hello_answer.data, s->hello_answer.len);
}

static pb_err open_session_sockets(struct links *l, struct session *s, struct pb_why *why)
{
    char name[17];
    sodium_bin2hex(name, sizeof name, s->wire_id, 8);
    return sockets_open_session(l->sockets, name, &s->sockets, why);
}

static void text_copy(char *out, size_t size, struct wire_text t)
{
    size_t len = t.len < size - 1 ? t.len : size - 1;
    for (size_t i = 0; i < len; i++)
        out[i] = (unsigned char)t.data[i] < 0x20 || t.data[i] == 0x7f ? '?' : t.data[i];
    out[len] = 0;
}

static struct wire_text text_of(const char *text)
{
    return (struct wire_text){text, strlen(text)};
}

static void remember_worker(struct session *s, const struct wire_join *join)
{
    struct pb_id id;
    id_new(&id, clock_wall_ms());
    id_text(&id, ID_WORKER, s->id);
    text_copy(s->name, sizeof s->name, join->name);
    text_copy(s->version, sizeof s->version, join->version);
    s->capacity = join->capacity;
}

static pb_err answer_join(struct links *l, struct session *s)
{
    struct buf plain;
    struct wire_joined joined = {
        .worker = text_of(s->id),
        .jobs = text_of(s->sockets.jobs_told),
        .reports = text_of(s->sockets.reports_told),
        .store = text_of(l->settings.store),
        .lease_ms = l->settings.lease_ms,
        .beat_ms = l->settings.beat_ms,
        .epoch = l->settings.epoch,
    };
    buf_init(&plain, 4096);
    pb_err err = wire_pack_joined(&joined, &plain);
    if (!err)
        err = channel_seal(&s->channel, plain.data, plain.len, &s->join_answer);
    buf_fini(&plain);
    return err;
}

static void join(struct links *l, struct session *s, const struct wire_join *join, uint64_t now_ms)
{
    struct pb_why why = {0};
    remember_worker(s, join);
    pb_err err = l->joined < LIMIT_SESSIONS ? PB_OK /* at the hello there was room */
                                            : pb_fail(&why, PB_E_BUSY, "sessions", "the broker is full");
    if (!err)
        err = open_session_sockets(l, s, &why);
    if (!err)
        err = answer_join(l, s);
    if (!err)
        err = l->events.joined(l->arg, s->number, join, &why);
    if (err) {
        log_why(l->log, LOG_WARN, "a worker was refused", err, &why);
        refuse(l, why.text[0] ? why.text : pb_err_name(err));
        session_free(l, s);
        return;
    }
    s->joined = true;
    s->heard_ms = s->began_ms = now_ms;
    l->due_ms = 0;
    l->pending--;
    l->joined++;
    log_line(l->log, LOG_INFO, "worker joined", "worker", s->name, "id", s->id, "version", s->version, NULL);
    sockets_answer(l->sockets, s->join_answer.data, s->join_answer.len);
}

/* A sealed message on the members socket: so far only a join. */
static void on_member_frame(struct links *l, const struct wire_sealed *frame, uint64_t now_ms)
{
    struct session *s = by_wire_id(l, frame->session);
    if (!s) {
        ask_restart(l);
        return;
    }
    if (s->joined) {
        if (frame->counter == 1) /* sent again */
            sockets_answer(l->sockets, s->join_answer.data, s->join_answer.len);
        else
            ask_restart(l);
        return;
    }
    struct buf plain;
    struct wire_message m;
    buf_init(&plain, LIMIT_MESSAGE_BYTES);
    pb_err err = channel_open(&s->channel, frame, &plain);
    if (!err)
        err = wire_read(plain.data, plain.len, &m);
    if (!err) {
        if (m.kind == WIRE_JOIN)
            join(l, s, &m.join, now_ms);
        else
            refuse(l, "expected a join");
        wire_fini(&m);
    } else {
        bad_message(l, "members", err, now_ms);
        refuse(l, "the message is not valid");
    }
    buf_fini(&plain);
}

static void on_member_message(struct links *l, const uint8_t *bytes, size_t len, uint64_t now_ms)
{
    struct wire_message m;
    pb_err err = wire_read(bytes, len, &m);
    if (err) {
        bad_message(l, "members", err, now_ms);
        refuse(l, "the message is not valid");
        return;
    }
    if (m.kind == WIRE_HELLO)
        on_hello(l, &m.hello, now_ms);
    else if (m.kind == WIRE_SEALED)
        on_member_frame(l, &m.sealed, now_ms);
    else
        refuse(l, "expected a hello");
    wire_fini(&m);
}

/* -- reports -- */

/* The worker waits for all that went out, so nothing more may: what has not left goes back. */
static void stop_sending(struct links *l, struct session *s)
{
    s->draining = s->outbox.tell_sent = true;
    add_news(l, s);
    outgoing_move(&s->outbox.attempts, &l->undelivered.attempts);
}

static void on_report(struct links *l, struct session *s, const struct wire_report *report)
{
    links_session number = s->number;
    s->free = report->free;
    s->running = report->running;
    if (report->draining && !s->draining)
        stop_sending(l, s);
    l->events.report(l->arg, number, report);
}

static void on_report_frame(struct links *l, const struct wire_sealed *frame, uint64_t now_ms)
{
    struct session *s = by_wire_id(l, frame->session);
    struct buf plain;
    struct wire_message m;
    if (!s || !s->joined) {
        bad_message(l, "reports", PB_E_NOT_FOUND, now_ms);
        return;
    }
    buf_init(&plain, LIMIT_MESSAGE_BYTES);
    pb_err err = channel_open(&s->channel, frame, &plain);
    if (!err) {
        s->heard_ms = now_ms;
        err = wire_read(plain.data, plain.len, &m);
    }
    if (err) {
        bad_message(l, "reports", err, now_ms);
    } else {
        if (m.kind == WIRE_REPORT)
            on_report(l, s, &m.report);
        else if (m.kind == WIRE_LEAVE) {
            s->goodbye = true;
            session_end(l, s, "it said goodbye");
        }
        wire_fini(&m);
    }
    buf_fini(&plain);
}

static void on_report_message(struct links *l, const uint8_t *bytes, size_t len, uint64_t now_ms)
{
    struct wire_message m;
    pb_err err = wire_read(bytes, len, &m);
    if (err) {
        bad_message(l, "reports", err, now_ms);
        return;
    }
    if (m.kind == WIRE_SEALED)
        on_report_frame(l, &m.sealed, now_ms);
    else
        bad_message(l, "reports", PB_E_INVALID, now_ms);
    wire_fini(&m);
}

static void receive_reports(struct links *l, uint64_t now_ms)
{
    const uint8_t *bytes;
    size_t len;
    for (int n = 0; n < MESSAGES_A_TURN && sockets_report(l->sockets, &bytes, &len); n++)
        on_report_message(l, bytes, len, now_ms);
}

static void receive_questions(struct links *l, uint64_t now_ms)
{
    const uint8_t *bytes;
    size_t len;
    for (int n = 0; n < MESSAGES_A_TURN && sockets_question(l->sockets, now_ms, &bytes, &len); n++)
        on_member_message(l, bytes, len, now_ms);
}

static void end_dead_sessions(struct links *l)
{
    struct session *s, *next;
    if (!sockets_bell(l->sockets))
        return;
    HASH_ITER(by_number, l->by_number, s, next)
    {
        if (s->sockets.jobs && push_is_dead(s->sockets.jobs))
            session_end(l, s, "its connection broke");
    }
}

void links_turn(struct links *l, uint64_t now_ms)
{
    l->now_ms = now_ms;
    receive_reports(l, now_ms);
    receive_questions(l, now_ms);
    end_dead_sessions(l);
}

/* -- what goes out -- */

void links_send_attempt(struct links *l, links_session session, const struct wire_attempt *a)
{
    struct session *s = by_number(l, session);
    if (!s)
        return;
    outbox_attempt(s->draining ? &l->undelivered : &s->outbox, session, a);
    add_news(l, s);
}

static void say_fence(struct links *l, links_session session, enum outbox_list list, uint64_t fence)
{
    struct session *s = by_number(l, session);
    if (!s)
        return;
    outbox_fence(&s->outbox, list, fence);
    add_news(l, s);
}

void links_send_settled(struct links *l, links_session session, uint64_t fence)
{
    say_fence(l, session, OUTBOX_SETTLED, fence);
}

void links_send_cancel(struct links *l, links_session session, uint64_t fence)
{
    say_fence(l, session, OUTBOX_CANCEL, fence);
}

void links_send_stop(struct links *l, links_session session, uint64_t fence)
{
    say_fence(l, session, OUTBOX_STOP, fence);
}

pb_err links_drain(struct links *l, const char *worker_id_text)
{
    struct session *s, *next;
    HASH_ITER(by_number, l->by_number, s, next)
    {
        if (!s->joined || strcmp(s->id, worker_id_text) != 0)
            continue;
        s->outbox.ask_drain = !s->draining;
        add_news(l, s);
        log_line(l->log, LOG_INFO, "a worker is asked to drain", "worker", s->name, "id", s->id, NULL);
        return PB_OK;
    }
    return PB_E_NOT_FOUND;
}

void links_ask_list(struct links *l, links_session session)
{
    struct session *s = by_number(l, session);
    if (!s)
        return;
    s->outbox.ask_list = true;
    add_news(l, s);
}

static pb_err seal(void *arg, const struct buf *plain)
{
    struct session *s = arg;
    buf_reset(&s->unsent);
    return channel_seal(&s->channel, plain->data, plain->len, &s->unsent);
}

/* Sends until nothing waits or the pipe is full. ping: say something even if there is nothing to say. */
static void send_all(struct links *l, struct session *s, bool ping, uint64_t now_ms)
{
    pb_err err = PB_OK;
    while (!err && (s->unsent.len || outbox_has_news(&s->outbox) || ping)) {
        if (!s->unsent.len)
            err = outbox_pack(&s->outbox, seal, s);
        if (!err)
            err = push_send(s->sockets.jobs, s->unsent.data, s->unsent.len);
        if (!err) {
            buf_reset(&s->unsent);
            s->sent_ms = now_ms;
            ping = false;
        }
    }
    watch_send(l, s, err == PB_E_AGAIN);
}

/* By now the owner has taken the reports after which these could not leave, and gives nothing more to those
 * workers. */
static void give_back(struct links *l)
{
    struct outgoing_queue back;
    outgoing_init(&back);
    outgoing_move(&l->undelivered.attempts, &back);
    for (struct outgoing *o; (o = outgoing_pop(&back)); outgoing_free(o))
        l->events.undelivered(l->arg, o->session, &o->attempt);
}

void links_flush(struct links *l, uint64_t now_ms)
{
    struct session *s, *next;
    give_back(l);
    DL_FOREACH_SAFE(l->news, s, next)
    {
        send_all(l, s, false, now_ms);
        if (!s->unsent.len && !outbox_has_news(&s->outbox))
            drop_news(l, s);
    }
}

static uint64_t least(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

/* One session's deadlines; false when it is over. */
static void tick_session(struct links *l, struct session *s, uint64_t now_ms, uint64_t *due_ms)
{
    uint64_t ends_ms = s->joined ? s->heard_ms + l->settings.lease_ms : s->began_ms + LIMIT_HELLO_MS;
    if (now_ms >= ends_ms) {
        session_end(l, s, "nothing was heard of it for a whole lease");
        return;
    }
    *due_ms = least(*due_ms, ends_ms);
    if (!s->joined)
        return;
    if (now_ms >= s->sent_ms + l->settings.beat_ms)
        send_all(l, s, true, now_ms);
    if (s->unsent.len) /* the ping found no room */
        add_news(l, s);
    uint64_t ping_ms = s->sent_ms + l->settings.beat_ms;
    *due_ms = least(*due_ms, ping_ms > now_ms ? ping_ms : now_ms + l->settings.beat_ms);
}

static void tick_sessions(struct links *l, uint64_t now_ms, uint64_t paused_ms)
{
    struct session *s, *next;
    uint64_t due_ms = UINT64_MAX;
    HASH_ITER(by_number, l->by_number, s, next)
    {
        s->heard_ms += paused_ms;
        s->began_ms += paused_ms;
        tick_session(l, s, now_ms, &due_ms);
    }
    l->due_ms = due_ms;
}

/* What happens between two looks only puts deadlines off, but for sessions that are new. */
uint64_t links_tick(struct links *l, uint64_t now_ms, uint64_t paused_ms)
{
    uint64_t sockets_ms = sockets_tick(l->sockets, now_ms);
    l->now_ms = now_ms;
    if (paused_ms || now_ms >= l->due_ms)
        tick_sessions(l, now_ms, paused_ms);
    return least(sockets_ms, l->due_ms);
}

/* -- for people -- */

void links_each_worker(struct links *l, uint64_t now_ms,
                       void (*each)(void *arg, const struct links_worker *w), void *arg)
{
    struct session *s, *next;
    HASH_ITER(by_number, l->by_number, s, next)
    {
        if (!s->joined)
            continue;
        struct links_worker w = {
            .id = s->id,
            .name = s->name,
            .version = s->version,
            .capacity = s->capacity,
            .running = s->running,
            .free = s->free,
            .draining = s->draining,
            .joined_ago_ms = now_ms - s->began_ms,
            .heard_ago_ms = now_ms - s->heard_ms,
            .attempts_sent = s->outbox.sent,
        };
        each(arg, &w);
    }
}

size_t links_worker_count(const struct links *l)
{
    return l->joined;
}

/* -- life -- */

pb_err links_open(const struct links_settings *settings, const struct log *log,
                  const struct links_events *events, void *arg, struct links **out, struct pb_why *why)
{
    struct links *l = calloc(1, sizeof *l);
    if (!l)
        return PB_E_MEMORY;
    *l = (struct links){.settings = *settings, .log = log, .events = *events, .arg = arg};
    outbox_init(&l->undelivered);
    pb_err err = sockets_open(settings->listen, &l->sockets, why);
    if (err)
        links_close(l);
    else
        *out = l;
    return err;
}

void links_close(struct links *l)
{
    struct session *s, *next;
    if (!l)
        return;
    HASH_ITER(by_number, l->by_number, s, next)
    {
        session_free(l, s);
    }
    outbox_fini(&l->undelivered);
    sockets_close(l->sockets);
    free(l);
}

int links_fd(const struct links *l)
{
    return sockets_fd(l->sockets);
}
