#include "common/channel.h"

#include "common/limits.h"
#include "tests/unit/scratch.h"

#include <setjmp.h>
#include <sodium.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
/* cmocka wants setjmp and stdarg before it */
#include <cmocka.h>

#define DOCUMENT   "schemas/messages.md"
#define SECRET_HEX "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f"

static int start(void **state)
{
    return scratch_start(state) || sodium_init() < 0;
}

static const uint8_t psk[CHANNEL_PSK_BYTES] = {1, 2, 3}, other_psk[CHANNEL_PSK_BYTES] = {1, 2, 4};

/* Both ends of a new session. */
static void connect_ends(struct channel *worker, struct channel *broker)
{
    struct channel_hello h;
    struct wire_welcome w;
    assert_int_equal(channel_greet(psk, &h), PB_OK);
    assert_int_equal(channel_welcome(psk, &h.hello, &w, broker), PB_OK);
    assert_int_equal(channel_take_welcome(psk, &h, &w, worker), PB_OK);
}

static struct buf seal_text(struct channel *c, const char *text)
{
    struct buf b;
    buf_init(&b, LIMIT_MESSAGE_BYTES);
    assert_int_equal(channel_seal(c, (const uint8_t *)text, strlen(text), &b), PB_OK);
    return b;
}

static pb_err open_bytes(struct channel *c, const uint8_t *bytes, size_t len, struct buf *plain)
{
    struct wire_message m;
    pb_err err = wire_read(bytes, len, &m);
    if (err)
        return err;
    err = m.kind == WIRE_SEALED ? channel_open(c, &m.sealed, plain) : PB_E_INVALID;
    wire_fini(&m);
    return err;
}

static pb_err open_frame(struct channel *c, const struct buf *frame, struct buf *plain)
{
    return open_bytes(c, frame->data, frame->len, plain);
}

/* Says text at one end and hears it at the other. */
static void pass(struct channel *from, struct channel *to, const char *text)
{
    struct buf frame = seal_text(from, text), plain;
    buf_init(&plain, LIMIT_MESSAGE_BYTES);
    buf_text(&plain, "something older");
    assert_int_equal(open_frame(to, &frame, &plain), PB_OK);
    assert_string_equal(buf_peek(&plain), text);
    buf_fini(&frame);
    buf_fini(&plain);
}

static void deny_frame(struct channel *to, const struct buf *frame)
{
    struct buf plain;
    uint64_t seen = to->seen;
    buf_init(&plain, LIMIT_MESSAGE_BYTES);
    assert_int_equal(open_frame(to, frame, &plain), PB_E_DENIED);
    assert_int_equal(plain.len, 0);
    assert_true(to->seen == seen);
    buf_fini(&plain);
}

/* -- the handshake -- */

static void channel_carries_messages_both_ways(void **state)
{
    struct channel worker, broker;
    (void)state;
    connect_ends(&worker, &broker);
    assert_memory_equal(worker.session, broker.session, sizeof worker.session);
    assert_memory_not_equal(worker.key_out, worker.key_in, 32);
    pass(&worker, &broker, "join");
    pass(&broker, &worker, "joined");
    pass(&worker, &broker, "");
    for (int i = 0; i < 300; i++)
        pass(&broker, &worker, "more");
    channel_fini(&worker);
    static const struct channel zero;
    assert_memory_equal(&worker, &zero, sizeof zero);
    channel_fini(&broker);
}

static void channel_sessions_and_keys_are_new_each_time(void **state)
{
    struct channel_hello a, b;
    struct wire_welcome wa, wb;
    struct channel ca, cb;
    (void)state;
    assert_int_equal(channel_greet(psk, &a), PB_OK);
    assert_int_equal(channel_greet(psk, &b), PB_OK);
    assert_memory_not_equal(a.hello.session, b.hello.session, sizeof a.hello.session);
    assert_memory_not_equal(a.hello.key, b.hello.key, sizeof a.hello.key);
    assert_int_equal(channel_welcome(psk, &a.hello, &wa, &ca), PB_OK);
    assert_int_equal(channel_welcome(psk, &a.hello, &wb, &cb), PB_OK); /* the same hello again */
    assert_memory_not_equal(wa.key, wb.key, sizeof wa.key);
    assert_memory_not_equal(ca.key_out, cb.key_out, sizeof ca.key_out);
}

