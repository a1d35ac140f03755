/* Payloads as anybody may send them: whatever comes in, the answer is one line of JSON that fits its room. */
#include "tests/fuzz/lib/fuzz.h"

#include "common/event_check.h"
#include "common/limits.h"

#include <jansson.h>
#include <string.h>

static const char text[] =
    "{\"type\":\"object\",\"required\":[\"id\"],\"properties\":{\"id\":{\"type\":\"string\",\"pattern\":\"^"
    "a\"},"
    "\"n\":{\"type\":\"integer\"},\"list\":{\"uniqueItems\":true,\"items\":{\"$ref\":\"#\"}}},"
    "\"additionalProperties\":false}";

static void check(const char *line, size_t len, size_t room)
{
    static struct event_checker *checker;
    static struct js_schema *schema;
    struct buf out;
    if (!checker) {
        MUST((checker = event_checker_new()));
        MUST(js_schema_compile(text, sizeof text - 1, NULL, &schema, NULL) == PB_OK);
    }
    buf_init(&out, 1024 * 1024);
    MUST(event_check(checker, schema, line, len, room, &out) == PB_OK);
    MUST(out.len <= room && out.data[out.len - 1] == '\n' && !memchr(out.data, '\n', out.len - 1));
    json_t *answer =
        json_loadb((const char *)out.data, out.len, JSON_REJECT_DUPLICATES | JSON_ALLOW_NUL, NULL);
    MUST(json_is_boolean(json_object_get(answer, "isValid")));
    MUST(json_is_true(json_object_get(answer, "isValid")) ==
         (json_array_size(json_object_get(answer, "errors")) == 0));
    json_decref(answer);
    buf_fini(&out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct event_lines lines = {(const char *)data, size};
    size_t count = event_lines_count(lines), len;
    const char *line;
    for (; event_lines_next(&lines, &line, &len); count--)
        check(line, len, event_share(2000, count));
    MUST(count == 0);
    return 0;
}
