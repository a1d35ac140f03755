#include "broker/batches.h"

#include "broker/batch.h"
#include "broker/broker.h"
#include "broker/effects.h"
#include "broker/journal.h"
#include "common/clock.h"

#include <stdlib.h>
#include <string.h>

#define CHECKPOINT_MS 1000
#define OUT_SECONDS   5   /* of the rate: so many may be out at a time */
#define AWHILE_MS     500 /* until something is tried again that found no room or no memory */

static struct batch *find(const struct batches *all, const struct pb_id *id)
{
    struct batch *b = all->list;
    while (b && !id_equal(&b->id, id))
        b = b->next;
    return b;
}

void batch_free(struct batch *b)
{
    for (size_t i = 0; i < b->window_count; i++)
        window_free(&b->windows[i]);
    free(b->windows);
    free(b);
}

static void answer_orders(struct batch *b, struct order *orders, pb_err err)
{
    while (orders) {
        struct order *o = orders;
        orders = o->next;
        o->done(o->arg, &b->id, err);
        free(o);
    }
}

static void leave(struct batch *b)
{
    struct batch **link = &b->all->list;
    while (*link != b)
        link = &(*link)->next;
    *link = b->next;
    b->all->count--;
    answer_orders(b, b->orders, PB_OK);
    batch_free(b);
}

/* Its speed, from now on. */
static void measure(struct batch *b)
{
    b->began_ms = b->all->broker->now_ms;
    b->began_done = b->counts.done;
}

void batch_enter(struct batches *all, struct batch *b)
{
    b->all = all;
    b->next = all->list;
    all->list = b;
    all->count++;
    measure(b);
}

/* -- the rate -- */

/* While no worker takes them, not many more are sent: they would all run at once when one does. */
static size_t room(const struct batch *b)
{
    size_t out = 0, most = (size_t)b->per_second * OUT_SECONDS;
    for (size_t i = 0; i < b->window_count; i++)
        out += b->windows[i].out;
    return out < most ? most - out : 0;
}

size_t batch_allowance(struct batch *b, size_t most)
{
    uint64_t now_us = b->all->broker->now_ms * 1000, second_us = 1000000;
    if (!b->per_second)
        return most;
    size_t left = room(b);
    most = most < left ? most : left;
    if (b->fed_us + second_us < now_us) /* a second's worth may be made up for, and no more */
        b->fed_us = now_us - second_us;
    uint64_t allowed = b->fed_us < now_us ? (now_us - b->fed_us) * b->per_second / second_us : 0;
    allowed = allowed < most ? allowed : most;
    b->fed_us += allowed * second_us / b->per_second;
    return (size_t)allowed;
}

/* -- checkpoints -- */

void batch_changed(struct batch *b)
{
    b->dirty = true;
}

static bool has_ended(enum batch_state state)
{
    return state == BATCH_DONE || state == BATCH_CANCELLED;
}

struct saving {
    struct batch *batch;
    struct order *orders; /* that came before it */
};

static void on_saved(void *arg, struct store_op *op, pb_err err)
{
    struct saving *s = arg;
    struct batch *b = s->batch;
    bool ended = has_ended(op->batch.state);
    b->saving = false;
    answer_orders(b, s->orders, err);
    journal_op_free(op);
    free(s);
    if (ended && !err)
        leave(b);
}

static void save(struct batch *b)
{
    struct broker *broker = b->all->broker;
    struct saving *s = calloc(1, sizeof *s);
    struct store_op *op = s ? journal_op_new(STORE_PUT_BATCH) : NULL;
    b->saved_ms = broker->now_ms;
    if (op && (op->batch.body = batch_body(b))) {
        const char *tenant = b->filter.tenant[0] ? b->filter.tenant : "*";
        op->batch.id = b->id;
        op->batch.state = b->state;
        op->batch.created_at_ms = b->created_at_ms;
        op->batch.finished_at_ms = b->finished_at_ms;
        snprintf(op->batch.tenant, sizeof op->batch.tenant, "%s", tenant);
        *s = (struct saving){b, b->orders};
        if (journal_submit(broker->journal, op, on_saved, s) == PB_OK) {
            b->orders = NULL;
            b->dirty = false;
            b->saving = true;
            return;
        }
    }
    free(s);
    journal_op_free(op);
}

/* -- turns -- */

