#include "broker/http/entry.h"

#include "broker/http/jobs.h"
#include "broker/http/problem.h"
#include "broker/http/setup.h"
#include "broker/spec.h"
#include "common/clock.h"
#include "common/limits.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define COMMON                                                                                               \
    "kind", "idempotencyKey", "priority", "delaySeconds", "notBefore", "deadlineSeconds", "deadline",        \
        "maxAttempts"

struct reading {
    struct entry *entry;
    const json_t *object;
    const struct entry_context *context;
    struct store *store;
    struct fields_report report;
};

void entry_fini(struct entry *e)
{
    job_fini(&e->job);
    free(e->faults);
    *e = (struct entry){0};
}

void entry_refuse(struct entry *e, const char *code, const char *member, const char *format, ...)
{
    va_list args;
    e->code = code;
    va_start(args, format);
    vsnprintf(e->detail, sizeof e->detail, format, args);
    va_end(args);
    snprintf(e->fault.pointer, sizeof e->fault.pointer, "%s%s", *member ? "/" : "", member);
    snprintf(e->fault.message, sizeof e->fault.message, "%s", e->detail);
}

/* -- by kind -- */

static pb_err check_name(struct reading *rd, const char *name, struct pb_why *why)
{
    struct entry *e = rd->entry;
    struct pb_id owner;
    char id[ID_TEXT_BYTES];
    pb_err err = store_find_name(rd->store, e->job.tenant, name, &owner, why);
    if (err == PB_E_NOT_FOUND ||
        (!err && e->job.idem[0])) /* it may be this very job that took it: the job tells */
        return PB_OK;
    if (err)
        return err;
    id_text(&owner, ID_INTEGRATION, id);
    entry_refuse(e, "name_taken", "name", "the integration %s has this name already; choose another", id);
    return PB_OK;
}

static pb_err prepare_setup(struct reading *rd, const struct setup *s, struct pb_why *why)
{
    struct job *job = &rd->entry->job;
    snprintf(job->type, sizeof job->type, "%s", s->manifest->type);
    id_new(&job->integration, job->created_at_ms);
    spec_set_host(job, s->manifest);
    pb_err err = check_name(rd, s->name, why);
    return err || rd->entry->code ? err : setup_seal(rd->context->seal_key, s, job);
}

static pb_err read_setup(struct reading *rd, struct pb_why *why)
{
    struct setup s = {0};
    pb_err err = setup_read_members(rd->context->types, rd->object, true, &s, &rd->report);
    if (!err && !rd->report.count && !rd->context->seal_key)
        entry_refuse(
            rd->entry, "no_worker", "",
            "no worker has joined yet, so credentials cannot be sealed; start patchbay-worker and try "
            "again");
    else if (!err && !rd->report.count)
        err = prepare_setup(rd, &s, why);
    credentials_fini(&s.credentials);
    return err;
}

static void take_integration(struct reading *rd, const struct integration *doc)
{
    struct job *job = &rd->entry->job;
    snprintf(job->tenant, sizeof job->tenant, "%s", doc->tenant);
    snprintf(job->type, sizeof job->type, "%s", doc->type);
    job->integration = doc->id;
    if (job->kind == JOB_VALIDATE)
        spec_set_host(job, manifests_find(rd->context->types, doc->type));
}

static pb_err read_integration(struct reading *rd, struct pb_why *why)
{
    const char *text = form_text(rd->object, "integration", true, &rd->report);
    struct integration doc = {0};
    struct pb_id id;
    if (!text)
        return PB_OK;
    if (id_parse(text, ID_INTEGRATION, &id) != PB_OK) {
        form_fault(&rd->report, "integration", "must be an id: " ID_INTEGRATION " and 32 hexadecimal digits");
        return PB_OK;
    }
    pb_err err = store_get_integration(rd->store, &id, &doc, why);
    if (err && err != PB_E_NOT_FOUND)
        return err;
    if (err || (!rd->context->all_tenants && strcmp(doc.tenant, rd->context->tenant) != 0))
        entry_refuse(rd->entry, "not_found", "integration",
                     "there is no such integration; GET /v1/integrations lists them");
    else
        take_integration(rd, &doc);
    integration_fini(&doc);
    return PB_OK;
}

static pb_err read_ping(struct reading *rd, struct pb_why *why)
{
    const char *text = form_text(rd->object, "payload", false, &rd->report);
    struct job *job = &rd->entry->job;
    size_t len = text ? strlen(text) : 0;
    (void)why;
    if (len > LIMIT_PING_BYTES) {
        form_fault(&rd->report, "payload", "must have at most %d bytes", LIMIT_PING_BYTES);
        return PB_OK;
    }
    job->payload = len ? malloc(len) : NULL;
    if (len && !job->payload)
        return PB_E_MEMORY;
    if (len)
        memcpy(job->payload, text, len);
    job->payload_len = len;
    return PB_OK;
}

static const char *const setup_members[] = {COMMON, "type", "name", "credentials", NULL},
                         *const integration_members[] = {COMMON, "integration", NULL},
                         *const ping_members[] = {COMMON, "payload", NULL};

static const struct {
    enum job_kind kind;
    pb_err (*read)(struct reading *rd, struct pb_why *why);
    const char *const *members;
    const char *what;
} kinds[] = {
    {JOB_SETUP, read_setup, setup_members, "a setup has type, name and credentials"},
    {JOB_VALIDATE, read_integration, integration_members, "a validation has integration"},
    {JOB_DELETE, read_integration, integration_members, "a deletion has integration"},
    {JOB_PING, read_ping, ping_members, "a ping has payload"},
};

/* -- what all have in common -- */

