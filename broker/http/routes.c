#include "broker/http/routes.h"

#include <stdio.h>
#include <string.h>

static const char *const page_query[] = {"limit", "after", NULL};
static const char *const list_query[] = {"type", "status", "health", "q", "limit", "after", NULL};

#define SCHEMA_PATH "/v1/types/{type}/events/{eventType}/schema"

static const struct route table[] = {
    {"GET", "/healthz", health_alive, ROLE_NONE, NULL, false},
    {"GET", "/readyz", health_ready, ROLE_NONE, NULL, false},
    {"GET", "/openapi.yaml", openapi_get, ROLE_VIEWER, NULL, false},
    {"GET", "/v1/types", types_list, ROLE_VIEWER, page_query, false},
    {"GET", "/v1/types/{type}", types_get, ROLE_VIEWER, NULL, false},
    {"GET", SCHEMA_PATH, types_schema, ROLE_VIEWER, NULL, false},
    {"GET", "/v1/integrations", integrations_list, ROLE_VIEWER, list_query, false},
    {"POST", "/v1/integrations", setup_create, ROLE_SUBMITTER, NULL, true},
    {"GET", "/v1/integrations/{id}", integrations_get, ROLE_VIEWER, NULL, false},
    {"DELETE", "/v1/integrations/{id}", integrations_delete, ROLE_SUBMITTER, NULL, false},
    {"POST", "/v1/integrations/{id}/validate", integrations_validate, ROLE_SUBMITTER, NULL, false},
    {"GET", "/v1/jobs/{id}", jobs_get, ROLE_VIEWER, NULL, false},
    {"GET", "/v1/workers", workers_list, ROLE_VIEWER, NULL, false},
};

#define ROUTES (sizeof table / sizeof table[0])

const struct route *routes_at(size_t i)
{
    return i < ROUTES ? &table[i] : NULL;
}

/* Compares part by part, so that an encoded slash stays within its part. */
static bool fits(const char *pattern, const struct http_target *t, const char *args[HTTP_ARGS_MAX])
{
    size_t arg = 0;
    for (size_t i = 0; i < t->segment_count; i++) {
        if (*pattern != '/')
            return false;
        size_t len = strcspn(++pattern, "/");
        const char *segment = t->segments[i];
        if (*pattern == '{' && *segment && arg < HTTP_ARGS_MAX)
            args[arg++] = segment;
        else if (strlen(segment) != len || memcmp(segment, pattern, len) != 0)
            return false;
        pattern += len;
    }
    return !*pattern;
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
