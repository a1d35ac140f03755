/* Time zones: what clocks on the wall show at a moment, by the TZif files of tzdata (RFC 9636; RFC 8536
 * before it), versions 2 and later, their transitions and the rule behind them (a POSIX TZ string). libc has
 * this only for the process's one zone, which a program with threads cannot change.
 *
 * A zone is read once and never changes: any thread may ask it. Moments are seconds since 1970-01-01 UTC;
 * local times are seconds, too, counted as if the zone's clock showed UTC. */
#ifndef PB_ZONE_H
#define PB_ZONE_H

#include "common/err.h"

#include <stddef.h>
#include <stdint.h>

#define ZONE_FOLDER "/usr/share/zoneinfo"
#define ZONE_DAY_S  86400

struct zone;

/* "Europe/Berlin", "UTC". Blocks for as long as it takes to read a small file. PB_E_NOT_FOUND: there is no
 * such zone here. folder NULL: ZONE_FOLDER. */
pb_err zone_open(const char *folder, const char *name, struct zone **out, struct pb_why *why) PB_CHECKED;
/* From a file's bytes. */
pb_err zone_parse(const uint8_t *data, size_t len, struct zone **out, struct pb_why *why) PB_CHECKED;
void zone_close(struct zone *z);

/* Seconds that local time is ahead of UTC; less than 27 hours either way. */
int32_t zone_offset_s(const struct zone *z, int64_t at_s);
/* The first moment at which the zone's clock shows this local time or a later one: so of a time that comes
 * twice the first, and for one that is left out the end of the gap. */
int64_t zone_moment_s(const struct zone *z, int64_t local_s);

/* Days since 1970-01-01 in the proleptic Gregorian calendar, and back. */
int64_t zone_days(int64_t year, int month, int day);
void zone_date(int64_t days, int64_t *year, int *month, int *day);

#endif
