/* Both ends of the link in one process, over real sockets: the broker's links and a worker's link, with a
 * board that does what the test says and a runner that never ends anything by itself. */
#include "broker/links.h"
#include "common/clock.h"
#include "common/limits.h"
#include "tests/unit/scratch.h"
#include "worker/link.h"

#include <fcntl.h>
#include <poll.h>
#include <setjmp.h>
#include <sodium.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
/* cmocka wants setjmp and stdarg before it */
#include <cmocka.h>

#define PATIENCE_MS 5000
#define LEASE_MS    2000
#define CAPACITY    1000
#define FENCES_MAX  1200

struct scene {
    struct scratch scratch;
    struct log log;
    struct manifests *types;
    struct links *links;
    struct link *link;
    /* the broker's side */
    links_session session;
    char worker_id[64];
    bool settles; /* whether outcomes are settled */
    bool draining_seen, left, goodbye;
    enum job_outcome outcomes[FENCES_MAX]; /* by fence; 0: none so far */
    unsigned outcome_count, undelivered;
    uint64_t undelivered_fence;
    /* the worker's side */
    unsigned begun, cancelled;
};

/* -- the broker's side -- */

static pb_err on_joined(void *arg, links_session session, const struct wire_join *join, struct pb_why *why)
{
    struct scene *s = arg;
    (void)join;
    (void)why;
    s->session = session;
    return PB_OK;
}

static void on_report(void *arg, links_session session, const struct wire_report *r)
{
    struct scene *s = arg;
    s->draining_seen = s->draining_seen || r->draining;
    for (size_t i = 0; i < r->outcome_count; i++) {
        s->outcome_count++;
        s->outcomes[r->outcomes[i].fence] = r->outcomes[i].outcome;
        if (s->settles)
            links_send_settled(s->links, session, r->outcomes[i].fence);
    }
}

static void on_undelivered(void *arg, links_session session, const struct wire_attempt *a)
{
    struct scene *s = arg;
    assert_int_equal(session, s->session);
    assert_int_equal(a->tenant.len, 4);
    assert_memory_equal(a->tenant.data, "acme", 4);
    s->undelivered++;
    s->undelivered_fence = a->fence;
}

static void on_left(void *arg, links_session session, const char *reason, bool goodbye)
{
    struct scene *s = arg;
    (void)session;
    (void)reason;
    s->left = true;
    s->goodbye = goodbye;
}

/* -- the worker's side -- */

static void on_attempt(void *arg, const struct wire_attempt *a)
{
    struct scene *s = arg;
    (void)a;
    s->begun++;
}

static void on_cancel(void *arg, uint64_t fence)
{
    struct scene *s = arg;
    (void)fence;
    s->cancelled++;
}

static void end_attempt(struct scene *s, uint64_t fence, enum job_outcome outcome)
{
    struct wire_outcome o = {.job = {{1}}, .fence = fence, .outcome = outcome};
    link_outcome(s->link, &o);
}

/* -- the scene -- */

static void turn_broker(struct scene *s)
{
    links_turn(s->links, clock_mono_ms());
    links_tick(s->links, clock_mono_ms(), 0);
    links_flush(s->links, clock_mono_ms());
}

static void turn_worker(struct scene *s)
{
    link_turn(s->link, clock_mono_ms());
    link_tick(s->link, clock_mono_ms());
}

static void turn(struct scene *s)
{
    poll(NULL, 0, 2);
    turn_broker(s);
    if (s->link)
        turn_worker(s);
}

#define UNTIL(s, condition)                                                                                  \
    do {                                                                                                     \
        uint64_t until_ms = clock_mono_ms() + PATIENCE_MS;                                                   \
        while (!(condition) && clock_mono_ms() < until_ms)                                                   \
            turn(s);                                                                                         \
        assert_true(condition);                                                                              \
    } while (0)

static void turns(struct scene *s, unsigned count)
{
    while (count--)
        turn(s);
}

static void note_id(void *arg, const struct links_worker *w)
{
    struct scene *s = arg;
    snprintf(s->worker_id, sizeof s->worker_id, "%s", w->id);
}

