/* Where schemas are: files, the resources in them ($id), anchors, and every subschema with the way up to its
 * root. Only places where the draft has a schema are looked into: an $id inside an enum names nothing. */
#include "common/jsonschema/compiler.h"
#include "common/jsonschema/uri.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const struct {
    const char *uri;
    uint32_t draft;
} dialects[] = {
    {"https://json-schema.org/draft/2020-12/schema", JS_DRAFT_2020},
    {"https://json-schema.org/draft/2019-09/schema", JS_DRAFT_2019},
    {"http://json-schema.org/draft-07/schema", JS_DRAFT_7},
};

static const struct {
    const char *name;
    uint32_t bits;
} vocabularies[] = {
    {"core", VOC_CORE},
    {"applicator", VOC_APPLICATOR},
    {"unevaluated", VOC_UNEVALUATED},
    {"validation", VOC_VALIDATION},
    {"meta-data", VOC_METADATA},
    {"format", VOC_FORMAT_ANNOTATION},
    {"format-annotation", VOC_FORMAT_ANNOTATION},
    {"format-assertion", VOC_FORMAT_ASSERTION},
    {"content", VOC_CONTENT},
};

#define DIALECTS_MAX 8

static size_t without_fragment(const char *uri)
{
    return strcspn(uri, "#");
}

static uint32_t find_resource(const struct js_schema *s, const char *uri, size_t len)
{
    uint32_t hash = (uint32_t)js_hash_bytes(uri, len, 0);
    for (uint32_t i = 0; i < s->resources.count; i++) {
        const struct js_resource *r = &s->resources.at[i];
        if (r->uri_hash == hash && strlen(r->uri) == len && memcmp(r->uri, uri, len) == 0)
            return r->same == NONE ? i : r->same;
    }
    return NONE;
}

uint32_t js_registry_anchor(const struct js_schema *s, uint32_t resource, const char *name, size_t len)
{
    for (uint32_t i = 0; i < s->anchors.count; i++) {
        const struct js_anchor *a = &s->anchors.at[i];
        if (a->resource == resource && a->len == len && memcmp(a->name, name, len) == 0)
            return i;
    }
    return NONE;
}

static pb_err load(struct compiler *c, const char *uri, uint32_t *resource)
{
    char *text = NULL;
    size_t len = 0;
    const char *meta = js_meta_find(uri);
    if (meta) {
        text = strdup(meta);
        len = strlen(meta);
        return text ? js_registry_add(c, text, len, uri, resource) : PB_E_MEMORY;
    }
    if (!c->options->load)
        return PB_E_NOT_FOUND;
    pb_err err = c->options->load(c->options->user, uri, &text, &len);
    return err ? err : js_registry_add(c, text, len, uri, resource);
}

static pb_err find_or_load(struct compiler *c, const char *uri, size_t len, uint32_t *resource)
{
    char *name;
    pb_err err;
    err = js_work(c, c->s->resources.count);
    if (err)
        return err;
    *resource = find_resource(c->s, uri, len);
    if (*resource != NONE)
        return PB_OK;
    name = strndup(uri, len);
    if (!name)
        return PB_E_MEMORY;
    err = load(c, name, resource);
    free(name);
    return err;
}

static pb_err read_vocabulary(struct compiler *c, const struct js_value *list, struct js_resource *r)
{
    const struct js_value *k = list + 1;
    r->vocabularies = VOC_CORE;
    for (uint32_t i = 0; i < list->len; i++, k = js_next(k + 1)) {
        const char *slash = memrchr(k->u.text, '/', k->len);
        size_t len = slash ? (size_t)(k->u.text + k->len - slash - 1) : 0, v = 0;
        for (; v < sizeof vocabularies / sizeof vocabularies[0]; v++)
            if (slash && k->len > 24 && !memcmp(k->u.text, "https://json-schema.org/", 24) &&
                strlen(vocabularies[v].name) == len && !memcmp(slash + 1, vocabularies[v].name, len))
                break;
        if (v < sizeof vocabularies / sizeof vocabularies[0])
            r->vocabularies |= vocabularies[v].bits;
        else if (k[1].type == T_BOOL && k[1].len)
            return pb_fail(c->why, PB_E_UNSUPPORTED, "$vocabulary", "the vocabulary %.*s is not known",
                           (int)k->len, k->u.text);
    }
    if (r->draft == JS_DRAFT_2019 && r->vocabularies & VOC_APPLICATOR)
        r->vocabularies |= VOC_UNEVALUATED;
    return PB_OK;
}

