#include "broker/schedule.h"

#include "broker/broker.h"
#include "broker/journal.h"
#include "common/clock.h"

#include <sodium.h>
#include <stdlib.h>
#include <string.h>

#define LOOK_MS  1000  /* between looks at most: so soon a clock that was set is noticed */
#define LATE_MS  60000 /* what comes later than this was missed */
#define AGAIN_MS 5000  /* until a batch that was refused is tried again */
#define BACK_MS  (INT64_C(24) * 3600 * 1000) /* a clock that is set back further was wrong before */

struct schedules {
    struct broker *broker;
    struct schedule *list; /* in order of tenant and name */
    size_t count;
    uint64_t look_ms; /* monotonic: the next look */
};

static int order_of(const char *tenant_a, const char *name_a, const char *tenant_b, const char *name_b)
{
    int order = strcmp(tenant_a, tenant_b);
    return order ? order : strcmp(name_a, name_b);
}

/* Where it stands, or would. */
static struct schedule **place(struct schedules *all, const char *tenant, const char *name)
{
    struct schedule **at = &all->list;
    while (*at && order_of((*at)->tenant, (*at)->name, tenant, name) < 0)
        at = &(*at)->next;
    return at;
}

static struct schedule *find(const struct schedules *all, const char *tenant, const char *name)
{
    struct schedule *s = all->list;
    while (s && order_of(s->tenant, s->name, tenant, name) != 0)
        s = s->next;
    return s;
}

static void enter(struct schedules *all, struct schedule *s)
{
    struct schedule **at = place(all, s->tenant, s->name);
    s->next = *at;
    *at = s;
    all->count++;
    all->look_ms = 0;
}

static void schedule_free(struct schedule *s)
{
    if (s)
        schedule_spec_fini(&s->spec);
    free(s);
}

/* -- when -- */

/* The same for each time, over restarts, without being kept: a hash of what it is for. */
static int64_t jitter_ms(const struct schedule *s)
{
    crypto_generichash_state state;
    uint64_t hash;
    crypto_generichash_init(&state, NULL, 0, sizeof hash);
    crypto_generichash_update(&state, (const unsigned char *)s->tenant, strlen(s->tenant) + 1);
    crypto_generichash_update(&state, (const unsigned char *)s->name, strlen(s->name) + 1);
    crypto_generichash_update(&state, (const unsigned char *)&s->due_ms, sizeof s->due_ms);
    crypto_generichash_final(&state, (unsigned char *)&hash, sizeof hash);
    return (int64_t)(hash % ((uint64_t)s->spec.jitter_s * 1000 + 1));
}

int64_t schedule_next_ms(const struct schedule *s)
{
    return s->due_ms && s->spec.zone && s->spec.enabled ? s->due_ms + jitter_ms(s) : 0;
}

/* The first time after both what was due and now. */
static void plan(struct schedule *s, int64_t after_ms, int64_t wall_ms)
{
    int64_t from_ms = after_ms > wall_ms ? after_ms : wall_ms;
    s->planned_ms = wall_ms;
    s->due_ms =
        s->spec.zone && s->spec.enabled ? cron_next_s(&s->spec.cron, s->spec.zone, from_ms / 1000) * 1000 : 0;
}

/* -- writing -- */

/* Who is to be told, or what is to be started, when it is durable. */
struct saving {
    struct broker *broker;
    char tenant[LIMIT_TENANT_CHARS + 1], name[LIMIT_SCHEDULE_CHARS + 1];
    struct pb_id batch; /* nil: none */
    schedules_done *done;
    void *arg;
};

static void start_batch(struct broker *b, struct schedule *s);

static void on_saved(void *arg, struct store_op *op, pb_err err)
{
    struct saving *w = arg;
    struct schedule *s = find(w->broker->schedules, w->tenant, w->name);
    if (s && !id_is_nil(&w->batch) && id_equal(&s->batch, &w->batch)) {
        s->busy = false;
        if (!err)
            start_batch(w->broker, s);
    }
    if (w->done)
        w->done(w->arg, err);
    journal_op_free(op);
    free(w);
}

