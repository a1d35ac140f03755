#include "common/push.h"

#include "common/clock.h"
#include "common/limits.h"
#include "tests/unit/scratch.h"

#include <nng/nng.h>
#include <nng/protocol/pipeline0/pull.h>
#include <nng/protocol/pipeline0/push.h>
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/stat.h>
#include <unistd.h>
/* cmocka wants setjmp and stdarg before it */
#include <cmocka.h>

#define PATIENCE_MS 5000 /* for what comes at once on an idle machine */
#define MOMENT_MS   100  /* for what must not come */
#define QUIET_MS    20

static const char *url_of(void **state, const char *name, char url[300])
{
    char path[256];
    snprintf(url, 300, "ipc://%s", scratch_path(*state, name, path));
    return url;
}

static struct push *listening(const char *url, int bell_fd)
{
    struct push *p = NULL;
    struct pb_why why = {0};
    if (push_listen(url, bell_fd, &p, &why) != PB_OK)
        fail_msg("%s: %s", why.at, why.text);
    return p;
}

static nng_socket puller(const char *url)
{
    nng_socket s;
    assert_int_equal(nng_pull0_open(&s), 0);
    assert_int_equal(nng_socket_set_ms(s, NNG_OPT_RECVTIMEO, PATIENCE_MS), 0);
    assert_int_equal(nng_socket_set_size(s, NNG_OPT_RECVMAXSZ, LIMIT_MESSAGE_BYTES), 0);
    assert_int_equal(nng_dial(s, url, NULL, 0), 0);
    return s;
}

/* NNG 1.5.2 hangs for ever in nng_close() of a socket that is just receiving a message: so let it come first.
 */
static void close_quietly(nng_socket s)
{
    poll(NULL, 0, QUIET_MS);
    nng_close(s);
}

static bool readable(int fd, int timeout_ms)
{
    struct pollfd p = {.fd = fd, .events = POLLIN};
    return poll(&p, 1, timeout_ms) == 1;
}

/* Sends until it is taken or something else than a full pipe happens. */
static pb_err send_patiently(struct push *p, const void *bytes, size_t len)
{
    uint64_t until_ms = clock_mono_ms() + PATIENCE_MS;
    pb_err err = PB_E_AGAIN;
    while (err == PB_E_AGAIN && clock_mono_ms() < until_ms) {
        err = push_send(p, bytes, len);
        if (err == PB_E_AGAIN)
            poll(NULL, 0, 1);
    }
    return err;
}

static void expect_message(nng_socket s, const void *bytes, size_t len)
{
    nng_msg *msg;
    assert_int_equal(nng_recvmsg(s, &msg, 0), 0);
    assert_int_equal(nng_msg_len(msg), len);
    assert_memory_equal(nng_msg_body(msg), bytes, len);
    nng_msg_free(msg);
}

static bool becomes_dead(struct push *p)
{
    uint64_t until_ms = clock_mono_ms() + PATIENCE_MS;
    while (!push_is_dead(p) && clock_mono_ms() < until_ms)
        poll(NULL, 0, 1);
    return push_is_dead(p);
}

static void push_brings_messages_in_order(void **state)
{
    char url[300];
    struct push *p = listening(url_of(state, "order", url), -1);
    nng_socket s = puller(url);
    for (int sent = 0; sent < 50; sent++)
        assert_int_equal(send_patiently(p, &sent, sizeof sent), PB_OK);
    for (int got = 0; got < 50; got++)
        expect_message(s, &got, sizeof got);
    close_quietly(s);
    push_close(p);
}

static void push_would_block_while_nobody_is_there(void **state)
{
    char url[300];
    struct push *p = listening(url_of(state, "nobody", url), -1);
    assert_int_equal(push_send(p, "x", 1), PB_E_AGAIN);
    assert_false(push_is_dead(p));
    assert_false(readable(push_send_fd(p), 0));
    nng_socket s = puller(url);
    assert_true(readable(push_send_fd(p), PATIENCE_MS)); /* now a send would be taken */
    assert_int_equal(push_send(p, "x", 1), PB_OK);
    expect_message(s, "x", 1);
    close_quietly(s);
    push_close(p);
    push_close(NULL);
}

