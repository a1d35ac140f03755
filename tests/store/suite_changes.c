/* Fenced changes of integrations: the conditions of struct store_change, one by one and against a model. */
#include "tests/store/suite_parts.h"
#include "tests/unit/scratch.h"

#include <stdlib.h>

#define APPLY(kind, doc, fence, generation) suite_apply(state, CHANGE_##kind, &(doc), fence, generation)

static void store_keeps_every_field_of_an_integration(void **state)
{
    static char tenant[] = "acme", name[] = "Shop \xe2\x82\xac", type[] = "stripe", fields[] = "{\"a\":1}",
                events[] = "[]", result[] = "{}", id[] = "acct", label[] = "", host[] = "h", version[] = "1",
                hash[] = "00ff";
    static uint8_t box[] = {0, 1, 2, 0xff};
    struct integration in = {.id = suite_id(1),
                             .tenant = tenant,
                             .name = name,
                             .type = type,
                             .status = STATUS_INACTIVE,
                             .health = HEALTH_UNKNOWN,
                             .fields = fields,
                             .supported_events = events,
                             .result = result,
                             .account_id = id,
                             .account_label = label,
                             .host = host,
                             .manifest_version = version,
                             .manifest_hash = hash,
                             .failures = UINT32_MAX,
                             .first_failed_at_ms = 1,
                             .suspect_since_ms = 2,
                             .last_validated_ms = 3,
                             .next_validation_ms = 4,
                             .created_at_ms = 5,
                             .updated_at_ms = INT64_MAX,
                             .generation = 6,
                             .revision = 7,
                             .fence = 1 /* not what counts */};
    in.credentials =
        (struct seal_box){.version = 1, .kid = "k1", .nonce = {9}, .bytes = box, .len = sizeof box};
    in.credentials.nonce[23] = 8;
    assert_int_equal(APPLY(CREATE, in, INT64_MAX, 0), PB_OK);
    struct integration back;
    struct pb_why why = {0};
    assert_int_equal(store_get_integration(suite_store(state), &in.id, &back, &why), PB_OK);
    assert_int_equal(back.fence, INT64_MAX);
    in.fence = INT64_MAX;
    struct buf a, b; /* the packed forms hold every field */
    buf_init(&a, LIMIT_MESSAGE_BYTES);
    buf_init(&b, LIMIT_MESSAGE_BYTES);
    assert_int_equal(integration_pack(&in, &a), PB_OK);
    assert_int_equal(integration_pack(&back, &b), PB_OK);
    assert_int_equal(a.len, b.len);
    assert_memory_equal(a.data, b.data, a.len);
    buf_fini(&a);
    buf_fini(&b);
    integration_fini(&back);
}

static void store_keeps_what_is_not_there_apart_from_what_is_empty(void **state)
{
    struct integration in = suite_record(1, "acme", ""), back;
    struct pb_why why = {0};
    static char empty[] = "";
    in.fields = empty;
    in.credentials = (struct seal_box){.version = 1};
    assert_int_equal(APPLY(CREATE, in, 1, 0), PB_OK);
    assert_int_equal(store_get_integration(suite_store(state), &in.id, &back, &why), PB_OK);
    assert_string_equal(back.fields, "");
    assert_null(back.result);
    assert_null(back.host);
    assert_string_equal(back.name, "");
    assert_int_equal(back.credentials.len, 0);
    integration_fini(&back);
}

/* -- create -- */

static void store_create_again_by_the_same_attempt_is_done(void **state)
{
    struct integration in = suite_record(1, "acme", "one"), changed = suite_record(1, "acme", "two");
    assert_int_equal(APPLY(CREATE, in, 10, 0), PB_OK);
    changed.generation = 9;
    assert_int_equal(APPLY(CREATE, changed, 10, 0), PB_OK);
    assert_true(suite_has(state, 1, "one", 1, 10)); /* the first coming counts */
}

