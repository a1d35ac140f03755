/* Schedules: named within their tenants, written as they are. */
#include "tests/store/suite_parts.h"

#include <stdio.h>
#include <stdlib.h>

static struct store_op op_of(enum store_op_kind kind, const char *tenant, const char *name, const char *body)
{
    struct store_op op = {
        .kind = kind, .schedule = {.created_at_ms = 7, .updated_at_ms = 9, .body = (char *)(uintptr_t)body}};
    snprintf(op.schedule.tenant, sizeof op.schedule.tenant, "%s", tenant);
    snprintf(op.schedule.name, sizeof op.schedule.name, "%s", name);
    return op;
}

static pb_err commit(void **state, enum store_op_kind kind, const char *tenant, const char *name,
                     const char *body)
{
    struct store_op op = op_of(kind, tenant, name, body);
    return suite_commit(state, &op);
}

static pb_err read_body(void **state, const char *tenant, const char *name, char out[64])
{
    struct store_schedule s = {0};
    struct pb_why why = {0};
    pb_err err = store_get_schedule(suite_store(state), tenant, name, &s, &why);
    if (!err) {
        assert_string_equal(s.tenant, tenant);
        assert_string_equal(s.name, name);
        assert_int_equal(s.created_at_ms, 7);
        assert_int_equal(s.updated_at_ms, 9);
        snprintf(out, 64, "%s", s.body);
    }
    store_schedule_fini(&s);
    return err;
}

static void store_schedule_is_written_as_it_is_new_or_not(void **state)
{
    static const char *const bodies[] = {"{}", "{\"spec\":{\"cron\":\"* * * * *\"},\"due\":1}",
                                         "{ \"a\" : 1 }"};
    char body[64] = "untouched";
    assert_int_equal(read_body(state, "acme", "nightly", body), PB_E_NOT_FOUND);
    assert_string_equal(body, "untouched");
    for (size_t i = 0; i < 3; i++) {
        assert_int_equal(commit(state, STORE_PUT_SCHEDULE, "acme", "nightly", bodies[i]), PB_OK);
        suite_reopen(state);
        assert_int_equal(read_body(state, "acme", "nightly", body), PB_OK);
        assert_string_equal(body, bodies[i]);
    }
    assert_int_equal(read_body(state, "*", "nightly", body), PB_E_NOT_FOUND);
    assert_int_equal(read_body(state, "acme", "night", body), PB_E_NOT_FOUND);
}

static void store_schedule_is_dropped_alone(void **state)
{
    char body[64];
    assert_int_equal(commit(state, STORE_PUT_SCHEDULE, "acme", "a", "{\"n\":1}"), PB_OK);
    assert_int_equal(commit(state, STORE_PUT_SCHEDULE, "*", "a", "{\"n\":2}"), PB_OK);
    assert_int_equal(commit(state, STORE_PUT_SCHEDULE, "acme", "b", "{\"n\":3}"), PB_OK);
    assert_int_equal(commit(state, STORE_DROP_SCHEDULE, "acme", "a", NULL), PB_OK);
    assert_int_equal(commit(state, STORE_DROP_SCHEDULE, "acme", "a", NULL), PB_OK);
    assert_int_equal(read_body(state, "acme", "a", body), PB_E_NOT_FOUND);
    assert_int_equal(read_body(state, "*", "a", body), PB_OK);
    assert_int_equal(read_body(state, "acme", "b", body), PB_OK);
}

static void store_schedule_operations_of_a_commit_keep_their_order(void **state)
{
    char body[64];
    struct store_op ops[] = {
        op_of(STORE_PUT_SCHEDULE, "acme", "a", "{\"n\":1}"), op_of(STORE_DROP_SCHEDULE, "acme", "a", NULL),
        op_of(STORE_PUT_SCHEDULE, "acme", "a", "{\"n\":2}"),
        op_of(STORE_PUT_SCHEDULE, "acme", "b", "{\"n\":3}"), op_of(STORE_DROP_SCHEDULE, "acme", "b", NULL)};
    struct store_op *all[] = {&ops[0], &ops[1], &ops[2], &ops[3], &ops[4]};
    suite_commit_all(state, all, 5);
    assert_int_equal(read_body(state, "acme", "a", body), PB_OK);
    assert_string_equal(body, "{\"n\":2}");
    assert_int_equal(read_body(state, "acme", "b", body), PB_E_NOT_FOUND);
}

struct names {
    char text[256];
    pb_err end;
};

static pb_err add_name(void *arg, const struct store_schedule *s)
{
    struct names *n = arg;
    size_t len = strlen(n->text);
    snprintf(n->text + len, sizeof n->text - len, "%s/%s ", s->tenant, s->name);
    return n->end;
}

static void expect_names(void **state, const char *tenant, pb_err end, const char *expected)
{
    struct names n = {.end = end};
    struct pb_why why = {0};
    assert_int_equal(store_list_schedules(suite_store(state), tenant, add_name, &n, &why), end);
    assert_string_equal(n.text, expected);
}

static void store_list_schedules_goes_by_tenant_and_name(void **state)
{
    static const char *const names[][2] = {{"beta", "a"}, {"acme", "c"}, {"*", "z"}, {"acme", "b"}};
    expect_names(state, NULL, PB_OK, "");
    for (size_t i = 0; i < 4; i++)
        assert_int_equal(commit(state, STORE_PUT_SCHEDULE, names[i][0], names[i][1], "{}"), PB_OK);
    expect_names(state, NULL, PB_OK, "*/z acme/b acme/c beta/a ");
    expect_names(state, "acme", PB_OK, "acme/b acme/c ");
    expect_names(state, "*", PB_OK, "*/z ");
    expect_names(state, "gamma", PB_OK, "");
    expect_names(state, NULL, PB_E_LIMIT, "*/z ");
}

static const struct suite_test tests[] = {
    SUITE_TEST(store_schedule_is_written_as_it_is_new_or_not),
    SUITE_TEST(store_schedule_is_dropped_alone),
    SUITE_TEST(store_schedule_operations_of_a_commit_keep_their_order),
    SUITE_TEST(store_list_schedules_goes_by_tenant_and_name),
};
const struct suite_part suite_schedules = {tests, sizeof tests / sizeof tests[0]};
