/* Lists of jobs: every filter, alone and with every other, in both directions and pages, against a model. */
#include "tests/store/suite_parts.h"
#include "tests/unit/scratch.h"

#include <stdio.h>
#include <stdlib.h>

#define JOBS 120

/* What the store holds, in order of id (1, 2, ...). */
struct listed {
    struct job jobs[JOBS];
    const char *codes[JOBS];
    void **state;
};

struct seen {
    struct pb_id ids[JOBS];
    size_t count, most; /* stops with PB_E_BUSY past most */
};

static pb_err take_job(void *arg, const struct job *job)
{
    struct seen *s = arg;
    if (s->count == s->most)
        return PB_E_BUSY;
    assert_null(job->payload);
    assert_int_equal(job->payload_len, 0);
    s->ids[s->count++] = job->id;
    return PB_OK;
}

static struct seen list(void **state, const struct store_job_filter *f, const struct pb_id *after,
                        size_t limit)
{
    struct seen s = {.most = JOBS};
    struct pb_why why = {0};
    if (store_list_jobs(suite_store(state), f, after, limit, take_job, &s, &why) != PB_OK)
        fail_msg("%s: %s", why.at, why.text);
    return s;
}

static const char *const tenants[] = {"acme", "beta", "gamma"};
static const char *const types[] = {"stripe", "slack"};
static const char *const codes[] = {"ok", "timeout", "invalid_credentials"};

static void finish(void **state, const struct job *job, const char *code)
{
    char result[64];
    snprintf(result, sizeof result, "{\"class\":\"c\",\"code\":\"%s\"}", code);
    struct store_op op = {.kind = STORE_FINISH_JOB,
                          .job = {.id = job->id, .state = job->state, .finished_at_ms = 5, .result = result}};
    assert_int_equal(suite_commit(state, &op), PB_OK);
}

static void fill(void **state, struct listed *l, uint64_t *seed)
{
    *l = (struct listed){.state = state};
    for (size_t i = 0; i < JOBS; i++) {
        uint64_t r = scratch_random(seed);
        struct job *job = &l->jobs[i];
        *job = suite_job(i + 1, tenants[r % 3], "");
        job->kind = JOB_SETUP + (r >> 8) % 3;
        job->integration = suite_id(900 + (r >> 16) % 4);
        snprintf(job->type, sizeof job->type, "%s", types[(r >> 24) % 2]);
        job->state = JOB_WAITING + (r >> 32) % 5;
        l->codes[i] = job->state == JOB_WAITING ? NULL : codes[(r >> 40) % 3];
    }
    for (size_t n = 0; n < JOBS; n++) { /* in another order than that of their ids */
        size_t i = n * 77 % JOBS;
        struct job new = l->jobs[i];
        new.state = JOB_WAITING;
        assert_int_equal(suite_append(state, &new), PB_OK);
        if (l->codes[i])
            finish(state, &l->jobs[i], l->codes[i]);
    }
}

/* The header's words as code. */
static bool matches(const struct listed *l, size_t i, const struct store_job_filter *f)
{
    const struct job *job = &l->jobs[i];
    return (!f->tenant || strcmp(f->tenant, job->tenant) == 0) &&
           (!f->type || strcmp(f->type, job->type) == 0) && (!f->kind || f->kind == job->kind) &&
           (!f->state || f->state == job->state) &&
           (!f->integration || id_equal(f->integration, &job->integration)) &&
           (!f->code || (l->codes[i] && strcmp(f->code, l->codes[i]) == 0));
}

/* A page holds the first of what matches behind the place; gives how many. */
static size_t expect_page(const struct listed *l, const struct store_job_filter *f, size_t after,
                          size_t limit)
{
    struct pb_id place = after ? suite_id(after) : (struct pb_id){0};
    struct seen s = list(l->state, f, &place, limit);
    size_t count = 0;
    size_t n = f->newest_first ? (after ? after - 1 : JOBS) : after + 1;
    for (; n >= 1 && n <= JOBS && count < limit; n = f->newest_first ? n - 1 : n + 1) {
        if (!matches(l, n - 1, f))
            continue;
        if (count == s.count || !id_equal(&s.ids[count], &l->jobs[n - 1].id))
            fail_msg("entry %zu is not job %zu", count, n);
        count++;
    }
    assert_int_equal(s.count, count);
    return count;
}

static struct store_job_filter filter_of(unsigned which, uint64_t r, const struct pb_id *integration)
{
    return (struct store_job_filter){
        .tenant = which & 1 ? tenants[r % 3] : NULL,
        .type = which & 2 ? types[(r >> 8) % 2] : NULL,
        .kind = which & 4 ? JOB_SETUP + (r >> 16) % 3 : 0,
        .state = which & 8 ? JOB_WAITING + (r >> 24) % 5 : 0,
        .integration = which & 16 ? integration : NULL,
        .code = which & 32 ? codes[(r >> 32) % 3] : NULL,
        .newest_first = which & 64,
    };
}

static void store_list_jobs_agrees_with_a_model_for_every_mix_of_filters(void **state)
{
    uint64_t seed = 7;
    struct listed l;
    size_t found = 0;
    fill(state, &l, &seed);
    for (unsigned which = 0; which < 128; which++)
        for (int round = 0; round < suite_steps(state, 6); round++) {
            uint64_t r = scratch_random(&seed);
            struct pb_id integration = suite_id(900 + (r >> 40) % 4);
            struct store_job_filter f = filter_of(which, r, &integration);
            found += expect_page(&l, &f, 0, JOBS);
            expect_page(&l, &f, 0, 1 + (r >> 48) % 5);
            expect_page(&l, &f, 1 + (r >> 52) % JOBS, 1 + (r >> 48) % 5);
        }
    assert_true(found > (size_t)suite_steps(state, 2000));
}

