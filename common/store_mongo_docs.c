#include "common/store_mongo_docs.h"

#include "common/store_mongo_json.h"

#include <assert.h>
#include <jansson.h>
#include <sodium.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define COUNT(table) (sizeof(table) / sizeof((table)[0]))
#define HASH_DIGITS  64

/* -- words -- */

typedef const char *word_of(int n);

static const char *kind_word(int n)
{
    return job_kind_name((enum job_kind)n);
}

static const char *state_word(int n)
{
    return job_state_name((enum job_state)n);
}

static const char *priority_word(int n)
{
    return job_priority_name((enum job_priority)n);
}

static const char *status_word(int n)
{
    return integration_status_name((enum integration_status)n);
}

static const char *health_word(int n)
{
    return integration_health_name((enum integration_health)n);
}

static const char *batch_word(int n)
{
    return batch_state_name((enum batch_state)n);
}

#define WORDS_MAX 32

static void put_word(bson_t *doc, const char *key, word_of *word, int n)
{
    const char *text = n >= 0 ? word(n) : NULL;
    if (text)
        bson_append_utf8(doc, key, -1, text, -1);
    else
        bson_append_int32(doc, key, -1, n);
}

static int get_word(const bson_iter_t *at, word_of *word)
{
    if (!BSON_ITER_HOLDS_UTF8(at))
        return (int)bson_iter_as_int64(at);
    for (int n = 0; n < WORDS_MAX; n++)
        if (word(n) && strcmp(word(n), bson_iter_utf8(at, NULL)) == 0)
            return n;
    return 0;
}

void mongo_put_state(bson_t *doc, const char *key, enum job_state state)
{
    put_word(doc, key, state_word, (int)state);
}

void mongo_put_kind(bson_t *doc, const char *key, enum job_kind kind)
{
    put_word(doc, key, kind_word, (int)kind);
}

void mongo_put_status(bson_t *doc, const char *key, enum integration_status status)
{
    put_word(doc, key, status_word, (int)status);
}

void mongo_put_health(bson_t *doc, const char *key, enum integration_health health)
{
    put_word(doc, key, health_word, (int)health);
}

void mongo_put_batch_state(bson_t *doc, const char *key, enum batch_state state)
{
    put_word(doc, key, batch_word, (int)state);
}

void mongo_put_id(bson_t *doc, const char *key, const char *prefix, const struct pb_id *id)
{
    char text[ID_TEXT_BYTES];
    id_text(id, prefix, text);
    bson_append_utf8(doc, key, -1, text, -1);
}

void mongo_put_ids(bson_t *filter, const char *prefix, const struct pb_id *ids, size_t count)
{
    bson_t part, array;
    BSON_APPEND_DOCUMENT_BEGIN(filter, "_id", &part);
    BSON_APPEND_ARRAY_BEGIN(&part, "$in", &array);
    for (size_t i = 0; i < count; i++) {
        char digits[16];
        const char *key;
        bson_uint32_to_string((uint32_t)i, &key, digits, sizeof digits);
        mongo_put_id(&array, key, prefix, &ids[i]);
    }
    bson_append_array_end(&part, &array);
    bson_append_document_end(filter, &part);
}

/* -- parts -- */

bool mongo_has(const bson_t *doc, const char *key)
{
    return bson_has_field(doc, key);
}

int64_t mongo_get_number(const bson_t *doc, const char *key)
{
    bson_iter_t at;
    if (!bson_iter_init_find(&at, doc, key))
        return 0;
    return BSON_ITER_HOLDS_DATE_TIME(&at) ? bson_iter_date_time(&at) : bson_iter_as_int64(&at);
}

enum job_state mongo_get_state(const bson_t *doc)
{
    bson_iter_t at;
    return bson_iter_init_find(&at, doc, "state") ? (enum job_state)get_word(&at, state_word) : 0;
}

static bool get_id(const bson_iter_t *at, const char *prefix, struct pb_id *out)
{
    return BSON_ITER_HOLDS_UTF8(at) && id_parse(bson_iter_utf8(at, NULL), prefix, out) == PB_OK;
}

