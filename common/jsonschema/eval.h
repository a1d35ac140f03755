/* The evaluator. Included twice: by run.c, where it answers yes or no and stops at the first no, and by
 * explain.c (JS_REPORT), where it goes on and says what is wrong. One text, so that the two cannot come to
 * disagree. */

#if JS_REPORT
#define CHECK(condition) ok = (condition) && ok
#define RESULT           ok
#define BEGIN            bool ok = true
#define PROBE            js_run
#else
#define CHECK(condition)                                                                                     \
    do {                                                                                                     \
        if (!(condition))                                                                                    \
            return false;                                                                                    \
    } while (0)
#define RESULT true
#define BEGIN
#define PROBE run
/* no ways to keep, nothing to say */
#define enter_member(r, key, index)
#define leave_member(r)
#define enter_way(r, keyword, kind, key, index)
#define leave_way(r)
#define say(...) false
#endif

static bool run(struct js_runner *r, uint32_t id, const struct js_value *v, struct js_marks *m);

static bool check_enum(struct js_runner *r, const struct js_node *n, const struct js_value *v)
{
    const struct js_enum *e = &r->s->enums.at[n->enums];
    return js_enum_has(r, e, v) || say(r, v, e->is_const ? KW_CONST : KW_ENUM, e);
}

static bool check_number(struct js_runner *r, const struct js_node *n, const struct js_value *v)
{
    const struct js_num *num = &r->s->nums.at[n->num];
    BEGIN;
    r->fuel -= v->len / 8; /* digits */
    CHECK(!num->least || js_compare(v, num->least) >= 0 || say(r, v, KW_MINIMUM, num->least));
    CHECK(!num->most || js_compare(v, num->most) <= 0 || say(r, v, KW_MAXIMUM, num->most));
    CHECK(!num->above || js_compare(v, num->above) > 0 || say(r, v, KW_EXCLUSIVE_MINIMUM, num->above));
    CHECK(!num->below || js_compare(v, num->below) < 0 || say(r, v, KW_EXCLUSIVE_MAXIMUM, num->below));
    CHECK(!num->multiple || js_is_multiple(v, num->multiple) || say(r, v, KW_MULTIPLE_OF, num->multiple));
    return RESULT;
}

static bool matches(struct js_runner *r, uint32_t pattern, const char *text, uint32_t len)
{
    if (r->fuel < 0)
        return js_limited(r);
    pb_err err = js_pattern_match(r->s->patterns.at[pattern], r->matcher, text, len, &r->fuel);
    return err == PB_OK || (err != PB_E_NOT_FOUND && js_limited(r));
}

static bool check_string(struct js_runner *r, const struct js_node *n, const struct js_value *v)
{
    const struct js_str *str = &r->s->strs.at[n->str];
    BEGIN;
    r->fuel -= v->len / 8;
    if (str->least || str->most != NONE) {
        uint32_t chars = v->len < str->least || v->len > str->most || str->least ? js_chars(v) : v->len;
        CHECK(chars >= str->least || say(r, v, KW_MIN_LENGTH, &str->least));
        CHECK(chars <= str->most || say(r, v, KW_MAX_LENGTH, &str->most));
    }
    CHECK(!str->format || js_format_check(str->format, v->u.text, v->len) ||
          say(r, v, KW_FORMAT, &str->format));
    CHECK(str->pattern == NONE || matches(r, str->pattern, v->u.text, v->len) || say(r, v, KW_PATTERN, n));
    CHECK((!str->encoding && !str->media) || js_contents_ok(r, str, v) ||
          say(r, v, KW_CONTENT_MEDIA_TYPE, str));
    return RESULT;
}

static bool check_extra(struct js_runner *r, const struct js_obj *o, const struct js_value *key)
{
    bool good;
    uint8_t keyword = o->extra_unevaluated ? KW_UNEVALUATED_PROPERTIES : KW_ADDITIONAL_PROPERTIES;
    (void)keyword;
    enter_way(r, keyword, 0, NULL, 0);
    good = run(r, o->extra, key + 1, NULL);
    leave_way(r);
    return good;
}