static void store_create_by_an_older_attempt_conflicts_and_by_a_newer_overwrites(void **state)
{
    struct integration in = suite_record(1, "acme", "one"), later = suite_record(1, "acme", "two");
    later.generation = 5;
    assert_int_equal(APPLY(CREATE, in, 10, 0), PB_OK);
    assert_int_equal(APPLY(CREATE, later, 9, 0), PB_E_CONFLICT);
    assert_true(suite_has(state, 1, "one", 1, 10));
    assert_int_equal(APPLY(CREATE, later, 11, 0), PB_OK);
    assert_true(suite_has(state, 1, "two", 5, 11));
}

static void store_names_are_unique_within_a_tenant(void **state)
{
    struct integration a = suite_record(1, "acme", "one"), b = suite_record(2, "acme", "one");
    struct integration other = suite_record(3, "beta", "one"), upper = suite_record(4, "acme", "ONE");
    assert_int_equal(APPLY(CREATE, a, 10, 0), PB_OK);
    assert_int_equal(APPLY(CREATE, b, 11, 0), PB_E_EXISTS);
    assert_true(suite_is_gone(state, 2));
    assert_true(suite_has(state, 1, "one", 1, 10));
    assert_int_equal(APPLY(CREATE, other, 12, 0), PB_OK);
    assert_int_equal(APPLY(CREATE, upper, 13, 0), PB_OK);
    upper.name = a.name; /* renamed to what is taken */
    assert_int_equal(APPLY(REPLACE, upper, 14, 1), PB_E_EXISTS);
    assert_true(suite_has(state, 4, "ONE", 1, 13));
    assert_int_equal(APPLY(REPLACE, a, 15, 1), PB_OK); /* its own name is not in its way */
}

static void store_name_is_free_after_a_rename_or_a_delete(void **state)
{
    struct integration a = suite_record(1, "acme", "one"), b = suite_record(2, "acme", "one"),
                       c = suite_record(3, "acme", "two");
    assert_int_equal(APPLY(CREATE, a, 10, 0), PB_OK);
    a.name = c.name;
    assert_int_equal(APPLY(REPLACE, a, 11, 1), PB_OK);
    assert_int_equal(APPLY(CREATE, b, 12, 0), PB_OK);
    assert_int_equal(APPLY(CREATE, c, 13, 0), PB_E_EXISTS);
    assert_int_equal(APPLY(DELETE, a, 14, 1), PB_OK);
    assert_int_equal(APPLY(CREATE, c, 15, 0), PB_OK);
    assert_true(suite_has(state, 2, "one", 1, 12) && suite_has(state, 3, "two", 1, 15));
}

/* -- replace -- */

static void store_replace_needs_the_record_and_its_generation(void **state)
{
    struct integration in = suite_record(1, "acme", "one"), changed = suite_record(1, "acme", "two");
    changed.generation = 2;
    assert_int_equal(APPLY(REPLACE, in, 5, 1), PB_E_NOT_FOUND);
    assert_int_equal(APPLY(CREATE, in, 10, 0), PB_OK);
    assert_int_equal(APPLY(REPLACE, changed, 11, 0), PB_E_CONFLICT);
    assert_int_equal(APPLY(REPLACE, changed, 11, 2), PB_E_CONFLICT);
    assert_true(suite_has(state, 1, "one", 1, 10));
    assert_int_equal(APPLY(REPLACE, changed, 11, 1), PB_OK);
    assert_true(suite_has(state, 1, "two", 2, 11));
}

static void store_replace_by_an_older_attempt_conflicts(void **state)
{
    struct integration in = suite_record(1, "acme", "one"), changed = suite_record(1, "acme", "two");
    assert_int_equal(APPLY(CREATE, in, 10, 0), PB_OK);
    assert_int_equal(APPLY(REPLACE, changed, 9, 1), PB_E_CONFLICT);
    assert_int_equal(APPLY(REPLACE, changed, 1, 1), PB_E_CONFLICT);
    assert_true(suite_has(state, 1, "one", 1, 10));
}

