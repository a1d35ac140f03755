/* From text to program: registers the schema and what it refers to, then emits a node per subschema that is
 * reached.
 *
 * Nodes are emitted in the order in which they were first asked for, not by recursion: a chain of references
 * as long as a schema allows costs no stack. */
#include "common/jsonschema/compiler.h"
#include "common/jsonschema/text.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void *js_grow(void *at, uint32_t *cap, uint32_t count, size_t size)
{
    if (count == *cap) {
        uint32_t more = *cap ? *cap * 2 : 16;
        if (more < *cap || !(at = realloc(at, more * size)))
            return NULL;
        *cap = more;
    }
    memset((char *)at + count * size, 0, size);
    return at;
}

/* One level of the way up: "/keyword/key". */
static void add_level(struct js_text *t, const struct js_place *p)
{
    if (p->keyword < KW_COUNT)
        js_text_add(t, "/%s", js_keywords[p->keyword].name);
    if (p->has_key) {
        js_text_bytes(t, "/", 1);
        js_text_pointer(t, p->key->u.text, p->key->len);
    } else if (p->has_index) {
        js_text_add(t, "/%u", p->index);
    }
}

void js_place_add(const struct js_schema *s, uint32_t place, struct js_text *t)
{
    uint32_t chain[JS_LIMIT_DEPTH * 2], depth = 0;
    const struct js_resource *r = &s->resources.at[s->places.at[place].resource];
    while (place != NONE && s->places.at[place].value != r->root && depth < JS_LIMIT_DEPTH * 2) {
        chain[depth++] = place;
        place = s->places.at[place].parent;
    }
    js_text_add(t, "%s#", r->uri);
    while (depth--)
        add_level(t, &s->places.at[chain[depth]]);
}

pb_err js_refuse(struct compiler *c, uint32_t place, pb_err err, const char *format, ...)
{
    char at[sizeof c->why->at], text[sizeof c->why->text];
    va_list args;
    struct js_text t = {at, 0, sizeof at};
    js_place_add(c->s, place, &t);
    js_text_end(&t);
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    return pb_fail(c->why, err, at, "%s", text);
}

pb_err js_table_new(struct js_schema *s, struct js_table *t, uint32_t count)
{
    uint32_t size = 2;
    while (size < count * 2)
        size *= 2;
    t->first = s->slots.count;
    t->count = 0;
    t->buckets = s->buckets.count;
    t->mask = size - 1;
    for (uint32_t i = 0; i < size; i++) {
        uint16_t *b = PUSH(s->buckets);
        if (!b)
            return PB_E_MEMORY;
        *b = BUCKET_FREE;
    }
    return PB_OK;
}

pb_err js_table_add(struct js_schema *s, struct js_table *t, const char *key, uint32_t len, uint32_t *slot)
{
    const struct js_slot *found = js_find(s, t, key, len);
    if (found) {
        *slot = (uint32_t)(found - s->slots.at);
        return PB_OK;
    }
    if (t->count >= JS_LIMIT_SLOTS)
        return PB_E_LIMIT;
    struct js_slot *fresh = PUSH(s->slots);
    if (!fresh)
        return PB_E_MEMORY;
    struct js_ends ends = js_ends(key, len);
    fresh->key = key;
    fresh->len = len;
    fresh->head = ends.head;
    fresh->tail = ends.tail;
    uint32_t h = js_key_hash(s, key, len, ends);
    while (s->buckets.at[t->buckets + (h & t->mask)] != BUCKET_FREE)
        h++;
    s->buckets.at[t->buckets + (h & t->mask)] = (uint16_t)t->count++;
    *slot = s->slots.count - 1;
    return PB_OK;
}

static pb_err place_node(struct compiler *c, uint32_t place, uint32_t *node)
{
    struct js_schema *s = c->s;
    if (s->places.at[place].node == NONE) {
        if (s->places.at[place].value->type == T_BOOL && s->places.at[place].value->len) {
            *node = s->places.at[place].node = NODE_TRUE;
            return PB_OK;
        }
        struct js_node *n = PUSH(s->nodes);
        if (!n)
            return PB_E_MEMORY;
        n->schema = place;
        s->places.at[place].node = s->nodes.count - 1;
    }
    *node = s->places.at[place].node;
    return PB_OK;
}

