/* One lock around a hash table of entries and a list of those that nobody uses, longest unused first. Lookups
 * hold the lock for a few hundred nanoseconds; compiling is outside it. */
#include "common/jsonschema/cache.h"
#include "common/jsonschema/dom.h"

#include <assert.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#define BUCKETS 1024 /* a power of two */

struct js_cached {
    struct js_cached *chain;       /* of the bucket */
    struct js_cached *prev, *next; /* of the idle ones */
    struct js_schema *schema;      /* NULL while it is being made */
    size_t bytes, users;
    uint64_t hash;
    size_t key_len;
    char key[JS_CACHE_KEY_BYTES];
};

struct js_cache {
    pthread_mutex_t lock;
    pthread_cond_t made; /* an entry was filled, or given up */
    uint64_t seed;
    size_t schemas_max, bytes_max;
    struct js_cached idle; /* the list's head and end */
    struct js_cache_counts counts;
    struct js_cached *buckets[BUCKETS];
};

struct js_cache *js_cache_new(size_t schemas_max, size_t bytes_max)
{
    struct js_cache *c = calloc(1, sizeof *c);
    if (!c)
        return NULL;
    pthread_mutex_init(&c->lock, NULL);
    pthread_cond_init(&c->made, NULL);
    js_random(&c->seed, sizeof c->seed);
    c->schemas_max = schemas_max;
    c->bytes_max = bytes_max;
    c->idle.prev = c->idle.next = &c->idle;
    return c;
}

static struct js_cached **bucket(struct js_cache *c, uint64_t hash)
{
    return &c->buckets[hash & (BUCKETS - 1)];
}

static struct js_cached *find(struct js_cache *c, uint64_t hash, const void *key, size_t len)
{
    struct js_cached *e = *bucket(c, hash);
    while (e && (e->hash != hash || e->key_len != len || memcmp(e->key, key, len) != 0))
        e = e->chain;
    return e;
}

static struct js_cached *add(struct js_cache *c, uint64_t hash, const void *key, size_t len)
{
    struct js_cached *e = calloc(1, sizeof *e);
    if (!e)
        return NULL;
    e->hash = hash;
    e->key_len = len;
    memcpy(e->key, key, len);
    e->chain = *bucket(c, hash);
    *bucket(c, hash) = e;
    return e;
}

static void drop(struct js_cache *c, struct js_cached *e)
{
    struct js_cached **at = bucket(c, e->hash);
    while (*at != e)
        at = &(*at)->chain;
    *at = e->chain;
    js_schema_free(e->schema);
    free(e);
}

static void begin_use(struct js_cached *e)
{
    if (e->users++ == 0 && e->prev) {
        e->prev->next = e->next;
        e->next->prev = e->prev;
        e->prev = e->next = NULL;
    }
}

static bool is_too_full(const struct js_cache *c)
{
    return c->counts.schemas > c->schemas_max || c->counts.bytes > c->bytes_max;
}

static void evict(struct js_cache *c)
{
    while (is_too_full(c) && c->idle.next != &c->idle) {
        struct js_cached *oldest = c->idle.next;
        begin_use(oldest); /* takes it off the list */
        c->counts.schemas--;
        c->counts.bytes -= oldest->bytes;
        c->counts.evictions++;
        drop(c, oldest);
    }
}

static void end_use(struct js_cache *c, struct js_cached *e)
{
    assert(e->users);
    if (--e->users)
        return;
    e->prev = c->idle.prev;
    e->next = &c->idle;
    e->prev->next = e->next->prev = e;
    evict(c);
}

static void fill(struct js_cache *c, struct js_cached *e, struct js_schema *schema)
{
    e->schema = schema;
    e->bytes = js_schema_memory(schema) + sizeof *e;
    c->counts.schemas++;
    c->counts.bytes += e->bytes;
    evict(c);
}

/* Under the lock; lets go of it while make works. */
static pb_err make_entry(struct js_cache *c, struct js_cached *e, js_cache_make *make, void *user,
                         struct pb_why *why)
{
    struct js_schema *schema = NULL;
    begin_use(e);
    c->counts.misses++;
    pthread_mutex_unlock(&c->lock);
    pb_err err = make(user, &schema, why);
    pthread_mutex_lock(&c->lock);
    if (err)
        drop(c, e); /* nobody else holds it: those who wait look it up again */
    else
        fill(c, e, schema);
    pthread_cond_broadcast(&c->made);
    return err;
}

pb_err js_cache_get(struct js_cache *c, const void *key, size_t key_len, js_cache_make *make, void *user,
                    struct js_cached **out, struct pb_why *why)
{
    pb_err err = PB_OK;
    if (key_len > JS_CACHE_KEY_BYTES)
        return pb_fail(why, PB_E_LIMIT, "", "the key is longer than %d bytes", JS_CACHE_KEY_BYTES);
    uint64_t hash = js_hash_bytes(key, key_len, c->seed);
    pthread_mutex_lock(&c->lock);
    struct js_cached *e = find(c, hash, key, key_len);
    while (e && !e->schema) {
        pthread_cond_wait(&c->made, &c->lock);
        e = find(c, hash, key, key_len);
    }
    if (e) {
        begin_use(e);
        c->counts.hits++;
    } else {
        e = add(c, hash, key, key_len);
        err = e ? make_entry(c, e, make, user, why) : PB_E_MEMORY;
    }
    if (!err)
        *out = e;
    pthread_mutex_unlock(&c->lock);
    return err;
}

const struct js_schema *js_cached_schema(const struct js_cached *e)
{
    return e->schema;
}

void js_cache_put(struct js_cache *c, struct js_cached *e)
{
    pthread_mutex_lock(&c->lock);
    end_use(c, e);
    pthread_mutex_unlock(&c->lock);
}

struct js_cache_counts js_cache_counts(struct js_cache *c)
{
    pthread_mutex_lock(&c->lock);
    struct js_cache_counts counts = c->counts;
    pthread_mutex_unlock(&c->lock);
    return counts;
}

void js_cache_free(struct js_cache *c)
{
    if (!c)
        return;
    for (size_t i = 0; i < BUCKETS; i++) {
        while (c->buckets[i]) {
            assert(!c->buckets[i]->users);
            drop(c, c->buckets[i]);
        }
    }
    pthread_cond_destroy(&c->made);
    pthread_mutex_destroy(&c->lock);
    free(c);
}
