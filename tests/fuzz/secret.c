/* The cluster secret's file: 64 hexadecimal digits and white space after them, nothing else. */
#include "tests/fuzz/lib/fuzz.h"

#include "common/channel.h"

#include <ctype.h>
#include <string.h>

static bool is_secret(const uint8_t *data, size_t size)
{
    size_t digits = 0;
    while (digits < size && isxdigit(data[digits]))
        digits++;
    size_t i = digits;
    while (i < size && memchr("\r\n \t", data[i], 4))
        i++;
    return digits == 64 && i == size;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    uint8_t psk[CHANNEL_PSK_BYTES];
    struct pb_why why = {0};
    struct fuzz_file f;
    fuzz_file_open(&f, data, size);
    pb_err err = channel_read_secret(f.path, psk, &why);
    MUST(err ? why.text[0] : is_secret(data, size));
    MUST(!err || size > 70 || !is_secret(data, size));
    fuzz_file_close(&f);
    return 0;
}
