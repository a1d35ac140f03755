#include "broker/loop.h"

#include "broker/batches.h"
#include "broker/board/board.h"
#include "broker/broker.h"
#include "broker/effects.h"
#include "broker/http/http.h"
#include "broker/intake.h"
#include "broker/journal.h"
#include "broker/keeper.h"
#include "broker/links.h"
#include "broker/reader.h"
#include "broker/schedules.h"
#include "common/clock.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/signalfd.h>
#include <unistd.h>

#define LONGEST_WAIT_MS 1000
#define DRAIN_MS        5000 /* at most this long for commits that are under way when a signal comes */
#define PAUSE_MS        2000 /* a longer gap between two turns was the broker's own: stopped, or starved */

struct loop {
    int epoll_fd, signal_fd;
    uint64_t last_ms; /* when the last turn began */
    uint64_t paused_ms;
    uint64_t due_ms; /* when time itself has something to do */
    bool stopping;
};

static void take_signals(struct broker *b)
{
    struct signalfd_siginfo info;
    while (read(b->loop->signal_fd, &info, sizeof info) == sizeof info)
        b->loop->stopping = true;
}

/* A gap that this process itself caused counts for nobody's silence. */
static void take_time(struct broker *b)
{
    struct loop *l = b->loop;
    b->now_ms = clock_mono_ms();
    uint64_t gap_ms = b->now_ms - l->last_ms;
    l->paused_ms = gap_ms > LONGEST_WAIT_MS + PAUSE_MS ? gap_ms : 0;
    l->last_ms = b->now_ms;
    if (l->paused_ms)
        log_line(&b->log, LOG_WARN, "the broker did not run for a while; leases are extended by as much",
                 "pausedMs", log_int((char[24]){0}, (long long)l->paused_ms), NULL);
}

static void wait(struct broker *b)
{
    struct loop *l = b->loop;
    struct epoll_event ready[8];
    uint64_t now_ms = clock_mono_ms();
    uint64_t wait_ms = l->due_ms <= now_ms ? 0 : l->due_ms - now_ms;
    epoll_wait(l->epoll_fd, ready, 8, wait_ms < LONGEST_WAIT_MS ? (int)wait_ms : LONGEST_WAIT_MS);
}

static uint64_t least(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

static void take_due(struct broker *b)
{
    struct loop *l = b->loop;
    uint64_t links_ms = links_tick(b->links, b->now_ms, l->paused_ms);
    effects_step(b, &(struct board_event){.kind = BOARD_TICK});
    const uint64_t dues_ms[] = {links_ms,       janitor_tick(b),        batches_tick(b),  keeper_tick(b),
                                intake_tick(b), board_due_ms(b->board), schedules_tick(b)};
    l->due_ms = UINT64_MAX;
    for (size_t i = 0; i < sizeof dues_ms / sizeof dues_ms[0]; i++)
        l->due_ms = least(l->due_ms, dues_ms[i]);
}

/* What has arrived comes before time: a report that lay in a socket while the broker was busy is no silence.
 */
static void turn(struct broker *b)
{
    wait(b);
    take_time(b);
    take_signals(b);
    links_turn(b->links, b->now_ms);
    journal_turn(b->journal);
    reader_turn(b->reader);
    http_turn(b);
    take_due(b);
    links_flush(b->links, b->now_ms);
}

void loop_run(struct broker *b)
{
    b->loop->last_ms = clock_mono_ms();
    while (!b->loop->stopping)
        turn(b);
    b->draining = true; /* nothing new; whoever was promised a commit gets its answer */
    uint64_t until_ms = b->now_ms + DRAIN_MS;
    while (!journal_is_idle(b->journal) && b->now_ms < until_ms)
        turn(b);
    b->loop->due_ms = 0; /* what the last commits brought goes out now */
    turn(b);
}

static pb_err watch(struct loop *l, int fd)
{
    struct epoll_event ev = {.events = EPOLLIN, .data.fd = fd};
    return epoll_ctl(l->epoll_fd, EPOLL_CTL_ADD, fd, &ev) == 0 ? PB_OK : PB_E_IO;
}

static pb_err watch_all(struct broker *b, struct loop *l)
{
    const int fds[] = {l->signal_fd, links_fd(b->links), journal_fd(b->journal), reader_fd(b->reader),
                       http_fd(b->http)};
    for (size_t i = 0; i < sizeof fds / sizeof fds[0]; i++) {
        pb_err err = watch(l, fds[i]);
        if (err)
            return err;
    }
    return PB_OK;
}

pb_err loop_open(struct broker *b, struct loop **out, struct pb_why *why)
{
    struct loop *l = calloc(1, sizeof *l);
    sigset_t signals;
    if (!l)
        return PB_E_MEMORY;
    sigemptyset(&signals);
    sigaddset(&signals, SIGTERM);
    sigaddset(&signals, SIGINT);
    l->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    l->signal_fd = signalfd(-1, &signals, SFD_NONBLOCK | SFD_CLOEXEC);
    if (l->epoll_fd < 0 || l->signal_fd < 0 || watch_all(b, l) != PB_OK) {
        pb_err err = pb_fail(why, PB_E_IO, "loop", "cannot watch descriptors: %s", strerror(errno));
        loop_close(l);
        return err;
    }
    *out = l;
    return PB_OK;
}

void loop_close(struct loop *l)
{
    if (!l)
        return;
    if (l->signal_fd >= 0)
        close(l->signal_fd);
    if (l->epoll_fd >= 0)
        close(l->epoll_fd);
    free(l);
}