/* A dialect of its own: the draft is that of its meta-schema, the keywords those of the vocabularies named
 * there. */
static pb_err own_dialect(struct compiler *c, const struct js_value *uri, struct js_resource *r)
{
    uint32_t meta = NONE;
    char name[200];
    snprintf(name, sizeof name, "%.*s", (int)(uri->len < 199 ? uri->len : 199), uri->u.text);
    if (++c->dialects > DIALECTS_MAX)
        return pb_fail(c->why, PB_E_UNSUPPORTED, name, "meta-schemas refer to each other without end");
    pb_err err = find_or_load(c, uri->u.text, uri->len, &meta);
    c->dialects--;
    if (err == PB_E_NOT_FOUND)
        return pb_fail(c->why, PB_E_UNSUPPORTED, name,
                       "$schema names no draft known here (2020-12, draft-07)");
    if (err)
        return err;
    const struct js_resource *m = &c->s->resources.at[meta];
    const struct js_value *list = js_get(m->root, "$vocabulary", 11);
    r->draft = m->draft;
    return list && list->type == T_OBJ && r->draft != JS_DRAFT_7 ? read_vocabulary(c, list, r) : PB_OK;
}

static pb_err read_dialect(struct compiler *c, const struct js_value *v, struct js_resource *r)
{
    const struct js_value *uri = js_get(v, "$schema", 7);
    if (!uri || uri->type != T_STR)
        return PB_OK;
    r->vocabularies = VOC_ALL;
    struct js_value bare = *uri;
    if (bare.len && bare.u.text[bare.len - 1] == '#')
        bare.len--;
    for (size_t i = 0; i < sizeof dialects / sizeof dialects[0]; i++) {
        if (js_is(&bare, dialects[i].uri)) {
            r->draft = dialects[i].draft;
            return PB_OK;
        }
    }
    return own_dialect(c, &bare, r);
}

static pb_err add_resource(struct compiler *c, struct js_resource r, uint32_t *out)
{
    if (c->s->resources.count >= JS_LIMIT_RESOURCES) {
        free(r.uri);
        return pb_fail(c->why, PB_E_LIMIT, "", "more than %d schemas have an $id", JS_LIMIT_RESOURCES);
    }
    struct js_resource *slot = PUSH(c->s->resources);
    if (!slot) {
        free(r.uri);
        return PB_E_MEMORY;
    }
    r.uri_hash = (uint32_t)js_hash_bytes(r.uri, strlen(r.uri), 0);
    *slot = r;
    *out = c->s->resources.count - 1;
    return PB_OK;
}

static pb_err add_anchor(struct compiler *c, uint32_t resource, const char *name, size_t len,
                         const struct js_value *target, bool dynamic)
{
    struct js_anchor *a = PUSH(c->s->anchors);
    if (!a)
        return PB_E_MEMORY;
    *a = (struct js_anchor){name, (uint32_t)len, resource, target, dynamic};
    return PB_OK;
}

/* The resource that a schema's $id begins: *resource stays if it begins none. */
static pb_err read_id(struct compiler *c, const struct js_value *v, uint32_t *resource)
{
    struct js_resource r = c->s->resources.at[*resource];
    const struct js_value *id = js_get(v, "$id", 3);
    uint32_t parent = *resource;
    if (!id || id->type != T_STR || (r.draft == JS_DRAFT_7 && js_get(v, "$ref", 4)))
        return PB_OK;
    const char *hash = memchr(id->u.text, '#', id->len);
    size_t bare = hash ? (size_t)(hash - id->u.text) : id->len;
    if (bare && (parent == NONE || r.root != v)) {
        r.root = v;
        r.same = NONE;
        r.uri = js_uri_resolve(r.uri, id->u.text, bare);
        pb_err err = r.uri ? read_dialect(c, v, &r) : PB_E_MEMORY;
        if (err) {
            free(r.uri);
            return err;
        }
        err = add_resource(c, r, resource);
        if (err)
            return err;
    }
    if (hash && r.draft == JS_DRAFT_7 && id->len > bare + 1)
        return add_anchor(c, *resource, hash + 1, id->len - bare - 1, v, false);
    return PB_OK;
}

