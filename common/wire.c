#include "common/wire.h"

#include "common/limits.h"
#include "common/message.h"

#include <stdlib.h>
#include <string.h>

#define ATTEMPT_FIELDS 10
#define OUTCOME_FIELDS 10

/* -- writing -- */

static void start(msgpack_packer *pk, struct buf *out, enum wire_kind kind, size_t keys)
{
    message_packer(pk, out);
    msgpack_pack_array(pk, 3);
    msgpack_pack_uint64(pk, WIRE_VERSION);
    msgpack_pack_uint64(pk, kind);
    msgpack_pack_map(pk, keys);
}

static pb_err end(const struct buf *out)
{
    return out->failed ? PB_E_LIMIT : PB_OK;
}

static void put_u64(msgpack_packer *pk, const char *key, uint64_t n)
{
    message_put_text(pk, key);
    msgpack_pack_uint64(pk, n);
}

static void put_text(msgpack_packer *pk, const char *key, struct wire_text t)
{
    message_put_text(pk, key);
    message_put_str(pk, t.data, t.len);
}

static void put_bin(msgpack_packer *pk, const char *key, const void *bytes, size_t len)
{
    message_put_text(pk, key);
    message_put_bin(pk, bytes, len);
}

static void put_flag(msgpack_packer *pk, const char *key, bool on)
{
    message_put_text(pk, key);
    if (on)
        msgpack_pack_true(pk);
    else
        msgpack_pack_false(pk);
}

static void put_fences(msgpack_packer *pk, const char *key, const uint64_t *fences, size_t count)
{
    message_put_text(pk, key);
    msgpack_pack_array(pk, count);
    for (size_t i = 0; i < count; i++)
        msgpack_pack_uint64(pk, fences[i]);
}

static void put_held(msgpack_packer *pk, const char *key, const struct wire_held *held, size_t count)
{
    message_put_text(pk, key);
    msgpack_pack_array(pk, count);
    for (size_t i = 0; i < count; i++) {
        msgpack_pack_array(pk, 2);
        message_put_bin(pk, held[i].job.bytes, sizeof held[i].job.bytes);
        msgpack_pack_uint64(pk, held[i].fence);
    }
}

pb_err wire_pack_hello(const struct wire_hello *m, struct buf *out)
{
    msgpack_packer pk;
    start(&pk, out, WIRE_HELLO, 4);
    put_u64(&pk, "version", m->version);
    put_bin(&pk, "session", m->session, sizeof m->session);
    put_bin(&pk, "key", m->key, sizeof m->key);
    put_bin(&pk, "mac", m->mac, sizeof m->mac);
    return end(out);
}

pb_err wire_pack_welcome(const struct wire_welcome *m, struct buf *out)
{
    msgpack_packer pk;
    start(&pk, out, WIRE_WELCOME, 3);
    put_u64(&pk, "version", m->version);
    put_bin(&pk, "key", m->key, sizeof m->key);
    put_bin(&pk, "mac", m->mac, sizeof m->mac);
    return end(out);
}

pb_err wire_pack_refused(const char *reason, struct buf *out)
{
    msgpack_packer pk;
    start(&pk, out, WIRE_REFUSED, 1);
    put_text(&pk, "reason", (struct wire_text){reason, strlen(reason)});
    return end(out);
}

pb_err wire_pack_restart(struct buf *out)
{
    msgpack_packer pk;
    start(&pk, out, WIRE_RESTART, 0);
    return end(out);
}

pb_err wire_pack_leave(struct buf *out)
{
    msgpack_packer pk;
    start(&pk, out, WIRE_LEAVE, 0);
    return end(out);
}

pb_err wire_pack_sealed(const struct wire_sealed *m, struct buf *out)
{
    msgpack_packer pk;
    message_packer(&pk, out);
    msgpack_pack_array(&pk, 3);
    msgpack_pack_uint64(&pk, WIRE_VERSION);
    msgpack_pack_uint64(&pk, WIRE_SEALED);
    msgpack_pack_array(&pk, 3);
    message_put_bin(&pk, m->session, sizeof m->session);
    msgpack_pack_uint64(&pk, m->counter);
    message_put_bin(&pk, m->box.data, m->box.len);
    return end(out);
}

