/* The broker's answers as shown by the command: "STATUS, ---, JSON". Whatever is in them, nothing reaches the
 * terminal that steers it. */
#include "tests/fuzz/lib/fuzz.h"

#include "common/client/answer.h"

#include <stdlib.h>
#include <string.h>

/* No control character but a line's end, neither of one byte nor, as U+0080 to U+009F, of two. */
static void check(const struct buf *out)
{
    const char *text = buf_peek(out);
    MUST(!out->failed && fuzz_is_utf8(text, out->len));
    for (size_t i = 0; i < out->len; i++) {
        uint8_t c = (uint8_t)text[i], next = (uint8_t)text[i + 1];
        MUST((c >= 0x20 || c == '\n') && c != 0x7f && (c != 0xc2 || next > 0x9f));
    }
    MUST(!out->len || text[out->len - 1] == '\n');
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct fuzz_parts p;
    struct buf out;
    fuzz_split(data, size, &p);
    json_t *json = fuzz_json(p.text[1], p.len[1]);
    buf_init(&out, ANSWER_TEXT_BYTES + 8 * size);
    answer_problem(json, (int)(strtoul(p.text[0], NULL, 10) % 1000), false, &out);
    check(&out);
    buf_reset(&out);
    answer_result(json, false, &out);
    check(&out);
    buf_fini(&out);
    json_decref(json);
    fuzz_split_fini(&p);
    return 0;
}