static void store_replace_again_is_done_although_it_raised_the_generation(void **state)
{
    struct integration in = suite_record(1, "acme", "one");
    assert_int_equal(APPLY(CREATE, in, 10, 0), PB_OK);
    in.generation = 2;
    assert_int_equal(APPLY(REPLACE, in, 11, 1), PB_OK);
    assert_int_equal(APPLY(REPLACE, in, 11, 1), PB_OK);
    assert_true(suite_has(state, 1, "one", 2, 11));
    in.generation = 3;
    assert_int_equal(APPLY(REPLACE, in, 12, 1), PB_E_CONFLICT); /* another attempt that read the old one */
}

/* -- delete -- */

static void store_delete_needs_the_record_and_its_generation(void **state)
{
    struct integration in = suite_record(1, "acme", "one"), only_id = {.id = suite_id(1)};
    assert_int_equal(APPLY(DELETE, only_id, 5, 1), PB_E_NOT_FOUND);
    assert_int_equal(APPLY(CREATE, in, 10, 0), PB_OK);
    assert_int_equal(APPLY(DELETE, only_id, 11, 2), PB_E_CONFLICT);
    assert_int_equal(APPLY(DELETE, only_id, 9, 1), PB_E_CONFLICT);
    assert_true(suite_has(state, 1, "one", 1, 10));
    assert_int_equal(APPLY(DELETE, only_id, 11, 1), PB_OK);
    assert_true(suite_is_gone(state, 1));
}

static void store_delete_again_is_done(void **state)
{
    struct integration in = suite_record(1, "acme", "one");
    assert_int_equal(APPLY(CREATE, in, 10, 0), PB_OK);
    assert_int_equal(APPLY(DELETE, in, 11, 1), PB_OK);
    assert_int_equal(APPLY(DELETE, in, 11, 1), PB_OK);
    assert_int_equal(APPLY(DELETE, in, 12, 1), PB_E_NOT_FOUND); /* another attempt: it is gone */
    assert_int_equal(APPLY(DELETE, in, 10, 1), PB_E_NOT_FOUND);
}

/* A setup that hung must not bring an integration back, whatever its fence; nor a validation. */
static void store_deleted_stays_deleted(void **state)
{
    struct integration in = suite_record(1, "acme", "one");
    assert_int_equal(APPLY(CREATE, in, 10, 0), PB_OK);
    assert_int_equal(APPLY(DELETE, in, 20, 1), PB_OK);
    for (int again = 0; again < 2; again++) {
        assert_int_equal(APPLY(CREATE, in, 10, 0), PB_E_CONFLICT);
        assert_int_equal(APPLY(CREATE, in, 19, 0), PB_E_CONFLICT);
        assert_int_equal(APPLY(CREATE, in, 20, 0), PB_E_CONFLICT);
        assert_int_equal(APPLY(CREATE, in, 21, 0), PB_E_NOT_FOUND);
        assert_int_equal(APPLY(REPLACE, in, 21, 1), PB_E_NOT_FOUND);
        assert_int_equal(APPLY(REPLACE, in, 15, 1), PB_E_NOT_FOUND);
        assert_true(suite_is_gone(state, 1));
        suite_reopen(state); /* a tombstone is durable */
    }
}

/* -- with the job -- */

static struct store_op finish_with(uint64_t job, enum job_state end, enum store_change_kind kind,
                                   const struct integration *doc, uint64_t fence, int64_t if_generation)
{
    return (struct store_op){.kind = STORE_FINISH_JOB,
                             .job = {.id = suite_id(job), .state = end},
                             .change = suite_change(kind, doc, fence, if_generation)};
}

static void store_finish_undoes_the_outcome_when_the_change_is_refused(void **state)
{
    struct integration in = suite_record(50, "acme", "one");
    struct job job = suite_job(1, "acme", ""), back = {0};
    struct pb_why why = {0};
    assert_int_equal(suite_append(state, &job), PB_OK);
    struct store_op op = finish_with(1, JOB_DONE, CHANGE_REPLACE, &in, 10, 1);
    assert_int_equal(suite_commit(state, &op), PB_E_NOT_FOUND);
    assert_int_equal(store_get_job(suite_store(state), &job.id, &back, &why), PB_OK);
    assert_int_equal(back.state, JOB_WAITING);
    assert_int_equal(back.payload_len, job.payload_len); /* not erased */
    assert_null(back.result);
    job_fini(&back);
}

