/* One subschema becomes one node: its keywords are gathered, checked, and grouped by what they look at. */
#include "common/jsonschema/compiler.h"
#include "common/jsonschema/format.h"

#include <stdio.h>
#include <string.h>

#define REQUIRED_BITS 256 /* required members that the one pass over an object counts */

static const struct {
    const char *name;
    uint8_t types;
} type_names[] = {
    {"null", T_NULL},  {"boolean", T_BOOL}, {"integer", T_INTEGER}, {"number", T_NUMBER},
    {"string", T_STR}, {"array", T_ARR},    {"object", T_OBJ},
};

static pb_err gather(struct compiler *c, struct parts *p)
{
    const struct js_place *place = &c->s->places.at[p->place];
    const struct js_resource *r = &c->s->resources.at[place->resource];
    const struct js_value *v = place->value, *k = v + 1;
    bool only_ref = r->draft == JS_DRAFT_7 && js_get(v, "$ref", 4);
    for (uint32_t i = 0; i < v->len; i++, k = js_next(k + 1)) {
        unsigned kw = js_keyword_find(k->u.text, k->len);
        if (kw == KW_UNKNOWN || (only_ref && kw != KW_REF))
            continue;
        const struct js_keyword_row *row = &js_keywords[kw];
        if (!(row->drafts & r->draft) || !(row->vocabulary & (r->vocabularies | VOC_CORE)))
            continue;
        if (!(k[1].type & row->types))
            return js_refuse(c, p->place, PB_E_INVALID, "%s has a value of the wrong type", row->name);
        if (row->shape == S_LIST && !k[1].len)
            return js_refuse(c, p->place, PB_E_INVALID, "%s must not be empty", row->name);
        if (p->kw[kw])
            return js_refuse(c, p->place, PB_E_INVALID, "%s stands twice", row->name);
        p->kw[kw] = k + 1;
    }
    return PB_OK;
}

static pb_err read_type(struct compiler *c, const struct parts *p, const struct js_value *v, uint8_t *mask)
{
    for (size_t i = 0; i < sizeof type_names / sizeof type_names[0]; i++) {
        if (js_is(v, type_names[i].name)) {
            *mask |= type_names[i].types;
            return PB_OK;
        }
    }
    return js_refuse(c, p->place, PB_E_INVALID,
                     "type must name null, boolean, integer, number, string, array or object");
}

static pb_err emit_type(struct compiler *c, const struct parts *p, struct js_node *n)
{
    const struct js_value *v = p->kw[KW_TYPE];
    n->types = v ? 0 : T_ANY;
    if (v && v->type == T_STR) {
        pb_err err = read_type(c, p, v, &n->types);
        if (err)
            return err;
    } else if (v) {
        const struct js_value *x = v + 1;
        for (uint32_t i = 0; i < v->len; i++, x = js_next(x)) {
            pb_err err = read_type(c, p, x, &n->types);
            if (err)
                return err;
        }
    }
    n->declared = n->types;
    return PB_OK;
}

static pb_err count_of(struct compiler *c, const struct parts *p, unsigned kw, uint32_t missing,
                       uint32_t *out)
{
    const struct js_value *v = p->kw[kw];
    *out = missing;
    if (!v)
        return PB_OK;
    if (v->type == T_BIG ? v->u.text[0] == '-' : v->u.integer < 0)
        return js_refuse(c, p->place, PB_E_INVALID, "%s must not be negative", js_keywords[kw].name);
    *out = v->type == T_BIG || v->u.integer >= NONE ? NONE : (uint32_t)v->u.integer;
    return PB_OK;
}

static pb_err add_enum_value(struct compiler *c, struct js_enum *e, const struct js_value *v)
{
    uint32_t slot;
    if (v->type == T_STR)
        return js_table_add(c->s, &e->strings, v->u.text, v->len, &slot);
    e->other_types |= v->type;
    return PB_OK;
}

