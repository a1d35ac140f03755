/* What the files of the batches share: the structs. Nobody else includes this.
 *   batches.c       orders, checkpoints, restarts, and what comes back of jobs
 *   batch_start.c   a new one: what it is going to be, counted
 *   batch_window.c  one type of one batch: pages in, jobs out, the mark
 *   batch_json.c    as the store keeps it, and as the API shows it */
#ifndef PB_BATCH_H
#define PB_BATCH_H

#include "broker/batches.h"
#include "broker/retest.h"
#include "common/limits.h"
#include "common/result.h"

#include <uthash.h>

/* What came of an integration, for counting: a result's code, or one of these. */
enum batch_count {
    COUNT_DELETED = RESULT_LIMITED_CAPABILITY, /* since the batch began; that code is no result of a test */
    COUNT_NOT_TESTED,                          /* its test never came to a result: the job was given up */
    COUNT_LEFT,                                /* deleted, or no longer selected, before its turn came */
    COUNTS
};
const char *batch_count_name(int count); /* NULL for a number that names nothing */

struct batch_counts {
    uint64_t done, by[COUNTS], broken, healthy; /* broken, healthy: since this batch found them so */
};

enum entry_state { ENTRY_NONE, ENTRY_IDLE, ENTRY_OUT, ENTRY_DONE };

/* One integration in the window. */
struct entry {
    struct retest test;
    struct pb_id job;
    struct window *window;
    enum entry_state state; /* IDLE: to be given to the board (again) */
    uint8_t count, tries;
    uint64_t not_before_ms; /* IDLE: somebody else's job goes first */
    enum integration_status after;
    UT_hash_handle hh; /* by job, while it is OUT */
};

struct page;

/* One type of a batch. */
struct window {
    struct batch *batch;
    char type[LIMIT_TYPE_CHARS + 1];
    struct pb_id mark, next; /* all up to mark are done; what comes after next has not been read */
    struct pb_id again_to;   /* up to here some may have been tested by this batch and not counted yet */
    uint64_t total, done;    /* when the batch began, but never less than done; counted: up to the mark */
    struct entry *entries;   /* a ring; NULL while there is nothing in it */
    size_t head, count, idle, out;
    struct page *page; /* that is being read */
    bool exhausted;    /* nothing is left to be read */
};

/* Who is to be told when a checkpoint is durable. */
struct order {
    batches_done *done;
    void *arg;
    struct order *next;
};

struct batch {
    struct batches *all;
    struct pb_id id, up_to; /* up_to: the last id that is part of it */
    enum batch_state state;
    bool cancelling; /* it ends when nothing of it is out any more */
    struct batch_filter filter;
    uint32_t per_second;
    struct batch_counts counts; /* up to the marks */
    struct window *windows;
    size_t window_count;
    int64_t created_at_ms, finished_at_ms;
    uint64_t began_ms, began_done; /* since when, and from how many on, the speed is measured */
    uint64_t fed_us;               /* until when the rate's allowance has been used */
    bool dirty, saving;
    uint64_t saved_ms;
    struct order *orders; /* to be answered when the next checkpoint is durable */
    struct batch *next;
};

static inline bool batch_runs(const struct batch *b)
{
    return b->state == BATCH_RUNNING && !b->cancelling;
}

struct batches {
    struct broker *broker;
    struct batch *list;
    size_t count, starting; /* under way; about to be: not in the list yet */
    struct entry *by_job;
};

/* -- batch_window.c -- */

void window_feed(struct window *w);
/* What is out is cancelled; what is in it beyond the mark is forgotten once nothing is out. */
void window_stop(struct window *w);
void window_free(struct window *w);
/* An entry that was out is back: done and counted, or idle to be sent again. */
void window_done(struct entry *e, uint8_t count);
void window_again(struct entry *e, bool read_again);
/* If the integration waits on the board, it is taken back for a while. */
void window_yield(struct window *w, const struct pb_id *integration);
bool window_is_over(const struct window *w);
/* Of one that is over: those that were counted in the beginning and never found. */
void window_count_left(struct window *w);

/* -- batches.c -- */

/* How many may be sent now by the batch's rate; asks for at most most of them. */
size_t batch_allowance(struct batch *b, size_t most);
void batch_changed(struct batch *b);
/* It is under way from now on, and all's to free. */
void batch_enter(struct batches *all, struct batch *b);
void batch_free(struct batch *b);

/* -- batch_json.c -- */

char *batch_body(const struct batch *b); /* as it is stored; malloc'ed */
pb_err batch_read_body(const struct store_batch *stored, struct batch *out) PB_CHECKED;
json_t *batch_shown(const struct batch *b);

#endif
