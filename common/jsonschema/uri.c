#include "common/jsonschema/uri.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct part {
    const char *at;
    size_t len;
    int set;
};

struct uri {
    struct part scheme, authority, path, query, fragment;
};

/* The generic split of RFC 3986, appendix B. */
static void split(struct uri *u, const char *s, size_t n)
{
    const char *end = s + n, *p = s;
    memset(u, 0, sizeof *u);
    size_t k = 0;
    while (k < n && !memchr(":/?#", s[k], 4))
        k++;
    if (k && k < n && s[k] == ':') {
        u->scheme = (struct part){s, k, 1};
        p = s + k + 1;
    }
    const char *hash = memchr(p, '#', (size_t)(end - p));
    if (hash) {
        u->fragment = (struct part){hash + 1, (size_t)(end - hash - 1), 1};
        end = hash;
    }
    const char *ask = memchr(p, '?', (size_t)(end - p));
    if (ask) {
        u->query = (struct part){ask + 1, (size_t)(end - ask - 1), 1};
        end = ask;
    }
    if (end - p >= 2 && p[0] == '/' && p[1] == '/') {
        const char *slash = memchr(p + 2, '/', (size_t)(end - p - 2));
        const char *stop = slash ? slash : end;
        u->authority = (struct part){p + 2, (size_t)(stop - p - 2), 1};
        p = stop;
    }
    u->path = (struct part){p, (size_t)(end - p), 1};
}

/* Section 5.2.4, in place, over path[0..n). Returns the new length. */
static size_t remove_dots(char *path, size_t n)
{
    size_t in = 0, out = 0;
    while (in < n) {
        size_t end = in + 1;
        while (end < n && path[end] != '/')
            end++;
        size_t skip = path[in] == '/';
        size_t name = end - in - skip;
        int one = name == 1 && path[in + skip] == '.', two = name == 2 && !memcmp(path + in + skip, "..", 2);
        if (two && skip)
            while (out && path[--out] != '/')
                ;
        if (one || two) {
            if (skip && end == n)
                path[out++] = '/';
        } else {
            memmove(path + out, path + in, end - in);
            out += end - in;
        }
        in = end;
    }
    return out;
}

static char *put(char *to, const char *before, struct part p)
{
    size_t n = strlen(before);
    if (!p.set)
        return to;
    memcpy(to, before, n);
    if (p.len)
        memcpy(to + n, p.at, p.len);
    return to + n + p.len;
}

static struct part merged_path(const struct uri *base, const struct uri *ref, char *room)
{
    size_t keep = 0;
    if (ref->path.len && ref->path.at[0] == '/') {
        memcpy(room, ref->path.at, ref->path.len);
        return (struct part){room, remove_dots(room, ref->path.len), 1};
    }
    if (base->authority.set && !base->path.len) {
        room[keep++] = '/';
    } else {
        for (size_t i = 0; i < base->path.len; i++)
            if (base->path.at[i] == '/')
                keep = i + 1;
        memcpy(room, base->path.at, keep);
    }
    memcpy(room + keep, ref->path.at, ref->path.len);
    return (struct part){room, remove_dots(room, keep + ref->path.len), 1};
}

char *js_uri_resolve(const char *base, const char *reference, size_t len)
{
    struct uri b, r, t;
    size_t room_size = strlen(base) + len + 16;
    char *room = malloc(room_size), *out = malloc(room_size), *end = out;
    if (!room || !out)
        goto fail;
    split(&b, base, strlen(base));
    split(&r, reference, len);
    t = r;
    if (!r.scheme.set) {
        t.scheme = b.scheme;
        if (!r.authority.set) {
            t.authority = b.authority;
            t.path = r.path.len ? merged_path(&b, &r, room) : b.path;
            if (!r.path.len && !r.query.set)
                t.query = b.query;
        }
    }
    if (t.scheme.set) {
        end = put(end, "", t.scheme);
        *end++ = ':';
    }
    end = put(end, "//", t.authority);
    end = put(end, "", t.path);
    end = put(end, "?", t.query);
    end = put(end, "#", t.fragment);
    *end = '\0';
    free(room);
    return out;
fail:
    free(room);
    free(out);
    return NULL;
}