pb_err wire_pack_join(const struct wire_join *m, struct buf *out)
{
    msgpack_packer pk;
    start(&pk, out, WIRE_JOIN, 6);
    put_text(&pk, "name", m->name);
    put_text(&pk, "version", m->version);
    put_u64(&pk, "capacity", m->capacity);
    put_bin(&pk, "sealKey", m->seal_key, sizeof m->seal_key);
    message_put_text(&pk, "types");
    msgpack_pack_array(&pk, m->type_count);
    for (size_t i = 0; i < m->type_count; i++) {
        msgpack_pack_array(&pk, 2);
        message_put_str(&pk, m->types[i].type.data, m->types[i].type.len);
        message_put_str(&pk, m->types[i].hash.data, m->types[i].hash.len);
    }
    put_held(&pk, "held", m->held, m->held_count);
    return end(out);
}

pb_err wire_pack_joined(const struct wire_joined *m, struct buf *out)
{
    msgpack_packer pk;
    start(&pk, out, WIRE_JOINED, 7);
    put_text(&pk, "worker", m->worker);
    put_text(&pk, "jobs", m->jobs);
    put_text(&pk, "reports", m->reports);
    put_text(&pk, "store", m->store);
    put_u64(&pk, "leaseMs", m->lease_ms);
    put_u64(&pk, "beatMs", m->beat_ms);
    put_u64(&pk, "epoch", m->epoch);
    return end(out);
}

static void put_attempt(msgpack_packer *pk, const struct wire_attempt *a)
{
    msgpack_pack_array(pk, ATTEMPT_FIELDS);
    message_put_bin(pk, a->job.bytes, sizeof a->job.bytes);
    msgpack_pack_uint64(pk, a->fence);
    msgpack_pack_uint64(pk, a->kind);
    message_put_str(pk, a->tenant.data, a->tenant.len);
    msgpack_pack_uint64(pk, a->deadline_ms);
    msgpack_pack_uint64(pk, a->attempt);
    message_put_bin(pk, a->integration.bytes, sizeof a->integration.bytes);
    message_put_str(pk, a->type.data, a->type.len);
    msgpack_pack_uint64(pk, a->flags);
    message_put_bin(pk, a->payload.data, a->payload.len);
}

pb_err wire_pack_jobs(const struct wire_jobs *m, struct buf *out)
{
    msgpack_packer pk;
    start(&pk, out, WIRE_JOBS, 4 + (size_t)(m->stop_count > 0) + m->drain + m->has_sent);
    message_put_text(&pk, "attempts");
    msgpack_pack_array(&pk, m->attempt_count);
    for (size_t i = 0; i < m->attempt_count; i++)
        put_attempt(&pk, &m->attempts[i]);
    put_fences(&pk, "settled", m->settled, m->settled_count);
    put_fences(&pk, "cancel", m->cancel, m->cancel_count);
    put_flag(&pk, "list", m->list);
    if (m->stop_count) /* what is rare is left out when there is none of it */
        put_fences(&pk, "stop", m->stop, m->stop_count);
    if (m->drain)
        put_flag(&pk, "drain", true);
    if (m->has_sent)
        put_u64(&pk, "sent", m->sent);
    return end(out);
}

static void put_outcome(msgpack_packer *pk, const struct wire_outcome *o)
{
    msgpack_pack_array(pk, OUTCOME_FIELDS);
    message_put_bin(pk, o->job.bytes, sizeof o->job.bytes);
    msgpack_pack_uint64(pk, o->fence);
    msgpack_pack_uint64(pk, o->outcome);
    message_put_str(pk, o->code.data, o->code.len);
    msgpack_pack_uint64(pk, o->retry_after_ms);
    msgpack_pack_int64(pk, o->revision);
    message_put_str(pk, o->result.data, o->result.len);
    msgpack_pack_uint64(pk, o->change.kind);
    msgpack_pack_int64(pk, o->change.if_generation);
    message_put_bin(pk, o->change.doc.data, o->change.doc.len);
}

pb_err wire_pack_report(const struct wire_report *m, struct buf *out)
{
    msgpack_packer pk;
    start(&pk, out, WIRE_REPORT, m->has_list ? 7 : 6);
    put_u64(&pk, "received", m->received);
    put_u64(&pk, "free", m->free);
    put_u64(&pk, "running", m->running);
    put_u64(&pk, "sum", m->running_sum);
    put_flag(&pk, "draining", m->draining);
    message_put_text(&pk, "outcomes");
    msgpack_pack_array(&pk, m->outcome_count);
    for (size_t i = 0; i < m->outcome_count; i++)
        put_outcome(&pk, &m->outcomes[i]);
    if (m->has_list)
        put_held(&pk, "list", m->list, m->list_count);
    return end(out);
}

pb_err wire_pack_setup(const struct wire_setup *s, struct buf *out)
{
    msgpack_packer pk;
    message_packer(&pk, out);
    msgpack_pack_map(&pk, 2);
    put_text(&pk, "name", s->name);
    put_bin(&pk, "sealed", s->sealed.data, s->sealed.len);
    return end(out);
}

