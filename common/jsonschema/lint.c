/* A schema as a document: what its draft's meta-schema says of it. Compiling looks only at what is reached,
 * and lets pass what does no harm. */
#include "common/jsonschema/compiler.h"
#include "common/jsonschema/runner.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *const dialects[] = {
    "https://json-schema.org/draft/2020-12/schema",
    "https://json-schema.org/draft/2019-09/schema",
    "http://json-schema.org/draft-07/schema",
};
#define DIALECTS (sizeof dialects / sizeof dialects[0])

struct js_linter {
    struct js_runner *runner;
    struct js_schema *metas[DIALECTS]; /* each made when first needed */
};

struct js_linter *js_linter_new(void)
{
    struct js_linter *l = calloc(1, sizeof *l);
    if (l)
        l->runner = js_runner_new();
    if (l && l->runner)
        return l;
    free(l);
    return NULL;
}

void js_linter_free(struct js_linter *l)
{
    if (!l)
        return;
    for (size_t i = 0; i < DIALECTS; i++)
        js_schema_free(l->metas[i]);
    js_runner_free(l->runner);
    free(l);
}

/* The dialect's number; DIALECTS for one that is not known here, which is for the compiler to say. */
static size_t dialect_of(const struct js_value *schema, enum js_draft draft)
{
    const struct js_value *uri = js_get(schema, "$schema", 7);
    struct js_value bare = uri ? *uri : (struct js_value){0};
    if (!uri || uri->type != T_STR)
        return draft == JS_DRAFT_7 ? 2 : draft == JS_DRAFT_2019 ? 1 : 0;
    if (bare.len && bare.u.text[bare.len - 1] == '#')
        bare.len--;
    size_t i = 0;
    while (i < DIALECTS && !js_is(&bare, dialects[i]))
        i++;
    return i;
}

static pb_err need_meta(struct js_linter *l, size_t dialect, struct pb_why *why)
{
    const char *text = js_meta_find(dialects[dialect]);
    struct js_options options = {.uri = dialects[dialect]};
    if (l->metas[dialect])
        return PB_OK;
    return js_schema_compile(text, strlen(text), &options, &l->metas[dialect], why);
}

/* Of the first place that is wrong the last error: the one that explains the others. */
static size_t most_telling(const struct js_error *errors, size_t count)
{
    size_t first = strlen(errors[0].instance), i = 1;
    while (i < count && strncmp(errors[i].instance, errors[0].instance, first) == 0)
        i++;
    return i - 1;
}

static pb_err check(struct js_linter *l, const struct js_schema *meta, const struct js_options *options,
                    struct pb_why *why)
{
    char at[sizeof why->at];
    const struct js_error *errors = NULL;
    size_t count = 0;
    bool more;
    enum js_verdict verdict = js_runner_check(l->runner, meta);
    if (verdict == JS_VALID)
        return PB_OK;
    pb_err err = js_explain(l->runner, meta, 0, &errors, &count, &more);
    if (err)
        return err;
    if (!count)
        return pb_fail(why, PB_E_LIMIT, options->uri, "the schema takes too long to check");
    const struct js_error *e = &errors[most_telling(errors, count)];
    snprintf(at, sizeof at, "%.90s#%.90s", options->uri ? options->uri : "", e->instance);
    return pb_fail(why, PB_E_INVALID, at, "%s", e->text);
}

pb_err js_lint(struct js_linter *l, const char *text, size_t len, const struct js_options *options,
               struct pb_why *why)
{
    static const struct js_options none;
    options = options ? options : &none;
    pb_err err = js_runner_parse(l->runner, text, len, why);
    size_t dialect = err ? 0 : dialect_of(l->runner->doc.values, options->draft);
    if (err || dialect == DIALECTS)
        return err;
    err = need_meta(l, dialect, why);
    return err ? err : check(l, l->metas[dialect], options, why);
}
