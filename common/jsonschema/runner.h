/* What a thread needs to run programs. Not for users of the library. */
#ifndef JS_RUNNER_H
#define JS_RUNNER_H

#include "common/jsonschema/keyword.h"
#include "common/jsonschema/limits.h"
#include "common/jsonschema/program.h"

/* Which members or items of one value were evaluated: words of bits in the runner's stack of them. */
struct js_marks {
    uint32_t offset, words;
};

struct js_scope {
    uint32_t resource;
    const struct js_scope *outer;
};

struct js_item_hash {
    uint64_t hash;
    const struct js_value *item;
};

/* One step of the way to where the check stands: in the document, or through the schema. */
struct js_step {
    const struct js_value *key; /* or NULL and index */
    uint32_t index;
    uint8_t keyword;
    uint8_t kind; /* 0: the keyword alone, 1: and key, 2: and index */
};

struct js_note { /* an error before it is text */
    const struct js_value *value;
    uint32_t order;
    size_t instance, keyword, absolute, text; /* offsets in the arena */
};

struct js_explainer {
    struct js_step instance[JS_LIMIT_DEPTH + 2], way[JS_LIMIT_EXPLAIN_DEPTH];
    uint32_t instance_depth, way_depth;
    VECTOR(struct js_note, notes);
    const struct js_node *node; /* that is being checked */
    struct js_error *errors;
    char *arena;
    size_t arena_len, arena_cap, max;
    bool more, broken;
    bool counting; /* only how many errors there are */
    uint32_t counted;
};

#define JS_HINTS 4096

struct js_runner {
    const struct js_schema *s;
    uint16_t hints[JS_HINTS]; /* of look_up() */
    struct js_index *index;
    struct js_document doc;
    struct js_matcher *matcher;
    int64_t fuel;
    uint32_t calls;
    bool limited, parsed;
    uint64_t seed;
    const struct js_scope *scope;
    uint64_t *bits;
    uint32_t bit_words, bit_top;
    struct js_item_hash *hashes;
    uint32_t hash_cap;
    struct js_runner *inner; /* for JSON within strings */
    char *decoded;
    size_t decoded_cap;
    struct js_explainer *explainer; /* made when first needed */
};

/* run.c */
bool js_run(struct js_runner *r, uint32_t node, const struct js_value *v, struct js_marks *m);
void js_run_start(struct js_runner *r, const struct js_schema *s);
bool js_limited(struct js_runner *r); /* notes that a limit was reached; false */
bool js_marks_begin(struct js_runner *r, const struct js_value *v, struct js_marks *m);
void js_marks_merge(struct js_runner *r, struct js_marks *into, const struct js_marks *from);
bool js_unique(struct js_runner *r, const struct js_value *v, uint32_t *first, uint32_t *second);
bool js_enum_has(struct js_runner *r, const struct js_enum *e, const struct js_value *v);
bool js_contents_ok(struct js_runner *r, const struct js_str *str, const struct js_value *v);
uint32_t js_chars(const struct js_value *v);
uint32_t js_dynamic_target(struct js_runner *r, const struct js_op *op);

static inline void js_mark(struct js_runner *r, const struct js_marks *m, uint32_t i)
{
    if (m)
        r->bits[m->offset + i / 64] |= 1ull << (i & 63);
}

static inline bool js_marked(const struct js_runner *r, const struct js_marks *m, uint32_t i)
{
    return r->bits[m->offset + i / 64] >> (i & 63) & 1;
}

#endif
