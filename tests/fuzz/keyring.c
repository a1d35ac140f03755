/* The keyring's file: what is taken has only lines as they should be, and each key's name is in the text. */
#include "tests/fuzz/lib/fuzz.h"

#include "common/keyring.h"

#include <sodium.h>
#include <string.h>

static void check(const struct keyring *ring, const uint8_t *data, size_t size)
{
    size_t count = keyring_count(ring);
    MUST(count >= 1 && count <= KEYRING_KEYS_MAX);
    MUST(!memchr(data, 0, size));
    for (size_t i = 0; i < count; i++) {
        const char *kid = keyring_kid(ring, i);
        MUST(kid[0] && memmem(data, size, kid, strlen(kid)));
        for (size_t j = 0; j < i; j++)
            MUST(strcmp(kid, keyring_kid(ring, j)) != 0);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct keyring *ring = NULL;
    struct pb_why why = {0};
    struct fuzz_file f;
    MUST(sodium_init() >= 0);
    fuzz_file_open(&f, data, size);
    if (keyring_open(f.path, &ring, &why) == PB_OK)
        check(ring, data, size);
    else
        MUST(why.text[0]);
    keyring_close(ring);
    fuzz_file_close(&f);
    return 0;
}