static void store_list_jobs_pages_hold_every_job_once_in_both_directions(void **state)
{
    uint64_t seed = 8;
    struct listed l;
    fill(state, &l, &seed);
    for (unsigned which = 0; which < 128; which += 1 + 2 + 4) { /* some mixes: all have an end */
        struct pb_id integration = suite_id(901), place = {{0}};
        struct store_job_filter f = filter_of(which, 1, &integration);
        size_t all = list(state, &f, &place, JOBS).count, seen = 0, pages = 0;
        for (struct seen s = {.count = 3}; s.count == 3; pages++) {
            s = list(state, &f, &place, 3);
            seen += s.count;
            if (s.count)
                place = s.ids[s.count - 1];
        }
        assert_int_equal(seen, all);
        assert_int_equal(pages, all / 3 + 1);
    }
}

static void store_list_jobs_takes_empty_filters_as_none(void **state)
{
    uint64_t seed = 9;
    struct listed l;
    struct pb_id nil = {{0}};
    struct store_job_filter empty = {.tenant = "", .type = "", .integration = &nil, .code = ""};
    assert_int_equal(list(state, &empty, &nil, JOBS).count, 0);
    fill(state, &l, &seed);
    assert_int_equal(list(state, &empty, &nil, JOBS).count, JOBS);
    assert_int_equal(list(state, &empty, &nil, 0).count, 0);
}

static void store_list_jobs_matches_whole_values_only(void **state)
{
    struct pb_id nil = {{0}}, unknown = suite_id(1);
    struct job job = suite_job(1, "acme", "");
    job.state = JOB_FAILED;
    struct job new = job;
    new.state = JOB_WAITING;
    assert_int_equal(suite_append(state, &new), PB_OK);
    finish(state, &job, "timeout");
    struct store_job_filter none[] = {
        {.tenant = "acm"},
        {.tenant = "ACME"},
        {.tenant = "acme "},
        {.tenant = "' OR 1=1 --"},
        {.type = "stri"},
        {.type = "%"},
        {.code = "time"},
        {.code = "TIMEOUT"},
        {.kind = JOB_PING},
        {.state = JOB_DEAD},
        {.state = (enum job_state)99},
        {.tenant = "acme", .code = "timeou"},
        {.integration = &unknown},
    };
    for (size_t i = 0; i < sizeof none / sizeof none[0]; i++)
        assert_int_equal(list(state, &none[i], &nil, JOBS).count, 0);
    struct store_job_filter one = {.tenant = "acme", .type = "stripe", .code = "timeout"};
    assert_int_equal(list(state, &one, &nil, JOBS).count, 1);
}

/* The code is that of the result as it is now, whatever a result looks like. */
static void store_list_jobs_knows_the_code_of_strange_results(void **state)
{
    static char *const results[] = {
        "",   "{",        "[]", "[{\"code\":\"x\"}]", "{\"a\":{\"code\":\"x\"}}",
        "{}", "\"code\"", NULL, "{\"code\":null}",    "{ \"a\" : 1, \"code\" : \"x\" }"};
    struct pb_id nil = {{0}};
    struct store_job_filter with[] = {{.code = "x"}, {.code = "x", .tenant = "acme"}};
    for (uint64_t n = 0; n < 10; n++) {
        struct job job = suite_job(n, "acme", "");
        struct store_op op = {.kind = STORE_FINISH_JOB,
                              .job = {.id = job.id, .state = JOB_DEAD, .result = results[n]}};
        assert_int_equal(suite_append(state, &job), PB_OK);
        assert_int_equal(suite_commit(state, &op), PB_OK);
    }
    for (size_t i = 0; i < 2; i++) {
        struct seen s = list(state, &with[i], &nil, JOBS);
        assert_int_equal(s.count, 1);
        assert_int_equal(s.ids[0].bytes[15], 9);
    }
    struct store_op revive = {.kind = STORE_REVIVE_JOB, .job = {.id = suite_id(9)}};
    assert_int_equal(suite_commit(state, &revive), PB_OK);
    job_fini(&revive.job);
    for (size_t i = 0; i < 2; i++)
        assert_int_equal(list(state, &with[i], &nil, JOBS).count, 0);
}

static void store_list_jobs_ends_when_each_says_so(void **state)
{
    uint64_t seed = 10;
    struct listed l;
    struct pb_id nil = {{0}};
    struct pb_why why = {0};
    struct store_job_filter none = {0}, tenant = {.tenant = "acme", .newest_first = true};
    fill(state, &l, &seed);
    for (int again = 0; again < 2; again++) {
        struct seen s = {.most = 1};
        assert_int_equal(store_list_jobs(suite_store(state), &none, &nil, 9, take_job, &s, &why), PB_E_BUSY);
        assert_int_equal(store_list_jobs(suite_store(state), &tenant, &nil, 9, take_job, &s, &why),
                         PB_E_BUSY);
        assert_int_equal(s.count, 1);
    }
    expect_page(&l, &none, 0, JOBS); /* and the next one is whole again */
}

static const struct suite_test tests[] = {
    SUITE_TEST(store_list_jobs_agrees_with_a_model_for_every_mix_of_filters),
    SUITE_TEST(store_list_jobs_pages_hold_every_job_once_in_both_directions),
    SUITE_TEST(store_list_jobs_takes_empty_filters_as_none),
    SUITE_TEST(store_list_jobs_matches_whole_values_only),
    SUITE_TEST(store_list_jobs_knows_the_code_of_strange_results),
    SUITE_TEST(store_list_jobs_ends_when_each_says_so),
};
const struct suite_part suite_lists = {tests, sizeof tests / sizeof tests[0]};
