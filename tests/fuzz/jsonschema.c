/* The JSON Schema engine: "SCHEMA, ---, DOCUMENT". Whatever both are, the verdict comes, a document has
 * errors exactly when it is invalid, and what is JSON here is JSON elsewhere. */
#include "tests/fuzz/lib/fuzz.h"

#include "common/jsonschema/jsonschema.h"
#include "common/jsonschema/limits.h"

#include <stdlib.h>
#include <string.h>

/* Big numbers and depth are where parsers rightly differ; jansson has no names with a NUL,
 * and skips one behind a number. */
static bool is_comparable(const char *text, size_t len)
{
    size_t digits = 0, brackets = 0;
    for (size_t i = 0; i < len; i++) {
        digits += text[i] >= '0' && text[i] <= '9';
        brackets += text[i] == '[' || text[i] == '{';
    }
    return digits < 18 && brackets < JS_LIMIT_DEPTH && !memchr(text, 'e', len) && !memchr(text, 'E', len) &&
           !memchr(text, 0, len) && !memmem(text, len, "\\u0000", 6);
}

static void compare_parsers(struct js_runner *r, const char *text, size_t len)
{
    struct pb_why why = {0};
    bool here = js_runner_parse(r, text, len, &why) == PB_OK;
    MUST(here || why.text[0]);
    if (!is_comparable(text, len))
        return;
    json_t *there = json_loadb(text, len, JSON_DECODE_ANY | JSON_ALLOW_NUL, NULL);
    MUST(here == (there != NULL));
    json_decref(there);
}

static bool is_pointer(const char *text)
{
    for (const char *p = text; *p; p++)
        if (*p == '~' && p[1] != '0' && p[1] != '1')
            return false;
    return !text[0] || text[0] == '/';
}

static void check_errors(struct js_runner *r, const struct js_schema *schema, enum js_verdict verdict)
{
    const struct js_error *errors = NULL;
    size_t count = 0;
    bool more = false;
    pb_err err = js_explain(r, schema, 0, &errors, &count, &more);
    MUST(err == PB_OK || err == PB_E_MEMORY);
    MUST(err || count <= JS_LIMIT_ERRORS);
    MUST(err || more || (count > 0) == (verdict == JS_INVALID));
    for (size_t i = 0; !err && i < count; i++) {
        MUST(errors[i].text[0] && fuzz_is_utf8(errors[i].text, strlen(errors[i].text)));
        MUST(fuzz_is_utf8(errors[i].instance, strlen(errors[i].instance)));
        MUST(fuzz_is_utf8(errors[i].absolute, strlen(errors[i].absolute)));
        MUST(strlen(errors[i].instance) >= JS_LIMIT_PATH_CHARS / 2 || is_pointer(errors[i].instance));
        MUST(strlen(errors[i].keyword) >= JS_LIMIT_PATH_CHARS / 2 || is_pointer(errors[i].keyword));
    }
}

static void check_document(struct js_runner *r, const struct fuzz_parts *p, const struct js_options *options)
{
    struct js_schema *schema = NULL;
    struct pb_why why = {0};
    enum js_verdict verdict = JS_UNDECIDED;
    pb_err err = js_schema_compile(p->text[0], p->len[0], options, &schema, &why);
    MUST(!err == (schema != NULL));
    MUST(!err || why.text[0]);
    if (schema && js_check(r, schema, p->text[1], p->len[1], &verdict, &why) == PB_OK)
        check_errors(r, schema, verdict);
    js_schema_free(schema);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const struct js_options ways[] = {
        {.uri = "file:///package/schemas/a.json", .draft = JS_DRAFT_2020, .formats = true},
        {.draft = JS_DRAFT_7, .contents = true},
    };
    struct fuzz_parts p;
    struct js_runner *r = js_runner_new();
    MUST(r);
    fuzz_split(data, size, &p);
    compare_parsers(r, p.text[1], p.len[1]);
    for (size_t i = 0; i < sizeof ways / sizeof ways[0]; i++)
        check_document(r, &p, &ways[i]);
    fuzz_split_fini(&p);
    js_runner_free(r);
    return 0;
}
