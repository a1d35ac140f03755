#include "common/config.h"

#include "common/nearest.h"

#include <assert.h>
#include <errno.h>
#include <ini.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define OPTIONS_MAX 64

/* One source of values: the defaults, the file, the environment or the arguments. */
struct loading {
    const struct program *program;
    void *settings;
    const char *file;
    struct pb_why *why;
    pb_err err;
    bool given[OPTIONS_MAX]; /* by this source so far */
};

/* -- one value -- */

static void *at(const struct option *o, void *settings)
{
    return (char *)settings + o->offset;
}

static pb_err set_text(const struct option *o, void *settings, const char *text)
{
    char **field = at(o, settings), *copy = strdup(text);
    if (!copy)
        return PB_E_MEMORY;
    free(*field);
    *field = copy;
    return PB_OK;
}

static pb_err set_number(const struct option *o, void *settings, const char *text, const char *where,
                         struct pb_why *why)
{
    char *end;
    errno = 0;
    long long n = strtoll(text, &end, 10);
    if (errno || end == text || *end || n < o->min || n > o->max)
        return pb_fail(why, PB_E_INVALID, where, "must be a number from %lld to %lld; it is \"%s\"",
                       (long long)o->min, (long long)o->max, text);
    *(int64_t *)at(o, settings) = n;
    return PB_OK;
}

static pb_err set_flag(const struct option *o, void *settings, const char *text, const char *where,
                       struct pb_why *why)
{
    bool on = strcmp(text, "true") == 0, off = strcmp(text, "false") == 0;
    if (!on && !off)
        return pb_fail(why, PB_E_INVALID, where, "must be true or false; it is \"%s\"", text);
    *(bool *)at(o, settings) = on;
    return PB_OK;
}

static pb_err add_items(const struct option *o, void *settings, const char *text, const char *where,
                        struct pb_why *why)
{
    struct option_list *list = at(o, settings);
    while (*text) {
        size_t len = strcspn(text, ",");
        if (list->count == OPTION_LIST_MAX)
            return pb_fail(why, PB_E_LIMIT, where, "may be given %d times at most", OPTION_LIST_MAX);
        if (len && !(list->items[list->count++] = strndup(text, len)))
            return PB_E_MEMORY;
        text += len + (text[len] == ',');
    }
    return PB_OK;
}

static void clear_list(struct option_list *list)
{
    for (size_t i = 0; i < list->count; i++)
        free(list->items[i]);
    *list = (struct option_list){0};
}

/* A list grows within one source; the next source begins it anew, so that a flag can narrow what a file
 * allows. */
static pb_err set_value(struct loading *l, const struct option *o, const char *text, const char *where)
{
    bool *given = &l->given[o - l->program->options];
    if (o->kind == OPTION_LIST && !*given)
        clear_list(at(o, l->settings));
    *given = true;
    switch (o->kind) {
    case OPTION_TEXT:
        return set_text(o, l->settings, text);
    case OPTION_NUMBER:
        return set_number(o, l->settings, text, where, l->why);
    case OPTION_FLAG:
        return set_flag(o, l->settings, text, where, l->why);
    case OPTION_LIST:
        return add_items(o, l->settings, text, where, l->why);
    }
    return PB_E_INVALID;
}

/* -- names -- */

static const struct option *find(const struct program *p, const char *name, size_t len)
{
    for (size_t i = 0; i < p->count; i++)
        if (strlen(p->options[i].name) == len && memcmp(p->options[i].name, name, len) == 0)
            return &p->options[i];
    return NULL;
}

static pb_err unknown(const struct program *p, const char *where, const char *name, const char *dashes,
                      struct pb_why *why)
{
    const char *names[OPTIONS_MAX];
    for (size_t i = 0; i < p->count; i++)
        names[i] = p->options[i].name;
    const char *near = nearest(name, names, p->count);
    return pb_fail(why, PB_E_INVALID, where, "there is no option %s%s%s%s%s", dashes, name,
                   near ? "; did you mean " : "", near ? dashes : "", near ? near : "; --help lists them");
}