static void channel_hello_is_denied_to_who_does_not_know_the_secret(void **state)
{
    struct channel_hello h;
    struct wire_welcome w;
    struct channel c;
    (void)state;
    assert_int_equal(channel_greet(other_psk, &h), PB_OK);
    assert_int_equal(channel_welcome(psk, &h.hello, &w, &c), PB_E_DENIED);
}

static void channel_welcome_is_denied_from_who_does_not_know_the_secret(void **state)
{
    struct channel_hello h;
    struct wire_welcome w;
    struct channel c;
    (void)state;
    assert_int_equal(channel_greet(other_psk, &h), PB_OK);
    assert_int_equal(channel_welcome(other_psk, &h.hello, &w, &c), PB_OK);
    assert_int_equal(channel_take_welcome(psk, &h, &w, &c), PB_E_DENIED);
}

static void channel_hello_is_denied_when_any_bit_is_changed(void **state)
{
    struct channel_hello h;
    struct wire_welcome w;
    struct channel c;
    uint8_t *const parts[] = {h.hello.session, h.hello.key, h.hello.mac};
    const size_t lens[] = {sizeof h.hello.session, sizeof h.hello.key, sizeof h.hello.mac};
    (void)state;
    assert_int_equal(channel_greet(psk, &h), PB_OK);
    for (size_t part = 0; part < 3; part++)
        for (size_t i = 0; i < lens[part] * 8; i++) {
            parts[part][i / 8] ^= (uint8_t)(1u << i % 8);
            assert_int_equal(channel_welcome(psk, &h.hello, &w, &c), PB_E_DENIED);
            parts[part][i / 8] ^= (uint8_t)(1u << i % 8);
        }
    assert_int_equal(channel_welcome(psk, &h.hello, &w, &c), PB_OK);
}

/* The highest bit of an X25519 key is not used, but the transcript covers it. */
static void channel_welcome_is_denied_when_any_bit_is_changed(void **state)
{
    struct channel_hello h;
    struct wire_welcome w;
    struct channel c;
    uint8_t *const parts[] = {w.key, w.mac};
    (void)state;
    assert_int_equal(channel_greet(psk, &h), PB_OK);
    assert_int_equal(channel_welcome(psk, &h.hello, &w, &c), PB_OK);
    for (size_t part = 0; part < 2; part++)
        for (size_t i = 0; i < 256; i++) {
            parts[part][i / 8] ^= (uint8_t)(1u << i % 8);
            assert_int_equal(channel_take_welcome(psk, &h, &w, &c), PB_E_DENIED);
            parts[part][i / 8] ^= (uint8_t)(1u << i % 8);
        }
    assert_int_equal(channel_take_welcome(psk, &h, &w, &c), PB_OK);
}

static void channel_welcome_of_one_hello_does_not_answer_another(void **state)
{
    struct channel_hello a, b;
    struct wire_welcome w;
    struct channel c;
    (void)state;
    assert_int_equal(channel_greet(psk, &a), PB_OK);
    assert_int_equal(channel_greet(psk, &b), PB_OK);
    assert_int_equal(channel_welcome(psk, &a.hello, &w, &c), PB_OK);
    assert_int_equal(channel_take_welcome(psk, &b, &w, &c), PB_E_DENIED);
}