static pb_err read_anchors(struct compiler *c, const struct js_value *v, uint32_t resource)
{
    static const struct {
        const char *keyword;
        uint32_t drafts;
        bool dynamic;
    } kinds[] = {{"$anchor", JS_DRAFT_2019 | JS_DRAFT_2020, false}, {"$dynamicAnchor", JS_DRAFT_2020, true}};
    uint32_t draft = c->s->resources.at[resource].draft;
    for (size_t i = 0; i < 2; i++) {
        const struct js_value *name = js_get(v, kinds[i].keyword, strlen(kinds[i].keyword));
        if (!name || name->type != T_STR || !(draft & kinds[i].drafts))
            continue;
        pb_err err = add_anchor(c, resource, name->u.text, name->len, v, kinds[i].dynamic);
        if (err)
            return err;
    }
    const struct js_value *recursive = js_get(v, "$recursiveAnchor", 16);
    if (recursive && recursive->type == T_BOOL && recursive->len && draft == JS_DRAFT_2019)
        return add_anchor(c, resource, "", 0, v, true);
    return PB_OK;
}

static pb_err scan_list(struct compiler *c, const struct js_value *list, struct js_place place)
{
    uint32_t out;
    const struct js_value *x = list + 1;
    place.has_index = true;
    for (uint32_t i = 0; i < list->len; i++, x = js_next(x)) {
        place.index = i;
        pb_err err = js_registry_scan(c, x, place, &out);
        if (err)
            return err;
    }
    return PB_OK;
}

static pb_err scan_map(struct compiler *c, const struct js_value *map, struct js_place place)
{
    uint32_t out;
    const struct js_value *k = map + 1;
    place.has_key = true;
    for (uint32_t i = 0; i < map->len; i++, k = js_next(k + 1)) {
        place.key = k;
        pb_err err = js_registry_scan(c, k + 1, place, &out);
        if (err)
            return err;
    }
    return PB_OK;
}

static pb_err scan_keyword(struct compiler *c, const struct js_value *v, unsigned keyword, uint32_t parent)
{
    uint32_t out;
    uint8_t shape = js_keywords[keyword].shape;
    struct js_place place = {.parent = parent, .keyword = (uint8_t)keyword};
    place.resource = c->s->places.at[parent].resource;
    if (v->type == T_ARR && (shape == S_LIST || shape == S_ONE_OR_LIST))
        return scan_list(c, v, place);
    if (v->type == T_OBJ && (shape == S_MAP || shape == S_MAP_OR_NAMES))
        return scan_map(c, v, place);
    return shape == S_ONE || shape == S_ONE_OR_LIST ? js_registry_scan(c, v, place, &out) : PB_OK;
}

static pb_err scan_members(struct compiler *c, const struct js_value *v, uint32_t place)
{
    uint32_t draft = c->s->resources.at[c->s->places.at[place].resource].draft;
    const struct js_value *k = v + 1;
    for (uint32_t i = 0; i < v->len; i++, k = js_next(k + 1)) {
        unsigned keyword = js_keyword_find(k->u.text, k->len);
        if (keyword == KW_UNKNOWN || !(js_keywords[keyword].drafts & draft))
            continue;
        if (keyword == KW_DYNAMIC_REF || keyword == KW_RECURSIVE_REF)
            c->s->scoped = true;
        pb_err err = scan_keyword(c, k + 1, keyword, place);
        if (err)
            return err;
    }
    return PB_OK;
}

pb_err js_registry_scan(struct compiler *c, const struct js_value *v, struct js_place place, uint32_t *out)
{
    struct js_value *marked = (struct js_value *)(uintptr_t)v;
    pb_err err = PB_OK;
    if (!(v->type & (T_OBJ | T_BOOL)))
        return PB_OK; /* not a schema: whoever needs one says so */
    if (v->u.at.mark) {
        *out = v->u.at.mark - 1;
        return PB_OK;
    }
    if (c->s->places.count >= JS_LIMIT_SCHEMAS)
        return pb_fail(c->why, PB_E_LIMIT, "", "more than %d subschemas", JS_LIMIT_SCHEMAS);
    place.value = v;
    place.node = NONE;
    if (v->type == T_OBJ)
        err = read_id(c, v, &place.resource);
    if (!err && v->type == T_OBJ)
        err = read_anchors(c, v, place.resource);
    if (err)
        return err;
    struct js_place *slot = PUSH(c->s->places);
    if (!slot)
        return PB_E_MEMORY;
    *slot = place;
    *out = c->s->places.count - 1;
    marked->u.at.mark = *out + 1;
    struct js_resource *r = &c->s->resources.at[place.resource];
    if (r->root == v)
        r->place = *out;
    return v->type == T_OBJ ? scan_members(c, v, *out) : PB_OK;
}