bool mongo_get_id(const bson_t *doc, const char *key, const char *prefix, struct pb_id *out)
{
    bson_iter_t at;
    return bson_iter_init_find(&at, doc, key) && get_id(&at, prefix, out);
}

static uint8_t *get_bytes(const bson_iter_t *at, size_t *len)
{
    bson_subtype_t type;
    uint32_t n = 0;
    const uint8_t *bytes = NULL;
    *len = 0;
    if (!BSON_ITER_HOLDS_BINARY(at))
        return NULL;
    bson_iter_binary(at, &type, &n, &bytes);
    uint8_t *copy = malloc(n ? n : 1);
    if (!copy)
        return NULL;
    if (n)
        memcpy(copy, bytes, n);
    *len = n;
    return copy;
}

static void put_bytes(bson_t *doc, const char *key, const uint8_t *bytes, size_t len)
{
    bson_append_binary(doc, key, -1, BSON_SUBTYPE_BINARY, bytes ? bytes : (const uint8_t *)"", (uint32_t)len);
}

/* -- fields by table -- */

enum field_kind {
    TEXT,  /* char *, owned; NULL is left out */
    CHARS, /* an array of chars; size says how many */
    JSON,  /* char *, owned, as a document */
    DATE,  /* int64_t; 0 is left out */
    LONG,  /* int64_t */
    UINT,  /* uint32_t */
    FLAG,  /* bool */
    WORD,  /* an enum, by its word; 0 is left out */
    ID,    /* struct pb_id; nil is left out */
};

struct field {
    const char *within; /* the part that it stands in; NULL: the document itself */
    const char *key;
    enum field_kind kind;
    size_t at, size;
    word_of *word;
};

#define IN(f)             offsetof(struct integration, f)
#define JOB(f)            offsetof(struct job, f)
#define TOK(f)            offsetof(struct store_token, f)
#define BAT(f)            offsetof(struct store_batch, f)
#define SCH(f)            offsetof(struct store_schedule, f)
#define CHARS_OF(type, f) CHARS, offsetof(type, f), sizeof((type *)NULL)->f, NULL

/* In the order in which a shell shows them. The box stands behind health. */
static const struct field integration_fields[] = {
    {NULL, "tenant", TEXT, IN(tenant), 0, NULL},
    {NULL, "name", TEXT, IN(name), 0, NULL},
    {NULL, "type", TEXT, IN(type), 0, NULL},
    {NULL, "status", WORD, IN(status), 0, status_word},
    {NULL, "health", WORD, IN(health), 0, health_word},
    {NULL, "supportedEvents", JSON, IN(supported_events), 0, NULL},
    {NULL, "lastValidated", DATE, IN(last_validated_ms), 0, NULL},
    {NULL, "fields", JSON, IN(fields), 0, NULL},
    {NULL, "result", JSON, IN(result), 0, NULL},
    {NULL, "failures", UINT, IN(failures), 0, NULL},
    {NULL, "firstFailedAt", DATE, IN(first_failed_at_ms), 0, NULL},
    {NULL, "suspectSince", DATE, IN(suspect_since_ms), 0, NULL},
    {NULL, "nextValidation", DATE, IN(next_validation_ms), 0, NULL},
    {"account", "id", TEXT, IN(account_id), 0, NULL},
    {"account", "label", TEXT, IN(account_label), 0, NULL},
    {NULL, "host", TEXT, IN(host), 0, NULL},
    {"manifest", "version", TEXT, IN(manifest_version), 0, NULL},
    {"manifest", "hash", TEXT, IN(manifest_hash), 0, NULL},
    {NULL, "generation", LONG, IN(generation), 0, NULL},
    {NULL, "revision", LONG, IN(revision), 0, NULL},
    {NULL, "createdAt", DATE, IN(created_at_ms), 0, NULL},
    {NULL, "updatedAt", DATE, IN(updated_at_ms), 0, NULL},
};

