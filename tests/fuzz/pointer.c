/* JSON Pointer: "POINTER, ---, JSON". Any pointer may be asked; and the pointer that is made for a place of
 * the document leads to it. */
#include "tests/fuzz/lib/fuzz.h"

#include "common/buf.h"
#include "worker/declarative/pointer.h"

#include <string.h>

#define TOKEN_MAX 500 /* longer names are not found, by design */

static void add_token(struct buf *to, const char *name)
{
    buf_text(to, "/");
    for (; *name; name++)
        buf_printf(to, *name == '~' ? "~0" : *name == '/' ? "~1" : "%c", *name);
}

static void walk(const json_t *root, const json_t *at, struct buf *pointer);

static void step(const json_t *root, const json_t *at, struct buf *pointer, const char *name)
{
    size_t len = pointer->len;
    add_token(pointer, name);
    if (!pointer->failed && strlen(name) < TOKEN_MAX)
        walk(root, at, pointer);
    pointer->len = len;
    pointer->failed = false;
    pointer->data[len] = 0;
}

static void walk(const json_t *root, const json_t *at, struct buf *pointer)
{
    const char *name;
    json_t *value;
    MUST(pointer_get(root, buf_peek(pointer)) == at);
    json_object_foreach((json_t *)at, name, value) step(root, value, pointer, name);
    for (size_t i = 0; i < json_array_size(at); i++) {
        struct buf index;
        buf_init(&index, 32);
        buf_printf(&index, "%zu", i);
        step(root, json_array_get(at, i), pointer, buf_peek(&index));
        buf_fini(&index);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct fuzz_parts p;
    struct buf pointer;
    fuzz_split(data, size, &p);
    buf_init(&pointer, 4096);
    json_t *json = fuzz_json(p.text[1], p.len[1]);
    const json_t *found = pointer_get(json, p.text[0]);
    MUST(!found || !p.text[0][0] || p.text[0][0] == '/');
    if (json)
        walk(json, json, &pointer);
    json_decref(json);
    buf_fini(&pointer);
    fuzz_split_fini(&p);
    return 0;
}
