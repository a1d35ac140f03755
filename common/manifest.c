#include "common/manifest.h"

#include "common/buf.h"
#include "common/event_schema.h"
#include "common/limits.h"
#include "common/nearest.h"
#include "common/package_file.h"
#include "common/regex.h"

#include <dirent.h>
#include <errno.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define COUNT(table) (sizeof(table) / sizeof((table)[0]))
#define HOUR_MS      INT64_C(3600000)
#define DAY_HOURS    24
#define AT_BYTES     192

struct manifests {
    struct manifest **items;
    size_t count;
};

/* -- places, for errors: "stripe/manifest.json#/events/0/schemaPath" -- */

struct place {
    const char *type; /* the folder's name */
    char pointer[128];
};

static pb_err fail(struct pb_why *why, const struct place *p, pb_err err, const char *member,
                   const char *text, const char *detail)
{
    char at[AT_BYTES];
    snprintf(at, sizeof at, "%.50s/manifest.json%s%.70s%s%.45s", p->type, p->pointer[0] || member ? "#" : "",
             p->pointer, member ? "/" : "", member ? member : "");
    return pb_fail(why, err, at, "%s%s", text, detail ? detail : "");
}

static struct place place_in(const struct place *parent, const char *member)
{
    struct place p = {.type = parent->type};
    snprintf(p.pointer, sizeof p.pointer, "%.70s/%.50s", parent->pointer, member);
    return p;
}

/* jansson recurses over nesting; its own limit (2048) is deeper than ours. */
static bool too_deep(const char *text, size_t len)
{
    int depth = 0;
    bool in_string = false;
    for (size_t i = 0; i < len; i++) {
        char c = text[i];
        if (in_string && c == '\\')
            i++;
        else if (c == '"')
            in_string = !in_string;
        else if (!in_string && (c == '{' || c == '['))
            if (++depth > LIMIT_JSON_DEPTH)
                return true;
        if (!in_string && (c == '}' || c == ']'))
            depth--;
    }
    return false;
}

/* -- reading members: each is one rule of the format -- */

static pb_err text_member(const json_t *object, const struct place *p, const char *name, bool required,
                          const char **out, struct pb_why *why)
{
    const json_t *v = json_object_get(object, name);
    if (!v && !required)
        return PB_OK;
    if (!v)
        return fail(why, p, PB_E_INVALID, name, "is required", NULL);
    if (!json_is_string(v))
        return fail(why, p, PB_E_INVALID, name, "must be a string", NULL);
    if (required && !json_string_value(v)[0])
        return fail(why, p, PB_E_INVALID, name, "must not be empty", NULL);
    *out = json_string_value(v);
    return PB_OK;
}

static pb_err only_known(const json_t *object, const struct place *p, const char *const *known, size_t count,
                         struct pb_why *why)
{
    const char *key;
    json_t *value;
    json_object_foreach((json_t *)(uintptr_t)object, key, value)
    {
        bool found = false;
        for (size_t i = 0; i < count && !found; i++)
            found = strcmp(known[i], key) == 0;
        if (found)
            continue;
        const char *near = nearest(key, known, count);
        return fail(why, p, PB_E_INVALID, key, near ? "is not known; did you mean " : "is not known", near);
    }
    return PB_OK;
}

bool manifest_type_is_valid(const char *type)
{
    size_t len = strlen(type);
    if (len == 0 || len > LIMIT_TYPE_CHARS || type[0] < 'a' || type[0] > 'z')
        return false;
    return strspn(type, "abcdefghijklmnopqrstuvwxyz0123456789-") == len;
}

/* -- credentialSchema -- */

static const char *const field_members[] = {
    "label",   "type",   "required", "help",  "placeholder", "pattern", "format",      "options",
    "default", "prefix", "suffix",   "order", "docsUrl",     "secret",  "visibleWhen", "usedBy"};

static const struct {
    const char *name;
    enum field_type type;
} field_types[] = {{"text", FIELD_TEXT}, {"password", FIELD_PASSWORD}, {"oauth", FIELD_OAUTH}};

static const struct {
    const char *name;
    enum field_format format;
} field_formats[] = {
    {"uri", FORMAT_URI}, {"email", FORMAT_EMAIL}, {"hostname", FORMAT_HOSTNAME}, {"uuid", FORMAT_UUID}};

