/* The end of a process that must not be held up by a library. */
#ifndef PB_PROCESS_H
#define PB_PROCESS_H

#include <stdint.h>

/* From now on the process ends within so long, with this status, whatever still hangs (common/limbo.h says
 * what could). Everything durable must be done before. */
void process_end_within(uint32_t ms, int status);

#endif
