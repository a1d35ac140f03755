#include "broker/broker.h"
#include "broker/http/jobs.h"
#include "broker/http/page.h"
#include "broker/http/routes.h"
#include "broker/spec.h"
#include "common/integration.h"
#include "common/limits.h"

#include <stdlib.h>
#include <string.h>

/* -- the list -- */

/* Strings are the request's. */
struct listing {
    struct page page;
    struct store_filter filter;
};

static pb_err read_status(struct listing *l, const char *value, struct pb_why *why)
{
    if (integration_status_parse(value, &l->filter.status) == PB_OK)
        return PB_OK;
    return pb_fail(why, PB_E_INVALID, "status", "must be active, inactive or error");
}

static pb_err read_health(struct listing *l, const char *value, struct pb_why *why)
{
    if (integration_health_parse(value, &l->filter.health) == PB_OK)
        return PB_OK;
    return pb_fail(why, PB_E_INVALID, "health", "must be ok, degraded or unknown");
}

static pb_err read_type(struct listing *l, const char *value, struct pb_why *why)
{
    l->filter.type = value; /* a package may be gone while its integrations are still there */
    if (manifest_type_is_valid(value))
        return PB_OK;
    return pb_fail(why, PB_E_INVALID, "type", "must be a type's name, as GET /v1/types lists them");
}

static pb_err read_text(struct listing *l, const char *value, struct pb_why *why)
{
    l->filter.text = value;
    if (strlen(value) <= LIMIT_NAME_CHARS)
        return PB_OK;
    return pb_fail(why, PB_E_LIMIT, "q", "must have at most %d bytes", LIMIT_NAME_CHARS);
}

static const struct {
    const char *name;
    pb_err (*read)(struct listing *l, const char *value, struct pb_why *why);
} list_params[] = {
    {"type", read_type},
    {"status", read_status},
    {"health", read_health},
    {"q", read_text},
};

static pb_err read_list_params(struct listing *l, struct http_request *r, struct pb_why *why)
{
    pb_err err = page_init(&l->page, r, ID_INTEGRATION, why);
    l->filter.tenant = http_tenant_filter(r);
    for (size_t i = 0; i < sizeof list_params / sizeof list_params[0] && !err; i++) {
        const char *value = http_target_param(&r->target, list_params[i].name);
        if (value && *value)
            err = list_params[i].read(l, value, why);
    }
    return err;
}

static pb_err add(void *arg, const struct integration *in)
{
    struct listing *l = arg;
    return page_add(&l->page, &in->id, integration_json(in));
}

static pb_err list_read(struct store *store, void *arg, struct pb_why *why)
{
    struct listing *l = arg;
    struct page *p = &l->page;
    return page_end(p, store_list_integrations(store, &l->filter, &p->after, page_rows(p), add, l, why));
}

void integrations_list(struct http_request *r)
{
    struct pb_why why = {0};
    struct listing *l = calloc(1, sizeof *l);
    pb_err err = l ? read_list_params(l, r, &why) : PB_E_MEMORY;
    page_serve(r, l ? &l->page : NULL, err, list_read, &why);
}

/* -- one -- */

typedef void found_one(struct http_request *r, const struct integration *in);

struct lookup {
    struct http_request *r;
    found_one *found;
    struct pb_id id;
    struct integration doc;
};

static pb_err look_read(struct store *store, void *arg, struct pb_why *why)
{
    struct lookup *l = arg;
    return store_get_integration(store, &l->id, &l->doc, why);
}

static void look_done(void *arg, pb_err err, const struct pb_why *why)
{
    struct lookup *l = arg;
    if (!err && !http_sees(l->r, l->doc.tenant))
        err = PB_E_NOT_FOUND;
    if (!err)
        l->found(l->r, &l->doc);
    else if (err == PB_E_NOT_FOUND)
        http_refuse(l->r, "not_found", "there is no such integration; GET /v1/integrations lists them");
    else
        http_refuse_error(l->r, err, why);
    integration_fini(&l->doc);
    free(l);
}

/* Reads the integration in the path and goes on with it. */
static void look_up(struct http_request *r, found_one *found)
{
    struct pb_id id;
    if (!http_arg_id(r, ID_INTEGRATION, &id))
        return;
    struct lookup *l = calloc(1, sizeof *l);
    pb_err err = l ? PB_OK : PB_E_MEMORY;
    if (l) {
        *l = (struct lookup){.r = r, .found = found, .id = id};
        err = http_read(r, look_read, look_done, l);
    }
    if (err) {
        free(l);
        http_refuse_error(r, err, NULL);
    }
}

static void show(struct http_request *r, const struct integration *in)
{
    http_answer_json(r, 200, integration_json(in));
}

void integrations_get(struct http_request *r)
{
    look_up(r, show);
}

/* -- jobs on one -- */

static void submit(struct http_request *r, const struct integration *in, enum job_kind kind,
                   jobs_finished *finished)
{
    struct job job = jobs_new(r, kind, in->tenant, in->type);
    job.integration = in->id;
    if (kind == JOB_VALIDATE)
        spec_set_host(&job, manifests_find(r->broker->types, in->type));
    jobs_submit(r, &job, finished);
}

static void validated(struct http_request *r, const struct job *job, const struct integration *doc)
{
    (void)doc;
    if (job->state == JOB_DONE)
        jobs_answer(r, job);
    else
        jobs_answer_failed(r, job);
}

static void validate(struct http_request *r, const struct integration *in)
{
    submit(r, in, JOB_VALIDATE, validated);
}

void integrations_validate(struct http_request *r)
{
    look_up(r, validate);
}

static void deleted(struct http_request *r, const struct job *job, const struct integration *doc)
{
    (void)doc;
    if (job->state == JOB_DONE)
        http_answer_empty(r, 204);
    else
        jobs_answer_failed(r, job);
}

static void delete_one(struct http_request *r, const struct integration *in)
{
    submit(r, in, JOB_DELETE, deleted);
}

void integrations_delete(struct http_request *r)
{
    look_up(r, delete_one);
}
