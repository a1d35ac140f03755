#include "broker/http/filter.h"

#include "broker/http/form.h"
#include "common/limits.h"

#include <stdio.h>
#include <string.h>

static const char *const statuses[] = {"active", "inactive", "error", NULL};
static const char *const healths[] = {"ok", "degraded", "unknown", NULL};

static void read_type(const json_t *filter, const struct manifests *types, struct batch_filter *out,
                      struct fields_report *report)
{
    const char *type = form_text(filter, "type", false, report);
    if (!type)
        return;
    if (types ? !manifests_find(types, type) : strlen(type) > LIMIT_TYPE_CHARS)
        form_fault(report, "type", "there is no such type; GET /v1/types lists them");
    else
        snprintf(out->type, sizeof out->type, "%s", type);
}

static void read_tenant(const json_t *filter, const char *own, struct batch_filter *out,
                        struct fields_report *report)
{
    const char *tenant = form_text(filter, "tenant", false, report);
    if (tenant && strlen(tenant) > LIMIT_TENANT_CHARS)
        form_fault(report, "tenant", "is too long");
    else if (tenant && own && strcmp(tenant, own) != 0)
        form_fault(report, "tenant", "this token is for the tenant %s alone", own);
    else if (own || tenant)
        snprintf(out->tenant, sizeof out->tenant, "%.*s", LIMIT_TENANT_CHARS, own ? own : tenant);
}

static void read_members(const json_t *filter, enum filter_use use, const char *own,
                         const struct manifests *types, struct batch_filter *out,
                         struct fields_report *report)
{
    static const char *const known[] = {"tenant", "type", "status", "health", "notValidatedSince", NULL};
    static const char *const recurring[] = {"tenant", "type", "status", "health", NULL};
    size_t i;
    if (use == FILTER_ONCE)
        form_check_known(filter, known, "a filter has tenant, type, status, health and notValidatedSince",
                         report);
    else
        form_check_known(filter, recurring, "a schedule's filter has tenant, type, status and health",
                         report);
    read_type(filter, types, out, report);
    if (form_choice(filter, "status", statuses, &i, report))
        out->status = (enum integration_status)(i + 1);
    if (form_choice(filter, "health", healths, &i, report))
        out->health = (enum integration_health)(i + 1);
    if (use == FILTER_ONCE)
        form_time(filter, "notValidatedSince", &out->not_since_ms, report);
    read_tenant(filter, own, out, report);
}

void filter_read(const json_t *body, enum filter_use use, const char *own, const struct manifests *types,
                 struct batch_filter *out, struct fields_report *report)
{
    struct fields_report of_filter = {0};
    const json_t *filter = json_object_get(body, "filter");
    if (filter && !json_is_object(filter))
        form_fault(report, "filter", "must be an object; {} selects all integrations");
    else
        read_members(filter, use, own, types, out, &of_filter);
    form_add(report, "filter", &of_filter);
}

void filter_read_kind(const json_t *body, struct fields_report *report)
{
    static const char *const kinds[] = {"revalidate", NULL};
    size_t kind;
    if (!json_object_get(body, "kind"))
        form_fault(report, "kind", "is required: revalidate");
    else
        form_choice(body, "kind", kinds, &kind, report);
}