static pb_err emit_enum(struct compiler *c, const struct parts *p, struct js_node *n,
                        const struct js_value *list, bool is_const)
{
    struct js_enum e = {
        .values = is_const ? list : list + 1, .count = is_const ? 1 : list->len, .is_const = is_const};
    const struct js_value *x = e.values;
    (void)p;
    pb_err err = js_table_new(c->s, &e.strings, e.count);
    for (uint32_t i = 0; !err && i < e.count; i++, x = js_next(x))
        err = add_enum_value(c, &e, x);
    struct js_enum *slot = err ? NULL : PUSH(c->s->enums);
    if (!slot)
        return err ? err : PB_E_MEMORY;
    *slot = e;
    n->enums = c->s->enums.count - 1;
    n->groups |= G_ENUM;
    n->types &= (uint8_t)(e.other_types | (e.strings.count ? T_STR : 0));
    return PB_OK;
}

static pb_err push_op(struct compiler *c, struct js_node *n, struct js_op op)
{
    struct js_op *slot = PUSH(c->pending);
    if (!slot)
        return PB_E_MEMORY;
    *slot = op;
    n->op_count++;
    return PB_OK;
}

/* enum beside const is rare: the const becomes an allOf of one, by a node of its own. */
static pb_err emit_const_beside(struct compiler *c, const struct parts *p, struct js_node *n)
{
    struct js_node extra = {.types = T_ANY, .declared = T_ANY, .schema = p->place};
    pb_err err = emit_enum(c, p, &extra, p->kw[KW_CONST], true);
    struct js_node *slot = err ? NULL : PUSH(c->s->nodes);
    if (!slot)
        return err ? err : PB_E_MEMORY;
    *slot = extra;
    return push_op(c, n, (struct js_op){.code = OP_REF, .keyword = KW_SELF, .b = c->s->nodes.count - 1});
}

static pb_err emit_numbers(struct compiler *c, const struct parts *p, struct js_node *n)
{
    struct js_num num = {p->kw[KW_MINIMUM], p->kw[KW_MAXIMUM], p->kw[KW_EXCLUSIVE_MINIMUM],
                         p->kw[KW_EXCLUSIVE_MAXIMUM], p->kw[KW_MULTIPLE_OF]};
    static const struct js_value zero = {.type = T_INT};
    if (!num.least && !num.most && !num.above && !num.below && !num.multiple)
        return PB_OK;
    if (num.multiple && js_compare(num.multiple, &zero) <= 0)
        return js_refuse(c, p->place, PB_E_INVALID, "multipleOf must be above 0");
    struct js_num *slot = PUSH(c->s->nums);
    if (!slot)
        return PB_E_MEMORY;
    *slot = num;
    n->num = c->s->nums.count - 1;
    n->groups |= G_NUM;
    return PB_OK;
}

static pb_err add_pattern(struct compiler *c, const struct parts *p, const struct js_value *text,
                          uint32_t *out)
{
    char reason[200];
    if (c->s->patterns.count >= JS_LIMIT_PATTERNS)
        return js_refuse(c, p->place, PB_E_LIMIT, "more than %d patterns", JS_LIMIT_PATTERNS);
    struct js_pattern **slot = PUSH(c->s->patterns);
    if (!slot)
        return PB_E_MEMORY;
    pb_err err = js_pattern_new(text->u.text, text->len, slot, reason, sizeof reason);
    *out = c->s->patterns.count - 1;
    return err ? js_refuse(c, p->place, err, "the pattern \"%.*s\" cannot be used: %s",
                           (int)(text->len < 80 ? text->len : 80), text->u.text, reason)
               : PB_OK;
}

static bool formats_count(const struct compiler *c, const struct parts *p)
{
    const struct js_resource *r = &c->s->resources.at[c->s->places.at[p->place].resource];
    return c->options->formats || r->vocabularies & VOC_FORMAT_ASSERTION;
}

