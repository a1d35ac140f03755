/* How fast is the store? Appends JOBS jobs with payloads of 256 bytes, loads them in pages as a broker does
 * that starts, finishes them, and purges them, in commits of GROUP. Prints, of each, rows a second, and what
 * does not depend on who else uses the disk: time of the processor and bytes written for a row. The folder
 * should lie on the disk that is asked about.
 *
 *   make build/tests/bench/store
 *   build/tests/bench/store FOLDER [JOBS [GROUP [TENANTS [INTEGRATIONS]]]]
 *
 * INTEGRATIONS 0: every job has a new one, as setups do; else they are taken from so many, in no order. */
#include "common/store.h"
#include "common/clock.h"

#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#define PAYLOAD_BYTES 256

struct bench {
    struct store *store;
    size_t jobs, group, tenants, integrations;
    struct pb_id *ids;
    struct store_op *ops, **refs;
    uint8_t payload[PAYLOAD_BYTES];
};

static char result[] =
    "{\"code\":\"ok\",\"class\":\"ok\",\"httpStatus\":200,\"attempt\":1,\"durationMs\":12}";

static void fill_append(struct bench *b, size_t n, struct store_op *op)
{
    struct job *job = &op->job;
    *op = (struct store_op){.kind = STORE_APPEND_JOB};
    job->id = b->ids[n];
    job->kind = JOB_VALIDATE;
    job->state = JOB_WAITING;
    job->created_at_ms = clock_wall_ms();
    job->payload = b->payload;
    job->payload_len = PAYLOAD_BYTES;
    snprintf(job->tenant, sizeof job->tenant, "tenant-%zu", n % b->tenants);
    snprintf(job->type, sizeof job->type, "stripe");
    if (!b->integrations)
        id_new(&job->integration, job->created_at_ms);
    for (size_t i = 0; b->integrations && i < 4; i++)
        job->integration.bytes[i] = (uint8_t)(randombytes_uniform((uint32_t)b->integrations) >> (8 * i));
}

static void fill_finish(struct bench *b, size_t n, struct store_op *op)
{
    *op = (struct store_op){
        .kind = STORE_FINISH_JOB,
        .job = {.id = b->ids[n], .state = JOB_DONE, .finished_at_ms = clock_wall_ms(), .result = result}};
}

static bool commit(struct bench *b, size_t count)
{
    struct pb_why why = {0};
    if (store_commit(b->store, b->refs, count, &why) != PB_OK) {
        fprintf(stderr, "%s: %s\n", why.at, why.text);
        return false;
    }
    for (size_t i = 0; i < count; i++)
        if (b->ops[i].outcome) {
            fprintf(stderr, "an operation was refused: %s\n", pb_err_name(b->ops[i].outcome));
            return false;
        }
    return true;
}

static double cpu_us(void)
{
    struct rusage u;
    getrusage(RUSAGE_SELF, &u);
    return (double)(u.ru_utime.tv_sec + u.ru_stime.tv_sec) * 1e6 +
           (double)(u.ru_utime.tv_usec + u.ru_stime.tv_usec);
}

static double written_bytes(void)
{
    char line[128];
    double n = 0;
    FILE *f = fopen("/proc/self/io", "r");
    while (f && fgets(line, sizeof line, f))
        if (strncmp(line, "wchar:", 6) == 0)
            n = strtod(line + 6, NULL);
    if (f)
        fclose(f);
    return n;
}

struct meter {
    uint64_t began_ms;
    double cpu_us, written;
};

static struct meter begin(void)
{
    return (struct meter){.began_ms = clock_mono_ms(), .cpu_us = cpu_us(), .written = written_bytes()};
}

static void say(const struct bench *b, const char *what, const struct meter *m)
{
    uint64_t ms = clock_mono_ms() - m->began_ms;
    printf("%-7s %zu rows, %llu rows/s, %.1f us of CPU and %.0f bytes written for each\n", what, b->jobs,
           (unsigned long long)b->jobs * 1000 / (ms ? ms : 1), (cpu_us() - m->cpu_us) / (double)b->jobs,
           (written_bytes() - m->written) / (double)b->jobs);
}

static bool run(struct bench *b, const char *what, void (*fill)(struct bench *, size_t, struct store_op *))
{
    struct meter m = begin();
    for (size_t n = 0; n < b->jobs; n += b->group) {
        size_t count = b->jobs - n < b->group ? b->jobs - n : b->group;
        for (size_t i = 0; i < count; i++)
            fill(b, n + i, &b->ops[i]);
        if (!commit(b, count))
            return false;
    }
    say(b, what, &m);
    return true;
}

struct page {
    struct pb_id last;
    size_t count;
};

static pb_err take(void *arg, const struct job *job)
{
    struct page *p = arg;
    p->last = job->id;
    p->count++;
    return PB_OK;
}

static bool load(struct bench *b)
{
    const struct store_job_filter waiting = {.state = JOB_WAITING};
    struct meter m = begin();
    struct page p = {0};
    struct pb_why why = {0};
    size_t before;
    do {
        struct pb_id after = p.last;
        before = p.count;
        if (store_list_jobs(b->store, &waiting, &after, 1000, take, &p, &why) != PB_OK)
            return false;
    } while (p.count == before + 1000);
    say(b, "load", &m);
    return p.count == b->jobs;
}

static bool purge(struct bench *b)
{
    struct meter m = begin();
    size_t removed = 0;
    do {
        b->ops[0] = (struct store_op){.kind = STORE_PURGE_JOBS};
        if (!commit(b, 1))
            return false;
        removed += b->ops[0].purge.removed;
    } while (b->ops[0].purge.removed);
    say(b, "purge", &m);
    return removed == b->jobs;
}

static bool open_bench(struct bench *b, const char *folder)
{
    char url[512];
    struct pb_why why = {0};
    snprintf(url, sizeof url, "sqlite:%s/bench-%lld.db", folder, (long long)clock_wall_ms());
    b->ids = calloc(b->jobs, sizeof *b->ids);
    b->ops = calloc(b->group, sizeof *b->ops);
    b->refs = calloc(b->group, sizeof(struct store_op *));
    if (!b->ids || !b->ops || !b->refs || store_open(url, false, &b->store, &why) != PB_OK) {
        fprintf(stderr, "%s: %s\n", why.at, why.text);
        return false;
    }
    for (size_t i = 0; i < b->group; i++)
        b->refs[i] = &b->ops[i];
    for (size_t i = 0; i < b->jobs; i++)
        id_new(&b->ids[i], clock_wall_ms());
    randombytes_buf(b->payload, sizeof b->payload);
    return true;
}

static size_t number(int argc, char **argv, int i, size_t otherwise)
{
    return i < argc ? (size_t)strtoul(argv[i], NULL, 10) : otherwise;
}

int main(int argc, char **argv)
{
    struct bench b = {.jobs = number(argc, argv, 2, 100000),
                      .group = number(argc, argv, 3, 1000),
                      .tenants = number(argc, argv, 4, 1),
                      .integrations = number(argc, argv, 5, 0)};
    if (argc < 2 || !b.jobs || !b.group || !b.tenants || sodium_init() < 0) {
        fprintf(stderr, "usage: store FOLDER [JOBS [GROUP [TENANTS [INTEGRATIONS]]]]\n");
        return 2;
    }
    bool ok = open_bench(&b, argv[1]) && run(&b, "append", fill_append) && load(&b) &&
              run(&b, "finish", fill_finish) && purge(&b);
    store_close(b.store);
    free(b.ids);
    free(b.ops);
    free(b.refs);
    return ok ? 0 : 1;
}
