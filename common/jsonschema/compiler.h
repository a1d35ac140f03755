/* What the parts of the schema compiler share. Not for users of the library. */
#ifndef JS_COMPILER_H
#define JS_COMPILER_H

#include "common/jsonschema/keyword.h"
#include "common/jsonschema/limits.h"
#include "common/jsonschema/program.h"

struct compiler {
    struct js_schema *s;
    const struct js_options *options;
    struct js_index *index;
    struct pb_why *why;
    VECTOR(struct js_op, pending); /* of the node that is being emitted */
    int dialects;                  /* meta-schemas being looked at, each because of the one before */
    int64_t work;                  /* names that may still be compared while references are followed */
};

static inline pb_err js_work(struct compiler *c, uint32_t names)
{
    c->work -= names;
    return c->work >= 0 ? PB_OK
                        : pb_fail(c->why, PB_E_LIMIT, "", "the schema's references take too long to follow");
}

/* The keywords of one subschema. */
struct parts {
    uint32_t place;
    const struct js_value *kw[KW_COUNT];
};

/* registry.c: files, resources, anchors and places */

/* Parses text (taken) as the file at uri and registers what it holds. *resource is that of its root. */
pb_err js_registry_add(struct compiler *c, char *text, size_t len, const char *uri,
                       uint32_t *resource) PB_CHECKED;
/* The place that a reference in the place's resource means. */
pb_err js_registry_resolve(struct compiler *c, uint32_t from, const struct js_value *ref,
                           uint32_t *place) PB_CHECKED;
/* The anchor's index, or NONE. */
uint32_t js_registry_anchor(const struct js_schema *s, uint32_t resource, const char *name, size_t len);
pb_err js_registry_scan(struct compiler *c, const struct js_value *v, struct js_place place,
                        uint32_t *out) PB_CHECKED;

/* meta.c: the text of a meta-schema, or NULL */
const char *js_meta_find(const char *uri);

/* emit.c: the side tables of one node */
pb_err js_emit(struct compiler *c, uint32_t node) PB_CHECKED;
/* fuse.c: what can be said once all nodes are there */
pb_err js_fuse(struct compiler *c) PB_CHECKED;

/* The node of a subschema, which is emitted later. */
pb_err js_child(struct compiler *c, uint32_t parent, const struct js_value *v, uint32_t *node) PB_CHECKED;
/* The same for what a reference leads to. */
pb_err js_child_place(struct compiler *c, uint32_t parent, uint32_t place, uint32_t *node) PB_CHECKED;

/* tables of keys, with room for count */
pb_err js_table_new(struct js_schema *s, struct js_table *t, uint32_t count) PB_CHECKED;
/* The slot's index in s->slots, existing or new. */
pb_err js_table_add(struct js_schema *s, struct js_table *t, const char *key, uint32_t len,
                    uint32_t *slot) PB_CHECKED;

/* The absolute URI and JSON pointer of a place. */
struct js_text;
void js_place_add(const struct js_schema *s, uint32_t place, struct js_text *t);
pb_err js_refuse(struct compiler *c, uint32_t place, pb_err err, const char *format, ...)
    __attribute__((format(printf, 4, 5)));

#endif
