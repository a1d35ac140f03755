#include "tests/store/suite_parts.h"

#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>

#define TESTS_MAX    120
#define CARRIER_JOBS UINT64_C(1000000) /* ids of jobs that carry changes begin behind it */

static void expect_ok(pb_err err, const struct pb_why *why)
{
    if (err)
        fail_msg("%s: %s: %s", pb_err_name(err), why->at, why->text);
}

static int open_fresh(void **state)
{
    struct suite *s = *state;
    struct pb_why why = {0};
    s->subject->fresh(s->subject->arg, s->url);
    expect_ok(store_open(s->url, false, &s->store, &why), &why);
    return 0;
}

static int close_it(void **state)
{
    struct suite *s = *state;
    store_close(s->store);
    s->store = NULL;
    return 0;
}

struct store *suite_store(void **state)
{
    return ((struct suite *)*state)->store;
}

int suite_steps(void **state, int many)
{
    return ((struct suite *)*state)->subject->remote ? many / 3 : many;
}

void suite_reopen(void **state)
{
    struct suite *s = *state;
    struct pb_why why = {0};
    store_close(s->store);
    s->store = NULL;
    expect_ok(store_open(s->url, false, &s->store, &why), &why);
}

void suite_renew(void **state)
{
    close_it(state);
    open_fresh(state);
}

struct store *suite_open_reader(void **state)
{
    const struct suite *s = *state;
    struct store *reader = NULL;
    struct pb_why why = {0};
    expect_ok(store_open(s->url, true, &reader, &why), &why);
    return reader;
}

struct pb_id suite_id(uint64_t n)
{
    struct pb_id id = {{1}}; /* not nil, for n = 0 either */
    for (int i = 0; i < 8; i++)
        id.bytes[15 - i] = (uint8_t)(n >> (8 * i));
    return id;
}

void suite_commit_all(void **state, struct store_op *const *ops, size_t count)
{
    struct pb_why why = {0};
    expect_ok(store_commit(suite_store(state), ops, count, &why), &why);
}

pb_err suite_commit(void **state, struct store_op *op)
{
    op->outcome = PB_E_IO; /* the commit must set it */
    suite_commit_all(state, &op, 1);
    return op->outcome;
}

struct job suite_job(uint64_t n, const char *tenant, const char *idem)
{
    static uint8_t payload[] = "pay\0load";
    struct job job = {.id = suite_id(n),
                      .kind = JOB_SETUP,
                      .state = JOB_WAITING,
                      .type = "stripe",
                      .integration = suite_id(n + 500),
                      .created_at_ms = (int64_t)n * 1000,
                      .payload = payload,
                      .payload_len = sizeof payload};
    snprintf(job.tenant, sizeof job.tenant, "%s", tenant);
    snprintf(job.idem, sizeof job.idem, "%s", idem);
    return job;
}

pb_err suite_append(void **state, const struct job *job)
{
    struct store_op op = {.kind = STORE_APPEND_JOB, .job = *job};
    return suite_commit(state, &op);
}

pb_err suite_finish(void **state, uint64_t n, enum job_state job_state)
{
    char result[] = "{\"code\":\"ok\"}";
    struct store_op op = {
        .kind = STORE_FINISH_JOB,
        .job = {.id = suite_id(n), .state = job_state, .finished_at_ms = 77, .result = result}};
    return suite_commit(state, &op);
}

struct job suite_get(void **state, uint64_t n)
{
    struct pb_id id = suite_id(n);
    struct job job = {0};
    struct pb_why why = {0};
    assert_int_equal(store_get_job(suite_store(state), &id, &job, &why), PB_OK);
    return job;
}

enum job_state suite_state_of(void **state, uint64_t n)
{
    struct pb_id id = suite_id(n);
    struct job job = {0};
    struct pb_why why = {0};
    pb_err err = store_get_job(suite_store(state), &id, &job, &why);
    if (err != PB_E_NOT_FOUND)
        expect_ok(err, &why);
    enum job_state job_state = job.state;
    job_fini(&job);
    return job_state;
}