static void open_scene(struct scene *s)
{
    static const struct links_events links_events = {on_joined, on_report, on_undelivered, on_left};
    static const struct link_events link_events = {on_attempt, on_cancel};
    static const uint8_t secret[32] = {1}, seal_key[32] = {2};
    struct pb_why why = {0};
    char address[300], path[256];
    memset(s, 0, sizeof *s);
    s->settles = true;
    s->log.fd = open("/dev/null", O_WRONLY | O_CLOEXEC);
    scratch_open(&s->scratch);
    snprintf(address, sizeof address, "ipc://%s", scratch_path(&s->scratch, "run", path));
    assert_int_equal(mkdir(path, 0700), 0);
    assert_int_equal(manifests_open("manifests", &s->log, &s->types, &why), PB_OK);
    struct links_settings broker = {address, secret, LEASE_MS, LEASE_MS / 4, 1, "sqlite"};
    struct link_settings worker = {address, secret, seal_key, "w1", "test", CAPACITY, s->types};
    assert_int_equal(links_open(&broker, &s->log, &links_events, s, &s->links, &why), PB_OK);
    assert_int_equal(link_open(&worker, &s->log, &link_events, s, &s->link, &why), PB_OK);
    UNTIL(s, s->session && link_has_joined(s->link));
    turns(s, 10); /* the first report */
    links_each_worker(s->links, clock_mono_ms(), note_id, s);
}

static void close_scene(struct scene *s)
{
    link_close(s->link);
    links_close(s->links);
    manifests_close(s->types);
    scratch_close(&s->scratch);
    close(s->log.fd);
}

static void send_attempt(struct scene *s, uint64_t fence)
{
    struct wire_attempt a = {.job = {{1}},
                             .fence = fence,
                             .kind = JOB_PING,
                             .tenant = {"acme", 4},
                             .payload = {(const uint8_t *)"x", 1}};
    links_send_attempt(s->links, s->session, &a);
}

/* -- stop -- */

static void links_stop_ends_an_attempt_that_runs(void **state)
{
    struct scene s;
    (void)state;
    open_scene(&s);
    send_attempt(&s, 1);
    send_attempt(&s, 2);
    UNTIL(&s, s.begun == 2);
    links_send_stop(s.links, s.session, 2);
    UNTIL(&s, s.outcomes[2]);
    assert_int_equal(s.outcomes[2], OUTCOME_CANCELLED);
    assert_int_equal(s.cancelled, 1);
    end_attempt(&s, 2, OUTCOME_DONE); /* too late */
    end_attempt(&s, 1, OUTCOME_DONE);
    UNTIL(&s, s.outcomes[1]);
    turns(&s, 10);
    assert_int_equal(s.outcomes[1], OUTCOME_DONE);
    assert_int_equal(s.outcomes[2], OUTCOME_CANCELLED);
    close_scene(&s);
}

static void links_stop_of_what_is_unknown_does_nothing(void **state)
{
    struct scene s;
    (void)state;
    open_scene(&s);
    links_send_stop(s.links, s.session, 5);
    links_send_stop(s.links, s.session + 1, 5);
    turns(&s, 20);
    send_attempt(&s, 5);
    UNTIL(&s, s.begun == 1);
    turns(&s, 10);
    assert_int_equal(s.outcome_count, 0);
    assert_int_equal(s.cancelled, 0);
    close_scene(&s);
}

static void links_stop_comes_after_the_attempts_that_wait_before_it(void **state)
{
    const uint64_t last = LIMIT_BATCH_ENTRIES + 88; /* in the second message */
    struct scene s;
    (void)state;
    open_scene(&s);
    for (uint64_t fence = 1; fence <= last; fence++)
        send_attempt(&s, fence);
    links_send_stop(s.links, s.session, last);
    links_send_stop(s.links, s.session, 1);
    UNTIL(&s, s.outcome_count == 2);
    assert_int_equal(s.outcomes[1], OUTCOME_CANCELLED);
    assert_int_equal(s.outcomes[last], OUTCOME_CANCELLED);
    turns(&s, 10);
    assert_int_equal(s.outcome_count, 2);
    assert_int_equal(s.begun, last);
    close_scene(&s);
}

/* What it came to stands, although nobody has settled it yet. */
static void links_stop_leaves_the_outcome_of_an_attempt_that_has_ended(void **state)
{
    struct scene s;
    (void)state;
    open_scene(&s);
    s.settles = false;
    send_attempt(&s, 1);
    UNTIL(&s, s.begun == 1);
    end_attempt(&s, 1, OUTCOME_FAILED);
    UNTIL(&s, s.outcome_count == 1);
    links_send_stop(s.links, s.session, 1);
    UNTIL(&s, s.outcome_count == 2); /* sent again, since it was not settled */
    assert_int_equal(s.outcomes[1], OUTCOME_FAILED);
    assert_int_equal(s.cancelled, 0);
    close_scene(&s);
}

