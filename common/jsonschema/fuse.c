/* What can be said once every node is there: masks seen through references, properties whose mask says it
 * all, and branches that one look tells apart. */
#include "common/jsonschema/compiler.h"

#include <string.h>

#define REF_CHAIN 16

static bool is_reference(const struct js_schema *s, const struct js_node *n)
{
    return n->groups == G_OPS && n->op_count == 1 && s->ops.at[n->ops].code == OP_REF;
}

static uint32_t behind(const struct js_schema *s, uint32_t node)
{
    for (int i = 0; i < REF_CHAIN && is_reference(s, &s->nodes.at[node]); i++)
        node = s->ops.at[s->nodes.at[node].ops].b;
    return node;
}

static void narrow_references(struct js_schema *s)
{
    for (uint32_t i = 0; i < s->nodes.count; i++)
        if (is_reference(s, &s->nodes.at[i]))
            s->nodes.at[i].types &= s->nodes.at[behind(s, i)].types;
}

static bool only_format(const struct js_schema *s, const struct js_node *n)
{
    const struct js_str *str = &s->strs.at[n->str];
    return n->groups == G_STR && !str->least && str->most == NONE && str->pattern == NONE && !str->encoding &&
           !str->media;
}

static void fill_slots(struct js_schema *s, const struct js_obj *o)
{
    for (uint32_t i = 0; i < o->table.count; i++) {
        struct js_slot *slot = &s->slots.at[o->table.first + i];
        const struct js_node *n = &s->nodes.at[behind(s, slot->node)];
        slot->types = slot->declared ? s->nodes.at[slot->node].types : T_ANY;
        slot->leaf = !n->groups;
        if (only_format(s, n)) {
            slot->leaf = 1;
            slot->format = s->strs.at[n->str].format;
        }
        slot->direct = behind(s, slot->node);
    }
}

static bool disjoint_types(const struct js_schema *s, const struct js_op *op)
{
    uint8_t seen = 0;
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
    const struct js_node *n = &s->nodes.at[behind(s, branch)];
    if (n->types != T_OBJ || !(n->groups & G_OBJ))
        return NULL;
    const struct js_slot *slot = js_find(s, &s->objs.at[n->obj].table, key, len);
    if (!slot || !slot->required || !slot->declared)
        return NULL;
    const struct js_node *value = &s->nodes.at[behind(s, slot->node)];
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
    const struct js_node *n = &s->nodes.at[behind(s, s->ids.at[op->a])];
    if (n->types != T_OBJ || !(n->groups & G_OBJ) || op->count < 2)
        return PB_OK;
    struct js_table table = s->objs.at[n->obj].table;
    for (uint32_t i = 0; i < table.count; i++) {
        struct js_slot key = s->slots.at[table.first + i];
        uint32_t count = count_tags(s, op, &key);
        bool unique;
        if (!count)
            continue;
        pb_err err = build_tags(s, op, key, count, &unique);
        if (err)
            return err;
        if (!unique)
            continue;
        op->tag_key = table.first + i;
        return PB_OK;
    }
    return PB_OK;
}

pb_err js_fuse(struct compiler *c)
{
    struct js_schema *s = c->s;
    narrow_references(s);
    for (uint32_t i = 0; i < s->objs.count; i++)
        fill_slots(s, &s->objs.at[i]);
    for (uint32_t i = 0; i < s->ops.count; i++) {
        struct js_op op = s->ops.at[i];
        if (op.code != OP_ANY && op.code != OP_ONE)
            continue;
        op.by_type = disjoint_types(s, &op);
        pb_err err = op.by_type ? PB_OK : find_tag(s, &op);
        if (err)
            return err;
        s->ops.at[i] = op;
    }
    return PB_OK;
}
