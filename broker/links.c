/* Sessions are found by three names: the number the board knows, the 16 bytes that frames carry, and their
 * place in the list. A session begins with a hello (pending, at most LIMIT_HELLO_MS), becomes a member by a
 * join that only the holder of the session's keys can have sealed, and gets its PUSH socket then and not
 * before. */
#include "broker/links.h"

#include "common/buf.h"
#include "common/channel.h"
#include "common/clock.h"
#include "common/limits.h"
#include "common/push.h"

#include <assert.h>
#include <errno.h>
#include <nng/nng.h>
#include <nng/protocol/pipeline0/pull.h>
#include <nng/protocol/reqrep0/rep.h>
#include <poll.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/stat.h>
#include <unistd.h>
#include <uthash.h>

#define ADDRESS_BYTES   256
#define MESSAGES_A_TURN 256 /* of each socket, so that a flood on one leaves the other its turn */
#define BAD_LOG_MS      60000

struct outgoing {
    struct wire_attempt attempt; /* its texts and payload lie in bytes */
    uint8_t *bytes;
    struct outgoing *next;
};

struct fences {
    uint64_t *items;
    size_t count, capacity;
};

struct session {
    links_session number;
    uint8_t wire_id[WIRE_SESSION_BYTES];
    struct channel channel;
    bool joined;
    struct buf hello_answer, join_answer; /* for a hello or join that is sent again */
    uint8_t hello_key[WIRE_KEY_BYTES];
    uint64_t began_ms, heard_ms, sent_ms;
    struct push *push;
    int send_fd;       /* in epoll while a frame waits for room; -1: not */
    struct buf unsent; /* one sealed frame that the pipe had no room for */
    struct outgoing *attempts, **attempts_tail;
    size_t attempt_count, attempts_bytes;
    struct fences settled, cancel;
    bool ask_list;
    char id[ID_TEXT_BYTES], name[LIMIT_WORKER_NAME + 1], version[32];
    uint32_t capacity, free, running;
    uint64_t attempts_sent;
    bool draining;
    UT_hash_handle by_number, by_wire_id;
};

struct links {
    struct links_settings settings;
    const struct log *log;
    struct links_events events;
    void *arg;
    nng_socket members, reports;
    int epoll_fd, bell_fd, members_fd, members_send_fd, reports_fd;
    nng_msg *answer;            /* to the newest asker, whose connection is still busy with the one before */
    char folder[ADDRESS_BYTES]; /* ipc: where sockets are made; else empty */
    char host[ADDRESS_BYTES];   /* tcp: what is listened on */
    char reports_address[ADDRESS_BYTES];
    struct session *by_number, *by_wire_id;
    size_t pending, joined;
    links_session last_number;
    uint64_t second_ms;
    unsigned refused_this_second;
    uint64_t bad_logged_ms, bad_count;
};

/* -- addresses -- */

static pb_err nng_why(struct pb_why *why, const char *address, int rv)
{
    const char *remedy = rv == NNG_EADDRINUSE
                             ? "; another broker listens there: stop it, or choose another --cluster-listen"
                             : "";
    return pb_fail(why, PB_E_IO, address, "cannot listen: %s%s", nng_strerror(rv), remedy);
}

static pb_err ipc_addresses(struct links *l, char members[ADDRESS_BYTES], struct pb_why *why)
{
    const size_t longest = sizeof "/jobs-0123456789abcdef", room = 107;
    if (strlen(l->folder) + longest > room)
        return pb_fail(why, PB_E_LIMIT, l->settings.listen,
                       "the folder's path is too long for sockets: %zu bytes at most", room - longest);
    if (mkdir(l->folder, 0700) != 0 && errno != EEXIST)
        return pb_fail(why, PB_E_IO, l->folder, "cannot be made: %s", strerror(errno));
    if (chmod(l->folder, 0700) != 0)
        return pb_fail(why, PB_E_IO, l->folder, "cannot be made private: %s", strerror(errno));
    snprintf(members, ADDRESS_BYTES, "ipc://%.200s/members", l->folder);
    snprintf(l->reports_address, ADDRESS_BYTES, "ipc://%.200s/reports", l->folder);
    return PB_OK;
}

