/* A setup's payload: what is read can be written again, and then reads the same. */
#include "tests/fuzz/lib/fuzz.h"

#include "common/limits.h"
#include "common/wire.h"

#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct wire_setup s, again;
    struct buf out;
    if (wire_unpack_setup((struct wire_bytes){data, size}, &s) != PB_OK)
        return 0;
    buf_init(&out, LIMIT_MESSAGE_BYTES);
    MUST(wire_pack_setup(&s, &out) == PB_OK);
    MUST(wire_unpack_setup((struct wire_bytes){out.data, out.len}, &again) == PB_OK);
    MUST(again.name.len == s.name.len && memcmp(again.name.data, s.name.data, s.name.len) == 0);
    MUST(again.sealed.len == s.sealed.len && memcmp(again.sealed.data, s.sealed.data, s.sealed.len) == 0);
    MUST(fuzz_is_utf8(s.name.data, s.name.len));
    buf_fini(&out);
    return 0;
}