static pb_err read_field_type(const json_t *json, const struct place *p, struct field *f, struct pb_why *why)
{
    const char *type = NULL, *format = NULL;
    pb_err err = text_member(json, p, "type", true, &type, why);
    if (!err)
        err = text_member(json, p, "format", false, &format, why);
    if (err)
        return err;
    for (size_t i = 0; i < COUNT(field_types); i++)
        if (strcmp(type, field_types[i].name) == 0)
            f->type = field_types[i].type;
    for (size_t i = 0; format && i < COUNT(field_formats); i++)
        if (strcmp(format, field_formats[i].name) == 0)
            f->format = field_formats[i].format;
    if (!f->type)
        return fail(why, p, PB_E_INVALID, "type", "must be text, password or oauth", NULL);
    if (format && !f->format)
        return fail(why, p, PB_E_INVALID, "format", "must be uri, email, hostname or uuid", NULL);
    return PB_OK;
}

static pb_err read_pattern(const struct place *p, struct field *f, struct pb_why *why)
{
    char reason[160];
    if (!f->pattern)
        return PB_OK;
    if (regex_compile(f->pattern, &f->regex, reason, sizeof reason) == PB_OK)
        return PB_OK;
    return fail(why, p, PB_E_INVALID, "pattern", "is not a regular expression: ", reason);
}

static pb_err read_flag(const json_t *json, const struct place *p, const char *name, bool initial, bool *out,
                        struct pb_why *why)
{
    const json_t *v = json_object_get(json, name);
    if (v && !json_is_boolean(v))
        return fail(why, p, PB_E_INVALID, name, "must be true or false", NULL);
    *out = v ? json_is_true(v) : initial;
    return PB_OK;
}

static pb_err read_options(const json_t *json, const struct place *p, struct field *f, struct pb_why *why)
{
    size_t i;
    json_t *option;
    f->options = json_object_get(json, "options");
    if (f->options && (!json_is_array(f->options) || json_array_size(f->options) == 0))
        return fail(why, p, PB_E_INVALID, "options", "must be an array of {value, label}", NULL);
    json_array_foreach(f->options, i, option)
    {
        if (!json_is_string(json_object_get(option, "value")) ||
            !json_is_string(json_object_get(option, "label")))
            return fail(why, p, PB_E_INVALID, "options", "must be an array of {value, label}, both strings",
                        NULL);
    }
    return PB_OK;
}

static pb_err read_visible_when(const json_t *json, const struct place *p, struct field *f,
                                struct pb_why *why)
{
    const json_t *v = json_object_get(json, "visibleWhen");
    if (!v)
        return PB_OK;
    f->visible_when_field = json_string_value(json_object_get(v, "field"));
    f->visible_when_equals = json_string_value(json_object_get(v, "equals"));
    if (f->visible_when_field && f->visible_when_equals)
        return PB_OK;
    return fail(why, p, PB_E_INVALID, "visibleWhen", "must be {field, equals}, both strings", NULL);
}

static pb_err read_field(const char *name, const json_t *json, const struct place *schema, struct field *f,
                         struct pb_why *why)
{
    struct place p = place_in(schema, name);
    *f = (struct field){.name = name};
    if (!json_is_object(json))
        return fail(why, &p, PB_E_INVALID, NULL, "must be an object {label, type, required}", NULL);
    if (strlen(name) > LIMIT_FIELD_NAME_CHARS || !name[0])
        return fail(why, &p, PB_E_LIMIT, NULL, "has a name that is empty or too long", NULL);
    pb_err err = only_known(json, &p, field_members, COUNT(field_members), why);
    if (!err)
        err = text_member(json, &p, "label", true, &f->label, why);
    if (!err)
        err = text_member(json, &p, "help", false, &f->help, why);
    if (!err)
        err = text_member(json, &p, "placeholder", false, &f->placeholder, why);
    if (!err)
        err = text_member(json, &p, "pattern", false, &f->pattern, why);
    if (!err)
        err = text_member(json, &p, "default", false, &f->default_value, why);
    if (!err)
        err = read_field_type(json, &p, f, why);
    if (!err)
        err = read_flag(json, &p, "required", false, &f->required, why);
    if (!err)
        err = read_flag(json, &p, "secret", f->type != FIELD_TEXT, &f->secret, why);
    if (!err)
        err = read_pattern(&p, f, why);
    if (!err)
        err = read_options(json, &p, f, why);
    return err ? err : read_visible_when(json, &p, f, why);
}

static int64_t order_of(const struct manifest *m, const struct field *f)
{
    const json_t *order =
        json_object_get(json_object_get(json_object_get(m->json, "credentialSchema"), f->name), "order");
    return json_is_integer(order) ? json_integer_value(order) : INT64_MAX;
}

