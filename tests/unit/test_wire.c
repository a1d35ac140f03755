#include "common/wire.h"

#include "common/limits.h"
#include "common/message.h"
#include "tests/unit/scratch.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
/* cmocka wants setjmp and stdarg before it */
#include <cmocka.h>

#define TEXT(s)  ((struct wire_text){(s), sizeof(s) - 1})
#define BYTES(s) ((struct wire_bytes){(const uint8_t *)(s), sizeof(s) - 1})

static const struct pb_id job_id = {{0xaa, 1}}, integration_id = {{0xbb, 2}};

/* -- one example of each message: the sum of all fields -- */

static struct wire_hello hello_example(void)
{
    struct wire_hello h = {.version = 1};
    memset(h.session, 0x11, sizeof h.session);
    memset(h.key, 0x22, sizeof h.key);
    memset(h.mac, 0x33, sizeof h.mac);
    return h;
}

static struct wire_sealed sealed_example(void)
{
    struct wire_sealed s = {.counter = UINT64_MAX, .box = BYTES("0123456789abcdef")};
    memset(s.session, 0x44, sizeof s.session);
    return s;
}

static struct wire_attempt attempt_example(void)
{
    return (struct wire_attempt){.job = job_id,
                                 .fence = INT64_MAX,
                                 .kind = JOB_VALIDATE,
                                 .tenant = TEXT("acme"),
                                 .deadline_ms = 60000,
                                 .attempt = 3,
                                 .integration = integration_id,
                                 .type = TEXT("stripe"),
                                 .flags = WIRE_HOLD_FLIPS | WIRE_ALONE,
                                 .payload = BYTES("pay\0load")};
}

static struct wire_outcome outcome_example(void)
{
    return (struct wire_outcome){
        .job = job_id,
        .fence = 7,
        .outcome = OUTCOME_RETRY,
        .code = TEXT("rate_limited"),
        .retry_after_ms = INT32_MAX,
        .revision = -5,
        .result = TEXT("{\"code\":\"rate_limited\"}"),
        .change = {.kind = CHANGE_REPLACE, .if_generation = INT64_MIN, .doc = BYTES("\x80")}};
}

static pb_err pack_hello(struct buf *out)
{
    struct wire_hello h = hello_example();
    return wire_pack_hello(&h, out);
}

static pb_err pack_welcome(struct buf *out)
{
    struct wire_welcome w = {.version = 1};
    memset(w.key, 0x55, sizeof w.key);
    memset(w.mac, 0x66, sizeof w.mac);
    return wire_pack_welcome(&w, out);
}

static pb_err pack_refused(struct buf *out)
{
    return wire_pack_refused("no", out);
}

static pb_err pack_sealed(struct buf *out)
{
    struct wire_sealed s = sealed_example();
    return wire_pack_sealed(&s, out);
}

static pb_err pack_join(struct buf *out)
{
    struct wire_type types[] = {{TEXT("slack"), TEXT("00ff")}, {TEXT("stripe"), TEXT("")}};
    struct wire_held held[] = {{job_id, 1}, {integration_id, INT64_MAX}};
    struct wire_join j = {.name = TEXT("worker-1"),
                          .version = TEXT("0.1.0"),
                          .capacity = 64,
                          .types = types,
                          .type_count = 2,
                          .held = held,
                          .held_count = 2};
    memset(j.seal_key, 0x77, sizeof j.seal_key);
    return wire_pack_join(&j, out);
}

static pb_err pack_joined(struct buf *out)
{
    struct wire_joined j = {.worker = TEXT("wrk_1"),
                            .jobs = TEXT("ipc:///run/x/jobs-1"),
                            .reports = TEXT(":7001"),
                            .store = TEXT("sqlite"),
                            .lease_ms = 10000,
                            .beat_ms = 2500,
                            .epoch = UINT32_MAX};
    return wire_pack_joined(&j, out);
}

