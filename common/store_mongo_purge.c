/* Removes jobs that ended long ago, or that too many others have followed: the oldest of all first. The index
 * "ended" holds each state's jobs by date, so their walks are merged. */
#include "common/store_mongo_docs.h"
#include "common/store_mongo_jobs.h"

#include <string.h>

enum group { ENDED_WELL_OR_NOT, ENDED_DEAD, GROUPS };

static const struct ended {
    enum job_state state;
    enum group group;
} ended[] = {{JOB_DONE, ENDED_WELL_OR_NOT},
             {JOB_FAILED, ENDED_WELL_OR_NOT},
             {JOB_CANCELLED, ENDED_WELL_OR_NOT},
             {JOB_DEAD, ENDED_DEAD}};
#define STATES (sizeof ended / sizeof ended[0])

/* The jobs of one state, from the oldest on. */
struct walk {
    mongoc_cursor_t *cursor;
    bool more;
    int64_t ended_at_ms; /* of the one it stands on */
    struct pb_id id;
};

struct purge {
    const struct store_purge *asked;
    struct walk walks[STATES];
    int64_t excess[GROUPS]; /* so many are more than are to be kept */
};

static pb_err next(struct mongo *m, struct walk *w, struct pb_why *why)
{
    const bson_t *doc;
    bson_error_t error;
    w->more = mongoc_cursor_next(w->cursor, &doc);
    if (!w->more)
        return mongoc_cursor_error(w->cursor, &error) ? mongo_fail(m, &error, why) : PB_OK;
    w->ended_at_ms = mongo_get_number(doc, "finishedAt");
    w->more = mongo_get_id(doc, "_id", ID_JOB, &w->id);
    return PB_OK;
}

static pb_err begin_walk(struct mongo *m, size_t i, struct walk *w, struct pb_why *why)
{
    bson_t filter = BSON_INITIALIZER;
    bson_t *opts =
        BCON_NEW("hint", "ended", "sort", "{", "finishedAt", BCON_INT32(1), "_id", BCON_INT32(1), "}",
                 "projection", "{", "finishedAt", BCON_INT32(1), "}", "limit", BCON_INT64(LIMIT_PURGE_ROWS));
    mongo_put_state(&filter, "state", ended[i].state);
    w->cursor = mongoc_collection_find_with_opts(m->collections[MONGO_JOBS], &filter, opts, NULL);
    bson_destroy(&filter);
    bson_destroy(opts);
    return next(m, w, why);
}

/* How many jobs there are in a state; only where it matters: it takes a look at each one's key. */
static pb_err count_state(struct mongo *m, size_t i, int64_t *out, struct pb_why *why)
{
    bson_t filter = BSON_INITIALIZER, *opts = BCON_NEW("hint", "ended");
    bson_error_t error;
    mongo_put_state(&filter, "state", ended[i].state);
    *out = mongoc_collection_count_documents(m->collections[MONGO_JOBS], &filter, opts, NULL, NULL, &error);
    bson_destroy(&filter);
    bson_destroy(opts);
    return *out < 0 ? mongo_fail(m, &error, why) : PB_OK;
}

static pb_err count_excess(struct mongo *m, struct purge *p, struct pb_why *why)
{
    uint64_t counts[GROUPS] = {0};
    if (p->asked->keep_count == UINT64_MAX)
        return PB_OK;
    for (size_t i = 0; i < STATES; i++) {
        int64_t n;
        pb_err err = count_state(m, i, &n, why);
        if (err)
            return err;
        counts[ended[i].group] += (uint64_t)n;
    }
    for (int g = 0; g < GROUPS; g++)
        if (counts[g] > p->asked->keep_count)
            p->excess[g] = (int64_t)(counts[g] - p->asked->keep_count);
    return PB_OK;
}

static bool is_older(const struct walk *a, const struct walk *b)
{
    return a->ended_at_ms != b->ended_at_ms ? a->ended_at_ms < b->ended_at_ms
                                            : memcmp(a->id.bytes, b->id.bytes, sizeof a->id.bytes) < 0;
}

/* Of a group, the walk that stands on its oldest; STATES: there is none. */
static size_t oldest_of(const struct purge *p, enum group g)
{
    size_t oldest = STATES;
    for (size_t i = 0; i < STATES; i++)
        if (ended[i].group == g && p->walks[i].more &&
            (oldest == STATES || is_older(&p->walks[i], &p->walks[oldest])))
            oldest = i;
    return oldest;
}

static bool must_go(const struct purge *p, size_t i)
{
    if (i == STATES)
        return false;
    enum group g = ended[i].group;
    int64_t before_ms = g == ENDED_DEAD ? p->asked->dead_before_ms : p->asked->ended_before_ms;
    return p->excess[g] > 0 || p->walks[i].ended_at_ms < before_ms;
}

/* Of both groups' oldest, if they must go, the one that ended first. */
static size_t pick(const struct purge *p)
{
    size_t a = oldest_of(p, ENDED_WELL_OR_NOT), b = oldest_of(p, ENDED_DEAD);
    if (!must_go(p, a) || !must_go(p, b))
        return must_go(p, a) ? a : must_go(p, b) ? b : STATES;
    return p->walks[b].ended_at_ms < p->walks[a].ended_at_ms ? b : a;
}

static pb_err choose(struct mongo *m, struct purge *p, struct pb_id *ids, size_t *count, struct pb_why *why)
{
    pb_err err = count_excess(m, p, why);
    for (size_t i = 0; i < STATES && !err; i++)
        err = begin_walk(m, i, &p->walks[i], why);
    for (size_t i; !err && *count < LIMIT_PURGE_ROWS && (i = pick(p)) != STATES;) {
        ids[(*count)++] = p->walks[i].id;
        p->excess[ended[i].group]--;
        err = next(m, &p->walks[i], why);
    }
    for (size_t i = 0; i < STATES; i++)
        mongoc_cursor_destroy(p->walks[i].cursor);
    return err;
}

/* One of them may be alive again by now: only what has ended goes. */
static void put_victims(bson_t *filter, const struct pb_id *ids, size_t count)
{
    bson_t part;
    mongo_put_ids(filter, ID_JOB, ids, count);
    BSON_APPEND_DOCUMENT_BEGIN(filter, "state", &part);
    mongo_put_state(&part, "$ne", JOB_WAITING);
    bson_append_document_end(filter, &part);
}

pb_err mongo_jobs_purge(struct mongo *m, struct store_op *op, struct pb_why *why)
{
    struct purge p = {.asked = &op->purge};
    struct pb_id ids[LIMIT_PURGE_ROWS];
    size_t count = 0;
    bson_error_t error;
    pb_err err = choose(m, &p, ids, &count, why);
    if (err || !count)
        return err;
    bson_t filter = BSON_INITIALIZER;
    put_victims(&filter, ids, count);
    if (!mongoc_collection_delete_many(m->collections[MONGO_JOBS], &filter, NULL, NULL, &error))
        err = mongo_fail(m, &error, why);
    else
        op->purge.removed = count;
    bson_destroy(&filter);
    return err;
}
