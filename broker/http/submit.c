/* POST /v1/jobs: one job, an array of them, or a line for each.
 *
 * Reading ten thousand jobs, asking the store about them and sealing credentials would keep the loop from its
 * workers for seconds. So the reader's thread does it, some at a time with other reads between; the loop
 * submits them, and when the last one is answered the reader's thread writes the answer. */
#include "broker/broker.h"
#include "broker/http/entry.h"
#include "broker/http/jobs.h"
#include "broker/http/routes.h"
#include "broker/intake.h"
#include "common/limits.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define SLICE        200 /* jobs read in one go: about 50 ms if each has credentials to be sealed */
#define ANSWER_BYTES (64 * 1024 * 1024)

struct bulk {
    struct http_request *r;
    struct entry_context context;
    uint8_t seal_key[SEAL_PUBLIC_BYTES];
    bool lines;  /* the body is a line for each job */
    bool single; /* it is one object, answered as one */
    bool read;   /* it was taken apart: entries is there */
    json_t *body;
    char *next_line;
    struct entry *entries;
    size_t count, done; /* done: read so far */
    size_t waiting;     /* submitted and not answered, and one more while submitting */
    size_t accepted;
    const char *refusal; /* a problem's code: of the body as a whole */
    char detail[256];
    struct buf text;
};

/* What is known of an entry once it is submitted, kept where the job's own strings are not needed any more.
 */
struct ticket {
    struct bulk *bulk;
    struct entry *entry;
};

static void bulk_free(struct bulk *b)
{
    for (size_t i = 0; i < b->count && b->entries; i++)
        entry_fini(&b->entries[i]);
    free(b->entries);
    json_decref(b->body);
    buf_fini(&b->text);
    free(b);
}

static void end_refused(struct bulk *b, pb_err err, const struct pb_why *why)
{
    http_refuse_error(b->r, err, why);
    bulk_free(b);
}

/* -- the body, on the reader's thread -- */