static bool check_patterns(struct js_runner *r, const struct js_obj *o, const struct js_value *key,
                           bool *known)
{
    BEGIN;
    for (uint32_t i = 0; i < o->pattern_count; i++) {
        const struct js_pattern_slot *p = &r->s->pattern_slots.at[o->patterns + i];
        if (!matches(r, p->pattern, key->u.text, key->len)) {
            if (r->limited)
                return false;
            continue;
        }
        *known = true;
        enter_way(r, KW_PATTERN_PROPERTIES, 3, NULL, o->patterns + i);
        CHECK(run(r, p->node, key + 1, NULL));
        leave_way(r);
    }
    return RESULT;
}

/* The members that no slot answers: patterns, then whatever is left, then the name itself. */
static bool check_member(struct js_runner *r, const struct js_obj *o, const struct js_value *key, bool known,
                         const struct js_marks *m, uint32_t i)
{
    BEGIN;
    if (o->pattern_count)
        CHECK(check_patterns(r, o, key, &known));
    if (!known && o->extra_stands) {
        if (o->extra != NODE_TRUE)
            CHECK(check_extra(r, o, key));
        known = true;
    }
    if (known)
        js_mark(r, m, i);
    if (o->names != NODE_TRUE) {
        enter_way(r, KW_PROPERTY_NAMES, 0, NULL, 0);
        CHECK(run(r, o->names, key, NULL));
        leave_way(r);
    }
    return RESULT;
}

#if JS_REPORT
/* What is right needs no explanation, and most of a wrong document is right. Only so deep, because every
 * level on the way to a fault is looked at twice. */
#define PRECHECK_DEPTH 16

static bool check_slot(struct js_runner *r, const struct js_slot *slot, const struct js_value *key)
{
    const struct js_value *x = key + 1;
    if (slot->pass & x->type)
        return true;
    if (r->explainer->instance_depth < PRECHECK_DEPTH && js_run(r, slot->node, x, NULL))
        return true;
    enter_way(r, KW_PROPERTIES, 1, key, 0);
    bool good = run(r, slot->node, x, NULL);
    leave_way(r);
    return good;
}
#else
static inline bool check_slot(struct js_runner *r, const struct js_slot *slot, const struct js_value *key)
{
    const struct js_value *x = key + 1;
    if (slot->pass & x->type)
        return true;
    if (!(slot->types & x->type))
        return false;
    if (slot->leaf == LEAF_FORMAT)
        return x->type != T_STR || js_format_check(slot->format, x->u.text, x->len);
    if (slot->leaf == LEAF_ENUM)
        return js_enum_has(r, &r->s->enums.at[r->s->nodes.at[slot->direct].enums], x);
    if (slot->leaf == LEAF_MASK)
        return true;
    return run(r, slot->direct, x, NULL);
}

/* What a slot's masks do not answer: containers, patterns, enums, members without a slot. */
static bool check_other(struct js_runner *r, const struct js_obj *o, const struct js_slot *slot,
                        const struct js_value *key)
{
    if (slot && slot->declared)
        return check_slot(r, slot, key);
    return o->extra == NODE_TRUE || run(r, o->extra, key + 1, NULL);
}

/* Which required members were met: one bit each, so that one written twice counts once. */
static inline void see(uint64_t seen[2], uint16_t number, bool wide)
{
    uint64_t bit = 1ull << (number & 63), high = wide ? 0 - (uint64_t)(number >> 6) : 0;
    seen[0] |= bit & ~high;
    seen[1] |= bit & high;
}

/* A member that is not the guessed one: what stood here the last time, before the hash. Any value of a hint
 * is harmless, so that it need not be known which schema left it. */
static const struct js_slot *look_up(struct js_runner *r, const struct js_obj *o, const struct js_slot *guess,
                                     const struct js_value *key, struct js_ends ends)
{
    uint16_t *hint = &r->hints[(uintptr_t)guess / 16 % JS_HINTS];
    const struct js_slot *slot = o->first + *hint;
    if (*hint < o->table.count && js_slot_is(slot, key->u.text, key->len, ends))
        return slot;
    slot = js_find_ends(r->s, &o->table, key->u.text, key->len, ends);
    if (slot)
        *hint = (uint16_t)(slot - o->first);
    return slot;
}

