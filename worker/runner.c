#include "worker/runner.h"

#include "common/clock.h"
#include "common/fields.h"
#include "common/integration.h"
#include "common/limits.h"
#include "common/result.h"
#include "worker/connector.h"
#include "worker/events.h"

#include <sodium.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <uthash.h>

#define BUSY_MS       100 /* until what this worker had no room for is handed out again */
#define PACKAGE_TRIES 6   /* attempts on workers without the type's package, before that is the answer */

/* One attempt under way. */
struct run {
    struct runner *runner;
    struct pb_id job;
    uint64_t fence;
    enum job_kind kind;
    uint32_t attempt, flags;
    const struct manifest *manifest; /* NULL: this worker has no such package */
    struct integration doc;          /* as read; of a setup: what it is going to be */
    struct credentials credentials;
    struct connector_test *test;
    struct events_task *events;
    UT_hash_handle hh;
};

struct runner {
    struct runner_settings settings;
    const struct log *log;
    runner_done *done;
    void *arg;
    struct run *running; /* by fence */
    struct events *events;
};

/* -- ends -- */

static void run_free(struct run *run)
{
    if (!run)
        return;
    HASH_DEL(run->runner->running, run);
    integration_fini(&run->doc);
    credentials_fini(&run->credentials);
    free(run);
}

static struct wire_text text_of(const char *text)
{
    return (struct wire_text){text, text ? strlen(text) : 0};
}

/* Tells an outcome that changes no record, and ends the run. */
static void tell_plain(struct run *run, enum job_outcome outcome, struct wire_text result)
{
    struct wire_outcome o = {.job = run->job,
                             .fence = run->fence,
                             .outcome = outcome,
                             .retry_after_ms = outcome == OUTCOME_RETURNED ? BUSY_MS : 0,
                             .result = result};
    struct runner *r = run->runner;
    r->done(r->arg, &o);
    run_free(run);
}

/* Tells the outcome, with the record's change if there is one, and ends the run. */
static void tell(struct run *run, enum job_outcome outcome, enum store_change_kind change,
                 const struct result *result)
{
    struct wire_outcome o = {
        .job = run->job,
        .fence = run->fence,
        .outcome = outcome,
        .code = text_of(result ? result_code_name(result->code) : ""),
        .revision = run->doc.revision,
        .change = {.kind = change, .if_generation = run->doc.generation},
    };
    json_t *json = result ? result_json(result) : NULL;
    char *text = json ? json_dumps(json, JSON_COMPACT) : NULL;
    struct buf packed;
    buf_init(&packed, LIMIT_MESSAGE_BYTES);
    pb_err err = change == CHANGE_NONE ? PB_OK : integration_pack(&run->doc, &packed);
    if (err) { /* nothing was done, so it may be done again */
        o.outcome = OUTCOME_RETRY;
        o.change.kind = CHANGE_NONE;
    }
    o.result = text_of(text);
    o.change.doc = (struct wire_bytes){packed.data, err ? 0 : packed.len};
    struct runner *r = run->runner;
    r->done(r->arg, &o);
    run_free(run);
    buf_fini(&packed);
    free(text);
    json_decref(json);
}

static struct result result_of(const struct run *run, enum result_code code, const char *message)
{
    struct result r = {.code = code, .attempt = run->attempt};
    result_text(r.message, sizeof r.message, message, strlen(message));
    return r;
}

/* -- the record -- */

static pb_err set_text(char **field, const char *text)
{
    char *copy = strdup(text ? text : "");
    if (!copy)
        return PB_E_MEMORY;
    free(*field);
    *field = copy;
    return PB_OK;
}

static pb_err take_text(char **field, char *text)
{
    if (!text)
        return PB_E_MEMORY;
    free(*field);
    *field = text;
    return PB_OK;
}

