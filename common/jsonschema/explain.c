/* What is wrong with a document, for people and programs: the evaluator once more, with the ways it takes
 * noted, and a sentence where a check says no. Of the branches of anyOf and oneOf only the nearest is
 * explained. */
#include "common/jsonschema/compiler.h"
#include "common/jsonschema/format.h"
#include "common/jsonschema/runner.h"
#include "common/jsonschema/text.h"

#include <stdlib.h>
#include <string.h>

#define NOTE_FUEL              20 /* an error costs as much as a few checks */
#define ARENA_MAX              (JS_LIMIT_ERRORS * 8u * JS_LIMIT_PATH_CHARS)
#define ALTERNATIVES_EXPLAINED 32 /* branches that are looked at for the nearest */

static void add_quoted(struct js_text *t, const char *s, size_t n)
{
    js_text_add(t, "\"");
    js_text_shown(t, s, n, JS_LIMIT_SHOWN_CHARS, "\"\\");
    js_text_add(t, "\"");
}

static void add_value(struct js_text *t, const struct js_value *v)
{
    if (v->type == T_STR)
        add_quoted(t, v->u.text, v->len);
    else if (v->type == T_INT)
        js_text_add(t, "%lld", (long long)v->u.integer);
    else if (v->type & T_NUMBER)
        js_text_add(t, "%.*s%s", (int)(v->len < JS_LIMIT_SHOWN_CHARS ? v->len : JS_LIMIT_SHOWN_CHARS),
                    v->u.text, v->len > JS_LIMIT_SHOWN_CHARS ? "..." : "");
    else if (v->type & (T_ARR | T_OBJ))
        js_text_add(t, v->type == T_ARR ? "an array of %u item%s" : "an object of %u member%s", v->len,
                    v->len == 1 ? "" : "s");
    else
        js_text_add(t, "%s", v->type == T_NULL ? "null" : v->len ? "true" : "false");
}

static void add_is(struct js_text *t, const struct js_value *v)
{
    js_text_add(t, "is %s", v->type == T_STR ? "the string " : v->type & T_NUMBER ? "the number " : "");
    add_value(t, v);
}

/* Ways */

static void enter_member(struct js_runner *r, const struct js_value *key, uint32_t index)
{
    struct js_explainer *e = r->explainer;
    e->instance[e->instance_depth++] = (struct js_step){.key = key, .index = index};
}

static void leave_member(struct js_runner *r)
{
    r->explainer->instance_depth--;
}

static void enter_way(struct js_runner *r, uint8_t keyword, uint8_t kind, const struct js_value *key,
                      uint32_t index)
{
    struct js_explainer *e = r->explainer;
    if (e->way_depth < JS_LIMIT_EXPLAIN_DEPTH)
        e->way[e->way_depth] = (struct js_step){.key = key, .index = index, .keyword = keyword, .kind = kind};
    e->way_depth++;
}

static void leave_way(struct js_runner *r)
{
    r->explainer->way_depth--;
}

static const struct js_node *set_node(struct js_runner *r, const struct js_node *n)
{
    const struct js_node *outer = r->explainer->node;
    r->explainer->node = n;
    return outer;
}

static void add_way(struct js_runner *r, struct js_text *t)
{
    const struct js_explainer *e = r->explainer;
    for (uint32_t i = 0; i < e->way_depth && i < JS_LIMIT_EXPLAIN_DEPTH; i++) {
        const struct js_step *s = &e->way[i];
        if (s->keyword < KW_COUNT)
            js_text_add(t, "/%s", js_keywords[s->keyword].name);
        if (s->kind == 2)
            js_text_add(t, "/%u", s->index);
        if (s->kind == 0 || s->kind == 2)
            continue;
        js_text_bytes(t, "/", 1);
        if (s->kind == 1)
            js_text_pointer(t, s->key->u.text, s->key->len);
        else
            js_text_pointer(t, r->s->pattern_slots.at[s->index].source, r->s->pattern_slots.at[s->index].len);
    }
}

