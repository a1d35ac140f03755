/* A step takes as many characters of its set as it may. That is right without trying fewer only where what
 * comes behind a step of no fixed count cannot begin with a character of its set; patterns where it can are
 * not simple. */
#include "common/jsonschema/simple.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#define STEPS_MAX 64
#define COUNT_MAX 100000 /* of a {n,m} */

struct step {
    uint64_t set[4]; /* bytes */
    uint32_t least, most;
};

struct js_simple {
    bool to_end; /* $ */
    uint32_t count;
    struct step steps[];
};

struct reader {
    const char *p, *end;
};

static void include(struct step *s, unsigned char c)
{
    s->set[c / 64] |= 1ull << c % 64;
}

static bool includes(const struct step *s, unsigned char c)
{
    return s->set[c / 64] >> c % 64 & 1;
}

static void include_range(struct step *s, unsigned char low, unsigned char high)
{
    for (unsigned c = low; c <= high; c++)
        include(s, (unsigned char)c);
}

/* \d, \w, or an escaped sign; the backslash is behind. */
static bool read_escape(struct reader *r, struct step *s)
{
    char c = r->p < r->end ? *r->p++ : '\0';
    if (c == 'd' || c == 'w')
        include_range(s, '0', '9');
    if (c == 'w') {
        include_range(s, 'A', 'Z');
        include_range(s, 'a', 'z');
        include(s, '_');
    }
    if (c == 'd' || c == 'w')
        return true;
    include(s, (unsigned char)c);
    return c && strchr("^$\\.*+?()[]{}|/-", c);
}

static bool read_class_part(struct reader *r, struct step *s)
{
    unsigned char low = (unsigned char)*r->p++;
    if (low == '\\')
        return read_escape(r, s) && !(r->end - r->p > 1 && r->p[0] == '-' && r->p[1] != ']');
    if (low == '[' || low == '^' || low < 0x20 || low >= 0x80)
        return false;
    if (r->end - r->p < 2 || r->p[0] != '-' || r->p[1] == ']') {
        include(s, low);
        return true;
    }
    unsigned char high = (unsigned char)r->p[1];
    r->p += 2;
    if (high < low || high == '\\' || high == '[' || high >= 0x80)
        return false;
    include_range(s, low, high);
    return true;
}

static bool read_class(struct reader *r, struct step *s)
{
    const char *start = r->p;
    while (r->p < r->end && *r->p != ']')
        if (!read_class_part(r, s))
            return false;
    return r->p < r->end && r->p++ > start;
}

static bool read_set(struct reader *r, struct step *s)
{
    char c = *r->p++;
    if (c == '\\')
        return read_escape(r, s);
    if (c == '[')
        return read_class(r, s);
    include(s, (unsigned char)c);
    return c && !strchr("^$.*+?()]{}|", c);
}

static bool read_number(struct reader *r, uint32_t *out)
{
    const char *start = r->p;
    uint32_t n = 0;
    for (; r->p < r->end && *r->p >= '0' && *r->p <= '9' && n < COUNT_MAX; r->p++)
        n = n * 10 + (uint32_t)(*r->p - '0');
    *out = n;
    return r->p > start && n < COUNT_MAX;
}

/* {n}, {n,} or {n,m}; the brace is behind. */
static bool read_braces(struct reader *r, struct step *s)
{
    if (!read_number(r, &s->least))
        return false;
    s->most = s->least;
    if (r->p < r->end && *r->p == ',') {
        r->p++;
        s->most = UINT32_MAX;
        if (r->p < r->end && *r->p != '}' && (!read_number(r, &s->most) || s->most < s->least))
            return false;
    }
    return r->p < r->end && *r->p++ == '}';
}

static bool read_count(struct reader *r, struct step *s)
{
    char c = r->p < r->end ? *r->p : '\0';
    s->least = c == '?' || c == '*' ? 0 : 1;
    s->most = c == '*' || c == '+' ? UINT32_MAX : 1;
    if (!c || !strchr("?*+{", c))
        return true;
    r->p++;
    if (c == '{' && !read_braces(r, s))
        return false;
    return r->p == r->end || !strchr("?*+{", *r->p);
}

static bool meet(const struct step *a, const struct step *b)
{
    return (a->set[0] & b->set[0]) | (a->set[1] & b->set[1]) | (a->set[2] & b->set[2]) |
           (a->set[3] & b->set[3]);
}

static bool needs_no_way_back(const struct js_simple *s)
{
    for (uint32_t i = 0; i < s->count; i++)
        for (uint32_t k = i + 1; s->steps[i].least != s->steps[i].most && k < s->count; k++) {
            if (meet(&s->steps[i], &s->steps[k]))
                return false;
            if (s->steps[k].least)
                break;
        }
    return true;
}

static bool read_steps(struct reader *r, struct js_simple *s)
{
    while (r->p < r->end) {
        struct step *step = &s->steps[s->count];
        if (*r->p == '$' && r->p + 1 == r->end) {
            s->to_end = true;
            return true;
        }
        bool ascii = (unsigned char)*r->p < 0x80;
        if (s->count == STEPS_MAX || !read_set(r, step) || !read_count(r, step))
            return false;
        if (!ascii && (step->least != 1 || step->most != 1)) /* a byte of a character is counted by nobody */
            return false;
        s->count++;
    }
    return true;
}

struct js_simple *js_simple_new(const char *source, size_t len)
{
    struct reader r = {source + 1, source + len};
    if (len < 1 || source[0] != '^')
        return NULL;
    struct js_simple *s = calloc(1, sizeof *s + (STEPS_MAX + 1) * sizeof *s->steps);
    if (s && read_steps(&r, s) && needs_no_way_back(s)) {
        struct js_simple *fitted = realloc(s, js_simple_memory(s));
        return fitted ? fitted : s;
    }
    free(s);
    return NULL;
}

void js_simple_free(struct js_simple *s)
{
    free(s);
}

size_t js_simple_memory(const struct js_simple *s)
{
    return sizeof *s + (s->count + 1) * sizeof *s->steps;
}

bool js_simple_match(const struct js_simple *s, const char *text, size_t len)
{
    const char *end = text + len;
    for (uint32_t i = 0; i < s->count; i++) {
        const struct step *step = &s->steps[i];
        uint32_t n = 0;
        while (n < step->most && text < end && includes(step, (unsigned char)*text)) {
            text++;
            n++;
        }
        if (n < step->least)
            return false;
    }
    return !s->to_end || text == end;
}