pb_err wire_pack_event(const struct wire_event *e, struct buf *out)
{
    msgpack_packer pk;
    message_packer(&pk, out);
    msgpack_pack_map(&pk, 3);
    put_text(&pk, "event", e->event_type);
    put_flag(&pk, "lines", e->lines);
    put_bin(&pk, "payload", e->payload.data, e->payload.len);
    return end(out);
}

/* -- reading: each returns whether the object has the form -- */

static bool get_text(const msgpack_object *o, size_t max_len, struct wire_text *out)
{
    return message_str(o, max_len, &out->data, &out->len);
}

static bool get_u32(const msgpack_object *o, uint32_t *out)
{
    uint64_t n;
    if (!message_u64(o, UINT32_MAX, &n))
        return false;
    *out = (uint32_t)n;
    return true;
}

static bool get_id(const msgpack_object *o, struct pb_id *out)
{
    return message_bin_exact(o, out->bytes, sizeof out->bytes);
}

/* A list whose items are read by one(); *out is allocated, and freed by wire_fini(). An absent key is an
 * empty list. */
static bool get_list(const msgpack_object *o, size_t max_count, size_t size,
                     bool (*one)(const msgpack_object *, void *), void **out, size_t *count)
{
    const msgpack_object *items;
    size_t n;
    if (!o)
        return true;
    if (!message_array(o, max_count, &items, &n))
        return false;
    *out = calloc(n + 1, size);
    if (!*out)
        return false;
    for (size_t i = 0; i < n; i++)
        if (!one(&items[i], (char *)*out + i * size))
            return false;
    *count = n;
    return true;
}

static bool read_fence(const msgpack_object *o, void *out)
{
    return message_u64(o, INT64_MAX, out);
}

static bool read_held(const msgpack_object *o, void *out)
{
    struct wire_held *h = out;
    const msgpack_object *f;
    size_t n;
    return message_array(o, 2, &f, &n) && n == 2 && get_id(&f[0], &h->job) && read_fence(&f[1], &h->fence);
}

static bool read_type(const msgpack_object *o, void *out)
{
    struct wire_type *t = out;
    const msgpack_object *f;
    size_t n;
    return message_array(o, 2, &f, &n) && n == 2 && get_text(&f[0], LIMIT_TYPE_CHARS, &t->type) &&
           get_text(&f[1], 64, &t->hash);
}

static bool read_attempt(const msgpack_object *o, void *out)
{
    struct wire_attempt *a = out;
    const msgpack_object *f;
    uint64_t kind = 0;
    size_t n;
    bool ok = message_array(o, ATTEMPT_FIELDS, &f, &n) && n == ATTEMPT_FIELDS && get_id(&f[0], &a->job) &&
              read_fence(&f[1], &a->fence) && message_u64(&f[2], UINT8_MAX, &kind) &&
              get_text(&f[3], LIMIT_TENANT_CHARS, &a->tenant) && get_u32(&f[4], &a->deadline_ms) &&
              get_u32(&f[5], &a->attempt) && get_id(&f[6], &a->integration) &&
              get_text(&f[7], LIMIT_TYPE_CHARS, &a->type) && get_u32(&f[8], &a->flags) &&
              message_bin(&f[9], LIMIT_MESSAGE_BYTES, &a->payload.data, &a->payload.len);
    a->kind = (enum job_kind)kind;
    return ok;
}

static bool read_outcome(const msgpack_object *o, void *out)
{
    struct wire_outcome *r = out;
    const msgpack_object *f;
    uint64_t outcome = 0, change = 0;
    size_t n;
    bool ok = message_array(o, OUTCOME_FIELDS, &f, &n) && n == OUTCOME_FIELDS && get_id(&f[0], &r->job) &&
              read_fence(&f[1], &r->fence) && message_u64(&f[2], OUTCOME_CANCELLED, &outcome) &&
              outcome >= OUTCOME_DONE && get_text(&f[3], 64, &r->code) &&
              message_u64(&f[4], INT32_MAX, &r->retry_after_ms) && message_i64(&f[5], &r->revision) &&
              get_text(&f[6], LIMIT_BATCH_BYTES, &r->result) && message_u64(&f[7], CHANGE_DELETE, &change) &&
              message_i64(&f[8], &r->change.if_generation) &&
              message_bin(&f[9], LIMIT_MESSAGE_BYTES, &r->change.doc.data, &r->change.doc.len);
    r->outcome = (enum job_outcome)outcome;
    r->change.kind = (enum store_change_kind)change;
    return ok;
}