static const struct field job_fields[] = {
    {NULL, "kind", WORD, JOB(kind), 0, kind_word},
    {NULL, "state", WORD, JOB(state), 0, state_word},
    {NULL, "tenant", CHARS_OF(struct job, tenant)},
    {NULL, "type", CHARS_OF(struct job, type)},
    {NULL, "host", CHARS_OF(struct job, host)},
    {NULL, "integration", ID, JOB(integration), 0, NULL},
    {NULL, "priority", WORD, JOB(priority), 0, priority_word},
    {NULL, "attempts", UINT, JOB(attempts), 0, NULL},
    {NULL, "maxAttempts", UINT, JOB(max_attempts), 0, NULL},
    {NULL, "crashes", UINT, JOB(crashes), 0, NULL},
    {NULL, "cancelAsked", FLAG, JOB(cancel_asked), 0, NULL},
    {NULL, "createdAt", DATE, JOB(created_at_ms), 0, NULL},
    {NULL, "notBefore", DATE, JOB(not_before_ms), 0, NULL},
    {NULL, "deadline", DATE, JOB(deadline_ms), 0, NULL},
    {NULL, "finishedAt", DATE, JOB(finished_at_ms), 0, NULL},
    {NULL, "result", JSON, JOB(result), 0, NULL},
};

static const struct field token_fields[] = {
    {NULL, "tenant", CHARS_OF(struct store_token, tenant)},
    {NULL, "role", CHARS_OF(struct store_token, role)},
    {NULL, "name", CHARS_OF(struct store_token, name)},
    {NULL, "createdAt", DATE, TOK(created_at_ms), 0, NULL},
};

/* A date that no shell or driver could show (a deadline of "never") stays a number. */
void mongo_put_date(bson_t *doc, const char *key, int64_t wall_ms)
{
    const int64_t first = INT64_C(-62135596800000), last = INT64_C(253402300799999); /* the years 1-9999 */
    if (wall_ms >= first && wall_ms <= last)
        bson_append_date_time(doc, key, -1, wall_ms);
    else
        bson_append_int64(doc, key, -1, wall_ms);
}

static bool put_date(bson_t *doc, const char *key, int64_t wall_ms)
{
    if (wall_ms)
        mongo_put_date(doc, key, wall_ms);
    return true;
}

static const struct field batch_fields[] = {
    {NULL, "state", WORD, BAT(state), 0, batch_word},
    {NULL, "tenant", CHARS_OF(struct store_batch, tenant)},
    {NULL, "createdAt", DATE, BAT(created_at_ms), 0, NULL},
    {NULL, "finishedAt", DATE, BAT(finished_at_ms), 0, NULL},
    {NULL, "body", JSON, BAT(body), 0, NULL},
};

static const struct field schedule_fields[] = {
    {NULL, "tenant", CHARS_OF(struct store_schedule, tenant)},
    {NULL, "name", CHARS_OF(struct store_schedule, name)},
    {NULL, "createdAt", DATE, SCH(created_at_ms), 0, NULL},
    {NULL, "updatedAt", DATE, SCH(updated_at_ms), 0, NULL},
    {NULL, "body", JSON, SCH(body), 0, NULL},
};

static bool put_text(bson_t *doc, const char *key, const char *text)
{
    return !text || bson_append_utf8(doc, key, -1, text, -1);
}

static bool put_id(bson_t *doc, const char *key, const struct pb_id *id)
{
    if (!id_is_nil(id))
        mongo_put_id(doc, key, ID_INTEGRATION, id);
    return true;
}

static bool put_enum(bson_t *doc, const struct field *f, const void *at)
{
    int n = *(const int *)at;
    if (n)
        put_word(doc, f->key, f->word, n);
    return true;
}

static bool put_field(bson_t *doc, const struct field *f, const void *record)
{
    const void *at = (const char *)record + f->at;
    switch (f->kind) {
    case TEXT:
        return put_text(doc, f->key, *(char *const *)at);
    case CHARS:
        return put_text(doc, f->key, at);
    case JSON:
        return mongo_json_append(doc, f->key, *(char *const *)at);
    case DATE:
        return put_date(doc, f->key, *(const int64_t *)at);
    case LONG:
        return bson_append_int64(doc, f->key, -1, *(const int64_t *)at);
    case UINT:
        return bson_append_int64(doc, f->key, -1, *(const uint32_t *)at);
    case FLAG:
        return bson_append_bool(doc, f->key, -1, *(const bool *)at);
    case WORD:
        return put_enum(doc, f, at);
    case ID:
        return put_id(doc, f->key, at);
    }
    return false;
}

