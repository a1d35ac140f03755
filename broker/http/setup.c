/* POST /v1/integrations. The broker holds the credentials in clear from the request's last byte until they
 * are sealed to the workers' key, within one function; after that nobody but a worker can read them. */
#include "broker/http/setup.h"

#include "broker/broker.h"
#include "broker/http/form.h"
#include "broker/http/jobs.h"
#include "broker/http/routes.h"
#include "broker/spec.h"
#include "common/limits.h"
#include "common/result.h"
#include "common/wire.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PAYLOAD_BYTES (LIMIT_CREDENTIALS_BYTES * 4)

/* -- the members -- */

static const struct manifest *read_type(const struct manifests *types, const json_t *body,
                                        struct fields_report *report)
{
    const char *type = form_text(body, "type", true, report);
    const struct manifest *m = type ? manifests_find(types, type) : NULL;
    if (!type || m)
        return m;
    const char *near = types_nearest(types, type);
    if (near)
        form_fault(report, "type", "there is no such type; did you mean %s?", near);
    else
        form_fault(report, "type", "there is no such type; GET /v1/types lists what can be connected");
    return NULL;
}

/* C0, DEL, and C1 (U+0080 to U+009F), which terminals act on. */
static bool has_controls(const char *text)
{
    for (const unsigned char *c = (const unsigned char *)text; *c; c++)
        if (*c < 0x20 || *c == 0x7f || (*c == 0xc2 && c[1] >= 0x80 && c[1] <= 0x9f))
            return true;
    return false;
}

static const char *read_name(const json_t *body, struct fields_report *report)
{
    const char *name = form_text(body, "name", true, report);
    if (!name)
        return NULL;
    if (!name[strspn(name, " ")])
        form_fault(report, "name", "must not be empty");
    else if (strlen(name) > LIMIT_NAME_CHARS)
        form_fault(report, "name", "is too long: at most %d bytes of UTF-8", LIMIT_NAME_CHARS);
    else if (has_controls(name))
        form_fault(report, "name", "must not contain control characters, such as line breaks or tabs");
    return name;
}

static pb_err read_credentials(const struct manifest *m, const json_t *body, struct credentials *out,
                               struct fields_report *report)
{
    struct fields_report of_fields = {0};
    const json_t *object = json_object_get(body, "credentials");
    if (!object) {
        form_fault(report, "credentials", "is required: an object of field names and values");
        return PB_OK;
    }
    pb_err err = fields_from_json(object, out, &of_fields);
    if (!err && m && of_fields.count == 0)
        err = fields_check(m, out, &of_fields);
    form_add(report, "", &of_fields);
    return err;
}

pb_err setup_read_members(const struct manifests *types, const json_t *body, bool named, struct setup *out,
                          struct fields_report *report)
{
    struct setup s = {.name = ""};
    size_t before = report->count;
    s.manifest = read_type(types, body, report);
    if (named)
        s.name = read_name(body, report);
    pb_err err = read_credentials(s.manifest, body, &s.credentials, report);
    if (err || report->count > before)
        credentials_fini(&s.credentials);
    else
        *out = s;
    return err;
}

static pb_err read_all(const struct manifests *types, const json_t *body, bool named,
                       const char *const *known, const char *what, struct setup *out,
                       struct fields_report *report)
{
    if (!json_is_object(body)) {
        form_fault(report, "", "the body must be an object; %s", what);
        return PB_OK;
    }
    form_check_known(body, known, what, report);
    struct setup s = {0};
    pb_err err = setup_read_members(types, body, named, &s, report);
    if (err || report->count)
        credentials_fini(&s.credentials);
    else
        *out = s;
    return err;
}

pb_err setup_read(const struct manifests *types, const json_t *body, struct setup *out,
                  struct fields_report *report)
{
    static const char *const known[] = {"type", "name", "credentials", NULL};
    return read_all(types, body, true, known, "a setup has type, name and credentials", out, report);
}

pb_err setup_read_test(const struct manifests *types, const json_t *body, struct setup *out,
                       struct fields_report *report)
{
    static const char *const known[] = {"type", "credentials", NULL};
    return read_all(types, body, false, known, "a test has type and credentials", out, report);
}

/* -- sealing -- */