static void refuse_body(struct bulk *b, const char *code, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

static void refuse_body(struct bulk *b, const char *code, const char *format, ...)
{
    va_list args;
    b->refusal = code;
    va_start(args, format);
    vsnprintf(b->detail, sizeof b->detail, format, args);
    va_end(args);
}

static pb_err make_entries(struct bulk *b, size_t count)
{
    if (count == 0)
        refuse_body(b, "invalid_request", "there is no job in the body");
    else if (count > LIMIT_JOBS_SUBMITTED)
        refuse_body(b, "too_large",
                    "%zu jobs are more than the %d that one request may bring; send the rest with "
                    "another",
                    count, LIMIT_JOBS_SUBMITTED);
    if (b->refusal)
        return PB_OK;
    b->entries = calloc(count, sizeof *b->entries);
    b->count = b->entries ? count : 0;
    return b->entries ? PB_OK : PB_E_MEMORY;
}

static bool is_blank(const char *line, size_t len)
{
    for (size_t i = 0; i < len; i++)
        if (!strchr(" \t\r", line[i]))
            return false;
    return true;
}

/* The next line that is not blank: where it starts and how long it is; moves *at behind it. NULL: none is
 * left. */
static char *next_line(char **at, size_t *len)
{
    while (**at) {
        char *line = *at;
        *len = strcspn(line, "\n");
        *at = line + *len + (line[*len] == '\n');
        if (!is_blank(line, *len))
            return line;
    }
    return NULL;
}

static pb_err take_lines(struct bulk *b)
{
    char *text = (char *)b->r->body.data, *at = text;
    size_t count = 0, len;
    if (text && strlen(text) != b->r->body.len) {
        refuse_body(b, "invalid_json", "a line has a NUL in it");
        return PB_OK;
    }
    while (text && next_line(&at, &len))
        count++;
    b->next_line = text;
    return make_entries(b, count);
}

static pb_err take_document(struct bulk *b)
{
    struct pb_why why = {0};
    pb_err err = http_json_parse(buf_peek(&b->r->body), b->r->body.len, &b->body, &why);
    buf_fini(&b->r->body); /* there may be credentials in it */
    if (err == PB_E_MEMORY)
        return err;
    if (err) {
        refuse_body(b, "invalid_json", "%s%s%s", why.at, why.at[0] ? ": " : "", why.text);
        return PB_OK;
    }
    b->single = !json_is_array(b->body);
    return make_entries(b, b->single ? 1 : json_array_size(b->body));
}

static pb_err read_line(struct bulk *b, struct entry *e, struct store *store, struct pb_why *why)
{
    struct pb_why fault = {0};
    json_t *json = NULL;
    size_t len = 0;
    char *line = next_line(&b->next_line, &len);
    pb_err err = http_json_parse(line, len, &json, &fault);
    if (err == PB_E_MEMORY)
        return err;
    if (err) { /* the line is known by the entry's place: within it the column is what helps */
        entry_refuse(e, "invalid_json", "", "%s%s%s", fault.at, fault.at[0] ? ": " : "", fault.text);
        return PB_OK;
    }
    err = entry_read(e, json, &b->context, store, why);
    json_decref(json);
    return err;
}

static pb_err read_one(struct bulk *b, struct store *store, struct pb_why *why)
{
    struct entry *e = &b->entries[b->done];
    if (b->lines)
        return read_line(b, e, store, why);
    return entry_read(e, b->single ? b->body : json_array_get(b->body, b->done), &b->context, store, why);
}

static pb_err slice_read(struct store *store, void *arg, struct pb_why *why)
{
    struct bulk *b = arg;
    pb_err err = PB_OK;
    if (!b->read) {
        b->read = true;
        err = b->lines ? take_lines(b) : take_document(b);
    }
    for (size_t i = 0; i < SLICE && !err && b->done < b->count; i++) {
        err = read_one(b, store, why);
        b->done++;
    }
    return err;
}

/* -- the answer to many -- */

static pb_err find_duplicate(struct entry *e, struct store *store, struct pb_why *why)
{
    struct job asked = e->job;
    struct pb_id id = asked.id;
    pb_err err = store_get_job(store, &id, &e->job, why);
    if (err == PB_E_NOT_FOUND) { /* it ended and was removed since: what it was is not known any more */
        e->job = asked;
        return PB_OK;
    }
    if (!err && !jobs_is_same_request(&asked, &e->job))
        entry_refuse(e, "idempotency_key_reused", "idempotencyKey",
                     "this key was used for another job; take a new one for each");
    return err;
}

static pb_err write_entry(struct bulk *b, size_t i)
{
    const struct entry *e = &b->entries[i];
    json_t *json = e->code ? json_pack("{s:o}", "error", entry_problem(e, (long)i))
                           : json_pack("{s:o}", "job", jobs_json_accepted(&e->job));
    char *text = json ? json_dumps(json, JSON_COMPACT) : NULL;
    json_decref(json);
    buf_text(&b->text, i ? ",\n" : "\n");
    buf_text(&b->text, text ? text : "");
    free(text);
    b->accepted += !e->code;
    return text && !b->text.failed ? PB_OK : PB_E_MEMORY;
}

static pb_err answer_write(struct store *store, void *arg, struct pb_why *why)
{
    struct bulk *b = arg;
    pb_err err = PB_OK;
    buf_init(&b->text, ANSWER_BYTES);
    buf_text(&b->text, "{\"items\":[");
    for (size_t i = 0; i < b->count && !err; i++) {
        if (b->entries[i].duplicate)
            err = find_duplicate(&b->entries[i], store, why);
        if (!err)
            err = write_entry(b, i);
    }
    buf_printf(&b->text, "\n],\"accepted\":%zu,\"refused\":%zu}\n", b->accepted, b->count - b->accepted);
    return err ? err : b->text.failed ? PB_E_MEMORY : PB_OK;
}

static void answer_written(void *arg, pb_err err, const struct pb_why *why)
{
    struct bulk *b = arg;
    size_t len = 0;
    char *text = err ? NULL : buf_take(&b->text, &len);
    if (!text) {
        end_refused(b, err ? err : PB_E_MEMORY, why);
        return;
    }
    http_answer_text(b->r, b->accepted == b->count ? 202 : 207, "application/json", text, len);
    bulk_free(b);
}

static void one_less(struct bulk *b)
{
    if (--b->waiting)
        return;
    pb_err err = http_read(b->r, answer_write, answer_written, b);
    if (err)
        end_refused(b, err, NULL);
}

/* -- submitting many, on the loop's thread -- */

static void on_answer(void *arg, const struct intake_answer *a)
{
    struct ticket *t = arg;
    struct entry *e = t->entry;
    if (a->err)
        entry_refuse(e, jobs_refusal_code(a->err), "", "%s", a->why ? a->why : "the job was refused");
    e->duplicate = a->duplicate && !a->err;
    e->job.id = a->err ? e->job.id : a->job;
    one_less(t->bulk);
    free(t);
}

/* As they are submitted, so that they sort in that order. */
static void name_job(struct bulk *b, struct entry *e)
{
    id_next(&b->r->broker->job_ids, e->job.created_at_ms, &e->job.id);
}

static void submit_entry(struct bulk *b, struct entry *e)
{
    struct ticket *t = malloc(sizeof *t);
    if (!t) {
        entry_refuse(e, "overloaded", "", "the broker is out of memory; try again in a moment");
        return;
    }
    *t = (struct ticket){b, e};
    name_job(b, e);
    struct job job = e->job;
    e->job.payload = NULL;
    e->job.payload_len = 0;
    b->waiting++;
    intake_submit(b->r->broker, &job, 0, on_answer, t);
}

static void submit_all(struct bulk *b)
{
    b->waiting = 1;
    for (size_t i = 0; i < b->count; i++)
        if (!b->entries[i].code)
            submit_entry(b, &b->entries[i]);
    one_less(b);
}

/* -- one -- */

static void ended(struct http_request *r, const struct job *job, const struct integration *doc)
{
    (void)doc;
    jobs_answer(r, job);
}

static void refuse_one(struct http_request *r, const struct entry *e)
{
    struct problem p = {.code = e->code, .detail = e->detail};
    p.faults = e->faults ? e->faults : &e->fault;
    p.fault_count = e->faults ? e->fault_count : e->fault.pointer[0] != 0;
    http_answer_problem(r, &p);
}

static void submit_one(struct bulk *b)
{
    struct entry *e = &b->entries[0];
    if (!e->code && !e->job.idem[0] && b->r->idem)
        snprintf(e->job.idem, sizeof e->job.idem, "%s", b->r->idem);
    name_job(b, e);
    if (e->code)
        refuse_one(b->r, e);
    else
        jobs_submit(b->r, &e->job, ended);
    bulk_free(b);
}

/* -- the request -- */

static void read_on(struct bulk *b);

static void slice_done(void *arg, pb_err err, const struct pb_why *why)
{
    struct bulk *b = arg;
    if (err || b->r->broker->stopped) { /* what was read before the end cannot be submitted after it */
        end_refused(b, err ? err : PB_E_CLOSED, why);
    } else if (b->refusal) {
        http_refuse(b->r, b->refusal, "%s", b->detail);
        bulk_free(b);
    } else if (!b->single && b->r->idem) {
        http_refuse(b->r, "bad_request",
                    "an Idempotency-Key belongs to one job; give each its own, as its member idempotencyKey");
        bulk_free(b);
    } else if (b->done < b->count) {
        read_on(b);
    } else if (b->single) {
        submit_one(b);
    } else {
        submit_all(b);
    }
}

static void read_on(struct bulk *b)
{
    pb_err err = http_read(b->r, slice_read, slice_done, b);
    if (err)
        end_refused(b, err, NULL);
}

static struct entry_context context_of(struct bulk *b)
{
    const struct broker *broker = b->r->broker;
    memcpy(b->seal_key, broker->seal_key, sizeof b->seal_key); /* another worker may bring another */
    return (struct entry_context){.types = broker->types,
                                  .tenant = http_tenant_new(b->r),
                                  .all_tenants = http_is_cluster(b->r),
                                  .seal_key = broker->have_seal_key ? b->seal_key : NULL};
}

void jobs_create(struct http_request *r)
{
    bool lines = http_is_type(r->content_type, "application/x-ndjson");
    if (!lines && !http_is_json_type(r->content_type)) {
        http_refuse(r, "unsupported_media_type",
                    "send JSON, with Content-Type: application/json, or a JSON object a line, with "
                    "application/x-ndjson");
        return;
    }
    struct bulk *b = calloc(1, sizeof *b);
    if (!b) {
        http_refuse_error(r, PB_E_MEMORY, NULL);
        return;
    }
    b->r = r;
    b->lines = lines;
    b->context = context_of(b);
    read_on(b);
}
