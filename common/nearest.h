/* "Did you mean ...?" */
#ifndef PB_NEAREST_H
#define PB_NEAREST_H

#include <stddef.h>

/* The known word that takes the fewest insertions, deletions, replacements and swaps of neighbours to reach,
 * ignoring ASCII case; NULL when none is near (more than a third of the letters differ). Lent from known. */
const char *nearest(const char *word, const char *const *known, size_t count);

#endif