static void channel_versions_outside_the_common_range_are_unsupported(void **state)
{
    static const uint64_t bad[] = {0, 256, 257, UINT64_MAX};
    struct channel_hello h;
    struct wire_welcome w;
    struct channel c;
    (void)state;
    assert_int_equal(channel_greet(psk, &h), PB_OK);
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        struct wire_hello hello = h.hello;
        hello.version = bad[i];
        assert_int_equal(channel_welcome(psk, &hello, &w, &c), PB_E_UNSUPPORTED);
    }
    assert_int_equal(channel_welcome(psk, &h.hello, &w, &c), PB_OK);
    w.version = 0;
    assert_int_equal(channel_take_welcome(psk, &h, &w, &c), PB_E_UNSUPPORTED);
    w.version = WIRE_VERSION + 1;
    assert_int_equal(channel_take_welcome(psk, &h, &w, &c), PB_E_UNSUPPORTED);
}

/* A stranger cannot talk the two down: the hello's version is under its mac, the welcome's under its own. */
static void channel_versions_are_authenticated(void **state)
{
    struct channel_hello h;
    struct wire_welcome w;
    struct channel c;
    (void)state;
    assert_int_equal(channel_greet(psk, &h), PB_OK);
    h.hello.version = 2;
    assert_int_equal(channel_welcome(psk, &h.hello, &w, &c), PB_E_DENIED);
    h.hello.version = 1;
    assert_int_equal(channel_welcome(psk, &h.hello, &w, &c), PB_OK);
    h.hello.version = 2; /* as if this worker knew two versions */
    w.version = 2;
    assert_int_equal(channel_take_welcome(psk, &h, &w, &c), PB_E_DENIED);
}

/* With such a key the shared secret would be known to everybody. */
static void channel_keys_of_low_order_are_denied(void **state)
{
    struct channel_hello h;
    struct wire_welcome w;
    struct channel c;
    (void)state;
    assert_int_equal(channel_greet(psk, &h), PB_OK);
    assert_int_equal(channel_welcome(psk, &h.hello, &w, &c), PB_OK);
    memset(w.key, 0, sizeof w.key);
    assert_int_equal(channel_take_welcome(psk, &h, &w, &c), PB_E_DENIED);
    w.key[0] = 1;
    assert_int_equal(channel_take_welcome(psk, &h, &w, &c), PB_E_DENIED);
}

/* -- frames -- */

static void channel_frames_do_not_show_what_is_in_them(void **state)
{
    struct channel worker, broker;
    (void)state;
    connect_ends(&worker, &broker);
    struct buf a = seal_text(&worker, "the same words"), b = seal_text(&worker, "the same words");
    assert_null(memmem(a.data, a.len, "words", 5));
    assert_int_equal(a.len, b.len);
    assert_memory_not_equal(a.data + a.len - 30, b.data + b.len - 30, 30);
    assert_true(a.len <= strlen("the same words") + CHANNEL_OVERHEAD);
    buf_fini(&a);
    buf_fini(&b);
}

static void channel_frames_are_denied_when_any_byte_is_changed(void **state)
{
    struct channel worker, broker;
    struct buf plain;
    (void)state;
    connect_ends(&worker, &broker);
    worker.sent = 1000; /* a counter of several bytes */
    struct buf frame = seal_text(&worker, "report");
    buf_init(&plain, LIMIT_MESSAGE_BYTES);
    for (size_t i = 0; i < frame.len; i++) {
        for (int bit = 0; bit < 8; bit++) {
            frame.data[i] ^= (uint8_t)(1u << bit);
            /* the outer array, its version aside, is form: no frame at all then */
            pb_err err = open_frame(&broker, &frame, &plain);
            if (i != 1 && err != PB_E_DENIED && err != PB_E_INVALID)
                fail_msg("byte %zu, bit %d: %s", i, bit, pb_err_name(err));
            frame.data[i] ^= (uint8_t)(1u << bit);
            broker.seen = i == 1 ? 0 : broker.seen; /* the outer version is not under the seal */
        }
        assert_true(broker.seen == 0);
    }
    assert_int_equal(open_frame(&broker, &frame, &plain), PB_OK);
    buf_fini(&plain);
    buf_fini(&frame);
}