/* Appends the fields from i on that stand in the same part; gives the first that does not. */
static size_t put_part(bson_t *doc, const struct field *fields, size_t i, size_t count, const void *record,
                       bool *ok)
{
    const char *within = fields[i].within;
    bson_t part = BSON_INITIALIZER;
    for (; i < count && fields[i].within && strcmp(fields[i].within, within) == 0; i++)
        *ok = *ok && put_field(&part, &fields[i], record);
    if (!bson_empty(&part))
        *ok = *ok && bson_append_document(doc, within, -1, &part);
    bson_destroy(&part);
    return i;
}

static bool put_fields(bson_t *doc, const struct field *fields, size_t count, const void *record)
{
    bool ok = true;
    for (size_t i = 0; i < count && ok;)
        if (fields[i].within)
            i = put_part(doc, fields, i, count, record, &ok);
        else
            ok = put_field(doc, &fields[i++], record);
    return ok;
}

static void get_chars(const bson_iter_t *at, char *out, size_t size)
{
    snprintf(out, size, "%s", BSON_ITER_HOLDS_UTF8(at) ? bson_iter_utf8(at, NULL) : "");
}

/* A field twice in a document is no reason to leak the first. */
static void set_text(char **out, char *text)
{
    free(*out);
    *out = text;
}

static void get_field(const bson_iter_t *at, const struct field *f, void *record)
{
    void *to = (char *)record + f->at;
    int64_t n = BSON_ITER_HOLDS_DATE_TIME(at) ? bson_iter_date_time(at) : bson_iter_as_int64(at);
    switch (f->kind) {
    case TEXT:
        set_text(to, BSON_ITER_HOLDS_UTF8(at) ? strdup(bson_iter_utf8(at, NULL)) : NULL);
        break;
    case CHARS:
        get_chars(at, to, f->size);
        break;
    case JSON:
        set_text(to, mongo_json_text(at));
        break;
    case DATE:
    case LONG:
        *(int64_t *)to = n;
        break;
    case UINT:
        *(uint32_t *)to = (uint32_t)n;
        break;
    case FLAG:
        *(bool *)to = bson_iter_as_bool(at);
        break;
    case WORD:
        *(int *)to = get_word(at, f->word);
        break;
    case ID:
        if (!get_id(at, ID_INTEGRATION, to))
            *(struct pb_id *)to = (struct pb_id){0};
        break;
    }
}

static const struct field *field_named(const struct field *fields, size_t count, const char *within,
                                       const char *key)
{
    for (size_t i = 0; i < count; i++)
        if (strcmp(fields[i].key, key) == 0 &&
            (within ? fields[i].within && strcmp(fields[i].within, within) == 0 : !fields[i].within))
            return &fields[i];
    return NULL;
}

/* Fields of a part of the document; or, with within NULL, of the document and of the parts that it holds. */
static void get_fields(bson_iter_t *it, const struct field *fields, size_t count, const char *within,
                       void *record)
{
    while (bson_iter_next(it)) {
        const struct field *f = field_named(fields, count, within, bson_iter_key(it));
        bson_iter_t inside;
        if (f)
            get_field(it, f, record);
        else if (!within && BSON_ITER_HOLDS_DOCUMENT(it) && bson_iter_recurse(it, &inside))
            get_fields(&inside, fields, count, bson_iter_key(it), record); /* one level, no deeper */
    }
}

/* -- integrations -- */

static bool put_box(bson_t *doc, const struct seal_box *box)
{
    bson_t part;
    bson_append_document_begin(doc, "credentials", -1, &part);
    bson_append_int32(&part, "v", -1, box->version);
    bson_append_utf8(&part, "kid", -1, box->kid, -1);
    put_bytes(&part, "nonce", box->nonce, sizeof box->nonce);
    put_bytes(&part, "box", box->bytes, box->len);
    return bson_append_document_end(doc, &part);
}

static void get_nonce(const bson_iter_t *at, uint8_t out[SEAL_NONCE_BYTES])
{
    size_t len;
    uint8_t *bytes = get_bytes(at, &len);
    if (bytes && len == SEAL_NONCE_BYTES)
        memcpy(out, bytes, len);
    free(bytes);
}

