/* Lists, filters and names; and what a second, read-only handle sees. */
#include "tests/store/suite_parts.h"

#include <stdio.h>
#include <stdlib.h>

#define SEEN_MAX 64

struct seen {
    struct pb_id ids[SEEN_MAX];
    size_t count, most; /* stops with PB_E_BUSY past most */
};

static pb_err take_integration(void *arg, const struct integration *in)
{
    struct seen *s = arg;
    if (s->count == s->most)
        return PB_E_BUSY;
    assert_non_null(in->tenant);
    s->ids[s->count++] = in->id;
    return PB_OK;
}

static struct seen list(void **state, const struct store_filter *filter)
{
    struct seen s = {.most = SEEN_MAX};
    struct pb_id nil = {{0}};
    struct pb_why why = {0};
    assert_int_equal(
        store_list_integrations(suite_store(state), filter, &nil, SEEN_MAX, take_integration, &s, &why),
        PB_OK);
    return s;
}

/* The list holds exactly these, in this order; they end with 0. */
static void expect_list(void **state, const struct store_filter *filter, const uint64_t *expected)
{
    struct seen s = list(state, filter);
    for (size_t i = 0; expected[i] || i < s.count; i++) {
        struct pb_id id = suite_id(expected[i]);
        if (i == s.count || !expected[i] || !id_equal(&s.ids[i], &id))
            fail_msg("entry %zu of %zu is not %d", i, s.count, (int)expected[i]);
    }
}
#define EXPECT_LIST(filter, ...) expect_list(state, &(filter), (const uint64_t[]){__VA_ARGS__, 0})

static void put(void **state, const struct integration *in)
{
    assert_int_equal(suite_apply(state, CHANGE_CREATE, in, 1000 + in->id.bytes[15], 0), PB_OK);
}

/* Six of them, made in another order than that of their ids. */
static void fill(void **state)
{
    static char slack[] = "slack", wild[] = "100%_sure", accent[] = "\xc3\x84rger";
    struct integration all[] = {
        suite_record(4, "acme", "Delta"), suite_record(1, "acme", "Alpha"),
        suite_record(6, "beta", "Alpha"), suite_record(2, "acme", "beta"),
        suite_record(5, "beta", "Echo"),  suite_record(3, "acme", "Charlie alpha"),
    };
    all[1].status = STATUS_ERROR;
    all[1].health = HEALTH_DEGRADED;
    all[3].type = slack;
    all[4].status = STATUS_INACTIVE;
    all[4].account_label = wild;
    all[5].account_label = NULL;
    all[0].account_label = accent;
    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++)
        put(state, &all[i]);
}

static void store_list_is_in_order_of_id_and_holds_all_without_a_filter(void **state)
{
    struct store_filter none = {0};
    assert_int_equal(list(state, &none).count, 0);
    fill(state);
    EXPECT_LIST(none, 1, 2, 3, 4, 5, 6);
}

static void store_list_filters_by_each_field(void **state)
{
    fill(state);
    struct store_filter acme = {.tenant = "acme"}, nobody = {.tenant = "acm"}, slack = {.type = "slack"};
    struct store_filter failed = {.status = STATUS_ERROR}, inactive = {.status = STATUS_INACTIVE};
    struct store_filter degraded = {.health = HEALTH_DEGRADED}, unknown = {.health = HEALTH_UNKNOWN};
    struct store_filter both = {
        .tenant = "acme", .type = "stripe", .status = STATUS_ACTIVE, .health = HEALTH_OK};
    struct store_filter empty = {.tenant = "", .type = ""};
    EXPECT_LIST(empty, 1, 2, 3, 4, 5, 6);
    EXPECT_LIST(acme, 1, 2, 3, 4);
    EXPECT_LIST(nobody, 0);
    EXPECT_LIST(slack, 2);
    EXPECT_LIST(failed, 1);
    EXPECT_LIST(inactive, 5);
    EXPECT_LIST(degraded, 1);
    EXPECT_LIST(unknown, 0);
    EXPECT_LIST(both, 3, 4);
}