/* In a program with $dynamicRef, entering another resource is an instruction of its own. */
static pb_err scope_node(struct compiler *c, uint32_t place, uint32_t *node)
{
    struct js_schema *s = c->s;
    uint32_t inner = *node;
    struct js_op *op = PUSH(s->ops);
    struct js_node *n = op ? PUSH(s->nodes) : NULL;
    if (!n)
        return PB_E_MEMORY;
    *op = (struct js_op){.code = OP_SCOPE, .keyword = KW_SELF, .a = s->places.at[place].resource, .b = inner};
    *n = (struct js_node){.types = T_ANY, .declared = T_ANY, .groups = G_OPS, .schema = place};
    n->ops = s->ops.count - 1;
    n->op_count = 1;
    *node = s->nodes.count - 1;
    return PB_OK;
}

pb_err js_child_place(struct compiler *c, uint32_t parent, uint32_t place, uint32_t *node)
{
    pb_err err = place_node(c, place, node);
    bool crosses = parent == NONE || c->s->places.at[parent].resource != c->s->places.at[place].resource;
    if (err || !c->s->scoped || !crosses || *node == NODE_TRUE)
        return err;
    return scope_node(c, place, node);
}

pb_err js_child(struct compiler *c, uint32_t parent, const struct js_value *v, uint32_t *node)
{
    if (!(v->type & (T_OBJ | T_BOOL)))
        return js_refuse(c, parent, PB_E_INVALID, "a schema must be an object or a boolean");
    if (!v->u.at.mark)
        return js_refuse(c, parent, PB_E_INVALID, "a schema stands where the draft has none");
    return js_child_place(c, parent, v->u.at.mark - 1, node);
}

/* For every dynamic anchor in the registry, the node it leads to, so that a $dynamicRef can pick at run time.
 */
static pb_err add_dynamics(struct compiler *c, uint32_t *done)
{
    struct js_schema *s = c->s;
    for (; *done < s->anchors.count; ++*done) {
        struct js_anchor a = s->anchors.at[*done];
        uint32_t node;
        if (!a.dynamic)
            continue;
        pb_err err = js_child_place(c, NONE, a.target->u.at.mark - 1, &node);
        struct js_dynamic *d = err ? NULL : PUSH(s->dynamics);
        if (!d)
            return err ? err : PB_E_MEMORY;
        *d = (struct js_dynamic){a.name, a.len, a.resource, node};
    }
    return PB_OK;
}

static pb_err emit_all(struct compiler *c, uint32_t root)
{
    struct js_schema *s = c->s;
    uint32_t anchors = 0;
    /* a slot, too, that nothing uses: tables without keys point into the array like all others */
    if (!PUSH(s->nodes) || !PUSH(s->nodes) || !PUSH(s->slots))
        return PB_E_MEMORY;
    s->nodes.at[NODE_TRUE].types = s->nodes.at[NODE_TRUE].declared = T_ANY;
    s->nodes.at[NODE_TRUE].schema = s->nodes.at[NODE_FALSE].schema = root;
    pb_err err = js_child_place(c, NONE, root, &s->entry);
    for (uint32_t i = 2; !err && i < s->nodes.count; i++) {
        err = js_emit(c, i);
        if (!err && s->scoped)
            err = add_dynamics(c, &anchors);
    }
    return err;
}

static void reset_program(struct js_schema *s)
{
    for (uint32_t i = 0; i < s->patterns.count; i++)
        js_pattern_free(s->patterns.at[i]);
    s->nodes.count = s->slots.count = s->buckets.count = s->ids.count = s->objs.count = s->arrs.count = 0;
    s->nums.count = s->strs.count = s->enums.count = s->ops.count = s->pattern_slots.count = 0;
    s->patterns.count = s->keys.count = s->dynamics.count = 0;
    for (uint32_t i = 0; i < s->places.count; i++)
        s->places.at[i].node = NONE;
}

/* A file loaded late may be the first with a $dynamicRef: then all is emitted again, with scopes. */
static pb_err emit_program(struct compiler *c, uint32_t root)
{
    bool scoped = c->s->scoped;
    pb_err err = emit_all(c, root);
    if (!err && c->s->scoped != scoped) {
        reset_program(c->s);
        err = emit_all(c, root);
    }
    return err ? err : js_fuse(c);
}

