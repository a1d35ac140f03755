/* Every package below manifests/ is proven by its recorded answers: they are judged as they say, and each
 * rule of the package is needed by one of them. */
#include "common/fields.h"
#include "worker/declarative/checks.h"

#include <dirent.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
/* cmocka wants the four before it */
#include <cmocka.h>

#define FOLDER "manifests"

static void each_package(void (*test)(struct manifest *m, json_t *checks))
{
    DIR *dir = opendir(FOLDER);
    struct dirent *entry;
    size_t count = 0;
    assert_non_null(dir);
    while ((entry = readdir(dir))) {
        char path[512];
        struct pb_why why = {0};
        struct manifest *m = NULL;
        json_error_t error;
        if (entry->d_name[0] == '.' || entry->d_type != DT_DIR)
            continue;
        snprintf(path, sizeof path, FOLDER "/%s", entry->d_name);
        if (manifest_open(path, &m, &why))
            fail_msg("%s: %s", why.at, why.text);
        snprintf(path, sizeof path, FOLDER "/%s/checks.json", entry->d_name);
        json_t *checks = json_load_file(path, JSON_REJECT_DUPLICATES, &error);
        if (!checks)
            fail_msg("%s:%d: %s", path, error.line, error.text);
        test(m, checks);
        json_decref(checks);
        manifest_close(m);
        count++;
    }
    closedir(dir);
    assert_true(count >= 2);
}

/* -- the recorded answers -- */

static void play(struct manifest *m, json_t *checks)
{
    char text[512] = "";
    if (checks_play(m, checks, text, sizeof text) != 0)
        fail_msg("%s: %s", m->type, text);
}

static void packages_judge_their_recorded_answers_as_they_say(void **state)
{
    (void)state;
    each_package(play);
}

static bool some_check_expects(const json_t *checks, const char *code)
{
    size_t i;
    json_t *check;
    json_array_foreach(checks, i, check)
    {
        if (strcmp(json_string_value(json_object_get(json_object_get(check, "expect"), "code")), code) == 0)
            return true;
    }
    return false;
}

static void has_the_usual_checks(struct manifest *m, json_t *checks)
{
    static const char *const usual[] = {"ok", "invalid_credentials", "rate_limited", "provider_unavailable"};
    for (size_t i = 0; i < sizeof usual / sizeof usual[0]; i++)
        if (!some_check_expects(checks, usual[i]))
            fail_msg("%s has no check that expects %s", m->type, usual[i]);
}

static void packages_have_checks_of_the_usual_cases(void **state)
{
    (void)state;
    each_package(has_the_usual_checks);
}

/* -- every rule is needed -- */

static void must_break(struct manifest *m, const json_t *checks, const char *what, size_t step, size_t i)
{
    char text[512] = "";
    if (checks_play(m, checks, text, sizeof text) == 0)
        fail_msg("%s: no check fails without /test/steps/%zu/%s/%zu", m->type, step, what, i);
}

static void without_each_item(struct manifest *m, const json_t *checks, json_t *array, const char *what,
                              size_t step)
{
    for (size_t i = 0; i < json_array_size(array); i++) {
        json_t *item = json_incref(json_array_get(array, i));
        json_array_remove(array, i);
        must_break(m, checks, what, step, i);
        json_array_insert_new(array, i, item);
    }
}

static void without_each_member(struct manifest *m, const json_t *checks, json_t *object, const char *what,
                                size_t step)
{
    static const char *const members[] = {"status", "contentType", "json"};
    for (size_t i = 0; i < sizeof members / sizeof members[0]; i++) {
        json_t *value = json_incref(json_object_get(object, members[i]));
        if (!value)
            continue;
        json_object_del(object, members[i]);
        must_break(m, checks, what, step, i);
        json_object_set_new(object, members[i], value);
    }
}

static void without_each_value(struct manifest *m, const json_t *checks, json_t *rules, size_t step)
{
    size_t i, k;
    json_t *rule, *condition;
    json_array_foreach(rules, i, rule)
    {
        json_array_foreach(json_object_get(rule, "json"), k, condition)
            without_each_item(m, checks, json_object_get(condition, "value"), "errors/json/value", step);
    }
}

static void needs_every_rule(struct manifest *m, json_t *checks)
{
    size_t i;
    json_t *step;
    json_array_foreach(json_object_get(json_object_get(m->json, "test"), "steps"), i, step)
    {
        json_t *expect = json_object_get(step, "expect"), *errors = json_object_get(step, "errors");
        without_each_item(m, checks, errors, "errors", i);
        without_each_value(m, checks, errors, i);
        without_each_member(m, checks, expect, "expect", i);
        without_each_item(m, checks, json_object_get(expect, "json"), "expect/json", i);
        without_each_item(m, checks, json_object_get(step, "warnings"), "warnings", i);
    }
}

static void packages_need_each_of_their_rules(void **state)
{
    (void)state;
    each_package(needs_every_rule);
}

/* -- the form -- */

static void takes_its_own_credentials(struct manifest *m, json_t *checks)
{
    size_t i;
    json_t *check;
    json_array_foreach(checks, i, check)
    {
        struct credentials c = {0};
        struct fields_report report = {0};
        assert_int_equal(fields_from_json(json_object_get(check, "credentials"), &c, &report), PB_OK);
        assert_int_equal(fields_check(m, &c, &report), PB_OK);
        if (report.count)
            fail_msg("%s, check %zu: %s %s", m->type, i, report.faults[0].pointer, report.faults[0].message);
        credentials_fini(&c);
    }
}

static void packages_take_the_credentials_of_their_checks(void **state)
{
    (void)state;
    each_package(takes_its_own_credentials);
}

/* -- events -- */

static void has_samples(struct manifest *m, json_t *checks)
{
    (void)checks;
    assert_true(m->event_count >= 5);
    for (size_t i = 0; i < m->event_count; i++) {
        char path[512], *schema = NULL;
        size_t len;
        json_error_t error;
        assert_int_equal(manifest_schema(m, m->events[i].event_type, &schema, &len), PB_OK);
        json_t *json = json_loadb(schema, len, JSON_REJECT_DUPLICATES, &error);
        assert_true(json_is_object(json));
        json_decref(json);
        free(schema);
        snprintf(path, sizeof path, "%s/samples/%s.json", m->folder, m->events[i].event_type);
        json = json_load_file(path, JSON_REJECT_DUPLICATES, &error);
        if (!json)
            fail_msg("%s: %s", path, error.text);
        json_decref(json);
    }
}

static void packages_have_a_schema_and_a_sample_for_each_event(void **state)
{
    (void)state;
    each_package(has_samples);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(packages_judge_their_recorded_answers_as_they_say),
        cmocka_unit_test(packages_have_checks_of_the_usual_cases),
        cmocka_unit_test(packages_need_each_of_their_rules),
        cmocka_unit_test(packages_take_the_credentials_of_their_checks),
        cmocka_unit_test(packages_have_a_schema_and_a_sample_for_each_event),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