static pb_err emit_strings(struct compiler *c, const struct parts *p, struct js_node *n)
{
    struct js_str str = {.pattern = NONE};
    const struct js_value *format = p->kw[KW_FORMAT];
    pb_err err = count_of(c, p, KW_MIN_LENGTH, 0, &str.least);
    if (!err)
        err = count_of(c, p, KW_MAX_LENGTH, NONE, &str.most);
    if (!err && p->kw[KW_PATTERN])
        err = add_pattern(c, p, p->kw[KW_PATTERN], &str.pattern);
    if (err)
        return err;
    if (format && formats_count(c, p))
        str.format = js_format_find(format->u.text, format->len);
    uint32_t draft = c->s->resources.at[c->s->places.at[p->place].resource].draft;
    if (c->options->contents && draft == JS_DRAFT_7) {
        str.encoding = js_is(p->kw[KW_CONTENT_ENCODING], "base64");
        str.media =
            js_is(p->kw[KW_CONTENT_MEDIA_TYPE], "application/json") &&
            (str.encoding || !p->kw[KW_CONTENT_ENCODING]); /* what is encoded otherwise cannot be read */
    }
    if (!str.least && str.most == NONE && str.pattern == NONE && !str.format && !str.encoding && !str.media)
        return PB_OK;
    struct js_str *slot = PUSH(c->s->strs);
    if (!slot)
        return PB_E_MEMORY;
    *slot = str;
    n->str = c->s->strs.count - 1;
    n->groups |= G_STR;
    return PB_OK;
}

static const struct js_value *first_of(const struct js_value *container)
{
    return container ? container + 1 : NULL;
}

static pb_err add_properties(struct compiler *c, const struct parts *p, struct js_obj *o)
{
    const struct js_value *map = p->kw[KW_PROPERTIES], *k = first_of(map);
    for (uint32_t i = 0; map && i < map->len; i++, k = js_next(k + 1)) {
        uint32_t slot, node;
        pb_err err = js_child(c, p->place, k + 1, &node);
        if (!err)
            err = js_table_add(c->s, &o->table, k->u.text, k->len, &slot);
        if (err)
            return err;
        if (c->s->slots.at[slot].declared)
            return js_refuse(c, p->place, PB_E_INVALID, "the property %.*s stands twice",
                             (int)(k->len < 80 ? k->len : 80), k->u.text);
        c->s->slots.at[slot].node = node;
        c->s->slots.at[slot].declared = 1;
    }
    return PB_OK;
}

static pb_err push_key(struct compiler *c, const struct js_value *key, uint32_t *out)
{
    const struct js_value **slot = PUSH(c->s->keys);
    if (!slot)
        return PB_E_MEMORY;
    *slot = key;
    *out = c->s->keys.count - 1;
    return PB_OK;
}

static pb_err add_required(struct compiler *c, const struct parts *p, struct js_node *n, struct js_obj *o)
{
    const struct js_value *list = p->kw[KW_REQUIRED], *x = first_of(list);
    for (uint32_t i = 0; list && i < list->len; i++, x = js_next(x)) {
        uint32_t slot, key;
        if (x->type != T_STR)
            return js_refuse(c, p->place, PB_E_INVALID, "required must list strings");
        pb_err err;
        if (o->required >= REQUIRED_BITS) {
            err = push_key(c, x, &key);
            if (!err)
                err = push_op(c, n, (struct js_op){.code = OP_REQUIRED, .keyword = KW_REQUIRED, .a = key});
        } else {
            err = js_table_add(c->s, &o->table, x->u.text, x->len, &slot);
            if (!err && !c->s->slots.at[slot].required)
                c->s->slots.at[slot].required = (uint16_t)++o->required;
        }
        if (err)
            return err;
    }
    return PB_OK;
}

static pb_err add_patterns(struct compiler *c, const struct parts *p, struct js_obj *o)
{
    const struct js_value *map = p->kw[KW_PATTERN_PROPERTIES], *k = first_of(map);
    o->patterns = c->s->pattern_slots.count;
    for (uint32_t i = 0; map && i < map->len; i++, k = js_next(k + 1)) {
        struct js_pattern_slot slot = {.source = k->u.text, .len = k->len};
        pb_err err = add_pattern(c, p, k, &slot.pattern);
        if (!err)
            err = js_child(c, p->place, k + 1, &slot.node);
        struct js_pattern_slot *at = err ? NULL : PUSH(c->s->pattern_slots);
        if (!at)
            return err ? err : PB_E_MEMORY;
        *at = slot;
        o->pattern_count++;
    }
    return PB_OK;
}