/* The package's events are registered at setup, and again when the package has changed since. */
static pb_err register_events(struct run *run)
{
    const struct manifest *m = run->manifest;
    if (run->doc.manifest_hash && strcmp(run->doc.manifest_hash, m->hash) == 0)
        return PB_OK;
    pb_err err = take_text(&run->doc.supported_events, manifest_supported_events(m));
    if (!err)
        err = set_text(&run->doc.manifest_hash, m->hash);
    return err ? err : set_text(&run->doc.manifest_version, m->version);
}

static pb_err apply(struct run *run, const struct result *result)
{
    uint64_t random;
    int64_t now_ms = clock_wall_ms();
    randombytes_buf(&random, sizeof random);
    run->doc.updated_at_ms = now_ms;
    run->doc.revision++;
    run->doc.fence = run->fence;
    int64_t interval_ms = run->manifest ? run->manifest->interval_ms : INT64_C(86400000);
    const struct result_terms terms = {.now_ms = now_ms,
                                       .interval_ms = interval_ms,
                                       .random = random,
                                       .fresh = run->kind == JOB_SETUP,
                                       .hold_flips = run->flags & WIRE_HOLD_FLIPS};
    pb_err err = result_apply(&run->doc, result, &terms);
    return err || !run->manifest ? err : register_events(run);
}

static struct seal_owner owner_of(const struct run *run)
{
    return (struct seal_owner){run->doc.tenant, run->doc.type, run->doc.id};
}

/* What a setup adds to the record: the credentials at rest, and the display copy of what is not secret. */
static pb_err protect(struct run *run)
{
    struct seal_owner owner = owner_of(run);
    run->doc.generation = 1;
    run->doc.created_at_ms = clock_wall_ms();
    pb_err err = take_text(&run->doc.fields, fields_public_json(run->manifest, &run->credentials));
    return err ? err
               : seal_store(run->runner->settings.keyring, &owner, &run->credentials, &run->doc.credentials);
}

/* -- the test's result -- */

static void finish_setup(struct run *run, const struct result *result)
{
    if (!result_accepts_setup(result)) {
        tell(run, OUTCOME_FAILED, CHANGE_NONE, result);
        return;
    }
    pb_err err = protect(run);
    if (!err)
        err = apply(run, result);
    tell(run, err ? OUTCOME_RETRY : OUTCOME_DONE, err ? CHANGE_NONE : CHANGE_CREATE, result);
}

static void finish_validate(struct run *run, const struct result *result)
{
    pb_err err = apply(run, result);
    tell(run, err ? OUTCOME_RETRY : OUTCOME_DONE, err ? CHANGE_NONE : CHANGE_REPLACE, result);
}

/* Whatever the answer is, it was asked for and nothing more. */
static void finish_test(struct run *run, const struct result *result)
{
    tell(run, OUTCOME_DONE, CHANGE_NONE, result);
}

typedef void finisher(struct run *run, const struct result *result);

static finisher *const finishers[] = {
    [JOB_SETUP] = finish_setup, [JOB_VALIDATE] = finish_validate, [JOB_TEST] = finish_test};

static void finish(struct run *run, const struct result *result)
{
    struct result r = *result;
    r.attempt = run->attempt;
    finishers[run->kind](run, &r);
}

static void on_tested(void *arg, const struct result *result)
{
    struct run *run = arg;
    run->test = NULL;
    finish(run, result);
}

/* -- the ways to a test -- */

static void test(struct run *run, uint32_t deadline_ms)
{
    pb_err err = declarative_connector.test(run->runner->settings.transfer, run->manifest, &run->credentials,
                                            deadline_ms, on_tested, run, &run->test);
    if (err) {
        struct result r = result_of(run, RESULT_INTERNAL, "the test could not be started");
        finish(run, &r);
    }
}

static pb_err check_fields(struct run *run, struct result *result)
{
    struct fields_report report = {0};
    pb_err err = fields_check(run->manifest, &run->credentials, &report);
    if (err || report.count == 0)
        return err;
    *result = result_of(run, RESULT_MISCONFIGURED, report.faults[0].message);
    const char *slash = strrchr(report.faults[0].pointer, '/');
    snprintf(result->field, sizeof result->field, "%.*s", LIMIT_FIELD_NAME_CHARS, slash ? slash + 1 : "");
    return PB_E_INVALID;
}