static void store_list_finds_text_in_name_and_label_whatever_the_case(void **state)
{
    fill(state);
    struct store_filter alpha = {.text = "ALPHA"}, inc = {.text = "acme i"}, none = {.text = "zulu"},
                        empty = {.text = ""};
    struct store_filter percent = {.text = "0%_s"}, any = {.text = "%"}, one = {.text = "_"},
                        star = {.text = "*"};
    struct store_filter quote = {.text = "' OR 1=1 --"}, within = {.tenant = "beta", .text = "alpha"};
    struct store_filter accent = {.text = "\xc3\x84RGER"};
    EXPECT_LIST(alpha, 1, 3, 6);
    EXPECT_LIST(inc, 1, 2, 6); /* the label of those that have it */
    EXPECT_LIST(none, 0);
    EXPECT_LIST(empty, 1, 2, 3, 4, 5, 6);
    EXPECT_LIST(percent, 5);
    EXPECT_LIST(any, 5); /* no pattern */
    EXPECT_LIST(one, 5);
    EXPECT_LIST(star, 0);
    EXPECT_LIST(quote, 0);
    EXPECT_LIST(within, 6);
    EXPECT_LIST(accent, 4);
}

static void store_list_pages_hold_every_record_once(void **state)
{
    fill(state);
    for (size_t limit = 1; limit <= 7; limit++) {
        struct store_filter acme = {.tenant = "acme"};
        struct pb_id after = {{0}};
        uint64_t next = 1;
        for (;;) {
            struct seen s = {.most = SEEN_MAX};
            struct pb_why why = {0};
            assert_int_equal(
                store_list_integrations(suite_store(state), &acme, &after, limit, take_integration, &s, &why),
                PB_OK);
            assert_true(s.count <= limit);
            for (size_t i = 0; i < s.count; i++, next++) {
                struct pb_id id = suite_id(next);
                assert_true(id_equal(&s.ids[i], &id));
                after = id;
            }
            if (s.count < limit)
                break;
        }
        assert_int_equal(next, 5);
    }
}

static void store_list_goes_on_behind_an_id_that_is_not_there(void **state)
{
    struct store_filter none = {0};
    struct pb_id between = suite_id(3), last = {{0xff}};
    struct seen s = {.most = SEEN_MAX};
    struct pb_why why = {0};
    fill(state);
    struct integration gone = suite_record(3, "acme", "");
    assert_int_equal(suite_apply(state, CHANGE_DELETE, &gone, 5000, 1), PB_OK);
    assert_int_equal(
        store_list_integrations(suite_store(state), &none, &between, 2, take_integration, &s, &why), PB_OK);
    assert_int_equal(s.count, 2);
    assert_int_equal(s.ids[0].bytes[15], 4);
    assert_int_equal(store_list_integrations(suite_store(state), &none, &last, 9, take_integration, &s, &why),
                     PB_OK);
    assert_int_equal(
        store_list_integrations(suite_store(state), &none, &between, 0, take_integration, &s, &why), PB_OK);
    assert_int_equal(s.count, 2);
}

static void store_list_ends_when_each_says_so(void **state)
{
    struct store_filter none = {0};
    struct pb_id nil = {{0}};
    struct seen s = {.most = 2};
    struct pb_why why = {0};
    fill(state);
    assert_int_equal(store_list_integrations(suite_store(state), &none, &nil, 9, take_integration, &s, &why),
                     PB_E_BUSY);
    assert_int_equal(s.count, 2);
    EXPECT_LIST(none, 1, 2, 3, 4, 5, 6); /* and the next one is whole again */
}

static void store_find_name_gives_its_owner(void **state)
{
    struct pb_id owner = {{42}}, expected = suite_id(6);
    struct pb_why why = {0};
    fill(state);
    assert_int_equal(store_find_name(suite_store(state), "acme", "alpha", &owner, &why), PB_E_NOT_FOUND);
    assert_int_equal(store_find_name(suite_store(state), "gamma", "Alpha", &owner, &why), PB_E_NOT_FOUND);
    assert_int_equal(store_find_name(suite_store(state), "acme", "", &owner, &why), PB_E_NOT_FOUND);
    assert_int_equal(owner.bytes[0], 42);
    assert_int_equal(store_find_name(suite_store(state), "beta", "Alpha", &owner, &why), PB_OK);
    assert_true(id_equal(&owner, &expected));
}

/* -- what is due -- */

static void put_due(void **state, uint64_t id, int64_t due_ms, enum integration_status status)
{
    char name[32];
    snprintf(name, sizeof name, "due %d", (int)id);
    struct integration in = suite_record(id, "acme", name);
    in.next_validation_ms = due_ms;
    in.status = status;
    put(state, &in);
}

static void expect_due(void **state, int64_t due_ms, int64_t after_ms, uint64_t after, size_t limit,
                       const uint64_t *expected)
{
    struct seen s = {.most = SEEN_MAX};
    struct pb_id behind = {{0}};
    struct pb_why why = {0};
    if (after)
        behind = suite_id(after);
    assert_int_equal(
        store_list_due(suite_store(state), due_ms, after_ms, &behind, limit, take_integration, &s, &why),
        PB_OK);
    for (size_t i = 0; expected[i] || i < s.count; i++) {
        struct pb_id id = suite_id(expected[i]);
        if (i == s.count || !expected[i] || !id_equal(&s.ids[i], &id))
            fail_msg("entry %zu of %zu is not %d", i, s.count, (int)expected[i]);
    }
}
#define EXPECT_DUE(due, after_ms, after, limit, ...)                                                         \
    expect_due(state, due, after_ms, after, limit, (const uint64_t[]){__VA_ARGS__, 0})