static bool is_over(const struct batch *b)
{
    bool over = true, out = false;
    for (size_t i = 0; i < b->window_count; i++) {
        over = over && window_is_over(&b->windows[i]);
        out = out || b->windows[i].out;
    }
    return b->cancelling ? !out : over && b->state == BATCH_RUNNING;
}

static void end_if_over(struct batch *b)
{
    if (has_ended(b->state) || !is_over(b))
        return;
    b->state = b->cancelling ? BATCH_CANCELLED : BATCH_DONE;
    for (size_t i = 0; i < b->window_count && !b->cancelling; i++)
        window_count_left(&b->windows[i]);
    b->finished_at_ms = clock_wall_ms();
    b->saved_ms = 0;
    b->dirty = true;
}

static uint64_t tick(struct batch *b)
{
    uint64_t now_ms = b->all->broker->now_ms;
    for (size_t i = 0; i < b->window_count && !has_ended(b->state); i++)
        window_feed(&b->windows[i]);
    end_if_over(b);
    bool runs = batch_runs(b);
    bool due = b->orders || !runs || now_ms >= b->saved_ms + CHECKPOINT_MS;
    if (b->dirty && due && !b->saving)
        save(b);
    return now_ms + (runs && b->per_second ? 20 : b->dirty || runs ? AWHILE_MS : CHECKPOINT_MS);
}

uint64_t batches_tick(struct broker *broker)
{
    uint64_t due_ms = UINT64_MAX;
    for (struct batch *b = broker->batches->list, *next; b; b = next) {
        next = b->next;
        uint64_t one_ms = tick(b);
        due_ms = one_ms < due_ms ? one_ms : due_ms;
    }
    return due_ms;
}

/* -- what comes back -- */

static struct entry *entry_of(const struct batches *all, const struct pb_id *job)
{
    struct entry *e;
    HASH_FIND(hh, all->by_job, job, sizeof *job, e);
    return e;
}

static uint8_t code_of(const struct store_op *op)
{
    json_t *result = op->job.result ? json_loads(op->job.result, 0, NULL) : NULL;
    const char *name = json_string_value(json_object_get(result, "code"));
    enum result_code code = RESULT_INTERNAL;
    bool gone = name && strcmp(name, "not_found") == 0;
    if (name && !gone && result_code_parse(name, &code) != PB_OK)
        code = RESULT_INTERNAL;
    json_decref(result);
    return gone ? COUNT_DELETED : (uint8_t)code;
}

static void on_changed(void *arg, struct store_op *op, pb_err err)
{
    struct broker *b = arg;
    struct entry *e = entry_of(b->batches, &op->job.id);
    if (e && !err) {
        if (op->outcome == PB_E_CONFLICT)
            window_again(e, true);
        else
            window_done(e, op->outcome == PB_E_NOT_FOUND ? COUNT_DELETED : code_of(op));
    }
    journal_op_free(op);
}

/* The record is written first; then it counts. */
static void write_change(struct broker *b, struct entry *e, struct store_op *op)
{
    e->after = op->change.doc.status;
    if (retest_write(b, op, on_changed, b) == PB_OK)
        return;
    window_again(e, true);
    journal_op_free(op);
}

bool batches_finished(struct broker *b, const struct board_effect *finish, struct store_op *op)
{
    struct entry *e = b->batches ? entry_of(b->batches, &finish->job) : NULL;
    if (!e)
        return false;
    if (finish->outcome == OUTCOME_DONE && op && op->change.kind != CHANGE_NONE) {
        write_change(b, e, op);
        return true;
    }
    if (finish->outcome == OUTCOME_CANCELLED)
        window_again(e, false);
    else
        window_done(e, finish->outcome == OUTCOME_DEAD || !op ? COUNT_NOT_TESTED : code_of(op));
    journal_op_free(op);
    return true;
}

bool batches_rejected(struct broker *b, const struct pb_id *job)
{
    struct entry *e = b->batches ? entry_of(b->batches, job) : NULL;
    if (e)
        window_again(e, false);
    return e;
}

void batches_yield(struct broker *broker, const struct pb_id *integration)
{
    for (struct batch *b = broker->batches ? broker->batches->list : NULL; b; b = b->next)
        for (size_t i = 0; i < b->window_count; i++)
            window_yield(&b->windows[i], integration);
}

/* -- orders -- */

