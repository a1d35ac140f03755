/* Jobs by filter: the list, newest first, and dead ones sent again. */
#include "broker/broker.h"
#include "broker/control.h"
#include "broker/http/form.h"
#include "broker/http/jobs.h"
#include "broker/http/page.h"
#include "broker/http/routes.h"
#include "common/limits.h"

#include <stdlib.h>
#include <string.h>

#define COUNT(t)          (sizeof(t) / sizeof((t)[0]))
#define CODE_CHARS        64
#define REPLAY_PER_SECOND 10

/* -- a filter's words -- */

/* Strings are the request's. */
struct wanted {
    struct store_job_filter filter;
    struct pb_id integration;
};

static bool read_state(struct wanted *w, const char *value)
{
    for (int s = JOB_WAITING; s <= JOB_DEAD; s++)
        if (strcmp(job_state_name((enum job_state)s), value) == 0)
            w->filter.state = (enum job_state)s;
    return w->filter.state;
}

/* Of those that are stored. */
static bool read_kind(struct wanted *w, const char *value)
{
    for (int k = JOB_SETUP; k <= JOB_PING; k++)
        if (k != JOB_TEST && strcmp(job_kind_name((enum job_kind)k), value) == 0)
            w->filter.kind = (enum job_kind)k;
    return w->filter.kind;
}

static bool read_type(struct wanted *w, const char *value)
{
    w->filter.type = value; /* a package may be gone while its jobs are still there */
    return manifest_type_is_valid(value);
}

static bool read_integration(struct wanted *w, const char *value)
{
    w->filter.integration = &w->integration;
    return id_parse(value, ID_INTEGRATION, &w->integration) == PB_OK;
}

static bool read_code(struct wanted *w, const char *value)
{
    w->filter.code = value;
    return strlen(value) <= CODE_CHARS && !value[strspn(value, "abcdefghijklmnopqrstuvwxyz_0123456789")];
}

/* The first one is for the list alone: what is sent again is dead. */
static const struct {
    const char *name;
    bool (*read)(struct wanted *w, const char *value);
    const char *must;
} words[] = {
    {"state", read_state, "must be waiting, done, failed, cancelled or dead"},
    {"kind", read_kind, "must be setup, validate, delete or ping"},
    {"type", read_type, "must be a type's name, as GET /v1/types lists them"},
    {"integration", read_integration, "must be an integration's id"},
    {"code", read_code, "must be a result's code, such as timeout"},
};

/* -- the list -- */

struct listing {
    struct page page;
    struct wanted wanted;
};

static pb_err read_params(struct listing *l, struct http_request *r, struct pb_why *why)
{
    pb_err err = page_init(&l->page, r, ID_JOB, why);
    l->wanted.filter = (struct store_job_filter){.tenant = http_tenant_filter(r), .newest_first = true};
    for (size_t i = 0; i < COUNT(words) && !err; i++) {
        const char *value = http_target_param(&r->target, words[i].name);
        if (value && *value && !words[i].read(&l->wanted, value))
            err = pb_fail(why, PB_E_INVALID, words[i].name, "%s", words[i].must);
    }
    return err;
}

static pb_err add(void *arg, const struct job *job)
{
    struct listing *l = arg;
    return page_add(&l->page, &job->id, jobs_json(job));
}

static pb_err list_read(struct store *store, void *arg, struct pb_why *why)
{
    struct listing *l = arg;
    struct page *p = &l->page;
    return page_end(p, store_list_jobs(store, &l->wanted.filter, &p->after, page_rows(p), add, l, why));
}

void jobs_list(struct http_request *r)
{
    struct pb_why why = {0};
    struct listing *l = calloc(1, sizeof *l);
    pb_err err = l ? read_params(l, r, &why) : PB_E_MEMORY;
    page_serve(r, l ? &l->page : NULL, err, list_read, &why);
}

/* -- dead ones, sent again -- */

static void read_filter(const json_t *filter, struct wanted *w, struct fields_report *report)
{
    static const char *const known[] = {"kind", "type", "integration", "code", NULL};
    struct fields_report of_filter = {0};
    if (!json_is_object(filter)) {
        form_fault(report, "filter", "%s",
                   filter ? "must be an object" : "is required; {} selects all dead jobs");
        return;
    }
    form_check_known(filter, known, "a filter has kind, type, integration and code", &of_filter);
    for (size_t i = 1; i < COUNT(words); i++) {
        const char *value = form_text(filter, words[i].name, false, &of_filter);
        if (value && !words[i].read(w, value))
            form_fault(&of_filter, words[i].name, "%s", words[i].must);
    }
    form_add(report, "filter", &of_filter);
}

static void read_replay(const json_t *body, struct wanted *w, int64_t *per_second,
                        struct fields_report *report)
{
    static const char *const known[] = {"filter", "perSecond", NULL};
    if (!json_is_object(body)) {
        form_fault(report, "", "the body must be an object with filter and, if need be, perSecond");
        return;
    }
    form_check_known(body, known, "there are filter and perSecond", report);
    read_filter(json_object_get(body, "filter"), w, report);
    form_integer(body, "perSecond", 1, LIMIT_REPLAY_PER_SECOND, per_second, report);
}

static void replay(struct http_request *r, const struct wanted *w, int64_t per_second, json_t *filter)
{
    pb_err err = control_replay(r->broker, &w->filter, (uint32_t)per_second);
    if (err == PB_E_BUSY)
        http_refuse(r, "busy",
                    "%d replays are under way; GET /v1/queue shows them. Try again when one has ended",
                    LIMIT_REPLAYS);
    else if (err)
        http_refuse_error(r, err, NULL);
    else
        http_answer_json(r, 202,
                         json_pack("{s:O, s:I}", "filter", filter, "perSecond", (json_int_t)per_second));
}

void jobs_replay(struct http_request *r)
{
    struct wanted w = {.filter.tenant = http_tenant_filter(r)};
    struct fields_report report = {0};
    int64_t per_second = REPLAY_PER_SECOND;
    json_t *body = NULL;
    if (form_read(r, &body) != PB_OK)
        return;
    read_replay(body, &w, &per_second, &report);
    if (report.count)
        form_refuse(r, &report);
    else
        replay(r, &w, per_second, json_object_get(body, "filter"));
    json_decref(body);
}
