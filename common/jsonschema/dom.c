#include "common/jsonschema/dom.h"

#include <string.h>
#include <sys/random.h>

const struct js_value *js_get(const struct js_value *object, const char *key, size_t len)
{
    if (object->type != T_OBJ)
        return NULL;
    const struct js_value *k = object + 1;
    for (uint32_t i = 0; i < object->len; i++, k = js_next(k + 1))
        if (k->len == len && js_same(k->u.text, key, k->len))
            return k + 1;
    return NULL;
}

bool js_is(const struct js_value *v, const char *text)
{
    size_t n = strlen(text);
    return v && v->type == T_STR && v->len == n && memcmp(v->u.text, text, n) == 0;
}

static bool equal_items(const struct js_value *a, const struct js_value *b, int64_t *fuel)
{
    const struct js_value *x = a + 1, *y = b + 1;
    for (uint32_t i = 0; i < a->len; i++, x = js_next(x), y = js_next(y))
        if (!js_equal(x, y, fuel))
            return false;
    return true;
}

/* Most producers keep their order: the member after the last one found is tried before the search. */
static bool equal_members(const struct js_value *a, const struct js_value *b, int64_t *fuel)
{
    const struct js_value *k = a + 1, *guess = b + 1, *end = js_next(b), *found;
    for (uint32_t i = 0; i < a->len; i++, k = js_next(k + 1)) {
        if (guess < end && guess->len == k->len && js_same(guess->u.text, k->u.text, k->len)) {
            found = guess + 1;
        } else {
            *fuel -= b->len;
            found = *fuel < 0 ? NULL : js_get(b, k->u.text, k->len);
        }
        if (!found || !js_equal(k + 1, found, fuel))
            return false;
        guess = js_next(found);
    }
    return true;
}

bool js_equal(const struct js_value *a, const struct js_value *b, int64_t *fuel)
{
    if (--*fuel < 0 || a->type != b->type)
        return false;
    if (a->type == T_INT)
        return a->u.integer == b->u.integer;
    if (a->type & T_NUMBER)
        return js_compare(a, b) == 0;
    if (a->len != b->len)
        return false;
    if (a->type == T_STR)
        return js_same(a->u.text, b->u.text, a->len);
    if (a->type == T_ARR)
        return equal_items(a, b, fuel);
    return a->type == T_OBJ ? equal_members(a, b, fuel) : true;
}

void js_random(void *out, size_t len)
{
    uint64_t address = (uint64_t)(uintptr_t)out;
    if (getrandom(out, len, GRND_NONBLOCK) == (ssize_t)len)
        return;
    for (size_t i = 0; i < len; i++)
        ((uint8_t *)out)[i] = (uint8_t)(js_hash_bytes((const char *)&address, sizeof address, i) >> 8);
}
