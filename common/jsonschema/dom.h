/* A parsed JSON document: one flat, read-only run of 16-byte values, in document order.
 *
 * A container is followed by its contents (members as key, value, key, value) and knows how many values it
 * spans, so the next sibling is one addition away. Strings without escapes point into the source text, which
 * therefore has to outlive the document. A number whose value is a 64-bit integer is T_INT however it was
 * written (1, 1.0, 10e-1); all others keep their token and are compared by decimal value, never as doubles.
 */
#ifndef JS_DOM_H
#define JS_DOM_H

#include "common/err.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* One bit each: a schema's "type" is a mask of them. */
enum js_type {
    T_NULL = 1,
    T_BOOL = 2,
    T_INT = 4, /* an integer of 64 bits, signed */
    T_BIG = 8, /* an integer beyond that */
    T_DEC = 16,
    T_STR = 32,
    T_ARR = 64,
    T_OBJ = 128,
};
#define T_INTEGER ((uint8_t)(T_INT | T_BIG))
#define T_NUMBER  ((uint8_t)(T_INT | T_BIG | T_DEC))
#define T_ANY     ((uint8_t)255)

struct js_value {
    uint8_t type;
    uint8_t spare[3];
    uint32_t len; /* bytes of a string or number token; members or items; 1 for true */
    union {
        const char *text;
        int64_t integer;
        struct {
            uint32_t span; /* values up to the next sibling, this one included */
            uint32_t mark; /* the schema compiler's: number of the subschema, plus 1 */
        } at;
    } u;
};

struct js_document {
    struct js_value *values; /* values[0] is the root */
    size_t value_cap, value_count;
    char *text; /* strings that had escapes */
    size_t text_cap, text_len;
};

static inline const struct js_value *js_next(const struct js_value *v)
{
    return v + ((v->type & (T_ARR | T_OBJ)) ? v->u.at.span : 1);
}

/* Equal bytes, for short runs: a call to memcmp costs more than the comparison. */
static inline bool js_same(const char *a, const char *b, uint32_t n)
{
    uint64_t x, y;
    uint32_t p, q;
    if (n >= 8) {
        for (uint32_t i = 0; i + 8 <= n; i += 8) {
            __builtin_memcpy(&x, a + i, 8);
            __builtin_memcpy(&y, b + i, 8);
            if (x != y)
                return false;
        }
        __builtin_memcpy(&x, a + n - 8, 8);
        __builtin_memcpy(&y, b + n - 8, 8);
        return x == y;
    }
    if (n >= 4) {
        __builtin_memcpy(&p, a, 4);
        __builtin_memcpy(&q, b, 4);
        if (p != q)
            return false;
        __builtin_memcpy(&p, a + n - 4, 4);
        __builtin_memcpy(&q, b + n - 4, 4);
        return p == q;
    }
    for (uint32_t i = 0; i < n; i++)
        if (a[i] != b[i])
            return false;
    return true;
}

/* The member's value, or NULL. A linear search. */
const struct js_value *js_get(const struct js_value *object, const char *key, size_t len);
bool js_is(const struct js_value *v, const char *text); /* a string of exactly this text */

/* Equal as JSON Schema understands it: 1 and 1.0 are, true and 1 are not, members have no order. Every
 * comparison takes from *fuel; at zero the answer is false and means nothing. */
bool js_equal(const struct js_value *a, const struct js_value *b, int64_t *fuel);
/* Equal values have equal hashes under the same seed. */
uint64_t js_hash(const struct js_value *v, uint64_t seed);
uint64_t js_hash_bytes(const char *s, size_t n, uint64_t seed);
/* A seed that nobody outside can know. Without a source of randomness (a kernel that is only starting),
 * addresses. */
void js_random(void *out, size_t len);

/* Below 0, 0 or above 0, by value. Both are numbers. */
int js_compare(const struct js_value *a, const struct js_value *b);
/* Whether value / divisor is an integer, exactly. The divisor is above 0. */
bool js_is_multiple(const struct js_value *value, const struct js_value *divisor);
/* Makes *out of a number token that follows the grammar. */
void js_number_set(struct js_value *out, const char *token, uint32_t len);

/* Finds where tokens begin and checks the UTF-8; owns the scratch memory for it. One thread at a time. */
struct js_index;
struct js_index *js_index_new(void);
void js_index_free(struct js_index *ix);
/* *at lent until the next call; behind the positions stand two that are len. PB_E_INVALID: no UTF-8, an open
 * string, control characters, or nothing. */
pb_err js_index_scan(struct js_index *ix, const char *text, size_t len, const uint32_t **at,
                     uint32_t *count) PB_CHECKED;

/* Parses into doc, whose memory is used again. text must outlive doc. */
pb_err js_parse(struct js_index *ix, const char *text, size_t len, struct js_document *doc,
                struct pb_why *why) PB_CHECKED;
void js_document_fini(struct js_document *doc);

#endif