/* -- the sources -- */

static pb_err load_defaults(const struct program *p, void *settings, struct pb_why *why)
{
    struct loading l = {.program = p, .settings = settings, .why = why};
    pb_err err = PB_OK;
    for (size_t i = 0; i < p->count && !err; i++)
        if (p->options[i].initial)
            err = set_value(&l, &p->options[i], p->options[i].initial, p->options[i].name);
    return err;
}

static int on_ini(void *arg, const char *section, const char *name, const char *value)
{
    struct loading *l = arg;
    (void)section;
    if (l->err) /* the parser goes on after a fault; the first one is what counts */
        return 0;
    const struct option *o = find(l->program, name, strlen(name));
    if (!o)
        l->err = unknown(l->program, l->file, name, "", l->why);
    else
        l->err = set_value(l, o, value, name);
    return l->err == PB_OK;
}

/* The file as inih reads it, line by line. Read by fgets(), what stands behind a NUL would be lost, the rest
 * of a long line would count as the next one, and an indented line as a further value of the option above it.
 */
struct lines {
    FILE *f;
    int number;
    const char *fault; /* of that line; NULL: none so far */
};

static char *read_line(char *line, int size, void *arg)
{
    struct lines *in = arg;
    int len = 0, c = getc(in->f);
    in->number++;
    while (c == ' ' || c == '\t')
        c = getc(in->f);
    for (; c != EOF && c != '\n' && c != 0 && len < size - 1; c = getc(in->f))
        line[len++] = (char)c;
    line[len] = 0;
    if (c != EOF && c != '\n')
        in->fault = c ? "is too long; a list may be given on several lines" : "has a NUL in it";
    return in->fault || (c == EOF && len == 0) ? NULL : line;
}

static pb_err load_file(const struct program *p, const char *file, void *settings, struct pb_why *why)
{
    struct loading l = {.program = p, .settings = settings, .file = file, .why = why};
    struct lines in = {.f = fopen(file, "re")};
    if (!in.f)
        return pb_fail(why, PB_E_IO, file, "the configuration cannot be opened: %s", strerror(errno));
    int line = ini_parse_stream(read_line, &in, on_ini, &l);
    bool broken = ferror(in.f);
    fclose(in.f);
    if (l.err)
        return l.err;
    if (broken)
        return pb_fail(why, PB_E_IO, file, "the configuration cannot be read");
    if (in.fault)
        return pb_fail(why, PB_E_INVALID, file, "line %d %s", in.number, in.fault);
    return line ? pb_fail(why, PB_E_INVALID, file, "line %d is neither a [section] nor NAME = VALUE", line)
                : PB_OK;
}

static pb_err load_environment(const struct program *p, void *settings, struct pb_why *why)
{
    struct loading l = {.program = p, .settings = settings, .why = why};
    pb_err err = PB_OK;
    for (size_t i = 0; i < p->count && !err; i++) {
        char name[64] = "PATCHBAY_";
        size_t len = strlen(name);
        for (const char *c = p->options[i].name; *c && len < sizeof name - 1; c++)
            name[len++] = *c == '-' ? '_' : (char)(*c - (*c >= 'a' && *c <= 'z' ? 'a' - 'A' : 0));
        name[len] = 0;
        const char *value = getenv(name);
        if (value)
            err = set_value(&l, &p->options[i], value, name);
    }
    return err;
}

