/* What the command line says: commands and their options are tables, and parsing, --help and the nearest
 * known name all read them. Pure: help goes to a buffer. */
#ifndef PB_CLIENT_ARGS_H
#define PB_CLIENT_ARGS_H

#include "common/buf.h"
#include "common/config.h"
#include "common/err.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define ARGS_OPERANDS_MAX 64

/* Every option of every command. Strings are lent by argv or by the tables. */
struct settings {
    const char *url, *data_dir;
    bool json, no_color;
    const char *name, *credentials, *type, *status, *health, *query, *keyring;
    const char *state, *kind, *integration, *code, *tenant, *host, *not_since;
    const char *cron, *time_zone, *missed;
    const char *http_listen, *manifests, *store, *ca_file, *log_format;
    int64_t wait_s, workers, lease_ms, limit, rate, jitter_s;
    struct option_list connect_to, allow_egress;
    bool yes, all, no_watch, disabled, ndjson, checks;
    const char *operands[ARGS_OPERANDS_MAX];
    size_t operand_count;
    const char *group; /* "keys" with --help behind it: help for all commands that begin so */
    bool help, version;
};

struct client;

struct command {
    const char *name;      /* "setup"; of two words where it acts on a thing: "keys init" */
    bool is_usual;         /* of two words, of which the first alone means it, too */
    const char *arguments; /* "TYPE", for help; "" for none */
    const char *summary, *details;
    size_t operands_min, operands_max;
    const struct option *options;
    size_t option_count;
    int (*run)(struct client *c); /* gives the exit status; NULL only in tests */
};

struct args_tables {
    const struct option *common;
    size_t common_count;
    const struct command *const *commands;
    size_t command_count;
};

/* Reads argv into settings (zeroed before). Options of all commands may stand before the command's name, the
 * command's own after it. *command is NULL where none is named. PB_E_INVALID: why says what is wrong and what
 * would be right. */
pb_err args_parse(const struct args_tables *t, int argc, char **argv, struct settings *settings,
                  const struct command **command, struct pb_why *why) PB_CHECKED;

/* Help for one command, or where that is NULL for those of a group (settings' group), or of all. */
void args_help(const struct args_tables *t, const struct command *command, const char *group,
               struct buf *out);

#endif
