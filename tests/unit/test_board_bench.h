/* What the tests of the board share: a bench that steps it, collects the effects, and plays store and workers
 * where a test does not. No sockets, threads or clocks. */
#ifndef TEST_BOARD_BENCH_H
#define TEST_BOARD_BENCH_H

#include "broker/board/board.h"
#include "common/limits.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

struct bench {
    struct board *board;
    struct board_effects fx;
    uint64_t now_ms;
};

static const struct board_spec plain = {.names = {[KEY_TENANT] = 1}, .priority = PRIORITY_NORMAL};

static inline struct pb_id id_of(unsigned n)
{
    struct pb_id id = {0};
    memcpy(id.bytes + 10, &n, sizeof n);
    id.bytes[0] = 1;
    return id;
}

static inline void bench_open(struct bench *t, uint32_t epoch)
{
    struct board_settings settings = {.epoch = epoch,
                                      .recovery_ms = 1000,
                                      .backoff_ms = 100,
                                      .backoff_max_ms = 10000,
                                      .jobs_max = 10000,
                                      .seed = 42};
    *t = (struct bench){.now_ms = 1000};
    assert_int_equal(board_new(&settings, &t->board), PB_OK);
}

/* As bench_open(), with limits of gates that nobody has set. */
static inline void bench_open_with(struct bench *t, enum board_key key, const struct board_limit *limit)
{
    struct board_settings settings = {.epoch = 7,
                                      .recovery_ms = 1000,
                                      .backoff_ms = 100,
                                      .backoff_max_ms = 10000,
                                      .jobs_max = LIMIT_JOBS_LIVE,
                                      .seed = 42};
    settings.defaults[key] = *limit;
    *t = (struct bench){.now_ms = 1000};
    assert_int_equal(board_new(&settings, &t->board), PB_OK);
}

static inline int setup(void **state)
{
    struct bench *t = malloc(sizeof *t);
    bench_open(t, 7);
    *state = t;
    return 0;
}

static inline int teardown(void **state)
{
    struct bench *t = *state;
    board_free(t->board);
    free(t);
    return 0;
}

static inline void step(struct bench *t, struct board_event e)
{
    t->fx.count = 0;
    board_step(t->board, t->now_ms, &e, &t->fx);
}

static inline size_t count_of(const struct bench *t, enum board_effect_kind kind)
{
    size_t n = 0;
    for (size_t i = 0; i < t->fx.count; i++)
        n += t->fx.items[i].kind == kind;
    return n;
}

static inline struct board_effect only(const struct bench *t, enum board_effect_kind kind)
{
    assert_int_equal(count_of(t, kind), 1);
    for (size_t i = 0; i < t->fx.count; i++)
        if (t->fx.items[i].kind == kind)
            return t->fx.items[i];
    abort();
}

static inline void submit(struct bench *t, unsigned job, unsigned integration)
{
    struct board_event e = {.kind = BOARD_SUBMIT, .job = id_of(job), .spec = plain};
    if (integration)
        e.integration = id_of(1000000 + integration);
    step(t, e);
}

static inline void appended(struct bench *t, unsigned job, pb_err err)
{
    step(t, (struct board_event){.kind = BOARD_APPENDED, .job = id_of(job), .err = err});
}

static inline void accept(struct bench *t, unsigned job, unsigned integration)
{
    submit(t, job, integration);
    appended(t, job, PB_OK);
}

static inline void submit_spec(struct bench *t, unsigned job, const struct board_spec *spec)
{
    step(t, (struct board_event){.kind = BOARD_SUBMIT, .job = id_of(job), .spec = *spec});
}

static inline void accept_spec(struct bench *t, unsigned job, const struct board_spec *spec)
{
    submit_spec(t, job, spec);
    if (!spec->memory)
        appended(t, job, PB_OK);
}

static inline void load(struct bench *t, unsigned job, unsigned integration, const struct board_spec *spec)
{
    struct board_event e = {.kind = BOARD_LOADED, .job = id_of(job), .spec = *spec};
    if (integration)
        e.integration = id_of(1000000 + integration);
    step(t, e);
}

static inline void cancel(struct bench *t, unsigned job)
{
    step(t, (struct board_event){.kind = BOARD_CANCEL_JOB, .job = id_of(job)});
}

static inline void leave(struct bench *t, uint64_t session)
{
    step(t, (struct board_event){.kind = BOARD_LEAVE, .session = session});
}

static inline void marked(struct bench *t, unsigned job)
{
    step(t, (struct board_event){.kind = BOARD_MARKED, .job = id_of(job)});
}

static inline void join(struct bench *t, uint64_t session)
{
    step(t, (struct board_event){.kind = BOARD_JOIN, .session = session});
}

static inline void beat(struct bench *t, uint64_t session, uint64_t received, uint32_t free, uint32_t running,
                        uint64_t sum)
{
    step(t, (struct board_event){
                .kind = BOARD_BEAT, .session = session, .beat = {received, free, running, sum}});
}

static inline void outcome(struct bench *t, uint64_t session, unsigned job, uint64_t fence,
                           enum job_outcome what)
{
    step(t,
         (struct board_event){
             .kind = BOARD_OUTCOME, .session = session, .job = id_of(job), .fence = fence, .outcome = what});
}

static inline void committed(struct bench *t, unsigned job, enum job_outcome what, pb_err err)
{
    step(t, (struct board_event){.kind = BOARD_COMMITTED, .job = id_of(job), .outcome = what, .err = err});
}

static inline void held(struct bench *t, uint64_t session, unsigned job, uint64_t fence)
{
    step(t, (struct board_event){.kind = BOARD_HELD, .session = session, .job = id_of(job), .fence = fence});
}

static inline void tick(struct bench *t, uint64_t later_ms)
{
    t->now_ms += later_ms;
    step(t, (struct board_event){.kind = BOARD_TICK});
}

static inline void dispatches_only(const struct bench *t, unsigned job)
{
    struct pb_id id = id_of(job);
    struct board_effect fx = only(t, BOARD_DISPATCH);
    assert_true(id_equal(&fx.job, &id));
}

static inline bool listed_none(void *arg, uint64_t fence)
{
    (void)arg;
    (void)fence;
    return false;
}

/* A worker with room for one takes the job; gives the fence. */
static inline uint64_t run_spec(struct bench *t, uint64_t session, unsigned job,
                                const struct board_spec *spec)
{
    join(t, session);
    accept_spec(t, job, spec);
    beat(t, session, 0, 1, 0, 0);
    return only(t, BOARD_DISPATCH).fence;
}

static inline uint64_t run_one(struct bench *t, uint64_t session, unsigned job)
{
    return run_spec(t, session, job, &plain);
}

#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

#endif