static void name_of(const struct schedule *s, char tenant[LIMIT_TENANT_CHARS + 1],
                    char name[LIMIT_SCHEDULE_CHARS + 1])
{
    memcpy(tenant, s->tenant, LIMIT_TENANT_CHARS + 1);
    memcpy(name, s->name, LIMIT_SCHEDULE_CHARS + 1);
}

/* The journal writes in the order in which it is asked. */
static pb_err submit(struct broker *b, enum store_op_kind kind, const struct schedule *s,
                     const struct saving *what)
{
    struct saving *w = malloc(sizeof *w);
    struct store_op *op = w ? journal_op_new(kind) : NULL;
    pb_err err = op ? PB_OK : PB_E_MEMORY;
    if (!err) {
        *w = *what;
        w->broker = b;
        name_of(s, w->tenant, w->name);
        name_of(s, op->schedule.tenant, op->schedule.name);
        op->schedule.created_at_ms = s->created_at_ms;
        op->schedule.updated_at_ms = s->updated_at_ms;
        op->schedule.body = kind == STORE_PUT_SCHEDULE ? schedule_body(s) : NULL;
        if (kind == STORE_PUT_SCHEDULE && !op->schedule.body)
            err = PB_E_MEMORY;
    }
    if (!err)
        err = journal_submit(b->journal, op, on_saved, w);
    if (err) {
        journal_op_free(op);
        free(w);
    }
    return err;
}

/* -- starting -- */

static void say(struct broker *b, enum log_level level, const char *what, const struct schedule *s)
{
    char batch[ID_TEXT_BYTES];
    id_text(&s->batch, ID_BATCH, batch);
    log_line(&b->log, level, what, "schedule", s->name, "tenant", s->tenant, "batch", batch, NULL);
}

struct starting {
    struct broker *broker;
    char tenant[LIMIT_TENANT_CHARS + 1], name[LIMIT_SCHEDULE_CHARS + 1];
};

static void put_off(struct broker *b, struct schedule *s)
{
    s->busy = false;
    s->again_ms = b->now_ms + AGAIN_MS;
    say(b, LOG_WARN, "a schedule's batch could not be started; it is tried again soon", s);
}

/* That it was started need not be waited for: should it be lost, the batch is found. */
static void on_started(void *arg, const struct pb_id *batch, pb_err err)
{
    struct starting *w = arg;
    struct broker *b = w->broker;
    struct schedule *s = find(b->schedules, w->tenant, w->name);
    free(w);
    if (!s || !id_equal(&s->batch, batch) || err == PB_E_CLOSED)
        return;
    if (err) {
        put_off(b, s);
        return;
    }
    s->busy = false;
    s->started = true;
    say(b, LOG_INFO, "a schedule has started its batch", s);
    if (submit(b, STORE_PUT_SCHEDULE, s, &(struct saving){0}) != PB_OK && !b->draining)
        say(b, LOG_WARN, "that a schedule's batch was started is not noted yet", s);
}

/* A broker that is about to end leaves it to the next. */
static void start_batch(struct broker *b, struct schedule *s)
{
    if (b->draining)
        return;
    struct starting *w = malloc(sizeof *w);
    pb_err err = w ? PB_OK : PB_E_MEMORY;
    s->busy = true;
    if (!err) {
        w->broker = b;
        name_of(s, w->tenant, w->name);
        err = batches_start(b, &s->batch, &s->spec.filter, s->spec.per_second, on_started, w);
    }
    if (!err)
        return;
    free(w);
    put_off(b, s);
}

/* -- turns -- */

static bool is_under_way(const struct broker *b, const struct schedule *s)
{
    return s->run_ms && (!s->started || batches_tenant(b->batches, &s->batch));
}

static void skip(struct schedule *s, int64_t at_ms, enum schedule_skip why)
{
    s->skipped_ms = at_ms;
    s->skipped_why = why;
}

static void claim(struct schedule *s, int64_t wall_ms)
{
    s->run_ms = wall_ms;
    s->started = false;
    s->busy = true;
    id_new(&s->batch, wall_ms);
}

