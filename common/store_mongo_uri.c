#include "common/store_mongo_uri.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

/* -- libmongoc's log -- */

/* While a URI is parsed, the first thing that libmongoc has to say about it: it only warns of options that it
 * does not know. Its log is one for the process, so the thread that parses says where to. */
static _Thread_local struct pb_why *remark;

static _Atomic(const struct log *) mongo_log;

static void on_log(mongoc_log_level_t level, const char *domain, const char *message, void *unused)
{
    (void)unused;
    if (remark) {
        if (!remark->text[0])
            snprintf(remark->text, sizeof remark->text, "%s", message);
        return;
    }
    const struct log *log = atomic_load(&mongo_log);
    if (log && level <= MONGOC_LOG_LEVEL_WARNING)
        log_line(log, level == MONGOC_LOG_LEVEL_WARNING ? LOG_WARN : LOG_ERROR, "the MongoDB driver says",
                 "domain", domain, "text", message, NULL);
}

static void begin(void)
{
    mongoc_log_set_handler(on_log, NULL);
    mongoc_init();
}

void mongo_uri_begin(void)
{
    static pthread_once_t begun = PTHREAD_ONCE_INIT;
    pthread_once(&begun, begin);
}

void mongo_uri_log(const struct log *log)
{
    atomic_store(&mongo_log, log);
}

/* -- the URI -- */

/* What the contract needs. A URI may say the same, and nothing else. */
static const struct fixed {
    const char *option, *value;
} fixed[] = {
    {MONGOC_URI_W, "majority"},
    {MONGOC_URI_JOURNAL, "true"},
    {MONGOC_URI_READPREFERENCE, "primary"},
    {MONGOC_URI_RETRYWRITES, "true"},
};

/* Nothing waits longer than this, unless the URI says otherwise. A write that a majority has not taken in ten
 * seconds has failed, and is repeated; a socket gets longer than that. */
static const struct patience {
    const char *option;
    int32_t ms;
} patience[] = {
    {MONGOC_URI_SERVERSELECTIONTIMEOUTMS, 10000},
    {MONGOC_URI_CONNECTTIMEOUTMS, 5000},
    {MONGOC_URI_SOCKETTIMEOUTMS, 30000},
    {MONGOC_URI_WTIMEOUTMS, 10000},
};

static void value_text(const bson_iter_t *at, char *out, size_t size)
{
    if (BSON_ITER_HOLDS_UTF8(at))
        snprintf(out, size, "%s", bson_iter_utf8(at, NULL));
    else if (BSON_ITER_HOLDS_BOOL(at))
        snprintf(out, size, "%s", bson_iter_bool(at) ? "true" : "false");
    else
        snprintf(out, size, "%lld", (long long)bson_iter_as_int64(at));
}

static pb_err check_fixed(const mongoc_uri_t *uri, const char *shown, struct pb_why *why)
{
    for (size_t i = 0; i < sizeof fixed / sizeof fixed[0]; i++) {
        char value[64];
        bson_iter_t at;
        if (!bson_iter_init_find_case(&at, mongoc_uri_get_options(uri), fixed[i].option))
            continue;
        value_text(&at, value, sizeof value);
        if (strcmp(value, fixed[i].value) != 0)
            return pb_fail(why, PB_E_INVALID, shown,
                           "the option %s must be %s or left out: what Patchbay promises rests on it",
                           fixed[i].option, fixed[i].value);
    }
    const char *level = mongoc_read_concern_get_level(mongoc_uri_get_read_concern(uri));
    if (level && strcmp(level, "majority") != 0)
        return pb_fail(why, PB_E_INVALID, shown, "the option readConcernLevel must be majority or left out");
    return PB_OK;
}

static pb_err check_database(const mongoc_uri_t *uri, const char *shown, struct pb_why *why)
{
    const char *name = mongoc_uri_get_database(uri);
    if (name && (strlen(name) > MONGO_DATABASE_CHARS || strpbrk(name, "/\\. \"$*<>:|?")))
        return pb_fail(why, PB_E_INVALID, shown,
                       "the database's name may have %d characters, none of them /\\. \"$*<>:|?",
                       MONGO_DATABASE_CHARS);
    return PB_OK;
}

static void fill_in(mongoc_uri_t *uri)
{
    for (size_t i = 0; i < sizeof patience / sizeof patience[0]; i++)
        if (mongoc_uri_get_option_as_int32(uri, patience[i].option, 0) <= 0)
            mongoc_uri_set_option_as_int32(uri, patience[i].option, patience[i].ms);
    if (!mongoc_uri_has_option(uri, MONGOC_URI_SERVERSELECTIONTRYONCE))
        mongoc_uri_set_option_as_bool(uri, MONGOC_URI_SERVERSELECTIONTRYONCE, false);
    mongoc_uri_set_option_as_bool(uri, MONGOC_URI_RETRYWRITES, true);
}

/* libmongoc's own words can quote what it could not read, and that may be a piece of a password: so they are
 * passed on only where there is none. */
static pb_err unreadable(const char *url, const char *shown, const char *words, struct pb_why *why)
{
    if (strchr(url, '@'))
        return pb_fail(why, PB_E_INVALID, shown,
                       "cannot be read as a MongoDB URI; special characters in the user's name and password "
                       "must be percent-encoded (@ as %%40, : as %%3A, / as %%2F)");
    return pb_fail(why, PB_E_INVALID, shown, "cannot be read as a MongoDB URI: %s", words);
}

/* A second @ is one of the password's: what stands behind the first would be taken for a host, and shown. */
static bool has_stray_at(const char *url)
{
    const char *first = strchr(url, '@'), *second = first ? strchr(first + 1, '@') : NULL;
    return second && second < url + strcspn(url, "?");
}

pb_err mongo_uri_parse(const char *url, const char *shown, mongoc_uri_t **out, struct pb_why *why)
{
    struct pb_why said = {0};
    if (has_stray_at(url))
        return unreadable(url, shown, "", why);
    bson_error_t error = {0};
    remark = &said;
    mongoc_uri_t *uri = mongoc_uri_new_with_error(url, &error);
    remark = NULL;
    pb_err err = PB_OK;
    if (!uri)
        err = unreadable(url, shown, error.message, why);
    else if (said.text[0])
        err = pb_fail(why, PB_E_INVALID, shown, "%.400s; correct it or leave it out", said.text);
    if (!err)
        err = check_fixed(uri, shown, why);
    if (!err)
        err = check_database(uri, shown, why);
    if (err) {
        mongoc_uri_destroy(uri);
        return err;
    }
    fill_in(uri);
    *out = uri;
    return PB_OK;
}
