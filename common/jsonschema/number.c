/* Numbers by their exact decimal value. A token is seen as a run of digits (a point among them is skipped)
 * times a power of ten; nothing is ever expanded, so 1e999999999 costs as little as 1. */
#include "common/jsonschema/dom.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define EXPONENT_MAX 1000000000000000 /* exponents beyond are taken for this one */

typedef unsigned __int128 wide;

struct decimal {
    const char *digits; /* the first that is not 0 */
    uint64_t count;     /* significant digits, points not counted */
    int64_t exponent;   /* of the last significant digit */
    bool negative;
    char own[24]; /* the digits of a T_INT */
};

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

static int64_t read_exponent(const char *p, const char *end)
{
    bool negative = p < end && *p == '-';
    int64_t e = 0;
    if (p < end && (*p == '-' || *p == '+'))
        p++;
    for (; p < end; p++)
        if (e < EXPONENT_MAX)
            e = e * 10 + (*p - '0');
    e = e > EXPONENT_MAX ? EXPONENT_MAX : e;
    return negative ? -e : e;
}

static void decimal_of_token(struct decimal *d, const char *token, size_t len)
{
    const char *end = token + len, *p = token, *last = NULL;
    int64_t after_point = 0, after_last = 0;
    uint64_t since_first = 0;
    bool point = false;
    d->negative = *p == '-';
    p += d->negative;
    d->digits = NULL;
    for (; p < end && (is_digit(*p) || *p == '.'); p++) {
        if (*p == '.') {
            point = true;
            continue;
        }
        after_point += point;
        since_first += d->digits != NULL;
        if (*p == '0')
            continue;
        if (!d->digits) {
            d->digits = p;
            since_first = 1;
        }
        last = p;
        d->count = since_first;
        after_last = after_point;
    }
    if (!last) {
        d->count = 0;
        d->exponent = 0;
        d->negative = false;
        return;
    }
    /* the places behind the last significant digit: trailing zeros before the point, if it stands there */
    int64_t zeros = point ? after_point - after_last : 0;
    d->exponent = -after_point + zeros;
    if (!point || after_last == 0) {
        d->exponent = 0;
        for (const char *q = last + 1; q < end && is_digit(*q); q++)
            d->exponent++;
    }
    if (p < end)
        d->exponent += read_exponent(p + 1, end);
}

static void decimal_of(struct decimal *d, const struct js_value *v)
{
    if (v->type != T_INT) {
        decimal_of_token(d, v->u.text, v->len);
        return;
    }
    int n = snprintf(d->own, sizeof d->own, "%" PRId64, v->u.integer);
    decimal_of_token(d, d->own, (size_t)n);
}

static const char *next_digit(const char *p)
{
    p++;
    return *p == '.' ? p + 1 : p;
}

static int compare_digits(const struct decimal *a, const struct decimal *b)
{
    const char *p = a->digits, *q = b->digits;
    for (uint64_t i = 0; i < a->count && i < b->count; i++) {
        if (*p != *q)
            return *p < *q ? -1 : 1;
        if (i + 1 < a->count)
            p = next_digit(p);
        if (i + 1 < b->count)
            q = next_digit(q);
    }
    return a->count == b->count ? 0 : a->count < b->count ? -1 : 1;
}

static int compare_sizes(const struct decimal *a, const struct decimal *b)
{
    int64_t top_a = a->exponent + (int64_t)a->count, top_b = b->exponent + (int64_t)b->count;
    if (!a->count || !b->count)
        return (a->count > 0) - (b->count > 0);
    if (top_a != top_b)
        return top_a < top_b ? -1 : 1;
    return compare_digits(a, b);
}

int js_compare(const struct js_value *a, const struct js_value *b)
{
    struct decimal x, y;
    if (a->type == T_INT && b->type == T_INT)
        return (a->u.integer > b->u.integer) - (a->u.integer < b->u.integer);
    decimal_of(&x, a);
    decimal_of(&y, b);
    if (x.negative != y.negative)
        return x.negative ? -1 : 1;
    return x.negative ? compare_sizes(&y, &x) : compare_sizes(&x, &y);
}

static uint64_t multiply_mod(uint64_t a, uint64_t b, uint64_t m)
{
    return (uint64_t)((wide)a * b % m);
}

static uint64_t power_of_ten_mod(int64_t exponent, uint64_t m)
{
    uint64_t result = 1 % m, base = 10 % m;
    for (; exponent > 0; exponent >>= 1) {
        if (exponent & 1)
            result = multiply_mod(result, base, m);
        base = multiply_mod(base, base, m);
    }
    return result;
}

/* A divisor of more digits than fit 63 bits: only the equal value and zero are told apart from the rest. */
#define DIVISOR_DIGITS 18

