/* What can be said once every node is there: masks seen through references, properties whose mask says it
 * all, and branches that one look tells apart. */
#include "common/jsonschema/compiler.h"

#include <string.h>

#define REF_CHAIN   16
#define NARROWINGS  4  /* rounds: masks travel one reference a round, most are there after two */
#define TAG_TRIES   16 /* members that are looked at for one that tells branches apart */
#define PASS_DEPTH  16
#define SCALARS     ((uint8_t)(T_ANY & ~(T_ARR | T_OBJ)))
#define NEEDED_BITS 127 /* of a plain object: bit 0 stands for all that are optional */

static const struct js_op *only_op(const struct js_schema *s, const struct js_node *n)
{
    return n->groups == G_OPS && n->op_count == 1 ? &s->ops.at[n->ops] : NULL;
}

static uint8_t types_of(const struct js_schema *s, const struct js_op *op, bool all)
{
    uint8_t types = all ? T_ANY : 0;
    for (uint32_t i = 0; i < op->count; i++) {
        uint8_t branch = s->nodes.at[s->ids.at[op->a + i]].types;
        types = all ? types & branch : types | branch;
    }
    return types;
}

/* What an instruction does with scalars and with types, seen from outside. */
enum effect {
    E_UNKNOWN = 0, /* depends on the value */
    E_SAME,        /* what node b does */
    E_EVERY,       /* what all branches do */
    E_SOME,        /* what one of the branches does */
    E_NOTHING,     /* it is about containers alone */
};

static const uint8_t effects[OP_CODES] = {
    [OP_REF] = E_SAME,
    [OP_SCOPE] = E_SAME,
    [OP_ALL] = E_EVERY,
    [OP_ANY] = E_SOME,
    [OP_ONE] = E_SOME,
    [OP_REQUIRED] = E_NOTHING,
    [OP_NEEDS] = E_NOTHING,
    [OP_NEEDS_SCHEMA] = E_NOTHING,
    [OP_UNEVALUATED_PROPERTIES] = E_NOTHING,
    [OP_UNEVALUATED_ITEMS] = E_NOTHING,
};

/* The types that an instruction lets through, as far as they are known. */
static uint8_t op_types(const struct js_schema *s, const struct js_op *op)
{
    uint8_t effect = effects[op->code];
    if (effect == E_SAME)
        return s->nodes.at[op->b].types;
    return effect == E_EVERY || effect == E_SOME ? types_of(s, op, effect == E_EVERY) : T_ANY;
}

static void narrow(struct js_schema *s)
{
    for (uint32_t i = 0; i < s->nodes.count; i++) {
        struct js_node *n = &s->nodes.at[i];
        for (uint32_t k = 0; k < n->op_count; k++)
            n->types &= op_types(s, &s->ops.at[n->ops + k]);
    }
}

static uint8_t pass_of(struct js_schema *s, uint32_t node, int depth);

/* Branches that no two share a type are one branch for each. */
static uint8_t branches_pass(struct js_schema *s, const struct js_op *op, int depth)
{
    uint8_t pass = op->code == OP_ALL ? SCALARS : 0;
    if (op->code != OP_ALL && !op->by_type)
        return 0;
    for (uint32_t i = 0; i < op->count; i++) {
        uint8_t branch = pass_of(s, s->ids.at[op->a + i], depth + 1);
        pass = op->code == OP_ALL ? pass & branch : pass | branch;
    }
    return pass;
}

static uint8_t op_pass(struct js_schema *s, const struct js_op *op, int depth)
{
    uint8_t effect = effects[op->code];
    if (effect == E_SAME)
        return pass_of(s, op->b, depth + 1);
    if (effect == E_EVERY || effect == E_SOME)
        return branches_pass(s, op, depth);
    return effect == E_NOTHING ? SCALARS : 0;
}

