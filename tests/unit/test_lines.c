/* Lines, gates and turns, against a naive model: who is let through when, and that nobody is forgotten. */
#include "broker/board/lines.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define JOBS  400
#define NAMES 5

struct waiter {
    uint64_t names[KEYS];
    enum job_priority priority;
    bool entered, ready, running;
    uint32_t slot;
};

struct model {
    struct slots slots;
    struct lines *lines;
    struct waiter jobs[JOBS];
    struct board_limit limits[KEYS][NAMES];
    bool paused[KEYS][NAMES];
    uint64_t debt_us[KEYS][NAMES], at_ms[KEYS][NAMES];
    unsigned seed;
    uint64_t now_ms;
};

static const struct board_limit unlimited[KEYS];

static unsigned any(struct model *m, unsigned n)
{
    return (unsigned)rand_r(&m->seed) % n;
}

static void model_open(struct model *m, unsigned seed)
{
    memset(m, 0, sizeof *m);
    m->seed = seed;
    m->now_ms = 1000;
    assert_int_equal(slots_init(&m->slots, JOBS), PB_OK);
    assert_int_equal(lines_new(&m->slots, unlimited, &m->lines), PB_OK);
}

static void model_close(struct model *m)
{
    lines_free(m->lines);
    slots_fini(&m->slots);
}

static void enter(struct model *m, unsigned n)
{
    struct waiter *j = &m->jobs[n];
    struct pb_id id = {.bytes = {1, [14] = (uint8_t)(n >> 8), [15] = (uint8_t)n}};
    assert_int_equal(slots_take(&m->slots, &id, &j->slot), PB_OK);
    assert_int_equal(
        lines_enter(m->lines, j->names, NULL, j->priority, true, &slot_at(&m->slots, j->slot)->line), PB_OK);
    j->entered = true;
}

static void push(struct model *m, unsigned n)
{
    m->jobs[n].ready = true;
    slots_set_state(&m->slots, m->jobs[n].slot, READY);
    lines_push(m->lines, m->jobs[n].slot);
}

static void go(struct model *m, unsigned n)
{
    struct waiter *j = &m->jobs[n];
    lines_leave(m->lines, slot_at(&m->slots, j->slot)->line);
    slots_give(&m->slots, j->slot);
    *j = (struct waiter){0};
}

static unsigned running_at(const struct model *m, int key, uint64_t name)
{
    unsigned n = 0;
    for (unsigned i = 0; i < JOBS; i++)
        n += m->jobs[i].running && m->jobs[i].names[key] == name;
    return n;
}

static bool is_open(struct model *m, int key, uint64_t name)
{
    const struct board_limit *l = &m->limits[key][name];
    uint64_t earned_us = (m->now_ms - m->at_ms[key][name]) * 1000, *debt_us = &m->debt_us[key][name];
    *debt_us = *debt_us > earned_us ? *debt_us - earned_us : 0;
    m->at_ms[key][name] = m->now_ms;
    return !m->paused[key][name] && (!l->concurrency || running_at(m, key, name) < l->concurrency) &&
           *debt_us + l->interval_us <= (uint64_t)l->interval_us * (l->burst ? l->burst : 1);
}

static bool may_go(struct model *m, const struct waiter *j)
{
    bool open = j->ready;
    for (int k = 0; k < KEYS && open; k++)
        open = !j->names[k] || is_open(m, k, j->names[k]);
    return open;
}

static unsigned job_of(const struct model *m, uint32_t slot)
{
    for (unsigned i = 0; i < JOBS; i++)
        if (m->jobs[i].entered && m->jobs[i].slot == slot)
            return i;
    fail();
    return 0;
}

/* Whoever is next may go, and has the highest priority of all that may; when nobody is, nobody may. */
static void take_next(struct model *m)
{
    enum job_priority best = PRIORITY_LOW + 1;
    for (unsigned i = 0; i < JOBS; i++)
        if (may_go(m, &m->jobs[i]) && m->jobs[i].priority < best)
            best = m->jobs[i].priority;
    uint32_t slot = lines_next(m->lines, m->now_ms);
    if (slot == NONE) {
        assert_int_equal(best, PRIORITY_LOW + 1);
        return;
    }
    struct waiter *j = &m->jobs[job_of(m, slot)];
    assert_true(may_go(m, j));
    assert_int_equal(j->priority, best);
    j->ready = false;
    j->running = true;
    for (int k = 0; k < KEYS; k++)
        if (j->names[k])
            m->debt_us[k][j->names[k]] += m->limits[k][j->names[k]].interval_us;
}

static void change_gate(struct model *m)
{
    int key = (int)any(m, KEYS);
    uint64_t name = 1 + any(m, NAMES - 1);
    if (any(m, 2)) {
        m->paused[key][name] = !m->paused[key][name] && any(m, 2);
        assert_int_equal(lines_pause(m->lines, (enum board_key)key, name, m->paused[key][name]), PB_OK);
        return;
    }
    struct board_limit *l = &m->limits[key][name];
    *l = (struct board_limit){.interval_us = key == KEY_HOST ? 5000 + any(m, 50000) : 0,
                              .burst = any(m, 4),
                              .concurrency = key == KEY_HOST ? 0 : any(m, 8),
                              .weight = any(m, 4)};
    assert_int_equal(lines_limit(m->lines, (enum board_key)key, name, l), PB_OK);
}

static void come(struct model *m, unsigned n)
{
    struct waiter *j = &m->jobs[n];
    for (int k = 0; k < KEYS; k++)
        j->names[k] = k == KEY_TENANT ? 1 + any(m, NAMES - 1) : any(m, NAMES);
    j->priority = (enum job_priority)(1 + any(m, 3));
    enter(m, n);
    push(m, n);
}