pb_err setup_seal(const uint8_t key[SEAL_PUBLIC_BYTES], const struct setup *s, struct job *job)
{
    struct seal_owner owner = {job->tenant, job->type, job->integration};
    uint8_t *sealed = NULL;
    size_t len = 0;
    struct buf payload;
    buf_init(&payload, PAYLOAD_BYTES);
    pb_err err = seal_inbound(key, &owner, &s->credentials, &sealed, &len);
    if (!err)
        err = wire_pack_setup(
            &(struct wire_setup){.name = {s->name, strlen(s->name)}, .sealed = {sealed, len}}, &payload);
    if (!err) {
        job->payload = (uint8_t *)buf_take(&payload, &job->payload_len);
        err = job->payload ? PB_OK : PB_E_MEMORY;
    }
    buf_fini(&payload);
    free(sealed);
    return err;
}

/* -- the answer -- */

static void set_up(struct http_request *r, const struct job *job, const struct integration *doc)
{
    char id[ID_TEXT_BYTES];
    if (job->state != JOB_DONE) {
        jobs_answer_failed(r, job);
        return;
    }
    if (!doc) {
        http_refuse(r, "not_found", "the integration was set up by this request and has been deleted since");
        return;
    }
    id_text(&doc->id, ID_INTEGRATION, id);
    http_header(r, "Location", "/v1/integrations/%s", id);
    http_answer_json(r, 201, integration_json(doc));
}

/* -- a name that is taken is refused before anybody asks the provider; the store decides in the end -- */

struct name_check {
    struct http_request *r;
    struct job job;
    char name[LIMIT_NAME_CHARS + 1];
    struct pb_id owner;
};

static pb_err name_read(struct store *store, void *arg, struct pb_why *why)
{
    struct name_check *c = arg;
    return store_find_name(store, c->job.tenant, c->name, &c->owner, why);
}

static void refuse_name(const struct name_check *c)
{
    char id[ID_TEXT_BYTES];
    struct fields_fault at = {.pointer = "/name", .message = "is taken"};
    char detail[LIMIT_NAME_CHARS + 160];
    id_text(&c->owner, ID_INTEGRATION, id);
    snprintf(detail, sizeof detail, "the integration %s has the name \"%s\" already; choose another", id,
             c->name);
    struct problem p = {.code = "name_taken", .detail = detail, .faults = &at, .fault_count = 1};
    http_answer_problem(c->r, &p);
}

static void name_done(void *arg, pb_err err, const struct pb_why *why)
{
    struct name_check *c = arg;
    /* With a key the name may be taken by this very request, sent before: the job tells. */
    if (err == PB_E_NOT_FOUND || (!err && c->job.idem[0]))
        jobs_submit(c->r, &c->job, set_up);
    else if (!err)
        refuse_name(c);
    else
        http_refuse_error(c->r, err, why);
    job_fini(&c->job);
    free(c);
}

/* Takes the job's payload, also on failure. */
static void check_name(struct http_request *r, struct job *job, const char *name)
{
    struct name_check *c = calloc(1, sizeof *c);
    pb_err err = c ? PB_OK : PB_E_MEMORY;
    if (c) {
        *c = (struct name_check){.r = r, .job = *job};
        snprintf(c->name, sizeof c->name, "%s", name);
        err = http_read(r, name_read, name_done, c);
    }
    if (!err)
        return;
    free(c);
    job_fini(job);
    http_refuse_error(r, err, NULL);
}

/* -- the request -- */

bool setup_can_seal(struct http_request *r)
{
    if (r->broker->have_seal_key)
        return true;
    http_refuse(
        r, "no_worker",
        "no worker has joined yet, so credentials cannot be sealed; start patchbay-worker and try again");
    return false;
}

static void submit(struct http_request *r, const struct setup *s)
{
    if (!setup_can_seal(r))
        return;
    struct job job = jobs_new(r, JOB_SETUP, http_tenant_new(r), s->manifest->type);
    id_new(&job.integration, job.created_at_ms);
    spec_set_host(&job, s->manifest);
    pb_err err = setup_seal(r->broker->seal_key, s, &job);
    if (err)
        http_refuse_error(r, err, NULL);
    else
        check_name(r, &job, s->name);
}

void setup_create(struct http_request *r)
{
    struct fields_report report = {0};
    struct setup s = {0};
    json_t *body = NULL;
    if (form_read(r, &body) != PB_OK)
        return;
    pb_err err = setup_read(r->broker->types, body, &s, &report);
    if (err)
        http_refuse_error(r, err, NULL);
    else if (report.count)
        form_refuse(r, &report);
    else
        submit(r, &s);
    credentials_fini(&s.credentials);
    json_decref(body);
}