static void channel_frames_are_denied_when_cut(void **state)
{
    struct channel worker, broker;
    struct wire_message m;
    struct buf plain;
    (void)state;
    connect_ends(&worker, &broker);
    struct buf frame = seal_text(&worker, "report");
    buf_init(&plain, LIMIT_MESSAGE_BYTES);
    assert_int_equal(wire_read(frame.data, frame.len, &m), PB_OK);
    struct wire_sealed sealed = m.sealed;
    for (sealed.box.len = 0; sealed.box.len < m.sealed.box.len; sealed.box.len++)
        assert_int_equal(channel_open(&broker, &sealed, &plain), PB_E_DENIED);
    assert_int_equal(channel_open(&broker, &sealed, &plain), PB_OK);
    wire_fini(&m);
    buf_fini(&plain);
    buf_fini(&frame);
}

static void channel_frames_are_denied_when_replayed_or_out_of_order(void **state)
{
    struct channel worker, broker;
    struct buf plain;
    (void)state;
    connect_ends(&worker, &broker);
    struct buf one = seal_text(&worker, "one"), two = seal_text(&worker, "two"),
               three = seal_text(&worker, "three");
    buf_init(&plain, 100);
    assert_int_equal(open_frame(&broker, &one, &plain), PB_OK);
    deny_frame(&broker, &one);
    assert_int_equal(open_frame(&broker, &three, &plain), PB_OK); /* a gap is the caller's to judge */
    assert_int_equal(broker.seen, 3);
    deny_frame(&broker, &two);
    deny_frame(&broker, &three);
    pass(&worker, &broker, "four");
    buf_fini(&one);
    buf_fini(&two);
    buf_fini(&three);
    buf_fini(&plain);
}

/* A forged frame with a high counter must not make the genuine ones look old. */
static void channel_counter_moves_only_for_authentic_frames(void **state)
{
    struct channel worker, broker, stranger;
    (void)state;
    connect_ends(&worker, &broker);
    stranger = worker;
    stranger.key_out[0] ^= 1;
    stranger.sent = 1000000;
    struct buf forged = seal_text(&stranger, "forged");
    deny_frame(&broker, &forged);
    pass(&worker, &broker, "genuine");
    buf_fini(&forged);
}

static void channel_frames_of_another_session_or_direction_are_denied(void **state)
{
    struct channel worker, broker, worker2, broker2;
    (void)state;
    connect_ends(&worker, &broker);
    connect_ends(&worker2, &broker2);
    struct buf frame = seal_text(&worker, "mine"), relabelled;
    deny_frame(&broker2, &frame);
    deny_frame(&worker, &frame);     /* reflected to its sender */
    struct channel renamed = worker; /* the right keys under another session's name */
    memcpy(renamed.session, worker2.session, sizeof renamed.session);
    relabelled = seal_text(&renamed, "mine");
    deny_frame(&broker, &relabelled);
    pass(&worker2, &broker2, "its own");
    buf_fini(&frame);
    buf_fini(&relabelled);
}

static void channel_seal_takes_as_much_as_a_message_may_hold(void **state)
{
    struct channel worker, broker;
    struct buf out, plain;
    const size_t most = LIMIT_MESSAGE_BYTES - CHANNEL_OVERHEAD;
    uint8_t *bytes = calloc(1, most + 1);
    (void)state;
    assert_non_null(bytes);
    connect_ends(&worker, &broker);
    worker.sent = UINT64_MAX - 2; /* the longest counter */
    buf_init(&out, LIMIT_MESSAGE_BYTES);
    buf_init(&plain, LIMIT_MESSAGE_BYTES);
    assert_int_equal(channel_seal(&worker, bytes, most + 1, &out), PB_E_LIMIT);
    assert_int_equal(out.len, 0);
    assert_int_equal(channel_seal(&worker, bytes, most, &out), PB_OK);
    assert_true(out.len <= LIMIT_MESSAGE_BYTES);
    assert_int_equal(open_frame(&broker, &out, &plain), PB_OK);
    assert_int_equal(plain.len, most);
    buf_fini(&out);
    buf_fini(&plain);
    free(bytes);
}