static void read_priority(struct reading *rd)
{
    static const char *const names[] = {"high", "normal", "low", NULL};
    static const enum job_priority priorities[] = {PRIORITY_HIGH, PRIORITY_NORMAL, PRIORITY_LOW};
    size_t at = 1;
    form_choice(rd->object, "priority", names, &at, &rd->report);
    rd->entry->job.priority = priorities[at];
}

static void read_key(struct reading *rd)
{
    const char *key = form_text(rd->object, "idempotencyKey", false, &rd->report);
    if (key && !http_is_idem(key))
        form_fault(&rd->report, "idempotencyKey", "must be 1 to %d printable ASCII characters",
                   LIMIT_IDEM_CHARS);
    else if (key)
        snprintf(rd->entry->job.idem, sizeof rd->entry->job.idem, "%s", key);
}

/* A time given as seconds from now or as a date; 0: neither is. */
static int64_t read_when(struct reading *rd, const char *seconds, const char *date)
{
    int64_t ms = 0, now_ms = rd->entry->job.created_at_ms;
    bool both = json_object_get(rd->object, seconds) && json_object_get(rd->object, date);
    if (both)
        form_fault(&rd->report, date, "and %s exclude each other", seconds);
    else if (form_seconds(rd->object, seconds, LIMIT_JOB_DELAY_SECONDS, &ms, &rd->report))
        return now_ms + ms;
    else if (form_time(rd->object, date, &ms, &rd->report) &&
             ms > now_ms + INT64_C(1000) * LIMIT_JOB_DELAY_SECONDS)
        form_fault(&rd->report, date, "must be within the next %d days", LIMIT_JOB_DELAY_SECONDS / 86400);
    return ms;
}

static void read_times(struct reading *rd)
{
    struct job *job = &rd->entry->job;
    job->not_before_ms = read_when(rd, "delaySeconds", "notBefore");
    job->deadline_ms = read_when(rd, "deadlineSeconds", "deadline");
    if (job->not_before_ms <= job->created_at_ms)
        job->not_before_ms = 0;
    const char *member = json_object_get(rd->object, "deadline") ? "deadline" : "deadlineSeconds";
    if (job->deadline_ms && job->deadline_ms <= job->created_at_ms)
        form_fault(&rd->report, member, "must be in the future");
    else if (job->deadline_ms && job->deadline_ms <= job->not_before_ms)
        form_fault(&rd->report, member, "must be later than the time before which the job does not run");
}

static void read_attempts(struct reading *rd)
{
    int64_t attempts = 0;
    form_integer(rd->object, "maxAttempts", 1, LIMIT_JOB_ATTEMPTS, &attempts, &rd->report);
    rd->entry->job.max_attempts = (uint32_t)attempts;
}

/* -- one job -- */

static pb_err read_kind(struct reading *rd, struct pb_why *why)
{
    static const char *const names[] = {"setup", "validate", "delete", "ping", NULL};
    size_t at = 0;
    if (!json_object_get(rd->object, "kind"))
        form_fault(&rd->report, "kind", "is required: setup, validate, delete or ping");
    if (!form_choice(rd->object, "kind", names, &at, &rd->report))
        return PB_OK;
    rd->entry->job.kind = kinds[at].kind;
    form_check_known(rd->object, kinds[at].members, kinds[at].what, &rd->report);
    read_key(rd);
    read_priority(rd);
    read_times(rd);
    read_attempts(rd);
    return kinds[at].read(rd, why);
}

static pb_err keep_report(struct reading *rd)
{
    struct entry *e = rd->entry;
    if (!rd->report.count)
        return PB_OK;
    e->faults = malloc(rd->report.count * sizeof *e->faults);
    if (!e->faults)
        return PB_E_MEMORY;
    e->fault_count = rd->report.count;
    memcpy(e->faults, rd->report.faults, e->fault_count * sizeof *e->faults);
    e->code = "invalid_request";
    const struct fields_fault *first = &rd->report.faults[0];
    snprintf(e->detail, sizeof e->detail, "%s%s%.150s", first->pointer, first->pointer[0] ? " " : "",
             first->message);
    if (rd->report.count > 1)
        snprintf(e->detail, sizeof e->detail, "%zu faults; errors lists each with its place",
                 rd->report.count);
    return PB_OK;
}

pb_err entry_read(struct entry *e, const json_t *object, const struct entry_context *c, struct store *store,
                  struct pb_why *why)
{
    struct reading rd = {.entry = e, .object = object, .context = c, .store = store};
    pb_err err = PB_OK;
    e->job = (struct job){.state = JOB_WAITING, .created_at_ms = clock_wall_ms()};
    snprintf(e->job.tenant, sizeof e->job.tenant, "%s", c->tenant);
    if (json_is_object(object))
        err = read_kind(&rd, why);
    else
        form_fault(&rd.report, "", "must be an object with kind, and what that kind of job needs");
    return err ? err : keep_report(&rd);
}

/* -- as a problem -- */

static void move_pointer(struct fields_fault *f, long index)
{
    struct fields_fault from = *f;
    snprintf(f->pointer, sizeof f->pointer, "/%ld%.70s", index, from.pointer);
}

json_t *entry_problem(const struct entry *e, long index)
{
    struct fields_fault faults[FIELDS_FAULTS_MAX];
    size_t count = e->faults ? e->fault_count : e->fault.message[0] != 0;
    memcpy(faults, e->faults ? e->faults : &e->fault, count * sizeof faults[0]);
    for (size_t i = 0; i < count && index >= 0; i++)
        move_pointer(&faults[i], index);
    return problem_json(
        &(struct problem){.code = e->code, .detail = e->detail, .faults = faults, .fault_count = count});
}
