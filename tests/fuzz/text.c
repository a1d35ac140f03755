/* Text for a terminal: the first byte is a width, the rest goes into a table. What is made safe stays so when
 * it is cut and laid out, and no line is wider than it may be. */
#include "tests/fuzz/lib/fuzz.h"

#include "common/client/text.h"

#include <locale.h>
#include <stdlib.h>
#include <string.h>

static const struct column columns[] = {{"A", true, false}, {"B", true, false}};

static void check_safe(const struct buf *out)
{
    struct buf again;
    const char *text = buf_peek(out);
    MUST(!out->failed && fuzz_is_utf8(text, out->len) && strlen(text) == out->len);
    MUST(strcspn(text, "\x1b\x7f\r\t\a\b") == out->len);
    buf_init(&again, out->len + 1);
    text_safe(&again, text);
    MUST(again.len == out->len && memcmp(buf_peek(&again), text, out->len) == 0);
    buf_fini(&again);
}

static void check_cut(const char *text, size_t width)
{
    struct buf cut;
    buf_init(&cut, strlen(text) + 8);
    text_cut(&cut, text, width);
    MUST(!cut.failed && text_width(buf_peek(&cut)) <= width && fuzz_is_utf8(buf_peek(&cut), cut.len));
    buf_fini(&cut);
}

static void check_table(const char *text, size_t width)
{
    struct table t;
    struct buf out;
    table_init(&t, columns, sizeof columns / sizeof columns[0]);
    buf_init(&out, 1024 * 1024);
    table_add(&t, text);
    table_add_time(&t, text);
    table_render(&t, width, false, &out);
    MUST(!t.failed && !out.failed);
    char *rest = (char *)out.data;
    for (char *line; (line = strsep(&rest, "\n")) && rest;)
        MUST(text_width(line) <= width);
    MUST(!rest);
    buf_fini(&out);
    table_fini(&t);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct buf out;
    static const char *locale; /* libFuzzer calls this again and again */
    if (!locale)
        locale = setlocale(LC_CTYPE, "C.UTF-8");
    MUST(locale);
    if (size == 0)
        return 0;
    size_t width = data[0];
    char *text = strndup((const char *)data + 1, size - 1);
    MUST(text);
    buf_init(&out, 3 * size + 1);
    text_safe(&out, text);
    check_safe(&out);
    check_cut(buf_peek(&out), width);
    check_table(text, 18 + width); /* no column gets narrower than eight */
    buf_fini(&out);
    free(text);
    return 0;
}
