/* How fast the engine is on real payloads, one thread: `bench DATA plain|formats SECONDS [ROW]`, DATA as
 * prepare.mjs makes it. Prints "row, tab, per second" for
 *   validate  a parsed document, 16 times in a row
 *   parse     text to verdict
 *   reject    an invalid parsed document, yes or no, 16 times in a row
 *   errors    all errors of an invalid parsed document, as text
 *   compile   a schema, text to program
 * and how many documents were judged wrongly. rust/ and ajv.mjs do the same with other engines. */
#include "common/jsonschema/jsonschema.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define ITEMS_MAX   1000
#define SCHEMAS_MAX 200
#define REPEATS     16

struct source {
    char name[128];
    char *text;
    size_t len;
    struct js_schema *schema;
};

struct item {
    char *text;
    size_t len;
    const struct source *source;
    struct js_runner *runner; /* holds the parsed document */
};

struct list {
    struct item at[ITEMS_MAX];
    size_t count;
};

struct bench {
    const char *folder;
    struct js_options options;
    double seconds;
    struct source sources[SCHEMAS_MAX];
    size_t source_count;
    struct list good, bad;
    struct js_runner *runner;
    unsigned long sink; /* what the turns found, so that none can be left out */
};

static void die(const char *what, const char *why)
{
    fprintf(stderr, "bench: %s: %s\n", what, why);
    exit(1);
}

static char *read_file(const char *folder, const char *name, size_t *len)
{
    char path[4096];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    FILE *f = fopen(path, "r");
    size_t cap = 1 << 25;
    char *text = f ? malloc(cap) : NULL;
    if (!text)
        die(path, "cannot be read");
    *len = fread(text, 1, cap - 1, f);
    text[*len] = '\0';
    fclose(f);
    return text;
}

static struct js_schema *compile(const struct bench *b, const struct source *s)
{
    struct js_schema *schema = NULL;
    struct pb_why why = {0};
    if (js_schema_compile(s->text, s->len, &b->options, &schema, &why))
        die(s->name, why.text);
    return schema;
}

static const struct source *source_of(struct bench *b, const char *name)
{
    for (size_t i = 0; i < b->source_count; i++)
        if (strcmp(b->sources[i].name, name) == 0)
            return &b->sources[i];
    struct source *s = &b->sources[b->source_count++];
    char file[160];
    if (b->source_count > SCHEMAS_MAX)
        die(name, "more schemas than this bench has room for");
    snprintf(s->name, sizeof s->name, "%s", name);
    snprintf(file, sizeof file, "schemas/%s.json", name);
    s->text = read_file(b->folder, file, &s->len);
    s->schema = compile(b, s);
    return s;
}

static void load(struct bench *b, const char *name, struct list *out)
{
    size_t len;
    char *text = read_file(b->folder, name, &len);
    for (char *line = text, *end; (end = strchr(line, '\n')) && out->count < ITEMS_MAX; line = end + 1) {
        struct item *item = &out->at[out->count++];
        char *tab = strchr(line, '\t');
        struct pb_why why;
        *end = *tab = '\0';
        item->source = source_of(b, line);
        item->text = tab + 1;
        item->len = (size_t)(end - item->text);
        item->runner = js_runner_new();
        if (!item->runner || js_runner_parse(item->runner, item->text, item->len, &why))
            die(name, "a line cannot be parsed");
    }
}

static unsigned wrong(const struct list *list, enum js_verdict right)
{
    unsigned count = 0;
    for (size_t i = 0; i < list->count; i++)
        count += js_runner_check(list->at[i].runner, list->at[i].source->schema) != right;
    return count;
}

static size_t validate_turn(struct bench *b, const struct list *list)
{
    for (size_t i = 0; i < list->count; i++)
        for (int k = 0; k < REPEATS; k++)
            b->sink += js_runner_check(list->at[i].runner, list->at[i].source->schema) == JS_VALID;
    return list->count * REPEATS;
}

static size_t turn_validate(struct bench *b)
{
    return validate_turn(b, &b->good);
}

static size_t turn_reject(struct bench *b)
{
    return validate_turn(b, &b->bad);
}

static size_t turn_parse(struct bench *b)
{
    enum js_verdict verdict = JS_UNDECIDED;
    for (size_t i = 0; i < b->good.count; i++) {
        const struct item *item = &b->good.at[i];
        if (js_check(b->runner, item->source->schema, item->text, item->len, &verdict, NULL))
            die("parse", "a document is refused");
        b->sink += verdict;
    }
    return b->good.count;
}

static size_t turn_errors(struct bench *b)
{
    const struct js_error *errors = NULL;
    size_t count = 0;
    bool more;
    for (size_t i = 0; i < b->bad.count; i++) {
        const struct item *item = &b->bad.at[i];
        if (js_explain(item->runner, item->source->schema, 0, &errors, &count, &more))
            die("errors", "not explained");
        b->sink += count;
    }
    return b->bad.count;
}

static size_t turn_compile(struct bench *b)
{
    for (size_t i = 0; i < b->source_count; i++)
        js_schema_free(compile(b, &b->sources[i]));
    return b->source_count;
}

static const struct {
    const char *name;
    size_t (*turn)(struct bench *b);
} rows[] = {
    {"validate", turn_validate}, {"parse", turn_parse},     {"reject", turn_reject},
    {"errors", turn_errors},     {"compile", turn_compile},
};

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

static double rate(struct bench *b, size_t (*turn)(struct bench *b))
{
    size_t count = 0;
    double start, spent;
    turn(b); /* warm */
    start = now();
    do {
        count += turn(b);
        spent = now() - start;
    } while (spent < b->seconds);
    return (double)count / spent;
}

static void close_list(struct list *list)
{
    for (size_t i = 0; i < list->count; i++)
        js_runner_free(list->at[i].runner);
}

int main(int argc, char **argv)
{
    static struct bench b;
    if (argc < 4)
        die("usage", "bench DATA plain|formats SECONDS [ROW]");
    b.folder = argv[1];
    b.options = (struct js_options){.draft = JS_DRAFT_7, .formats = strcmp(argv[2], "formats") == 0};
    b.seconds = strtod(argv[3], NULL);
    b.runner = js_runner_new();
    load(&b, "valid.tsv", &b.good);
    load(&b, "invalid.tsv", &b.bad);
    printf("disagreements\t%u\n", wrong(&b.good, JS_VALID) + wrong(&b.bad, JS_INVALID));
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        if (argc < 5 || strcmp(argv[4], rows[i].name) == 0)
            printf("%s\t%.3f\n", rows[i].name, rate(&b, rows[i].turn));
    close_list(&b.good);
    close_list(&b.bad);
    js_runner_free(b.runner);
    for (size_t i = 0; i < b.source_count; i++)
        js_schema_free(b.sources[i].schema);
    return 0;
}
