/* Notices that a provider is down: when more than 30% of one type's validations of the last five minutes, and
 * at least five of them, failed alike. Then it is hardly the keys, so workers are told with each attempt to
 * hold back what would put an integration into the status error; it is tested again all the same. On the
 * loop's thread; time comes in. */
#ifndef PB_OUTAGE_H
#define PB_OUTAGE_H

#include "common/err.h"
#include "common/result.h"

#include <stdbool.h>
#include <stdint.h>

struct outages;

pb_err outages_open(struct outages **out) PB_CHECKED;
void outages_close(struct outages *all);

/* What a validation of this type came to. True: that has begun or ended an outage, and outages_is_on() says
 * which. Past LIMIT_PACKAGES types, and without memory, it is not counted. */
bool outages_note(struct outages *all, const char *type, enum result_code code, uint64_t now_ms);
bool outages_is_on(const struct outages *all, const char *type, uint64_t now_ms);

struct outage {
    const char *type; /* lent for the call */
    enum result_code code;
    uint32_t alike, of; /* validations of the last five minutes that failed so, of all */
};
/* Those that are on. */
void outages_each(struct outages *all, uint64_t now_ms, void (*each)(void *arg, const struct outage *o),
                  void *arg);

#endif