/* Its time has come: it runs or is skipped, and is planned anew. What cannot be written did not happen. */
static void take_turn(struct broker *b, struct schedule *s, int64_t at_ms, int64_t wall_ms)
{
    static const char *const reasons[] = {
        [SKIP_UNDER_WAY] = "a schedule's run was skipped: the batch of the run before is under way",
        [SKIP_MISSED] = "a schedule's run was skipped: its time was missed"};
    struct schedule before = *s;
    enum schedule_skip why = wall_ms - at_ms > LATE_MS && s->spec.missed == MISSED_SKIP ? SKIP_MISSED
                             : is_under_way(b, s)                                       ? SKIP_UNDER_WAY
                                                                                        : SKIP_NONE;
    if (why)
        skip(s, at_ms, why);
    else
        claim(s, wall_ms);
    plan(s, s->due_ms, wall_ms);
    struct saving what = {.batch = why ? (struct pb_id){{0}} : s->batch};
    if (submit(b, STORE_PUT_SCHEDULE, s, &what) != PB_OK)
        *s = before;
    else if (why)
        say(b, LOG_WARN, reasons[why], s);
}

static void look(struct broker *b, struct schedule *s, int64_t wall_ms)
{
    if (s->run_ms && !s->started && !s->busy && b->now_ms >= s->again_ms)
        start_batch(b, s);
    if (s->planned_ms > wall_ms + BACK_MS)
        plan(s, 0, wall_ms);
    int64_t at_ms = schedule_next_ms(s);
    if (at_ms && at_ms <= wall_ms)
        take_turn(b, s, at_ms, wall_ms);
}

uint64_t schedules_tick(struct broker *b)
{
    struct schedules *all = b->schedules;
    int64_t wall_ms = clock_wall_ms(), wait_ms = LOOK_MS;
    if (b->draining)
        return UINT64_MAX;
    if (b->now_ms < all->look_ms)
        return all->look_ms;
    for (struct schedule *s = all->list; s; s = s->next) {
        look(b, s, wall_ms);
        int64_t at_ms = schedule_next_ms(s);
        if (at_ms > wall_ms && at_ms - wall_ms < wait_ms)
            wait_ms = at_ms - wall_ms;
    }
    all->look_ms = b->now_ms + (uint64_t)wait_ms;
    return all->look_ms;
}

/* -- changes -- */

/* What is kept of the one that it replaces: what has run, and when it was made. */
static void take_over(struct schedule *s, const struct schedule *old)
{
    struct schedule *next = s->next;
    struct schedule_spec spec = s->spec;
    int64_t updated_at_ms = s->updated_at_ms;
    *s = *old;
    s->next = next;
    s->spec = spec;
    s->updated_at_ms = updated_at_ms;
}

/* One tenant's schedules must not keep all others from having one. */
static bool may_have_another(const struct schedules *all, const char *tenant)
{
    size_t own = 0;
    for (const struct schedule *s = all->list; s; s = s->next)
        own += strcmp(s->tenant, tenant) == 0;
    return all->count < LIMIT_SCHEDULES && (own < LIMIT_SCHEDULES_TENANT || strcmp(tenant, "*") == 0);
}

pb_err schedules_put(struct broker *b, const char *tenant, const char *name, struct schedule_spec *spec,
                     schedules_done *done, void *arg)
{
    struct schedules *all = b->schedules;
    struct schedule *old = find(all, tenant, name);
    int64_t wall_ms = clock_wall_ms();
    if (!old && !may_have_another(all, tenant))
        return PB_E_LIMIT;
    struct schedule *s = calloc(1, sizeof *s);
    if (!s)
        return PB_E_MEMORY;
    *s = (struct schedule){.created_at_ms = wall_ms, .updated_at_ms = wall_ms, .spec = *spec};
    snprintf(s->tenant, sizeof s->tenant, "%s", tenant);
    snprintf(s->name, sizeof s->name, "%s", name);
    if (old)
        take_over(s, old);
    plan(s, 0, wall_ms);
    pb_err err = submit(b, STORE_PUT_SCHEDULE, s, &(struct saving){.done = done, .arg = arg});
    if (err) {
        free(s);
        return err;
    }
    if (old) {
        *place(all, tenant, name) = old->next;
        all->count--;
        schedule_free(old);
    }
    enter(all, s);
    *spec = (struct schedule_spec){0};
    return PB_OK;
}

