/* patchbay-sim: runs the board through many seeds of a world that fails. Ends with 1 at the first broken
 * promise, and says which seed shows it again. */
#include "tests/sim/world.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define STEPS      1200
#define CALM_STEPS 20000 /* within which everything must end once nothing fails any more */

static void step(struct world *w)
{
    w->now_ms += chance(w, 30);
    if (!w->calm && one_in(w, 1000))
        w->now_ms += chance(w, 5 * LEASE_MS); /* nothing ran for a while */
    store_turn(w);
    broker_turn(w);
    if (!w->failure[0])
        peers_turn(w);
}

static bool is_open(const struct sim_job *j)
{
    return j->stored.there && !j->stored.finished;
}

static bool all_ended(const struct world *w)
{
    for (unsigned i = 1; i <= w->submitted; i++)
        if (is_open(&w->jobs[i]))
            return false;
    return w->broker_up && board_live(w->board) == 0;
}

/* Jobs whose append was done and reported as failed wait in the store for the next start. */
static bool only_orphans(const struct world *w)
{
    return w->broker_up && board_live(w->board) == 0 && store_is_idle(w);
}

static void run(struct world *w)
{
    clients_settle(w);
    broker_start(w);
    for (int i = 0; i < STEPS && !w->failure[0]; i++)
        step(w);
    w->calm = true;
    w->store_back_ms = 0;
    clients_calm(w);
    for (int i = 0; i < CALM_STEPS && !w->failure[0] && !all_ended(w); i++) {
        step(w);
        if (!w->failure[0] && only_orphans(w) && !all_ended(w))
            broker_crash(w);
    }
    if (!w->failure[0])
        check_end(w);
}

static struct world *world_new(uint64_t seed, bool verbose)
{
    struct world *w = calloc(1, sizeof *w);
    if (!w)
        abort();
    w->seed = w->random = seed;
    w->verbose = verbose;
    w->now_ms = 1000;
    w->capacity = 4 + (uint32_t)chance(w, CAPACITY - 3);
    size_t staff = one_in(w, 3) ? 1 + chance(w, WORKERS) : WORKERS;
    for (size_t i = 0; i < WORKERS; i++) {
        w->workers[i].alive = i < staff;
        w->workers[i].back_ms = UINT64_MAX; /* the others never come */
    }
    return w;
}

static void world_free(struct world *w)
{
    board_free(w->board);
    store_free(w);
    peers_free(w);
    free(w);
}

static bool run_seed(uint64_t seed, bool verbose)
{
    struct world *w = world_new(seed, verbose);
    run(w);
    bool ok = !w->failure[0];
    if (!ok)
        printf("seed %llu: after %llu ms: %s\n", (unsigned long long)seed, (unsigned long long)w->now_ms,
               w->failure);
    world_free(w);
    return ok;
}

int main(int argc, char **argv)
{
    uint64_t seeds = argc > 1 ? strtoull(argv[1], NULL, 10) : 200;
    uint64_t first = argc > 2 ? strtoull(argv[2], NULL, 10) : 1;
    bool verbose = argc > 3 && strcmp(argv[3], "--verbose") == 0;
    if (argc > 4 || seeds == 0) {
        fprintf(stderr, "usage: patchbay-sim [SEEDS [FIRST [--verbose]]]\n");
        return 2;
    }
    for (uint64_t seed = first; seed < first + seeds; seed++)
        if (!run_seed(seed, verbose)) {
            printf("again: patchbay-sim 1 %llu --verbose\n", (unsigned long long)seed);
            return 1;
        }
    printf("%llu seeds, no promise broken\n", (unsigned long long)seeds);
    return 0;
}
