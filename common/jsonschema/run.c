/* The yes or no of a document, and what the evaluator needs for it. */
#include "common/jsonschema/format.h"
#include "common/jsonschema/runner.h"

#include <stdlib.h>
#include <string.h>

bool js_limited(struct js_runner *r)
{
    r->limited = true;
    r->fuel = -1;
    return false;
}

#define JS_REPORT 0
#include "common/jsonschema/eval.h"

bool js_run(struct js_runner *r, uint32_t node, const struct js_value *v, struct js_marks *m)
{
    return run(r, node, v, m);
}

bool js_marks_begin(struct js_runner *r, const struct js_value *v, struct js_marks *m)
{
    uint32_t words = v->type & (T_ARR | T_OBJ) ? (v->len + 63) / 64 : 0, need = r->bit_top + words;
    r->fuel -= words;
    if (need > JS_LIMIT_MARK_WORDS)
        return js_limited(r);
    if (need > r->bit_words) {
        uint64_t *more = realloc(r->bits, (size_t)need * 2 * sizeof *more);
        if (!more)
            return js_limited(r);
        r->bits = more;
        r->bit_words = need * 2;
    }
    *m = (struct js_marks){r->bit_top, words};
    if (words)
        memset(r->bits + m->offset, 0, words * sizeof *r->bits);
    r->bit_top = need;
    return true;
}

void js_marks_merge(struct js_runner *r, struct js_marks *into, const struct js_marks *from)
{
    for (uint32_t i = 0; i < from->words; i++)
        r->bits[into->offset + i] |= r->bits[from->offset + i];
}

static bool enum_scan(struct js_runner *r, const struct js_enum *e, const struct js_value *v)
{
    const struct js_value *x = e->values;
    for (uint32_t i = 0; i < e->count; i++, x = js_next(x))
        if (js_equal(x, v, &r->fuel))
            return true;
    return r->fuel < 0 ? js_limited(r) : false;
}

bool js_enum_has(struct js_runner *r, const struct js_enum *e, const struct js_value *v)
{
    if (v->type == T_STR)
        return js_find(r->s, &e->strings, v->u.text, v->len) != NULL;
    return v->type & e->other_types && enum_scan(r, e, v);
}

static int by_hash(const void *a, const void *b)
{
    const struct js_item_hash *x = a, *y = b;
    if (x->hash != y->hash)
        return x->hash < y->hash ? -1 : 1;
    return (x->item > y->item) - (x->item < y->item);
}

static uint32_t index_of(const struct js_value *array, const struct js_value *item)
{
    uint32_t i = 0;
    for (const struct js_value *x = array + 1; x < item; x = js_next(x))
        i++;
    return i;
}

static bool same_items(struct js_runner *r, const struct js_value *v, const struct js_value *a,
                       const struct js_value *b, uint32_t *first, uint32_t *second)
{
    if (!js_equal(a, b, &r->fuel))
        return r->fuel < 0 && !js_limited(r);
    *first = index_of(v, a < b ? a : b);
    *second = index_of(v, a < b ? b : a);
    return true;
}

static bool unique_pairs(struct js_runner *r, const struct js_value *v, uint32_t *first, uint32_t *second)
{
    const struct js_value *a = v + 1;
    for (uint32_t i = 0; i < v->len; i++, a = js_next(a)) {
        const struct js_value *b = js_next(a);
        for (uint32_t j = i + 1; j < v->len; j++, b = js_next(b))
            if (same_items(r, v, a, b, first, second))
                return false;
    }
    return true;
}

/* Above a few items: sorted by a hash with a seed nobody outside knows, and equal hashes compared. */
bool js_unique(struct js_runner *r, const struct js_value *v, uint32_t *first, uint32_t *second)
{
    const struct js_value *x = v + 1;
    if (v->len <= JS_LIMIT_UNIQUE_PAIRS)
        return unique_pairs(r, v, first, second);
    if (v->len > r->hash_cap) {
        free(r->hashes);
        r->hashes = malloc(v->len * sizeof *r->hashes);
        r->hash_cap = r->hashes ? v->len : 0;
        if (!r->hashes)
            return js_limited(r);
    }
    for (uint32_t i = 0; i < v->len; i++, x = js_next(x))
        r->hashes[i] = (struct js_item_hash){js_hash(x, r->seed), x};
    r->fuel -= v->u.at.span;
    qsort(r->hashes, v->len, sizeof *r->hashes, by_hash);
    for (uint32_t i = 0; i + 1 < v->len; i++)
        for (uint32_t j = i + 1; j < v->len && r->hashes[j].hash == r->hashes[i].hash; j++)
            if (same_items(r, v, r->hashes[i].item, r->hashes[j].item, first, second))
                return false;
    return true;
}

