/* What every command of `patchbay` is given, and the steps they share. */
#ifndef PB_CLIENT_H
#define PB_CLIENT_H

#include "common/client/access.h"
#include "common/client/api.h"
#include "common/client/args.h"
#include "common/client/term.h"

#include <stdio.h>

#define CLIENT_DONE        0
#define CLIENT_NO          1 /* the answer is no */
#define CLIENT_USAGE       2
#define CLIENT_UNREACHABLE 3

#define CLIENT_ID_BYTES 40 /* an integration's or job's id, and a NUL */

struct client {
    struct settings settings;
    struct access access;
    struct term term;
    struct api *api;
    const char *command; /* for messages */
};

/* Opens access and api: for commands that ask the broker. Gives an exit status; what is wrong was said. */
int client_open(struct client *c);

/* Sends r. CLIENT_DONE: *out is an answer below 400, the caller's to fini. Else what is wrong has been said
 * (with --json the problem document, as it came) and the exit status is given. */
int client_call(struct client *c, const struct api_request *r, struct api_answer *out);
/* The same, but leaves refusals to the caller: only that no answer came is an error. */
int client_ask(struct client *c, const struct api_request *r, struct api_answer *out);
/* As client_call, but gives the document alone: *out is the caller's to json_decref, and NULL
 * where the answer has none. */
int client_fetch(struct client *c, const struct api_request *r, json_t **out);
/* Says a refusal of the broker on out: standard output where it is the command's answer, else standard error.
 * With --json it is printed as it came. Gives CLIENT_NO. */
int client_refused(struct client *c, const struct api_answer *a, FILE *out);

/* "patchbay setup: AT: TEXT" on standard error; gives exit. */
int client_fail(const struct client *c, int exit, const struct pb_why *why);
int client_say(const struct client *c, int exit, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* Opens a file for reading; "-" is standard input. *name is what messages call it, lent by path. Gives an
 * exit status; what is wrong has been said. */
int client_open_file(const struct client *c, const char *path, FILE **out, const char **name);
void client_close_file(FILE *f); /* leaves standard input open */

/* Prints the document on standard output: for --json. */
void client_print_json(const struct client *c, const json_t *json);

/* Prints an event's check, {isValid, errors}, that of the file or payload that name says. CLIENT_NO: it is
 * not valid. */
int client_show_check(const struct client *c, const json_t *check, const char *name);

/* Prints a list: with --json items, else the table of them, or where that is empty if_none. */
int client_show_list(const struct client *c, json_t *items, const struct table *table, const char *if_none);

/* The record that operand names, by id or by name; *out is the caller's to json_decref. */
int client_find(struct client *c, const char *operand, json_t **out);

/* Calls visit for each item of a paged list; path may have a query already. Stops at visit's first false. */
int client_list(struct client *c, const char *path, bool (*visit)(void *arg, json_t *item), void *arg);

/* Waits until the job has ended, but not past until_ms (monotonic); *job is replaced by its last state. A job
 * that has not ended is said and gives CLIENT_NO. */
int client_follow(struct client *c, json_t **job, uint64_t until_ms);

/* Appends "?type=stripe&..." of the filters that are set. */
void client_filter(const struct settings *s, struct buf *path);

/* A member's text, or that of a member's member; NULL: none. Lent by the document. */
const char *json_text_at(const json_t *object, const char *key);
const char *json_text_in(const json_t *object, const char *outer, const char *key);
long long json_int_at(const json_t *object, const char *key); /* 0: none */

struct json_text {
    const char *name, *value;
};
/* Sets the members whose value is not NULL. false: one is not UTF-8, or no memory. */
bool json_set_texts(json_t *object, const struct json_text *texts, size_t count);

/* "ok  TEXT" on standard output, unless --json is wanted. */
void client_print_ok(const struct client *c, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* -- the commands -- */

extern const struct command command_up, command_types, command_test, command_setup, command_list,
    command_show, command_rm, command_validate, command_revalidate, command_jobs_list, command_jobs_show,
    command_jobs_cancel, command_jobs_retry, command_jobs_submit, command_queue_show, command_queue_pause,
    command_queue_resume, command_workers_list, command_workers_drain, command_keys_init,
    command_store_migrate;
extern const struct command command_batch_list, command_batch_show, command_batch_watch, command_batch_pause,
    command_batch_resume, command_batch_cancel, command_batch_rate;
extern const struct command command_schedule_list, command_schedule_show, command_schedule_set,
    command_schedule_rm;
extern const struct command command_event_validate, command_schema_check, command_lint;
extern const struct args_tables client_tables;

#endif