static void add_instance(const struct js_explainer *e, struct js_text *t)
{
    for (uint32_t i = 0; i < e->instance_depth; i++) {
        if (!e->instance[i].key)
            js_text_add(t, "/%u", e->instance[i].index);
        else
            js_text_bytes(t, "/", 1);
        if (e->instance[i].key)
            js_text_pointer(t, e->instance[i].key->u.text, e->instance[i].key->len);
    }
}

/* Sentences */

static void add_subject(const struct js_explainer *e, struct js_text *t)
{
    const struct js_step *s = e->instance_depth ? &e->instance[e->instance_depth - 1] : NULL;
    if (!s)
        js_text_add(t, "the document");
    else if (s->key && s->key->len)
        js_text_shown(t, s->key->u.text, s->key->len, JS_LIMIT_SHOWN_CHARS, "");
    else
        js_text_add(t, s->key ? "\"\"" : "item %u", s->index);
}

static void add_types(struct js_text *t, uint8_t types)
{
    static const struct {
        uint8_t mask;
        const char *name;
    } names[] = {{T_NUMBER, "a number"}, {T_INTEGER, "an integer"}, {T_STR, "a string"},
                 {T_BOOL, "a boolean"},  {T_ARR, "an array"},       {T_OBJ, "an object"},
                 {T_NULL, "null"}};
    const char *between = "";
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        if ((types & names[i].mask) != names[i].mask)
            continue;
        types = (uint8_t)(types & ~names[i].mask);
        js_text_add(t, "%s%s", between, names[i].name);
        between = " or ";
    }
}

typedef void sentence(struct js_runner *r, struct js_text *t, const struct js_value *v, const void *what);

static void say_type(struct js_runner *r, struct js_text *t, const struct js_value *v, const void *what)
{
    const struct js_node *n = what;
    (void)r;
    js_text_add(t, " must be ");
    add_types(t, n->declared);
    js_text_add(t, ", ");
    add_is(t, v);
}

static void say_self(struct js_runner *r, struct js_text *t, const struct js_value *v, const void *what)
{
    (void)r, (void)v, (void)what;
    js_text_add(t, " is not allowed here");
}

static void add_json(struct js_text *t, const struct js_value *v, size_t end);

/* Members or items; t->len stays near end. */
static void add_contents(struct js_text *t, const struct js_value *v, size_t end)
{
    const struct js_value *x = v + 1;
    for (uint32_t i = 0; i < v->len; i++, x = js_next(x)) {
        if (t->len > end) {
            js_text_add(t, "...");
            return;
        }
        js_text_add(t, "%s", i ? ", " : "");
        if (v->type == T_OBJ) {
            add_value(t, x++);
            js_text_add(t, ": ");
        }
        add_json(t, x, end);
    }
}

/* A value of the schema, which may be shown, cut to size. */
static void add_json(struct js_text *t, const struct js_value *v, size_t end)
{
    if (!(v->type & (T_ARR | T_OBJ))) {
        add_value(t, v);
        return;
    }
    js_text_add(t, v->type == T_ARR ? "[" : "{");
    add_contents(t, v, end);
    js_text_add(t, v->type == T_ARR ? "]" : "}");
}

static void say_enum(struct js_runner *r, struct js_text *t, const struct js_value *v, const void *what)
{
    const struct js_enum *e = what;
    const struct js_value *x = e->values;
    (void)r;
    js_text_add(t, e->count == 1 ? " must be " : " must be one of ");
    for (uint32_t i = 0; i < e->count && i < 8; i++, x = js_next(x)) {
        js_text_add(t, "%s", i ? ", " : "");
        add_json(t, x, t->len + JS_LIMIT_SHOWN_CHARS);
    }
    if (e->count > 8)
        js_text_add(t, " and %u others", e->count - 8);
    js_text_add(t, ", ");
    add_is(t, v);
}

static void say_number(struct js_text *t, const struct js_value *v, const char *relation, const void *limit)
{
    js_text_add(t, " must be %s ", relation);
    add_value(t, limit);
    js_text_add(t, ", ");
    add_is(t, v);
}

