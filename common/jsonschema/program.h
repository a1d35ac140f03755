/* What a schema becomes: nodes, in one array, that refer to each other and to side tables by number.
 *
 * A node carries the mask of the types it lets through and says by its group bits which side tables have more
 * to check; most nodes of real schemas are a mask and nothing else, and those are answered in their parent's
 * slot. */
#ifndef JS_PROGRAM_H
#define JS_PROGRAM_H

#include "common/jsonschema/dom.h"
#include "common/jsonschema/jsonschema.h"
#include "common/jsonschema/pattern.h"

enum { NODE_TRUE = 0, NODE_FALSE = 1 };

#define NONE UINT32_MAX

enum group {
    G_ENUM = 1,
    G_NUM = 2,
    G_STR = 4,
    G_OBJ = 8,
    G_ARR = 16,
    G_OPS = 32,
    G_MARKS = 64, /* collects what is evaluated, for unevaluated* */
};

struct js_node {
    uint8_t types, groups;
    uint8_t declared; /* the mask of "type" alone: groups may have narrowed types */
    uint8_t pass;     /* those of the types, no containers, that need no further look */
    uint32_t schema;  /* for locations */
    uint32_t enums, num, str, obj, arr;
    uint32_t ops, op_count;
    bool settled; /* pass is known */
};

enum leaf {
    LEAF_NONE,   /* run the node */
    LEAF_MASK,   /* nothing */
    LEAF_FORMAT, /* a string's format */
    LEAF_ENUM,   /* the node's enum */
};

/* A property known to an object schema: all that the check of most members needs, in 48 bytes. */
struct js_slot {
    uint64_t head, tail; /* the key's ends: see js_ends() */
    const char *key;
    uint32_t len;
    uint32_t direct;   /* node, references followed */
    uint8_t pass;      /* the node's */
    uint8_t types;     /* the node's */
    uint8_t leaf;      /* enum leaf: what there is to check beyond the masks */
    uint8_t format;    /* of LEAF_FORMAT */
    uint16_t required; /* its number, from 1; 0 if optional */
    uint8_t declared;  /* in "properties"; otherwise only required */
    uint32_t node;
};

struct js_table { /* keys by hash: slots first..., buckets hold their numbers */
    uint32_t first, count, buckets, mask;
};

struct js_obj {
    struct js_table table;
    const struct js_slot *first, *end; /* the table's slots */
    uint64_t needed[2];                /* a plain one's required slots, one bit each */
    bool plain;                        /* properties, required and a schema for the rest: nothing else */
    uint32_t required;                 /* how many of the slots are */
    uint32_t extra; /* node for the others: additionalProperties, or a static unevaluatedProperties */
    uint32_t names; /* propertyNames */
    uint32_t patterns, pattern_count; /* struct js_pattern_slot */
    uint32_t least, most;
    bool extra_unevaluated, extra_stands; /* the keyword is there, if only as true */
};

struct js_pattern_slot {
    uint32_t pattern, node;
    const char *source; /* the key in the schema */
    uint32_t len;
};

struct js_arr {
    uint32_t prefix, prefix_count; /* ids */
    uint32_t rest;                 /* node */
    uint32_t contains;             /* node, or NONE */
    uint32_t contains_least, contains_most;
    uint32_t least, most;
    uint8_t rest_keyword; /* items, additionalItems or unevaluatedItems */
    bool unique, contains_marks, prefix_is_items, rest_stands;
};

struct js_num {
    const struct js_value *least, *most, *above, *below, *multiple;
};

struct js_str {
    uint32_t least, most;
    uint32_t pattern; /* or NONE */
    uint8_t format, encoding, media;
};

struct js_enum {
    const struct js_value *values; /* the first of count siblings */
    uint32_t count;
    bool is_const;
    struct js_table strings;
    uint8_t other_types; /* types among the values that are not strings */
};

enum js_op_code {
    OP_REF,
    OP_DYNAMIC,
    OP_ALL,
    OP_ANY,
    OP_ONE,
    OP_NOT,
    OP_IF,
    OP_REQUIRED, /* a = key number: the member must exist */
    OP_NEEDS,    /* dependentRequired: ids[a] = key, the rest = keys it needs */
    OP_NEEDS_SCHEMA,
    OP_SCOPE, /* enters resource a, then node b */
    OP_UNEVALUATED_PROPERTIES,
    OP_UNEVALUATED_ITEMS,
    OP_CODES
};

struct js_op {
    uint8_t code;
    uint8_t keyword;
    bool by_type; /* OP_ANY, OP_ONE: no two branches let the same type through */
    uint32_t a, b, count;
    uint32_t tag_key;     /* OP_ANY, OP_ONE: slot of the member that tells the branches apart, or NONE */
    struct js_table tags; /* its values; a slot's node is the number of the branch */
};

/* A subschema, for locations: the way up to the root of its resource. */
struct js_place {
    uint32_t parent, resource, node;
    uint8_t keyword;
    bool has_key, has_index;
    uint32_t index;
    const struct js_value *key;
    const struct js_value *value;
};