/* The common case of check_object() without anything in the way: the slot behind the last one found is tried
 * before the hash, because producers write members in one order, mostly the schema's, and most members are
 * done with two words and a mask compared. */
static inline bool check_members(struct js_runner *r, const struct js_obj *o, const struct js_value *v,
                                 bool wide)
{
    const struct js_slot *guess = o->first, *end = o->end;
    const struct js_value *key = v + 1;
    uint64_t seen[2] = {0, 0};
    if (v->len < o->required)
        return false;
    r->fuel -= v->len;
    for (uint32_t left = v->len; left; left--) {
        struct js_ends ends = js_ends(key->u.text, key->len);
        const struct js_slot *slot = guess;
        if (guess == end || !js_slot_is(guess, key->u.text, key->len, ends))
            slot = look_up(r, o, guess, key, ends);
        if (slot) {
            guess = slot + 1;
            see(seen, slot->required, wide);
            if (slot->pass & key[1].type) {
                key += 2;
                continue;
            }
        }
        if (!check_other(r, o, slot, key))
            return false;
        key = js_next(key + 1);
    }
    return !((o->needed[0] & ~seen[0]) | (o->needed[1] & ~seen[1]));
}

static bool check_plain(struct js_runner *r, const struct js_obj *o, const struct js_value *v)
{
    return o->needed[1] ? check_members(r, o, v, true) : check_members(r, o, v, false);
}
#endif

#define REQUIRED_WORDS 4

/* One pass over the members serves every keyword about them. */
static bool check_object(struct js_runner *r, const struct js_node *n, const struct js_value *v,
                         const struct js_marks *m)
{
    const struct js_obj *o = &r->s->objs.at[n->obj];
    const struct js_slot *first = o->first, *end = o->end, *guess = first;
    const struct js_value *key = v + 1;
    uint64_t seen[REQUIRED_WORDS] = {0};
    uint32_t found = 0;
    bool plain = !o->pattern_count && o->names == NODE_TRUE && !m;
    BEGIN;
    CHECK(v->len >= o->least || say(r, v, KW_MIN_PROPERTIES, &o->least));
    CHECK(v->len <= o->most || say(r, v, KW_MAX_PROPERTIES, &o->most));
    r->fuel -= v->len;
    for (uint32_t i = 0; i < v->len; i++, key = js_next(key + 1)) {
        const struct js_slot *slot = guess;
        struct js_ends ends = js_ends(key->u.text, key->len);
        if (guess >= end || !js_slot_is(guess, key->u.text, key->len, ends))
            slot = js_find_ends(r->s, &o->table, key->u.text, key->len, ends);
        bool known = slot && slot->declared;
        enter_member(r, key, 0);
        if (slot) {
            guess = slot + 1;
            if (slot->required) {
                uint64_t bit = 1ull << ((slot->required - 1) & 63), *word = &seen[(slot->required - 1) >> 6];
                found += !(*word & bit);
                *word |= bit;
            }
            if (known)
                CHECK(check_slot(r, slot, key));
        }
        if (!plain || (!known && o->extra_stands))
            CHECK(check_member(r, o, key, known, m, i));
        leave_member(r);
    }
#if JS_REPORT
    for (const struct js_slot *slot = first; found < o->required && slot < end; slot++)
        if (slot->required && !(seen[(slot->required - 1) >> 6] >> ((slot->required - 1) & 63) & 1))
            CHECK(say(r, v, KW_REQUIRED, slot));
    return ok;
#else
    return found == o->required;
#endif
}

