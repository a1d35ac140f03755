#include "common/store_mongo_lists.h"

#include "common/store_mongo_docs.h"

#include <stdio.h>
#include <string.h>

#define PAGE_ROWS       500  /* in one answer of the server */
#define TEXT_FILTER_MAX 4096 /* longer than any name or label */

static bool is_set(const char *text)
{
    return text && text[0];
}

/* A page of a walk along an index, by id. */
static bson_t *page(const char *index, bool newest_first, size_t limit)
{
    return BCON_NEW("hint", BCON_UTF8(index), "sort", "{", "_id", BCON_INT32(newest_first ? -1 : 1), "}",
                    "limit", BCON_INT64(limit > INT64_MAX ? INT64_MAX : (int64_t)limit), "batchSize",
                    BCON_INT32(PAGE_ROWS));
}

/* Ids behind after (nil: all), as far as up_to (NULL: to the end). */
static void put_place(bson_t *filter, const char *prefix, const struct pb_id *after, bool newest_first,
                      const struct pb_id *up_to)
{
    bson_t part;
    if (id_is_nil(after) && !up_to)
        return;
    BSON_APPEND_DOCUMENT_BEGIN(filter, "_id", &part);
    if (!id_is_nil(after))
        mongo_put_id(&part, newest_first ? "$lt" : "$gt", prefix, after);
    if (up_to)
        mongo_put_id(&part, "$lte", prefix, up_to);
    bson_append_document_end(filter, &part);
}

/* -- integrations -- */