static bool read_hello(const msgpack_object *b, struct wire_message *m)
{
    struct wire_hello *h = &m->hello;
    return message_u64(message_get(b, "version"), UINT32_MAX, &h->version) &&
           message_bin_exact(message_get(b, "session"), h->session, sizeof h->session) &&
           message_bin_exact(message_get(b, "key"), h->key, sizeof h->key) &&
           message_bin_exact(message_get(b, "mac"), h->mac, sizeof h->mac);
}

static bool read_welcome(const msgpack_object *b, struct wire_message *m)
{
    struct wire_welcome *w = &m->welcome;
    return message_u64(message_get(b, "version"), UINT8_MAX, &w->version) &&
           message_bin_exact(message_get(b, "key"), w->key, sizeof w->key) &&
           message_bin_exact(message_get(b, "mac"), w->mac, sizeof w->mac);
}

static bool read_refused(const msgpack_object *b, struct wire_message *m)
{
    return get_text(message_get(b, "reason"), 1024, &m->refused);
}

static bool read_nothing(const msgpack_object *b, struct wire_message *m)
{
    (void)m;
    return b->type == MSGPACK_OBJECT_MAP;
}

static bool read_sealed(const msgpack_object *b, struct wire_message *m)
{
    const msgpack_object *f;
    size_t n;
    return message_array(b, 3, &f, &n) && n == 3 &&
           message_bin_exact(&f[0], m->sealed.session, sizeof m->sealed.session) &&
           message_u64(&f[1], UINT64_MAX, &m->sealed.counter) &&
           message_bin(&f[2], LIMIT_MESSAGE_BYTES, &m->sealed.box.data, &m->sealed.box.len);
}

static bool read_join(const msgpack_object *b, struct wire_message *m)
{
    struct wire_join *j = &m->join;
    return get_text(message_get(b, "name"), LIMIT_WORKER_NAME, &j->name) &&
           get_text(message_get(b, "version"), 32, &j->version) &&
           get_u32(message_get(b, "capacity"), &j->capacity) && j->capacity <= LIMIT_CAPACITY &&
           message_bin_exact(message_get(b, "sealKey"), j->seal_key, sizeof j->seal_key) &&
           get_list(message_get(b, "types"), WIRE_TYPES_MAX, sizeof *j->types, read_type, (void **)&j->types,
                    &j->type_count) &&
           get_list(message_get(b, "held"), LIMIT_MESSAGE_ITEMS, sizeof *j->held, read_held,
                    (void **)&j->held, &j->held_count);
}

static bool read_joined(const msgpack_object *b, struct wire_message *m)
{
    struct wire_joined *j = &m->joined;
    return get_text(message_get(b, "worker"), 64, &j->worker) &&
           get_text(message_get(b, "jobs"), 255, &j->jobs) &&
           get_text(message_get(b, "reports"), 255, &j->reports) &&
           get_text(message_get(b, "store"), 64, &j->store) &&
           get_u32(message_get(b, "leaseMs"), &j->lease_ms) &&
           get_u32(message_get(b, "beatMs"), &j->beat_ms) && get_u32(message_get(b, "epoch"), &j->epoch);
}

static bool read_jobs(const msgpack_object *b, struct wire_message *m)
{
    struct wire_jobs *j = &m->jobs;
    j->has_sent = message_get(b, "sent");
    message_bool(message_get(b, "list"), &j->list);
    message_bool(message_get(b, "drain"), &j->drain);
    return b->type == MSGPACK_OBJECT_MAP &&
           get_list(message_get(b, "attempts"), LIMIT_BATCH_ENTRIES, sizeof *j->attempts, read_attempt,
                    (void **)&j->attempts, &j->attempt_count) &&
           get_list(message_get(b, "settled"), LIMIT_BATCH_ENTRIES, sizeof *j->settled, read_fence,
                    (void **)&j->settled, &j->settled_count) &&
           get_list(message_get(b, "cancel"), LIMIT_BATCH_ENTRIES, sizeof *j->cancel, read_fence,
                    (void **)&j->cancel, &j->cancel_count) &&
           get_list(message_get(b, "stop"), LIMIT_BATCH_ENTRIES, sizeof *j->stop, read_fence,
                    (void **)&j->stop, &j->stop_count) &&
           (!j->has_sent || message_u64(message_get(b, "sent"), UINT64_MAX, &j->sent));
}

