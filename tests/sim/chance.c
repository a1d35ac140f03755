#include "tests/sim/world.h"

#include <stdarg.h>
#include <stdio.h>

uint64_t chance(struct world *w, uint64_t n)
{
    uint64_t z = (w->random += UINT64_C(0x9e3779b97f4a7c15));
    z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
    return (z ^ (z >> 31)) % n;
}

bool one_in(struct world *w, uint64_t n)
{
    return chance(w, n) == 0;
}

static struct pb_id numbered(uint8_t kind, unsigned n)
{
    struct pb_id id = {{0}};
    id.bytes[0] = n ? kind : 0;
    id.bytes[14] = (uint8_t)(n >> 8);
    id.bytes[15] = (uint8_t)n;
    return id;
}

struct pb_id job_id(unsigned job)
{
    return numbered(1, job);
}

struct pb_id doc_id(unsigned integration)
{
    return numbered(2, integration);
}

unsigned number_of(const struct pb_id *id)
{
    return (unsigned)id->bytes[14] << 8 | id->bytes[15];
}

void broken(struct world *w, const char *format, ...)
{
    va_list args;
    if (w->failure[0])
        return;
    va_start(args, format);
    int at = w->guarantee ? snprintf(w->failure, sizeof w->failure, "%s: ", w->guarantee) : 0;
    vsnprintf(w->failure + at, sizeof w->failure - (size_t)at, format, args);
    va_end(args);
}

void tell(const struct world *w, const char *format, ...)
{
    va_list args;
    if (!w->verbose)
        return;
    printf("%8llu ms  ", (unsigned long long)w->now_ms);
    va_start(args, format);
    vprintf(format, args);
    va_end(args);
    putchar('\n');
}