static void links_cancel_ends_an_attempt_in_silence(void **state)
{
    struct scene s;
    (void)state;
    open_scene(&s);
    send_attempt(&s, 1);
    links_send_cancel(s.links, s.session, 1); /* also one that is in the same message */
    UNTIL(&s, s.cancelled == 1);
    turns(&s, 20);
    assert_int_equal(s.begun, 1);
    assert_int_equal(s.outcome_count, 0);
    close_scene(&s);
}

/* -- drain -- */

static void links_drain_knows_the_workers_that_are_here(void **state)
{
    struct scene s;
    (void)state;
    open_scene(&s);
    assert_int_equal(links_drain(s.links, "wrk_of_nobody"), PB_E_NOT_FOUND);
    assert_int_equal(links_drain(s.links, ""), PB_E_NOT_FOUND);
    turns(&s, 10);
    assert_false(link_is_draining(s.link));
    uint64_t began_ms = clock_mono_ms();
    assert_int_equal(links_drain(s.links, s.worker_id), PB_OK);
    assert_int_equal(links_drain(s.links, s.worker_id), PB_OK);
    UNTIL(&s, link_is_drained(s.link));
    assert_true(clock_mono_ms() < began_ms + LEASE_MS / 2); /* it was answered */
    assert_true(s.draining_seen);
    assert_int_equal(links_drain(s.links, s.worker_id), PB_OK); /* it is about it */
    link_close(s.link);
    s.link = NULL;
    UNTIL(&s, s.left);
    assert_true(s.goodbye);
    assert_int_equal(links_drain(s.links, s.worker_id), PB_E_NOT_FOUND);
    close_scene(&s);
}

static void links_drain_lets_a_worker_finish(void **state)
{
    struct scene s;
    (void)state;
    open_scene(&s);
    send_attempt(&s, 1);
    UNTIL(&s, s.begun == 1);
    assert_int_equal(links_drain(s.links, s.worker_id), PB_OK);
    UNTIL(&s, s.draining_seen);
    turns(&s, 20);
    assert_false(link_is_drained(s.link));
    s.settles = false;
    end_attempt(&s, 1, OUTCOME_DONE);
    UNTIL(&s, s.outcomes[1]);
    turns(&s, 20);
    assert_false(link_is_drained(s.link)); /* nobody has settled it */
    s.settles = true;
    UNTIL(&s, link_is_drained(s.link));
    assert_int_equal(s.outcomes[1], OUTCOME_DONE);
    close_scene(&s);
}

/* The worker holds nothing and would like to go; what was sent before the broker could know is not lost. */
static void link_drain_waits_for_what_is_on_its_way(void **state)
{
    struct scene s;
    (void)state;
    open_scene(&s);
    link_drain(s.link);
    link_tick(s.link, clock_mono_ms());
    assert_false(link_is_drained(s.link));
    send_attempt(&s, 1);
    send_attempt(&s, 2);
    links_flush(s.links, clock_mono_ms()); /* before it takes the report in */
    assert_false(s.draining_seen);
    UNTIL(&s, link_is_drained(s.link));
    assert_int_equal(s.outcomes[1], OUTCOME_RETURNED);
    assert_int_equal(s.outcomes[2], OUTCOME_RETURNED);
    assert_int_equal(s.begun, 0);
    link_close(s.link);
    s.link = NULL;
    UNTIL(&s, s.left);
    assert_true(s.goodbye);
    close_scene(&s);
}

static void links_gives_back_what_comes_after_the_drain(void **state)
{
    struct scene s;
    (void)state;
    open_scene(&s);
    send_attempt(&s, 1);
    UNTIL(&s, s.begun == 1); /* keeps it here */
    link_drain(s.link);
    UNTIL(&s, s.draining_seen);
    send_attempt(&s, 2);
    assert_int_equal(s.undelivered, 0); /* not from within */
    UNTIL(&s, s.undelivered == 1);
    assert_int_equal(s.undelivered_fence, 2);
    turns(&s, 20);
    assert_int_equal(s.outcome_count, 0);
    end_attempt(&s, 1, OUTCOME_DONE);
    UNTIL(&s, link_is_drained(s.link));
    close_scene(&s);
}

