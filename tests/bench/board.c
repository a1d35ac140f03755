/* What the board costs: submits, dispatches and finishes JOBS jobs of TENANTS tenants through board_step(),
 * with nothing else in the way. Prints steps and nanoseconds a job, and bytes for each that waits. */
#include "broker/board/board.h"
#include "common/limits.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define WORKERS  8
#define CAPACITY 200
#define TYPES    50

struct bench {
    struct board *board;
    struct board_effects fx;
    uint64_t now_ms, steps;
    size_t submitted, finished, jobs, tenants;
    struct board_effect *sent; /* dispatched, not finished: a ring */
    size_t head, count;
    uint64_t received[WORKERS + 1];
    double slowest; /* step, in seconds */
};

static struct pb_id id_of(uint64_t n)
{
    struct pb_id id = {{1}};
    n *= UINT64_C(0x9e3779b97f4a7c15); /* ends in bits that look random, as real ones do */
    memcpy(id.bytes + 8, &n, sizeof n);
    return id;
}

static double seconds(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

/* Takes what was dispatched; the rest asks for nothing here. */
static void step(struct bench *t, const struct board_event *e)
{
    static const struct board_event tick = {.kind = BOARD_TICK};
    do {
        t->fx.count = 0;
        double start = seconds();
        board_step(t->board, t->now_ms, e, &t->fx);
        double took = seconds() - start;
        t->slowest = took > t->slowest ? took : t->slowest;
        t->steps++;
        for (size_t i = 0; i < t->fx.count; i++) {
            const struct board_effect *fx = &t->fx.items[i];
            if (fx->kind == BOARD_DISPATCH)
                t->sent[(t->head + t->count++) % (WORKERS * CAPACITY)] = *fx;
            t->finished += fx->kind == BOARD_FINISH;
        }
        e = &tick;
    } while (t->fx.more);
}

static void submit(struct bench *t)
{
    size_t n = ++t->submitted;
    struct board_event e = {.kind = BOARD_SUBMIT, .job = id_of(n), .integration = id_of(t->jobs + n / 2)};
    e.spec.names[KEY_TENANT] = 1 + n % t->tenants;
    e.spec.names[KEY_TYPE] = 1 + n % TYPES;
    e.spec.names[KEY_KIND] = 1 + n % 3;
    e.spec.priority = PRIORITY_NORMAL;
    step(t, &e);
    step(t, &(struct board_event){.kind = BOARD_APPENDED, .job = e.job});
}

static void finish(struct bench *t)
{
    struct board_effect fx = t->sent[t->head];
    t->head = (t->head + 1) % (WORKERS * CAPACITY);
    t->count--;
    step(t, &(struct board_event){.kind = BOARD_OUTCOME,
                                  .session = fx.session,
                                  .job = fx.job,
                                  .fence = fx.fence,
                                  .outcome = OUTCOME_DONE});
    step(t, &(struct board_event){
                .kind = BOARD_COMMITTED, .job = fx.job, .fence = fx.fence, .outcome = OUTCOME_DONE});
    t->received[fx.session]++;
    if (t->received[fx.session] % (CAPACITY / 2) == 0)
        step(t, &(struct board_event){.kind = BOARD_BEAT,
                                      .session = fx.session,
                                      .beat = {.received = t->received[fx.session], .free = CAPACITY}});
}

static void report(const char *what, size_t jobs, double since)
{
    printf("%-10s %8.0f ns a job\n", what, (seconds() - since) * 1e9 / (double)jobs);
}

static void run(struct bench *t)
{
    double start = seconds();
    while (t->submitted < t->jobs)
        submit(t);
    report("submit", t->jobs, start);
    printf("%-10s %8zu bytes a job\n", "waiting", board_bytes(t->board) / t->jobs);
    printf("%-10s %8.1f ms, the slowest step\n", "", t->slowest * 1e3);
    t->slowest = 0;
    start = seconds();
    for (uint64_t s = 1; s <= WORKERS; s++) {
        step(t, &(struct board_event){.kind = BOARD_JOIN, .session = s});
        step(t, &(struct board_event){.kind = BOARD_BEAT, .session = s, .beat = {.free = CAPACITY}});
    }
    while (t->count) {
        finish(t);
        t->now_ms += t->finished % 100 == 0;
    }
    report("run", t->jobs, start);
    printf("%-10s %8.1f ms, the slowest step\n", "", t->slowest * 1e3);
    printf("%-10s %8zu jobs, %llu steps\n", "finished", t->finished, (unsigned long long)t->steps);
}

int main(int argc, char **argv)
{
    static struct bench t = {.now_ms = 1000};
    t.jobs = argc > 1 ? strtoull(argv[1], NULL, 10) : 1000000;
    t.tenants = argc > 2 ? strtoull(argv[2], NULL, 10) : 20;
    const struct board_settings settings = {.epoch = 1,
                                            .recovery_ms = 1000,
                                            .backoff_ms = 100,
                                            .backoff_max_ms = 1000,
                                            .jobs_max = LIMIT_JOBS_LIVE,
                                            .seed = 1};
    if (argc > 3 || !t.jobs || t.jobs > LIMIT_JOBS_LIVE || !t.tenants) {
        fprintf(stderr, "usage: board [JOBS [TENANTS]]\n");
        return 2;
    }
    t.sent = calloc(WORKERS * CAPACITY, sizeof *t.sent);
    if (!t.sent || board_new(&settings, &t.board) != PB_OK)
        return 1;
    run(&t);
    bool ok = t.finished == t.jobs;
    board_free(t.board);
    free(t.sent);
    return ok ? 0 : 1;
}