/* By "order"; fields without one come last, as they stand in the file. Insertion sort: stable, and the count
 * is small. */
static void sort_fields(struct manifest *m)
{
    for (size_t i = 1; i < m->field_count; i++) {
        struct field f = m->fields[i];
        size_t j = i;
        for (; j > 0 && order_of(m, &m->fields[j - 1]) > order_of(m, &f); j--)
            m->fields[j] = m->fields[j - 1];
        m->fields[j] = f;
    }
}

static const struct field *find_field(const struct manifest *m, const char *name)
{
    for (size_t i = 0; i < m->field_count; i++)
        if (strcmp(m->fields[i].name, name) == 0)
            return &m->fields[i];
    return NULL;
}

static pb_err check_references(const struct manifest *m, const struct place *schema, struct pb_why *why)
{
    for (size_t i = 0; i < m->field_count; i++) {
        const char *other = m->fields[i].visible_when_field;
        struct place p = place_in(schema, m->fields[i].name);
        if (other && !find_field(m, other))
            return fail(why, &p, PB_E_INVALID, "visibleWhen", "names a field that is not there: ", other);
    }
    return PB_OK;
}

static pb_err read_fields(struct manifest *m, const struct place *root, struct pb_why *why)
{
    const json_t *schema = json_object_get(m->json, "credentialSchema");
    struct place p = place_in(root, "credentialSchema");
    const char *name;
    json_t *json;
    if (!json_is_object(schema))
        return fail(why, root, PB_E_INVALID, "credentialSchema",
                    "is required and must be an object of fields", NULL);
    if (json_object_size(schema) > LIMIT_PACKAGE_FIELDS)
        return fail(why, root, PB_E_LIMIT, "credentialSchema", "has too many fields", NULL);
    m->fields = calloc(json_object_size(schema) + 1, sizeof *m->fields);
    if (!m->fields)
        return PB_E_MEMORY;
    json_object_foreach((json_t *)(uintptr_t)schema, name, json)
    {
        pb_err err = read_field(name, json, &p, &m->fields[m->field_count], why);
        m->field_count++;
        if (err)
            return err;
    }
    sort_fields(m);
    return check_references(m, &p, why);
}

/* -- events -- */

static pb_err check_schema_file(const struct manifest *m, const struct event_type *e, const struct place *p,
                                struct pb_why *why)
{
    struct buf text;
    json_error_t error;
    char detail[200];
    pb_err err = package_file_read(m->folder, e->schema_path, LIMIT_SCHEMA_BYTES, &text);
    if (err == PB_E_NOT_FOUND)
        return fail(why, p, err, "schemaPath", "names a file that is not there: ", e->schema_path);
    if (err == PB_E_DENIED)
        return fail(why, p, err, "schemaPath",
                    "must be a file inside the package, not reached through a link or ..: ", e->schema_path);
    if (err)
        return fail(why, p, err, "schemaPath", "cannot be read, or is too large: ", e->schema_path);
    bool deep = too_deep(buf_peek(&text), text.len);
    json_t *json =
        deep ? NULL : json_loadb(buf_peek(&text), text.len, JSON_REJECT_DUPLICATES | JSON_DECODE_ANY, &error);
    if (deep) {
        err = fail(why, p, PB_E_LIMIT, "schemaPath", "is nested too deeply: ", e->schema_path);
    } else if (!json) {
        snprintf(detail, sizeof detail, "%.60s, line %d: %.100s", e->schema_path, error.line, error.text);
        err = fail(why, p, PB_E_INVALID, "schemaPath", "is not valid JSON: ", detail);
    } else if (!json_is_object(json) && !json_is_boolean(json)) {
        err = fail(why, p, PB_E_INVALID, "schemaPath", "is not a JSON Schema (an object): ", e->schema_path);
    }
    json_decref(json);
    buf_fini(&text);
    return err;
}

static pb_err check_unique(const struct manifest *m, const struct event_type *e, const struct place *p,
                           struct pb_why *why)
{
    for (const struct event_type *other = m->events; other < e; other++)
        if (strcmp(other->event_type, e->event_type) == 0)
            return fail(why, p, PB_E_INVALID, "eventType", "is there twice: ", e->event_type);
    return PB_OK;
}