static pb_err parse_source(struct compiler *c, char *text, size_t len, const char *uri,
                           struct js_source **out)
{
    struct js_source **slot = c->s->sources.count < JS_LIMIT_DOCUMENTS ? PUSH(c->s->sources) : NULL;
    struct js_source *source = slot ? calloc(1, sizeof *source) : NULL;
    if (slot)
        *slot = source;
    if (!source) {
        free(text);
        return slot ? PB_E_MEMORY
                    : pb_fail(c->why, PB_E_LIMIT, uri, "more than %d schema files", JS_LIMIT_DOCUMENTS);
    }
    source->text = text;
    source->len = len;
    source->uri = strdup(uri);
    if (!source->uri)
        return PB_E_MEMORY;
    if (len > JS_LIMIT_SCHEMA_BYTES)
        return pb_fail(c->why, PB_E_LIMIT, uri, "the schema is larger than %u bytes", JS_LIMIT_SCHEMA_BYTES);
    *out = source;
    return js_parse(c->index, text, len, &source->doc, c->why);
}

pb_err js_registry_add(struct compiler *c, char *text, size_t len, const char *uri, uint32_t *resource)
{
    struct js_source *source = NULL;
    struct js_place place = {.parent = NONE, .keyword = KW_UNKNOWN};
    struct js_resource r = {.draft = c->options->draft ? c->options->draft : JS_DRAFT_2020,
                            .vocabularies = VOC_ALL};
    uint32_t root;
    pb_err err = parse_source(c, text, len, uri, &source);
    if (err)
        return err;
    r.root = source->doc.values;
    r.uri = strndup(uri, without_fragment(uri));
    r.place = r.same = NONE;
    if (!r.uri)
        return PB_E_MEMORY;
    if (!(r.root->type & (T_OBJ | T_BOOL))) {
        free(r.uri);
        return pb_fail(c->why, PB_E_INVALID, uri, "a schema must be an object or a boolean");
    }
    err = read_dialect(c, r.root, &r);
    if (err) {
        free(r.uri);
        return err;
    }
    err = add_resource(c, r, resource);
    if (err)
        return err;
    place.resource = *resource;
    const struct js_value *id = js_get(r.root, "$id", 3);
    /* The root is known by both names, that of the file and that of its $id, which relative references
     * follow. */
    if (id && id->type == T_STR && id->len && id->u.text[0] != '#' &&
        !(r.draft == JS_DRAFT_7 && js_get(r.root, "$ref", 4))) {
        const char *hash = memchr(id->u.text, '#', id->len);
        r.uri = js_uri_resolve(r.uri, id->u.text, hash ? (size_t)(hash - id->u.text) : id->len);
        err = r.uri ? add_resource(c, r, &place.resource) : PB_E_MEMORY;
        if (err)
            return err;
        c->s->resources.at[*resource].same = place.resource;
    }
    err = js_registry_scan(c, r.root, place, &root);
    if (err)
        return err;
    c->s->resources.at[*resource].place = root;
    *resource = place.resource;
    c->s->resources.at[*resource].place = root;
    return PB_OK;
}

/* One token of a JSON pointer in a fragment: %xx, then ~1 and ~0. Returns its length; NONE if too long. */
static uint32_t pointer_token(const char **p, const char *end, char *out, size_t size)
{
    uint32_t n = 0;
    while (*p < end && **p != '/') {
        char c = *(*p)++;
        if (c == '%' && end - *p >= 2) {
            char hex[3] = {(*p)[0], (*p)[1], 0};
            c = (char)strtol(hex, NULL, 16);
            *p += 2;
        }
        if (n + 1 >= size)
            return NONE;
        if (n && out[n - 1] == '~' && (c == '0' || c == '1')) {
            out[n - 1] = c == '0' ? '\x01' : '/'; /* \x01: a tilde that is no escape any more */
            continue;
        }
        out[n++] = c;
    }
    for (uint32_t i = 0; i < n; i++)
        if (out[i] == '\x01')
            out[i] = '~';
    return n;
}