static bool check_contains(struct js_runner *r, const struct js_arr *a, const struct js_value *v,
                           const struct js_marks *m)
{
    const struct js_value *x = v + 1;
    uint32_t found = 0;
    BEGIN;
    for (uint32_t i = 0; i < v->len; i++, x = js_next(x)) {
        if (!PROBE(r, a->contains, x, NULL))
            continue;
        found++;
        if (a->contains_marks)
            js_mark(r, m, i);
        if (!m && found >= a->contains_least && a->contains_most == NONE)
            break;
    }
    CHECK(found >= a->contains_least || say(r, v, a->contains_least == 1 ? KW_CONTAINS : KW_MIN_CONTAINS, a));
    CHECK(found <= a->contains_most || say(r, v, KW_MAX_CONTAINS, &a->contains_most));
    return RESULT;
}

static bool check_array(struct js_runner *r, const struct js_node *n, const struct js_value *v,
                        const struct js_marks *m)
{
    const struct js_arr *a = &r->s->arrs.at[n->arr];
    const struct js_value *x = v + 1;
    uint32_t i = 0, pair[2] = {0, 0};
    BEGIN;
    CHECK(v->len >= a->least || say(r, v, KW_MIN_ITEMS, &a->least));
    CHECK(v->len <= a->most || say(r, v, KW_MAX_ITEMS, &a->most));
    r->fuel -= v->len;
    for (; i < v->len && i < a->prefix_count; i++, x = js_next(x)) {
        enter_member(r, NULL, i);
        enter_way(r, a->prefix_is_items ? KW_ITEMS : KW_PREFIX_ITEMS, 2, NULL, i);
        CHECK(run(r, r->s->ids.at[a->prefix + i], x, NULL));
        leave_way(r);
        leave_member(r);
        js_mark(r, m, i);
    }
    for (; i < v->len && a->rest_stands && (a->rest != NODE_TRUE || m); i++, x = js_next(x)) {
        enter_member(r, NULL, i);
        enter_way(r, a->rest_keyword, 0, NULL, 0);
        CHECK(run(r, a->rest, x, NULL));
        leave_way(r);
        leave_member(r);
        js_mark(r, m, i);
    }
    if (a->contains != NONE)
        CHECK(check_contains(r, a, v, m));
    CHECK(!a->unique || js_unique(r, v, &pair[0], &pair[1]) || say(r, v, KW_UNIQUE_ITEMS, pair));
    return RESULT;
}

/* A branch that may fail: what it evaluated counts only if it does not. */
static bool try_branch(struct js_runner *r, uint32_t id, const struct js_value *v, struct js_marks *m)
{
    struct js_marks own;
    if (!m)
        return PROBE(r, id, v, NULL);
    if (!js_marks_begin(r, v, &own))
        return false;
    bool good = PROBE(r, id, v, &own);
    if (good)
        js_marks_merge(r, m, &own);
    r->bit_top = own.offset;
    return good;
}

static bool op_ref(struct js_runner *r, const struct js_op *op, const struct js_value *v, struct js_marks *m)
{
    enter_way(r, op->keyword, 0, NULL, 0);
    bool good = run(r, op->b, v, m);
    leave_way(r);
    return good;
}

static bool op_dynamic(struct js_runner *r, const struct js_op *op, const struct js_value *v,
                       struct js_marks *m)
{
    enter_way(r, op->keyword, 0, NULL, 0);
    bool good = run(r, js_dynamic_target(r, op), v, m);
    leave_way(r);
    return good;
}

static bool op_scope(struct js_runner *r, const struct js_op *op, const struct js_value *v,
                     struct js_marks *m)
{
    const struct js_scope inner = {op->a, r->scope};
    r->scope = &inner;
    bool good = run(r, op->b, v, m);
    r->scope = inner.outer;
    return good;
}

static bool op_all(struct js_runner *r, const struct js_op *op, const struct js_value *v, struct js_marks *m)
{
    BEGIN;
    for (uint32_t i = 0; i < op->count; i++) {
        enter_way(r, op->keyword, 2, NULL, i);
        CHECK(run(r, r->s->ids.at[op->a + i], v, m));
        leave_way(r);
    }
    return RESULT;
}

/* The one branch that a look at the type or at a telling member leaves; NONE: no branch; op->count: no
 * telling. */