static pb_err read_event(struct manifest *m, const json_t *json, size_t i, const struct place *events,
                         struct pb_why *why)
{
    static const char *const members[] = {"eventType", "description", "schemaPath"};
    struct event_type *e = &m->events[i];
    char index[24];
    snprintf(index, sizeof index, "%zu", i);
    struct place p = place_in(events, index);
    if (!json_is_object(json))
        return fail(why, &p, PB_E_INVALID, NULL, "must be an object {eventType, schemaPath}", NULL);
    pb_err err = only_known(json, &p, members, COUNT(members), why);
    if (!err)
        err = text_member(json, &p, "eventType", true, &e->event_type, why);
    if (!err)
        err = text_member(json, &p, "schemaPath", true, &e->schema_path, why);
    if (!err)
        err = text_member(json, &p, "description", false, &e->description, why);
    if (!err && strlen(e->event_type) > LIMIT_EVENT_TYPE_CHARS)
        err = fail(why, &p, PB_E_LIMIT, "eventType", "is too long", NULL);
    if (!err)
        err = check_unique(m, e, &p, why);
    return err ? err : check_schema_file(m, e, &p, why);
}

static pb_err read_events(struct manifest *m, const struct place *root, struct pb_why *why)
{
    const json_t *events = json_object_get(m->json, "events");
    struct place p = place_in(root, "events");
    size_t count = json_array_size(events);
    if (!json_is_array(events))
        return fail(why, root, PB_E_INVALID, "events", "is required and must be an array", NULL);
    if (count > LIMIT_PACKAGE_EVENTS)
        return fail(why, root, PB_E_LIMIT, "events", "has too many entries", NULL);
    m->events = calloc(count + 1, sizeof *m->events);
    if (!m->events)
        return PB_E_MEMORY;
    for (m->event_count = 0; m->event_count < count; m->event_count++) {
        pb_err err = read_event(m, json_array_get(events, m->event_count), m->event_count, &p, why);
        if (err)
            return err;
    }
    return PB_OK;
}

/* -- the package's hash: over names, lengths and contents of all files -- */

static void hash_part(void *user, const char *name, const char *text, size_t len)
{
    crypto_hash_sha256_state *h = user;
    char head[512];
    int head_len = snprintf(head, sizeof head, "%.400s\n%zu\n", name, len);
    crypto_hash_sha256_update(h, (const uint8_t *)head, (unsigned long long)head_len);
    crypto_hash_sha256_update(h, (const uint8_t *)text, len);
}

/* Every schema is compiled on the way, and hashed with the files that it refers to: a package is not taken
 * with one that cannot be. */
static pb_err hash_package(struct manifest *m, const struct buf *manifest, struct pb_why *why)
{
    crypto_hash_sha256_state h;
    uint8_t digest[crypto_hash_sha256_BYTES];
    struct js_linter *linter = js_linter_new();
    pb_err err = linter ? PB_OK : PB_E_MEMORY;
    crypto_hash_sha256_init(&h);
    hash_part(&h, "manifest.json", buf_peek(manifest), manifest->len);
    for (size_t i = 0; !err && i < m->event_count; i++)
        err = event_schema_check(m, &m->events[i], linter, hash_part, &h, why);
    crypto_hash_sha256_final(&h, digest);
    sodium_bin2hex(m->hash, sizeof m->hash, digest, sizeof digest);
    js_linter_free(linter);
    return err;
}

/* -- one package -- */

static const char *const members[] = {
    "type",    "name",    "description", "credentialSchema", "events", "manifestVersion",
    "version", "docsUrl", "icon",        "category",         "http",   "auth",
    "oauth2",  "test",    "webhook",     "$schema"};

static pb_err read_root(struct manifest *m, const struct place *root, struct pb_why *why)
{
    if (!json_is_object(m->json))
        return fail(why, root, PB_E_INVALID, NULL, "must be an object", NULL);
    m->version = m->description = "";
    pb_err err = only_known(m->json, root, members, COUNT(members), why);
    if (!err)
        err = text_member(m->json, root, "type", true, &m->type, why);
    if (!err)
        err = text_member(m->json, root, "name", true, &m->name, why);
    if (!err)
        err = text_member(m->json, root, "description", false, &m->description, why);
    if (!err)
        err = text_member(m->json, root, "version", false, &m->version, why);
    if (!err && !manifest_type_is_valid(m->type))
        err =
            fail(why, root, PB_E_INVALID, "type",
                 "must be lower-case letters, digits and dashes, beginning with a letter, 63 at most", NULL);
    if (!err && strcmp(m->type, root->type) != 0)
        err = fail(why, root, PB_E_INVALID, "type", "must equal the folder's name, ", root->type);
    return err;
}

