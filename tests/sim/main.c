/* patchbay-sim: runs the board through many seeds of a world that fails. Ends with 1 at the first broken
 * promise, and says which seed shows it again. */
#include "tests/sim/world.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define STEPS      3000
#define CALM_STEPS 20000 /* within which everything must end once nothing fails any more */

uint64_t chance(struct world *w, uint64_t n)
{
    uint64_t z = (w->random += UINT64_C(0x9e3779b97f4a7c15));
    z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
    return (z ^ (z >> 31)) % n;
}

bool one_in(struct world *w, uint64_t n)
{
    return chance(w, n) == 0;
}

static struct pb_id numbered(uint8_t kind, unsigned n)
{
    struct pb_id id = {{0}};
    id.bytes[0] = n ? kind : 0;
    id.bytes[14] = (uint8_t)(n >> 8);
    id.bytes[15] = (uint8_t)n;
    return id;
}

struct pb_id job_id(unsigned job)
{
    return numbered(1, job);
}

struct pb_id doc_id(unsigned integration)
{
    return numbered(2, integration);
}

unsigned number_of(const struct pb_id *id)
{
    return (unsigned)id->bytes[14] << 8 | id->bytes[15];
}

void broken(struct world *w, const char *format, ...)
{
    va_list args;
    if (w->failure[0])
        return;
    va_start(args, format);
    vsnprintf(w->failure, sizeof w->failure, format, args);
    va_end(args);
}

void tell(struct world *w, const char *format, ...)
{
    va_list args;
    if (!w->verbose)
        return;
    printf("%8llu ms  ", (unsigned long long)w->now_ms);
    va_start(args, format);
    vprintf(format, args);
    va_end(args);
    putchar('\n');
}

static void step(struct world *w)
{
    w->now_ms += chance(w, 20);
    if (!w->calm && one_in(w, 2000))
        w->now_ms += chance(w, 5 * LEASE_MS); /* nothing ran for a while */
    store_turn(w);
    broker_turn(w);
    if (!w->failure[0])
        peers_turn(w);
}

static bool all_ended(const struct world *w)
{
    for (unsigned i = 1; i <= JOBS; i++)
        if (w->jobs[i].durable && !w->jobs[i].finished)
            return false;
    return w->broker_up && board_live(w->board) == 0;
}

static void run(struct world *w)
{
    broker_start(w);
    for (int i = 0; i < STEPS && !w->failure[0]; i++)
        step(w);
    w->calm = true;
    w->store_back_ms = 0;
    for (int i = 0; i < CALM_STEPS && !w->failure[0] && !all_ended(w); i++)
        step(w);
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
    for (size_t i = 0; i < WORKERS; i++) {
        w->workers[i].alive = true;
        w->workers[i].link.to_worker.items = calloc(MESSAGES, sizeof(struct message));
        w->workers[i].link.to_broker.items = calloc(MESSAGES, sizeof(struct message));
    }
    return w;
}

static void world_free(struct world *w)
{
    board_free(w->board);
    for (size_t i = 0; i < WORKERS; i++) {
        free(w->workers[i].link.to_worker.items);
        free(w->workers[i].link.to_broker.items);
    }
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
