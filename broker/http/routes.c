#include "broker/http/routes.h"

#include "common/limits.h"

#include <stdio.h>
#include <string.h>

static const char *const tenant_query[] = {"tenant", NULL};
static const char *const page_query[] = {"limit", "after", NULL};
static const char *const jobs_query[] = {"state", "kind",  "type",  "integration",
                                         "code",  "limit", "after", NULL};
static const char *const list_query[] = {"type", "status", "health", "q", "limit", "after", NULL};

#define TYPE_EVENT  "/v1/types/{type}/events/{eventType}"
#define EVENT       "/v1/integrations/{id}/events/{eventType}"
#define SCHEMA_PATH TYPE_EVENT "/schema"

static const struct route table[] = {
    {"GET", "/healthz", health_alive, ROLE_NONE, NULL, 0},
    {"GET", "/readyz", health_ready, ROLE_NONE, NULL, 0},
    {"GET", "/openapi.yaml", openapi_get, ROLE_VIEWER, NULL, 0},
    {"GET", "/v1/types", types_list, ROLE_VIEWER, page_query, 0},
    {"GET", "/v1/types/{type}", types_get, ROLE_VIEWER, NULL, 0},
    {"GET", SCHEMA_PATH, types_schema, ROLE_VIEWER, NULL, 0},
    {"POST", TYPE_EVENT "/validate", types_check, ROLE_SUBMITTER, NULL, LIMIT_EVENT_BYTES},
    {"POST", TYPE_EVENT "/validate:batch", types_check_lines, ROLE_SUBMITTER, NULL, LIMIT_HTTP_BULK_BYTES},
    {"GET", "/v1/integrations", integrations_list, ROLE_VIEWER, list_query, 0},
    {"POST", "/v1/integrations", setup_create, ROLE_SUBMITTER, NULL, LIMIT_HTTP_BODY_BYTES},
    {"GET", "/v1/integrations/{id}", integrations_get, ROLE_VIEWER, NULL, 0},
    {"DELETE", "/v1/integrations/{id}", integrations_delete, ROLE_SUBMITTER, NULL, 0},
    {"POST", "/v1/integrations/{id}/validate", integrations_validate, ROLE_SUBMITTER, NULL, 0},
    {"POST", EVENT "/validate", events_check, ROLE_SUBMITTER, NULL, LIMIT_EVENT_BYTES},
    {"POST", EVENT "/validate:batch", events_check_lines, ROLE_SUBMITTER, NULL, LIMIT_HTTP_BULK_BYTES},
    {"POST", "/v1/integrations:test", integrations_test, ROLE_SUBMITTER, NULL, LIMIT_HTTP_BODY_BYTES},
    {"GET", "/v1/jobs", jobs_list, ROLE_VIEWER, jobs_query, 0},
    {"POST", "/v1/jobs", jobs_create, ROLE_SUBMITTER, NULL, LIMIT_HTTP_BULK_BYTES},
    {"POST", "/v1/jobs:retry", jobs_replay, ROLE_OPERATOR, NULL, LIMIT_HTTP_BODY_BYTES},
    {"GET", "/v1/jobs/{id}", jobs_get, ROLE_VIEWER, NULL, 0},
    {"POST", "/v1/jobs/{id}:cancel", jobs_cancel, ROLE_SUBMITTER, NULL, 0},
    {"POST", "/v1/jobs/{id}:retry", jobs_retry, ROLE_SUBMITTER, NULL, 0},
    {"GET", "/v1/batches", batches_list, ROLE_VIEWER, page_query, 0},
    {"POST", "/v1/batches", batches_create, ROLE_OPERATOR, NULL, LIMIT_HTTP_BODY_BYTES},
    {"GET", "/v1/batches/{id}", batches_get, ROLE_VIEWER, NULL, 0},
    {"PATCH", "/v1/batches/{id}", batches_patch, ROLE_OPERATOR, NULL, LIMIT_HTTP_BODY_BYTES},
    {"POST", "/v1/batches/{id}:pause", batches_pause, ROLE_OPERATOR, NULL, 0},
    {"POST", "/v1/batches/{id}:resume", batches_resume, ROLE_OPERATOR, NULL, 0},
    {"POST", "/v1/batches/{id}:cancel", batches_cancel, ROLE_OPERATOR, NULL, 0},
    {"GET", "/v1/schedules", schedules_list, ROLE_VIEWER, page_query, 0},
    {"GET", "/v1/schedules/{name}", schedules_get, ROLE_VIEWER, tenant_query, 0},
    {"PUT", "/v1/schedules/{name}", schedules_set, ROLE_OPERATOR, tenant_query, LIMIT_HTTP_BODY_BYTES},
    {"DELETE", "/v1/schedules/{name}", schedules_delete, ROLE_OPERATOR, tenant_query, 0},
    {"GET", "/v1/queue", queue_get, ROLE_VIEWER, NULL, 0},
    {"POST", "/v1/queue:pause", queue_pause, ROLE_OPERATOR, NULL, LIMIT_HTTP_BODY_BYTES},
    {"POST", "/v1/queue:resume", queue_resume, ROLE_OPERATOR, NULL, LIMIT_HTTP_BODY_BYTES},
    {"GET", "/v1/workers", workers_list, ROLE_VIEWER, NULL, 0},
    {"POST", "/v1/workers/{id}:drain", workers_drain, ROLE_OPERATOR, NULL, 0},
    {"GET", "/metrics", metrics_get, ROLE_VIEWER, NULL, 0},
};

#define ROUTES (sizeof table / sizeof table[0])

const struct route *routes_at(size_t i)
{
    return i < ROUTES ? &table[i] : NULL;
}

/* What a pattern ends in after its parts, ":cancel" or nothing, against the target's verb. */
static bool fits_verb(const char *rest, const struct http_target *t)
{
    return *rest == ':' ? t->verb && strcmp(t->verb, rest + 1) == 0 : !*rest && !t->verb;
}

/* Compares part by part, so that an encoded slash stays within its part. */
static bool fits(const char *pattern, const struct http_target *t, const char *args[HTTP_ARGS_MAX])
{
    size_t arg = 0;
    for (size_t i = 0; i < t->segment_count; i++) {
        if (*pattern != '/')
            return false;
        size_t len = strcspn(++pattern, "/:");
        const char *segment = t->segments[i];
        if (*pattern == '{' && *segment && arg < HTTP_ARGS_MAX)
            args[arg++] = segment;
        else if (strlen(segment) != len || memcmp(segment, pattern, len) != 0)
            return false;
        pattern += len;
    }
    return fits_verb(pattern, t);
}

static void allow(struct route_match *m, const char *method)
{
    size_t len = strlen(m->allow);
    snprintf(m->allow + len, sizeof m->allow - len, "%s%s%s", len ? ", " : "", method,
             strcmp(method, "GET") == 0 ? ", HEAD" : "");
}

void routes_match(const char *method, const struct http_target *target, struct route_match *out)
{
    const char *wanted = strcmp(method, "HEAD") == 0 ? "GET" : method;
    *out = (struct route_match){0};
    for (size_t i = 0; i < ROUTES; i++) {
        const char *args[HTTP_ARGS_MAX] = {0};
        if (!fits(table[i].pattern, target, args))
            continue;
        allow(out, table[i].method);
        if (strcmp(table[i].method, wanted) == 0) {
            out->route = &table[i];
            memcpy(out->args, args, sizeof args);
        }
    }
}