static void read_interval(struct manifest *m)
{
    const json_t *hours = json_object_get(json_object_get(m->json, "test"), "intervalHours");
    double n = json_is_number(hours) ? json_number_value(hours) : DAY_HOURS;
    m->interval_ms = n >= 0.01 && n <= 24 * 366 ? (int64_t)(n * (double)HOUR_MS) : DAY_HOURS * HOUR_MS;
}

static void read_test_terms(struct manifest *m)
{
    const json_t *limit = json_object_get(json_object_get(m->json, "test"), "rateLimit");
    double per_second = json_number_value(json_object_get(limit, "perSecond"));
    json_int_t concurrency = json_integer_value(json_object_get(limit, "concurrency"));
    if (per_second >= 0.001 && per_second <= 1e6) {
        m->rate.interval_us = (uint32_t)(1e6 / per_second);
        m->rate.burst = per_second < 1 ? 1 : (uint32_t)per_second;
    }
    const char *effects = json_string_value(json_object_get(json_object_get(m->json, "test"), "sideEffects"));
    m->billable = effects && strcmp(effects, "billable") == 0;
    if (concurrency > 0 && concurrency <= 10000)
        m->rate.concurrency = (uint32_t)concurrency;
}

static pb_err parse_manifest(struct manifest *m, const struct buf *text, const struct place *root,
                             struct pb_why *why)
{
    json_error_t error;
    char detail[200];
    if (too_deep(buf_peek(text), text->len))
        return fail(why, root, PB_E_LIMIT, NULL, "is nested too deeply", NULL);
    m->json = json_loadb(buf_peek(text), text->len, JSON_REJECT_DUPLICATES, &error);
    if (m->json)
        return PB_OK;
    snprintf(detail, sizeof detail, "line %d, column %d: %.120s", error.line, error.column, error.text);
    return fail(why, root, PB_E_INVALID, NULL, "is not valid JSON: ", detail);
}

static pb_err fill(struct manifest *m, const struct place *root, struct pb_why *why)
{
    struct buf text;
    pb_err err = package_file_read(m->folder, "manifest.json", LIMIT_MANIFEST_BYTES, &text);
    if (err)
        return fail(why, root, err, NULL,
                    "cannot be read: it must be a file of at most 256 KiB in the package's folder", NULL);
    err = parse_manifest(m, &text, root, why);
    if (!err)
        err = read_root(m, root, why);
    if (!err)
        err = read_fields(m, root, why);
    if (!err)
        err = read_events(m, root, why);
    if (!err) {
        read_test_terms(m);
        read_interval(m);
        err = hash_package(m, &text, why);
    }
    buf_fini(&text);
    return err;
}

pb_err manifest_open(const char *folder, struct manifest **out, struct pb_why *why)
{
    struct manifest *m = calloc(1, sizeof *m);
    if (m)
        m->folder = strdup(folder);
    if (!m || !m->folder) {
        free(m);
        return PB_E_MEMORY;
    }
    for (size_t len = strlen(m->folder); len > 1 && m->folder[len - 1] == '/';)
        m->folder[--len] = 0;
    const char *slash = strrchr(m->folder, '/');
    struct place root = {.type = slash ? slash + 1 : m->folder};
    pb_err err = fill(m, &root, why);
    if (err)
        manifest_close(m);
    else
        *out = m;
    return err;
}

void manifest_close(struct manifest *m)
{
    if (!m)
        return;
    for (size_t i = 0; i < m->field_count; i++)
        regex_free(m->fields[i].regex);
    free(m->fields);
    free(m->events);
    json_decref(m->json);
    free(m->folder);
    free(m);
}

/* -- all of them -- */

static int by_type(const void *a, const void *b)
{
    const struct manifest *const *x = a, *const *y = b;
    return strcmp((*x)->type, (*y)->type);
}

static bool holds_manifest(const char *folder)
{
    char path[4096 + 32];
    snprintf(path, sizeof path, "%.4096s/manifest.json", folder);
    return access(path, F_OK) == 0;
}

static pb_err take_package(struct manifests *all, const char *folder, const struct log *log)
{
    struct pb_why why = {0};
    struct manifest *m;
    pb_err err = manifest_open(folder, &m, &why);
    if (err == PB_E_MEMORY)
        return err;
    if (err) {
        log_why(log, LOG_WARN, "a package is left out", err, &why);
        return PB_OK;
    }
    all->items[all->count++] = m;
    return PB_OK;
}

