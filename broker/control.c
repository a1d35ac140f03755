#include "broker/control.h"

#include "broker/broker.h"
#include "broker/effects.h"
#include "broker/journal.h"
#include "broker/replay.h"
#include "broker/spec.h"
#include "common/limits.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#define META_PAUSES "pauses" /* in the store: [[key, name], ...] */

struct pause {
    enum board_key key;
    char name[LIMIT_HOST_CHARS + 1];
};

struct control {
    struct pause pauses[LIMIT_PAUSES];
    size_t count;
    struct replays *replays;
};

/* -- cancelling -- */

pb_err control_cancel(struct broker *b, const struct pb_id *job)
{
    bool cancelled;
    if (!board_state_of(b->board, job, &cancelled))
        return PB_E_NOT_FOUND;
    effects_step(b, &(struct board_event){.kind = BOARD_CANCEL_JOB, .job = *job});
    return PB_OK;
}

/* -- pausing -- */

static size_t find(const struct control *c, enum board_key key, const char *name)
{
    size_t i = 0;
    while (i < c->count && (c->pauses[i].key != key || strcmp(c->pauses[i].name, name) != 0))
        i++;
    return i;
}

static void add(struct control *c, enum board_key key, const char *name)
{
    struct pause *p = &c->pauses[c->count++];
    p->key = key;
    strncpy(p->name, name, sizeof p->name - 1);
}

static char *pauses_json(const struct control *c)
{
    json_t *all = json_array();
    for (size_t i = 0; i < c->count; i++)
        json_array_append_new(all, json_pack("[s, s]", spec_key_name(c->pauses[i].key), c->pauses[i].name));
    char *text = all ? json_dumps(all, JSON_COMPACT) : NULL;
    json_decref(all);
    return text;
}

struct asked {
    control_done *done;
    void *arg;
    char *json;
};

static void on_kept(void *arg, struct store_op *op, pb_err err)
{
    struct asked *a = arg;
    a->done(a->arg, err ? err : op->outcome);
    free(a->json);
    free(a);
    journal_op_free(op);
}

static pb_err keep(struct broker *b, control_done *done, void *arg)
{
    struct asked *a = calloc(1, sizeof *a);
    struct store_op *op = journal_op_new(STORE_SET_META);
    pb_err err = PB_E_MEMORY;
    if (a && op && (a->json = pauses_json(b->control))) {
        a->done = done;
        a->arg = arg;
        op->meta_key = META_PAUSES;
        op->meta_value = a->json;
        err = journal_submit(b->journal, op, on_kept, a);
    }
    if (!err)
        return PB_OK;
    if (a)
        free(a->json);
    free(a);
    journal_op_free(op);
    return err;
}

/* A gate that has opened lets jobs through with the next step. */
static pb_err turn_gate(struct broker *b, enum board_key key, const char *name, bool paused)
{
    pb_err err = board_pause(b->board, key, spec_name(b, key, name), paused);
    if (!err)
        effects_step(b, &(struct board_event){.kind = BOARD_TICK});
    return err;
}

pb_err control_pause(struct broker *b, enum board_key key, const char *name, bool paused, control_done *done,
                     void *arg)
{
    struct control *c = b->control;
    size_t at = find(c, key, name);
    if (paused && at == c->count && c->count == LIMIT_PAUSES)
        return PB_E_LIMIT;
    pb_err err = turn_gate(b, key, name, paused);
    if (err)
        return err;
    if (paused && at == c->count)
        add(c, key, name);
    else if (!paused && at < c->count)
        c->pauses[at] = c->pauses[--c->count];
    return keep(b, done, arg);
}

void control_each_pause(const struct control *c,
                        void (*each)(void *arg, enum board_key key, const char *name), void *arg)
{
    for (size_t i = 0; i < c->count; i++)
        each(arg, c->pauses[i].key, c->pauses[i].name);
}

static pb_err restore(struct broker *b, struct control *c, const char *text)
{
    json_t *all = json_loads(text, 0, NULL), *one;
    size_t i;
    pb_err err = PB_OK;
    json_array_foreach(all, i, one)
    {
        const char *word = json_string_value(json_array_get(one, 0)),
                   *name = json_string_value(json_array_get(one, 1));
        enum board_key key;
        if (!word || !name || c->count == LIMIT_PAUSES || spec_key_parse(word, &key) != PB_OK)
            continue;
        add(c, key, name);
        err = err ? err : board_pause(b->board, key, spec_name(b, key, name), true);
    }
    json_decref(all);
    return err;
}

/* -- sending the dead again -- */

pb_err control_replay(struct broker *b, const struct store_job_filter *filter, uint32_t per_second)
{
    return replays_start(b->control->replays, filter, per_second);
}

void control_each_replay(const struct control *c, void (*each)(void *arg, const struct control_replay *r),
                         void *arg)
{
    replays_each(c->replays, each, arg);
}

/* -- life -- */

pb_err control_open(struct broker *b, struct store *store, struct control **out, struct pb_why *why)
{
    char *text = NULL;
    struct control *c = calloc(1, sizeof *c);
    pb_err err = c ? replays_open(b, &c->replays) : PB_E_MEMORY;
    if (!err) {
        err = store_get_meta(store, META_PAUSES, &text, why);
        err = err == PB_E_NOT_FOUND ? PB_OK : err ? err : restore(b, c, text);
    }
    free(text);
    if (err)
        control_close(c);
    else
        *out = c;
    return err;
}

void control_close(struct control *c)
{
    if (c)
        replays_close(c->replays);
    free(c);
}
