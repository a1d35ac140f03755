#include "worker/declarative/pointer.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#define TOKEN_MAX 512

/* One reference token, unescaped, and where the next begins. */
static const char *read_token(const char *p, char *token)
{
    size_t n = 0;
    for (; *p && *p != '/'; p++) {
        if (n + 1 >= TOKEN_MAX || (*p == '~' && p[1] != '0' && p[1] != '1'))
            return NULL;
        token[n++] = *p != '~' ? *p : *++p == '0' ? '~' : '/';
    }
    token[n] = 0;
    return p;
}

/* Array indexes have no leading zeros and no sign (section 4). */
static const json_t *get_index(const json_t *array, const char *token)
{
    size_t len = strlen(token);
    if (len == 0 || len > 9 || strspn(token, "0123456789") != len || (token[0] == '0' && len > 1))
        return NULL;
    return json_array_get(array, strtoul(token, NULL, 10));
}

const json_t *pointer_get(const json_t *json, const char *pointer)
{
    char token[TOKEN_MAX];
    while (json && *pointer) {
        if (*pointer != '/' || !(pointer = read_token(pointer + 1, token)))
            return NULL;
        json = json_is_array(json) ? get_index(json, token) : json_object_get(json, token);
    }
    return json;
}