bool js_is_multiple(const struct js_value *value, const struct js_value *divisor)
{
    struct decimal a, b;
    uint64_t d = 0, rest = 0;
    if (value->type == T_INT && divisor->type == T_INT)
        return divisor->u.integer == -1 || value->u.integer % divisor->u.integer == 0;
    decimal_of(&a, value);
    decimal_of(&b, divisor);
    if (!a.count)
        return true;
    /* neither ends in 0, so a finer value is never a multiple of a coarser divisor */
    if (a.exponent < b.exponent)
        return false;
    if (b.count > DIVISOR_DIGITS)
        return compare_sizes(&a, &b) == 0;
    const char *p = b.digits;
    for (uint64_t i = 0; i < b.count; i++, p = i < b.count ? next_digit(p) : p)
        d = d * 10 + (uint64_t)(*p - '0');
    p = a.digits;
    for (uint64_t i = 0; i < a.count; i++, p = i < a.count ? next_digit(p) : p)
        rest = (uint64_t)(((wide)rest * 10u + (wide)(*p - '0')) % d);
    return multiply_mod(rest, power_of_ten_mod(a.exponent - b.exponent, d), d) == 0;
}

static bool fits_integer(const struct decimal *d, int64_t *out)
{
    uint64_t n = 0; /* 19 digits fit */
    const char *p = d->digits;
    if (!d->count) {
        *out = 0;
        return true;
    }
    if (d->exponent < 0 || (int64_t)d->count + d->exponent > 19)
        return false;
    for (uint64_t i = 0; i < d->count; i++, p = i < d->count ? next_digit(p) : p)
        n = n * 10 + (uint64_t)(*p - '0');
    for (int64_t i = 0; i < d->exponent; i++)
        n *= 10;
    if (n > (uint64_t)INT64_MAX + d->negative)
        return false;
    *out = d->negative ? (int64_t)(0 - n) : (int64_t)n;
    return true;
}

void js_number_set(struct js_value *out, const char *token, uint32_t len)
{
    struct decimal d = {0};
    int64_t n;
    memset(out, 0, sizeof *out);
    decimal_of_token(&d, token, len);
    out->len = len;
    if (fits_integer(&d, &n)) {
        out->type = T_INT;
        out->u.integer = n;
        return;
    }
    out->type = d.exponent >= 0 ? T_BIG : T_DEC;
    out->u.text = token;
}

static uint64_t mix(uint64_t h, uint64_t x)
{
    wide m = (wide)(h ^ x ^ 0x9E3779B97F4A7C15u) * 0xD6E8FEB86659FD93u;
    return (uint64_t)m ^ (uint64_t)(m >> 64);
}

static uint64_t hash_number(const struct js_value *v, uint64_t seed)
{
    struct decimal d = {0};
    if (v->type == T_INT)
        return mix(mix(seed, T_INT), (uint64_t)v->u.integer);
    decimal_of(&d, v);
    uint64_t h = mix(mix(seed, T_NUMBER), (uint64_t)d.exponent * 2 + d.negative);
    const char *p = d.digits;
    for (uint64_t i = 0; i < d.count; i++, p = i < d.count ? next_digit(p) : p)
        h = mix(h, (uint64_t)*p);
    return h;
}

uint64_t js_hash_bytes(const char *s, size_t n, uint64_t seed)
{
    uint64_t h = mix(seed, n), x;
    for (; n >= 8; n -= 8, s += 8) {
        memcpy(&x, s, 8);
        h = mix(h, x);
    }
    x = 0;
    if (n)
        memcpy(&x, s, n);
    return mix(h, x);
}

static uint64_t hash_items(const struct js_value *v, uint64_t seed)
{
    uint64_t h = mix(seed, v->type);
    const struct js_value *x = v + 1;
    for (uint32_t i = 0; i < v->len; i++, x = js_next(x))
        h = mix(h, js_hash(x, seed));
    return h;
}

/* A sum, because members have no order. */
static uint64_t hash_members(const struct js_value *v, uint64_t seed)
{
    uint64_t h = mix(seed, v->type);
    const struct js_value *k = v + 1;
    for (uint32_t i = 0; i < v->len; i++, k = js_next(k + 1))
        h += mix(js_hash_bytes(k->u.text, k->len, seed), js_hash(k + 1, seed));
    return h;
}

/* Recursion is bounded by the parser's depth limit. */
uint64_t js_hash(const struct js_value *v, uint64_t seed)
{
    if (v->type & T_NUMBER)
        return hash_number(v, seed);
    if (v->type == T_STR)
        return js_hash_bytes(v->u.text, v->len, seed ^ T_STR);
    if (v->type == T_ARR)
        return hash_items(v, seed);
    if (v->type == T_OBJ)
        return hash_members(v, seed);
    return mix(mix(seed, v->type), v->len);
}