static pb_err tcp_addresses(struct links *l, char members[ADDRESS_BYTES], struct pb_why *why)
{
    const char *colon = strrchr(l->host, ':');
    char *end = NULL;
    unsigned long port = colon ? strtoul(colon + 1, &end, 10) : 0;
    if (!colon || *end || port == 0 || port > 65534)
        return pb_fail(why, PB_E_INVALID, l->settings.listen,
                       "must be tcp://HOST:PORT with a port from 1 to 65534");
    l->host[colon - l->host] = 0;
    snprintf(members, ADDRESS_BYTES, "tcp://%.200s:%lu", l->host, port);
    snprintf(l->reports_address, ADDRESS_BYTES, "tcp://%.200s:%lu", l->host, port + 1);
    return PB_OK;
}

static pb_err addresses(struct links *l, char members[ADDRESS_BYTES], struct pb_why *why)
{
    const char *listen = l->settings.listen;
    if (strncmp(listen, "ipc://", 6) == 0 && listen[6]) {
        snprintf(l->folder, sizeof l->folder, "%s", listen + 6);
        return ipc_addresses(l, members, why);
    }
    if (strncmp(listen, "tcp://", 6) == 0) {
        snprintf(l->host, sizeof l->host, "%s", listen + 6);
        return tcp_addresses(l, members, why);
    }
    return pb_fail(why, PB_E_INVALID, listen, "must be ipc://FOLDER or tcp://HOST:PORT");
}

/* What the worker is told to dial: of a tcp address only the port, since it knows by which name it reached
 * us. */
static void told_address(const char *address, char out[ADDRESS_BYTES])
{
    const char *port = strncmp(address, "tcp://", 6) == 0 ? strrchr(address, ':') : address;
    snprintf(out, ADDRESS_BYTES, "%s", port);
}

/* -- sessions -- */

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
    s->attempts_tail = &s->attempts;
    memcpy(s->wire_id, hello->session, sizeof s->wire_id);
    memcpy(s->hello_key, hello->key, sizeof s->hello_key);
    buf_init(&s->hello_answer, 1024);
    buf_init(&s->join_answer, 4096);
    buf_init(&s->unsent, LIMIT_MESSAGE_BYTES);
    HASH_ADD(by_number, l->by_number, number, sizeof s->number, s);
    HASH_ADD(by_wire_id, l->by_wire_id, wire_id, WIRE_SESSION_BYTES, s);
    l->pending++;
    return s;
}

static void drop_attempts(struct session *s)
{
    for (struct outgoing *o; (o = s->attempts);) {
        s->attempts = o->next;
        free(o->bytes);
        free(o);
    }
    s->attempts_tail = &s->attempts;
    s->attempt_count = s->attempts_bytes = 0;
}

static void watch_send(struct links *l, struct session *s, bool on)
{
    if (on == (s->send_fd >= 0))
        return;
    if (!on) {
        epoll_ctl(l->epoll_fd, EPOLL_CTL_DEL, s->send_fd, NULL);
        s->send_fd = -1;
        return;
    }
    struct epoll_event ev = {.events = EPOLLIN, .data.fd = push_send_fd(s->push)};
    if (ev.data.fd >= 0 && epoll_ctl(l->epoll_fd, EPOLL_CTL_ADD, ev.data.fd, &ev) == 0)
        s->send_fd = ev.data.fd;
}

