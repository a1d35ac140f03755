/* Packed records: what is read can be shown, copied and written again, and then reads the same. */
#include "tests/fuzz/lib/fuzz.h"

#include "common/integration.h"

#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct integration in, copy, again;
    struct buf once, twice;
    if (integration_unpack(data, size, &in) != PB_OK)
        return 0;
    buf_init(&once, LIMIT_MESSAGE_BYTES);
    buf_init(&twice, LIMIT_MESSAGE_BYTES);
    json_t *json = integration_json(&in);
    MUST(json);
    MUST(integration_copy(&in, &copy) == PB_OK);
    MUST(integration_pack(&copy, &once) == PB_OK);
    MUST(integration_unpack(once.data, once.len, &again) == PB_OK);
    MUST(integration_pack(&again, &twice) == PB_OK);
    MUST(once.len == twice.len && memcmp(once.data, twice.data, once.len) == 0);
    json_decref(json);
    integration_fini(&in);
    integration_fini(&copy);
    integration_fini(&again);
    buf_fini(&once);
    buf_fini(&twice);
    return 0;
}