static inline uint32_t only_branch(struct js_runner *r, const struct js_op *op, const struct js_value *v)
{
    if (op->by_type) {
        for (uint32_t i = 0; i < op->count; i++)
            if (r->s->nodes.at[r->s->ids.at[op->a + i]].types & v->type)
                return i;
        return NONE;
    }
    if (op->tag_key == NONE)
        return op->count;
    r->fuel -= v->len;
    const struct js_slot *key = &r->s->slots.at[op->tag_key], *branch;
    const struct js_value *tag = js_get(v, key->key, key->len);
    branch = tag && tag->type == T_STR ? js_find(r->s, &op->tags, tag->u.text, tag->len) : NULL;
    return branch ? branch->node : NONE;
}

static bool op_any(struct js_runner *r, const struct js_op *op, const struct js_value *v, struct js_marks *m)
{
    uint32_t only = only_branch(r, op, v);
    bool good = false;
    if (only < op->count)
        good = try_branch(r, r->s->ids.at[op->a + only], v, m);
    for (uint32_t i = 0; only == op->count && i < op->count && (!good || m); i++)
        good |= try_branch(r, r->s->ids.at[op->a + i], v, m);
    return good || say(r, v, KW_ANY_OF, op);
}

static bool op_one(struct js_runner *r, const struct js_op *op, const struct js_value *v, struct js_marks *m)
{
    uint32_t only = only_branch(r, op, v), good = 0;
    if (only < op->count)
        good = try_branch(r, r->s->ids.at[op->a + only], v, m);
    for (uint32_t i = 0; only == op->count && i < op->count && good < 2; i++)
        good += try_branch(r, r->s->ids.at[op->a + i], v, m);
    return good == 1 || say(r, v, KW_ONE_OF, op);
}

static bool op_not(struct js_runner *r, const struct js_op *op, const struct js_value *v, struct js_marks *m)
{
    (void)m;
    return !PROBE(r, op->b, v, NULL) || say(r, v, KW_NOT, op);
}

static bool op_if(struct js_runner *r, const struct js_op *op, const struct js_value *v, struct js_marks *m)
{
    const uint32_t *ids = r->s->ids.at + op->a;
    bool yes = try_branch(r, ids[0], v, m);
    enter_way(r, yes ? KW_THEN : KW_ELSE, 0, NULL, 0);
    bool good = run(r, ids[yes ? 1 : 2], v, m);
    leave_way(r);
    return good;
}

static bool op_required(struct js_runner *r, const struct js_op *op, const struct js_value *v,
                        struct js_marks *m)
{
    const struct js_value *key = r->s->keys.at[op->a];
    (void)m;
    r->fuel -= v->len;
    const struct js_slot slot = {.key = key->u.text, .len = key->len};
    (void)slot;
    return v->type != T_OBJ || js_get(v, key->u.text, key->len) || say(r, v, KW_REQUIRED, &slot);
}

static bool op_needs(struct js_runner *r, const struct js_op *op, const struct js_value *v,
                     struct js_marks *m)
{
    const struct js_value *const *keys = r->s->keys.at + op->a;
    (void)m;
    BEGIN;
    r->fuel -= v->len;
    if (v->type != T_OBJ || !js_get(v, keys[0]->u.text, keys[0]->len))
        return true;
    for (uint32_t i = 1; i <= op->count; i++) {
        const struct js_value *const pair[] = {keys[0], keys[i]};
        (void)pair;
        CHECK(js_get(v, keys[i]->u.text, keys[i]->len) || say(r, v, op->keyword, pair));
    }
    r->fuel -= (int64_t)v->len * op->count;
    return RESULT;
}

static bool op_needs_schema(struct js_runner *r, const struct js_op *op, const struct js_value *v,
                            struct js_marks *m)
{
    const struct js_value *key = r->s->keys.at[op->a];
    r->fuel -= v->len;
    if (v->type != T_OBJ || !js_get(v, key->u.text, key->len))
        return true;
    enter_way(r, op->keyword, 1, key, 0);
    bool good = run(r, op->b, v, m);
    leave_way(r);
    return good;
}