static pb_err load_argument(struct loading *l, int argc, char **argv, int *i)
{
    char where[96];
    const char *arg = argv[*i];
    if (strncmp(arg, "--", 2) != 0)
        return pb_fail(l->why, PB_E_INVALID, arg, "is not an option; --help lists them");
    size_t len = strcspn(arg + 2, "=");
    snprintf(where, sizeof where, "%.*s", (int)(len + 2), arg);
    const struct option *o = find(l->program, arg + 2, len);
    if (!o)
        return unknown(l->program, "", where + 2, "--", l->why);
    if (arg[2 + len] == '=')
        return set_value(l, o, arg + 3 + len, where);
    if (o->kind == OPTION_FLAG)
        return set_value(l, o, "true", where);
    if (*i + 1 >= argc)
        return pb_fail(l->why, PB_E_INVALID, where, "needs a value: %s", o->value);
    return set_value(l, o, argv[++*i], where);
}

static const char *config_file(int argc, char **argv)
{
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--config") == 0 && i + 1 < argc)
            return argv[i + 1];
        if (strncmp(argv[i], "--config=", 9) == 0)
            return argv[i] + 9;
    }
    return getenv("PATCHBAY_CONFIG");
}

static pb_err load_arguments(const struct program *p, int argc, char **argv, void *settings,
                             struct pb_why *why)
{
    struct loading l = {.program = p, .settings = settings, .why = why};
    pb_err err = PB_OK;
    for (int i = 1; i < argc && !err; i++) {
        if (strcmp(argv[i], "--config") == 0 && i + 1 < argc)
            i++;
        else if (strncmp(argv[i], "--config=", 9) != 0)
            err = load_argument(&l, argc, argv, &i);
    }
    return err;
}

/* -- help -- */

static void print_help(const struct program *p)
{
    printf("usage: %s [OPTION...]\n\n%s\n\n", p->name, p->summary);
    for (size_t i = 0; i < p->count; i++) {
        const struct option *o = &p->options[i];
        printf("  --%s%s%s\n      %s", o->name, o->value ? " " : "", o->value ? o->value : "", o->help);
        if (o->initial && o->initial[0])
            printf(" (default: %s)", o->initial);
        puts("");
    }
    puts("  --config FILE\n      INI file with the same names\n  --help, --version\n\n"
         "Each option is also a PATCHBAY_* variable (--data-dir: PATCHBAY_DATA_DIR). Flags win over "
         "variables, these over the file.");
}

static bool print_wanted(const struct program *p, int argc, char **argv)
{
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--help") == 0) {
            print_help(p);
            return true;
        }
        if (strcmp(argv[i], "--version") == 0) {
            printf("%s %s\n", p->name, PB_VERSION);
            return true;
        }
    }
    return false;
}

pb_err config_load(const struct program *p, int argc, char **argv, void *settings, bool *done,
                   struct pb_why *why)
{
    const char *file = config_file(argc, argv);
    assert(p->count <= OPTIONS_MAX);
    *done = print_wanted(p, argc, argv);
    if (*done)
        return PB_OK;
    pb_err err = load_defaults(p, settings, why);
    if (!err && file)
        err = load_file(p, file, settings, why);
    if (!err)
        err = load_environment(p, settings, why);
    return err ? err : load_arguments(p, argc, argv, settings, why);
}

pb_err config_one_of(const char *option, const char *value, const char *const *names, int *out,
                     struct pb_why *why)
{
    char all[64] = "";
    for (int i = 0; names[i]; i++) {
        if (strcmp(value, names[i]) == 0) {
            *out = i;
            return PB_OK;
        }
        size_t len = strlen(all);
        snprintf(all + len, sizeof all - len, "%s%s", i ? ", " : "", names[i]);
    }
    return pb_fail(why, PB_E_INVALID, option, "must be one of %s; it is \"%s\"", all, value);
}

void config_fini(const struct program *p, void *settings)
{
    for (size_t i = 0; i < p->count; i++) {
        if (p->options[i].kind == OPTION_TEXT) {
            char **field = at(&p->options[i], settings);
            free(*field);
            *field = NULL;
        } else if (p->options[i].kind == OPTION_LIST) {
            clear_list(at(&p->options[i], settings));
        }
    }
}