static char *copy_wire_text(struct wire_text t)
{
    return strndup(t.data ? t.data : "", t.len);
}

static pb_err read_setup(struct run *run, const struct wire_attempt *a, struct wire_setup *setup)
{
    pb_err err = wire_unpack_setup(a->payload, setup);
    if (err)
        return err;
    run->doc.id = a->integration;
    run->doc.status = STATUS_ACTIVE;
    run->doc.tenant = copy_wire_text(a->tenant);
    run->doc.type = copy_wire_text(a->type);
    run->doc.name = copy_wire_text(setup->name);
    return run->doc.tenant && run->doc.type && run->doc.name ? PB_OK : PB_E_MEMORY;
}

/* While packages are brought to one worker after the other, another one may have this one's. */
static void no_package(struct run *run)
{
    if (run->attempt < PACKAGE_TRIES) {
        tell(run, OUTCOME_RETRY, CHANGE_NONE, NULL);
        return;
    }
    char text[160];
    snprintf(text, sizeof text, "this worker has no package for the type %s; install it on every worker",
             run->doc.type);
    struct result r = result_of(run, RESULT_MANIFEST_INVALID, text);
    finish(run, &r);
}

static void cannot_open(struct run *run, pb_err err)
{
    const char *text =
        err == PB_E_NOT_FOUND
            ? "the keyring does not hold the key that these credentials were stored under"
            : "the credentials could not be opened; is this the keyring they were stored with?";
    struct result r = result_of(run, RESULT_DECRYPT_FAILED, text);
    finish(run, &r);
}

/* A setup, or a test that stores nothing: the credentials are new, and come sealed. */
static void start_sealed(struct run *run, const struct wire_attempt *a)
{
    struct wire_setup setup;
    struct result r = {0};
    pb_err err = read_setup(run, a, &setup);
    if (err) {
        tell(run, OUTCOME_RETRY, CHANGE_NONE, NULL);
        return;
    }
    struct seal_owner owner = owner_of(run);
    run->manifest = manifests_find(run->runner->settings.types, run->doc.type);
    if (!run->manifest)
        no_package(run);
    else if ((err = seal_open_inbound(run->runner->settings.keyring, &owner, setup.sealed.data,
                                      setup.sealed.len, &run->credentials)))
        cannot_open(run, err);
    else if (check_fields(run, &r))
        finish(run, &r);
    else
        test(run, a->deadline_ms);
}

static void start_validate(struct run *run, const struct wire_attempt *a)
{
    if (integration_unpack(a->payload.data, a->payload.len, &run->doc) != PB_OK) {
        tell(run, OUTCOME_RETRY, CHANGE_NONE, NULL);
        return;
    }
    struct seal_owner owner = owner_of(run);
    run->manifest = manifests_find(run->runner->settings.types, run->doc.type);
    pb_err err =
        seal_open_stored(run->runner->settings.keyring, &owner, &run->doc.credentials, &run->credentials);
    if (!run->manifest)
        no_package(run);
    else if (err)
        cannot_open(run, err);
    else
        test(run, a->deadline_ms);
}

static void start_delete(struct run *run, const struct wire_attempt *a)
{
    pb_err err = integration_unpack(a->payload.data, a->payload.len, &run->doc);
    tell(run, err ? OUTCOME_RETRY : OUTCOME_DONE, err ? CHANGE_NONE : CHANGE_DELETE, NULL);
}

static void start_ping(struct run *run, const struct wire_attempt *a)
{
    (void)a;
    tell(run, OUTCOME_DONE, CHANGE_NONE, NULL);
}

/* -- events -- */

static void on_checked(void *arg, const struct events_outcome *o)
{
    struct run *run = arg;
    run->events = NULL;
    tell_plain(run, o->outcome, (struct wire_text){o->result, o->result_len});
}

