/* Credentials: "TYPE, ---, JSON", against a package's schema. No value gets into a message, no secret into
 * what is shown, and what passed once passes again. */
#include "tests/fuzz/lib/fuzz.h"

#include "common/fields.h"
#include "common/regex.h"

#include <stdlib.h>
#include <string.h>

#define MARK "VALUE:" /* how values begin that are looked for */

static struct field fields[] = {
    {.name = "plan", .label = "Plan", .type = FIELD_TEXT, .default_value = "basic"},
    {.name = "site", .label = "Site", .type = FIELD_TEXT, .format = FORMAT_URI, .required = true},
    {.name = "mail", .label = "Mail", .type = FIELD_TEXT, .format = FORMAT_EMAIL},
    {.name = "host", .label = "Host", .type = FIELD_TEXT, .format = FORMAT_HOSTNAME},
    {.name = "uuid", .label = "Id", .type = FIELD_TEXT, .format = FORMAT_UUID},
    {.name = "key", .label = "Key", .type = FIELD_PASSWORD, .secret = true, .placeholder = "k-..."},
    {.name = "more",
     .label = "More",
     .visible_when_field = "plan",
     .visible_when_equals = "large",
     .required = true},
};
static const struct manifest demo = {
    .type = "demo", .name = "Demo", .fields = fields, .field_count = sizeof fields / sizeof fields[0]};

static const struct manifest *package(const char *type)
{
    if (strcmp(type, "stripe") == 0 || strcmp(type, "slack") == 0)
        return fuzz_package(type);
    if (!fields[5].regex) {
        char reason[120];
        MUST(regex_compile("^k-[a-z]+$", &fields[5].regex, reason, sizeof reason) == PB_OK);
    }
    return &demo;
}

static bool names_hold_mark(const json_t *object)
{
    const char *name;
    json_t *value;
    json_object_foreach((json_t *)object, name, value) if (strstr(name, MARK)) return true;
    return false;
}

static void check_report(const json_t *object, const struct fields_report *r)
{
    MUST(r->count <= FIELDS_FAULTS_MAX);
    for (size_t i = 0; i < r->count; i++) {
        const struct fields_fault *f = &r->faults[i];
        MUST(f->message[0] && strncmp(f->pointer, "/credentials", 12) == 0);
        MUST(fuzz_is_utf8(f->pointer, strlen(f->pointer)) && fuzz_is_utf8(f->message, strlen(f->message)));
        MUST(names_hold_mark(object) || !strstr(f->message, MARK));
    }
}

static void check_passed(const struct manifest *m, struct credentials *c)
{
    struct fields_report again = {0};
    char *shown = fields_public_json(m, c);
    json_t *json = json_loads(shown ? shown : "", 0, NULL);
    MUST(json_is_object(json));
    for (size_t i = 0; i < m->field_count; i++)
        MUST(!m->fields[i].secret || !json_object_get(json, m->fields[i].name));
    MUST(fields_check(m, c, &again) == PB_OK && again.count == 0);
    json_decref(json);
    free(shown);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct fields_report report = {0};
    struct credentials c = {0};
    struct fuzz_parts p;
    fuzz_split(data, size, &p);
    const struct manifest *m = package(p.text[0]);
    json_t *json = fuzz_json(p.text[1], p.len[1]);
    MUST(fields_from_json(json, &c, &report) == PB_OK);
    MUST(!report.count || !c.count);
    if (!report.count)
        MUST(fields_check(m, &c, &report) == PB_OK);
    check_report(json, &report);
    if (!report.count)
        check_passed(m, &c);
    credentials_fini(&c);
    json_decref(json);
    fuzz_split_fini(&p);
    return 0;
}
