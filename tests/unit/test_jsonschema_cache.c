/* Schemas that threads share: made once, kept while they are used, bounded. */
#include "common/jsonschema/cache.h"

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
/* cmocka wants setjmp and stdarg before it */
#include <cmocka.h>

#define THREADS 8
#define TURNS   400
#define KEYS    5

struct maker {
    const char *text;
    atomic_uint made;
};

static pb_err make(void *user, struct js_schema **out, struct pb_why *why)
{
    struct maker *m = user;
    atomic_fetch_add(&m->made, 1);
    return js_schema_compile(m->text, strlen(m->text), NULL, out, why);
}

static struct js_cached *get(struct js_cache *c, const char *key, struct maker *m)
{
    struct js_cached *cached = NULL;
    struct pb_why why = {0};
    if (js_cache_get(c, key, strlen(key), make, m, &cached, &why) != PB_OK)
        fail_msg("%s: %s", key, why.text);
    return cached;
}

static void jsonschema_cache_makes_a_schema_once(void **state)
{
    struct js_cache *c = js_cache_new(10, 1 << 20);
    struct maker m = {.text = "{\"type\":\"integer\"}"};
    struct js_cached *a = get(c, "one", &m), *b = get(c, "one", &m);
    (void)state;
    assert_ptr_equal(js_cached_schema(a), js_cached_schema(b));
    assert_int_equal(m.made, 1);
    js_cache_put(c, a);
    js_cache_put(c, b);
    a = get(c, "one", &m);
    assert_int_equal(m.made, 1);
    assert_int_equal(js_cache_counts(c).hits, 2);
    js_cache_put(c, a);
    js_cache_free(c);
}

static void jsonschema_cache_does_not_keep_what_was_refused(void **state)
{
    struct js_cache *c = js_cache_new(10, 1 << 20);
    struct maker bad = {.text = "{\"type\":\"number or so\"}"};
    struct js_cached *cached = NULL;
    struct pb_why why = {0};
    char key[JS_CACHE_KEY_BYTES + 1] = "";
    (void)state;
    for (unsigned i = 1; i <= 2; i++) {
        assert_int_equal(js_cache_get(c, "bad", 3, make, &bad, &cached, &why), PB_E_INVALID);
        assert_non_null(strstr(why.text, "type"));
        assert_int_equal(bad.made, i);
    }
    assert_int_equal(js_cache_get(c, key, sizeof key, make, &bad, &cached, &why), PB_E_LIMIT);
    assert_int_equal(js_cache_counts(c).schemas, 0);
    assert_null(cached);
    js_cache_free(c);
}

static void jsonschema_cache_drops_the_longest_unused_first(void **state)
{
    struct js_cache *c = js_cache_new(2, 1 << 20);
    struct maker m = {.text = "true"};
    (void)state;
    struct js_cached *held = get(c, "held", &m);
    js_cache_put(c, get(c, "old", &m));
    js_cache_put(c, get(c, "new", &m)); /* old goes */
    assert_int_equal(js_cache_counts(c).schemas, 2);
    assert_int_equal(js_cache_counts(c).evictions, 1);
    js_cache_put(c, get(c, "new", &m));
    assert_int_equal(m.made, 3);
    js_cache_put(c, get(c, "old", &m));
    assert_int_equal(m.made, 4);
    js_cache_put(c, held);
    js_cache_free(c);
}

static void jsonschema_cache_keeps_what_is_used_past_its_bounds(void **state)
{
    struct js_cache *c = js_cache_new(10, 1); /* not a byte to spare */
    struct maker m = {.text = "{\"minimum\":3}"};
    struct js_cached *a = get(c, "a", &m), *b = get(c, "b", &m);
    (void)state;
    assert_int_equal(js_cache_counts(c).schemas, 2);
    assert_true(js_cache_counts(c).bytes > 1);
    js_cache_put(c, a);
    assert_int_equal(js_cache_counts(c).schemas, 1);
    js_cache_put(c, b);
    assert_int_equal(js_cache_counts(c).schemas, 0);
    assert_int_equal(js_cache_counts(c).bytes, 0);
    js_cache_free(c);
}

struct user {
    struct js_cache *cache;
    struct maker *makers; /* of every key */
    unsigned wrong;
};

static unsigned use(struct user *u, struct js_runner *r, int turn)
{
    char key[8];
    struct js_cached *cached = NULL;
    enum js_verdict small = JS_UNDECIDED, large = JS_UNDECIDED;
    int i = turn % KEYS;
    snprintf(key, sizeof key, "%d", i);
    if (js_cache_get(u->cache, key, strlen(key), make, &u->makers[i], &cached, NULL) != PB_OK)
        return 1;
    if (js_check(r, js_cached_schema(cached), "{\"a\":\"b\"}", 9, &small, NULL) != PB_OK ||
        js_check(r, js_cached_schema(cached), "{\"a\":7}", 7, &large, NULL) != PB_OK)
        small = JS_UNDECIDED;
    js_cache_put(u->cache, cached);
    return small != JS_INVALID || large != JS_VALID;
}

static void *use_all(void *argument)
{
    struct user *u = argument;
    struct js_runner *r = js_runner_new();
    for (int turn = 0; turn < TURNS; turn++)
        u->wrong += use(u, r, turn);
    js_runner_free(r);
    return NULL;
}

/* Fewer places than keys, so that schemas come and go while they are asked for. */
static void jsonschema_cache_is_shared_by_threads(void **state)
{
    struct js_cache *c = js_cache_new(KEYS - 2, 1 << 20);
    struct maker makers[KEYS];
    struct user users[THREADS];
    pthread_t threads[THREADS];
    (void)state;
    for (int i = 0; i < KEYS; i++) {
        makers[i].text = "{\"properties\":{\"a\":{\"type\":\"integer\",\"minimum\":5}},\"required\":[\"a\"]}";
        atomic_init(&makers[i].made, 0);
    }
    for (int i = 0; i < THREADS; i++) {
        users[i] = (struct user){c, makers, 0};
        assert_int_equal(pthread_create(&threads[i], NULL, use_all, &users[i]), 0);
    }
    for (int i = 0; i < THREADS; i++) {
        pthread_join(threads[i], NULL);
        assert_int_equal(users[i].wrong, 0);
    }
    struct js_cache_counts counts = js_cache_counts(c);
    assert_int_equal(counts.hits + counts.misses, THREADS * TURNS);
    assert_true(counts.schemas <= KEYS - 2);
    js_cache_free(c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(jsonschema_cache_makes_a_schema_once),
        cmocka_unit_test(jsonschema_cache_does_not_keep_what_was_refused),
        cmocka_unit_test(jsonschema_cache_drops_the_longest_unused_first),
        cmocka_unit_test(jsonschema_cache_keeps_what_is_used_past_its_bounds),
        cmocka_unit_test(jsonschema_cache_is_shared_by_threads),
    };
    return cmocka_run_group_tests_name("jsonschema_cache", tests, NULL, NULL);
}
