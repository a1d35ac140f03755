/* The two clocks. Leases, timeouts and backoff use the monotonic one; records for people use the other.
 * Modules that decide by time (the board, a session) are given it as an argument and never call these. */
#ifndef PB_CLOCK_H
#define PB_CLOCK_H

#include <stdint.h>

#define CLOCK_TEXT_BYTES 25 /* "2026-01-31T23:59:59.000Z" and its NUL */

uint64_t clock_mono_ms(void);
uint64_t clock_mono_us(void); /* for measuring */
int64_t clock_wall_ms(void);  /* since 1970-01-01 UTC */
/* RFC 3339 in UTC with milliseconds. Times outside the years 1-9999 become the nearest end. */
void clock_text(int64_t wall_ms, char out[CLOCK_TEXT_BYTES]);

#endif