static pb_err pack_jobs(struct buf *out)
{
    struct wire_attempt attempts[] = {attempt_example(), attempt_example()};
    uint64_t settled[] = {1, 2, 3}, cancel[] = {4}, stop[] = {5, INT64_MAX};
    attempts[1].payload = (struct wire_bytes){0};
    struct wire_jobs j = {.attempts = attempts,
                          .attempt_count = 2,
                          .settled = settled,
                          .settled_count = 3,
                          .cancel = cancel,
                          .cancel_count = 1,
                          .stop = stop,
                          .stop_count = 2,
                          .list = true,
                          .drain = true,
                          .has_sent = true,
                          .sent = UINT64_MAX};
    return wire_pack_jobs(&j, out);
}

static pb_err pack_report(struct buf *out)
{
    struct wire_outcome outcomes[] = {outcome_example()};
    struct wire_held list[] = {{job_id, 9}};
    struct wire_report r = {.received = UINT64_MAX,
                            .free = LIMIT_CAPACITY,
                            .running = 2,
                            .running_sum = UINT64_MAX - 1,
                            .draining = true,
                            .outcomes = outcomes,
                            .outcome_count = 1,
                            .list = list,
                            .list_count = 1,
                            .has_list = true};
    return wire_pack_report(&r, out);
}

static const struct example {
    const char *name;
    enum wire_kind kind;
    pb_err (*pack)(struct buf *out);
} examples[] = {
    {"hello", WIRE_HELLO, pack_hello},       {"welcome", WIRE_WELCOME, pack_welcome},
    {"refused", WIRE_REFUSED, pack_refused}, {"restart", WIRE_RESTART, wire_pack_restart},
    {"sealed", WIRE_SEALED, pack_sealed},    {"join", WIRE_JOIN, pack_join},
    {"joined", WIRE_JOINED, pack_joined},    {"jobs", WIRE_JOBS, pack_jobs},
    {"report", WIRE_REPORT, pack_report},    {"leave", WIRE_LEAVE, wire_pack_leave},
};
#define EXAMPLES (sizeof examples / sizeof examples[0])

static struct buf packed(pb_err (*pack)(struct buf *out))
{
    struct buf b;
    buf_init(&b, LIMIT_MESSAGE_BYTES);
    assert_int_equal(pack(&b), PB_OK);
    return b;
}

/* Reads what pack() wrote; b holds the bytes that m points into. */
static struct wire_message there_and_back(pb_err (*pack)(struct buf *out), struct buf *b)
{
    struct wire_message m;
    *b = packed(pack);
    assert_int_equal(wire_read(b->data, b->len, &m), PB_OK);
    return m;
}

static void assert_text(struct wire_text t, const char *expected)
{
    assert_int_equal(t.len, strlen(expected));
    assert_memory_equal(t.data, expected, t.len);
}

static void assert_bytes(struct wire_bytes t, struct wire_bytes expected)
{
    assert_int_equal(t.len, expected.len);
    assert_memory_equal(t.data, expected.data, t.len);
}

static void wire_reads_every_kind_that_it_writes(void **state)
{
    (void)state;
    for (size_t i = 0; i < EXAMPLES; i++) {
        struct buf b;
        struct wire_message m = there_and_back(examples[i].pack, &b);
        assert_int_equal(m.kind, examples[i].kind);
        assert_int_equal(m.version, WIRE_VERSION);
        wire_fini(&m);
        wire_fini(&m); /* a zeroed one */
        buf_fini(&b);
    }
}

static void wire_kinds_keep_their_numbers(void **state)
{
    (void)state;
    for (size_t i = 0; i < EXAMPLES; i++) {
        struct buf b = packed(examples[i].pack);
        assert_int_equal(b.data[0], 0x93);
        assert_int_equal(b.data[1], 1);
        assert_int_equal(b.data[2], i + 1);
        buf_fini(&b);
    }
}