static void channel_seal_counts_only_frames_that_were_written(void **state)
{
    struct channel worker, broker;
    struct buf little;
    (void)state;
    connect_ends(&worker, &broker);
    buf_init(&little, 10);
    assert_int_equal(channel_seal(&worker, (const uint8_t *)"x", 1, &little), PB_E_LIMIT);
    assert_int_equal(worker.sent, 0);
    buf_fini(&little);
}

static void open_any(void *arg, const uint8_t *bytes, size_t len)
{
    struct channel c = *(const struct channel *)arg;
    struct buf plain;
    buf_init(&plain, 10000);
    if (open_bytes(&c, bytes, len, &plain) == PB_OK)
        assert_string_equal(buf_peek(&plain), "the one true text"); /* nothing else ever opens */
    buf_fini(&plain);
}

static void channel_opens_nothing_but_what_was_sealed(void **state)
{
    struct channel worker, broker;
    (void)state;
    connect_ends(&worker, &broker);
    struct buf frame = seal_text(&worker, "the one true text");
    scratch_fuzz(frame.data, frame.len, 11, 20000, open_any, &broker);
    buf_fini(&frame);
}

/* -- the secret's file -- */

static void secret_refused(void **state, const char *name, pb_err err, const char *part)
{
    char path[256];
    uint8_t key[CHANNEL_PSK_BYTES] = {42};
    struct pb_why why = {0};
    assert_int_equal(channel_read_secret(scratch_path(*state, name, path), key, &why), err);
    assert_string_equal(why.at, path);
    if (!strstr(why.text, part))
        fail_msg("\"%s\" does not say \"%s\"", why.text, part);
    assert_int_equal(key[0], 42);
}

static void channel_secret_is_made_private_and_read_back(void **state)
{
    char path[256];
    uint8_t a[CHANNEL_PSK_BYTES], b[CHANNEL_PSK_BYTES];
    struct stat st;
    struct pb_why why = {0};
    scratch_path(*state, "made", path);
    assert_int_equal(channel_create_secret(path, &why), PB_OK);
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_mode & 07777, 0600);
    assert_int_equal(st.st_size, 65);
    assert_int_equal(channel_read_secret(path, a, &why), PB_OK);
    assert_int_equal(channel_read_secret(path, b, &why), PB_OK);
    assert_memory_equal(a, b, sizeof a);
    assert_int_equal(channel_create_secret(path, &why), PB_E_EXISTS); /* and is left alone */
    assert_int_equal(channel_read_secret(path, b, &why), PB_OK);
    assert_memory_equal(a, b, sizeof a);
    assert_int_equal(channel_create_secret(scratch_path(*state, "made2", path), &why), PB_OK);
    assert_int_equal(channel_read_secret(path, b, &why), PB_OK);
    assert_memory_not_equal(a, b, sizeof a);
    assert_int_equal(channel_create_secret(scratch_path(*state, "no/folder/s", path), &why), PB_E_IO);
    assert_string_equal(why.at, path);
}

static void channel_secret_is_read_with_white_space_behind_it_and_in_any_case(void **state)
{
    static const char *const cases[] = {SECRET_HEX, SECRET_HEX "\n", SECRET_HEX " \t\r\n",
                                        "000102030405060708090A0B0C0D0E0F101112131415161718191A1B1C1D1E1F\n"};
    char path[256];
    uint8_t key[CHANNEL_PSK_BYTES], expected[CHANNEL_PSK_BYTES];
    struct pb_why why = {0};
    scratch_vector(DOCUMENT, "psk", expected, sizeof expected);
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        scratch_text(*state, "secret", cases[i]);
        assert_int_equal(channel_read_secret(scratch_path(*state, "secret", path), key, &why), PB_OK);
        assert_memory_equal(key, expected, sizeof key);
    }
}