/* Whoever waits behind a full pipe goes back as well: the count that the worker is told must be final. */
static void links_gives_back_what_had_not_left_at_the_drain(void **state)
{
    struct scene s;
    (void)state;
    open_scene(&s);
    link_drain(s.link);
    link_tick(s.link, clock_mono_ms());
    send_attempt(&s, 1); /* queued, and not flushed when the report comes */
    for (int waited_ms = 0; !s.draining_seen && waited_ms < PATIENCE_MS; waited_ms += 2) {
        poll(NULL, 0, 2);
        links_turn(s.links, clock_mono_ms());
    }
    UNTIL(&s, s.undelivered == 1);
    UNTIL(&s, link_is_drained(s.link));
    assert_int_equal(s.outcome_count, 0);
    close_scene(&s);
}

static void links_left_tells_a_goodbye_from_a_death(void **state)
{
    struct scene s;
    (void)state;
    open_scene(&s);
    send_attempt(&s, 1);
    UNTIL(&s, s.begun == 1);
    link_drain(s.link);
    UNTIL(&s, s.draining_seen);
    link_close(s.link); /* told twice */
    s.link = NULL;
    UNTIL(&s, s.left);
    assert_true(s.goodbye);
    close_scene(&s);
}

static void link_drain_waits_no_longer_than_a_lease(void **state)
{
    struct scene s;
    (void)state;
    open_scene(&s);
    link_drain(s.link);
    uint64_t began_ms = clock_mono_ms();
    while (!link_is_drained(s.link) && clock_mono_ms() < began_ms + 2 * PATIENCE_MS) {
        poll(NULL, 0, 5);
        turn_worker(&s); /* the broker is silent */
    }
    assert_in_range(clock_mono_ms() - began_ms, LEASE_MS / 2, LEASE_MS + 1000);
    close_scene(&s);
}

/* -- time -- */

static void links_keep_an_idle_session(void **state)
{
    struct scene s;
    (void)state;
    open_scene(&s);
    for (uint64_t until_ms = clock_mono_ms() + LEASE_MS + LEASE_MS / 2; clock_mono_ms() < until_ms;)
        turn(&s);
    assert_false(s.left);
    assert_true(link_has_joined(s.link));
    send_attempt(&s, 1);
    UNTIL(&s, s.begun == 1);
    close_scene(&s);
}

static void links_end_a_session_that_is_silent_for_a_lease(void **state)
{
    struct scene s;
    (void)state;
    open_scene(&s);
    uint64_t began_ms = clock_mono_ms();
    while (!s.left && clock_mono_ms() < began_ms + PATIENCE_MS) {
        poll(NULL, 0, 5);
        turn_broker(&s);
    }
    assert_in_range(clock_mono_ms() - began_ms, LEASE_MS / 2, LEASE_MS + 500);
    assert_true(s.left && !s.goodbye);
    close_scene(&s);
}

static int begin(void **state)
{
    (void)state;
    return sodium_init() < 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(links_stop_ends_an_attempt_that_runs),
        cmocka_unit_test(links_stop_of_what_is_unknown_does_nothing),
        cmocka_unit_test(links_stop_comes_after_the_attempts_that_wait_before_it),
        cmocka_unit_test(links_stop_leaves_the_outcome_of_an_attempt_that_has_ended),
        cmocka_unit_test(links_cancel_ends_an_attempt_in_silence),
        cmocka_unit_test(links_drain_knows_the_workers_that_are_here),
        cmocka_unit_test(links_drain_lets_a_worker_finish),
        cmocka_unit_test(link_drain_waits_for_what_is_on_its_way),
        cmocka_unit_test(links_gives_back_what_comes_after_the_drain),
        cmocka_unit_test(links_gives_back_what_had_not_left_at_the_drain),
        cmocka_unit_test(links_left_tells_a_goodbye_from_a_death),
        cmocka_unit_test(link_drain_waits_no_longer_than_a_lease),
        cmocka_unit_test(links_keep_an_idle_session),
        cmocka_unit_test(links_end_a_session_that_is_silent_for_a_lease),
    };
    return cmocka_run_group_tests(tests, begin, NULL);
}