static void wire_hello_keeps_every_field(void **state)
{
    struct buf b;
    struct wire_hello h = hello_example();
    struct wire_message m = there_and_back(pack_hello, &b);
    (void)state;
    assert_int_equal(m.hello.version, 1);
    assert_memory_equal(m.hello.session, h.session, sizeof h.session);
    assert_memory_equal(m.hello.key, h.key, sizeof h.key);
    assert_memory_equal(m.hello.mac, h.mac, sizeof h.mac);
    wire_fini(&m);
    buf_fini(&b);
    m = there_and_back(pack_welcome, &b);
    assert_int_equal(m.welcome.version, 1);
    assert_int_equal(m.welcome.key[31], 0x55);
    assert_int_equal(m.welcome.mac[31], 0x66);
    wire_fini(&m);
    buf_fini(&b);
    m = there_and_back(pack_refused, &b);
    assert_text(m.refused, "no");
    wire_fini(&m);
    buf_fini(&b);
}

static void wire_sealed_keeps_every_field(void **state)
{
    struct buf b;
    struct wire_sealed s = sealed_example();
    struct wire_message m = there_and_back(pack_sealed, &b);
    (void)state;
    assert_memory_equal(m.sealed.session, s.session, sizeof s.session);
    assert_true(m.sealed.counter == UINT64_MAX);
    assert_bytes(m.sealed.box, s.box);
    assert_in_range((uintptr_t)m.sealed.box.data, (uintptr_t)b.data,
                    (uintptr_t)(b.data + b.len)); /* not copied */
    wire_fini(&m);
    buf_fini(&b);
}

static void wire_join_keeps_every_field(void **state)
{
    struct buf b;
    struct wire_message m = there_and_back(pack_join, &b);
    const struct wire_join *j = &m.join;
    (void)state;
    assert_text(j->name, "worker-1");
    assert_text(j->version, "0.1.0");
    assert_int_equal(j->capacity, 64);
    assert_int_equal(j->seal_key[31], 0x77);
    assert_int_equal(j->type_count, 2);
    assert_text(j->types[0].type, "slack");
    assert_text(j->types[0].hash, "00ff");
    assert_text(j->types[1].type, "stripe");
    assert_text(j->types[1].hash, "");
    assert_int_equal(j->held_count, 2);
    assert_true(id_equal(&j->held[0].job, &job_id));
    assert_int_equal(j->held[0].fence, 1);
    assert_true(id_equal(&j->held[1].job, &integration_id));
    assert_int_equal(j->held[1].fence, INT64_MAX);
    wire_fini(&m);
    buf_fini(&b);
}

static void wire_joined_keeps_every_field(void **state)
{
    struct buf b;
    struct wire_message m = there_and_back(pack_joined, &b);
    (void)state;
    assert_text(m.joined.worker, "wrk_1");
    assert_text(m.joined.jobs, "ipc:///run/x/jobs-1");
    assert_text(m.joined.reports, ":7001");
    assert_text(m.joined.store, "sqlite");
    assert_int_equal(m.joined.lease_ms, 10000);
    assert_int_equal(m.joined.beat_ms, 2500);
    assert_int_equal(m.joined.epoch, UINT32_MAX);
    wire_fini(&m);
    buf_fini(&b);
}

static void wire_jobs_keeps_every_field(void **state)
{
    struct buf b;
    struct wire_message m = there_and_back(pack_jobs, &b);
    const struct wire_attempt *a = m.jobs.attempts, expected = attempt_example();
    (void)state;
    assert_int_equal(m.jobs.attempt_count, 2);
    assert_true(id_equal(&a->job, &job_id));
    assert_int_equal(a->fence, INT64_MAX);
    assert_int_equal(a->kind, JOB_VALIDATE);
    assert_text(a->tenant, "acme");
    assert_int_equal(a->deadline_ms, 60000);
    assert_int_equal(a->attempt, 3);
    assert_true(id_equal(&a->integration, &integration_id));
    assert_text(a->type, "stripe");
    assert_int_equal(a->flags, WIRE_HOLD_FLIPS | WIRE_ALONE);
    assert_bytes(a->payload, expected.payload);
    assert_int_equal(a[1].payload.len, 0);
    assert_int_equal(m.jobs.settled_count, 3);
    assert_int_equal(m.jobs.settled[2], 3);
    assert_int_equal(m.jobs.cancel_count, 1);
    assert_int_equal(m.jobs.cancel[0], 4);
    assert_int_equal(m.jobs.stop_count, 2);
    assert_int_equal(m.jobs.stop[0], 5);
    assert_int_equal(m.jobs.stop[1], INT64_MAX);
    assert_true(m.jobs.list);
    assert_true(m.jobs.drain);
    assert_true(m.jobs.has_sent && m.jobs.sent == UINT64_MAX);
    wire_fini(&m);
    buf_fini(&b);
}

