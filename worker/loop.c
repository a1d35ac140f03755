#include "worker/loop.h"

#include "common/clock.h"
#include "worker/link.h"
#include "worker/runner.h"
#include "worker/transfer.h"

#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/signalfd.h>
#include <unistd.h>

#define LONGEST_WAIT_MS  1000
#define DRAIN_AT_MOST_MS 30000

struct loop {
    struct link *link;
    struct transfer *transfer;
    struct runner *runner;
    int epoll_fd, signal_fd;
    unsigned signals;
    uint64_t drain_until_ms;
};

static void take_signals(struct loop *l, uint64_t now_ms)
{
    struct signalfd_siginfo info;
    while (read(l->signal_fd, &info, sizeof info) == sizeof info)
        l->signals++;
    if (l->signals)
        link_drain(l->link);
    if (link_is_draining(l->link) && !l->drain_until_ms) /* or the broker asked for it */
        l->drain_until_ms = now_ms + DRAIN_AT_MOST_MS;
}

/* Nothing left to do, told twice, or out of patience. A worker that has no broker has no one to settle with.
 */
static bool is_over(const struct loop *l, uint64_t now_ms)
{
    if (!link_is_draining(l->link))
        return false;
    return l->signals > 1 || link_is_drained(l->link) || now_ms >= l->drain_until_ms;
}

static void wait(const struct loop *l, uint64_t due_ms)
{
    struct epoll_event ready[8];
    uint64_t now_ms = clock_mono_ms();
    uint64_t wait_ms = due_ms <= now_ms ? 0 : due_ms - now_ms;
    epoll_wait(l->epoll_fd, ready, 8, wait_ms < LONGEST_WAIT_MS ? (int)wait_ms : LONGEST_WAIT_MS);
}

static void turns(struct loop *l)
{
    uint64_t now_ms = clock_mono_ms();
    while (!is_over(l, now_ms)) {
        wait(l, link_tick(l->link, now_ms));
        now_ms = clock_mono_ms();
        link_turn(l->link, now_ms);
        take_signals(l, now_ms);
        transfer_turn(l->transfer);
        runner_turn(l->runner);
    }
}

static pb_err watch(const struct loop *l, int fd)
{
    struct epoll_event ev = {.events = EPOLLIN, .data.fd = fd};
    return epoll_ctl(l->epoll_fd, EPOLL_CTL_ADD, fd, &ev) == 0 ? PB_OK : PB_E_IO;
}

pb_err loop_run(struct link *link, struct transfer *transfer, struct runner *runner, struct pb_why *why)
{
    struct loop l = {.link = link, .transfer = transfer, .runner = runner};
    sigset_t signals;
    sigemptyset(&signals);
    sigaddset(&signals, SIGTERM);
    sigaddset(&signals, SIGINT);
    l.epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    l.signal_fd = signalfd(-1, &signals, SFD_NONBLOCK | SFD_CLOEXEC);
    pb_err err = PB_OK;
    if (l.epoll_fd < 0 || l.signal_fd < 0 || watch(&l, l.signal_fd) || watch(&l, link_fd(link)) ||
        watch(&l, transfer_fd(transfer)) || watch(&l, runner_fd(runner)))
        err = pb_fail(why, PB_E_IO, "loop", "cannot watch descriptors: %s", strerror(errno));
    else
        turns(&l);
    if (l.signal_fd >= 0)
        close(l.signal_fd);
    if (l.epoll_fd >= 0)
        close(l.epoll_fd);
    return err;
}
