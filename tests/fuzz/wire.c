/* Messages of the cluster: what is read can be written again, and then reads the same. */
#include "tests/fuzz/lib/fuzz.h"

#include "common/limits.h"
#include "common/wire.h"

#include <string.h>

static pb_err pack(const struct wire_message *m, struct buf *out)
{
    char reason[1025] = "";
    switch (m->kind) {
    case WIRE_HELLO:
        return wire_pack_hello(&m->hello, out);
    case WIRE_WELCOME:
        return wire_pack_welcome(&m->welcome, out);
    case WIRE_REFUSED:
        memcpy(reason, m->refused.data, m->refused.len);
        return wire_pack_refused(reason, out);
    case WIRE_RESTART:
        return wire_pack_restart(out);
    case WIRE_SEALED:
        return wire_pack_sealed(&m->sealed, out);
    case WIRE_JOIN:
        return wire_pack_join(&m->join, out);
    case WIRE_JOINED:
        return wire_pack_joined(&m->joined, out);
    case WIRE_JOBS:
        return wire_pack_jobs(&m->jobs, out);
    case WIRE_REPORT:
        return wire_pack_report(&m->report, out);
    case WIRE_LEAVE:
        return wire_pack_leave(out);
    }
    return PB_E_INVALID;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct wire_message m, again;
    struct buf once, twice;
    if (wire_read(data, size, &m) != PB_OK)
        return 0;
    buf_init(&once, LIMIT_MESSAGE_BYTES);
    buf_init(&twice, LIMIT_MESSAGE_BYTES);
    MUST(pack(&m, &once) == PB_OK);
    MUST(wire_read(once.data, once.len, &again) == PB_OK);
    MUST(again.kind == m.kind);
    MUST(pack(&again, &twice) == PB_OK);
    MUST(once.len == twice.len && memcmp(once.data, twice.data, once.len) == 0);
    wire_fini(&again);
    wire_fini(&m);
    buf_fini(&once);
    buf_fini(&twice);
    return 0;
}