static void say_minimum(struct js_runner *r, struct js_text *t, const struct js_value *v, const void *what)
{
    (void)r;
    say_number(t, v, "at least", what);
}

static void say_maximum(struct js_runner *r, struct js_text *t, const struct js_value *v, const void *what)
{
    (void)r;
    say_number(t, v, "at most", what);
}

static void say_above(struct js_runner *r, struct js_text *t, const struct js_value *v, const void *what)
{
    (void)r;
    say_number(t, v, "more than", what);
}

static void say_below(struct js_runner *r, struct js_text *t, const struct js_value *v, const void *what)
{
    (void)r;
    say_number(t, v, "less than", what);
}

static void say_multiple(struct js_runner *r, struct js_text *t, const struct js_value *v, const void *what)
{
    (void)r;
    say_number(t, v, "a multiple of", what);
}

static const char *unit(const struct js_value *v)
{
    return v->type == T_STR ? "characters" : v->type == T_ARR ? "items" : "members";
}

static void say_count(struct js_text *t, const struct js_value *v, const char *relation, const void *what)
{
    uint32_t limit = *(const uint32_t *)what;
    js_text_add(t, " must have %s %u %s, has %u", relation, limit, unit(v),
                v->type == T_STR ? js_chars(v) : v->len);
}

static void say_least(struct js_runner *r, struct js_text *t, const struct js_value *v, const void *what)
{
    (void)r;
    say_count(t, v, "at least", what);
}

static void say_most(struct js_runner *r, struct js_text *t, const struct js_value *v, const void *what)
{
    (void)r;
    say_count(t, v, "at most", what);
}

static void say_format(struct js_runner *r, struct js_text *t, const struct js_value *v, const void *what)
{
    (void)r;
    js_text_add(t, " must be a valid %s, ", js_format_name(*(const uint8_t *)what));
    add_is(t, v);
}

static void say_pattern(struct js_runner *r, struct js_text *t, const struct js_value *v, const void *what)
{
    const struct js_node *n = what;
    const struct js_value *source = js_get(r->s->places.at[n->schema].value, "pattern", 7);
    js_text_add(t, " must match the pattern ");
    if (source)
        add_quoted(t, source->u.text, source->len);
    js_text_add(t, ", ");
    add_is(t, v);
}

static void say_content(struct js_runner *r, struct js_text *t, const struct js_value *v, const void *what)
{
    const struct js_str *str = what;
    (void)r, (void)v;
    js_text_add(t, " must hold %s%s", str->media ? "JSON" : "base64",
                str->media && str->encoding ? " in base64" : "");
}

static void say_required(struct js_runner *r, struct js_text *t, const struct js_value *v, const void *what)
{
    const struct js_slot *slot = what;
    (void)r, (void)v;
    js_text_add(t, " must have the member ");
    add_quoted(t, slot->key, slot->len);
}

static void say_needs(struct js_runner *r, struct js_text *t, const struct js_value *v, const void *what)
{
    const struct js_value *const *keys = what; /* the one that is there, and the one it needs */
    (void)r, (void)v;
    js_text_add(t, " must have the member ");
    add_quoted(t, keys[1]->u.text, keys[1]->len);
    js_text_add(t, " beside ");
    add_quoted(t, keys[0]->u.text, keys[0]->len);
}

static void say_contains(struct js_runner *r, struct js_text *t, const struct js_value *v, const void *what)
{
    const struct js_arr *a = what;
    (void)r, (void)v;
    js_text_add(t, " must have at least %u item%s of the kind that \"contains\" asks for", a->contains_least,
                a->contains_least == 1 ? "" : "s");
}

static void say_contains_most(struct js_runner *r, struct js_text *t, const struct js_value *v,
                              const void *what)
{
    (void)r, (void)v;
    js_text_add(t, " must have at most %u items of the kind that \"contains\" asks for",
                *(const uint32_t *)what);
}

static void say_unique(struct js_runner *r, struct js_text *t, const struct js_value *v, const void *what)
{
    const uint32_t *pair = what;
    (void)r, (void)v;
    js_text_add(t, " must not have equal items, items %u and %u are", pair[0], pair[1]);
}

