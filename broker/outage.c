#include "broker/outage.h"

#include "common/limits.h"

#include <stdlib.h>
#include <string.h>
#include <uthash.h>

#define MINUTES   5
#define MINUTE_MS 60000
#define LEAST     5
#define CODES     (RESULT_LIMITED_CAPABILITY + 1)

struct minute {
    uint64_t number; /* since the clock began: what is older than five is stale */
    uint32_t all, by[CODES];
};

struct watched {
    char type[LIMIT_TYPE_CHARS + 1];
    struct minute minutes[MINUTES];
    bool on; /* when it was noted last */
    UT_hash_handle hh;
};

struct outages {
    struct watched *by_type;
};

static struct watched *find(const struct outages *all, const char *type)
{
    struct watched *w;
    HASH_FIND_STR(all->by_type, type, w);
    return w;
}

static struct watched *find_or_add(struct outages *all, const char *type)
{
    struct watched *w = find(all, type);
    if (w || strlen(type) > LIMIT_TYPE_CHARS || HASH_COUNT(all->by_type) >= LIMIT_PACKAGES)
        return w;
    w = calloc(1, sizeof *w);
    if (!w)
        return NULL;
    memcpy(w->type, type, strlen(type) + 1);
    HASH_ADD_STR(all->by_type, type, w);
    return w;
}

static bool is_failure(int code)
{
    enum result_class cls = result_class((enum result_code)code);
    return cls != CLASS_OK && cls != CLASS_NONE;
}

/* The failure that is the most frequent, of those minutes that count. */
static struct outage worst(const struct watched *w, uint64_t now_ms)
{
    struct outage o = {.type = w->type};
    uint64_t now = now_ms / MINUTE_MS;
    uint32_t by[CODES] = {0};
    for (int i = 0; i < MINUTES; i++) {
        const struct minute *m = &w->minutes[i];
        if (m->number + MINUTES <= now)
            continue;
        o.of += m->all;
        for (int c = RESULT_OK; c < CODES; c++)
            by[c] += m->by[c];
    }
    for (int c = RESULT_OK; c < CODES; c++)
        if (by[c] > o.alike && is_failure(c)) {
            o.alike = by[c];
            o.code = (enum result_code)c;
        }
    return o;
}

static bool is_outage(const struct outage *o)
{
    return o->alike >= LEAST && (uint64_t)o->alike * 10 > (uint64_t)o->of * 3;
}

bool outages_note(struct outages *all, const char *type, enum result_code code, uint64_t now_ms)
{
    struct watched *w = find_or_add(all, type);
    if (!w)
        return false;
    uint64_t number = now_ms / MINUTE_MS;
    struct minute *m = &w->minutes[number % MINUTES];
    if (m->number != number)
        *m = (struct minute){.number = number};
    m->all++;
    m->by[code]++;
    struct outage o = worst(w, now_ms);
    bool was = w->on;
    w->on = is_outage(&o);
    return w->on != was;
}

bool outages_is_on(const struct outages *all, const char *type, uint64_t now_ms)
{
    const struct watched *w = find(all, type);
    if (!w)
        return false;
    struct outage o = worst(w, now_ms);
    return is_outage(&o);
}

void outages_each(struct outages *all, uint64_t now_ms, void (*each)(void *arg, const struct outage *o),
                  void *arg)
{
    for (struct watched *w = all->by_type; w; w = w->hh.next) {
        struct outage o = worst(w, now_ms);
        if (is_outage(&o))
            each(arg, &o);
    }
}

pb_err outages_open(struct outages **out)
{
    *out = calloc(1, sizeof **out);
    return *out ? PB_OK : PB_E_MEMORY;
}

void outages_close(struct outages *all)
{
    struct watched *w, *next;
    if (!all)
        return;
    HASH_ITER(hh, all->by_type, w, next)
    {
        HASH_DEL(all->by_type, w);
        free(w);
    }
    free(all);
}
