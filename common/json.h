/* Times and ids as the API's JSON has them. New references, the caller's; NULL: no memory. */
#ifndef PB_JSON_H
#define PB_JSON_H

#include "common/id.h"

#include <jansson.h>

json_t *json_time(int64_t wall_ms);                          /* null for 0 */
json_t *json_id(const struct pb_id *id, const char *prefix); /* null for nil */

#endif