static pb_err take_packages(struct manifests *all, const char *folder, DIR *dir, const struct log *log,
                            struct pb_why *why)
{
    pb_err err = PB_OK;
    for (struct dirent *d; !err && (d = readdir(dir));) {
        char path[4096];
        if (d->d_name[0] == '.' ||
            snprintf(path, sizeof path, "%s/%s", folder, d->d_name) >= (int)sizeof path ||
            !holds_manifest(path))
            continue;
        err = all->count < LIMIT_PACKAGES
                  ? take_package(all, path, log)
                  : pb_fail(why, PB_E_LIMIT, folder, "holds more than %d packages", LIMIT_PACKAGES);
    }
    if (!err && all->count == 0)
        err =
            pb_fail(why, PB_E_NOT_FOUND, folder,
                    "holds no usable package; --manifests names the folder that holds stripe/, slack/, ...");
    return err;
}

pb_err manifests_open(const char *folder, const struct log *log, struct manifests **out, struct pb_why *why)
{
    DIR *dir = opendir(folder);
    if (!dir)
        return pb_fail(why, PB_E_IO, folder,
                       "the folder of packages cannot be read: %s; --manifests names it", strerror(errno));
    struct manifests *all = calloc(1, sizeof *all);
    if (all)
        all->items = calloc(LIMIT_PACKAGES, sizeof(struct manifest *));
    pb_err err = all && all->items ? take_packages(all, folder, dir, log, why) : PB_E_MEMORY;
    closedir(dir);
    if (err) {
        manifests_close(all);
        return err;
    }
    qsort(all->items, all->count, sizeof(struct manifest *), by_type);
    *out = all;
    return PB_OK;
}

void manifests_close(struct manifests *all)
{
    if (!all)
        return;
    for (size_t i = 0; i < all->count; i++)
        manifest_close(all->items[i]);
    free(all->items);
    free(all);
}

size_t manifests_count(const struct manifests *all)
{
    return all->count;
}

const struct manifest *manifests_at(const struct manifests *all, size_t i)
{
    return all->items[i];
}

const struct manifest *manifests_find(const struct manifests *all, const char *type)
{
    struct manifest key = {.type = type};
    const struct manifest *wanted = &key;
    struct manifest **found = bsearch(&wanted, all->items, all->count, sizeof(struct manifest *), by_type);
    return found ? *found : NULL;
}

/* -- what others ask of one -- */

pb_err manifest_schema(const struct manifest *m, const char *event_type, char **out, size_t *len)
{
    const struct event_type *e = event_find(m, event_type, strlen(event_type));
    struct buf text;
    if (!e)
        return PB_E_NOT_FOUND;
    pb_err err = package_file_read(m->folder, e->schema_path, LIMIT_SCHEMA_BYTES, &text);
    if (err)
        return err;
    *out = buf_take(&text, len);
    return *out ? PB_OK : PB_E_MEMORY;
}

char *manifest_supported_events(const struct manifest *m)
{
    json_t *events = json_array();
    for (size_t i = 0; i < m->event_count; i++) {
        const struct event_type *e = &m->events[i];
        char reference[512];
        snprintf(reference, sizeof reference, "integrations/%s/%.400s", m->type, e->schema_path);
        json_t *event = json_pack("{s:s, s:s}", "eventType", e->event_type, "schemaReference", reference);
        if (e->description)
            json_object_set_new(event, "description", json_string(e->description));
        json_array_append_new(events, event);
    }
    char *text = events ? json_dumps(events, JSON_COMPACT) : NULL;
    json_decref(events);
    return text;
}

static void copy_member(json_t *to, const struct manifest *m, const char *name)
{
    json_t *v = json_object_get(m->json, name);
    if (v)
        json_object_set(to, name, v);
}

json_t *manifest_json(const struct manifest *m)
{
    json_t *json = json_pack("{s:s, s:s, s:s, s:s, s:s}", "type", m->type, "name", m->name, "description",
                             m->description, "version", m->version, "hash", m->hash);
    if (!json)
        return NULL;
    static const char *const shown[] = {"docsUrl", "category", "credentialSchema"};
    for (size_t i = 0; i < COUNT(shown); i++)
        copy_member(json, m, shown[i]);
    json_t *events = json_array();
    for (size_t i = 0; i < m->event_count; i++)
        json_array_append_new(events, json_pack("{s:s, s:s*}", "eventType", m->events[i].event_type,
                                                "description", m->events[i].description));
    json_object_set_new(json, "events", events);
    return json;
}