/* A node that is met within itself, or too deep, has no mask yet: 0 only means another look. */
static uint8_t pass_of(struct js_schema *s, uint32_t node, int depth)
{
    struct js_node n = s->nodes.at[node];
    uint8_t pass = n.types & SCALARS;
    if (n.groups & G_ENUM || n.settled || depth > PASS_DEPTH)
        return n.pass;
    s->nodes.at[node].settled = true;
    pass = (uint8_t)(pass & ~(n.groups & G_NUM ? T_NUMBER : 0) & ~(n.groups & G_STR ? T_STR : 0));
    for (uint32_t i = 0; pass && i < n.op_count; i++)
        pass &= op_pass(s, &s->ops.at[n.ops + i], depth);
    s->nodes.at[node].pass = pass;
    return pass;
}

/* The branch that is left for the values which a node's mask does not answer, or NONE. */
static uint32_t branch_left(const struct js_schema *s, const struct js_node *n, const struct js_op *op)
{
    uint8_t left = n->types & (uint8_t)~n->pass;
    for (uint32_t i = 0; op->by_type && i < op->count; i++) {
        uint32_t branch = s->ids.at[op->a + i];
        if ((s->nodes.at[branch].types & left) == left)
            return branch;
    }
    return NONE;
}

/* The node that a chain of references leads to: it lets through exactly what the first one does. */
static uint32_t referred(const struct js_schema *s, uint32_t node)
{
    for (int i = 0; i < REF_CHAIN; i++) {
        const struct js_op *op = only_op(s, &s->nodes.at[node]);
        if (!op || op->code != OP_REF)
            break;
        node = op->b;
    }
    return node;
}

/* The node that has to be run in the end for what a node's mask does not answer: not the same schema, where
 * branches were left out on the way. */
static uint32_t behind(const struct js_schema *s, uint32_t node)
{
    for (int i = 0; i < REF_CHAIN; i++) {
        const struct js_node *n = &s->nodes.at[node];
        const struct js_op *op = only_op(s, n);
        uint32_t next = NONE;
        if (op && op->code == OP_REF)
            next = op->b;
        else if (op && (op->code == OP_ONE || op->code == OP_ANY))
            next = branch_left(s, n, op);
        if (next == NONE)
            break;
        node = next;
    }
    return node;
}

static bool only_format(const struct js_schema *s, const struct js_node *n)
{
    if (n->groups != G_STR)
        return false;
    const struct js_str *str = &s->strs.at[n->str];
    return !str->least && str->most == NONE && str->pattern == NONE && !str->encoding && !str->media;
}

static void fill_slot(const struct js_schema *s, struct js_slot *slot)
{
    const struct js_node *own = &s->nodes.at[slot->node];
    slot->direct = behind(s, slot->node);
    const struct js_node *n = &s->nodes.at[slot->direct];
    slot->types = own->types;
    slot->pass = own->pass;
    slot->leaf = !n->groups ? LEAF_MASK : n->groups == G_ENUM ? LEAF_ENUM : LEAF_NONE;
    if (only_format(s, n)) {
        slot->leaf = LEAF_FORMAT;
        slot->format = s->strs.at[n->str].format;
    }
}

static void fill_object(const struct js_schema *s, struct js_obj *o)
{
    o->first = s->slots.at + o->table.first;
    o->end = o->first + o->table.count;
    for (uint32_t i = 0; i < o->table.count; i++) {
        struct js_slot *slot = &s->slots.at[o->table.first + i];
        if (slot->declared)
            fill_slot(s, slot);
        if (slot->required && slot->required <= NEEDED_BITS)
            o->needed[slot->required >> 6] |= 1ull << (slot->required & 63);
    }
    o->plain = !o->pattern_count && o->names == NODE_TRUE && !o->least && o->most == NONE &&
               o->required <= NEEDED_BITS;
}

static bool disjoint_types(const struct js_schema *s, const struct js_op *op)
{
    uint8_t seen = 0;
    if (op->code != OP_ANY && op->code != OP_ONE)
        return false;
    for (uint32_t i = 0; i < op->count; i++) {
        uint8_t types = s->nodes.at[s->ids.at[op->a + i]].types;
        if (types & seen)
            return false;
        seen |= types;
    }
    return true;
}