static void wire_report_keeps_every_field(void **state)
{
    struct buf b;
    struct wire_message m = there_and_back(pack_report, &b);
    const struct wire_report *r = &m.report;
    const struct wire_outcome *o = r->outcomes, expected = outcome_example();
    (void)state;
    assert_true(r->received == UINT64_MAX);
    assert_int_equal(r->free, LIMIT_CAPACITY);
    assert_int_equal(r->running, 2);
    assert_true(r->running_sum == UINT64_MAX - 1);
    assert_true(r->draining);
    assert_int_equal(r->outcome_count, 1);
    assert_true(id_equal(&o->job, &job_id));
    assert_int_equal(o->fence, 7);
    assert_int_equal(o->outcome, OUTCOME_RETRY);
    assert_text(o->code, "rate_limited");
    assert_int_equal(o->retry_after_ms, INT32_MAX);
    assert_int_equal(o->revision, -5);
    assert_text(o->result, "{\"code\":\"rate_limited\"}");
    assert_int_equal(o->change.kind, CHANGE_REPLACE);
    assert_true(o->change.if_generation == INT64_MIN);
    assert_bytes(o->change.doc, expected.change.doc);
    assert_true(r->has_list);
    assert_int_equal(r->list_count, 1);
    assert_int_equal(r->list[0].fence, 9);
    wire_fini(&m);
    buf_fini(&b);
}

/* A list that was not asked for is not the same as an empty one: the empty one says that nothing is held. */
static void wire_report_tells_no_list_from_an_empty_one(void **state)
{
    (void)state;
    for (int asked = 0; asked < 2; asked++) {
        struct wire_report r = {.has_list = asked};
        struct wire_message m;
        struct buf b;
        buf_init(&b, 1000);
        assert_int_equal(wire_pack_report(&r, &b), PB_OK);
        assert_int_equal(wire_read(b.data, b.len, &m), PB_OK);
        assert_int_equal(m.report.has_list, asked);
        assert_int_equal(m.report.list_count, 0);
        wire_fini(&m);
        buf_fini(&b);
    }
}

static void wire_jobs_without_anything_is_a_ping(void **state)
{
    struct wire_jobs j = {0};
    struct wire_message m;
    struct buf b;
    (void)state;
    buf_init(&b, 1000);
    assert_int_equal(wire_pack_jobs(&j, &b), PB_OK);
    assert_int_equal(wire_read(b.data, b.len, &m), PB_OK);
    assert_int_equal(m.kind, WIRE_JOBS);
    assert_int_equal(m.jobs.attempt_count + m.jobs.settled_count, 0);
    assert_int_equal(m.jobs.cancel_count + m.jobs.stop_count, 0);
    assert_false(m.jobs.list || m.jobs.drain || m.jobs.has_sent);
    wire_fini(&m);
    buf_fini(&b);
}

/* A worker that has received nothing must be able to hear that nothing was sent. */
static void wire_jobs_tells_sent_nothing_from_not_said(void **state)
{
    struct wire_jobs j = {.has_sent = true};
    struct wire_message m;
    struct buf b;
    (void)state;
    buf_init(&b, 1000);
    assert_int_equal(wire_pack_jobs(&j, &b), PB_OK);
    assert_int_equal(wire_read(b.data, b.len, &m), PB_OK);
    assert_true(m.jobs.has_sent && m.jobs.sent == 0);
    wire_fini(&m);
    buf_fini(&b);
}

