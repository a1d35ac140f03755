/* The schemas of a package's events, compiled. References to other files of the package resolve
 * ("money.json",
 * "../common.json", "package://stripe/schemas/money.json"); nothing is ever fetched from elsewhere. Any
 * thread; compiling reads files. */
#ifndef PB_EVENT_SCHEMA_H
#define PB_EVENT_SCHEMA_H

#include "common/jsonschema/cache.h"
#include "common/manifest.h"

/* Told of the schema's own file, then of those that its references brought in, in the order of compiling. */
typedef void event_schema_file(void *user, const char *path, const char *text, size_t len);

/* Compiles the schema of an event; formats are asserted. Fails with a place that names file and JSON pointer
 * ("stripe/schemas/charge.json#/properties/amount/type"). */
pb_err event_schema_compile(const struct manifest *m, const struct event_type *e, struct js_schema **out,
                            struct pb_why *why) PB_CHECKED;

/* The same, and first of all whether the whole file is what its draft's meta-schema allows, the parts that no
 * event reaches included. The linter is one thread's. */
pb_err event_schema_check(const struct manifest *m, const struct event_type *e, struct js_linter *linter,
                          event_schema_file *file, void *user, struct pb_why *why) PB_CHECKED;

/* The package's event of this name; NULL: it has none. */
const struct event_type *event_find(const struct manifest *m, const char *name, size_t len);

/* From the cache, by the package's hash: see js_cache_get(). PB_E_NOT_FOUND: the type has no such event. */
pb_err event_schema_get(struct js_cache *cache, const struct manifest *m, const char *event_type,
                        struct js_cached **out, struct pb_why *why) PB_CHECKED;

#endif