static void leave(struct model *m, unsigned n)
{
    struct waiter *j = &m->jobs[n];
    if (j->ready)
        lines_remove(m->lines, j->slot);
    if (j->running)
        lines_return(m->lines, slot_at(&m->slots, j->slot)->line);
    go(m, n);
}

static void lines_agree_with_a_naive_model(void **state)
{
    (void)state;
    static struct model m;
    for (unsigned seed = 1; seed <= 8; seed++) {
        model_open(&m, seed);
        for (int round = 0; round < 6000; round++) {
            unsigned n = any(&m, JOBS);
            if (!m.jobs[n].entered)
                come(&m, n);
            else if (any(&m, 2))
                leave(&m, n);
            if (any(&m, 20) == 0)
                change_gate(&m);
            m.now_ms += any(&m, 3);
            for (unsigned k = any(&m, 4); k; k--)
                take_next(&m);
        }
        for (unsigned n = 0; n < JOBS; n++)
            if (m.jobs[n].entered)
                leave(&m, n);
        model_close(&m);
    }
}

/* -- turns -- */

static void fill(struct model *m, unsigned from, unsigned count, uint64_t tenant)
{
    for (unsigned n = from; n < from + count; n++) {
        m->jobs[n] = (struct waiter){.names = {tenant}, .priority = PRIORITY_NORMAL};
        enter(m, n);
        push(m, n);
    }
}

static uint64_t next_tenant(struct model *m)
{
    uint32_t slot = lines_next(m->lines, m->now_ms);
    return slot == NONE ? 0 : m->jobs[job_of(m, slot)].names[KEY_TENANT];
}

static void lines_give_tenants_turns(void **state)
{
    (void)state;
    static struct model m;
    model_open(&m, 1);
    fill(&m, 0, 100, 1);
    fill(&m, 100, 3, 2);
    fill(&m, 110, 3, 3);
    unsigned turns[4] = {0};
    for (int i = 0; i < 9; i++)
        turns[next_tenant(&m)]++;
    assert_int_equal(turns[1], 3);
    assert_int_equal(turns[2], 3);
    assert_int_equal(turns[3], 3);
    model_close(&m);
}

static void lines_give_turns_by_weight(void **state)
{
    (void)state;
    static struct model m;
    const struct board_limit thrice = {.weight = 3};
    model_open(&m, 1);
    assert_int_equal(lines_limit(m.lines, KEY_TENANT, 2, &thrice), PB_OK);
    fill(&m, 0, 100, 1);
    fill(&m, 100, 100, 2);
    unsigned turns[3] = {0};
    for (int i = 0; i < 80; i++)
        turns[next_tenant(&m)]++;
    assert_int_equal(turns[1], 20);
    assert_int_equal(turns[2], 60);
    model_close(&m);
}

static void lines_give_turns_at_a_gate_by_tenant_too(void **state)
{
    (void)state;
    static struct model m;
    const struct board_limit one = {.concurrency = 1};
    model_open(&m, 1);
    assert_int_equal(lines_limit(m.lines, KEY_TYPE, 1, &one), PB_OK);
    for (unsigned n = 0; n < 300; n++) { /* a tenant's crowd, of ten hosts, and another's one job */
        m.jobs[n] = (struct waiter){.names = {n < 299 ? 1 : 2, 1, 1 + n % 10}, .priority = PRIORITY_NORMAL};
        enter(&m, n);
        push(&m, n);
    }
    unsigned before = 0;
    for (uint32_t slot; (slot = lines_next(m.lines, m.now_ms)) != NONE; before++) {
        assert_int_equal(lines_next(m.lines, m.now_ms), NONE);
        if (m.jobs[job_of(&m, slot)].names[KEY_TENANT] == 2)
            break;
        lines_return(m.lines, slot_at(&m.slots, slot)->line);
    }
    assert_in_range(before, 0, 2);
    model_close(&m);
}

static void lines_tell_when_a_gate_opens(void **state)
{
    (void)state;
    static struct model m;
    const struct board_limit slow = {.interval_us = 250000};
    model_open(&m, 1);
    assert_int_equal(lines_limit(m.lines, KEY_TENANT, 1, &slow), PB_OK);
    fill(&m, 0, 3, 1);
    assert_int_equal(next_tenant(&m), 1);
    assert_int_equal(next_tenant(&m), 0);
    assert_int_equal(lines_due_ms(m.lines), 1250);
    m.now_ms = 1250;
    assert_int_equal(next_tenant(&m), 1);
    model_close(&m);
}

static void lines_forget_gates_that_nobody_needs(void **state)
{
    (void)state;
    static struct model m;
    model_open(&m, 1);
    fill(&m, 0, 1, 1);
    size_t bytes = lines_bytes(m.lines);
    leave(&m, 0);
    for (uint64_t tenant = 2; tenant < 100000; tenant++) {
        fill(&m, 0, 1, tenant);
        leave(&m, 0);
    }
    assert_int_equal(lines_bytes(m.lines), bytes);
    model_close(&m);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(lines_agree_with_a_naive_model),
        cmocka_unit_test(lines_give_tenants_turns),
        cmocka_unit_test(lines_give_turns_by_weight),
        cmocka_unit_test(lines_give_turns_at_a_gate_by_tenant_too),
        cmocka_unit_test(lines_tell_when_a_gate_opens),
        cmocka_unit_test(lines_forget_gates_that_nobody_needs),
    };
    return cmocka_run_group_tests_name("lines", tests, NULL, NULL);
}