struct integration suite_record(uint64_t n, const char *tenant, const char *name)
{
    static char type[] = "stripe", label[] = "Acme Inc.";
    static uint8_t box[] = "sealed\0box";
    return (struct integration){.id = suite_id(n),
                                .tenant = (char *)(uintptr_t)tenant,
                                .name = (char *)(uintptr_t)name,
                                .type = type,
                                .status = STATUS_ACTIVE,
                                .health = HEALTH_OK,
                                .account_label = label,
                                .credentials = {.version = 1, .kid = "k1", .bytes = box, .len = sizeof box},
                                .generation = 1};
}

struct store_change suite_change(enum store_change_kind kind, const struct integration *doc, uint64_t fence,
                                 int64_t if_generation)
{
    return (struct store_change){.kind = kind, .fence = fence, .if_generation = if_generation, .doc = *doc};
}

pb_err suite_apply(void **state, enum store_change_kind kind, const struct integration *doc, uint64_t fence,
                   int64_t if_generation)
{
    uint64_t n = CARRIER_JOBS;
    while (suite_state_of(state, n))
        n++;
    struct job carrier = suite_job(n, "carrier", "");
    assert_int_equal(suite_append(state, &carrier), PB_OK);
    struct store_op op = {.kind = STORE_FINISH_JOB,
                          .job = {.id = suite_id(n), .state = JOB_DONE},
                          .change = suite_change(kind, doc, fence, if_generation)};
    pb_err err = suite_commit(state, &op);
    assert_int_equal(suite_state_of(state, n), err ? JOB_WAITING : JOB_DONE);
    if (err) /* out of the way of tests that count waiting jobs */
        assert_int_equal(suite_finish(state, n, JOB_FAILED), PB_OK);
    return err;
}

bool suite_has(void **state, uint64_t n, const char *name, int64_t generation, uint64_t fence)
{
    struct pb_id id = suite_id(n);
    struct integration in = {0};
    struct pb_why why = {0};
    if (store_get_integration(suite_store(state), &id, &in, &why) != PB_OK)
        return false;
    bool same = strcmp(in.name, name) == 0 && in.generation == generation && in.fence == fence;
    integration_fini(&in);
    return same;
}

bool suite_is_gone(void **state, uint64_t n)
{
    struct pb_id id = suite_id(n);
    struct integration in = {0};
    struct pb_why why = {0};
    pb_err err = store_get_integration(suite_store(state), &id, &in, &why);
    integration_fini(&in);
    return err == PB_E_NOT_FOUND;
}

static size_t add_part(struct CMUnitTest *tests, size_t count, const struct suite_part *part, struct suite *s)
{
    for (size_t i = 0; i < part->count; i++) {
        assert_true(count < TESTS_MAX);
        tests[count++] =
            (struct CMUnitTest){part->tests[i].name, part->tests[i].run, open_fresh, close_it, s};
    }
    return count;
}

int suite_run(const struct suite_subject *subject)
{
    struct CMUnitTest tests[TESTS_MAX];
    struct suite s = {.subject = subject};
    size_t count = 0;
    if (sodium_init() < 0)
        return 1;
    count = add_part(tests, count, &suite_jobs, &s);
    count = add_part(tests, count, &suite_ends, &s);
    count = add_part(tests, count, &suite_changes, &s);
    count = add_part(tests, count, &suite_reads, &s);
    count = add_part(tests, count, &suite_lists, &s);
    count = add_part(tests, count, &suite_batches, &s);
    count = add_part(tests, count, &suite_schedules, &s);
    assert_true(count + subject->own_count <= TESTS_MAX);
    for (size_t i = 0; i < subject->own_count; i++)
        tests[count++] = subject->own[i];
    return _cmocka_run_group_tests(subject->name, tests, count, NULL, NULL);
}
