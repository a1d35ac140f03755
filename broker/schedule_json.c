#include "broker/schedule.h"

#include "broker/http/filter.h"
#include "broker/http/form.h"
#include "common/json.h"

#include <string.h>

static const char *const missed_names[] = {
    [MISSED_RUN_ONCE] = "run_once", [MISSED_SKIP] = "skip", [MISSED_SKIP + 1] = NULL};

/* NULL for SKIP_NONE. */
static const char *skip_name(enum schedule_skip why)
{
    static const char *const names[SKIP_REASONS] = {[SKIP_UNDER_WAY] = "under_way", [SKIP_MISSED] = "missed"};
    return names[why];
}

bool schedule_name_is_valid(const char *name)
{
    static const char allowed[] = "abcdefghijklmnopqrstuvwxyz0123456789-";
    size_t len = strlen(name);
    return len && len <= LIMIT_SCHEDULE_CHARS && name[0] != '-' && strspn(name, allowed) == len;
}

void schedule_spec_fini(struct schedule_spec *spec)
{
    zone_close(spec->zone);
    *spec = (struct schedule_spec){0};
}

/* -- what is asked for -- */

static void read_cron(const json_t *body, struct schedule_spec *out, struct fields_report *report)
{
    struct pb_why why = {0};
    const char *text = form_text(body, "cron", true, report);
    if (!text)
        return;
    if (cron_parse(text, &out->cron, &why) != PB_OK)
        form_fault(report, "cron", "%s", why.text);
    else
        snprintf(out->cron_text, sizeof out->cron_text, "%s", text);
}

static void read_zone(const json_t *body, struct schedule_spec *out, struct fields_report *report)
{
    struct pb_why why = {.text = "cannot be read"};
    const char *name = form_text(body, "timeZone", false, report);
    if (!name)
        name = "UTC";
    if (zone_open(NULL, name, &out->zone, &why) != PB_OK)
        form_fault(report, "timeZone", "%s", why.text);
    snprintf(out->zone_name, sizeof out->zone_name, "%s", name);
}

void schedule_spec_read(const json_t *body, const char *tenant, const struct manifests *types,
                        struct schedule_spec *out, struct fields_report *report)
{
    static const char *const known[] = {"name",          "cron",   "timeZone", "kind",          "filter",
                                        "ratePerSecond", "missed", "enabled",  "jitterSeconds", NULL};
    const json_t *enabled = json_object_get(body, "enabled");
    int64_t per_second = 0, jitter_s = 0;
    size_t missed = MISSED_RUN_ONCE;
    *out = (struct schedule_spec){.enabled = true};
    form_check_known(body, known,
                     "a schedule has cron, timeZone, kind, filter, ratePerSecond, missed, enabled and "
                     "jitterSeconds",
                     report);
    read_cron(body, out, report);
    read_zone(body, out, report);
    filter_read_kind(body, report);
    filter_read(body, FILTER_RECURRING, strcmp(tenant, "*") == 0 ? NULL : tenant, types, &out->filter,
                report);
    form_integer(body, "ratePerSecond", 0, FILTER_PER_SECOND_MAX, &per_second, report);
    form_integer(body, "jitterSeconds", 0, LIMIT_JITTER_SECONDS, &jitter_s, report);
    form_choice(body, "missed", missed_names, &missed, report);
    if (enabled && !json_is_boolean(enabled))
        form_fault(report, "enabled", "must be true or false");
    else if (enabled)
        out->enabled = json_is_true(enabled);
    out->per_second = (uint32_t)per_second;
    out->jitter_s = (uint32_t)jitter_s;
    out->missed = (enum schedule_missed)missed;
}

/* -- to JSON -- */

