#include "common/client/children.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

void child_init(struct child *c, const char *program)
{
    *c = (struct child){.pidfd = -1};
    c->args[0] = strdup(program);
    c->arg_count = 1;
    c->args_failed = !c->args[0];
}

void child_fini(struct child *c)
{
    for (size_t i = 0; i < c->arg_count; i++)
        free(c->args[i]);
    free(c->log);
    if (c->pidfd >= 0)
        close(c->pidfd);
    *c = (struct child){.pidfd = -1};
}

void child_option(struct child *c, const char *name, const char *value)
{
    char *arg = NULL;
    if (!value)
        return;
    if (c->arg_count + 1 >= CHILD_ARGS_MAX || asprintf(&arg, "%s=%s", name, value) < 0)
        c->args_failed = true;
    else
        c->args[c->arg_count++] = arg;
}

/* -- starting -- */

/* In the child, between fork and exec: only calls that are safe after a fork. */
static void become(const struct child *c, pid_t parent, int log_fd)
{
    sigset_t none;
    sigemptyset(&none);
    int null_fd = open("/dev/null", O_RDONLY);
    if (setpgid(0, 0) != 0 || prctl(PR_SET_PDEATHSIG, SIGTERM) != 0 || getppid() != parent)
        _exit(126); /* the launcher died before the request took hold */
    if (null_fd < 0 || dup2(null_fd, 0) < 0 || dup2(log_fd, 1) < 0 || dup2(log_fd, 2) < 0)
        _exit(126);
    signal(SIGPIPE, SIG_DFL);
    sigprocmask(SIG_SETMASK, &none, NULL);
    execv(c->args[0], c->args);
    dprintf(2, "%s: cannot be run: %s\n", c->args[0], strerror(errno));
    _exit(127);
}

static pb_err open_log(struct child *c, int *out, struct pb_why *why)
{
    struct stat st;
    int fd = open(c->log, O_WRONLY | O_APPEND | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (fd < 0 || fstat(fd, &st) != 0) {
        pb_err err = pb_fail(why, PB_E_IO, c->log, "cannot be written: %s", strerror(errno));
        if (fd >= 0)
            close(fd);
        return err;
    }
    c->log_from = st.st_size;
    *out = fd;
    return PB_OK;
}

pb_err child_start(struct child *c, uint64_t now_ms, struct pb_why *why)
{
    int log_fd = -1;
    if (c->args_failed)
        return pb_fail(why, PB_E_LIMIT, c->name, "has too many arguments");
    pb_err err = open_log(c, &log_fd, why);
    if (err)
        return err;
    pid_t parent = getpid(), pid = fork();
    if (pid == 0)
        become(c, parent, log_fd);
    if (pid < 0)
        err = pb_fail(why, PB_E_IO, c->name, "cannot be started: %s", strerror(errno));
    close(log_fd);
    if (err)
        return err;
    c->pid = pid;
    c->pidfd = (int)syscall(SYS_pidfd_open, pid, 0); /* -1: the loop's own pace finds its end */
    c->started_ms = now_ms;
    c->start_at_ms = 0;
    return PB_OK;
}

/* -- ending -- */

bool child_reap(struct child *c)
{
    int status;
    if (!c->pid || waitpid(c->pid, &status, WNOHANG) != c->pid)
        return false;
    if (c->pidfd >= 0)
        close(c->pidfd);
    c->status = status;
    c->pidfd = -1;
    c->pid = 0;
    return true;
}

void child_plan_restart(struct child *c, uint64_t now_ms)
{
    uint32_t longer = c->pause_ms * 2 < CHILD_PAUSE_MAX_MS ? c->pause_ms * 2 : CHILD_PAUSE_MAX_MS;
    bool steady = now_ms - c->started_ms >= CHILD_STEADY_MS;
    c->pause_ms = steady || !c->pause_ms ? CHILD_PAUSE_MIN_MS : longer;
    c->start_at_ms = now_ms + c->pause_ms;
}

void child_signal(const struct child *c, int signal)
{
    if (c->pid)
        kill(c->pid, signal);
}

void child_how_ended(const struct child *c, char *out, size_t size)
{
    if (WIFSIGNALED(c->status))
        snprintf(out, size, "signal %d (%s)", WTERMSIG(c->status), strsignal(WTERMSIG(c->status)));
    else
        snprintf(out, size, "exit status %d", WEXITSTATUS(c->status));
}
