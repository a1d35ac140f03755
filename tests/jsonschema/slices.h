/* Pieces of a JSON text, found without parsing numbers: the text is known to be good. */
#ifndef TESTS_JSONSCHEMA_SLICES_H
#define TESTS_JSONSCHEMA_SLICES_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct slice {
    const char *at, *end;
};

static inline char *read_file(const char *path, size_t *size)
{
    FILE *f = fopen(path, "rb");
    char *text = NULL;
    *size = 0;
    if (!f)
        return NULL;
    fseek(f, 0, SEEK_END);
    long len = ftell(f);
    rewind(f);
    text = malloc((size_t)len + 1);
    if (text) {
        *size = fread(text, 1, (size_t)len, f);
        text[*size] = '\0';
    }
    fclose(f);
    return text;
}

static inline const char *skip_space(const char *p, const char *end)
{
    while (p < end && strchr(" \t\r\n,:", *p))
        p++;
    return p;
}

/* Behind the value that begins at p. */
static inline const char *value_end(const char *p, const char *end)
{
    int depth = 0;
    for (; p < end; p++) {
        if (*p == '"') {
            for (p++; *p != '"'; p++)
                p += *p == '\\';
            if (!depth)
                return p + 1;
        } else if (*p == '{' || *p == '[') {
            depth++;
        } else if (*p == '}' || *p == ']') {
            if (depth <= 1)
                return depth ? p + 1 : p;
            depth--;
        } else if (!depth && strchr(" \t\r\n,", *p)) {
            return p;
        }
    }
    return end;
}

/* The inside of an array or object. */
static inline struct slice items(struct slice v)
{
    const char *p = skip_space(v.at, v.end);
    return (struct slice){p + 1, value_end(p, v.end) - 1};
}

static inline int next(struct slice *rest, struct slice *out)
{
    const char *p = skip_space(rest->at, rest->end);
    if (p >= rest->end)
        return 0;
    *out = (struct slice){p, value_end(p, rest->end)};
    rest->at = out->end;
    return 1;
}

static inline struct slice member(struct slice object, const char *key)
{
    struct slice inside = items(object), name, value;
    while (next(&inside, &name) && next(&inside, &value))
        if ((size_t)(name.end - name.at) == strlen(key) + 2 && memcmp(name.at + 1, key, strlen(key)) == 0)
            return value;
    return (struct slice){"", ""};
}

static inline char *text_of(struct slice v)
{
    return v.end - v.at < 2 ? strdup("") : strndup(v.at + 1, (size_t)(v.end - v.at) - 2);
}

#endif
