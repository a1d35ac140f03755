#include "common/jsonschema/keyword.h"
#include "common/jsonschema/dom.h"

#include <string.h>

#define ROW(id, name, drafts, vocabulary, types, shape)                                                      \
    {name, sizeof name - 1, drafts, (uint8_t)(vocabulary), (uint8_t)(types), shape},

const struct js_keyword_row js_keywords[KW_COUNT] = {JS_KEYWORDS(ROW)};

unsigned js_keyword_find(const char *name, uint32_t len)
{
    unsigned low = 0, high = KW_COUNT;
    while (low < high) {
        unsigned middle = (low + high) / 2;
        const struct js_keyword_row *row = &js_keywords[middle];
        int order = memcmp(name, row->name, len < row->len ? len : row->len);
        if (order == 0 && len == row->len)
            return middle;
        if (order < 0 || (order == 0 && len < row->len))
            high = middle;
        else
            low = middle + 1;
    }
    return KW_UNKNOWN;
}