/* Without neighbours that apply other schemas to the same value, "unevaluated" is "additional". */
static bool evaluates_alone(const struct parts *p)
{
    static const uint8_t in_place[] = {
        KW_REF,  KW_DYNAMIC_REF, KW_RECURSIVE_REF,     KW_ALL_OF,       KW_ANY_OF,  KW_ONE_OF, KW_IF,
        KW_THEN, KW_ELSE,        KW_DEPENDENT_SCHEMAS, KW_DEPENDENCIES, KW_CONTAINS};
    for (size_t i = 0; i < sizeof in_place; i++)
        if (p->kw[in_place[i]])
            return false;
    return true;
}

static pb_err add_extra(struct compiler *c, const struct parts *p, struct js_obj *o)
{
    const struct js_value *extra = p->kw[KW_ADDITIONAL_PROPERTIES];
    if (!extra && p->kw[KW_UNEVALUATED_PROPERTIES] && evaluates_alone(p)) {
        extra = p->kw[KW_UNEVALUATED_PROPERTIES];
        o->extra_unevaluated = true;
    }
    o->extra = NODE_TRUE;
    o->extra_stands = extra != NULL;
    if (extra) {
        pb_err err = js_child(c, p->place, extra, &o->extra);
        if (err)
            return err;
    }
    o->names = NODE_TRUE;
    return p->kw[KW_PROPERTY_NAMES] ? js_child(c, p->place, p->kw[KW_PROPERTY_NAMES], &o->names) : PB_OK;
}

static bool has_any(const struct parts *p, const uint8_t *list, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (p->kw[list[i]])
            return true;
    return false;
}

static pb_err emit_object(struct compiler *c, const struct parts *p, struct js_node *n)
{
    static const uint8_t mine[] = {KW_PROPERTIES,     KW_PATTERN_PROPERTIES,    KW_ADDITIONAL_PROPERTIES,
                                   KW_REQUIRED,       KW_MIN_PROPERTIES,        KW_MAX_PROPERTIES,
                                   KW_PROPERTY_NAMES, KW_UNEVALUATED_PROPERTIES};
    struct js_obj o = {0};
    if (!has_any(p, mine, sizeof mine))
        return PB_OK;
    uint32_t known = p->kw[KW_PROPERTIES] ? p->kw[KW_PROPERTIES]->len : 0;
    known += p->kw[KW_REQUIRED] ? p->kw[KW_REQUIRED]->len : 0;
    pb_err err = js_table_new(c->s, &o.table, known);
    if (!err)
        err = add_properties(c, p, &o);
    if (!err)
        err = add_required(c, p, n, &o);
    if (!err)
        err = add_patterns(c, p, &o);
    if (!err)
        err = add_extra(c, p, &o);
    if (!err)
        err = count_of(c, p, KW_MIN_PROPERTIES, 0, &o.least);
    if (!err)
        err = count_of(c, p, KW_MAX_PROPERTIES, NONE, &o.most);
    struct js_obj *slot = err ? NULL : PUSH(c->s->objs);
    if (!slot)
        return err ? err : PB_E_MEMORY;
    *slot = o;
    n->obj = c->s->objs.count - 1;
    n->groups |= G_OBJ;
    return PB_OK;
}

static pb_err push_ids(struct compiler *c, const struct parts *p, const struct js_value *list,
                       uint32_t *first)
{
    const struct js_value *x = list + 1;
    *first = c->s->ids.count;
    for (uint32_t i = 0; i < list->len; i++, x = js_next(x)) {
        uint32_t node;
        pb_err err = js_child(c, p->place, x, &node);
        uint32_t *slot = err ? NULL : PUSH(c->s->ids);
        if (!slot)
            return err ? err : PB_E_MEMORY;
        *slot = node;
    }
    return PB_OK;
}

