/* Frames and handshakes. The keys are fixed, and a fuzzer does not find one: whatever opens without having
 * been sealed is a fault, and so is what does not open though it was. */
#include "tests/fuzz/lib/fuzz.h"

#include "common/channel.h"
#include "common/limits.h"

#include <string.h>

static const uint8_t psk[CHANNEL_PSK_BYTES] = {7};

/* A message of strangers. */
static void receive(const uint8_t *data, size_t size)
{
    struct wire_message m;
    struct wire_welcome welcome;
    struct channel c = {.key_in = {1}, .key_out = {1}};
    struct channel_hello hello = {.hello.version = WIRE_VERSION, .secret_key = {1}};
    struct buf plain;
    if (wire_read(data, size, &m) != PB_OK)
        return;
    buf_init(&plain, LIMIT_MESSAGE_BYTES);
    if (m.kind == WIRE_SEALED)
        MUST(channel_open(&c, &m.sealed, &plain) == PB_E_DENIED && c.seen == 0);
    if (m.kind == WIRE_HELLO)
        MUST(channel_welcome(psk, &m.hello, &welcome, &c) != PB_OK);
    if (m.kind == WIRE_WELCOME)
        MUST(channel_take_welcome(psk, &hello, &m.welcome, &c) != PB_OK);
    buf_fini(&plain);
    wire_fini(&m);
}

/* A frame of the other side: it opens once, and not at all with a bit of its message changed. */
static void exchange(const uint8_t *data, size_t size, bool change)
{
    struct channel from = {.key_out = {1}, .key_in = {2}}, to = {.key_out = {2}, .key_in = {1}};
    struct wire_message m;
    struct buf frame, plain;
    buf_init(&frame, LIMIT_MESSAGE_BYTES);
    buf_init(&plain, LIMIT_MESSAGE_BYTES);
    MUST(channel_seal(&from, data, size, &frame) == PB_OK);
    MUST(frame.len <= size + CHANNEL_OVERHEAD);
    if (change)
        frame.data[frame.len - 1 - size / 2] ^= 1;
    MUST(wire_read(frame.data, frame.len, &m) == PB_OK);
    MUST((channel_open(&to, &m.sealed, &plain) == PB_OK) == !change);
    MUST(change || (plain.len == size && memcmp(buf_peek(&plain), data, size) == 0));
    MUST(channel_open(&to, &m.sealed, &plain) == PB_E_DENIED); /* again */
    wire_fini(&m);
    buf_fini(&frame);
    buf_fini(&plain);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    receive(data, size);
    exchange(data, size, false);
    exchange(data, size, true);
    return 0;
}