static pb_err note_order(struct batch *b, batches_done *done, void *arg)
{
    struct order *o = calloc(1, sizeof *o);
    if (!o)
        return PB_E_MEMORY;
    *o = (struct order){done, arg, b->orders};
    b->orders = o;
    b->dirty = true;
    return PB_OK;
}

static void stop(struct batch *b)
{
    for (size_t i = 0; i < b->window_count; i++)
        window_stop(&b->windows[i]);
}

pb_err batches_order(struct broker *broker, const struct pb_id *id, enum batch_order order,
                     batches_done *done, void *arg)
{
    static const enum batch_state from[] = {[BATCH_PAUSE] = BATCH_RUNNING, [BATCH_RESUME] = BATCH_PAUSED};
    static const enum batch_state to[] = {[BATCH_PAUSE] = BATCH_PAUSED, [BATCH_RESUME] = BATCH_RUNNING};
    struct batch *b = find(broker->batches, id);
    if (!b || has_ended(b->state))
        return PB_E_NOT_FOUND;
    if (b->cancelling || (order != BATCH_CANCEL && b->state != from[order]))
        return PB_E_CONFLICT;
    pb_err err = note_order(b, done, arg);
    if (err)
        return err;
    if (order == BATCH_CANCEL)
        b->cancelling = true;
    else
        b->state = to[order];
    if (order == BATCH_RESUME)
        measure(b);
    else
        stop(b);
    return PB_OK;
}

pb_err batches_set_rate(struct broker *broker, const struct pb_id *id, uint32_t per_second,
                        batches_done *done, void *arg)
{
    struct batch *b = find(broker->batches, id);
    if (!b || has_ended(b->state))
        return PB_E_NOT_FOUND;
    pb_err err = note_order(b, done, arg);
    if (!err) {
        b->per_second = per_second;
        measure(b);
    }
    return err;
}

/* -- as JSON -- */

json_t *batches_json(const struct batches *all, const struct pb_id *id)
{
    const struct batch *b = find(all, id);
    return b ? batch_shown(b) : NULL;
}

const char *batches_tenant(const struct batches *all, const struct pb_id *id)
{
    const struct batch *b = find(all, id);
    return !b ? NULL : b->filter.tenant[0] ? b->filter.tenant : "*";
}

/* -- life -- */

/* A row that makes no sense is left as it is: it must not keep everything else from running. */
static pb_err load(void *arg, const struct store_batch *stored)
{
    struct batches *all = arg;
    struct batch *b = calloc(1, sizeof *b);
    pb_err err = b ? batch_read_body(stored, b) : PB_E_MEMORY;
    if (!err && all->count == LIMIT_BATCHES)
        err = PB_E_LIMIT;
    if (!err) {
        batch_enter(all, b);
        return PB_OK;
    }
    if (b)
        batch_free(b);
    if (err == PB_E_MEMORY)
        return err;
    char id[ID_TEXT_BYTES];
    id_text(&stored->id, ID_BATCH, id);
    log_line(&all->broker->log, LOG_ERROR,
             err == PB_E_LIMIT ? "a batch cannot go on: too many are under way; it does when the broker is "
                                 "started again after some have ended"
                               : "a batch cannot go on: its row in the store is damaged; start another one",
             "batch", id, NULL);
    return PB_OK;
}

static pb_err load_all(struct batches *all, struct store *store, struct pb_why *why)
{
    static const enum batch_state live[] = {BATCH_RUNNING, BATCH_PAUSED};
    pb_err err = PB_OK;
    for (size_t i = 0; i < sizeof live / sizeof live[0] && !err; i++) {
        struct pb_id from_newest = {{0}};
        err = store_list_batches(store, NULL, live[i], &from_newest, LIMIT_BATCHES, load, all, why);
    }
    return err;
}

pb_err batches_open(struct broker *b, struct store *store, struct batches **out, struct pb_why *why)
{
    struct batches *all = calloc(1, sizeof *all);
    if (!all)
        return PB_E_MEMORY;
    all->broker = b;
    pb_err err = load_all(all, store, why);
    if (err) {
        batches_close(all);
        return err;
    }
    *out = all;
    return PB_OK;
}

void batches_close(struct batches *all)
{
    while (all && all->list) {
        struct batch *b = all->list;
        all->list = b->next;
        answer_orders(b, b->orders, PB_E_CLOSED);
        batch_free(b);
    }
    free(all);
}
