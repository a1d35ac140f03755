/* patchbay-flap: workers that come and go. Each session says hello and joins as a real worker does; then raw
 * peers connect to its jobs address several times and leave: at once, after the handshake, or a moment later.
 * That is what tears a naive PUSH socket apart (common/push.h). For tests/system/test_flap.py, against a live
 * broker. */
#include "common/channel.h"
#include "common/limits.h"

#include <arpa/inet.h>
#include <errno.h>
#include <nng/nng.h>
#include <nng/protocol/reqrep0/req.h>
#include <pthread.h>
#include <signal.h>
#include <sodium.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#define ANSWER_MS 20000

static struct {
    const char *broker; /* ipc://FOLDER or tcp://HOST:PORT */
    const char *ways;   /* in which peers leave, in turn: digits, see flap() */
    uint8_t psk[CHANNEL_PSK_BYTES], seal_key[32];
    long sessions, flaps;
    atomic_long next, joined, connections, handshakes, failures;
} flapper;

/* -- a session, up to the address of its jobs socket -- */

static bool ask(nng_socket members, const struct buf *question, nng_msg **answer)
{
    nng_msg *msg;
    if (nng_msg_alloc(&msg, question->len) != 0)
        return false;
    memcpy(nng_msg_body(msg), question->data, question->len);
    if (nng_sendmsg(members, msg, 0) != 0) {
        nng_msg_free(msg);
        return false;
    }
    return nng_recvmsg(members, answer, 0) == 0;
}

static bool say_hello(nng_socket members, struct channel *channel)
{
    struct channel_hello hello;
    struct wire_message m;
    struct buf b;
    nng_msg *answer = NULL;
    bool ok = false;
    buf_init(&b, 1024);
    if (channel_greet(flapper.psk, &hello) == PB_OK && wire_pack_hello(&hello.hello, &b) == PB_OK &&
        ask(members, &b, &answer) && wire_read(nng_msg_body(answer), nng_msg_len(answer), &m) == PB_OK) {
        ok =
            m.kind == WIRE_WELCOME && channel_take_welcome(flapper.psk, &hello, &m.welcome, channel) == PB_OK;
        wire_fini(&m);
    }
    nng_msg_free(answer);
    buf_fini(&b);
    return ok;
}

static bool read_joined(struct channel *channel, nng_msg *answer, char jobs[256])
{
    struct wire_message outer, m;
    struct buf plain;
    bool ok = false;
    buf_init(&plain, LIMIT_MESSAGE_BYTES);
    if (wire_read(nng_msg_body(answer), nng_msg_len(answer), &outer) != PB_OK)
        return false;
    if (outer.kind == WIRE_SEALED && channel_open(channel, &outer.sealed, &plain) == PB_OK &&
        wire_read(plain.data, plain.len, &m) == PB_OK) {
        ok = m.kind == WIRE_JOINED;
        if (ok)
            snprintf(jobs, 256, "%.*s", (int)m.joined.jobs.len, m.joined.jobs.data);
        wire_fini(&m);
    }
    wire_fini(&outer);
    buf_fini(&plain);
    return ok;
}

static bool join(nng_socket members, struct channel *channel, char jobs[256])
{
    struct wire_join join = {.name = {"flap", 4}, .version = {"0", 1}, .capacity = 1};
    struct buf plain, frame;
    nng_msg *answer = NULL;
    memcpy(join.seal_key, flapper.seal_key, sizeof join.seal_key);
    buf_init(&plain, 4096);
    buf_init(&frame, 8192);
    bool ok = wire_pack_join(&join, &plain) == PB_OK &&
              channel_seal(channel, plain.data, plain.len, &frame) == PB_OK &&
              ask(members, &frame, &answer) && read_joined(channel, answer, jobs);
    nng_msg_free(answer);
    buf_fini(&plain);
    buf_fini(&frame);
    return ok;
}

static bool open_session(char jobs[256])
{
    char url[256];
    nng_socket members;
    struct channel channel;
    bool ipc = strncmp(flapper.broker, "ipc://", 6) == 0;
    snprintf(url, sizeof url, "%.200s%s", flapper.broker, ipc ? "/members" : "");
    if (nng_req0_open(&members) != 0)
        return false;
    nng_socket_set_ms(members, NNG_OPT_RECVTIMEO, ANSWER_MS);
    nng_socket_set_ms(members, NNG_OPT_SENDTIMEO, ANSWER_MS);
    bool ok =
        nng_dial(members, url, NULL, 0) == 0 && say_hello(members, &channel) && join(members, &channel, jobs);
    nng_close(members);
    return ok;
}

