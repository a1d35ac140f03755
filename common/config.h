/* Configuration: one table of options per program. The same names serve as --flags, PATCHBAY_* variables and
 * keys of the INI file, flags over environment over file; --help is printed from the table. */
#ifndef PB_CONFIG_H
#define PB_CONFIG_H

#include "common/err.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum option_kind { OPTION_TEXT, OPTION_NUMBER, OPTION_FLAG, OPTION_LIST };

#define OPTION_LIST_MAX 32
struct option_list {
    char *items[OPTION_LIST_MAX];
    size_t count;
};

/* One option: where it lives in the program's settings struct, and its bounds. Text is char * (owned),
 * numbers are int64_t, flags are bool, lists are struct option_list (repeat the flag; comma-separated in file
 * and environment). */
struct option {
    const char *name; /* "data-dir": --data-dir, PATCHBAY_DATA_DIR, data-dir = */
    enum option_kind kind;
    size_t offset;
    const char *initial; /* as text; NULL: unset */
    int64_t min, max;    /* numbers */
    const char *value;   /* what --help calls the value: "DIR" */
    const char *help;
};

struct program {
    const char *name, *summary; /* "patchbay-worker", one line */
    const struct option *options;
    size_t count;
};

/* Fills settings from defaults, the file named by --config or PATCHBAY_CONFIG, environment, and arguments.
 * --help and
 * --version print and give *done = true. Unknown names are errors that name the nearest known one. */
pb_err config_load(const struct program *p, int argc, char **argv, void *settings, bool *done,
                   struct pb_why *why) PB_CHECKED;
/* Which of names (the last is NULL) value is. option is named in why: "--log-format". */
pb_err config_one_of(const char *option, const char *value, const char *const *names, int *out,
                     struct pb_why *why) PB_CHECKED;
void config_fini(const struct program *p, void *settings);

#endif