static json_t *spec_json(const struct schedule_spec *spec)
{
    return json_pack("{s:s, s:s, s:s, s:o, s:I, s:s, s:b, s:I}", "cron", spec->cron_text, "timeZone",
                     spec->zone_name, "kind", "revalidate", "filter", batches_filter_json(&spec->filter),
                     "ratePerSecond", (json_int_t)spec->per_second, "missed", missed_names[spec->missed],
                     "enabled", (int)spec->enabled, "jitterSeconds", (json_int_t)spec->jitter_s);
}

json_t *schedule_shown(const struct schedule *s)
{
    json_t *o = spec_json(&s->spec);
    if (!o)
        return NULL;
    json_object_set_new(o, "name", json_string(s->name));
    json_object_set_new(o, "tenant", json_string(s->tenant));
    json_object_set_new(o, "lastRun",
                        s->run_ms ? json_pack("{s:o, s:o}", "at", json_time(s->run_ms), "batch",
                                              s->started ? json_id(&s->batch, ID_BATCH) : json_null())
                                  : json_null());
    json_object_set_new(o, "lastSkipped",
                        s->skipped_ms ? json_pack("{s:o, s:s}", "at", json_time(s->skipped_ms), "reason",
                                                  skip_name(s->skipped_why))
                                      : json_null());
    json_object_set_new(o, "nextRun", json_time(schedule_next_ms(s)));
    json_object_set_new(o, "createdAt", json_time(s->created_at_ms));
    json_object_set_new(o, "updatedAt", json_time(s->updated_at_ms));
    return o;
}

char *schedule_body(const struct schedule *s)
{
    char batch[ID_TEXT_BYTES];
    id_text(&s->batch, ID_BATCH, batch);
    json_t *body = json_pack("{s:o, s:I, s:I, s:I, s:s, s:b, s:I, s:i}", "spec", spec_json(&s->spec), "due",
                             (json_int_t)s->due_ms, "planned", (json_int_t)s->planned_ms, "run",
                             (json_int_t)s->run_ms, "batch", batch, "started", (int)s->started, "skipped",
                             (json_int_t)s->skipped_ms, "skippedWhy", (int)s->skipped_why);
    char *text = body ? json_dumps(body, JSON_COMPACT) : NULL;
    json_decref(body);
    return text;
}

/* -- from the store -- */

static int64_t number(const json_t *body, const char *name)
{
    json_int_t n = json_integer_value(json_object_get(body, name));
    return n > 0 ? (int64_t)n : 0;
}

static pb_err read_state(const json_t *body, struct schedule *out)
{
    const char *batch = json_string_value(json_object_get(body, "batch"));
    int64_t why = number(body, "skippedWhy");
    out->due_ms = number(body, "due");
    out->planned_ms = number(body, "planned");
    out->run_ms = number(body, "run");
    out->started = json_is_true(json_object_get(body, "started"));
    out->skipped_why = why < SKIP_REASONS ? (enum schedule_skip)why : SKIP_NONE;
    out->skipped_ms = out->skipped_why ? number(body, "skipped") : 0;
    return batch ? id_parse(batch, ID_BATCH, &out->batch) : PB_E_INVALID;
}

pb_err schedule_read_body(const struct store_schedule *stored, struct schedule *out)
{
    struct fields_report report = {0};
    json_t *body = json_loads(stored->body, 0, NULL);
    const json_t *spec = json_object_get(body, "spec");
    *out = (struct schedule){.created_at_ms = stored->created_at_ms, .updated_at_ms = stored->updated_at_ms};
    memcpy(out->tenant, stored->tenant, sizeof out->tenant);
    memcpy(out->name, stored->name, sizeof out->name);
    pb_err err = json_is_object(spec) ? read_state(body, out) : PB_E_INVALID;
    if (!err)
        schedule_spec_read(spec, out->tenant, NULL, &out->spec, &report);
    for (size_t i = 0; i < report.count; i++)
        if (strcmp(report.faults[i].pointer, "/timeZone") != 0)
            err = PB_E_INVALID;
    if (err)
        schedule_spec_fini(&out->spec);
    json_decref(body);
    return err;
}