static void fail_event(struct run *run, const char *code, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* code and what format says need no escaping. */
static void fail_event(struct run *run, const char *code, const char *format, ...)
{
    char message[256], result[320];
    va_list args;
    va_start(args, format);
    vsnprintf(message, sizeof message, format, args);
    va_end(args);
    snprintf(result, sizeof result, "{\"code\":\"%s\",\"message\":\"%s\"}", code, message);
    tell_plain(run, OUTCOME_FAILED, text_of(result));
}

/* While packages are brought to one worker after the other, another one may have this one's. */
static void no_event_package(struct run *run, const char *type)
{
    if (run->attempt < PACKAGE_TRIES)
        tell_plain(run, OUTCOME_RETRY, text_of(NULL));
    else
        fail_event(run, "no_package",
                   "this worker has no package for the type %s; install it on every worker", type);
}

static void start_event(struct run *run, const struct wire_attempt *a)
{
    char type[LIMIT_TYPE_CHARS + 1];
    snprintf(type, sizeof type, "%.*s", (int)a->type.len, a->type.len ? a->type.data : "");
    const struct manifest *m = manifests_find(run->runner->settings.types, type);
    if (!m) {
        no_event_package(run, type);
        return;
    }
    pb_err err = events_start(run->runner->events, m, a, on_checked, run, &run->events);
    if (err == PB_E_NOT_FOUND)
        fail_event(run, "not_found",
                   "the worker's package of %s has no such event (any more); validate the integration, which "
                   "registers the events that there are",
                   m->type);
    else if (err)
        tell_plain(run, err == PB_E_BUSY ? OUTCOME_RETURNED : OUTCOME_RETRY, text_of(NULL));
}

typedef void starter(struct run *run, const struct wire_attempt *a);

static starter *const starts[] = {
    [JOB_SETUP] = start_sealed, [JOB_VALIDATE] = start_validate, [JOB_DELETE] = start_delete,
    [JOB_TEST] = start_sealed,  [JOB_PING] = start_ping,         [JOB_VALIDATE_EVENT] = start_event,
};

void runner_start(struct runner *r, const struct wire_attempt *a)
{
    struct run *run = calloc(1, sizeof *run);
    if (!run)
        return; /* no memory for an outcome either: the lease or a list will show it */
    *run = (struct run){.runner = r,
                        .job = a->job,
                        .fence = a->fence,
                        .kind = a->kind,
                        .attempt = a->attempt,
                        .flags = a->flags};
    HASH_ADD(hh, r->running, fence, sizeof run->fence, run);
    if ((size_t)a->kind < sizeof starts / sizeof starts[0] && starts[a->kind]) {
        starts[a->kind](run, a);
        return;
    }
    log_line(r->log, LOG_ERROR,
             "a job of a kind that this version does not know; is this worker older than its broker?", NULL);
    tell(run, OUTCOME_RETRY, CHANGE_NONE, NULL);
}

void runner_cancel(struct runner *r, uint64_t fence)
{
    struct run *run;
    HASH_FIND(hh, r->running, &fence, sizeof fence, run);
    if (!run)
        return;
    if (run->test)
        declarative_connector.cancel(run->test);
    if (run->events)
        events_cancel(run->events);
    run_free(run);
}

pb_err runner_open(const struct runner_settings *settings, const struct log *log, runner_done *done,
                   void *arg, struct runner **out)
{
    struct runner *r = calloc(1, sizeof *r);
    if (!r)
        return PB_E_MEMORY;
    *r = (struct runner){.settings = *settings, .log = log, .done = done, .arg = arg};
    pb_err err = events_open(&r->events);
    if (err)
        free(r);
    else
        *out = r;
    return err;
}

int runner_fd(const struct runner *r)
{
    return events_fd(r->events);
}

void runner_turn(struct runner *r)
{
    events_turn(r->events);
}

void runner_close(struct runner *r)
{
    if (!r)
        return;
    while (r->running)
        runner_cancel(r, r->running->fence);
    events_close(r->events);
    free(r);
}