static void wire_setup_keeps_every_field(void **state)
{
    struct wire_setup s = {.name = TEXT("My shop"), .sealed = BYTES("sealed\0box")}, back;
    struct buf b;
    (void)state;
    buf_init(&b, 1000);
    assert_int_equal(wire_pack_setup(&s, &b), PB_OK);
    assert_int_equal(wire_unpack_setup((struct wire_bytes){b.data, b.len}, &back), PB_OK);
    assert_text(back.name, "My shop");
    assert_bytes(back.sealed, s.sealed);
    for (size_t len = 0; len < b.len; len++)
        assert_int_equal(wire_unpack_setup((struct wire_bytes){b.data, len}, &back), PB_E_INVALID);
    buf_fini(&b);
}

static void wire_event_keeps_every_field(void **state)
{
    struct wire_event e = {.event_type = TEXT("invoice.paid"), .lines = true, .payload = BYTES("{}\n\0\xff")},
                      back;
    struct buf b;
    (void)state;
    buf_init(&b, 1000);
    assert_int_equal(wire_pack_event(&e, &b), PB_OK);
    assert_int_equal(wire_unpack_event((struct wire_bytes){b.data, b.len}, &back), PB_OK);
    assert_text(back.event_type, "invoice.paid");
    assert_true(back.lines);
    assert_bytes(back.payload, e.payload);
    for (size_t len = 0; len < b.len; len++)
        assert_int_equal(wire_unpack_event((struct wire_bytes){b.data, len}, &back), PB_E_INVALID);
    buf_fini(&b);
    buf_init(&b, 20);
    assert_int_equal(wire_pack_event(&e, &b), PB_E_LIMIT);
    buf_fini(&b);
}

static void wire_pack_says_when_the_buffer_is_too_small(void **state)
{
    (void)state;
    for (size_t i = 0; i < EXAMPLES; i++) {
        struct buf whole = packed(examples[i].pack), b;
        buf_init(&b, whole.len - 1);
        assert_int_equal(examples[i].pack(&b), PB_E_LIMIT);
        buf_fini(&b);
        buf_init(&b, whole.len);
        assert_int_equal(examples[i].pack(&b), PB_OK);
        buf_fini(&b);
        buf_fini(&whole);
    }
}

/* -- hostile input -- */

static void wire_read_refuses_every_beginning_of_every_message(void **state)
{
    struct wire_message m;
    (void)state;
    assert_int_equal(wire_read(NULL, 0, &m), PB_E_INVALID);
    for (size_t i = 0; i < EXAMPLES; i++) {
        struct buf b = packed(examples[i].pack);
        for (size_t len = 0; len < b.len; len++)
            assert_int_equal(wire_read(b.data, len, &m), PB_E_INVALID);
        buf_append(&b, "\xc0", 1); /* and one that goes on */
        assert_int_equal(wire_read(b.data, b.len, &m), PB_E_INVALID);
        buf_fini(&b);
    }
}

/* What a reader of the message would do with it: touch every byte that it points to. */
static size_t touch(const struct wire_message *m)
{
    size_t sum = 0;
    for (size_t i = 0; m->kind == WIRE_JOBS && i < m->jobs.attempt_count; i++) {
        const struct wire_attempt *a = &m->jobs.attempts[i];
        for (size_t k = 0; k < a->payload.len; k++)
            sum += a->payload.data[k];
        for (size_t k = 0; k < a->tenant.len; k++)
            sum += (unsigned char)a->tenant.data[k];
    }
    for (size_t i = 0; m->kind == WIRE_REPORT && i < m->report.outcome_count; i++) {
        const struct wire_outcome *o = &m->report.outcomes[i];
        for (size_t k = 0; k < o->change.doc.len; k++)
            sum += o->change.doc.data[k];
        for (size_t k = 0; k < o->result.len; k++)
            sum += (unsigned char)o->result.data[k];
    }
    for (size_t i = 0; m->kind == WIRE_JOIN && i < m->join.type_count; i++)
        sum += m->join.types[i].type.len ? (unsigned char)m->join.types[i].type.data[0] : 0;
    for (size_t k = 0; m->kind == WIRE_SEALED && k < m->sealed.box.len; k++)
        sum += m->sealed.box.data[k];
    return sum;
}

