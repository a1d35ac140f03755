#include "common/clock.h"

#include <stdio.h>
#include <time.h>

static int64_t now_ms(clockid_t which)
{
    struct timespec t;
    clock_gettime(which, &t);
    return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

uint64_t clock_mono_ms(void)
{
    return (uint64_t)now_ms(CLOCK_MONOTONIC);
}

int64_t clock_wall_ms(void)
{
    return now_ms(CLOCK_REALTIME);
}

void clock_text(int64_t wall_ms, char out[CLOCK_TEXT_BYTES])
{
    const int64_t first_ms = -62135596800000, last_ms = 253402300799999;
    int64_t ms = wall_ms < first_ms ? first_ms : wall_ms > last_ms ? last_ms : wall_ms;
    int64_t fraction = ((ms % 1000) + 1000) % 1000;
    time_t seconds = (time_t)((ms - fraction) / 1000);
    struct tm t;
    gmtime_r(&seconds, &t);
    char day[CLOCK_TEXT_BYTES];
    strftime(day, sizeof day, "%Y-%m-%dT%H:%M:%S", &t);
    snprintf(out, CLOCK_TEXT_BYTES, "%.19s.%03dZ", day, (int)fraction);
}