static const struct js_value *step(const struct js_value *v, const char *token, uint32_t len,
                                   struct js_place *place)
{
    const struct js_value *x = v + 1;
    if (v->type == T_OBJ) {
        x = js_get(v, token, len);
        place->has_key = true;
        place->key = x ? x - 1 : NULL;
        return x;
    }
    char *end;
    unsigned long index = len && len < 9 ? strtoul(token, &end, 10) : v->len;
    if (v->type != T_ARR || index >= v->len)
        return NULL;
    place->has_index = true;
    place->index = (uint32_t)index;
    for (uint32_t i = 0; i < index; i++)
        x = js_next(x);
    return x;
}

/* Follows a JSON pointer. Where no keyword put a schema, one is registered, with the way that led there. */
static pb_err follow(struct compiler *c, uint32_t resource, const char *p, const char *end, uint32_t *out)
{
    char token[JS_LIMIT_URI_BYTES];
    const struct js_value *v = c->s->resources.at[resource].root;
    uint32_t from = c->s->resources.at[resource].place;
    while (p < end) {
        struct js_place place = {.parent = from, .keyword = KW_UNKNOWN, .node = NONE};
        p++;
        uint32_t len = pointer_token(&p, end, token, sizeof token - 1);
        if (len == NONE)
            return PB_E_NOT_FOUND;
        token[len] = '\0';
        pb_err err = js_work(c, v->len);
        if (err)
            return err;
        v = step(v, token, len, &place);
        if (!v)
            return PB_E_NOT_FOUND;
        if (v->type & (T_OBJ | T_BOOL) && v->u.at.mark) {
            from = v->u.at.mark - 1;
            continue;
        }
        place.resource = c->s->places.at[from].resource;
        if (p >= end)
            return v->type & (T_OBJ | T_BOOL) ? js_registry_scan(c, v, place, out) : PB_E_NOT_FOUND;
        struct js_place *slot = PUSH(c->s->places);
        if (!slot)
            return PB_E_MEMORY;
        *slot = place;
        from = c->s->places.count - 1;
    }
    *out = from;
    return PB_OK;
}

static pb_err resolve_fragment(struct compiler *c, uint32_t resource, const char *fragment, uint32_t *place)
{
    char name[JS_LIMIT_PATH_CHARS];
    if (!*fragment) {
        *place = c->s->resources.at[resource].place;
        return PB_OK;
    }
    if (*fragment == '/')
        return follow(c, resource, fragment, fragment + strlen(fragment), place);
    const char *p = fragment;
    uint32_t len = pointer_token(&p, p + strlen(p), name, sizeof name);
    pb_err err = js_work(c, c->s->anchors.count);
    if (err)
        return err;
    uint32_t anchor = len == NONE ? NONE : js_registry_anchor(c->s, resource, name, len);
    if (anchor == NONE)
        return PB_E_NOT_FOUND;
    *place = c->s->anchors.at[anchor].target->u.at.mark - 1;
    return PB_OK;
}

pb_err js_registry_resolve(struct compiler *c, uint32_t from, const struct js_value *ref, uint32_t *place)
{
    uint32_t resource = c->s->places.at[from].resource, found = NONE;
    if (ref->len > JS_LIMIT_URI_BYTES || memchr(ref->u.text, 0, ref->len))
        return js_refuse(c, from, PB_E_LIMIT, "the reference is too long, or holds a NUL");
    char *uri = js_uri_resolve(c->s->resources.at[resource].uri, ref->u.text, ref->len);
    if (!uri)
        return PB_E_MEMORY;
    size_t bare = without_fragment(uri);
    const char *fragment = uri[bare] ? uri + bare + 1 : "";
    pb_err err = find_or_load(c, uri, bare, &found);
    if (!err)
        err = resolve_fragment(c, found, fragment, place);
    if (err == PB_E_NOT_FOUND)
        err = js_refuse(c, from, err, "the reference %.200s leads nowhere", uri);
    else if (err && err != PB_E_MEMORY && !c->why->text[0])
        err = js_refuse(c, from, err, "the reference %.200s leads to what may not be used", uri);
    free(uri);
    return err;
}