struct tally {
    size_t read, refused, sum;
};

static void read_any(void *arg, const uint8_t *bytes, size_t len)
{
    struct tally *t = arg;
    struct wire_message m;
    pb_err err = wire_read(bytes, len, &m);
    if (err != PB_OK && err != PB_E_INVALID && err != PB_E_LIMIT)
        fail_msg("%s", pb_err_name(err));
    t->refused += err != PB_OK;
    if (err)
        return;
    t->read++;
    t->sum += touch(&m);
    assert_true(m.version >= 1 && m.version <= 255);
    if (m.kind == WIRE_REPORT)
        assert_true(m.report.free <= LIMIT_CAPACITY);
    wire_fini(&m);
}

static void wire_read_survives_any_change_of_any_message(void **state)
{
    struct tally t = {0};
    (void)state;
    for (size_t i = 0; i < EXAMPLES; i++) {
        struct buf b = packed(examples[i].pack);
        scratch_fuzz(b.data, b.len, i, 5000, read_any, &t);
        buf_fini(&b);
    }
    assert_in_range(t.read, 1000, 45000);
    assert_in_range(t.refused, 1000, 50000);
}

static void setup_any(void *arg, const uint8_t *bytes, size_t len)
{
    struct tally *t = arg;
    struct wire_setup s;
    if (wire_unpack_setup((struct wire_bytes){bytes, len}, &s) != PB_OK)
        return;
    t->read++;
    for (size_t i = 0; i < s.sealed.len; i++)
        t->sum += s.sealed.data[i];
    for (size_t i = 0; i < s.name.len; i++)
        t->sum += (unsigned char)s.name.data[i];
    assert_true(s.name.len <= LIMIT_NAME_CHARS);
}

static void wire_unpack_setup_survives_any_change(void **state)
{
    struct wire_setup s = {.name = TEXT("My shop"), .sealed = BYTES("0123456789")};
    struct tally t = {0};
    struct buf b;
    (void)state;
    buf_init(&b, 1000);
    assert_int_equal(wire_pack_setup(&s, &b), PB_OK);
    scratch_fuzz(b.data, b.len, 5, 5000, setup_any, &t);
    assert_true(t.read > 100);
    buf_fini(&b);
}

static pb_err read_text(const char *bytes, size_t len)
{
    struct wire_message m;
    pb_err err = wire_read((const uint8_t *)bytes, len, &m);
    if (!err)
        wire_fini(&m);
    return err;
}
#define READ(text) read_text(text, sizeof(text) - 1)

static void wire_read_refuses_what_is_no_message(void **state)
{
    (void)state;
    assert_int_equal(READ("\x93\x01\x04\x80"), PB_OK);
    assert_int_equal(READ("\xc0"), PB_E_INVALID);
    assert_int_equal(READ("\x92\x01\x04"), PB_E_INVALID);
    assert_int_equal(READ("\x94\x01\x04\x80\x80"), PB_E_INVALID);
    assert_int_equal(READ("\x93\x00\x04\x80"), PB_E_INVALID); /* no such version */
    assert_int_equal(READ("\x93\xcd\x01\x00\x04\x80"), PB_E_INVALID);
    assert_int_equal(READ("\x93\xff\x04\x80"), PB_E_INVALID);
    assert_int_equal(READ("\x93\x01\x00\x80"), PB_E_INVALID); /* no such kind */
    assert_int_equal(READ("\x93\x01\x0b\x80"), PB_E_INVALID);
    assert_int_equal(READ("\x93\x01\xff\x80"), PB_E_INVALID);
    assert_int_equal(READ("\x93\x01\x04\x90"), PB_E_INVALID); /* the body is no map */
    assert_int_equal(READ("\x93\x01\x0a\xc0"), PB_E_INVALID);
    assert_int_equal(READ("\x93\x01\x08\x90"), PB_E_INVALID);
    assert_int_equal(READ("\x93\x01\x09\xc0"), PB_E_INVALID);
    assert_int_equal(READ("\x93\x01\x01\x80"), PB_E_INVALID); /* keys that are missing */
    assert_int_equal(READ("\xdd\xff\xff\xff\xff"), PB_E_INVALID);
}