static void say_not(struct js_runner *r, struct js_text *t, const struct js_value *v, const void *what)
{
    (void)r, (void)v, (void)what;
    js_text_add(t, " is what \"not\" excludes");
}

static const struct js_value *tag_of(const struct js_runner *r, const struct js_op *op,
                                     const struct js_value *v)
{
    const struct js_slot *key = &r->s->slots.at[op->tag_key];
    return v->type == T_OBJ ? js_get(v, key->key, key->len) : NULL;
}

/* "type" tells the alternatives apart: which there are, or which one it names. */
static void say_tag(struct js_runner *r, struct js_text *t, const struct js_value *v, const struct js_op *op)
{
    const struct js_slot *key = &r->s->slots.at[op->tag_key], *first = r->s->slots.at + op->tags.first;
    const struct js_value *tag = tag_of(r, op, v);
    bool known = tag && tag->type == T_STR && js_find(r->s, &op->tags, tag->u.text, tag->len);
    js_text_add(t, known ? " must fit what " : " must have the member ");
    add_quoted(t, key->key, key->len);
    js_text_add(t, known ? " " : ", one of ");
    for (uint32_t i = 0; !known && i < op->tags.count && i < 8; i++) {
        js_text_add(t, "%s", i ? ", " : "");
        add_quoted(t, first[i].key, first[i].len);
    }
    if (!known && op->tags.count > 8)
        js_text_add(t, " and %u others", op->tags.count - 8);
    if (!known && tag)
        js_text_add(t, ", which ");
    if (known)
        add_value(t, tag);
    else if (tag)
        add_is(t, tag);
    js_text_add(t, known ? " asks for, and does not" : "");
}

static uint8_t branch_types(const struct js_runner *r, const struct js_op *op)
{
    uint8_t types = 0;
    for (uint32_t i = 0; i < op->count; i++)
        types |= r->s->nodes.at[r->s->ids.at[op->a + i]].types;
    return types;
}

/* None fits, and one look says why. */
static bool say_plainly(struct js_runner *r, struct js_text *t, const struct js_value *v,
                        const struct js_op *op)
{
    uint8_t types = branch_types(r, op);
    if (!(types & v->type) && types) {
        js_text_add(t, " must be ");
        add_types(t, types);
        js_text_add(t, ", ");
        add_is(t, v);
        return true;
    }
    if (op->tag_key != NONE && v->type == T_OBJ)
        say_tag(r, t, v, op);
    return op->tag_key != NONE && v->type == T_OBJ;
}

static void say_any(struct js_runner *r, struct js_text *t, const struct js_value *v, const void *what)
{
    const struct js_op *op = what;
    if (say_plainly(r, t, v, op))
        return;
    js_text_add(t, " must fit one of %u alternatives, fits none, ", op->count);
    add_is(t, v);
}

static void say_one(struct js_runner *r, struct js_text *t, const struct js_value *v, const void *what)
{
    const struct js_op *op = what;
    uint32_t fits = 0;
    bool told_apart = op->by_type || op->tag_key != NONE; /* then none fits, or there were no error */
    for (uint32_t i = 0; !told_apart && i < op->count; i++)
        fits += js_run(r, r->s->ids.at[op->a + i], v, NULL);
    if (fits || !say_plainly(r, t, v, op))
        js_text_add(t, " must fit exactly one of %u alternatives, fits %u", op->count, fits);
}