pb_err js_schema_compile(const char *text, size_t len, const struct js_options *options,
                         struct js_schema **out, struct pb_why *why)
{
    static const struct js_options none;
    struct pb_why own = {0}; /* the caller's changes only on failure */
    struct compiler c = {.options = options ? options : &none, .why = &own};
    uint32_t resource = NONE;
    char *copy = len <= JS_LIMIT_SCHEMA_BYTES ? malloc(len + 1) : NULL;
    pb_err err = PB_E_MEMORY;
    if (len > JS_LIMIT_SCHEMA_BYTES)
        return pb_fail(why, PB_E_LIMIT, "", "the schema is larger than %u bytes", JS_LIMIT_SCHEMA_BYTES);
    c.s = calloc(1, sizeof *c.s);
    c.index = js_index_new();
    if (!c.s || !c.index || !copy) {
        free(copy);
        goto out;
    }
    memcpy(copy, text, len);
    c.work = JS_LIMIT_COMPILE_WORK;
    js_random(c.s->seed, sizeof c.s->seed);
    err = js_registry_add(&c, copy, len, c.options->uri ? c.options->uri : "", &resource);
    if (!err)
        err = emit_program(&c, c.s->resources.at[resource].place);
    if (!err) {
        *out = c.s;
        c.s = NULL;
    }
out:
    if (err && !own.text[0])
        pb_fail(&own, err, "", "%s",
                err == PB_E_MEMORY  ? "out of memory"
                : err == PB_E_LIMIT ? "a list of properties or of an enum's strings is too long"
                                    : "the schema cannot be used");
    if (err && why)
        *why = own;
    free(c.pending.at);
    js_index_free(c.index);
    js_schema_free(c.s);
    return err;
}

void js_schema_free(struct js_schema *s)
{
    if (!s)
        return;
    reset_program(s);
    for (uint32_t i = 0; i < s->resources.count; i++)
        free(s->resources.at[i].uri);
    for (uint32_t i = 0; i < s->sources.count; i++) {
        if (!s->sources.at[i])
            continue;
        js_document_fini(&s->sources.at[i]->doc);
        free(s->sources.at[i]->text);
        free(s->sources.at[i]->uri);
        free(s->sources.at[i]);
    }
    void *const arrays[] = {
        s->nodes.at,  s->slots.at,     s->buckets.at,       s->ids.at,      s->objs.at,    s->arrs.at,
        s->nums.at,   s->strs.at,      s->enums.at,         s->ops.at,      s->keys.at,    s->dynamics.at,
        s->places.at, s->resources.at, s->pattern_slots.at, s->patterns.at, s->anchors.at, s->sources.at};
    for (size_t i = 0; i < sizeof arrays / sizeof arrays[0]; i++)
        free(arrays[i]);
    free(s);
}

void js_schema_size(const struct js_schema *s, size_t *nodes, size_t *bytes)
{
    *nodes = s->nodes.count;
    *bytes = s->nodes.count * sizeof *s->nodes.at + s->slots.count * sizeof *s->slots.at +
             s->buckets.count * sizeof *s->buckets.at + s->ids.count * sizeof *s->ids.at +
             s->objs.count * sizeof *s->objs.at + s->arrs.count * sizeof *s->arrs.at +
             s->nums.count * sizeof *s->nums.at + s->strs.count * sizeof *s->strs.at +
             s->enums.count * sizeof *s->enums.at + s->ops.count * sizeof *s->ops.at;
}

size_t js_schema_memory(const struct js_schema *s)
{
    size_t bytes = sizeof *s, nodes, program;
    js_schema_size(s, &nodes, &program);
    bytes += program + s->places.cap * sizeof *s->places.at + s->resources.cap * sizeof *s->resources.at +
             s->anchors.cap * sizeof *s->anchors.at + s->keys.cap * sizeof *s->keys.at +
             s->pattern_slots.cap * sizeof *s->pattern_slots.at;
    for (uint32_t i = 0; i < s->patterns.count; i++)
        bytes += js_pattern_memory(s->patterns.at[i]);
    for (uint32_t i = 0; i < s->sources.count; i++)
        bytes += s->sources.at[i]->len + s->sources.at[i]->doc.text_cap +
                 s->sources.at[i]->doc.value_cap * sizeof *s->sources.at[i]->doc.values;
    return bytes;
}
