#include "common/store_mongo_json.h"

#include "common/limits.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>

/* -- to BSON -- */

static bool append_value(bson_t *doc, const char *key, int key_len, const json_t *v, int depth);

static bool is_plain_key(const char *key)
{
    return key[0] && key[0] != '$' && !strchr(key, '.');
}

static bool append_object(bson_t *doc, const json_t *object, int depth)
{
    const char *key;
    json_t *v;
    json_object_foreach((json_t *)(uintptr_t)object, key, v)
    {
        if (!is_plain_key(key) || !append_value(doc, key, (int)strlen(key), v, depth))
            return false;
    }
    return true;
}

static bool append_array(bson_t *doc, const json_t *array, int depth)
{
    for (size_t i = 0; i < json_array_size(array); i++) {
        char digits[16];
        const char *key;
        size_t len = bson_uint32_to_string((uint32_t)i, &key, digits, sizeof digits);
        if (!append_value(doc, key, (int)len, json_array_get(array, i), depth))
            return false;
    }
    return true;
}

/* A document or array within doc. */
static bool append_part(bson_t *doc, const char *key, int key_len, const json_t *v, int depth)
{
    bson_t part;
    bool ok;
    if (depth >= LIMIT_JSON_DEPTH)
        return false;
    if (json_is_object(v)) {
        bson_append_document_begin(doc, key, key_len, &part);
        ok = append_object(&part, v, depth + 1);
        return bson_append_document_end(doc, &part) && ok;
    }
    bson_append_array_begin(doc, key, key_len, &part);
    ok = append_array(&part, v, depth + 1);
    return bson_append_array_end(doc, &part) && ok;
}

/* Small numbers as such: a shell shows 7 and not NumberLong("7"). */
static bool append_integer(bson_t *doc, const char *key, int key_len, json_int_t n)
{
    return n >= INT32_MIN && n <= INT32_MAX ? bson_append_int32(doc, key, key_len, (int32_t)n)
                                            : bson_append_int64(doc, key, key_len, n);
}

static bool append_value(bson_t *doc, const char *key, int key_len, const json_t *v, int depth)
{
    switch (json_typeof(v)) {
    case JSON_OBJECT:
    case JSON_ARRAY:
        return append_part(doc, key, key_len, v, depth);
    case JSON_STRING:
        return bson_append_utf8(doc, key, key_len, json_string_value(v), (int)json_string_length(v));
    case JSON_INTEGER:
        return append_integer(doc, key, key_len, json_integer_value(v));
    case JSON_REAL:
        return bson_append_double(doc, key, key_len, json_real_value(v));
    case JSON_TRUE:
    case JSON_FALSE:
        return bson_append_bool(doc, key, key_len, json_is_true(v));
    case JSON_NULL:
        return bson_append_null(doc, key, key_len);
    }
    return false;
}

/* The text as an object or array, if writing that gives the text again. */
static json_t *parse_same(const char *text)
{
    json_t *v = text[0] == '{' || text[0] == '[' ? json_loads(text, JSON_REJECT_DUPLICATES, NULL) : NULL;
    char *again = v ? json_dumps(v, JSON_COMPACT) : NULL;
    bool same = again && strcmp(again, text) == 0;
    free(again);
    if (same)
        return v;
    json_decref(v);
    return NULL;
}

bool mongo_json_append(bson_t *doc, const char *key, const char *text)
{
    if (!text)
        return true;
    json_t *v = parse_same(text);
    bson_t part = BSON_INITIALIZER;
    bool as_document = v && append_value(&part, key, -1, v, 0);
    bool ok = as_document ? bson_concat(doc, &part) : bson_append_utf8(doc, key, -1, text, -1);
    bson_destroy(&part);
    json_decref(v);
    return ok;
}

/* -- and back -- */

static json_t *json_of(const bson_iter_t *value, int depth);

static json_t *object_of(bson_iter_t *inside, int depth)
{
    json_t *object = json_object();
    while (object && bson_iter_next(inside))
        if (json_object_set_new(object, bson_iter_key(inside), json_of(inside, depth)) != 0) {
            json_decref(object);
            return NULL;
        }
    return object;
}

static json_t *array_of(bson_iter_t *inside, int depth)
{
    json_t *array = json_array();
    while (array && bson_iter_next(inside))
        if (json_array_append_new(array, json_of(inside, depth)) != 0) {
            json_decref(array);
            return NULL;
        }
    return array;
}

static json_t *part_of(const bson_iter_t *value, int depth)
{
    bson_iter_t inside;
    if (depth >= LIMIT_JSON_DEPTH || !bson_iter_recurse(value, &inside))
        return json_null();
    return BSON_ITER_HOLDS_ARRAY(value) ? array_of(&inside, depth + 1) : object_of(&inside, depth + 1);
}

static json_t *string_of(const bson_iter_t *value)
{
    uint32_t len;
    const char *text = bson_iter_utf8(value, &len);
    json_t *string = json_stringn(text, len);
    return string ? string : json_null(); /* not UTF-8 */
}

/* A new reference; NULL without memory. */
static json_t *json_of(const bson_iter_t *value, int depth)
{
    switch (bson_iter_type(value)) {
    case BSON_TYPE_DOCUMENT:
    case BSON_TYPE_ARRAY:
        return part_of(value, depth);
    case BSON_TYPE_UTF8:
        return string_of(value);
    case BSON_TYPE_INT32:
    case BSON_TYPE_INT64:
        return json_integer(bson_iter_as_int64(value));
    case BSON_TYPE_DOUBLE:
        return json_real(bson_iter_double(value));
    case BSON_TYPE_BOOL:
        return json_boolean(bson_iter_bool(value));
    default:
        return json_null();
    }
}

char *mongo_json_text(const bson_iter_t *value)
{
    if (BSON_ITER_HOLDS_UTF8(value))
        return strdup(bson_iter_utf8(value, NULL));
    if (!BSON_ITER_HOLDS_DOCUMENT(value) && !BSON_ITER_HOLDS_ARRAY(value))
        return NULL;
    json_t *v = json_of(value, 0);
    char *text = v ? json_dumps(v, JSON_COMPACT) : NULL;
    json_decref(v);
    return text;
}
