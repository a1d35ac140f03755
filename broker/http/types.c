#include "broker/broker.h"
#include "broker/http/routes.h"
#include "common/limits.h"
#include "common/nearest.h"

#include <stdlib.h>
#include <string.h>

/* The cursor is the last type's name: they are sorted by it. */
void types_list(struct http_request *r)
{
    const struct manifests *all = r->broker->types;
    struct http_page page;
    struct pb_why why;
    if (http_page_parse(&r->target, &page, &why) != PB_OK) {
        http_refuse(r, "invalid_parameter", "%s %s", why.at, why.text);
        return;
    }
    size_t i = 0;
    while (i < manifests_count(all) && strcmp(manifests_at(all, i)->type, page.after) <= 0)
        i++;
    json_t *items = json_array();
    for (; i < manifests_count(all) && json_array_size(items) < page.limit; i++)
        json_array_append_new(items, manifest_json(manifests_at(all, i)));
    bool more = i > 0 && i < manifests_count(all);
    json_t *next = more ? json_string(manifests_at(all, i - 1)->type) : json_null();
    http_answer_json(r, 200, json_pack("{s:o, s:o}", "items", items, "next", next));
}

void types_refuse(struct http_request *r, const char *type)
{
    const char *near = types_nearest(r->broker->types, type);
    if (near)
        http_refuse(r, "not_found", "there is no such type; did you mean %s?", near);
    else
        http_refuse(r, "not_found", "there is no such type; GET /v1/types lists what can be connected");
}

void types_get(struct http_request *r)
{
    const struct manifest *m = manifests_find(r->broker->types, r->args[0]);
    if (m)
        http_answer_json(r, 200, manifest_json(m));
    else
        types_refuse(r, r->args[0]);
}

const char *types_nearest(const struct manifests *all, const char *type)
{
    size_t count = manifests_count(all);
    const char *near = NULL, **names = calloc(count ? count : 1, sizeof *names);
    if (!names || strlen(type) > LIMIT_TYPE_CHARS)
        goto out;
    for (size_t i = 0; i < count; i++)
        names[i] = manifests_at(all, i)->type;
    near = nearest(type, names, count);
out:
    free(names);
    return near;
}

/* -- an event's schema: a file, so it is read on the reader's thread -- */

struct schema {
    struct http_request *r;
    const struct manifest *manifest;
    char *text;
    size_t len;
};

static pb_err schema_read(struct store *store, void *arg, struct pb_why *why)
{
    struct schema *s = arg;
    (void)store;
    pb_err err = manifest_schema(s->manifest, s->r->args[1], &s->text, &s->len);
    return err && err != PB_E_NOT_FOUND
               ? pb_fail(why, err, s->manifest->folder, "an event's schema cannot be read")
               : err;
}

static void schema_done(void *arg, pb_err err, const struct pb_why *why)
{
    struct schema *s = arg;
    struct http_request *r = s->r;
    if (!err)
        http_answer_text(r, 200, "application/schema+json", s->text, s->len);
    else if (err == PB_E_NOT_FOUND)
        http_refuse(r, "not_found", "%s has no such event; GET /v1/types/%s lists its events",
                    s->manifest->name, s->manifest->type);
    else
        http_refuse_error(r, err, why);
    free(s);
}

void types_schema(struct http_request *r)
{
    const struct manifest *m = manifests_find(r->broker->types, r->args[0]);
    if (!m) {
        types_refuse(r, r->args[0]);
        return;
    }
    struct schema *s = calloc(1, sizeof *s);
    pb_err err = s ? PB_OK : PB_E_MEMORY;
    if (s) {
        *s = (struct schema){.r = r, .manifest = m};
        err = http_read(r, schema_read, schema_done, s);
    }
    if (err) {
        free(s);
        http_refuse_error(r, err, NULL);
    }
}
