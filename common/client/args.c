#include "common/client/args.h"

#include "common/nearest.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define NAMES_MAX   64
#define HELP_INDENT 26

struct parsing {
    const struct args_tables *tables;
    const struct command *command; /* NULL until its name came */
    int argc, at;
    char **argv;
    struct settings *settings;
    struct pb_why *why;
    bool options_over; /* after "--" */
};

/* -- values -- */

static pb_err set_number(const struct option *o, int64_t *field, const char *text, struct pb_why *why)
{
    char *end;
    errno = 0;
    long long n = strtoll(text, &end, 10);
    if (errno || end == text || *end || n < o->min || n > o->max)
        return pb_fail(why, PB_E_INVALID, NULL, "--%s must be a number from %lld to %lld; it is \"%s\"",
                       o->name, (long long)o->min, (long long)o->max, text);
    *field = n;
    return PB_OK;
}

static pb_err add_item(const struct option *o, struct option_list *list, const char *text, struct pb_why *why)
{
    if (list->count == OPTION_LIST_MAX)
        return pb_fail(why, PB_E_LIMIT, NULL, "--%s may be given %d times at most", o->name, OPTION_LIST_MAX);
    list->items[list->count++] = (char *)(uintptr_t)text; /* lent by argv, never written to */
    return PB_OK;
}

static pb_err set_value(const struct option *o, struct settings *settings, const char *text,
                        struct pb_why *why)
{
    char *field = (char *)settings + o->offset;
    if (o->kind == OPTION_FLAG)
        *(bool *)field = true;
    else if (o->kind == OPTION_NUMBER)
        return set_number(o, (int64_t *)(void *)field, text, why);
    else if (o->kind == OPTION_LIST)
        return add_item(o, (struct option_list *)(void *)field, text, why);
    else
        *(const char **)(void *)field = text;
    return PB_OK;
}

static pb_err set_defaults(const struct option *options, size_t count, struct settings *settings,
                           struct pb_why *why)
{
    pb_err err = PB_OK;
    for (size_t i = 0; i < count && !err; i++)
        if (options[i].initial)
            err = set_value(&options[i], settings, options[i].initial, why);
    return err;
}

/* -- names -- */

static const struct option *find_in(const struct option *options, size_t count, const char *name, size_t len)
{
    for (size_t i = 0; i < count; i++)
        if (strlen(options[i].name) == len && memcmp(options[i].name, name, len) == 0)
            return &options[i];
    return NULL;
}

static const struct option *find_option(const struct parsing *p, const char *name, size_t len)
{
    const struct option *o = NULL;
    if (p->command)
        o = find_in(p->command->options, p->command->option_count, name, len);
    return o ? o : find_in(p->tables->common, p->tables->common_count, name, len);
}

static size_t add_names(const struct option *options, size_t count, const char **names, size_t n)
{
    for (size_t i = 0; i < count && n < NAMES_MAX; i++)
        names[n++] = options[i].name;
    return n;
}

static pb_err unknown_option(const struct parsing *p, const char *name, size_t len)
{
    const char *names[NAMES_MAX] = {"help", "version"};
    char word[64];
    size_t n = add_names(p->tables->common, p->tables->common_count, names, 2);
    if (p->command)
        n = add_names(p->command->options, p->command->option_count, names, n);
    snprintf(word, sizeof word, "%.*s", (int)len, name);
    if (strcmp(word, "token") == 0)
        return pb_fail(p->why, PB_E_INVALID, NULL,
                       "a token is never an argument, where other users could read it; set PATCHBAY_TOKEN");
    const char *near = nearest(word, names, n), *of = p->command ? p->command->name : NULL;
    if (near)
        return pb_fail(p->why, PB_E_INVALID, NULL, "there is no option --%s; did you mean --%s?", word, near);
    return pb_fail(p->why, PB_E_INVALID, NULL, "there is no option --%s; patchbay %s%s--help lists them",
                   word, of ? of : "", of ? " " : "");
}

static pb_err unknown_command(const struct parsing *p, const char *name)
{
    const char *names[NAMES_MAX];
    size_t n = 0;
    for (; n < p->tables->command_count && n < NAMES_MAX; n++)
        names[n] = p->tables->commands[n]->name;
    const char *near = nearest(name, names, n);
    if (near)
        return pb_fail(p->why, PB_E_INVALID, NULL, "there is no command %s; did you mean %s?", name, near);
    return pb_fail(p->why, PB_E_INVALID, NULL, "there is no command %s; patchbay --help lists them", name);
}

static bool is_first_word(const struct command *c, const char *word)
{
    size_t len = strcspn(c->name, " ");
    return strlen(word) == len && memcmp(word, c->name, len) == 0;
}

