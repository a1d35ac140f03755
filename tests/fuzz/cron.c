/* A cron expression: what is let through has a next time, after the one before it, on a minute. */
#include "tests/fuzz/lib/fuzz.h"

#include "common/cron.h"

#include <stdlib.h>
#include <string.h>

static const struct zone *berlin(void)
{
    static struct zone *zone;
    struct pb_why why;
    if (!zone)
        MUST(zone_open(NULL, "Europe/Berlin", &zone, &why) == PB_OK);
    return zone;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct cron c;
    struct pb_why why = {0};
    char *text = malloc(size + 1);
    int64_t at_s = 1700000000;
    MUST(text);
    memcpy(text, data, size);
    text[size] = '\0';
    pb_err err = cron_parse(text, &c, &why);
    MUST(!err || why.text[0]);
    for (int i = 0; i < 3 && !err; i++) {
        int64_t next_s = cron_next_s(&c, berlin(), at_s);
        MUST(next_s > at_s && next_s % 60 == 0 && next_s - at_s < INT64_C(41) * 366 * ZONE_DAY_S);
        at_s = next_s;
    }
    free(text);
    return 0;
}