static void get_box(const bson_t *doc, struct seal_box *box)
{
    bson_iter_t at;
    if (!bson_iter_init_find(&at, doc, "credentials") || !BSON_ITER_HOLDS_DOCUMENT(&at) ||
        !bson_iter_recurse(&at, &at))
        return;
    while (bson_iter_next(&at)) {
        const char *key = bson_iter_key(&at);
        if (strcmp(key, "v") == 0)
            box->version = (int)bson_iter_as_int64(&at);
        else if (strcmp(key, "kid") == 0)
            get_chars(&at, box->kid, sizeof box->kid);
        else if (strcmp(key, "nonce") == 0)
            get_nonce(&at, box->nonce);
        else if (strcmp(key, "box") == 0 && !box->bytes)
            box->bytes = get_bytes(&at, &box->len);
    }
}

void mongo_integration_put(bson_t *doc, const struct integration *in, uint64_t fence)
{
    mongo_put_id(doc, "_id", ID_INTEGRATION, &in->id);
    bool ok = put_fields(doc, integration_fields, COUNT(integration_fields), in) &&
              put_box(doc, &in->credentials) && bson_append_int64(doc, "fence", -1, (int64_t)fence);
    assert(ok);
}

static pb_err strange(const bson_t *doc, const char *collection, const char *lacks, struct pb_why *why)
{
    bson_iter_t at;
    bool named = bson_iter_init_find(&at, doc, "_id") && BSON_ITER_HOLDS_UTF8(&at);
    return pb_fail(why, PB_E_STORE, collection,
                   "the document %.64s has no usable %s; repair it, or remove it from the collection",
                   named ? bson_iter_utf8(&at, NULL) : "(with an _id that is no text)", lacks);
}

pb_err mongo_integration_get(const bson_t *doc, struct integration *out, struct pb_why *why)
{
    struct integration in = {0};
    bson_iter_t at;
    const char *lacks = NULL;
    if (!mongo_get_id(doc, "_id", ID_INTEGRATION, &in.id))
        lacks = "_id";
    if (bson_iter_init(&at, doc))
        get_fields(&at, integration_fields, COUNT(integration_fields), NULL, &in);
    get_box(doc, &in.credentials);
    in.fence = (uint64_t)mongo_get_number(doc, "fence");
    if (!in.tenant || !in.name || !in.type)
        lacks = "tenant, name or type";
    if (lacks) {
        integration_fini(&in);
        return strange(doc, "Integrations", lacks, why);
    }
    *out = in;
    return PB_OK;
}

/* -- jobs -- */

void mongo_idem(const struct job *job, char out[MONGO_IDEM_BYTES])
{
    snprintf(out, MONGO_IDEM_BYTES, "%s/%s", job->tenant, job->idem);
}

/* The code of a result that is an object with one; else "". */
static void code_of(const char *result, char *out, size_t size)
{
    json_t *v = result ? json_loads(result, 0, NULL) : NULL;
    const char *code = json_string_value(json_object_get(v, "code"));
    snprintf(out, size, "%s", code ? code : "");
    json_decref(v);
}

void mongo_put_result(bson_t *doc, const char *result)
{
    char code[128];
    code_of(result, code, sizeof code);
    mongo_json_append(doc, "result", result);
    if (code[0])
        bson_append_utf8(doc, "code", -1, code, -1);
}

void mongo_job_put(bson_t *doc, const struct job *job)
{
    char idem[MONGO_IDEM_BYTES];
    mongo_put_id(doc, "_id", ID_JOB, &job->id);
    bool ok = put_fields(doc, job_fields, COUNT(job_fields), job);
    if (ok && job->idem[0]) {
        mongo_idem(job, idem);
        ok = bson_append_utf8(doc, "idem", -1, idem, -1);
    }
    if (ok && job->payload)
        put_bytes(doc, "payload", job->payload, job->payload_len);
    assert(ok);
}