/* The strings that a branch demands of a member, or NULL if it demands no such thing. */
static const struct js_table *demanded(const struct js_schema *s, uint32_t branch, const char *key,
                                       uint32_t len)
{
    const struct js_node *n = &s->nodes.at[referred(s, branch)];
    if (n->types != T_OBJ || !(n->groups & G_OBJ))
        return NULL;
    const struct js_slot *slot = js_find(s, &s->objs.at[n->obj].table, key, len);
    if (!slot || !slot->required || !slot->declared)
        return NULL;
    const struct js_node *value = &s->nodes.at[referred(s, slot->node)];
    return value->groups & G_ENUM && value->types == T_STR ? &s->enums.at[value->enums].strings : NULL;
}

static uint32_t count_tags(const struct js_schema *s, const struct js_op *op, const struct js_slot *key)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < op->count; i++) {
        const struct js_table *t = demanded(s, s->ids.at[op->a + i], key->key, key->len);
        if (!t)
            return 0;
        count += t->count;
    }
    return count;
}

/* A table from the member's values to branches; false if two branches share a value. */
static pb_err build_tags(struct js_schema *s, struct js_op *op, struct js_slot key, uint32_t count,
                         bool *unique)
{
    struct js_table tags;
    uint32_t slot;
    *unique = true;
    pb_err err = js_table_new(s, &tags, count);
    for (uint32_t i = 0; !err && i < op->count; i++) {
        const struct js_table *t = demanded(s, s->ids.at[op->a + i], key.key, key.len);
        for (uint32_t j = 0; !err && j < t->count; j++) {
            struct js_slot value = s->slots.at[t->first + j];
            err = js_table_add(s, &tags, value.key, value.len, &slot);
            if (err)
                break;
            *unique = *unique && !s->slots.at[slot].declared;
            s->slots.at[slot].declared = 1;
            s->slots.at[slot].node = i;
        }
    }
    op->tags = tags;
    return err;
}

static pb_err find_tag(struct js_schema *s, struct js_op *op)
{
    const struct js_node *n = &s->nodes.at[referred(s, s->ids.at[op->a])];
    if (n->types != T_OBJ || !(n->groups & G_OBJ) || op->count < 2)
        return PB_OK;
    struct js_table table = s->objs.at[n->obj].table;
    for (uint32_t i = 0, tries = 0; i < table.count && tries < TAG_TRIES; i++) {
        struct js_slot key = s->slots.at[table.first + i];
        uint32_t count = count_tags(s, op, &key), slots = s->slots.count, buckets = s->buckets.count;
        bool unique;
        if (!count)
            continue;
        pb_err err = build_tags(s, op, key, count, &unique);
        if (err)
            return err;
        if (unique) {
            op->tag_key = table.first + i;
            return PB_OK;
        }
        tries++;
        s->slots.count = slots;
        s->buckets.count = buckets;
    }
    return PB_OK;
}

pb_err js_fuse(struct compiler *c)
{
    struct js_schema *s = c->s;
    for (int i = 0; i < NARROWINGS; i++)
        narrow(s);
    for (uint32_t i = 0; i < s->ops.count; i++)
        s->ops.at[i].by_type = disjoint_types(s, &s->ops.at[i]);
    for (uint32_t i = 0; i < s->nodes.count; i++)
        pass_of(s, i, 0);
    for (uint32_t i = 0; i < s->ops.count; i++) {
        struct js_op op = s->ops.at[i];
        bool branches = op.code == OP_ANY || op.code == OP_ONE;
        pb_err err = branches && !op.by_type ? find_tag(s, &op) : PB_OK;
        if (err)
            return err;
        s->ops.at[i] = op;
    }
    for (uint32_t i = 0; i < s->objs.count; i++) /* last, because they point into the slots */
        fill_object(s, &s->objs.at[i]);
    return PB_OK;
}
