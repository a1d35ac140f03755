/* Requests to the broker: "TARGET, ---, PREFER, ---, CONTENT-TYPE, ---, IDEMPOTENCY-KEY, ---, BODY". */
#include "tests/fuzz/lib/fuzz.h"

#include "broker/http/parse.h"
#include "common/id.h"
#include "common/limits.h"

#include <stdlib.h>
#include <string.h>

static void check_target(const char *raw)
{
    static const char *const known[] = {"limit", "after", "type", NULL};
    struct http_target t;
    struct http_page page;
    struct pb_why why = {0};
    struct pb_id id;
    if (http_target_parse(raw, &t, &why) != PB_OK) {
        MUST(why.text[0]);
        return;
    }
    MUST(t.segment_count >= 1 && t.segment_count <= HTTP_SEGMENTS_MAX && t.param_count <= HTTP_PARAMS_MAX);
    for (size_t i = 0; i < t.segment_count; i++)
        if (id_parse(t.segments[i], ID_INTEGRATION, &id) == PB_OK)
            MUST(strlen(t.segments[i]) == 36);
    MUST(http_target_check(&t, known, &why) == PB_OK || why.text[0]);
    MUST(http_target_check(&t, NULL, &why) == PB_OK || t.param_count);
    if (http_page_parse(&t, &page, &why) == PB_OK)
        MUST(page.limit >= 1 && page.limit <= LIMIT_HTTP_PAGE);
    http_target_fini(&t);
}

/* What is taken can be written, and then reads the same. */
static void check_body(const char *text, size_t len)
{
    struct pb_why why = {0};
    json_t *json = NULL;
    if (http_json_parse(text, len, &json, &why) != PB_OK) {
        MUST(why.text[0] && fuzz_is_utf8(why.text, strlen(why.text)));
        return;
    }
    char *written = json_dumps(json, JSON_COMPACT | JSON_ENCODE_ANY);
    MUST(written);
    json_t *again = fuzz_json(written, strlen(written));
    MUST(again);
    json_decref(again);
    json_decref(json);
    free(written);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct fuzz_parts p;
    fuzz_split(data, size, &p);
    check_target(p.text[0]);
    MUST(http_prefer_wait(p.text[1]) <= LIMIT_HTTP_WAIT_SECONDS);
    MUST(!http_is_json_type(p.text[2]) || fuzz_holds(p.text[2], "json"));
    MUST(!http_is_idem(p.text[3]) || strlen(p.text[3]) <= LIMIT_IDEM_CHARS);
    check_body(p.text[4], p.len[4]);
    fuzz_split_fini(&p);
    return 0;
}
