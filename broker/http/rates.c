#include "broker/http/rates.h"

#include <string.h>

#define LOOK_MS 1000
#define LOOKS   (RATES_SECONDS + 1)

static const struct rates_look *newest(const struct rates *r)
{
    return r->count ? &r->looks[(r->next + LOOKS - 1) % LOOKS] : NULL;
}

static const struct rates_look *oldest(const struct rates *r)
{
    return r->count ? &r->looks[(r->next + LOOKS - r->count) % LOOKS] : NULL;
}

void rates_look(struct rates *r, uint64_t now_ms, const uint64_t counters[RATES_KINDS])
{
    const struct rates_look *last = newest(r);
    if (last && now_ms - last->at_ms < LOOK_MS)
        return;
    struct rates_look *look = &r->looks[r->next];
    look->at_ms = now_ms;
    memcpy(look->counters, counters, sizeof look->counters);
    r->next = (r->next + 1) % LOOKS;
    r->count += r->count < LOOKS;
}

double rates_of(const struct rates *r, uint64_t now_ms, unsigned kind, uint64_t counter)
{
    const struct rates_look *since = oldest(r);
    if (!since || now_ms <= since->at_ms)
        return 0;
    uint64_t tenths = (counter - since->counters[kind]) * 10000 / (now_ms - since->at_ms);
    return (double)tenths / 10;
}