static pb_err add_items(struct compiler *c, const struct parts *p, struct js_arr *a)
{
    const struct js_value *items = p->kw[KW_ITEMS], *prefix = p->kw[KW_PREFIX_ITEMS], *rest = items;
    a->rest = NODE_TRUE;
    a->rest_keyword = KW_ITEMS;
    uint32_t draft = c->s->resources.at[c->s->places.at[p->place].resource].draft;
    if (items && items->type == T_ARR) {
        if (draft == JS_DRAFT_2020)
            return js_refuse(c, p->place, PB_E_INVALID,
                             "items must be a schema; a list is called prefixItems now");
        prefix = items;
        rest = p->kw[KW_ADDITIONAL_ITEMS];
        a->rest_keyword = KW_ADDITIONAL_ITEMS;
        a->prefix_is_items = true;
    }
    if (!rest && p->kw[KW_UNEVALUATED_ITEMS] && evaluates_alone(p)) {
        rest = p->kw[KW_UNEVALUATED_ITEMS];
        a->rest_keyword = KW_UNEVALUATED_ITEMS;
    }
    a->rest_stands = rest != NULL;
    a->prefix_count = prefix ? prefix->len : 0;
    pb_err err = prefix ? push_ids(c, p, prefix, &a->prefix) : PB_OK;
    return err || !rest ? err : js_child(c, p->place, rest, &a->rest);
}

static pb_err add_contains(struct compiler *c, const struct parts *p, struct js_arr *a)
{
    uint32_t draft = c->s->resources.at[c->s->places.at[p->place].resource].draft;
    a->contains = NONE;
    if (!p->kw[KW_CONTAINS])
        return PB_OK;
    pb_err err = count_of(c, p, KW_MIN_CONTAINS, 1, &a->contains_least);
    if (!err)
        err = count_of(c, p, KW_MAX_CONTAINS, NONE, &a->contains_most);
    a->contains_marks = draft == JS_DRAFT_2020;
    return err ? err : js_child(c, p->place, p->kw[KW_CONTAINS], &a->contains);
}

static pb_err emit_array(struct compiler *c, const struct parts *p, struct js_node *n)
{
    static const uint8_t mine[] = {KW_ITEMS,     KW_PREFIX_ITEMS, KW_ADDITIONAL_ITEMS, KW_CONTAINS,
                                   KW_MIN_ITEMS, KW_MAX_ITEMS,    KW_UNIQUE_ITEMS,     KW_UNEVALUATED_ITEMS};
    struct js_arr a = {0};
    if (!has_any(p, mine, sizeof mine))
        return PB_OK;
    pb_err err = add_items(c, p, &a);
    if (!err)
        err = add_contains(c, p, &a);
    if (!err)
        err = count_of(c, p, KW_MIN_ITEMS, 0, &a.least);
    if (!err)
        err = count_of(c, p, KW_MAX_ITEMS, NONE, &a.most);
    a.unique = p->kw[KW_UNIQUE_ITEMS] && p->kw[KW_UNIQUE_ITEMS]->len;
    struct js_arr *slot = err ? NULL : PUSH(c->s->arrs);
    if (!slot)
        return err ? err : PB_E_MEMORY;
    *slot = a;
    n->arr = c->s->arrs.count - 1;
    n->groups |= G_ARR;
    return PB_OK;
}

static pb_err op_ref(struct compiler *c, const struct parts *p, struct js_node *n, const struct js_value *v,
                     unsigned kw)
{
    uint32_t target = NONE, node = NONE;
    pb_err err = js_registry_resolve(c, p->place, v, &target);
    if (!err)
        err = js_child_place(c, p->place, target, &node);
    return err ? err : push_op(c, n, (struct js_op){.code = OP_REF, .keyword = (uint8_t)kw, .b = node});
}

