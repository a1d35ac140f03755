/* The payload of an event's validation: what is read can be written again, and then reads the same. */
#include "tests/fuzz/lib/fuzz.h"

#include "common/limits.h"
#include "common/wire.h"

#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct wire_event e, again;
    struct buf out;
    if (wire_unpack_event((struct wire_bytes){data, size}, &e) != PB_OK)
        return 0;
    buf_init(&out, LIMIT_MESSAGE_BYTES);
    MUST(wire_pack_event(&e, &out) == PB_OK);
    MUST(wire_unpack_event((struct wire_bytes){out.data, out.len}, &again) == PB_OK);
    MUST(again.lines == e.lines && again.event_type.len == e.event_type.len &&
         again.payload.len == e.payload.len);
    MUST(memcmp(again.event_type.data, e.event_type.data, e.event_type.len) == 0);
    MUST(memcmp(again.payload.data, e.payload.data, e.payload.len) == 0);
    MUST(fuzz_is_utf8(e.event_type.data, e.event_type.len));
    buf_fini(&out);
    return 0;
}