struct js_resource {
    char *uri;
    uint32_t uri_hash;
    const struct js_value *root;
    uint32_t place;
    uint32_t same; /* the resource that this one is another name of, or NONE */
    uint32_t draft, vocabularies;
    bool formats;
};

struct js_anchor {
    const char *name;
    uint32_t len, resource;
    const struct js_value *target;
    bool dynamic;
};

/* Where a dynamic anchor leads if its resource is the outermost in scope. */
struct js_dynamic {
    const char *name;
    uint32_t len, resource, node;
};

#define VECTOR(type, name)                                                                                   \
    struct {                                                                                                 \
        type *at;                                                                                            \
        uint32_t count, cap;                                                                                 \
    } name

struct js_schema {
    uint64_t seed[2]; /* of js_key_hash() */
    uint32_t entry;
    bool scoped; /* $dynamicRef is used: the evaluator keeps the scope */
    VECTOR(struct js_node, nodes);
    VECTOR(struct js_slot, slots);
    VECTOR(uint16_t, buckets);
    VECTOR(uint32_t, ids);
    VECTOR(struct js_obj, objs);
    VECTOR(struct js_arr, arrs);
    VECTOR(struct js_num, nums);
    VECTOR(struct js_str, strs);
    VECTOR(struct js_enum, enums);
    VECTOR(struct js_op, ops);
    VECTOR(struct js_pattern_slot, pattern_slots);
    VECTOR(struct js_pattern *, patterns);
    VECTOR(const struct js_value *, keys);
    VECTOR(struct js_dynamic, dynamics);
    VECTOR(struct js_place, places);
    VECTOR(struct js_resource, resources);
    VECTOR(struct js_anchor, anchors);
    VECTOR(struct js_source *, sources); /* the parsed files, which the tables point into */
};

struct js_source {
    char *text, *uri;
    size_t len;
    struct js_document doc;
};

/* Room for one more in a vector, zeroed; NULL: no memory. */
void *js_grow(void *at, uint32_t *cap, uint32_t count, size_t size);
#define PUSH(v)                                                                                              \
    ({                                                                                                       \
        void *grown_ = js_grow((v).at, &(v).cap, (v).count, sizeof *(v).at);                                 \
        if (grown_)                                                                                          \
            (v).at = grown_;                                                                                 \
        grown_ ? &(v).at[(v).count++] : NULL;                                                                \
    })

/* A key by its ends: with the length they are all of a key of up to 16 bytes, and a comparison of two words
 * answers for it. Longer ones have a middle, too. */
struct js_ends {
    uint64_t head, tail;
};

static inline struct js_ends js_ends(const char *s, uint32_t n)
{
    struct js_ends e = {0, 0};
    uint32_t p, q;
    if (n >= 8) {
        __builtin_memcpy(&e.head, s, 8);
        __builtin_memcpy(&e.tail, s + n - 8, 8);
    } else if (n >= 4) {
        __builtin_memcpy(&p, s, 4);
        __builtin_memcpy(&q, s + n - 4, 4);
        e.head = (uint64_t)p << 32 | q;
    } else if (n) {
        e.head = (uint64_t)(uint8_t)s[0] << 16 | (uint64_t)(uint8_t)s[n / 2] << 8 | (uint8_t)s[n - 1];
    }
    return e;
}

static inline bool js_slot_is(const struct js_slot *slot, const char *key, uint32_t len, struct js_ends e)
{
    return slot->len == len && slot->head == e.head && slot->tail == e.tail &&
           (len <= 16 || js_same(slot->key + 8, key + 8, len - 16));
}

static inline uint64_t js_fold(uint64_t a, uint64_t b)
{
    unsigned __int128 m = (unsigned __int128)a * b;
    return (uint64_t)m ^ (uint64_t)(m >> 64);
}

/* Keyed, so that no document's author can make names that all fall into one bucket. */
static inline uint32_t js_key_hash(const struct js_schema *s, const char *key, uint32_t n, struct js_ends e)
{
    uint64_t x, h = js_fold(e.head ^ s->seed[0], e.tail ^ s->seed[1] ^ n);
    for (uint32_t i = 8; i + 8 < n; i += 8) {
        __builtin_memcpy(&x, key + i, 8);
        h = js_fold(h ^ x, s->seed[1]);
    }
    return (uint32_t)h;
}

#define BUCKET_FREE UINT16_MAX

/* The slot of a key, or NULL. */
static inline const struct js_slot *js_find_ends(const struct js_schema *s, const struct js_table *t,
                                                 const char *key, uint32_t len, struct js_ends e)
{
    const struct js_slot *first = s->slots.at + t->first;
    const uint16_t *buckets = s->buckets.at + t->buckets;
    for (uint32_t h = js_key_hash(s, key, len, e);; h++) {
        uint16_t i = buckets[h & t->mask];
        if (i == BUCKET_FREE)
            return NULL;
        if (js_slot_is(&first[i], key, len, e))
            return first + i;
    }
}

static inline const struct js_slot *js_find(const struct js_schema *s, const struct js_table *t,
                                            const char *key, uint32_t len)
{
    return t->count ? js_find_ends(s, t, key, len, js_ends(key, len)) : NULL;
}

#endif