static void wire_read_refuses_jobs_that_say_sent_or_stop_in_another_form(void **state)
{
    (void)state;
    assert_int_equal(READ("\x93\x01\x08\x80"), PB_OK);
    assert_int_equal(READ("\x93\x01\x08\x82\xa4sent\x05\xa4stop\x91\x05"), PB_OK);
    assert_int_equal(READ("\x93\x01\x08\x81\xa4sent\xff"), PB_E_INVALID);
    assert_int_equal(READ("\x93\x01\x08\x81\xa4stop\x05"), PB_E_INVALID);
    assert_int_equal(READ("\x93\x01\x08\x81\xa4stop\x91\xff"), PB_E_INVALID);
    assert_int_equal(READ("\x93\x01\x08\x81\xa4stop\x91\xcf\x80\0\0\0\0\0\0\0"), PB_E_INVALID);
}

static void wire_read_takes_later_versions_and_passes_over_unknown_keys(void **state)
{
    (void)state;
    assert_int_equal(READ("\x93\x02\x04\x80"), PB_OK);
    assert_int_equal(READ("\x93\xcc\xff\x0a\x81\xa5"
                          "later\x93\x01\x02\x80"),
                     PB_OK);
    assert_int_equal(READ("\x93\x01\x03\x82\xa6reason\xa2no\xa4more\xc3"), PB_OK);
    assert_int_equal(READ("\x93\x01\x03\x82\xa6reason\xa2no\xa6reason\xa2no"), PB_E_INVALID);
}

/* -- limits of the fields -- */

static pb_err report_with(void (*spoil)(struct wire_report *r, struct wire_outcome *o))
{
    struct wire_outcome o = outcome_example();
    struct wire_report r = {.outcomes = &o, .outcome_count = 1};
    struct buf b;
    spoil(&r, &o);
    buf_init(&b, 2 * LIMIT_MESSAGE_BYTES);
    assert_int_equal(wire_pack_report(&r, &b), PB_OK);
    pb_err err = read_text((const char *)b.data, b.len);
    buf_fini(&b);
    return err;
}

static void spoil_nothing(struct wire_report *r, struct wire_outcome *o)
{
    (void)r;
    (void)o;
}
static void spoil_free(struct wire_report *r, struct wire_outcome *o)
{
    (void)o;
    r->free = LIMIT_CAPACITY + 1;
}
static void spoil_fence(struct wire_report *r, struct wire_outcome *o)
{
    (void)r;
    o->fence = (uint64_t)INT64_MAX + 1;
}
static void spoil_outcome_low(struct wire_report *r, struct wire_outcome *o)
{
    (void)r;
    o->outcome = (enum job_outcome)0;
}
static void spoil_outcome_high(struct wire_report *r, struct wire_outcome *o)
{
    (void)r;
    o->outcome = (enum job_outcome)(OUTCOME_CANCELLED + 1);
}
static void spoil_retry(struct wire_report *r, struct wire_outcome *o)
{
    (void)r;
    o->retry_after_ms = (uint64_t)INT32_MAX + 1;
}
static void spoil_change(struct wire_report *r, struct wire_outcome *o)
{
    (void)r;
    o->change.kind = (enum store_change_kind)(CHANGE_DELETE + 1);
}
static void spoil_code(struct wire_report *r, struct wire_outcome *o)
{
    (void)r;
    o->code = TEXT("12345678901234567890123456789012345678901234567890123456789012345");
}

static void wire_read_refuses_numbers_and_texts_beyond_their_range(void **state)
{
    (void)state;
    assert_int_equal(report_with(spoil_nothing), PB_OK);
    assert_int_equal(report_with(spoil_free), PB_E_INVALID);
    assert_int_equal(report_with(spoil_fence), PB_E_INVALID);
    assert_int_equal(report_with(spoil_outcome_low), PB_E_INVALID);
    assert_int_equal(report_with(spoil_outcome_high), PB_E_INVALID);
    assert_int_equal(report_with(spoil_retry), PB_E_INVALID);
    assert_int_equal(report_with(spoil_change), PB_E_INVALID);
    assert_int_equal(report_with(spoil_code), PB_E_INVALID);
}