uint32_t js_chars(const struct js_value *v)
{
    uint32_t n = 0;
    for (uint32_t i = 0; i < v->len; i++)
        n += (v->u.text[i] & 0xC0) != 0x80;
    return n;
}

uint32_t js_dynamic_target(struct js_runner *r, const struct js_op *op)
{
    const struct js_anchor *a = &r->s->anchors.at[op->a];
    uint32_t target = op->b;
    for (const struct js_scope *scope = r->scope; scope; scope = scope->outer) {
        r->fuel -= r->s->dynamics.count;
        for (uint32_t i = 0; i < r->s->dynamics.count; i++) {
            const struct js_dynamic *d = &r->s->dynamics.at[i];
            if (d->resource == scope->resource && d->len == a->len && memcmp(d->name, a->name, a->len) == 0)
                target = d->node; /* the outermost wins: the walk goes on */
        }
    }
    return target;
}

static int base64_digit(char c)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    const char *hit = c ? strchr(digits, c) : NULL;
    return hit ? (int)(hit - digits) : -1;
}

static bool base64(const char *s, size_t n, char *out, size_t *len)
{
    uint32_t bits = 0;
    size_t pad = n && s[n - 1] == '=' ? (n > 1 && s[n - 2] == '=' ? 2 : 1) : 0;
    *len = 0;
    if (n % 4)
        return false;
    for (size_t i = 0; i < n - pad; i++) {
        int d = base64_digit(s[i]);
        if (d < 0)
            return false;
        bits = bits << 6 | (uint32_t)d;
        if (i % 4)
            out[(*len)++] = (char)(bits >> (6 - 2 * (i % 4)));
    }
    return true;
}

bool js_contents_ok(struct js_runner *r, const struct js_str *str, const struct js_value *v)
{
    const char *text = v->u.text;
    size_t len = v->len;
    if (str->encoding) {
        if (r->decoded_cap < len) {
            free(r->decoded);
            r->decoded = malloc(len);
            r->decoded_cap = r->decoded ? len : 0;
        }
        if (len && !r->decoded)
            return js_limited(r);
        if (!base64(text, v->len, r->decoded, &len))
            return false;
        text = r->decoded;
    }
    if (!str->media)
        return true;
    if (!r->inner)
        r->inner = js_runner_new();
    return r->inner ? js_runner_parse(r->inner, text, len, NULL) == PB_OK : js_limited(r);
}

void js_run_start(struct js_runner *r, const struct js_schema *s)
{
    r->s = s;
    r->fuel = JS_LIMIT_FUEL;
    r->calls = 0;
    r->limited = false;
    r->scope = NULL;
    r->bit_top = 0;
}

enum js_verdict js_runner_check(struct js_runner *r, const struct js_schema *schema)
{
    js_run_start(r, schema);
    bool valid = r->parsed && run(r, schema->entry, r->doc.values, NULL);
    return r->limited ? JS_UNDECIDED : valid ? JS_VALID : JS_INVALID;
}

pb_err js_runner_parse(struct js_runner *r, const char *text, size_t len, struct pb_why *why)
{
    pb_err err = js_parse(r->index, text, len, &r->doc, why);
    r->parsed = !err;
    return err;
}

pb_err js_check(struct js_runner *r, const struct js_schema *schema, const char *text, size_t len,
                enum js_verdict *verdict, struct pb_why *why)
{
    pb_err err = js_runner_parse(r, text, len, why);
    if (!err)
        *verdict = js_runner_check(r, schema);
    return err;
}

struct js_runner *js_runner_new(void)
{
    struct js_runner *r = calloc(1, sizeof *r);
    if (!r)
        return NULL;
    r->index = js_index_new();
    r->matcher = js_matcher_new();
    js_random(&r->seed, sizeof r->seed);
    if (!r->index || !r->matcher) {
        js_runner_free(r);
        return NULL;
    }
    return r;
}

void js_runner_free(struct js_runner *r)
{
    if (!r)
        return;
    if (r->explainer) {
        free(r->explainer->notes.at);
        free(r->explainer->errors);
        free(r->explainer->arena);
    }
    free(r->explainer);
    js_runner_free(r->inner);
    js_index_free(r->index);
    js_matcher_free(r->matcher);
    js_document_fini(&r->doc);
    free(r->bits);
    free(r->hashes);
    free(r->decoded);
    free(r);
}
