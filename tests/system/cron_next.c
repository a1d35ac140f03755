/* patchbay-cron: the next times of cron expressions, for tests/system/test_cron.py. Reads lines of ZONE,
 * AFTER (seconds since 1970 UTC), COUNT and EXPRESSION, and answers each with COUNT times, or with what is
 * wrong. */
#include "common/cron.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

static void answer(const char *name, int64_t at_s, int count, const char *text)
{
    struct pb_why why = {0};
    struct cron cron;
    struct zone *zone = NULL;
    pb_err err = zone_open(NULL, name, &zone, &why);
    if (!err)
        err = cron_parse(text, &cron, &why);
    if (err)
        printf("%s", why.text);
    for (int i = 0; i < count && !err; i++) {
        at_s = cron_next_s(&cron, zone, at_s);
        printf("%s%" PRId64, i ? " " : "", at_s);
    }
    printf("\n");
    zone_close(zone);
}

int main(void)
{
    char line[1024], zone[128];
    while (fgets(line, sizeof line, stdin)) {
        int64_t after_s;
        int count, used = 0;
        line[strcspn(line, "\n")] = '\0';
        if (sscanf(line, "%127s %" SCNd64 " %d %n", zone, &after_s, &count, &used) < 3 || !used)
            return 2;
        answer(zone, after_s, count, line + used);
    }
    return 0;
}