static pb_err jobs_with(size_t attempts, size_t fences)
{
    struct wire_jobs j = {.attempt_count = attempts, .settled_count = fences};
    struct buf b;
    j.attempts = calloc(attempts + 1, sizeof *j.attempts);
    j.settled = calloc(fences + 1, sizeof *j.settled);
    assert_true(j.attempts && j.settled);
    buf_init(&b, LIMIT_MESSAGE_BYTES);
    assert_int_equal(wire_pack_jobs(&j, &b), PB_OK);
    pb_err err = read_text((const char *)b.data, b.len);
    buf_fini(&b);
    free(j.attempts);
    free(j.settled);
    return err;
}

static void wire_read_takes_as_many_entries_as_a_batch_may_have(void **state)
{
    (void)state;
    assert_int_equal(jobs_with(LIMIT_BATCH_ENTRIES, LIMIT_BATCH_ENTRIES), PB_OK);
    assert_int_equal(jobs_with(LIMIT_BATCH_ENTRIES + 1, 0), PB_E_INVALID);
    assert_int_equal(jobs_with(0, LIMIT_BATCH_ENTRIES + 1), PB_E_INVALID);
}

/* A worker says hello again with everything that it holds and that is not settled: four times its capacity
 * and more. That must be readable. */
static void wire_join_can_list_all_that_a_worker_may_hold(void **state)
{
    const size_t count = 5 * LIMIT_CAPACITY;
    struct wire_join j = {.name = TEXT("w"), .version = TEXT("1"), .held_count = count};
    struct buf b;
    (void)state;
    j.held = calloc(count, sizeof *j.held);
    assert_non_null(j.held);
    buf_init(&b, LIMIT_MESSAGE_BYTES);
    assert_int_equal(wire_pack_join(&j, &b), PB_OK);
    assert_int_equal(read_text((const char *)b.data, b.len), PB_OK);
    buf_fini(&b);
    free(j.held);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(wire_reads_every_kind_that_it_writes),
        cmocka_unit_test(wire_kinds_keep_their_numbers),
        cmocka_unit_test(wire_hello_keeps_every_field),
        cmocka_unit_test(wire_sealed_keeps_every_field),
        cmocka_unit_test(wire_join_keeps_every_field),
        cmocka_unit_test(wire_joined_keeps_every_field),
        cmocka_unit_test(wire_jobs_keeps_every_field),
        cmocka_unit_test(wire_report_keeps_every_field),
        cmocka_unit_test(wire_report_tells_no_list_from_an_empty_one),
        cmocka_unit_test(wire_jobs_without_anything_is_a_ping),
        cmocka_unit_test(wire_jobs_tells_sent_nothing_from_not_said),
        cmocka_unit_test(wire_setup_keeps_every_field),
        cmocka_unit_test(wire_event_keeps_every_field),
        cmocka_unit_test(wire_pack_says_when_the_buffer_is_too_small),
        cmocka_unit_test(wire_read_refuses_every_beginning_of_every_message),
        cmocka_unit_test(wire_read_survives_any_change_of_any_message),
        cmocka_unit_test(wire_unpack_setup_survives_any_change),
        cmocka_unit_test(wire_read_refuses_what_is_no_message),
        cmocka_unit_test(wire_read_refuses_jobs_that_say_sent_or_stop_in_another_form),
        cmocka_unit_test(wire_read_takes_later_versions_and_passes_over_unknown_keys),
        cmocka_unit_test(wire_read_refuses_numbers_and_texts_beyond_their_range),
        cmocka_unit_test(wire_read_takes_as_many_entries_as_a_batch_may_have),
        cmocka_unit_test(wire_join_can_list_all_that_a_worker_may_hold),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