pb_err schedules_drop(struct broker *b, const char *tenant, const char *name, schedules_done *done, void *arg)
{
    struct schedule *s = find(b->schedules, tenant, name);
    if (!s)
        return PB_E_NOT_FOUND;
    pb_err err = submit(b, STORE_DROP_SCHEDULE, s, &(struct saving){.done = done, .arg = arg});
    if (err)
        return err;
    *place(b->schedules, tenant, name) = s->next;
    b->schedules->count--;
    schedule_free(s);
    return PB_OK;
}

/* -- shown -- */

json_t *schedules_json(const struct schedules *all, const char *tenant, const char *name)
{
    const struct schedule *s = find(all, tenant, name);
    return s ? schedule_shown(s) : NULL;
}

/* A cursor is "TENANT/NAME"; names have no slash. */
static bool is_behind(const struct schedule *s, const char *cursor)
{
    const char *slash = strrchr(cursor, '/');
    char tenant[SCHEDULE_CURSOR_BYTES];
    if (!slash || strlen(cursor) >= sizeof tenant)
        return true;
    snprintf(tenant, sizeof tenant, "%.*s", (int)(slash - cursor), cursor);
    return order_of(s->tenant, s->name, tenant, slash + 1) > 0;
}

json_t *schedules_page(const struct schedules *all, const char *tenant, const char *after, size_t limit,
                       char next[SCHEDULE_CURSOR_BYTES])
{
    json_t *items = json_array();
    const struct schedule *last = NULL;
    next[0] = '\0';
    for (const struct schedule *s = all->list; s; s = s->next) {
        if ((tenant && strcmp(s->tenant, tenant) != 0) || !is_behind(s, after))
            continue;
        if (json_array_size(items) == limit) {
            snprintf(next, SCHEDULE_CURSOR_BYTES, "%s/%s", last->tenant, last->name);
            break;
        }
        json_array_append_new(items, schedule_shown(s));
        last = s;
    }
    return items;
}

/* -- life -- */

/* A row that makes no sense is left as it is: it must not keep everything else from running. */
static pb_err load(void *arg, const struct store_schedule *stored)
{
    struct schedules *all = arg;
    struct schedule *s = calloc(1, sizeof *s);
    pb_err err = s ? schedule_read_body(stored, s) : PB_E_MEMORY;
    if (!err) {
        enter(all, s);
        if (!s->spec.zone)
            log_line(
                &all->broker->log, LOG_ERROR,
                "a schedule does not run: this machine has no such time zone; install tzdata, and start the "
                "broker again",
                "schedule", s->name, "tenant", s->tenant, "timeZone", s->spec.zone_name, NULL);
        return PB_OK;
    }
    schedule_free(s);
    if (err == PB_E_MEMORY)
        return err;
    log_line(&all->broker->log, LOG_ERROR,
             "a schedule does not run: its row in the store is damaged; set it anew", "schedule",
             stored->name, "tenant", stored->tenant, NULL);
    return PB_OK;
}

/* A run that was noted and, as far as that goes, not started: is its batch there? */
static pb_err look_for_batch(struct store *store, struct schedule *s, struct pb_why *why)
{
    struct store_batch batch = {0};
    if (!s->run_ms || s->started)
        return PB_OK;
    pb_err err = store_get_batch(store, &s->batch, &batch, why);
    s->started = !err;
    store_batch_fini(&batch);
    return err == PB_E_NOT_FOUND ? PB_OK : err;
}

pb_err schedules_open(struct broker *b, struct store *store, struct schedules **out, struct pb_why *why)
{
    struct schedules *all = calloc(1, sizeof *all);
    if (!all)
        return PB_E_MEMORY;
    all->broker = b;
    pb_err err = store_list_schedules(store, NULL, load, all, why);
    for (struct schedule *s = all->list; s && !err; s = s->next)
        err = look_for_batch(store, s, why);
    if (err)
        schedules_close(all);
    else
        *out = all;
    return err;
}

void schedules_close(struct schedules *all)
{
    while (all && all->list) {
        struct schedule *s = all->list;
        all->list = s->next;
        schedule_free(s);
    }
    free(all);
}
