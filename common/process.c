#include "common/process.h"

#include <pthread.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

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