static void channel_secret_is_refused_when_it_is_malformed(void **state)
{
    static const char *const cases[] = {
        "",
        "\n",
        "00",
        SECRET_HEX "00",
        SECRET_HEX "0",
        SECRET_HEX " more",
        SECRET_HEX "\n" SECRET_HEX,
        " " SECRET_HEX,
        "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1",
        "0001020304050607 08090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f",
        "g00102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f",
        SECRET_HEX "                                        behind what is read",
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        scratch_text(*state, "bad", cases[i]);
        secret_refused(state, "bad", PB_E_INVALID, "64 hexadecimal digits");
    }
    scratch_write(*state, "bad", SECRET_HEX "\0more", 69, 0600);
    secret_refused(state, "bad", PB_E_INVALID, "64 hexadecimal digits");
}

static void channel_secret_is_refused_when_others_may_read_it(void **state)
{
    static const unsigned modes[] = {0644, 0640, 0604, 0660, 0666, 0610};
    for (size_t i = 0; i < sizeof modes / sizeof modes[0]; i++) {
        scratch_write(*state, "open", SECRET_HEX, 64, modes[i]);
        secret_refused(state, "open", PB_E_DENIED, "chmod 600 ");
    }
}

static void channel_secret_is_refused_when_it_is_no_file(void **state)
{
    char path[256], link[256];
    assert_int_equal(mkdir(scratch_path(*state, "folder", path), 0700), 0);
    secret_refused(state, "folder", PB_E_DENIED, "must be a file");
    assert_int_equal(mkfifo(scratch_path(*state, "pipe", path), 0600), 0);
    secret_refused(state, "pipe", PB_E_DENIED, "must be a file");
    secret_refused(state, "missing", PB_E_IO, "No such file");
    scratch_write(*state, "target", SECRET_HEX, 64, 0644);
    assert_int_equal(symlink(scratch_path(*state, "target", path), scratch_path(*state, "link", link)), 0);
    secret_refused(state, "link", PB_E_DENIED, "mode 644"); /* of what it leads to */
}

/* -- the vectors of schemas/messages.md: whoever speaks the protocol in another language tests against them
 * -- */

static struct channel_hello vector_hello(void)
{
    struct channel_hello h = {.hello.version = 1};
    scratch_vector(DOCUMENT, "session", h.hello.session, sizeof h.hello.session);
    scratch_vector(DOCUMENT, "worker_private", h.secret_key, sizeof h.secret_key);
    scratch_vector(DOCUMENT, "worker_public", h.hello.key, sizeof h.hello.key);
    scratch_vector(DOCUMENT, "hello_mac", h.hello.mac, sizeof h.hello.mac);
    return h;
}

static struct wire_welcome vector_welcome(void)
{
    struct wire_welcome w = {.version = 1};
    scratch_vector(DOCUMENT, "broker_public", w.key, sizeof w.key);
    scratch_vector(DOCUMENT, "welcome_mac", w.mac, sizeof w.mac);
    return w;
}

static struct channel vector_channel(void)
{
    uint8_t key[CHANNEL_PSK_BYTES];
    struct channel_hello h = vector_hello();
    struct wire_welcome w = vector_welcome();
    struct channel c;
    scratch_vector(DOCUMENT, "psk", key, sizeof key);
    assert_int_equal(channel_take_welcome(key, &h, &w, &c), PB_OK);
    return c;
}

static void assert_vector(const char *name, const void *bytes, size_t len)
{
    uint8_t expected[4096];
    assert_int_equal(scratch_vector(DOCUMENT, name, expected, sizeof expected), len);
    assert_memory_equal(expected, bytes, len);
}

