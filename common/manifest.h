/* Integration types: reads the packages below a folder, checks each, and keeps them. Immutable once opened,
 * so any thread may read. */
#ifndef PB_MANIFEST_H
#define PB_MANIFEST_H

#include "common/err.h"
#include "common/log.h"

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum field_type { FIELD_TEXT = 1, FIELD_PASSWORD, FIELD_OAUTH };
enum field_format { FORMAT_NONE, FORMAT_URI, FORMAT_EMAIL, FORMAT_HOSTNAME, FORMAT_UUID };

struct field {
    const char *name, *label, *help, *placeholder, *pattern, *default_value; /* NULL where absent */
    enum field_type type;
    enum field_format format;
    bool required, secret;
    const json_t *options; /* array of {value, label}, or NULL */
    const char *visible_when_field, *visible_when_equals;
    void *regex; /* compiled pattern (common/regex.h), or NULL */
};

struct event_type {
    const char *event_type, *description, *schema_path; /* description may be NULL */
};

/* How fast a type's provider may be asked, over all instances; zeros: as fast as one likes. */
struct manifest_rate {
    uint32_t interval_us; /* one test in so many microseconds, on average (perSecond) */
    uint32_t burst;       /* so many at once after a pause: what a second allows */
    uint32_t concurrency;
};

struct manifest {
    const char *type, *name, *description, *version; /* version "" where absent */
    char hash[65];        /* of the whole package: sha-256 over names and contents, hex */
    char *folder;         /* its path */
    json_t *json;         /* the manifest as read; owns every string above */
    struct field *fields; /* in the form's order */
    size_t field_count;
    struct event_type *events;
    size_t event_count;
    int64_t interval_ms; /* between scheduled tests (intervalHours; default a day) */
    struct manifest_rate rate;
    bool billable; /* a test costs money (sideEffects): only done when asked for by name */
};

struct manifests; /* all of them, sorted by type */

/* Reads every sub-folder of folder that holds a manifest.json. A package with a fault is left out and the
 * fault logged as a warning naming file and JSON pointer; that the folder cannot be read, or holds no good
 * package, is an error. */
pb_err manifests_open(const char *folder, const struct log *log, struct manifests **out,
                      struct pb_why *why) PB_CHECKED;
void manifests_close(struct manifests *all);
size_t manifests_count(const struct manifests *all);
const struct manifest *manifests_at(const struct manifests *all, size_t i);
const struct manifest *manifests_find(const struct manifests *all, const char *type); /* NULL: none */

/* One package; what is wrong goes to why (at: "stripe/manifest.json#/events/0/schemaPath"). */
pb_err manifest_open(const char *folder, struct manifest **out, struct pb_why *why) PB_CHECKED;
void manifest_close(struct manifest *m);

/* ^[a-z][a-z0-9-]{0,62}$ */
bool manifest_type_is_valid(const char *type);

/* An event's JSON Schema as text (malloc'ed). PB_E_NOT_FOUND: the type has no such event. The path was
 * checked at open, and is opened again without following links out of the package. */
pb_err manifest_schema(const struct manifest *m, const char *event_type, char **out, size_t *len) PB_CHECKED;

/* The record's supportedEvents, as JSON text (malloc'ed, NULL without memory). */
char *manifest_supported_events(const struct manifest *m);

/* For answers: {type, name, description, version, docsUrl, category, credentialSchema, events}. New
 * reference. */
json_t *manifest_json(const struct manifest *m);

#endif
