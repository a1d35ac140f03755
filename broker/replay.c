#include "broker/replay.h"

#include "broker/broker.h"
#include "broker/intake.h"
#include "broker/reader.h"
#include "common/clock.h"
#include "common/limits.h"

#include <stdlib.h>
#include <string.h>

#define PAGE_JOBS 500

struct replay {
    struct replays *all; /* NULL: this place is free */
    struct control_replay told;
    char *tenant, *type, *code;
    struct store_job_filter filter; /* its strings are the ones above */
    struct pb_id integration, after;
    struct job page[PAGE_JOBS];
    size_t count, answered; /* of the page */
    bool sending;           /* without memory an answer comes from within */
    int64_t next_ms;        /* wall clock: when the next one may run */
    uint64_t nth;
};

struct replays {
    struct broker *broker;
    struct replay *items[LIMIT_REPLAYS];
};

static void end(struct replay *r)
{
    for (size_t i = 0; i < LIMIT_REPLAYS; i++)
        if (r->all->items[i] == r)
            r->all->items[i] = NULL;
    for (size_t i = 0; i < r->count; i++)
        job_fini(&r->page[i]);
    free(r->tenant);
    free(r->type);
    free(r->code);
    free(r);
}

static void read_page(struct replay *r);

/* When the whole page is answered. */
static void go_on(struct replay *r)
{
    if (r->answered < r->count)
        return;
    if (r->count < PAGE_JOBS)
        end(r);
    else
        read_page(r);
}

static void answered(void *arg, const struct intake_answer *a)
{
    struct replay *r = arg;
    *(a->err ? &r->told.refused : &r->told.sent) += 1;
    r->answered++;
    if (!r->sending)
        go_on(r);
}

/* The n-th one may run n / per_second seconds after the first. */
static int64_t due_ms(struct replay *r)
{
    return r->next_ms + (int64_t)(r->nth++ * 1000 / r->told.per_second);
}

static void send_page(struct replay *r)
{
    r->answered = 0;
    r->sending = true;
    for (size_t i = 0; i < r->count; i++)
        intake_revive(r->all->broker, &r->page[i], due_ms(r), 0, answered, r);
    r->sending = false;
    go_on(r);
}

static pb_err take(void *arg, const struct job *job)
{
    struct replay *r = arg;
    struct job *copy = &r->page[r->count++];
    *copy = *job;
    copy->payload = NULL;
    copy->result = NULL;
    r->after = job->id;
    return PB_OK;
}

static pb_err page_read(struct store *store, void *arg, struct pb_why *why)
{
    struct replay *r = arg;
    struct pb_id after = r->after;
    return store_list_jobs(store, &r->filter, &after, PAGE_JOBS, take, r, why);
}

static void page_done(void *arg, pb_err err, const struct pb_why *why)
{
    struct replay *r = arg;
    if (err && err != PB_E_CLOSED)
        log_why(&r->all->broker->log, LOG_ERROR, "sending dead jobs again ends early: they cannot be read",
                err, why);
    if (err || r->count == 0)
        end(r);
    else
        send_page(r);
}

static void read_page(struct replay *r)
{
    r->count = 0;
    if (reader_submit(r->all->broker->reader, page_read, page_done, r) != PB_OK)
        end(r);
}

static pb_err copy_text(const char *from, char **to, const char **lent)
{
    if (!from)
        return PB_OK;
    *to = strdup(from);
    *lent = *to;
    return *to ? PB_OK : PB_E_MEMORY;
}

static pb_err copy_filter(struct replay *r, const struct store_job_filter *filter)
{
    r->filter = (struct store_job_filter){.kind = filter->kind, .state = JOB_DEAD};
    if (filter->integration) {
        r->integration = *filter->integration;
        r->filter.integration = &r->integration;
    }
    pb_err err = copy_text(filter->tenant, &r->tenant, &r->filter.tenant);
    if (!err)
        err = copy_text(filter->type, &r->type, &r->filter.type);
    return err ? err : copy_text(filter->code, &r->code, &r->filter.code);
}

pb_err replays_start(struct replays *all, const struct store_job_filter *filter, uint32_t per_second)
{
    size_t place = 0;
    while (place < LIMIT_REPLAYS && all->items[place])
        place++;
    if (place == LIMIT_REPLAYS)
        return PB_E_BUSY;
    struct replay *r = calloc(1, sizeof *r);
    if (!r)
        return PB_E_MEMORY;
    r->all = all;
    r->told.per_second = per_second;
    r->next_ms = clock_wall_ms();
    all->items[place] = r;
    pb_err err = copy_filter(r, filter);
    if (!err)
        err = reader_submit(all->broker->reader, page_read, page_done, r);
    if (err)
        end(r);
    return err;
}

void replays_each(const struct replays *all, void (*each)(void *arg, const struct control_replay *r),
                  void *arg)
{
    for (size_t i = 0; i < LIMIT_REPLAYS; i++)
        if (all->items[i])
            each(arg, &all->items[i]->told);
}

pb_err replays_open(struct broker *b, struct replays **out)
{
    struct replays *all = calloc(1, sizeof *all);
    if (!all)
        return PB_E_MEMORY;
    all->broker = b;
    *out = all;
    return PB_OK;
}

/* Reader and intake have answered everything by now. */
void replays_close(struct replays *all)
{
    for (size_t i = 0; all && i < LIMIT_REPLAYS; i++)
        if (all->items[i])
            end(all->items[i]);
    free(all);
}