static bool op_unevaluated(struct js_runner *r, const struct js_op *op, const struct js_value *v,
                           struct js_marks *m)
{
    bool object = op->code == OP_UNEVALUATED_PROPERTIES;
    const struct js_value *x = v + 1;
    BEGIN;
    if (v->type != (object ? T_OBJ : T_ARR))
        return true;
    for (uint32_t i = 0; i < v->len; i++, x = js_next(x + object)) {
        if (js_marked(r, m, i))
            continue;
        enter_member(r, object ? x : NULL, i);
        enter_way(r, op->keyword, 0, NULL, 0);
        CHECK(run(r, op->b, x + object, NULL));
        leave_way(r);
        leave_member(r);
        js_mark(r, m, i);
    }
    return RESULT;
}

typedef bool op_fn(struct js_runner *r, const struct js_op *op, const struct js_value *v, struct js_marks *m);

static op_fn *const op_table[OP_CODES] = {
    [OP_REF] = op_ref,
    [OP_DYNAMIC] = op_dynamic,
    [OP_ALL] = op_all,
    [OP_ANY] = op_any,
    [OP_ONE] = op_one,
    [OP_NOT] = op_not,
    [OP_IF] = op_if,
    [OP_REQUIRED] = op_required,
    [OP_NEEDS] = op_needs,
    [OP_NEEDS_SCHEMA] = op_needs_schema,
    [OP_SCOPE] = op_scope,
    [OP_UNEVALUATED_PROPERTIES] = op_unevaluated,
    [OP_UNEVALUATED_ITEMS] = op_unevaluated,
};

static bool run_groups(struct js_runner *r, const struct js_node *n, const struct js_value *v,
                       struct js_marks *m)
{
    BEGIN;
    if (n->groups & G_ENUM)
        CHECK(check_enum(r, n, v));
    if (n->groups & G_NUM && v->type & T_NUMBER)
        CHECK(check_number(r, n, v));
    if (n->groups & G_STR && v->type == T_STR)
        CHECK(check_string(r, n, v));
    if (n->groups & G_OBJ && v->type == T_OBJ)
        CHECK(check_object(r, n, v, m));
    if (n->groups & G_ARR && v->type == T_ARR)
        CHECK(check_array(r, n, v, m));
    for (uint32_t i = 0; i < n->op_count; i++) {
        const struct js_op *op = &r->s->ops.at[n->ops + i];
        if (r->fuel < 0)
            return js_limited(r);
        CHECK(op_table[op->code](r, op, v, m));
    }
    return RESULT;
}

static bool run_marked(struct js_runner *r, const struct js_node *n, const struct js_value *v,
                       struct js_marks *m)
{
    struct js_marks own;
    if (!js_marks_begin(r, v, &own))
        return false;
    bool good = run_groups(r, n, v, &own);
    if (good && m)
        js_marks_merge(r, m, &own);
    r->bit_top = own.offset;
    return good;
}

static bool run(struct js_runner *r, uint32_t id, const struct js_value *v, struct js_marks *m)
{
    const struct js_node *n = &r->s->nodes.at[id];
#if JS_REPORT
    if (!(n->declared & v->type))
        return say(r, v, n->declared ? KW_TYPE : KW_SELF, n);
#else
    if (!(n->types & v->type))
        return false;
#endif
    if (n->pass & v->type || !n->groups)
        return true;
    if (--r->fuel < 0 || r->calls >= JS_LIMIT_CALLS)
        return js_limited(r);
    r->calls++;
#if JS_REPORT
    const struct js_node *outer = set_node(r, n);
#else
    if (n->groups == G_OBJ && v->type == T_OBJ && !m && r->s->objs.at[n->obj].plain) {
        bool fits = check_plain(r, &r->s->objs.at[n->obj], v);
        r->calls--;
        return fits;
    }
#endif
    bool good = n->groups & G_MARKS ? run_marked(r, n, v, m) : run_groups(r, n, v, m);
#if JS_REPORT
    set_node(r, outer);
#endif
    r->calls--;
    return good;
}
