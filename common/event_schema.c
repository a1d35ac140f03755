#include "common/event_schema.h"

#include "common/limits.h"
#include "common/package_file.h"

#include <stdio.h>
#include <string.h>

static const char scheme[] = "package://";

struct source {
    const struct manifest *m;
    event_schema_file *file;
    void *user;
};

/* "package://stripe/" and the path; others, and those that would have to be decoded first, are not ours. */
static const char *path_of(const struct manifest *m, const char *uri)
{
    size_t type = strlen(m->type);
    if (strncmp(uri, scheme, sizeof scheme - 1) != 0 || strpbrk(uri, "%?"))
        return NULL;
    uri += sizeof scheme - 1;
    return strncmp(uri, m->type, type) == 0 && uri[type] == '/' && uri[type + 1] ? uri + type + 1 : NULL;
}

static pb_err load(void *user, const char *uri, char **text, size_t *len)
{
    const struct source *s = user;
    const char *path = path_of(s->m, uri);
    struct buf content;
    pb_err err = path ? package_file_read(s->m->folder, path, LIMIT_SCHEMA_BYTES, &content) : PB_E_NOT_FOUND;
    if (err)
        return err;
    if (s->file)
        s->file(s->user, path, buf_peek(&content), content.len);
    *text = buf_take(&content, len);
    return *text ? PB_OK : PB_E_MEMORY;
}

/* The engine names places by URI: "package://stripe/schemas/a.json#/type" is stripe/schemas/a.json#/type, and
 * what a schema calls itself, or where its text breaks off, follows the file's name. */
static void name_place(const struct manifest *m, const struct event_type *e, struct pb_why *why)
{
    char at[sizeof why->at];
    size_t skip = strncmp(why->at, scheme, sizeof scheme - 1) == 0 ? sizeof scheme - 1 : 0;
    if (skip)
        snprintf(at, sizeof at, "%s", why->at + skip);
    else
        snprintf(at, sizeof at, "%.50s/%.70s%s%.60s", m->type, e->schema_path,
                 why->at[0] && why->at[0] != '#' ? " " : "", why->at);
    memcpy(why->at, at, sizeof at);
}

static pb_err read_schema(const struct manifest *m, const struct event_type *e, struct buf *out,
                          struct pb_why *why)
{
    char at[sizeof why->at];
    pb_err err = package_file_read(m->folder, e->schema_path, LIMIT_SCHEMA_BYTES, out);
    snprintf(at, sizeof at, "%.50s/%.120s", m->type, e->schema_path);
    return err ? pb_fail(why, err, at, "the file cannot be read any more") : PB_OK;
}

static pb_err compile(const struct manifest *m, const struct event_type *e, struct js_linter *linter,
                      struct source *source, struct js_schema **out, struct pb_why *why)
{
    char uri[512];
    struct buf text;
    struct pb_why unused = {0};
    struct js_options options = {.uri = uri, .load = load, .user = source, .formats = true};
    why = why ? why : &unused;
    pb_err err = read_schema(m, e, &text, why);
    if (err)
        return err;
    if (source->file)
        source->file(source->user, e->schema_path, buf_peek(&text), text.len);
    snprintf(uri, sizeof uri, "%s%.64s/%.400s", scheme, m->type, e->schema_path);
    if (linter)
        err = js_lint(linter, buf_peek(&text), text.len, &options, why);
    if (!err)
        err = js_schema_compile(buf_peek(&text), text.len, &options, out, why);
    if (err)
        name_place(m, e, why);
    buf_fini(&text);
    return err;
}

pb_err event_schema_compile(const struct manifest *m, const struct event_type *e, struct js_schema **out,
                            struct pb_why *why)
{
    struct source source = {.m = m};
    return compile(m, e, NULL, &source, out, why);
}

pb_err event_schema_check(const struct manifest *m, const struct event_type *e, struct js_linter *linter,
                          event_schema_file *file, void *user, struct pb_why *why)
{
    struct source source = {m, file, user};
    struct js_schema *schema = NULL;
    pb_err err = compile(m, e, linter, &source, &schema, why);
    js_schema_free(schema);
    return err;
}

struct wanted {
    const struct manifest *m;
    const struct event_type *e;
};

static pb_err make(void *user, struct js_schema **out, struct pb_why *why)
{
    const struct wanted *w = user;
    return event_schema_compile(w->m, w->e, out, why);
}

const struct event_type *event_find(const struct manifest *m, const char *name, size_t len)
{
    for (size_t i = 0; i < m->event_count; i++) {
        const char *known = m->events[i].event_type;
        if (strlen(known) == len && memcmp(known, name, len) == 0)
            return &m->events[i];
    }
    return NULL;
}

pb_err event_schema_get(struct js_cache *cache, const struct manifest *m, const char *event_type,
                        struct js_cached **out, struct pb_why *why)
{
    char key[JS_CACHE_KEY_BYTES];
    struct wanted wanted = {m, event_find(m, event_type, strlen(event_type))};
    if (!wanted.e)
        return pb_fail(why, PB_E_NOT_FOUND, "", "%s has no event type %.100s", m->type, event_type);
    int len = snprintf(key, sizeof key, "%s %zu", m->hash, (size_t)(wanted.e - m->events));
    return js_cache_get(cache, key, (size_t)len, make, &wanted, out, why);
}
