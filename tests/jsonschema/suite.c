/* Runs the official JSON-Schema-Test-Suite: `suite FOLDER` with the suite's tests/ and remotes/ below. Prints
 * a line per draft; every failure is named with -v. Exits with 1 if any test failed. */
#include "common/jsonschema/jsonschema.h"

#include <dirent.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct tally {
    unsigned passed, total;
};

struct suite {
    const char *folder;
    bool verbose;
    enum js_draft draft;
    struct js_runner *runner;
};

static pb_err load_remote(void *user, const char *uri, char **text, size_t *len)
{
    const struct suite *s = user;
    static const char base[] = "http://localhost:1234/";
    char path[1024];
    json_t *file;
    if (strncmp(uri, base, sizeof base - 1) != 0)
        return PB_E_NOT_FOUND;
    snprintf(path, sizeof path, "%s/remotes/%s", s->folder, uri + sizeof base - 1);
    file = json_load_file(path, JSON_DECODE_ANY, NULL);
    if (!file)
        return PB_E_NOT_FOUND;
    *text = json_dumps(file, JSON_ENCODE_ANY);
    *len = strlen(*text);
    json_decref(file);
    return PB_OK;
}

struct group {
    const char *file, *name;
    struct js_schema *schema;
    struct pb_why why;
};

static void run_test(struct suite *s, const struct group *g, const char *data, size_t len, bool want,
                     const char *name, struct tally *t)
{
    enum js_verdict verdict = JS_UNDECIDED;
    struct pb_why why = {0};
    pb_err err = g->schema ? js_check(s->runner, g->schema, data, len, &verdict, &why) : PB_E_INVALID;
    bool good = !err && verdict == (want ? JS_VALID : JS_INVALID);
    if (good && verdict == JS_INVALID) {
        const struct js_error *errors;
        size_t count = 0;
        bool more;
        good = js_explain(s->runner, g->schema, 0, &errors, &count, &more) == PB_OK && count > 0;
    }
    t->total++;
    t->passed += good;
    if (!good && s->verbose)
        printf("FAILED %s: %s: %s: %.*s (want %s, got %s) %s %s\n", g->file, g->name, name,
               (int)(len < 200 ? len : 200), data, want ? "valid" : "invalid",
               err                     ? "error"
               : verdict == JS_VALID   ? "valid"
               : verdict == JS_INVALID ? "invalid"
                                       : "undecided",
               err ? why.text : "", g->why.text);
}

/* The suite's tests as raw text: jansson would turn 1.0 and large numbers into something else. */
static void run_file(struct suite *s, const char *path, bool formats, bool contents, struct tally *t);

#include "tests/jsonschema/slices.h"

static void run_file(struct suite *s, const char *path, bool formats, bool contents, struct tally *t)
{
    size_t size;
    char *text = read_file(path, &size);
    struct slice file = {text, text + size}, groups, group, tests, test;
    for (groups = items(file); next(&groups, &group);) {
        struct slice schema = member(group, "schema");
        struct js_options o = {
            .load = load_remote, .user = s, .draft = s->draft, .formats = formats, .contents = contents};
        char *title = text_of(member(group, "description"));
        struct group g = {.file = path, .name = title};
        if (js_schema_compile(schema.at, (size_t)(schema.end - schema.at), &o, &g.schema, &g.why))
            g.schema = NULL;
        for (tests = items(member(group, "tests")); next(&tests, &test);) {
            struct slice data = member(test, "data");
            char *name = text_of(member(test, "description"));
            run_test(s, &g, data.at, (size_t)(data.end - data.at), *member(test, "valid").at == 't', name, t);
            free(name);
        }
        js_schema_free(g.schema);
        free(title);
    }
    free(text);
}

static void run_folder(struct suite *s, const char *folder, bool formats, bool contents, struct tally *t)
{
    struct dirent **names;
    int count = scandir(folder, &names, NULL, alphasort);
    for (int i = 0; i < count; i++) {
        char path[1400];
        size_t len = strlen(names[i]->d_name);
        snprintf(path, sizeof path, "%s/%s", folder, names[i]->d_name);
        if (len > 5 && strcmp(names[i]->d_name + len - 5, ".json") == 0)
            run_file(s, path, formats, contents, t);
        free(names[i]);
    }
    if (count >= 0)
        free(names);
}

static bool passed_all(const struct tally *t)
{
    return t->total && t->passed == t->total;
}

int main(int argc, char **argv)
{
    static const struct {
        const char *name, *folder;
        enum js_draft draft;
    } drafts[] = {{"2020-12", "draft2020-12", JS_DRAFT_2020}, {"draft-07", "draft7", JS_DRAFT_7}};
    struct suite s = {.folder = argc > 1 ? argv[1] : ".", .verbose = argc > 2};
    bool good = true;
    s.runner = js_runner_new();
    for (size_t i = 0; i < 2; i++) {
        struct tally required = {0}, optional = {0}, format = {0};
        char path[1200];
        s.draft = drafts[i].draft;
        snprintf(path, sizeof path, "%s/tests/%s", s.folder, drafts[i].folder);
        run_folder(&s, path, false, false, &required);
        snprintf(path, sizeof path, "%s/tests/%s/optional", s.folder, drafts[i].folder);
        run_folder(&s, path, false, true, &optional);
        snprintf(path, sizeof path, "%s/tests/%s/optional/format", s.folder, drafts[i].folder);
        run_folder(&s, path, true, false, &format);
        printf("%s required %u/%u optional %u/%u format %u/%u\n", drafts[i].name, required.passed,
               required.total, optional.passed, optional.total, format.passed, format.total);
        good = good && passed_all(&required) && passed_all(&optional) && passed_all(&format);
    }
    js_runner_free(s.runner);
    return good ? 0 : 1;
}