static void session_free(struct links *l, struct session *s)
{
    watch_send(l, s, false);
    push_close(s->push);
    HASH_DELETE(by_number, l->by_number, s);
    HASH_DELETE(by_wire_id, l->by_wire_id, s);
    *(s->joined ? &l->joined : &l->pending) -= 1;
    drop_attempts(s);
    free(s->settled.items);
    free(s->cancel.items);
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
    if (joined)
        log_line(l->log, s->draining ? LOG_INFO : LOG_WARN, "worker left", "worker", s->name, "id", s->id,
                 "reason", reason, NULL);
    session_free(l, s);
    if (joined)
        l->events.left(l->arg, number, reason);
}

/* -- answers on the members socket -- */

/* REP forgets whom it owes an answer as soon as a send is tried, also when it fails because the connection is
 * busy with the answer before. So nothing is sent until it can be, and nothing else is received until then.
 */
static void send_answer(struct links *l)
{
    struct pollfd writable = {.fd = l->members_send_fd, .events = POLLIN};
    if (!l->answer || poll(&writable, 1, 0) != 1)
        return;
    if (nng_sendmsg(l->members, l->answer, NNG_FLAG_NONBLOCK) != 0)
        nng_msg_free(l->answer); /* the asker is gone */
    l->answer = NULL;
}

static void reply(struct links *l, const uint8_t *bytes, size_t len)
{
    assert(!l->answer);
    if (nng_msg_alloc(&l->answer, len) != 0) {
        l->answer = NULL; /* it asks again */
        return;
    }
    memcpy(nng_msg_body(l->answer), bytes, len);
    send_answer(l);
}

static void reply_packed(struct links *l, struct buf *b, pb_err err)
{
    if (!err)
        reply(l, b->data, b->len);
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
            reply(l, s->hello_answer.data, s->hello_answer.len);
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
        reply(l, s->hello_answer.data, s->hello_answer.len);
}

