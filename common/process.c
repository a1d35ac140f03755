#include "common/process.h"

#include "common/secret.h"

#include <pthread.h>
#include <signal.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

static void block_signals(void)
{
    sigset_t signals;
    sigemptyset(&signals);
    sigaddset(&signals, SIGTERM);
    sigaddset(&signals, SIGINT);
    sigaddset(&signals, SIGPIPE);
    sigprocmask(SIG_BLOCK, &signals, NULL);
}

bool process_begin(const struct program *p, int argc, char **argv, void *settings, int *status)
{
    struct pb_why why = {0};
    bool done = false;
    secret_harden_process();
    block_signals();
    *status = 1;
    if (sodium_init() < 0)
        return false;
    pb_err err = config_load(p, argc, argv, settings, &done, &why);
    if (!err && !done)
        return true;
    if (err)
        fprintf(stderr, "%s: %s%s%s\n", p->name, why.at, why.at[0] ? ": " : "", why.text);
    config_fini(p, settings);
    *status = err ? 2 : 0;
    return false;
}

struct end {
    uint32_t ms;
    int status;
};

static void *end_later(void *arg)
{
    struct end end = *(struct end *)arg;
    struct timespec pause = {end.ms / 1000, (long)(end.ms % 1000) * 1000000};
    free(arg);
    nanosleep(&pause, NULL);
    _exit(end.status);
}

void process_end_within(uint32_t ms, int status)
{
    pthread_t thread;
    struct end *end = malloc(sizeof *end);
    if (!end)
        return;
    *end = (struct end){ms, status};
    if (pthread_create(&thread, NULL, end_later, end) == 0)
        pthread_detach(thread);
    else
        free(end);
}