static void get_idem(const bson_t *doc, struct job *job)
{
    bson_iter_t at;
    size_t skip = strlen(job->tenant) + 1;
    if (bson_iter_init_find(&at, doc, "idem") && BSON_ITER_HOLDS_UTF8(&at) &&
        strlen(bson_iter_utf8(&at, NULL)) > skip)
        snprintf(job->idem, sizeof job->idem, "%s", bson_iter_utf8(&at, NULL) + skip);
}

pb_err mongo_job_get(const bson_t *doc, struct job *out, struct pb_why *why)
{
    struct job job = {0};
    bson_iter_t at;
    if (!mongo_get_id(doc, "_id", ID_JOB, &job.id))
        return strange(doc, "Jobs", "_id", why);
    if (bson_iter_init(&at, doc))
        get_fields(&at, job_fields, COUNT(job_fields), NULL, &job);
    get_idem(doc, &job);
    if (bson_iter_init_find(&at, doc, "payload"))
        job.payload = get_bytes(&at, &job.payload_len);
    *out = job;
    return PB_OK;
}

/* -- tokens -- */

void mongo_token_put(bson_t *doc, const struct store_token *token)
{
    char hex[HASH_DIGITS + 1];
    sodium_bin2hex(hex, sizeof hex, token->hash, sizeof token->hash);
    bson_append_utf8(doc, "_id", -1, hex, -1);
    bool ok = put_fields(doc, token_fields, COUNT(token_fields), token);
    assert(ok);
}

pb_err mongo_token_get(const bson_t *doc, struct store_token *out, struct pb_why *why)
{
    struct store_token token = {0};
    bson_iter_t at;
    size_t len = 0;
    if (!bson_iter_init_find(&at, doc, "_id") || !BSON_ITER_HOLDS_UTF8(&at) ||
        sodium_hex2bin(token.hash, sizeof token.hash, bson_iter_utf8(&at, NULL), HASH_DIGITS, NULL, &len,
                       NULL) != 0 ||
        len != sizeof token.hash)
        return strange(doc, "Tokens", "_id", why);
    if (bson_iter_init(&at, doc))
        get_fields(&at, token_fields, COUNT(token_fields), NULL, &token);
    *out = token;
    return PB_OK;
}

/* -- batches -- */

void mongo_batch_put(bson_t *doc, const struct store_batch *batch)
{
    mongo_put_id(doc, "_id", ID_BATCH, &batch->id);
    bool ok = put_fields(doc, batch_fields, COUNT(batch_fields), batch);
    assert(ok);
}

pb_err mongo_batch_get(const bson_t *doc, struct store_batch *out, struct pb_why *why)
{
    struct store_batch batch = {0};
    bson_iter_t at;
    if (bson_iter_init(&at, doc))
        get_fields(&at, batch_fields, COUNT(batch_fields), NULL, &batch);
    if (!mongo_get_id(doc, "_id", ID_BATCH, &batch.id) || !batch.body) {
        store_batch_fini(&batch);
        return strange(doc, "Batches", "_id or body", why);
    }
    *out = batch;
    return PB_OK;
}

/* -- schedules -- */

void mongo_put_schedule_id(bson_t *doc, const char *tenant, const char *name)
{
    char id[LIMIT_TENANT_CHARS + LIMIT_SCHEDULE_CHARS + 2];
    snprintf(id, sizeof id, "%s/%s", tenant, name);
    bson_append_utf8(doc, "_id", -1, id, -1);
}

void mongo_schedule_put(bson_t *doc, const struct store_schedule *schedule)
{
    mongo_put_schedule_id(doc, schedule->tenant, schedule->name);
    bool ok = put_fields(doc, schedule_fields, COUNT(schedule_fields), schedule);
    assert(ok);
}

pb_err mongo_schedule_get(const bson_t *doc, struct store_schedule *out, struct pb_why *why)
{
    struct store_schedule schedule = {0};
    bson_iter_t at;
    if (bson_iter_init(&at, doc))
        get_fields(&at, schedule_fields, COUNT(schedule_fields), NULL, &schedule);
    if (!schedule.name[0] || !schedule.body) {
        store_schedule_fini(&schedule);
        return strange(doc, "Schedules", "name or body", why);
    }
    *out = schedule;
    return PB_OK;
}
