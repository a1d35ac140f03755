#include "tally.h"

#include <pthread.h>
#include <stdlib.h>

enum { PLAIN_MAX = 16000, COUNTED_MAX = 4000 }; /* keys kept */

struct tally {
    pthread_mutex_t lock;
    uint64_t total, concurrent, max_concurrent;
    json_t *plain, *counted; /* key: number of requests */
};

struct tally *tally_open(void)
{
    struct tally *t = calloc(1, sizeof *t);
    if (!t)
        return NULL;
    pthread_mutex_init(&t->lock, NULL);
    t->plain = json_object();
    t->counted = json_object();
    if (!t->plain || !t->counted) {
        tally_close(t);
        return NULL;
    }
    return t;
}

void tally_close(struct tally *t)
{
    if (!t)
        return;
    json_decref(t->plain);
    json_decref(t->counted);
    pthread_mutex_destroy(&t->lock);
    free(t);
}

static uint64_t count_key(json_t *keys, size_t max, const char *key)
{
    json_t *known = json_object_get(keys, key);
    if (known) {
        json_int_t n = json_integer_value(known) + 1;
        json_integer_set(known, n);
        return (uint64_t)n;
    }
    if (!key[0] || json_object_size(keys) >= max)
        return 0;
    return json_object_set_new(keys, key, json_integer(1)) == 0; /* fails for a key that is not UTF-8 */
}

uint64_t tally_enter(struct tally *t, const char *key, bool counted_answer)
{
    pthread_mutex_lock(&t->lock);
    t->total++;
    if (++t->concurrent > t->max_concurrent)
        t->max_concurrent = t->concurrent;
    uint64_t nth =
        counted_answer ? count_key(t->counted, COUNTED_MAX, key) : count_key(t->plain, PLAIN_MAX, key);
    pthread_mutex_unlock(&t->lock);
    return nth;
}

void tally_leave(struct tally *t)
{
    pthread_mutex_lock(&t->lock);
    t->concurrent--;
    pthread_mutex_unlock(&t->lock);
}

/* Copies to the last number: the originals go on changing once the lock is free. */
static json_t *copy_keys(struct tally *t)
{
    json_t *keys = json_deep_copy(t->plain), *more = json_deep_copy(t->counted);
    if (keys && more)
        (void)json_object_update(keys, more);
    json_decref(more);
    return keys;
}

json_t *tally_report(struct tally *t)
{
    pthread_mutex_lock(&t->lock);
    json_t *keys = copy_keys(t);
    json_int_t total = (json_int_t)t->total, most = (json_int_t)t->max_concurrent;
    pthread_mutex_unlock(&t->lock);
    return json_pack("{s:I, s:o, s:I}", "total", total, "byKey", keys, "maxConcurrent", most);
}

void tally_reset(struct tally *t)
{
    pthread_mutex_lock(&t->lock);
    t->total = 0;
    t->max_concurrent = t->concurrent;
    json_object_clear(t->plain);
    json_object_clear(t->counted);
    pthread_mutex_unlock(&t->lock);
}
