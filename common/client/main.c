/* patchbay: the command. This file is the table of commands and what becomes of one line of arguments. */
#include "common/client/client.h"

#include <curl/curl.h>
#include <locale.h>
#include <signal.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>

/* Says what is wrong with the arguments, and where help is. */
static int usage(const struct client *c, const struct pb_why *why)
{
    return client_fail(c, CLIENT_USAGE, why);
}

static int help(const struct command *command, const char *group)
{
    struct buf b;
    buf_init(&b, 64 * 1024);
    args_help(&client_tables, command, group, &b);
    term_print(&b);
    buf_fini(&b);
    return CLIENT_DONE;
}

static const char *data_dir(void)
{
    const char *dir = getenv("PATCHBAY_DATA_DIR");
    return dir && dir[0] ? dir : "data";
}

static int run(struct client *c, int argc, char **argv)
{
    const struct command *command = NULL;
    struct pb_why why = {0};
    pb_err err = args_parse(&client_tables, argc, argv, &c->settings, &command, &why);
    if (err)
        return usage(c, &why);
    if (c->settings.version) {
        printf("patchbay %s\n", PB_VERSION);
        return CLIENT_DONE;
    }
    if (!command || c->settings.help)
        return help(command, c->settings.group);
    c->command = command->name;
    if (!c->settings.data_dir)
        c->settings.data_dir = data_dir();
    term_open(&c->term, c->settings.no_color);
    return command->run(c);
}

int main(int argc, char **argv)
{
    struct client c = {0};
    /* What the broker sends is UTF-8, and its width is asked of the library. */
    setlocale(LC_CTYPE, "C.UTF-8");
    signal(SIGPIPE, SIG_IGN);
    if (sodium_init() < 0 || curl_global_init(CURL_GLOBAL_DEFAULT) != 0)
        return CLIENT_NO;
    int status = run(&c, argc, argv);
    api_close(c.api);
    access_fini(&c.access);
    curl_global_cleanup();
    if (fflush(stdout) != 0 && !status)
        status = CLIENT_NO;
    return status;
}
