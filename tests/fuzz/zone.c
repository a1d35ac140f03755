/* A time zone's file: whatever is let through gives offsets in bounds, and the first moment of a local time
 * is the first: a second before, the clock showed less. */
#include "tests/fuzz/lib/fuzz.h"

#include "common/zone.h"

#define HOURS_27 (27 * 3600)

static void check(const struct zone *z, int64_t local_s)
{
    int64_t at_s = zone_moment_s(z, local_s);
    int32_t offset_s = zone_offset_s(z, at_s);
    MUST(offset_s > -HOURS_27 && offset_s < HOURS_27);
    MUST(at_s + offset_s >= local_s);
    MUST(at_s - 1 + zone_offset_s(z, at_s - 1) < local_s);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct zone *z;
    struct pb_why why = {0};
    if (zone_parse(data, size, &z, &why) != PB_OK) {
        MUST(why.text[0]);
        return 0;
    }
    for (int year = 1900; year < 2100; year += 9)
        for (int month = 1; month <= 12; month++)
            check(z, zone_days(year, month, 1 + year % 28) * ZONE_DAY_S + month * 7200);
    zone_close(z);
    return 0;
}
