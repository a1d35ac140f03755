#include "broker/batch.h"
#include "broker/broker.h"
#include "broker/reader.h"
#include "common/clock.h"

#include <stdlib.h>
#include <string.h>

struct starting {
    struct broker *broker;
    struct batch *batch;
    batches_done *done;
    void *arg;
    struct store_filter filter;
};

static bool has_part(const struct batch *b, const struct manifest *m)
{
    return b->filter.type[0] ? strcmp(b->filter.type, m->type) == 0 : !m->billable;
}

static pb_err add_windows(struct batch *b, const struct manifests *types)
{
    size_t count = manifests_count(types);
    b->windows = calloc(count + 1, sizeof *b->windows);
    if (!b->windows)
        return PB_E_MEMORY;
    for (size_t i = 0; i < count; i++) {
        const struct manifest *m = manifests_at(types, i);
        if (!has_part(b, m))
            continue;
        struct window *w = &b->windows[b->window_count++];
        w->batch = b;
        snprintf(w->type, sizeof w->type, "%s", m->type);
    }
    return PB_OK;
}

static pb_err take_total(void *arg, const char *type, uint64_t count)
{
    struct batch *b = arg;
    for (size_t i = 0; i < b->window_count; i++)
        if (strcmp(b->windows[i].type, type) == 0)
            b->windows[i].total = count;
    return PB_OK;
}

/* Of two thousand types most have none: they are not looked after. */
static void keep_windows_with_some(struct batch *b)
{
    size_t kept = 0;
    for (size_t i = 0; i < b->window_count; i++)
        if (b->windows[i].total)
            b->windows[kept++] = b->windows[i];
    b->window_count = kept;
}

static pb_err count_read(struct store *store, void *arg, struct pb_why *why)
{
    struct starting *s = arg;
    return store_count_integrations(store, &s->filter, take_total, s->batch, why);
}

/* One tenant's batches, paused for ever perhaps, must not keep all others from having one. */
static bool may_have_another(const struct batches *all, const char *tenant)
{
    size_t own = 0;
    for (const struct batch *b = all->list; b; b = b->next)
        own += strcmp(b->filter.tenant, tenant) == 0;
    return !tenant[0] || own < LIMIT_BATCHES_TENANT;
}

static void count_done(void *arg, pb_err err, const struct pb_why *why)
{
    struct starting *s = arg;
    struct batches *all = s->broker->batches;
    if (!err && all && !may_have_another(all, s->batch->filter.tenant)) /* many asked at once */
        err = PB_E_BUSY;
    struct order *o = err || !all ? NULL : calloc(1, sizeof *o);
    if (all)
        all->starting--;
    if (!o) {
        if (err && err != PB_E_CLOSED && err != PB_E_BUSY)
            log_why(&s->broker->log, LOG_WARN, "a batch could not be started", err, why);
        s->done(s->arg, &s->batch->id, err ? err : PB_E_MEMORY);
        batch_free(s->batch);
    } else {
        *o = (struct order){s->done, s->arg, NULL};
        s->batch->orders = o;
        s->batch->dirty = true;
        keep_windows_with_some(s->batch);
        batch_enter(all, s->batch);
    }
    free(s);
}

pb_err batches_start(struct broker *broker, const struct pb_id *id, const struct batch_filter *filter,
                     uint32_t per_second, batches_done *done, void *arg)
{
    if (broker->batches->count + broker->batches->starting >= LIMIT_BATCHES ||
        !may_have_another(broker->batches, filter->tenant))
        return PB_E_BUSY;
    struct starting *s = calloc(1, sizeof *s);
    struct batch *b = s ? calloc(1, sizeof *b) : NULL;
    if (!b) {
        free(s);
        return PB_E_MEMORY;
    }
    *b = (struct batch){.all = broker->batches,
                        .state = BATCH_RUNNING,
                        .filter = *filter,
                        .per_second = per_second,
                        .created_at_ms = clock_wall_ms()};
    if (id)
        b->id = *id;
    else
        id_new(&b->id, b->created_at_ms);
    b->up_to = id_last_of(b->created_at_ms);
    *s = (struct starting){broker, b, done, arg, {0}};
    s->filter = (struct store_filter){.tenant = b->filter.tenant,
                                      .type = b->filter.type,
                                      .status = b->filter.status,
                                      .health = b->filter.health,
                                      .not_since_ms = b->filter.not_since_ms,
                                      .up_to = &b->up_to};
    pb_err err = add_windows(b, broker->types);
    if (!err)
        err = reader_submit(broker->reader, count_read, count_done, s);
    if (err) {
        batch_free(b);
        free(s);
    } else {
        broker->batches->starting++;
    }
    return err;
}