static sentence *const sentences[KW_COUNT + 1] = {
    [KW_TYPE] = say_type,
    [KW_SELF] = say_self,
    [KW_ENUM] = say_enum,
    [KW_CONST] = say_enum,
    [KW_MINIMUM] = say_minimum,
    [KW_MAXIMUM] = say_maximum,
    [KW_EXCLUSIVE_MINIMUM] = say_above,
    [KW_EXCLUSIVE_MAXIMUM] = say_below,
    [KW_MULTIPLE_OF] = say_multiple,
    [KW_MIN_LENGTH] = say_least,
    [KW_MAX_LENGTH] = say_most,
    [KW_MIN_ITEMS] = say_least,
    [KW_MAX_ITEMS] = say_most,
    [KW_MIN_PROPERTIES] = say_least,
    [KW_MAX_PROPERTIES] = say_most,
    [KW_FORMAT] = say_format,
    [KW_PATTERN] = say_pattern,
    [KW_CONTENT_MEDIA_TYPE] = say_content,
    [KW_REQUIRED] = say_required,
    [KW_DEPENDENT_REQUIRED] = say_needs,
    [KW_DEPENDENCIES] = say_needs,
    [KW_CONTAINS] = say_contains,
    [KW_MIN_CONTAINS] = say_contains,
    [KW_MAX_CONTAINS] = say_contains_most,
    [KW_UNIQUE_ITEMS] = say_unique,
    [KW_NOT] = say_not,
    [KW_ANY_OF] = say_any,
    [KW_ONE_OF] = say_one,
};

/* Room for one more text; what is said stays where it is until the next document. */
static struct js_text open_text(struct js_explainer *e, size_t *offset)
{
    *offset = e->arena_len;
    return (struct js_text){e->arena + e->arena_len, 0, JS_LIMIT_PATH_CHARS};
}

static void close_text(struct js_explainer *e, struct js_text *t)
{
    js_text_end(t);
    e->arena_len += t->len + 1;
}

static bool need_arena(struct js_explainer *e)
{
    size_t need = e->arena_len + 4 * JS_LIMIT_PATH_CHARS,
           cap = e->arena_cap ? e->arena_cap : 8 * JS_LIMIT_PATH_CHARS;
    if (need <= e->arena_cap)
        return true;
    while (cap < need)
        cap *= 2;
    char *more = cap > ARENA_MAX ? NULL : realloc(e->arena, cap);
    if (!more)
        return false;
    e->arena = more;
    e->arena_cap = cap;
    return true;
}

static void add_absolute(struct js_runner *r, struct js_text *t, const struct js_node *n, uint8_t keyword)
{
    js_place_add(r->s, n->schema, t);
    if (keyword < KW_COUNT)
        js_text_add(t, "/%s", js_keywords[keyword].name);
}

/* The node that a check belongs to: types are checked before the node is entered. */
static const struct js_node *node_of(struct js_runner *r, uint8_t keyword, const void *what)
{
    return keyword == KW_TYPE || keyword == KW_SELF ? what : r->explainer->node;
}

static void note(struct js_runner *r, const struct js_value *v, uint8_t keyword, const void *what)
{
    struct js_explainer *e = r->explainer;
    struct js_note *slot = need_arena(e) ? PUSH(e->notes) : NULL;
    struct js_text t;
    if (!slot) {
        e->broken = true;
        return;
    }
    slot->value = v;
    slot->order = e->notes.count;
    t = open_text(e, &slot->instance);
    add_instance(e, &t);
    close_text(e, &t);
    t = open_text(e, &slot->keyword);
    add_way(r, &t);
    if (keyword < KW_COUNT)
        js_text_add(&t, "/%s", js_keywords[keyword].name);
    close_text(e, &t);
    t = open_text(e, &slot->absolute);
    add_absolute(r, &t, node_of(r, keyword, what), keyword);
    close_text(e, &t);
    t = open_text(e, &slot->text);
    t.size = JS_LIMIT_ERROR_CHARS;
    add_subject(e, &t);
    sentences[keyword](r, &t, v, what);
    close_text(e, &t);
}

static void explain_branches(struct js_runner *r, const struct js_op *op, const struct js_value *v);

static bool say(struct js_runner *r, const struct js_value *v, uint8_t keyword, const void *what)
{
    struct js_explainer *e = r->explainer;
    if (r->limited)
        return false;
    r->fuel -= NOTE_FUEL;
    e->counted++;
    if (e->counting)
        return false;
    if (e->notes.count >= e->max) {
        e->more = true;
        return false;
    }
    note(r, v, keyword, what);
    if (keyword == KW_ANY_OF || keyword == KW_ONE_OF)
        explain_branches(r, what, v);
    return false;
}