static void store_finish_undoes_the_change_when_the_job_is_not_waiting(void **state)
{
    struct integration in = suite_record(50, "acme", "one");
    struct job job = suite_job(1, "acme", "");
    struct store_op unknown = finish_with(9, JOB_DONE, CHANGE_CREATE, &in, 10, 0);
    assert_int_equal(suite_commit(state, &unknown), PB_E_NOT_FOUND);
    assert_true(suite_is_gone(state, 50));
    assert_int_equal(suite_append(state, &job), PB_OK);
    assert_int_equal(suite_finish(state, 1, JOB_CANCELLED), PB_OK);
    struct store_op ended = finish_with(1, JOB_DONE, CHANGE_CREATE, &in, 10, 0);
    assert_int_equal(suite_commit(state, &ended), PB_E_CONFLICT);
    assert_true(suite_is_gone(state, 50));
}

/* The answer to a commit can be lost: the same operation again finds everything done. */
static void store_finish_again_with_its_change_is_done(void **state)
{
    struct integration in = suite_record(50, "acme", "one");
    struct job jobs[] = {suite_job(1, "acme", ""), suite_job(2, "acme", ""), suite_job(3, "acme", "")};
    for (int i = 0; i < 3; i++)
        assert_int_equal(suite_append(state, &jobs[i]), PB_OK);
    struct store_op create = finish_with(1, JOB_DONE, CHANGE_CREATE, &in, 10, 0);
    in.generation = 2;
    struct store_op replace = finish_with(2, JOB_DONE, CHANGE_REPLACE, &in, 11, 1);
    struct store_op remove = finish_with(3, JOB_DONE, CHANGE_DELETE, &in, 12, 2);
    struct store_op *ops[] = {&create, &replace, &remove};
    for (int i = 0; i < 3; i++) {
        assert_int_equal(suite_commit(state, ops[i]), PB_OK);
        assert_int_equal(suite_commit(state, ops[i]), PB_OK);
        suite_reopen(state);
        assert_int_equal(suite_commit(state, ops[i]), PB_OK);
    }
    assert_true(suite_is_gone(state, 50));
}

/* -- against a model -- */

#define MODEL_IDS 4

struct model {
    struct modelled {
        bool exists, deleted;
        uint64_t fence;
        int64_t generation;
        const char *name;
    } records[MODEL_IDS];
};

static bool is_taken(const struct model *m, size_t self, const char *name)
{
    for (size_t i = 0; i < MODEL_IDS; i++)
        if (i != self && m->records[i].exists && strcmp(m->records[i].name, name) == 0)
            return true;
    return false;
}

/* The header's words as code. */
static pb_err expect(const struct model *m, size_t i, const struct store_change *c, bool *again)
{
    const struct modelled *r = &m->records[i];
    bool create = c->kind == CHANGE_CREATE, remove = c->kind == CHANGE_DELETE;
    *again = false;
    if (r->deleted) {
        *again = remove && r->fence == c->fence;
        return *again ? PB_OK : create && r->fence >= c->fence ? PB_E_CONFLICT : PB_E_NOT_FOUND;
    }
    if (!r->exists)
        return !create ? PB_E_NOT_FOUND : is_taken(m, i, c->doc.name) ? PB_E_EXISTS : PB_OK;
    if (r->fence > c->fence)
        return PB_E_CONFLICT;
    *again = r->fence == c->fence && !remove;
    if (*again)
        return PB_OK;
    if (!create && r->generation != c->if_generation)
        return PB_E_CONFLICT;
    return !remove && is_taken(m, i, c->doc.name) ? PB_E_EXISTS : PB_OK;
}

static void follow(struct modelled *r, const struct store_change *c)
{
    r->fence = c->fence;
    if (c->kind == CHANGE_DELETE) {
        r->exists = false;
        r->deleted = true;
        return;
    }
    r->exists = true;
    r->generation = c->doc.generation;
    r->name = c->doc.name;
}