static void channel_vectors_of_the_keys_hold(void **state)
{
    uint8_t secret[32], private_key[32], point[32], shared[32], key_b[32];
    struct channel_hello h = vector_hello();
    (void)state;
    scratch_unhex(SECRET_HEX, secret, sizeof secret);
    assert_vector("secret", secret, sizeof secret);
    crypto_scalarmult_base(point, h.secret_key);
    assert_vector("worker_public", point, sizeof point);
    scratch_vector(DOCUMENT, "broker_private", private_key, sizeof private_key);
    crypto_scalarmult_base(key_b, private_key);
    assert_vector("broker_public", key_b, sizeof key_b);
    assert_int_equal(crypto_scalarmult(shared, private_key, h.hello.key), 0);
    assert_vector("shared", shared, sizeof shared);
    assert_int_equal(crypto_scalarmult(shared, h.secret_key, key_b), 0);
    assert_vector("shared", shared, sizeof shared);
}

/* The derivation as the document words it, step by step. */
static void channel_vectors_of_the_derivation_hold(void **state)
{
    uint8_t text[32 + 1 + 16 + 32 + 32], key[32], master[32], out[32], *at = text;
    (void)state;
    at += scratch_vector(DOCUMENT, "shared", at, 32);
    *at++ = 1;
    at += scratch_vector(DOCUMENT, "session", at, 16);
    at += scratch_vector(DOCUMENT, "worker_public", at, 32);
    at += scratch_vector(DOCUMENT, "broker_public", at, 32);
    scratch_vector(DOCUMENT, "psk", key, sizeof key);
    crypto_generichash(master, sizeof master, text, (size_t)(at - text), key, sizeof key);
    assert_vector("master", master, sizeof master);
    crypto_kdf_derive_from_key(out, 32, 1, "pbwire01", master);
    assert_vector("to_broker", out, sizeof out);
    crypto_kdf_derive_from_key(out, 32, 2, "pbwire01", master);
    assert_vector("to_worker", out, sizeof out);
    crypto_kdf_derive_from_key(out, 32, 3, "pbwire01", master);
    assert_vector("confirm", out, sizeof out);
}

static void channel_vectors_of_the_handshake_hold(void **state)
{
    uint8_t key[CHANNEL_PSK_BYTES];
    struct channel_hello h = vector_hello();
    struct wire_welcome w, fixed = vector_welcome();
    struct channel broker, worker = vector_channel();
    struct buf b;
    (void)state;
    scratch_vector(DOCUMENT, "psk", key, sizeof key);
    assert_int_equal(channel_welcome(key, &h.hello, &w, &broker), PB_OK); /* hello_mac is right */
    assert_vector("to_broker", worker.key_out, sizeof worker.key_out);
    assert_vector("to_worker", worker.key_in, sizeof worker.key_in);
    buf_init(&b, 1000);
    assert_int_equal(wire_pack_hello(&h.hello, &b), PB_OK);
    assert_vector("hello", b.data, b.len);
    buf_reset(&b);
    assert_int_equal(wire_pack_welcome(&fixed, &b), PB_OK);
    assert_vector("welcome", b.data, b.len);
    buf_fini(&b);
}

static void channel_vectors_of_the_frames_hold(void **state)
{
    struct channel worker = vector_channel();
    struct buf plain, frame;
    uint8_t bytes[256];
    (void)state;
    buf_init(&plain, 1000);
    buf_init(&frame, 1000);
    assert_int_equal(wire_pack_leave(&plain), PB_OK);
    assert_vector("leave", plain.data, plain.len);
    assert_int_equal(channel_seal(&worker, plain.data, plain.len, &frame), PB_OK);
    assert_vector("leave_sealed", frame.data, frame.len);
    size_t len = scratch_vector(DOCUMENT, "ping_sealed", bytes, sizeof bytes);
    assert_int_equal(open_bytes(&worker, bytes, len, &plain), PB_OK);
    assert_int_equal(worker.seen, 256);
    assert_vector("ping", plain.data, plain.len);
    static const uint8_t nonce[24] = {[17] = 1}; /* 256 in eight bytes, the least first */
    assert_vector("ping_nonce", nonce, sizeof nonce);
    buf_fini(&plain);
    buf_fini(&frame);
}