/* Dynamic only if what it leads to at first is a dynamic anchor of that name itself. */
static pb_err op_dynamic(struct compiler *c, const struct parts *p, struct js_node *n,
                         const struct js_value *v, unsigned kw)
{
    uint32_t target = NONE, node = NONE, key = NONE, anchor = NONE;
    const char *hash = memrchr(v->u.text, '#', v->len);
    size_t len = hash ? (size_t)(v->u.text + v->len - hash - 1) : 0;
    pb_err err = js_registry_resolve(c, p->place, v, &target);
    if (err)
        return err;
    const struct js_place *to = &c->s->places.at[target];
    if (hash && (len || kw == KW_RECURSIVE_REF))
        anchor = js_registry_anchor(c->s, to->resource, hash + 1, len);
    while (anchor != NONE && anchor < c->s->anchors.count && !c->s->anchors.at[anchor].dynamic)
        anchor = NONE;
    if (anchor == NONE || c->s->anchors.at[anchor].target != to->value)
        return op_ref(c, p, n, v, kw);
    err = js_child_place(c, p->place, target, &node);
    if (err)
        return err;
    key = anchor;
    return push_op(c, n, (struct js_op){.code = OP_DYNAMIC, .keyword = (uint8_t)kw, .a = key, .b = node});
}

static pb_err op_list(struct compiler *c, const struct parts *p, struct js_node *n, const struct js_value *v,
                      unsigned kw)
{
    struct js_op op = {.keyword = (uint8_t)kw, .count = v->len, .tag_key = NONE};
    op.code = kw == KW_ALL_OF ? OP_ALL : kw == KW_ANY_OF ? OP_ANY : OP_ONE;
    pb_err err = push_ids(c, p, v, &op.a);
    return err ? err : push_op(c, n, op);
}

static pb_err op_not(struct compiler *c, const struct parts *p, struct js_node *n, const struct js_value *v,
                     unsigned kw)
{
    uint32_t node;
    pb_err err = js_child(c, p->place, v, &node);
    return err ? err : push_op(c, n, (struct js_op){.code = OP_NOT, .keyword = (uint8_t)kw, .b = node});
}

static pb_err op_if(struct compiler *c, const struct parts *p, struct js_node *n, const struct js_value *v,
                    unsigned kw)
{
    const struct js_value *branches[] = {v, p->kw[KW_THEN], p->kw[KW_ELSE]};
    struct js_op op = {.code = OP_IF, .keyword = (uint8_t)kw, .a = c->s->ids.count, .count = 3};
    for (size_t i = 0; i < 3; i++) {
        uint32_t node = NODE_TRUE;
        pb_err err = branches[i] ? js_child(c, p->place, branches[i], &node) : PB_OK;
        uint32_t *slot = err ? NULL : PUSH(c->s->ids);
        if (!slot)
            return err ? err : PB_E_MEMORY;
        *slot = node;
    }
    return push_op(c, n, op);
}

static pb_err needs_names(struct compiler *c, const struct parts *p, struct js_node *n,
                          const struct js_value *key, unsigned kw)
{
    struct js_op op = {.code = OP_NEEDS, .keyword = (uint8_t)kw, .count = key[1].len};
    const struct js_value *x = key + 2;
    uint32_t unused;
    pb_err err = push_key(c, key, &op.a);
    for (uint32_t i = 0; !err && i < op.count; i++, x = js_next(x)) {
        if (x->type != T_STR)
            return js_refuse(c, p->place, PB_E_INVALID, "%s must list strings", js_keywords[kw].name);
        err = push_key(c, x, &unused);
    }
    return err ? err : push_op(c, n, op);
}

static pb_err op_needs(struct compiler *c, const struct parts *p, struct js_node *n, const struct js_value *v,
                       unsigned kw)
{
    const struct js_value *k = v + 1;
    pb_err err = PB_OK;
    for (uint32_t i = 0; !err && i < v->len; i++, k = js_next(k + 1)) {
        struct js_op op = {.code = OP_NEEDS_SCHEMA, .keyword = (uint8_t)kw};
        if (k[1].type == T_ARR && kw != KW_DEPENDENT_SCHEMAS) {
            err = needs_names(c, p, n, k, kw);
            continue;
        }
        if (kw == KW_DEPENDENT_REQUIRED)
            return js_refuse(c, p->place, PB_E_INVALID, "dependentRequired must hold lists of strings");
        err = push_key(c, k, &op.a);
        if (!err)
            err = js_child(c, p->place, k + 1, &op.b);
        if (!err)
            err = push_op(c, n, op);
    }
    return err;
}