static bool read_report(const msgpack_object *b, struct wire_message *m)
{
    struct wire_report *r = &m->report;
    r->has_list = message_get(b, "list");
    message_bool(message_get(b, "draining"), &r->draining);
    return message_u64(message_get(b, "received"), UINT64_MAX, &r->received) &&
           get_u32(message_get(b, "free"), &r->free) && r->free <= LIMIT_CAPACITY &&
           get_u32(message_get(b, "running"), &r->running) &&
           message_u64(message_get(b, "sum"), UINT64_MAX, &r->running_sum) &&
           get_list(message_get(b, "outcomes"), LIMIT_BATCH_ENTRIES, sizeof *r->outcomes, read_outcome,
                    (void **)&r->outcomes, &r->outcome_count) &&
           get_list(message_get(b, "list"), LIMIT_MESSAGE_ITEMS, sizeof *r->list, read_held,
                    (void **)&r->list, &r->list_count);
}

typedef bool reader(const msgpack_object *body, struct wire_message *m);

static reader *const readers[] = {
    [WIRE_HELLO] = read_hello,     [WIRE_WELCOME] = read_welcome, [WIRE_REFUSED] = read_refused,
    [WIRE_RESTART] = read_nothing, [WIRE_SEALED] = read_sealed,   [WIRE_JOIN] = read_join,
    [WIRE_JOINED] = read_joined,   [WIRE_JOBS] = read_jobs,       [WIRE_REPORT] = read_report,
    [WIRE_LEAVE] = read_nothing,
};

static bool read_message(const msgpack_object *root, struct wire_message *m)
{
    const msgpack_object *f;
    uint64_t kind;
    size_t n;
    if (!message_array(root, 3, &f, &n) || n != 3 || !message_u64(&f[0], UINT8_MAX, &m->version) ||
        m->version == 0)
        return false;
    if (!message_u64(&f[1], sizeof readers / sizeof readers[0] - 1, &kind) || !readers[kind])
        return false;
    m->kind = (enum wire_kind)kind;
    return readers[kind](&f[2], m);
}

pb_err wire_read(const uint8_t *bytes, size_t len, struct wire_message *out)
{
    struct wire_message m = {0};
    msgpack_object root;
    if (!bytes || !len)
        return PB_E_INVALID;
    msgpack_zone *zone = msgpack_zone_new(1024);
    if (!zone)
        return PB_E_MEMORY;
    m.zone = zone;
    pb_err err = message_unpack(bytes, len, zone, &root);
    if (!err && !read_message(&root, &m))
        err = PB_E_INVALID;
    if (err)
        wire_fini(&m);
    else
        *out = m;
    return err;
}

void wire_fini(struct wire_message *m)
{
    if (m->kind == WIRE_JOIN) {
        free(m->join.types);
        free(m->join.held);
    } else if (m->kind == WIRE_JOBS) {
        free(m->jobs.attempts);
        free(m->jobs.settled);
        free(m->jobs.cancel);
        free(m->jobs.stop);
    } else if (m->kind == WIRE_REPORT) {
        free(m->report.outcomes);
        free(m->report.list);
    }
    msgpack_zone_free(m->zone);
    *m = (struct wire_message){0};
}

pb_err wire_unpack_setup(struct wire_bytes in, struct wire_setup *out)
{
    struct wire_setup s;
    msgpack_zone zone;
    msgpack_object root;
    if (!msgpack_zone_init(&zone, 512))
        return PB_E_MEMORY;
    pb_err err = message_unpack(in.data, in.len, &zone, &root);
    if (!err &&
        (!get_text(message_get(&root, "name"), LIMIT_NAME_CHARS, &s.name) ||
         !message_bin(message_get(&root, "sealed"), LIMIT_MESSAGE_BYTES, &s.sealed.data, &s.sealed.len)))
        err = PB_E_INVALID;
    if (!err)
        *out = s;
    msgpack_zone_destroy(&zone);
    return err;
}

static bool read_event(const msgpack_object *o, struct wire_event *e)
{
    return get_text(message_get(o, "event"), LIMIT_EVENT_TYPE_CHARS, &e->event_type) &&
           message_bool(message_get(o, "lines"), &e->lines) &&
           message_bin(message_get(o, "payload"), LIMIT_MESSAGE_BYTES, &e->payload.data, &e->payload.len);
}

pb_err wire_unpack_event(struct wire_bytes in, struct wire_event *out)
{
    struct wire_event e = {0};
    msgpack_zone zone;
    msgpack_object root;
    if (!msgpack_zone_init(&zone, 512))
        return PB_E_MEMORY;
    pb_err err = message_unpack(in.data, in.len, &zone, &root);
    if (!err && !read_event(&root, &e))
        err = PB_E_INVALID;
    if (!err)
        *out = e;
    msgpack_zone_destroy(&zone);
    return err;
}