/* Nonce and associated data, which no function of channel.h shows: opened here by hand. */
static void channel_vectors_of_nonce_and_data_hold(void **state)
{
    uint8_t key[32], nonce[24], data[24], sealed[256], text[256];
    unsigned long long len = 0;
    (void)state;
    scratch_vector(DOCUMENT, "to_broker", key, sizeof key);
    scratch_vector(DOCUMENT, "leave_nonce", nonce, sizeof nonce);
    scratch_vector(DOCUMENT, "leave_data", data, sizeof data);
    size_t sealed_len = scratch_vector(DOCUMENT, "leave_sealed", sealed, sizeof sealed);
    const size_t box_len = 4 + 16;
    assert_int_equal(crypto_aead_xchacha20poly1305_ietf_decrypt(text, &len, NULL,
                                                                sealed + sealed_len - box_len, box_len, data,
                                                                sizeof data, nonce, key),
                     0);
    assert_vector("leave", text, (size_t)len);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(channel_carries_messages_both_ways),
        cmocka_unit_test(channel_sessions_and_keys_are_new_each_time),
        cmocka_unit_test(channel_hello_is_denied_to_who_does_not_know_the_secret),
        cmocka_unit_test(channel_welcome_is_denied_from_who_does_not_know_the_secret),
        cmocka_unit_test(channel_hello_is_denied_when_any_bit_is_changed),
        cmocka_unit_test(channel_welcome_is_denied_when_any_bit_is_changed),
        cmocka_unit_test(channel_welcome_of_one_hello_does_not_answer_another),
        cmocka_unit_test(channel_versions_outside_the_common_range_are_unsupported),
        cmocka_unit_test(channel_versions_are_authenticated),
        cmocka_unit_test(channel_keys_of_low_order_are_denied),
        cmocka_unit_test(channel_frames_do_not_show_what_is_in_them),
        cmocka_unit_test(channel_frames_are_denied_when_any_byte_is_changed),
        cmocka_unit_test(channel_frames_are_denied_when_cut),
        cmocka_unit_test(channel_frames_are_denied_when_replayed_or_out_of_order),
        cmocka_unit_test(channel_counter_moves_only_for_authentic_frames),
        cmocka_unit_test(channel_frames_of_another_session_or_direction_are_denied),
        cmocka_unit_test(channel_seal_takes_as_much_as_a_message_may_hold),
        cmocka_unit_test(channel_seal_counts_only_frames_that_were_written),
        cmocka_unit_test(channel_opens_nothing_but_what_was_sealed),
        cmocka_unit_test(channel_secret_is_made_private_and_read_back),
        cmocka_unit_test(channel_secret_is_read_with_white_space_behind_it_and_in_any_case),
        cmocka_unit_test(channel_secret_is_refused_when_it_is_malformed),
        cmocka_unit_test(channel_secret_is_refused_when_others_may_read_it),
        cmocka_unit_test(channel_secret_is_refused_when_it_is_no_file),
        cmocka_unit_test(channel_vectors_of_the_keys_hold),
        cmocka_unit_test(channel_vectors_of_the_derivation_hold),
        cmocka_unit_test(channel_vectors_of_the_handshake_hold),
        cmocka_unit_test(channel_vectors_of_the_frames_hold),
        cmocka_unit_test(channel_vectors_of_nonce_and_data_hold),
    };
    return cmocka_run_group_tests(tests, start, scratch_stop);
}