/* Does the command of this name start here? Gives how many words it takes, 0 for no. */
static int match_command(const struct command *c, int left, char **words)
{
    size_t len = strcspn(c->name, " ");
    if (!is_first_word(c, words[0]))
        return 0;
    if (!c->name[len])
        return 1;
    return left > 1 && strcmp(words[1], c->name + len + 1) == 0 ? 2 : 0;
}

/* "jobs" alone, or with an option behind it. */
static bool means_usual(const struct command *c, int left, char **words)
{
    return c->is_usual && is_first_word(c, words[0]) && (left == 1 || words[1][0] == '-');
}

/* "keys" alone, or with a second word that is none: names what there is. */
static pb_err half_command(const struct parsing *p, const char *word, const char *second)
{
    const char *verbs[NAMES_MAX];
    char all[256] = "";
    size_t count = 0, len = 0;
    for (size_t i = 0; i < p->tables->command_count && count < NAMES_MAX; i++) {
        const struct command *c = p->tables->commands[i];
        const char *space = strchr(c->name, ' ');
        if (!space || !is_first_word(c, word))
            continue;
        verbs[count++] = space + 1;
        if (len < sizeof all)
            len += (size_t)snprintf(all + len, sizeof all - len, "%spatchbay %s", len ? ", " : "", c->name);
    }
    const char *near = count && second ? nearest(second, verbs, count) : NULL;
    if (!count)
        return unknown_command(p, word);
    if (near)
        return pb_fail(p->why, PB_E_INVALID, NULL, "there is no command %s %s; did you mean patchbay %s %s?",
                       word, second, word, near);
    return pb_fail(p->why, PB_E_INVALID, NULL, "%s needs to know what to do: %s", word, all);
}

/* "keys --help": the word is the first of several commands, and help is wanted on all of them. */
static bool take_group(struct parsing *p)
{
    const char *word = p->argv[p->at], *next = p->at + 1 < p->argc ? p->argv[p->at + 1] : "";
    bool is_group = false;
    if (strcmp(next, "--help") != 0 && strcmp(next, "-h") != 0)
        return false;
    for (size_t i = 0; i < p->tables->command_count && !is_group; i++)
        is_group = is_first_word(p->tables->commands[i], word) && strchr(p->tables->commands[i]->name, ' ');
    if (is_group) {
        p->settings->group = word;
        p->at++;
    }
    return is_group;
}

/* -- one argument -- */

static pb_err take_command(struct parsing *p)
{
    const struct args_tables *t = p->tables;
    if (take_group(p))
        return PB_OK;
    for (size_t i = 0; i < t->command_count && !p->command; i++) {
        int words = match_command(t->commands[i], p->argc - p->at, p->argv + p->at);
        p->at += words;
        if (words)
            p->command = t->commands[i];
    }
    for (size_t i = 0; i < t->command_count && !p->command; i++)
        if (means_usual(t->commands[i], p->argc - p->at, p->argv + p->at)) {
            p->command = t->commands[i];
            p->at++;
        }
    if (!p->command)
        return half_command(p, p->argv[p->at], p->at + 1 < p->argc ? p->argv[p->at + 1] : NULL);
    return set_defaults(p->command->options, p->command->option_count, p->settings, p->why);
}

static pb_err take_operand(struct parsing *p)
{
    if (!p->command)
        return take_command(p);
    if (p->settings->operand_count >= p->command->operands_max)
        return pb_fail(p->why, PB_E_INVALID, NULL, "\"%s\" is one argument too many; patchbay %s%s%s",
                       p->argv[p->at], p->command->name, p->command->arguments[0] ? " " : "",
                       p->command->arguments);
    p->settings->operands[p->settings->operand_count++] = p->argv[p->at++];
    return PB_OK;
}

/* --help and --version, which every table has. */
static bool take_builtin(struct parsing *p, const char *arg)
{
    if (strcmp(arg, "--help") == 0 || strcmp(arg, "-h") == 0)
        p->settings->help = true;
    else if (strcmp(arg, "--version") == 0)
        p->settings->version = true;
    else
        return false;
    p->at++;
    return true;
}

static pb_err take_option(struct parsing *p)
{
    const char *arg = p->argv[p->at];
    if (take_builtin(p, arg))
        return PB_OK;
    if (strncmp(arg, "--", 2) != 0)
        return pb_fail(p->why, PB_E_INVALID, NULL, "there is no option %s; options are words, such as --json",
                       arg);
    size_t len = strcspn(arg + 2, "=");
    const struct option *o = find_option(p, arg + 2, len);
    if (!o)
        return unknown_option(p, arg + 2, len);
    p->at++;
    bool glued = arg[2 + len] == '=';
    if (o->kind == OPTION_FLAG)
        return glued ? pb_fail(p->why, PB_E_INVALID, NULL, "--%s takes no value", o->name)
                     : set_value(o, p->settings, "", p->why);
    if (glued)
        return set_value(o, p->settings, arg + 3 + len, p->why);
    if (p->at >= p->argc)
        return pb_fail(p->why, PB_E_INVALID, NULL, "--%s needs a value: --%s %s", o->name, o->name, o->value);
    return set_value(o, p->settings, p->argv[p->at++], p->why);
}

