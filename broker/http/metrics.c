/* /metrics: the text format of Prometheus, version 0.0.4. Seconds and bytes, and names that end in their
 * unit. */
#include "broker/broker.h"
#include "broker/http/queue.h"
#include "broker/http/routes.h"
#include "broker/keeper.h"
#include "broker/links.h"
#include "broker/outage.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define METRICS_BYTES (256 * 1024)
#define METRICS_TYPE  "text/plain; version=0.0.4; charset=utf-8"

static void head(struct buf *b, const char *name, const char *type, const char *help)
{
    buf_printf(b, "# HELP patchbay_%s %s\n# TYPE patchbay_%s %s\n", name, help, name, type);
}

static void simple(struct buf *b, const char *name, const char *type, double value, const char *help)
{
    head(b, name, type, help);
    buf_printf(b, "patchbay_%s %.15g\n", name, value);
}

static void counter(struct buf *b, const char *name, uint64_t value, const char *help)
{
    simple(b, name, "counter", (double)value, help);
}

static void gauge(struct buf *b, const char *name, double value, const char *help)
{
    simple(b, name, "gauge", value, help);
}

/* The buckets add up, and the last has no bound. */
static void histogram(struct buf *b, const char *name, const struct histogram *h, const char *help)
{
    uint64_t below = 0;
    head(b, name, "histogram", help);
    for (size_t i = 0; i + 1 < HISTOGRAM_BUCKETS; i++) {
        below += h->buckets[i];
        buf_printf(b, "patchbay_%s_bucket{le=\"%g\"} %llu\n", name, (double)histogram_bound_us(i) / 1e6,
                   (unsigned long long)below);
    }
    buf_printf(b, "patchbay_%s_bucket{le=\"+Inf\"} %llu\npatchbay_%s_sum %.15g\npatchbay_%s_count %llu\n",
               name, (unsigned long long)h->count, name, (double)h->sum_us / 1e6, name,
               (unsigned long long)h->count);
}

/* -- the parts -- */

static void write_jobs(struct buf *b, const struct queue_state *q)
{
    const char *name;
    size_t count;
    head(b, "jobs", "gauge", "Jobs on the board, by state.");
    for (size_t i = 0; queue_phase(&q->jobs, i, &name, &count); i++)
        buf_printf(b, "patchbay_jobs{state=\"%s\"} %zu\n", name, count);
    gauge(b, "oldest_ready_seconds", q->oldest_ready_ms == UINT64_MAX ? 0 : (double)q->oldest_ready_ms / 1000,
          "Age of the oldest job that could run now; 0 if there is none.");
    head(b, "jobs_finished_total", "counter", "Jobs that ended, by outcome.");
    for (int o = OUTCOME_DONE; o <= OUTCOME_DEAD; o++)
        if (o != OUTCOME_RETRY && o != OUTCOME_RETURNED)
            buf_printf(b, "patchbay_jobs_finished_total{outcome=\"%s\"} %llu\n",
                       job_outcome_name((enum job_outcome)o), (unsigned long long)q->stats.finished[o]);
}

static void write_attempts(struct buf *b, const struct queue_state *q)
{
    counter(b, "attempts_dispatched_total", q->stats.dispatched, "Attempts given to workers.");
    counter(b, "attempts_retried_total", q->stats.retried,
            "Attempts that ended without an outcome, to run again.");
    counter(b, "attempts_lost_total", q->stats.lost, "Attempts whose worker was lost, or lost them.");
    counter(b, "reports_stale_total", q->stats.stale, "Outcomes that came too late to count.");
    histogram(b, "dispatch_wait_seconds", &q->waits, "How long jobs that could run waited for a worker.");
}

static void write_store(struct buf *b, const struct broker *broker, const struct queue_state *q)
{
    gauge(b, "store_up", !q->store_failing, "1 if the last commit worked.");
    counter(b, "commits_total", q->journal.commits, "Commits that are durable.");
    counter(b, "commit_operations_total", q->journal.ops, "Operations in them.");
    counter(b, "commit_failures_total", q->journal.failures, "Commits that the store refused.");
    histogram(b, "commit_seconds", &q->journal.commit_time, "How long commits took, sync included.");
    counter(b, "jobs_purged_total", broker->janitor.removed, "Ended jobs that were removed from the store.");
}

static void write_outage(void *arg, const struct outage *o)
{
    buf_printf(arg, "patchbay_outage{type=\"%s\",code=\"%s\"} 1\n", o->type, result_code_name(o->code));
}

static void write_tests(struct buf *b, const struct broker *broker)
{
    struct keeper_stats kept = keeper_stats(broker->keeper);
    counter(b, "due_tests_total", kept.tested, "Integrations that were tested because they were due.");
    gauge(b, "due_tests_running", (double)kept.under_way, "Those of them that are under way.");
    head(b, "outage", "gauge",
         "1 for each type most of whose tests fail alike: its provider is taken to be down.");
    outages_each(broker->outages, broker->now_ms, write_outage, b);
}

struct crew {
    uint64_t workers, draining, running, free;
};

static void count_worker(void *arg, const struct links_worker *w)
{
    struct crew *c = arg;
    c->workers++;
    c->draining += w->draining;
    c->running += w->running;
    c->free += w->free;
}

static void write_workers(struct buf *b, const struct broker *broker)
{
    struct crew c = {0};
    links_each_worker(broker->links, broker->now_ms, count_worker, &c);
    gauge(b, "workers", (double)c.workers, "Workers in session.");
    gauge(b, "workers_draining", (double)c.draining, "Those of them that take nothing new.");
    head(b, "worker_slots", "gauge", "Room for attempts at all workers.");
    buf_printf(b,
               "patchbay_worker_slots{state=\"running\"} %llu\npatchbay_worker_slots{state=\"free\"} %llu\n",
               (unsigned long long)c.running, (unsigned long long)c.free);
}

/* The second number of /proc/self/statm, in pages (proc(5)); 0 where there is none. */
static double resident_bytes(void)
{
    char line[128] = "", *end = line;
    FILE *f = fopen("/proc/self/statm", "re");
    if (!f)
        return 0;
    if (fgets(line, sizeof line, f))
        (void)strtoull(line, &end, 10);
    fclose(f);
    return (double)strtoull(end, NULL, 10) * (double)sysconf(_SC_PAGESIZE);
}

static void write_process(struct buf *b, const struct queue_state *q)
{
    gauge(b, "board_bytes", (double)q->board_bytes, "Memory of the board that grows with jobs.");
    gauge(b, "resident_memory_bytes", resident_bytes(), "Resident memory of the broker.");
    head(b, "build_info", "gauge", "Always 1; the version is a label.");
    buf_printf(b, "patchbay_build_info{version=\"%s\"} 1\n", PB_VERSION);
}

void metrics_get(struct http_request *r)
{
    struct queue_state q;
    struct buf b;
    size_t len = 0;
    queue_read(r->broker, &q);
    buf_init(&b, METRICS_BYTES);
    write_jobs(&b, &q);
    write_attempts(&b, &q);
    write_store(&b, r->broker, &q);
    write_tests(&b, r->broker);
    write_workers(&b, r->broker);
    write_process(&b, &q);
    char *text = buf_take(&b, &len);
    if (text)
        http_answer_text(r, 200, METRICS_TYPE, text, len);
    else
        http_refuse_error(r, PB_E_MEMORY, NULL);
    buf_fini(&b);
}