static void push_would_block_when_the_pipe_is_full(void **state)
{
    char url[300];
    static uint8_t big[256 * 1024];
    struct push *p = listening(url_of(state, "full", url), -1);
    nng_socket s = puller(url);
    int taken = 0;
    assert_int_equal(send_patiently(p, big, sizeof big), PB_OK);
    for (int tries = 0; tries < 200; tries++) { /* nobody receives */
        taken += push_send(p, big, sizeof big) == PB_OK;
        poll(NULL, 0, 1);
    }
    assert_true(taken < 100);
    assert_int_equal(push_send(p, big, sizeof big), PB_E_AGAIN);
    for (int i = 0; i < taken + 1; i++)
        expect_message(s, big, sizeof big); /* what was taken is there */
    assert_int_equal(send_patiently(p, "x", 1), PB_OK);
    close_quietly(s);
    push_close(p);
}

static void push_rings_when_its_pipe_comes_and_when_it_goes(void **state)
{
    char url[300];
    uint64_t rings;
    int bell = eventfd(0, EFD_NONBLOCK);
    struct push *p = listening(url_of(state, "bell", url), bell);
    assert_false(readable(bell, 0));
    nng_socket s = puller(url);
    assert_true(readable(bell, PATIENCE_MS));
    assert_int_equal(read(bell, &rings, sizeof rings), sizeof rings);
    assert_false(push_is_dead(p));
    close_quietly(s);
    assert_true(readable(bell, PATIENCE_MS));
    assert_true(becomes_dead(p));
    push_close(p);
    close(bell);
}

/* One session, one pipe: a worker that comes back needs a new socket. */
static void push_stays_dead_when_its_peer_has_left(void **state)
{
    char url[300];
    struct push *p = listening(url_of(state, "dead", url), -1);
    nng_socket s = puller(url);
    assert_int_equal(send_patiently(p, "x", 1), PB_OK);
    expect_message(s, "x", 1);
    close_quietly(s);
    assert_true(becomes_dead(p));
    assert_int_equal(push_send(p, "y", 1), PB_E_CLOSED);
    s = puller(url);
    poll(NULL, 0, MOMENT_MS);
    assert_true(push_is_dead(p));
    assert_int_equal(push_send(p, "z", 1), PB_E_CLOSED);
    close_quietly(s);
    push_close(p);
}

/* A stranger at the address gets nothing and ends nothing. */
static void push_lets_only_the_first_in(void **state)
{
    char url[300];
    nng_msg *msg;
    struct push *p = listening(url_of(state, "first", url), -1);
    nng_socket first = puller(url);
    assert_int_equal(send_patiently(p, "a", 1), PB_OK);
    expect_message(first, "a", 1);
    nng_socket stranger = puller(url);
    assert_int_equal(nng_socket_set_ms(stranger, NNG_OPT_RECVTIMEO, MOMENT_MS), 0);
    for (int i = 0; i < 20; i++) {
        assert_int_equal(send_patiently(p, "b", 1), PB_OK);
        expect_message(first, "b", 1);
    }
    assert_int_equal(nng_recvmsg(stranger, &msg, 0), NNG_ETIMEDOUT);
    close_quietly(stranger);
    poll(NULL, 0, MOMENT_MS);
    assert_false(push_is_dead(p));
    assert_int_equal(send_patiently(p, "c", 1), PB_OK);
    expect_message(first, "c", 1);
    close_quietly(first);
    push_close(p);
}