static bool is_letter(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

static bool is_literal(char c)
{
    return (unsigned char)c >= 0x80 || c == ' ' || (c >= '0' && c <= '9');
}

/* Text as a pattern that finds it whatever the case of its ASCII letters: MongoDB's own way to ignore case
 * goes beyond ASCII. */
static void put_pattern(bson_t *doc, const char *key, const char *text)
{
    char pattern[4 * TEXT_FILTER_MAX + 1], *to = pattern;
    for (const char *c = text; *c; c++) {
        if (is_letter(*c)) {
            *to++ = '[';
            *to++ = (char)(*c | 0x20);
            *to++ = (char)(*c & ~0x20);
            *to++ = ']';
            continue;
        }
        if (!is_literal(*c))
            *to++ = '\\';
        *to++ = *c;
    }
    *to = 0;
    bson_append_regex(doc, key, -1, pattern, "");
}

static void put_text(bson_t *filter, const char *text)
{
    static const char *const fields[] = {"name", "account.label"};
    bson_t either, one;
    BSON_APPEND_ARRAY_BEGIN(filter, "$or", &either);
    for (size_t i = 0; i < 2; i++) {
        bson_append_document_begin(&either, i ? "1" : "0", 1, &one);
        put_pattern(&one, fields[i], text);
        bson_append_document_end(&either, &one);
    }
    bson_append_array_end(filter, &either);
}

/* What was deleted has no tenant. */
static void put_tenant(bson_t *filter, const char *tenant)
{
    bson_t part;
    if (is_set(tenant)) {
        BSON_APPEND_UTF8(filter, "tenant", tenant);
        return;
    }
    BSON_APPEND_DOCUMENT_BEGIN(filter, "tenant", &part);
    BSON_APPEND_BOOL(&part, "$exists", true);
    bson_append_document_end(filter, &part);
}

/* Before a date, or never. */
static void put_not_since(bson_t *filter, int64_t wall_ms)
{
    bson_t no, part;
    BSON_APPEND_DOCUMENT_BEGIN(filter, "lastValidated", &no);
    BSON_APPEND_DOCUMENT_BEGIN(&no, "$not", &part);
    BSON_APPEND_DATE_TIME(&part, "$gte", wall_ms);
    bson_append_document_end(&no, &part);
    bson_append_document_end(filter, &no);
}

static const char *index_for(const struct store_filter *f)
{
    if (is_set(f->tenant))
        return is_set(f->type) ? "tenant_type" : "tenant";
    return is_set(f->type) ? "type" : "_id_";
}

static bool is_too_long(const char *text)
{
    return text && strlen(text) > TEXT_FILTER_MAX;
}

static void put_filter(bson_t *filter, const struct store_filter *f)
{
    put_tenant(filter, f->tenant);
    if (is_set(f->type))
        BSON_APPEND_UTF8(filter, "type", f->type);
    if (f->status)
        mongo_put_status(filter, "status", f->status);
    if (f->health)
        mongo_put_health(filter, "health", f->health);
    if (is_set(f->text))
        put_text(filter, f->text);
    if (f->not_since_ms)
        put_not_since(filter, f->not_since_ms);
}

struct integrations {
    pb_err (*each)(void *arg, const struct integration *in);
    void *arg;
};

static pb_err give_integration(void *arg, const bson_t *doc, struct pb_why *why)
{
    const struct integrations *list = arg;
    struct integration in;
    pb_err err = mongo_integration_get(doc, &in, why);
    if (err)
        return err;
    err = list->each(list->arg, &in);
    integration_fini(&in);
    return err;
}

pb_err mongo_list_integrations(struct store *base, const struct store_filter *f, const struct pb_id *after,
                               size_t limit, pb_err (*each)(void *arg, const struct integration *in),
                               void *arg, struct pb_why *why)
{
    struct integrations list = {each, arg};
    if (!limit || is_too_long(f->text)) /* 0 would be: all of them */
        return PB_OK;
    bson_t filter = BSON_INITIALIZER;
    bson_t *opts = page(index_for(f), false, limit);
    put_place(&filter, ID_INTEGRATION, after, false, f->up_to);
    put_filter(&filter, f);
    pb_err err =
        mongo_find((struct mongo *)base, MONGO_INTEGRATIONS, &filter, opts, give_integration, &list, why);
    bson_destroy(&filter);
    bson_destroy(opts);
    return err;
}

/* Behind the pair (time, id): later, or as late with a larger id. */
static void put_later(bson_t *filter, int64_t after_ms, const struct pb_id *after)
{
    bson_t either, one, id;
    BSON_APPEND_ARRAY_BEGIN(filter, "$or", &either);
    BSON_APPEND_DOCUMENT_BEGIN(&either, "0", &one);
    BSON_APPEND_DOCUMENT_BEGIN(&one, "nextValidation", &id);
    BSON_APPEND_DATE_TIME(&id, "$gt", after_ms);
    bson_append_document_end(&one, &id);
    bson_append_document_end(&either, &one);
    BSON_APPEND_DOCUMENT_BEGIN(&either, "1", &one);
    BSON_APPEND_DATE_TIME(&one, "nextValidation", after_ms);
    put_place(&one, ID_INTEGRATION, after, false, NULL);
    bson_append_document_end(&either, &one);
    bson_append_array_end(filter, &either);
}

pb_err mongo_list_due(struct store *base, int64_t due_ms, int64_t after_ms, const struct pb_id *after,
                      size_t limit, pb_err (*each)(void *arg, const struct integration *in), void *arg,
                      struct pb_why *why)
{
    struct integrations list = {each, arg};
    bson_t filter = BSON_INITIALIZER, part;
    if (!limit)
        return PB_OK;
    BSON_APPEND_DOCUMENT_BEGIN(&filter, "nextValidation", &part);
    BSON_APPEND_DATE_TIME(&part, "$gte", after_ms > 0 ? after_ms : 1);
    BSON_APPEND_DATE_TIME(&part, "$lte", due_ms);
    bson_append_document_end(&filter, &part);
    BSON_APPEND_DOCUMENT_BEGIN(&filter, "status", &part);
    mongo_put_status(&part, "$ne", STATUS_INACTIVE);
    bson_append_document_end(&filter, &part);
    put_later(&filter, after_ms, after);
    bson_t *opts = BCON_NEW("hint", "due", "sort", "{", "nextValidation", BCON_INT32(1), "_id", BCON_INT32(1),
                            "}", "limit", BCON_INT64((int64_t)limit), "batchSize", BCON_INT32(PAGE_ROWS));
    pb_err err =
        mongo_find((struct mongo *)base, MONGO_INTEGRATIONS, &filter, opts, give_integration, &list, why);
    bson_destroy(&filter);
    bson_destroy(opts);
    return err;
}

static pb_err give_counts(struct mongo *m, mongoc_cursor_t *cursor,
                          pb_err (*each)(void *arg, const char *type, uint64_t count), void *arg,
                          struct pb_why *why)
{
    const bson_t *doc;
    bson_error_t error;
    bson_iter_t type;
    pb_err err = PB_OK;
    while (!err && mongoc_cursor_next(cursor, &doc))
        if (bson_iter_init_find(&type, doc, "_id") && BSON_ITER_HOLDS_UTF8(&type))
            err = each(arg, bson_iter_utf8(&type, NULL), (uint64_t)mongo_get_number(doc, "n"));
    return !err && mongoc_cursor_error(cursor, &error) ? mongo_fail(m, &error, why) : err;
}

pb_err mongo_count_integrations(struct store *base, const struct store_filter *f,
                                pb_err (*each)(void *arg, const char *type, uint64_t count), void *arg,
                                struct pb_why *why)
{
    static const struct pb_id first = {{0}};
    struct mongo *m = (struct mongo *)base;
    bson_t filter = BSON_INITIALIZER;
    if (is_too_long(f->text))
        return PB_OK;
    put_place(&filter, ID_INTEGRATION, &first, false, f->up_to);
    put_filter(&filter, f);
    bson_t *pipeline = BCON_NEW("pipeline", "[", "{", "$match", BCON_DOCUMENT(&filter), "}", "{", "$group",
                                "{", "_id", "$type", "n", "{", "$sum", BCON_INT64(1), "}", "}", "}", "{",
                                "$sort", "{", "_id", BCON_INT32(1), "}", "}", "]");
    bson_t *opts = BCON_NEW("hint", BCON_UTF8(index_for(f)));
    mongoc_cursor_t *cursor = mongoc_collection_aggregate(m->collections[MONGO_INTEGRATIONS],
                                                          MONGOC_QUERY_NONE, pipeline, opts, NULL);
    pb_err err = give_counts(m, cursor, each, arg, why);
    mongoc_cursor_destroy(cursor);
    bson_destroy(&filter);
    bson_destroy(pipeline);
    bson_destroy(opts);
    return err;
}

/* -- jobs -- */

/* The index that leaves the fewest documents to be looked at. */
static const char *index_of(const struct store_job_filter *f)
{
    if (f->integration && !id_is_nil(f->integration))
        return "integration";
    if (is_set(f->tenant))
        return is_set(f->code) ? "code" : "tenant";
    return f->state ? "state" : "_id_";
}

/* All of them, one by one: the server merges the runs that each has in the index. */
static void put_every_state(bson_t *filter)
{
    static const char *const keys[] = {"0", "1", "2", "3", "4"};
    bson_t part, array;
    BSON_APPEND_DOCUMENT_BEGIN(filter, "state", &part);
    BSON_APPEND_ARRAY_BEGIN(&part, "$in", &array);
    for (int i = 0; i < 5; i++)
        mongo_put_state(&array, keys[i], (enum job_state)(JOB_WAITING + i));
    bson_append_array_end(&part, &array);
    bson_append_document_end(filter, &part);
}

static void put_job_filter(bson_t *filter, const struct store_job_filter *f, const char *index)
{
    if (is_set(f->tenant))
        BSON_APPEND_UTF8(filter, "tenant", f->tenant);
    if (f->state)
        mongo_put_state(filter, "state", f->state);
    else if (strcmp(index, "tenant") == 0)
        put_every_state(filter);
    if (is_set(f->type))
        BSON_APPEND_UTF8(filter, "type", f->type);
    if (f->kind)
        mongo_put_kind(filter, "kind", f->kind);
    if (f->integration && !id_is_nil(f->integration))
        mongo_put_id(filter, "integration", ID_INTEGRATION, f->integration);
    if (is_set(f->code))
        BSON_APPEND_UTF8(filter, "code", f->code);
}

struct jobs {
    pb_err (*each)(void *arg, const struct job *job);
    void *arg;
};

static pb_err give_job(void *arg, const bson_t *doc, struct pb_why *why)
{
    const struct jobs *list = arg;
    struct job job;
    pb_err err = mongo_job_get(doc, &job, why);
    if (err)
        return err;
    err = list->each(list->arg, &job);
    job_fini(&job);
    return err;
}

pb_err mongo_list_jobs(struct store *base, const struct store_job_filter *f, const struct pb_id *after,
                       size_t limit, pb_err (*each)(void *arg, const struct job *job), void *arg,
                       struct pb_why *why)
{
    struct jobs list = {each, arg};
    const char *index = index_of(f);
    bson_t filter = BSON_INITIALIZER, part;
    if (!limit)
        return PB_OK;
    bson_t *opts = page(index, f->newest_first, limit);
    BSON_APPEND_DOCUMENT_BEGIN(opts, "projection", &part);
    BSON_APPEND_INT32(&part, "payload", 0);
    bson_append_document_end(opts, &part);
    put_place(&filter, ID_JOB, after, f->newest_first, NULL);
    put_job_filter(&filter, f, index);
    pb_err err = mongo_find((struct mongo *)base, MONGO_JOBS, &filter, opts, give_job, &list, why);
    bson_destroy(&filter);
    bson_destroy(opts);
    return err;
}

/* -- tokens -- */

struct tokens {
    pb_err (*each)(void *arg, const struct store_token *token);
    void *arg;
};

static pb_err give_token(void *arg, const bson_t *doc, struct pb_why *why)
{
    const struct tokens *list = arg;
    struct store_token token;
    pb_err err = mongo_token_get(doc, &token, why);
    return err ? err : list->each(list->arg, &token);
}

pb_err mongo_list_tokens(struct store *base, pb_err (*each)(void *arg, const struct store_token *token),
                         void *arg, struct pb_why *why)
{
    struct tokens list = {each, arg};
    bson_t filter = BSON_INITIALIZER;
    bson_t *opts =
        BCON_NEW("hint", "created", "sort", "{", "createdAt", BCON_INT32(1), "_id", BCON_INT32(1), "}");
    pb_err err = mongo_find((struct mongo *)base, MONGO_TOKENS, &filter, opts, give_token, &list, why);
    bson_destroy(&filter);
    bson_destroy(opts);
    return err;
}

/* -- batches -- */

struct batches {
    pb_err (*each)(void *arg, const struct store_batch *batch);
    void *arg;
};

static pb_err give_batch(void *arg, const bson_t *doc, struct pb_why *why)
{
    const struct batches *list = arg;
    struct store_batch batch;
    pb_err err = mongo_batch_get(doc, &batch, why);
    if (err)
        return err;
    err = list->each(list->arg, &batch);
    store_batch_fini(&batch);
    return err;
}

pb_err mongo_list_batches(struct store *base, const char *tenant, enum batch_state state,
                          const struct pb_id *before, size_t limit,
                          pb_err (*each)(void *arg, const struct store_batch *batch), void *arg,
                          struct pb_why *why)
{
    struct batches list = {each, arg};
    bson_t filter = BSON_INITIALIZER;
    if (!limit)
        return PB_OK;
    bson_t *opts = page(is_set(tenant) ? "tenant" : state ? "state" : "_id_", true, limit);
    put_place(&filter, ID_BATCH, before, true, NULL);
    if (is_set(tenant))
        BSON_APPEND_UTF8(&filter, "tenant", tenant);
    if (state)
        mongo_put_batch_state(&filter, "state", state);
    pb_err err = mongo_find((struct mongo *)base, MONGO_BATCHES, &filter, opts, give_batch, &list, why);
    bson_destroy(&filter);
    bson_destroy(opts);
    return err;
}

/* -- schedules -- */

struct schedules {
    pb_err (*each)(void *arg, const struct store_schedule *schedule);
    void *arg;
};

static pb_err give_schedule(void *arg, const bson_t *doc, struct pb_why *why)
{
    const struct schedules *list = arg;
    struct store_schedule schedule;
    pb_err err = mongo_schedule_get(doc, &schedule, why);
    if (err)
        return err;
    err = list->each(list->arg, &schedule);
    store_schedule_fini(&schedule);
    return err;
}

pb_err mongo_list_schedules(struct store *base, const char *tenant,
                            pb_err (*each)(void *arg, const struct store_schedule *schedule), void *arg,
                            struct pb_why *why)
{
    struct schedules list = {each, arg};
    bson_t filter = BSON_INITIALIZER;
    bson_t *opts =
        BCON_NEW("hint", "tenant", "sort", "{", "tenant", BCON_INT32(1), "name", BCON_INT32(1), "}");
    if (is_set(tenant))
        BSON_APPEND_UTF8(&filter, "tenant", tenant);
    pb_err err = mongo_find((struct mongo *)base, MONGO_SCHEDULES, &filter, opts, give_schedule, &list, why);
    bson_destroy(&filter);
    bson_destroy(opts);
    return err;
}

/* -- the rest -- */

struct meta {
    pb_err (*each)(void *arg, const char *key, const char *value);
    void *arg;
};

/* But for the version of the documents, which is this database's own. */
static pb_err give_meta(void *arg, const bson_t *doc, struct pb_why *why)
{
    const struct meta *list = arg;
    bson_iter_t id, value;
    char number[24];
    (void)why;
    if (!bson_iter_init_find(&id, doc, "_id") || !BSON_ITER_HOLDS_UTF8(&id) ||
        !bson_iter_init_find(&value, doc, "value") || strcmp(bson_iter_utf8(&id, NULL), "schema") == 0)
        return PB_OK;
    if (BSON_ITER_HOLDS_UTF8(&value))
        return list->each(list->arg, bson_iter_utf8(&id, NULL), bson_iter_utf8(&value, NULL));
    snprintf(number, sizeof number, "%lld", (long long)bson_iter_as_int64(&value));
    return list->each(list->arg, bson_iter_utf8(&id, NULL), number);
}

pb_err mongo_list_meta(struct store *base, pb_err (*each)(void *arg, const char *key, const char *value),
                       void *arg, struct pb_why *why)
{
    struct meta list = {each, arg};
    bson_t filter = BSON_INITIALIZER;
    bson_t *opts = page("_id_", false, INT64_MAX);
    pb_err err = mongo_find((struct mongo *)base, MONGO_META, &filter, opts, give_meta, &list, why);
    bson_destroy(&filter);
    bson_destroy(opts);
    return err;
}

struct deleted {
    pb_err (*each)(void *arg, const struct pb_id *id, uint64_t fence);
    void *arg;
};

static pb_err give_deleted(void *arg, const bson_t *doc, struct pb_why *why)
{
    const struct deleted *list = arg;
    struct pb_id id;
    (void)why;
    if (!mongo_get_id(doc, "_id", ID_INTEGRATION, &id))
        return PB_OK;
    return list->each(list->arg, &id, (uint64_t)mongo_get_number(doc, "fence"));
}

pb_err mongo_list_deleted(struct store *base,
                          pb_err (*each)(void *arg, const struct pb_id *id, uint64_t fence), void *arg,
                          struct pb_why *why)
{
    struct deleted list = {each, arg};
    bson_t *filter = BCON_NEW("deletedAt", "{", "$gt", BCON_DATE_TIME(0), "}");
    bson_t *opts = BCON_NEW("hint", "deleted", "sort", "{", "deletedAt", BCON_INT32(1), "}");
    pb_err err = mongo_find((struct mongo *)base, MONGO_INTEGRATIONS, filter, opts, give_deleted, &list, why);
    bson_destroy(filter);
    bson_destroy(opts);
    return err;
}
