/* Compiled schemas, shared by threads. Owns them; at most so many, and so many bytes, that nobody is using
 * right now stay, and the one unused for longest goes first.
 *
 * A key is the caller's name for exactly one text with all that it refers to: a hash of the contents, never a
 * path that may change. Any thread may call anything. Whoever asks for a schema that is not there compiles
 * it, outside the lock; others who want the same one wait for that, and nobody else waits.
 */
#ifndef JS_CACHE_H
#define JS_CACHE_H

#include "common/jsonschema/jsonschema.h"

#define JS_CACHE_KEY_BYTES 256

struct js_cache;
struct js_cached; /* one that is lent */

/* Compiles the schema behind a key; called by the thread that asked, without a lock held. */
typedef pb_err js_cache_make(void *user, struct js_schema **out, struct pb_why *why);

/* NULL: no memory. */
struct js_cache *js_cache_new(size_t schemas_max, size_t bytes_max);
/* Every schema has been put back. NULL is accepted. */
void js_cache_free(struct js_cache *c);

/* *out is lent until js_cache_put(), which each success needs once. What make refuses is not kept: the next
 * who asks makes it again. PB_E_LIMIT: the key is too long. Otherwise make's errors, and PB_E_MEMORY. Blocks
 * while another thread makes the same schema. */
pb_err js_cache_get(struct js_cache *c, const void *key, size_t key_len, js_cache_make *make, void *user,
                    struct js_cached **out, struct pb_why *why) PB_CHECKED;
const struct js_schema *js_cached_schema(const struct js_cached *cached);
void js_cache_put(struct js_cache *c, struct js_cached *cached);

struct js_cache_counts {
    size_t schemas, bytes; /* there now, in use or not */
    uint64_t hits, misses, evictions;
};
struct js_cache_counts js_cache_counts(struct js_cache *c);

#endif