static void push_dials_once(void **state)
{
    char url[300];
    nng_socket s;
    struct push *p = NULL;
    struct pb_why why = {0};
    url_of(state, "dialled", url);
    assert_int_equal(nng_pull0_open(&s), 0);
    assert_int_equal(nng_socket_set_ms(s, NNG_OPT_RECVTIMEO, PATIENCE_MS), 0);
    assert_int_equal(nng_listen(s, url, NULL, 0), 0);
    assert_int_equal(push_dial(url, -1, &p, &why), PB_OK);
    assert_int_equal(send_patiently(p, "hello", 5), PB_OK);
    expect_message(s, "hello", 5);
    close_quietly(s);
    assert_true(becomes_dead(p));
    assert_int_equal(nng_pull0_open(&s), 0);
    assert_int_equal(nng_listen(s, url, NULL, 0), 0);
    poll(NULL, 0, 3 * MOMENT_MS);
    assert_int_equal(push_send(p, "x", 1), PB_E_CLOSED); /* it does not come back by itself */
    close_quietly(s);
    push_close(p);
}

static void push_takes_messages_up_to_its_limit(void **state)
{
    char url[300];
    struct push *p = listening(url_of(state, "size", url), -1);
    nng_socket s = puller(url);
    uint8_t *big = calloc(1, LIMIT_MESSAGE_BYTES + 1);
    assert_non_null(big);
    assert_int_equal(push_send(p, big, LIMIT_MESSAGE_BYTES + 1), PB_E_LIMIT);
    assert_int_equal(send_patiently(p, big, LIMIT_MESSAGE_BYTES), PB_OK);
    expect_message(s, big, LIMIT_MESSAGE_BYTES);
    assert_int_equal(send_patiently(p, "", 0), PB_OK);
    expect_message(s, "", 0);
    free(big);
    close_quietly(s);
    push_close(p);
}

static void push_listens_on_a_port_that_the_system_chose(void **state)
{
    char url[64];
    struct push *p = listening("tcp://127.0.0.1:0", -1);
    (void)state;
    assert_true(push_port(p) > 0);
    snprintf(url, sizeof url, "tcp://127.0.0.1:%u", push_port(p));
    nng_socket s = puller(url);
    assert_int_equal(send_patiently(p, "tcp", 3), PB_OK);
    expect_message(s, "tcp", 3);
    close_quietly(s);
    push_close(p);
}

static void push_sockets_are_private(void **state)
{
    char url[300];
    struct stat st;
    struct push *p = listening(url_of(state, "mode", url), -1);
    assert_int_equal(stat(url + strlen("ipc://"), &st), 0);
    assert_int_equal(st.st_mode & 0777, 0600);
    push_close(p);
}

static void push_listen_says_what_is_wrong_with_the_address(void **state)
{
    char url[300];
    struct push *p = NULL, *other = listening(url_of(state, "taken", url), -1);
    struct pb_why why = {0};
    assert_int_equal(push_listen(url, -1, &p, &why), PB_E_IO);
    assert_string_equal(why.at, url);
    assert_non_null(strstr(why.text, "in use"));
    assert_int_equal(push_listen("nonsense://x", -1, &p, &why), PB_E_IO);
    assert_int_equal(push_listen(url_of(state, "no/folder", url), -1, &p, &why), PB_E_IO);
    assert_null(p);
    push_close(other);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(push_brings_messages_in_order),
        cmocka_unit_test(push_would_block_while_nobody_is_there),
        cmocka_unit_test(push_would_block_when_the_pipe_is_full),
        cmocka_unit_test(push_rings_when_its_pipe_comes_and_when_it_goes),
        cmocka_unit_test(push_stays_dead_when_its_peer_has_left),
        cmocka_unit_test(push_lets_only_the_first_in),
        cmocka_unit_test(push_dials_once),
        cmocka_unit_test(push_takes_messages_up_to_its_limit),
        cmocka_unit_test(push_listens_on_a_port_that_the_system_chose),
        cmocka_unit_test(push_sockets_are_private),
        cmocka_unit_test(push_listen_says_what_is_wrong_with_the_address),
    };
    return cmocka_run_group_tests(tests, scratch_start, scratch_stop);
}
