/* Schedules: listed, shown, set and removed. All of them are in memory; an answer to a change waits until
 * that is durable. A token of the whole cluster means the schedules over all tenants, or with ?tenant= those
 * of one. */
#include "broker/schedules.h"

#include "broker/broker.h"
#include "broker/http/form.h"
#include "broker/http/routes.h"

#include <stdlib.h>
#include <string.h>

static void refuse_unknown(struct http_request *r)
{
    http_refuse(r, "not_found", "there is no such schedule; GET /v1/schedules lists them");
}

/* Whose schedule is meant; NULL: the request was refused. */
static const char *tenant_of(struct http_request *r)
{
    const char *own = http_tenant_filter(r), *asked = http_target_param(&r->target, "tenant");
    if (!asked || !*asked)
        return own ? own : "*";
    if (strlen(asked) > LIMIT_TENANT_CHARS)
        http_refuse(r, "invalid_parameter", "tenant must have at most %d characters", LIMIT_TENANT_CHARS);
    else if (own && strcmp(own, asked) != 0)
        http_refuse(r, "invalid_parameter", "tenant must be %s: this token is for that one alone", own);
    else
        return asked;
    return NULL;
}

void schedules_list(struct http_request *r)
{
    struct pb_why why = {0};
    struct http_page asked;
    char next[SCHEDULE_CURSOR_BYTES];
    if (http_page_parse(&r->target, &asked, &why) != PB_OK) {
        http_refuse(r, "invalid_parameter", "%s %s", why.at, why.text);
        return;
    }
    if (*asked.after && !strchr(asked.after, '/')) {
        http_refuse(r, "invalid_parameter", "after must be the next of the page before");
        return;
    }
    json_t *items =
        schedules_page(r->broker->schedules, http_tenant_filter(r), asked.after, asked.limit, next);
    http_answer_json(
        r, 200, json_pack("{s:o, s:o}", "items", items, "next", *next ? json_string(next) : json_null()));
}

void schedules_get(struct http_request *r)
{
    const char *tenant = tenant_of(r);
    json_t *json = tenant ? schedules_json(r->broker->schedules, tenant, r->args[0]) : NULL;
    if (json)
        http_answer_json(r, 200, json);
    else if (tenant)
        refuse_unknown(r);
}

/* -- changes -- */

struct put {
    struct http_request *r;
    char tenant[LIMIT_TENANT_CHARS + 1];
    bool is_new;
};

static void put_done(void *arg, pb_err err)
{
    struct put *p = arg;
    json_t *json = err ? NULL : schedules_json(p->r->broker->schedules, p->tenant, p->r->args[0]);
    if (json && p->is_new)
        http_header(p->r, "Location", "/v1/schedules/%s", p->r->args[0]);
    if (json)
        http_answer_json(p->r, p->is_new ? 201 : 200, json);
    else
        http_refuse_error(p->r, err ? err : PB_E_NOT_FOUND, NULL); /* removed meanwhile */
    free(p);
}

static pb_err put(struct http_request *r, const char *tenant, struct schedule_spec *spec)
{
    struct put *p = calloc(1, sizeof *p);
    if (!p)
        return PB_E_MEMORY;
    json_t *old = schedules_json(r->broker->schedules, tenant, r->args[0]);
    *p = (struct put){.r = r, .is_new = !old};
    snprintf(p->tenant, sizeof p->tenant, "%s", tenant);
    json_decref(old);
    pb_err err = schedules_put(r->broker, tenant, r->args[0], spec, put_done, p);
    if (err)
        free(p);
    return err;
}

static void read_name(const struct http_request *r, const json_t *body, struct fields_report *report)
{
    const char *name = form_text(body, "name", false, report);
    if (!schedule_name_is_valid(r->args[0]))
        form_fault(report, "name", "must be 1 to %d of a-z, 0-9 and -, and not begin with -",
                   LIMIT_SCHEDULE_CHARS);
    else if (name && strcmp(name, r->args[0]) != 0)
        form_fault(report, "name", "must be that of the path, or be left out");
}

void schedules_set(struct http_request *r)
{
    const char *tenant = tenant_of(r);
    struct fields_report report = {0};
    struct schedule_spec spec = {0};
    json_t *body = NULL;
    if (!tenant || !http_can_write(r) || form_read(r, &body) != PB_OK)
        return;
    if (json_is_object(body)) {
        read_name(r, body, &report);
        schedule_spec_read(body, tenant, r->broker->types, &spec, &report);
    } else {
        form_fault(&report, "", "the body must be an object with cron, kind and, if need be, more");
    }
    json_decref(body);
    pb_err err = report.count ? PB_OK : put(r, tenant, &spec);
    if (report.count)
        form_refuse(r, &report);
    else if (err == PB_E_LIMIT)
        http_refuse(r, "limit_reached",
                    "there may be %d schedules, of one tenant %d, and there are; remove one first",
                    LIMIT_SCHEDULES, LIMIT_SCHEDULES_TENANT);
    else if (err)
        http_refuse_error(r, err, NULL);
    schedule_spec_fini(&spec);
}

static void dropped(void *arg, pb_err err)
{
    struct http_request *r = arg;
    if (err)
        http_refuse_error(r, err, NULL);
    else
        http_answer_empty(r, 204);
}

void schedules_delete(struct http_request *r)
{
    const char *tenant = tenant_of(r);
    if (!tenant || !http_can_write(r))
        return;
    pb_err err = schedules_drop(r->broker, tenant, r->args[0], dropped, r);
    if (err == PB_E_NOT_FOUND)
        refuse_unknown(r);
    else if (err)
        http_refuse_error(r, err, NULL);
}