typedef pb_err op_emitter(struct compiler *c, const struct parts *p, struct js_node *n,
                          const struct js_value *v, unsigned kw);

/* Those that apply schemas to the same value, in the order in which they run. */
static const struct {
    uint8_t keyword;
    op_emitter *emit;
} emitters[] = {
    {KW_REF, op_ref},
    {KW_DYNAMIC_REF, op_dynamic},
    {KW_RECURSIVE_REF, op_dynamic},
    {KW_ALL_OF, op_list},
    {KW_DEPENDENT_REQUIRED, op_needs},
    {KW_DEPENDENCIES, op_needs},
    {KW_DEPENDENT_SCHEMAS, op_needs},
    {KW_ANY_OF, op_list},
    {KW_ONE_OF, op_list},
    {KW_NOT, op_not},
    {KW_IF, op_if},
};

static pb_err emit_unevaluated(struct compiler *c, const struct parts *p, struct js_node *n)
{
    static const uint8_t kinds[][2] = {{KW_UNEVALUATED_PROPERTIES, OP_UNEVALUATED_PROPERTIES},
                                       {KW_UNEVALUATED_ITEMS, OP_UNEVALUATED_ITEMS}};
    if (evaluates_alone(p))
        return PB_OK;
    for (size_t i = 0; i < 2; i++) {
        struct js_op op = {.code = kinds[i][1], .keyword = kinds[i][0]};
        if (!p->kw[kinds[i][0]])
            continue;
        pb_err err = js_child(c, p->place, p->kw[kinds[i][0]], &op.b);
        if (!err)
            err = push_op(c, n, op);
        if (err)
            return err;
        n->groups |= G_MARKS;
    }
    return PB_OK;
}

static pb_err emit_ops(struct compiler *c, const struct parts *p, struct js_node *n)
{
    for (size_t i = 0; i < sizeof emitters / sizeof emitters[0]; i++) {
        const struct js_value *v = p->kw[emitters[i].keyword];
        pb_err err = v ? emitters[i].emit(c, p, n, v, emitters[i].keyword) : PB_OK;
        if (err)
            return err;
    }
    return emit_unevaluated(c, p, n);
}

/* Ops of one node stand side by side, though children that cross into another resource add ops of their own.
 */
static pb_err flush_ops(struct compiler *c, struct js_node *n)
{
    n->ops = c->s->ops.count;
    for (uint32_t i = 0; i < c->pending.count; i++) {
        struct js_op *slot = PUSH(c->s->ops);
        if (!slot)
            return PB_E_MEMORY;
        *slot = c->pending.at[i];
    }
    n->groups = (uint8_t)(n->groups | (n->op_count ? G_OPS : 0));
    return PB_OK;
}

pb_err js_emit(struct compiler *c, uint32_t node)
{
    struct js_node n = c->s->nodes.at[node];
    struct parts p = {.place = n.schema};
    if (n.groups) /* a node that was made whole */
        return PB_OK;
    if (c->s->places.at[n.schema].value->type == T_BOOL)
        return PB_OK;
    c->pending.count = 0;
    pb_err err = gather(c, &p);
    if (!err)
        err = emit_type(c, &p, &n);
    if (!err && (p.kw[KW_ENUM] || p.kw[KW_CONST]))
        err = emit_enum(c, &p, &n, p.kw[KW_ENUM] ? p.kw[KW_ENUM] : p.kw[KW_CONST], !p.kw[KW_ENUM]);
    if (!err && p.kw[KW_ENUM] && p.kw[KW_CONST])
        err = emit_const_beside(c, &p, &n);
    if (!err)
        err = emit_numbers(c, &p, &n);
    if (!err)
        err = emit_strings(c, &p, &n);
    if (!err)
        err = emit_object(c, &p, &n);
    if (!err)
        err = emit_array(c, &p, &n);
    if (!err)
        err = emit_ops(c, &p, &n);
    if (!err)
        err = flush_ops(c, &n);
    if (!err)
        c->s->nodes.at[node] = n;
    return err;
}
