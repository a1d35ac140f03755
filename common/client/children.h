/* The processes that `patchbay up` keeps: starts them, notes their end, and starts those again that die. One
 * thread; nothing blocks. Each has a log file of its own, a process group of its own (so that ^C at the
 * terminal reaches the launcher alone, which stops them in order), and is told to end when the launcher dies.
 */
#ifndef PB_CLIENT_CHILDREN_H
#define PB_CLIENT_CHILDREN_H

#include "common/err.h"

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#define CHILDREN_MAX       65 /* a broker and its workers */
#define CHILD_ARGS_MAX     160
#define CHILD_PAUSE_MIN_MS 200
#define CHILD_PAUSE_MAX_MS 10000
#define CHILD_STEADY_MS    30000 /* who has lived so long starts again after the shortest pause */

struct child {
    char name[16];              /* "broker", "worker-1" */
    char *args[CHILD_ARGS_MAX]; /* owned; args[0] is the program's path */
    size_t arg_count;
    bool args_failed;                 /* no memory, or too many */
    char *log;                        /* path, owned */
    pid_t pid;                        /* 0: not running */
    int pidfd;                        /* -1: not running */
    int status;                       /* how it ended, as waitpid() says it */
    int64_t log_from;                 /* bytes of the log when it was started */
    uint64_t started_ms, start_at_ms; /* start_at_ms: 0, or when it is to start again */
    uint32_t pause_ms;
};

void child_init(struct child *c, const char *program);
void child_fini(struct child *c); /* the process has ended */
/* "--name", value; value is copied. A NULL value adds nothing. */
void child_option(struct child *c, const char *name, const char *value);

/* Starts it. PB_E_IO: why says what the system refused. */
pb_err child_start(struct child *c, uint64_t now_ms, struct pb_why *why) PB_CHECKED;
/* Has it ended since? Then it is reaped, and status says how. */
bool child_reap(struct child *c);
/* Sets when it is to start again: exponential backoff, from CHILD_PAUSE_MIN_MS to CHILD_PAUSE_MAX_MS. Pure.
 */
void child_plan_restart(struct child *c, uint64_t now_ms);
void child_signal(const struct child *c, int signal);
/* "exit status 1", "signal 9 (Killed)". */
void child_how_ended(const struct child *c, char *out, size_t size);

#endif