static void store_list_due_is_in_order_of_time_and_leaves_out_what_is_not_wanted(void **state)
{
    put_due(state, 1, 3000, STATUS_ACTIVE);
    put_due(state, 2, 1000, STATUS_ERROR);
    put_due(state, 3, 2000, STATUS_INACTIVE);
    put_due(state, 4, 0, STATUS_ACTIVE); /* never */
    put_due(state, 5, 2000, STATUS_ACTIVE);
    put_due(state, 6, 2000, STATUS_ACTIVE);
    EXPECT_DUE(2999, 0, 0, 10, 2, 5, 6);
    EXPECT_DUE(3000, 0, 0, 10, 2, 5, 6, 1);
    EXPECT_DUE(3000, 0, 0, 2, 2, 5);
    EXPECT_DUE(3000, 2000, 5, 10, 6, 1);
    EXPECT_DUE(3000, 2000, 6, 10, 1);
    EXPECT_DUE(3000, 3000, 1, 10, 0);
    EXPECT_DUE(999, 0, 0, 10, 0);
}

/* -- a reader beside the writer -- */

static void store_reader_sees_what_is_committed_and_cannot_write(void **state)
{
    struct pb_why why = {0};
    struct integration in = suite_record(1, "acme", "one"), back = {0};
    put(state, &in);
    struct store *reader = suite_open_reader(state);
    assert_int_equal(store_get_integration(reader, &in.id, &back, &why), PB_OK);
    integration_fini(&back);
    struct integration second = suite_record(2, "acme", "two");
    put(state, &second);
    assert_int_equal(store_get_integration(reader, &second.id, &back, &why),
                     PB_OK); /* a commit after it was opened */
    assert_string_equal(back.name, "two");
    integration_fini(&back);
    struct store_op op = {.kind = STORE_SET_META, .meta_key = "k", .meta_value = "v"}, *ops[] = {&op};
    uint32_t epoch = 42;
    assert_int_equal(store_commit(reader, ops, 1, &why), PB_E_DENIED);
    assert_int_equal(store_next_epoch(reader, &epoch, &why), PB_E_DENIED);
    assert_int_equal(epoch, 42);
    char *value = NULL;
    assert_int_equal(store_get_meta(suite_store(state), "k", &value, &why), PB_E_NOT_FOUND);
    store_close(reader);
    store_close(NULL);
}

struct nested {
    void **state;
    size_t written;
};

/* Writes through the writer's handle while the reader's list is open. */
static pb_err write_meanwhile(void *arg, const struct integration *in)
{
    struct nested *n = arg;
    (void)in;
    struct job job = suite_job(100 + n->written++, "acme", "");
    return suite_append(n->state, &job);
}

static void store_reader_does_not_hold_up_the_writer(void **state)
{
    struct store_filter none = {0};
    struct pb_id nil = {{0}};
    struct nested n = {.state = state};
    struct pb_why why = {0};
    fill(state);
    struct store *reader = suite_open_reader(state);
    assert_int_equal(store_list_integrations(reader, &none, &nil, 100, write_meanwhile, &n, &why), PB_OK);
    assert_int_equal(n.written, 6);
    assert_int_equal(suite_state_of(state, 105), JOB_WAITING);
    store_close(reader);
}

static const struct suite_test tests[] = {
    SUITE_TEST(store_list_is_in_order_of_id_and_holds_all_without_a_filter),
    SUITE_TEST(store_list_filters_by_each_field),
    SUITE_TEST(store_list_due_is_in_order_of_time_and_leaves_out_what_is_not_wanted),
    SUITE_TEST(store_list_finds_text_in_name_and_label_whatever_the_case),
    SUITE_TEST(store_list_pages_hold_every_record_once),
    SUITE_TEST(store_list_goes_on_behind_an_id_that_is_not_there),
    SUITE_TEST(store_list_ends_when_each_says_so),
    SUITE_TEST(store_find_name_gives_its_owner),
    SUITE_TEST(store_reader_sees_what_is_committed_and_cannot_write),
    SUITE_TEST(store_reader_does_not_hold_up_the_writer),
};
const struct suite_part suite_reads = {tests, sizeof tests / sizeof tests[0]};