static void compare(void **state, const struct model *m)
{
    for (size_t i = 0; i < MODEL_IDS; i++) {
        const struct modelled *r = &m->records[i];
        if (r->exists)
            assert_true(suite_has(state, i, r->name, r->generation, r->fence));
        else
            assert_true(suite_is_gone(state, i));
    }
}

/* One life of four records, until most are deleted. */
static void live(void **state, uint64_t *seed, size_t outcomes[PB_E_UNSUPPORTED + 1])
{
    static const char *const names[] = {"one", "two", "three"};
    static const enum store_change_kind kinds[] = {CHANGE_CREATE,  CHANGE_CREATE,  CHANGE_REPLACE,
                                                   CHANGE_REPLACE, CHANGE_REPLACE, CHANGE_REPLACE,
                                                   CHANGE_REPLACE, CHANGE_DELETE};
    struct model m = {0};
    for (uint64_t step = 1; step <= 120; step++) {
        uint64_t r = scratch_random(seed), behind = (r >> 40) % 6;
        size_t i = r % MODEL_IDS;
        bool again;
        struct integration doc = suite_record(i, "acme", names[(r >> 8) % 3]);
        doc.generation = (int64_t)((r >> 16) % 3);
        struct store_change c = suite_change(kinds[(r >> 24) % 8], &doc, step > behind ? step - behind : 1,
                                             (int64_t)((r >> 32) % 3));
        pb_err expected = expect(&m, i, &c, &again),
               err = suite_apply(state, c.kind, &doc, c.fence, c.if_generation);
        if (err != expected)
            fail_msg("step %d, kind %d: %s instead of %s", (int)step, (int)c.kind, pb_err_name(err),
                     pb_err_name(expected));
        if (!err && !again)
            follow(&m.records[i], &c);
        outcomes[err]++;
        compare(state, &m);
    }
}

static void store_changes_agree_with_a_model_over_many_steps(void **state)
{
    uint64_t seed = 42;
    size_t outcomes[PB_E_UNSUPPORTED + 1] = {0};
    for (int round = 0; round < suite_steps(state, 6); round++) {
        suite_renew(state);
        live(state, &seed, outcomes);
    }
    const size_t many = (size_t)suite_steps(state, 50), some = (size_t)suite_steps(state, 10);
    assert_true(outcomes[PB_OK] > many && outcomes[PB_E_CONFLICT] > many); /* it went every way */
    assert_true(outcomes[PB_E_EXISTS] > some && outcomes[PB_E_NOT_FOUND] > many);
}

static const struct suite_test tests[] = {
    SUITE_TEST(store_keeps_every_field_of_an_integration),
    SUITE_TEST(store_keeps_what_is_not_there_apart_from_what_is_empty),
    SUITE_TEST(store_create_again_by_the_same_attempt_is_done),
    SUITE_TEST(store_create_by_an_older_attempt_conflicts_and_by_a_newer_overwrites),
    SUITE_TEST(store_names_are_unique_within_a_tenant),
    SUITE_TEST(store_name_is_free_after_a_rename_or_a_delete),
    SUITE_TEST(store_replace_needs_the_record_and_its_generation),
    SUITE_TEST(store_replace_by_an_older_attempt_conflicts),
    SUITE_TEST(store_replace_again_is_done_although_it_raised_the_generation),
    SUITE_TEST(store_delete_needs_the_record_and_its_generation),
    SUITE_TEST(store_delete_again_is_done),
    SUITE_TEST(store_deleted_stays_deleted),
    SUITE_TEST(store_finish_undoes_the_outcome_when_the_change_is_refused),
    SUITE_TEST(store_finish_undoes_the_change_when_the_job_is_not_waiting),
    SUITE_TEST(store_finish_again_with_its_change_is_done),
    SUITE_TEST(store_changes_agree_with_a_model_over_many_steps),
};
const struct suite_part suite_changes = {tests, sizeof tests / sizeof tests[0]};