static pb_err open_jobs(struct links *l, struct session *s, char told[ADDRESS_BYTES], struct pb_why *why)
{
    char url[ADDRESS_BYTES], hex[17];
    if (l->folder[0]) {
        sodium_bin2hex(hex, sizeof hex, s->wire_id, 8);
        snprintf(url, sizeof url, "ipc://%.200s/jobs-%s", l->folder, hex);
    } else {
        snprintf(url, sizeof url, "tcp://%.200s:0", l->host);
    }
    pb_err err = push_listen(url, l->bell_fd, &s->push, why);
    if (err)
        return err;
    if (l->folder[0])
        snprintf(told, ADDRESS_BYTES, "%s", url);
    else
        snprintf(told, ADDRESS_BYTES, ":%u", push_port(s->push));
    return PB_OK;
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

static pb_err answer_join(struct links *l, struct session *s, const char *jobs)
{
    char reports[ADDRESS_BYTES];
    struct buf plain;
    told_address(l->reports_address, reports);
    struct wire_joined joined = {
        .worker = text_of(s->id),
        .jobs = text_of(jobs),
        .reports = text_of(reports),
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
    char jobs[ADDRESS_BYTES] = "";
    struct pb_why why = {0};
    remember_worker(s, join);
    pb_err err = open_jobs(l, s, jobs, &why);
    if (!err)
        err = answer_join(l, s, jobs);
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
    l->pending--;
    l->joined++;
    log_line(l->log, LOG_INFO, "worker joined", "worker", s->name, "id", s->id, "version", s->version, NULL);
    reply(l, s->join_answer.data, s->join_answer.len);
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
            reply(l, s->join_answer.data, s->join_answer.len);
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

static void on_report(struct links *l, struct session *s, const struct wire_report *report)
{
    links_session number = s->number;
    s->free = report->free;
    s->running = report->running;
    s->draining = report->draining;
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
        else if (m.kind == WIRE_LEAVE)
            session_end(l, s, "it said goodbye");
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
    nng_msg *msg;
    for (int n = 0; n < MESSAGES_A_TURN && nng_recvmsg(l->reports, &msg, NNG_FLAG_NONBLOCK) == 0; n++) {
        on_report_message(l, nng_msg_body(msg), nng_msg_len(msg), now_ms);
        nng_msg_free(msg);
    }
}

static void receive_members(struct links *l, uint64_t now_ms)
{
    nng_msg *msg;
    send_answer(l);
    for (int n = 0; n < MESSAGES_A_TURN && !l->answer; n++) {
        if (nng_recvmsg(l->members, &msg, NNG_FLAG_NONBLOCK) != 0)
            return;
        on_member_message(l, nng_msg_body(msg), nng_msg_len(msg), now_ms);
        nng_msg_free(msg);
    }
}

static void end_dead_sessions(struct links *l)
{
    struct session *s, *next;
    uint64_t rings;
    if (read(l->bell_fd, &rings, sizeof rings) < 0)
        return;
    HASH_ITER(by_number, l->by_number, s, next)
    {
        if (s->push && push_is_dead(s->push))
            session_end(l, s, "its connection broke");
    }
}

void links_turn(struct links *l, uint64_t now_ms)
{
    receive_reports(l, now_ms);
    receive_members(l, now_ms);
    end_dead_sessions(l);
}

/* -- what goes out -- */

static uint8_t *copy_part(uint8_t **at, const void *from, size_t len)
{
    uint8_t *to = *at;
    if (len)
        memcpy(to, from, len);
    *at += len;
    return to;
}

void links_send_attempt(struct links *l, links_session session, const struct wire_attempt *a)
{
    struct session *s = by_number(l, session);
    struct outgoing *o = s ? calloc(1, sizeof *o) : NULL;
    size_t len = a->tenant.len + a->type.len + a->payload.len;
    if (o && !(o->bytes = malloc(len ? len : 1))) {
        free(o);
        o = NULL;
    }
    if (!o)
        return; /* no memory: the list that the worker is asked for will show the loss */
    uint8_t *at = o->bytes;
    o->attempt = *a;
    o->attempt.tenant.data = (const char *)copy_part(&at, a->tenant.data, a->tenant.len);
    o->attempt.type.data = (const char *)copy_part(&at, a->type.data, a->type.len);
    o->attempt.payload.data = copy_part(&at, a->payload.data, a->payload.len);
    *s->attempts_tail = o;
    s->attempts_tail = &o->next;
    s->attempt_count++;
    s->attempts_bytes += len;
}

static void add_fence(struct fences *f, uint64_t fence)
{
    if (f->count == f->capacity) {
        size_t capacity = f->capacity ? f->capacity * 2 : 64;
        uint64_t *items = realloc(f->items, capacity * sizeof *items);
        if (!items)
            return; /* a settled fence that is lost is reported again, and settled again */
        f->items = items;
        f->capacity = capacity;
    }
    f->items[f->count++] = fence;
}

void links_send_settled(struct links *l, links_session session, uint64_t fence)
{
    struct session *s = by_number(l, session);
    if (s)
        add_fence(&s->settled, fence);
}

void links_send_cancel(struct links *l, links_session session, uint64_t fence)
{
    struct session *s = by_number(l, session);
    if (s)
        add_fence(&s->cancel, fence);
}

void links_ask_list(struct links *l, links_session session)
{
    struct session *s = by_number(l, session);
    if (s)
        s->ask_list = true;
}

/* The next message's attempts: as many as fit. They stay in the list until the message is sealed. */
static size_t gather_attempts(const struct session *s, struct wire_attempt out[LIMIT_BATCH_ENTRIES])
{
    size_t count = 0, bytes = 0;
    for (struct outgoing *o = s->attempts; o && count < LIMIT_BATCH_ENTRIES; o = o->next) {
        bytes += o->attempt.tenant.len + o->attempt.type.len + o->attempt.payload.len + 128;
        if (count && bytes > LIMIT_BATCH_BYTES)
            break;
        out[count++] = o->attempt;
    }
    return count;
}

static void drop_sent(struct session *s, size_t attempts, size_t settled, size_t cancel)
{
    for (size_t i = 0; i < attempts; i++) {
        struct outgoing *o = s->attempts;
        s->attempts = o->next;
        s->attempt_count--;
        s->attempts_sent++;
        free(o->bytes);
        free(o);
    }
    if (!s->attempts)
        s->attempts_tail = &s->attempts;
    s->settled.count -= settled;
    s->cancel.count -= cancel;
    s->ask_list = false;
}

static size_t at_most(size_t n, size_t most)
{
    return n < most ? n : most;
}

/* Seals the next message of what waits into s->unsent. Fences go from the end: their order means nothing. */
static pb_err seal_next(struct session *s)
{
    struct wire_attempt attempts[LIMIT_BATCH_ENTRIES];
    struct wire_jobs jobs = {
        .attempts = attempts,
        .attempt_count = gather_attempts(s, attempts),
        .settled_count = at_most(s->settled.count, LIMIT_BATCH_ENTRIES),
        .cancel_count = at_most(s->cancel.count, LIMIT_BATCH_ENTRIES),
        .list = s->ask_list,
    };
    struct buf plain;
    if (s->settled.items)
        jobs.settled = s->settled.items + (s->settled.count - jobs.settled_count);
    if (s->cancel.items)
        jobs.cancel = s->cancel.items + (s->cancel.count - jobs.cancel_count);
    buf_init(&plain, LIMIT_MESSAGE_BYTES);
    buf_reset(&s->unsent);
    pb_err err = wire_pack_jobs(&jobs, &plain);
    if (!err)
        err = channel_seal(&s->channel, plain.data, plain.len, &s->unsent);
    if (!err)
        drop_sent(s, jobs.attempt_count, jobs.settled_count, jobs.cancel_count);
    buf_fini(&plain);
    return err;
}

static bool anything_to_say(const struct session *s)
{
    return s->attempts || s->settled.count || s->cancel.count || s->ask_list;
}

/* Sends until nothing waits or the pipe is full. ping: say something even if there is nothing to say. */
static void send_all(struct links *l, struct session *s, bool ping, uint64_t now_ms)
{
    pb_err err = PB_OK;
    while (!err && (s->unsent.len || anything_to_say(s) || ping)) {
        if (!s->unsent.len)
            err = seal_next(s);
        if (!err)
            err = push_send(s->push, s->unsent.data, s->unsent.len);
        if (!err) {
            buf_reset(&s->unsent);
            s->sent_ms = now_ms;
            ping = false;
        }
    }
    watch_send(l, s, err == PB_E_AGAIN);
}

void links_flush(struct links *l, uint64_t now_ms)
{
    struct session *s, *next;
    HASH_ITER(by_number, l->by_number, s, next)
    {
        if (s->joined && (s->unsent.len || anything_to_say(s)))
            send_all(l, s, false, now_ms);
    }
}

static uint64_t least(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

/* One session's deadlines; false when it is over. */
static bool tick_session(struct links *l, struct session *s, uint64_t now_ms, uint64_t *due_ms)
{
    uint64_t ends_ms = s->joined ? s->heard_ms + l->settings.lease_ms : s->began_ms + LIMIT_HELLO_MS;
    if (now_ms >= ends_ms) {
        session_end(l, s, "nothing was heard of it for a whole lease");
        return false;
    }
    *due_ms = least(*due_ms, ends_ms);
    if (!s->joined)
        return true;
    if (now_ms >= s->sent_ms + l->settings.beat_ms)
        send_all(l, s, true, now_ms);
    uint64_t ping_ms = s->sent_ms + l->settings.beat_ms;
    *due_ms = least(*due_ms, ping_ms > now_ms ? ping_ms : now_ms + l->settings.beat_ms);
    return true;
}

uint64_t links_tick(struct links *l, uint64_t now_ms, uint64_t paused_ms)
{
    struct session *s, *next;
    uint64_t due_ms = UINT64_MAX;
    HASH_ITER(by_number, l->by_number, s, next)
    {
        s->heard_ms += paused_ms;
        s->began_ms += paused_ms;
        tick_session(l, s, now_ms, &due_ms);
    }
    return due_ms;
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
            .session = s->number,
            .id = s->id,
            .name = s->name,
            .version = s->version,
            .capacity = s->capacity,
            .running = s->running,
            .free = s->free,
            .draining = s->draining,
            .joined_ago_ms = now_ms - s->began_ms,
            .heard_ago_ms = now_ms - s->heard_ms,
            .attempts_sent = s->attempts_sent,
        };
        each(arg, &w);
    }
}

size_t links_worker_count(const struct links *l)
{
    return l->joined;
}

/* -- life -- */

static int listen_at(nng_socket socket, const char *url)
{
    nng_listener listener;
    int rv = nng_socket_set_size(socket, NNG_OPT_RECVMAXSZ, LIMIT_MESSAGE_BYTES);
    if (rv == 0)
        rv = nng_listener_create(&listener, socket, url);
    if (rv == 0 && strncmp(url, "ipc://", 6) == 0)
        rv = nng_listener_set_int(listener, NNG_OPT_IPC_PERMISSIONS, 0600);
    return rv ? rv : nng_listener_start(listener, 0);
}

static pb_err open_sockets(struct links *l, struct pb_why *why)
{
    char members[ADDRESS_BYTES];
    pb_err err = addresses(l, members, why);
    if (err)
        return err;
    int rv = nng_rep0_open(&l->members);
    if (rv == 0)
        rv = listen_at(l->members, members);
    if (rv != 0)
        return nng_why(why, members, rv);
    rv = nng_pull0_open(&l->reports);
    if (rv == 0)
        rv = listen_at(l->reports, l->reports_address);
    return rv ? nng_why(why, l->reports_address, rv) : PB_OK;
}

static pb_err watch(struct links *l, int fd)
{
    struct epoll_event ev = {.events = EPOLLIN, .data.fd = fd};
    return epoll_ctl(l->epoll_fd, EPOLL_CTL_ADD, fd, &ev) == 0 ? PB_OK : PB_E_IO;
}

static pb_err watch_sockets(struct links *l, struct pb_why *why)
{
    l->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    l->bell_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    int rv = nng_socket_get_int(l->members, NNG_OPT_RECVFD, &l->members_fd);
    if (rv == 0)
        rv = nng_socket_get_int(l->members, NNG_OPT_SENDFD, &l->members_send_fd);
    if (rv == 0)
        rv = nng_socket_get_int(l->reports, NNG_OPT_RECVFD, &l->reports_fd);
    if (rv != 0 || watch(l, l->bell_fd) || watch(l, l->members_fd) || watch(l, l->members_send_fd) ||
        watch(l, l->reports_fd))
        return pb_fail(why, PB_E_IO, "cluster-listen", "cannot watch the sockets: %s",
                       rv ? nng_strerror(rv) : strerror(errno));
    return PB_OK;
}

pb_err links_open(const struct links_settings *settings, const struct log *log,
                  const struct links_events *events, void *arg, struct links **out, struct pb_why *why)
{
    struct links *l = calloc(1, sizeof *l);
    if (!l)
        return PB_E_MEMORY;
    *l = (struct links){
        .settings = *settings, .log = log, .events = *events, .arg = arg, .epoll_fd = -1, .bell_fd = -1};
    pb_err err = open_sockets(l, why);
    if (!err)
        err = watch_sockets(l, why);
    if (err) {
        links_close(l);
        return err;
    }
    *out = l;
    return PB_OK;
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
    nng_msg_free(l->answer);
    if (nng_socket_id(l->members) > 0)
        nng_close(l->members);
    if (nng_socket_id(l->reports) > 0)
        nng_close(l->reports);
    if (l->bell_fd >= 0)
        close(l->bell_fd);
    if (l->epoll_fd >= 0)
        close(l->epoll_fd);
    free(l);
}

int links_fd(const struct links *l)
{
    return l->epoll_fd;
}
