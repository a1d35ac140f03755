#include "common/nearest.h"

#include <ctype.h>
#include <stdint.h>
#include <string.h>

#define WORD_MAX 64

static size_t least(size_t a, size_t b)
{
    return a < b ? a : b;
}

static int fold(char c)
{
    return tolower((unsigned char)c);
}

/* Damerau-Levenshtein distance with adjacent swaps (optimal string alignment). Words are at most WORD_MAX
 * long. */
static size_t distance(const char *a, size_t a_len, const char *b, size_t b_len)
{
    size_t rows[3][WORD_MAX + 1];
    for (size_t j = 0; j <= b_len; j++)
        rows[0][j] = j;
    for (size_t i = 1; i <= a_len; i++) {
        size_t *row = rows[i % 3], *above = rows[(i - 1) % 3], *above2 = rows[(i + 1) % 3];
        row[0] = i;
        for (size_t j = 1; j <= b_len; j++) {
            row[j] =
                least(least(row[j - 1], above[j]) + 1, above[j - 1] + (fold(a[i - 1]) != fold(b[j - 1])));
            if (i > 1 && j > 1 && fold(a[i - 1]) == fold(b[j - 2]) && fold(a[i - 2]) == fold(b[j - 1]))
                row[j] = least(row[j], above2[j - 2] + 1);
        }
    }
    return rows[a_len % 3][b_len];
}

const char *nearest(const char *word, const char *const *known, size_t count)
{
    size_t len = strlen(word), best = SIZE_MAX;
    const char *found = NULL;
    for (size_t i = 0; i < count && len <= WORD_MAX; i++) {
        size_t known_len = strlen(known[i]), longer = known_len > len ? known_len : len;
        if (known_len > WORD_MAX)
            continue;
        size_t d = distance(word, len, known[i], known_len);
        if (d * 3 <= longer && d < best) {
            best = d;
            found = known[i];
        }
    }
    return found;
}