/* -- raw peers -- */

static int dial_tcp(const char *port)
{
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons((uint16_t)strtoul(port, NULL, 10))};
    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    if (fd >= 0 && connect(fd, (struct sockaddr *)&to, sizeof to) != 0) {
        close(fd);
        fd = -1;
    }
    return fd;
}

static int dial_ipc(const char *path)
{
    struct sockaddr_un to = {.sun_family = AF_UNIX};
    if (strlen(path) >= sizeof to.sun_path)
        return -1;
    memcpy(to.sun_path, path, strlen(path) + 1);
    int fd = socket(AF_UNIX, SOCK_STREAM, 0);
    if (fd >= 0 && connect(fd, (struct sockaddr *)&to, sizeof to) != 0) {
        close(fd);
        fd = -1;
    }
    return fd;
}

/* Connects as a PULL peer and leaves: 0 at once, 1 after the handshake, 2 a moment later, 3 after waiting for
 * more. */
static void flap(const char *jobs, char way)
{
    static const unsigned char hello[8] = {0, 'S', 'P', 0, 0, 0x51, 0, 0}; /* SP header, protocol PULL */
    unsigned char reply[256];
    struct timeval wait = {0, 20000};
    int fd = jobs[0] == ':' ? dial_tcp(jobs + 1) : dial_ipc(jobs + 6);
    if (fd < 0)
        return; /* the session ended with the first peer: its socket is gone */
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &wait, sizeof wait);
    flapper.connections++;
    if (write(fd, hello, sizeof hello) == (ssize_t)sizeof hello) {
        if (way != '0' && read(fd, reply, 8) == 8)
            flapper.handshakes++;
        if (way == '2')
            usleep((useconds_t)randombytes_uniform(300));
        if (way == '3' && read(fd, reply, sizeof reply) < 0)
            flapper.failures += errno != EAGAIN && errno != ECONNRESET;
    }
    close(fd);
}

static void *run(void *unused)
{
    (void)unused;
    while (flapper.next++ < flapper.sessions) {
        char jobs[256];
        if (!open_session(jobs)) {
            flapper.failures++;
            continue;
        }
        flapper.joined++;
        size_t count = strlen(flapper.ways), first = randombytes_uniform((uint32_t)count);
        for (size_t k = 0; k < (size_t)flapper.flaps; k++)
            flap(jobs, flapper.ways[(first + k) % count]);
    }
    return NULL;
}

static bool read_key(const char *hex)
{
    size_t len = 0;
    return sodium_hex2bin(flapper.seal_key, sizeof flapper.seal_key, hex, strlen(hex), NULL, &len, NULL) ==
               0 &&
           len == sizeof flapper.seal_key;
}

int main(int argc, char **argv)
{
    enum { THREADS = 8 };
    pthread_t threads[THREADS];
    struct pb_why why = {0};
    if (argc != 7 || !argv[6][0] || sodium_init() < 0 || !read_key(argv[3])) {
        fprintf(stderr, "usage: patchbay-flap BROKER SECRET-FILE SEAL-KEY-HEX SESSIONS FLAPS WAYS\n");
        return 2;
    }
    signal(SIGPIPE, SIG_IGN);
    flapper.broker = argv[1];
    flapper.ways = argv[6];
    flapper.sessions = strtol(argv[4], NULL, 10);
    flapper.flaps = strtol(argv[5], NULL, 10);
    if (channel_read_secret(argv[2], flapper.psk, &why) != PB_OK) {
        fprintf(stderr, "patchbay-flap: %s: %s\n", why.at, why.text);
        return 2;
    }
    for (int i = 0; i < THREADS; i++)
        pthread_create(&threads[i], NULL, run, NULL);
    for (int i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    printf("{\"joined\":%ld,\"connections\":%ld,\"handshakes\":%ld,\"failures\":%ld}\n", (long)flapper.joined,
           (long)flapper.connections, (long)flapper.handshakes, (long)flapper.failures);
    return flapper.failures ? 1 : 0;
}
