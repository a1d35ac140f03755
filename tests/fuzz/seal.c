/* What is in a seal: anyone who has the workers' public key can make one. Whatever its plaintext says, it
 * opens for the owner that it names and for no other. */
#include "tests/fuzz/lib/fuzz.h"

#include "common/keyring.h"
#include "common/limits.h"

#include <sodium.h>
#include <stdlib.h>
#include <string.h>

static const char ring_text[] = "key a 000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f\n";

static const struct keyring *ring(void)
{
    static struct keyring *kept; /* libFuzzer calls a target again and again, in one thread */
    struct pb_why why;
    struct fuzz_file f;
    if (kept)
        return kept;
    MUST(sodium_init() >= 0);
    fuzz_file_open(&f, (const uint8_t *)ring_text, sizeof ring_text - 1);
    MUST(keyring_open(f.path, &kept, &why) == PB_OK);
    fuzz_file_close(&f);
    return kept;
}

/* Once read, they can be sealed, and open again. */
static void check(const struct seal_owner *owner, const struct credentials *c)
{
    struct seal_box box = {0};
    struct credentials again = {0};
    MUST(c->count <= LIMIT_PACKAGE_FIELDS);
    MUST(seal_store(ring(), owner, c, &box) == PB_OK);
    MUST(seal_open_stored(ring(), owner, &box, &again) == PB_OK);
    MUST(again.count == c->count);
    for (size_t i = 0; i < c->count; i++) {
        MUST(strcmp(again.items[i].name, c->items[i].name) == 0);
        MUST(again.items[i].value.len == c->items[i].value.len);
    }
    credentials_fini(&again);
    seal_box_fini(&box);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const struct seal_owner owner = {.tenant = "acme", .type = "stripe", .integration = {{1}}},
                            other = {.tenant = "acne", .type = "stripe", .integration = {{1}}};
    struct credentials c = {0}, none = {0};
    uint8_t *sealed = malloc(size + crypto_box_SEALBYTES);
    MUST(sealed && crypto_box_seal(sealed, data, size, keyring_public(ring())) == 0);
    pb_err err = seal_open_inbound(ring(), &owner, sealed, size + crypto_box_SEALBYTES, &c);
    if (!err) {
        check(&owner, &c);
        MUST(seal_open_inbound(ring(), &other, sealed, size + crypto_box_SEALBYTES, &none) == PB_E_DENIED);
    }
    MUST(seal_open_inbound(ring(), &owner, data, size, &none) == PB_E_DENIED);
    credentials_fini(&c);
    free(sealed);
    return 0;
}