#define JS_REPORT 1
#include "common/jsonschema/eval.h"

static void explain_branch(struct js_runner *r, const struct js_op *op, uint32_t i, const struct js_value *v)
{
    enter_way(r, op->keyword, 2, NULL, i);
    run(r, r->s->ids.at[op->a + i], v, NULL);
    leave_way(r);
}

static void forget(struct js_explainer *e, uint32_t count, size_t arena_len)
{
    e->notes.count = count;
    e->arena_len = arena_len;
}

static uint32_t count_errors(struct js_runner *r, uint32_t node, const struct js_value *v)
{
    struct js_explainer *e = r->explainer;
    uint32_t before = e->counted;
    bool outer = e->counting;
    e->counting = true;
    run(r, node, v, NULL);
    e->counting = outer;
    return e->counted - before;
}

/* Without a telling member: the branch with the fewest errors among those whose type fits. */
static uint32_t nearest_branch(struct js_runner *r, const struct js_op *op, const struct js_value *v)
{
    uint32_t best = NONE, fewest = UINT32_MAX;
    for (uint32_t i = 0; i < op->count && i < ALTERNATIVES_EXPLAINED; i++) {
        uint32_t branch = r->s->ids.at[op->a + i];
        if (!(r->s->nodes.at[branch].types & v->type))
            continue;
        uint32_t count = count_errors(r, branch, v);
        if (count < fewest) {
            fewest = count;
            best = i;
        }
    }
    return best;
}

static void explain_branches(struct js_runner *r, const struct js_op *op, const struct js_value *v)
{
    uint32_t only = only_branch(r, op, v);
    for (uint32_t i = 0; op->code == OP_ONE && only == op->count && i < op->count; i++)
        if (js_run(r, r->s->ids.at[op->a + i], v, NULL))
            return; /* more than one fits: nothing is wrong with any */
    if (only == op->count)
        only = nearest_branch(r, op, v);
    if (only != NONE)
        explain_branch(r, op, only, v);
}

static int by_place(const void *a, const void *b)
{
    const struct js_note *x = a, *y = b;
    if (x->value != y->value)
        return x->value < y->value ? -1 : 1;
    return (x->order > y->order) - (x->order < y->order);
}

static pb_err list_errors(struct js_explainer *e)
{
    struct js_error *errors = realloc(e->errors, (e->notes.count + 1) * sizeof *errors);
    if (!errors)
        return PB_E_MEMORY;
    e->errors = errors;
    if (e->notes.count)
        qsort(e->notes.at, e->notes.count, sizeof *e->notes.at, by_place);
    for (uint32_t i = 0; i < e->notes.count; i++) {
        const struct js_note *n = &e->notes.at[i];
        errors[i] = (struct js_error){e->arena + n->instance, e->arena + n->keyword, e->arena + n->absolute,
                                      e->arena + n->text};
    }
    return PB_OK;
}

pb_err js_explain(struct js_runner *r, const struct js_schema *schema, size_t max,
                  const struct js_error **errors, size_t *count, bool *more)
{
    struct js_explainer *e = r->explainer ? r->explainer : calloc(1, sizeof *e);
    if (!e)
        return PB_E_MEMORY;
    r->explainer = e;
    e->instance_depth = e->way_depth = 0;
    e->max = max && max < JS_LIMIT_ERRORS ? max : JS_LIMIT_ERRORS;
    e->more = e->broken = e->counting = false;
    e->counted = 0;
    forget(e, 0, 0);
    js_run_start(r, schema);
    e->node = &schema->nodes.at[schema->entry];
    if (!r->parsed)
        return PB_E_INVALID;
    run(r, schema->entry, r->doc.values, NULL);
    e->more = e->more || r->limited;
    pb_err err = e->broken ? PB_E_MEMORY : list_errors(e);
    if (err)
        return err;
    *errors = e->errors;
    *count = e->notes.count;
    *more = e->more;
    return PB_OK;
}