static pb_err take(struct parsing *p)
{
    const char *arg = p->argv[p->at];
    if (p->options_over || arg[0] != '-' || !arg[1])
        return take_operand(p);
    if (strcmp(arg, "--") != 0)
        return take_option(p);
    p->options_over = true;
    p->at++;
    return PB_OK;
}

pb_err args_parse(const struct args_tables *t, int argc, char **argv, struct settings *settings,
                  const struct command **command, struct pb_why *why)
{
    struct parsing p = {.tables = t, .argc = argc, .at = 1, .argv = argv, .settings = settings, .why = why};
    pb_err err = set_defaults(t->common, t->common_count, settings, why);
    while (!err && p.at < argc)
        err = take(&p);
    bool asks = settings->help || settings->version;
    if (!err && p.command && !asks && settings->operand_count < p.command->operands_min)
        err = pb_fail(why, PB_E_INVALID, NULL, "%s needs %s: patchbay %s %s", p.command->name,
                      p.command->arguments, p.command->name, p.command->arguments);
    if (!err)
        *command = p.command;
    return err;
}

/* -- help -- */

static void help_entry(struct buf *out, const char *left, const char *right)
{
    int pad = HELP_INDENT - (int)strlen(left) - 2;
    if (pad < 2)
        buf_printf(out, "  %s\n%*s%s", left, HELP_INDENT, "", right);
    else
        buf_printf(out, "  %s%*s%s", left, pad, "", right);
}

static void help_options(struct buf *out, const char *title, const struct option *options, size_t count)
{
    char left[64];
    if (count)
        buf_printf(out, "\n%s:\n", title);
    for (size_t i = 0; i < count; i++) {
        const struct option *o = &options[i];
        snprintf(left, sizeof left, "--%s%s%s", o->name, o->value ? " " : "", o->value ? o->value : "");
        help_entry(out, left, o->help);
        if (o->initial && o->initial[0])
            buf_printf(out, " (default: %s)", o->initial);
        if (o->kind == OPTION_LIST)
            buf_text(out, " (may be repeated)");
        buf_text(out, "\n");
    }
}

static void help_command(const struct command *c, struct buf *out)
{
    buf_printf(out, "usage: patchbay %s%s%s%s\n\n%s\n", c->name, c->arguments[0] ? " " : "", c->arguments,
               c->option_count ? " [OPTION...]" : "", c->summary);
    if (c->details)
        buf_printf(out, "\n%s\n", c->details);
    help_options(out, "Options", c->options, c->option_count);
}

/* "jobs [list] ", "rm ID|NAME". */
static void help_name(const struct command *c, char *out, size_t size)
{
    int first = (int)strcspn(c->name, " ");
    if (c->is_usual)
        snprintf(out, size, "%.*s [%s] %s", first, c->name, c->name + first + 1, c->arguments);
    else
        snprintf(out, size, "%s %s", c->name, c->arguments);
}

/* Those that begin with group, or with NULL all. */
static void help_commands(const struct args_tables *t, const char *group, struct buf *out)
{
    char left[64];
    buf_text(out, "\nCommands:\n");
    for (size_t i = 0; i < t->command_count; i++) {
        const struct command *c = t->commands[i];
        if (group && !is_first_word(c, group))
            continue;
        help_name(c, left, sizeof left);
        help_entry(out, left, c->summary);
        buf_text(out, "\n");
    }
}

void args_help(const struct args_tables *t, const struct command *command, const char *group, struct buf *out)
{
    if (command) {
        help_command(command, out);
    } else if (group) {
        buf_printf(out, "usage: patchbay %s COMMAND [ARGUMENT...] [OPTION...]\n", group);
        help_commands(t, group, out);
    } else {
        buf_text(out, "usage: patchbay COMMAND [ARGUMENT...] [OPTION...]\n\n"
                      "Sets connections to third-party services up and keeps testing them.\n");
        help_commands(t, NULL, out);
    }
    help_options(out, "Options of all commands", t->common, t->common_count);
    help_entry(out, "--help, --version", "this text, or that of COMMAND --help; the version\n");
    if (!command && !group)
        buf_text(out, "\nPATCHBAY_URL, PATCHBAY_TOKEN and PATCHBAY_DATA_DIR, or url = and token = in\n"
                      "~/.config/patchbay/config, say which broker and with which token. Without a token\n"
                      "admin.token in the data folder is used, for a broker on this machine.\n\n"
                      "Exit status: 0 done; 1 the answer is no; 2 usage; 3 the broker cannot be reached.\n");
}
