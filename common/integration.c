#include "common/integration.h"

#include "common/json.h"
#include "common/message.h"

#include <stddef.h>
#include <stdlib.h>
#include <string.h>

/* -- the tables that say every field once -- */

#define HASH_CHARS 64

/* Strings: key in the packed map, where, and the longest (in bytes; 0: what a message can hold). */
static const struct text_field {
    const char *key;
    size_t offset, most;
} texts[] = {
    {"tenant", offsetof(struct integration, tenant), LIMIT_TENANT_CHARS},
    {"name", offsetof(struct integration, name), LIMIT_NAME_CHARS},
    {"type", offsetof(struct integration, type), LIMIT_TYPE_CHARS},
    {"fields", offsetof(struct integration, fields), 0},
    {"events", offsetof(struct integration, supported_events), 0},
    {"result", offsetof(struct integration, result), 0},
    {"accountId", offsetof(struct integration, account_id), 0},
    {"accountLabel", offsetof(struct integration, account_label), 0},
    {"host", offsetof(struct integration, host), 0},
    {"manifestVersion", offsetof(struct integration, manifest_version), 0},
    {"manifestHash", offsetof(struct integration, manifest_hash), HASH_CHARS},
};

/* Signed 64-bit numbers. */
static const struct number_field {
    const char *key;
    size_t offset;
} numbers[] = {
    {"firstFailedAt", offsetof(struct integration, first_failed_at_ms)},
    {"suspectSince", offsetof(struct integration, suspect_since_ms)},
    {"lastValidated", offsetof(struct integration, last_validated_ms)},
    {"nextValidation", offsetof(struct integration, next_validation_ms)},
    {"createdAt", offsetof(struct integration, created_at_ms)},
    {"updatedAt", offsetof(struct integration, updated_at_ms)},
    {"generation", offsetof(struct integration, generation)},
    {"revision", offsetof(struct integration, revision)},
};

#define COUNT(table) (sizeof(table) / sizeof((table)[0]))
#define OTHER_KEYS   6 /* id, status, health, failures, fence, credentials */

static char **text_at(const struct integration *in, size_t i)
{
    return (char **)((char *)(uintptr_t)in + texts[i].offset);
}

static int64_t *number_at(const struct integration *in, size_t i)
{
    return (int64_t *)((char *)(uintptr_t)in + numbers[i].offset);
}

void integration_fini(struct integration *in)
{
    for (size_t i = 0; i < COUNT(texts); i++)
        free(*text_at(in, i));
    seal_box_fini(&in->credentials);
    *in = (struct integration){0};
}

static pb_err copy_box(const struct seal_box *from, struct seal_box *to)
{
    *to = *from;
    to->bytes = NULL;
    if (!from->bytes)
        return PB_OK;
    to->bytes = malloc(from->len ? from->len : 1);
    if (!to->bytes)
        return PB_E_MEMORY;
    memcpy(to->bytes, from->bytes, from->len);
    return PB_OK;
}

pb_err integration_copy(const struct integration *from, struct integration *to)
{
    struct integration copy = *from;
    pb_err err = PB_OK;
    for (size_t i = 0; i < COUNT(texts); i++)
        *text_at(&copy, i) = NULL;
    copy.credentials.bytes = NULL;
    for (size_t i = 0; i < COUNT(texts) && !err; i++)
        if (*text_at(from, i) && !(*text_at(&copy, i) = strdup(*text_at(from, i))))
            err = PB_E_MEMORY;
    if (!err)
        err = copy_box(&from->credentials, &copy.credentials);
    if (err)
        integration_fini(&copy);
    else
        *to = copy;
    return err;
}

/* -- msgpack -- */

static void pack_box(msgpack_packer *pk, const struct seal_box *box)
{
    message_put_text(pk, "credentials");
    msgpack_pack_map(pk, 4);
    message_put_text(pk, "v");
    msgpack_pack_int64(pk, box->version);
    message_put_text(pk, "kid");
    message_put_text(pk, box->kid);
    message_put_text(pk, "nonce");
    message_put_bin(pk, box->nonce, sizeof box->nonce);
    message_put_text(pk, "box");
    message_put_bin(pk, box->bytes, box->len);
}

static void pack_number(msgpack_packer *pk, const char *key, int64_t n)
{
    message_put_text(pk, key);
    msgpack_pack_int64(pk, n);
}

pb_err integration_pack(const struct integration *in, struct buf *out)
{
    msgpack_packer pk;
    message_packer(&pk, out);
    msgpack_pack_map(&pk, COUNT(texts) + COUNT(numbers) + OTHER_KEYS);
    message_put_text(&pk, "id");
    message_put_bin(&pk, in->id.bytes, sizeof in->id.bytes);
    for (size_t i = 0; i < COUNT(texts); i++) {
        message_put_text(&pk, texts[i].key);
        message_put_text(&pk, *text_at(in, i));
    }
    for (size_t i = 0; i < COUNT(numbers); i++)
        pack_number(&pk, numbers[i].key, *number_at(in, i));
    pack_number(&pk, "status", in->status);
    pack_number(&pk, "health", in->health);
    pack_number(&pk, "failures", in->failures);
    pack_number(&pk, "fence", (int64_t)in->fence);
    pack_box(&pk, &in->credentials);
    return out->failed ? PB_E_LIMIT : PB_OK;
}

static bool unpack_text(const msgpack_object *o, size_t most, char **out)
{
    const char *text;
    size_t len;
    if (!o || o->type == MSGPACK_OBJECT_NIL)
        return true;
    if (!message_str(o, most ? most : LIMIT_MESSAGE_BYTES, &text, &len) || memchr(text, 0, len))
        return false;
    *out = strndup(text, len);
    return *out;
}

static bool unpack_box(const msgpack_object *o, struct seal_box *box)
{
    const uint8_t *bytes;
    const char *kid;
    size_t len, kid_len;
    uint64_t version;
    if (!o)
        return false;
    if (!message_u64(message_get(o, "v"), 255, &version) ||
        !message_str(message_get(o, "kid"), SEAL_KID_CHARS, &kid, &kid_len) ||
        !message_bin_exact(message_get(o, "nonce"), box->nonce, sizeof box->nonce) ||
        !message_bin(message_get(o, "box"), 2 * LIMIT_CREDENTIALS_BYTES, &bytes, &len) ||
        memchr(kid, 0, kid_len))
        return false;
    box->version = (int)version;
    memcpy(box->kid, kid, kid_len);
    box->bytes = malloc(len ? len : 1);
    if (!box->bytes)
        return false;
    memcpy(box->bytes, bytes, len);
    box->len = len;
    return true;
}

static bool unpack_numbers(const msgpack_object *map, struct integration *in)
{
    uint64_t status = 0, health = 0, failures = 0;
    for (size_t i = 0; i < COUNT(numbers); i++)
        if (!message_i64(message_get(map, numbers[i].key), number_at(in, i)))
            return false;
    bool ok = message_u64(message_get(map, "status"), STATUS_ERROR, &status) && status &&
              message_u64(message_get(map, "health"), HEALTH_UNKNOWN, &health) && health &&
              message_u64(message_get(map, "failures"), UINT32_MAX, &failures) &&
              message_u64(message_get(map, "fence"), INT64_MAX, &in->fence);
    in->status = (enum integration_status)status;
    in->health = (enum integration_health)health;
    in->failures = (uint32_t)failures;
    return ok;
}

static bool unpack(const msgpack_object *map, struct integration *in)
{
    if (!message_bin_exact(message_get(map, "id"), in->id.bytes, sizeof in->id.bytes))
        return false;
    for (size_t i = 0; i < COUNT(texts); i++)
        if (!unpack_text(message_get(map, texts[i].key), texts[i].most, text_at(in, i)))
            return false;
    return in->tenant && in->name && in->type && unpack_numbers(map, in) &&
           unpack_box(message_get(map, "credentials"), &in->credentials);
}

pb_err integration_unpack(const uint8_t *bytes, size_t len, struct integration *out)
{
    struct integration in = {0};
    msgpack_zone zone;
    msgpack_object root;
    if (!bytes)
        return PB_E_INVALID;
    if (!msgpack_zone_init(&zone, 4096))
        return PB_E_MEMORY;
    pb_err err = message_unpack(bytes, len, &zone, &root);
    if (!err && !unpack(&root, &in))
        err = PB_E_INVALID;
    if (err)
        integration_fini(&in);
    else
        *out = in;
    msgpack_zone_destroy(&zone);
    return err;
}

/* -- JSON -- */

static json_t *json_text(const char *text)
{
    return text && text[0] ? json_string(text) : json_null();
}

static json_t *json_part(const char *text, json_t *(*empty)(void))
{
    json_t *part = text ? json_loads(text, JSON_DECODE_ANY, NULL) : NULL;
    return part ? part : empty();
}

json_t *integration_json(const struct integration *in)
{
    char id[ID_TEXT_BYTES];
    id_text(&in->id, ID_INTEGRATION, id);
    return json_pack("{s:s, s:o, s:o, s:o, s:s, s:s, s:o, s:o, s:o, s:{s:o, s:o}, s:o, s:{s:o, s:o}, s:I, "
                     "s:o, s:o, s:o, s:I, s:I, s:o, s:o}",
                     "id", id, "tenant", json_text(in->tenant), "name", json_text(in->name), "type",
                     json_text(in->type), "status", integration_status_name(in->status), "health",
                     integration_health_name(in->health), "supportedEvents",
                     json_part(in->supported_events, json_array), "fields",
                     json_part(in->fields, json_object), "result", json_part(in->result, json_null),
                     "account", "id", json_text(in->account_id), "label", json_text(in->account_label),
                     "host", json_text(in->host), "manifest", "version", json_text(in->manifest_version),
                     "hash", json_text(in->manifest_hash), "failures", (json_int_t)in->failures,
                     "firstFailedAt", json_time(in->first_failed_at_ms), "lastValidated",
                     json_time(in->last_validated_ms), "nextValidation", json_time(in->next_validation_ms),
                     "generation", (json_int_t)in->generation, "revision", (json_int_t)in->revision,
                     "createdAt", json_time(in->created_at_ms), "updatedAt", json_time(in->updated_at_ms));
}

/* -- names -- */

static const char *const status_names[] = {NULL, "active", "inactive", "error"};
static const char *const health_names[] = {NULL, "ok", "degraded", "unknown"};

const char *integration_status_name(enum integration_status status)
{
    return (size_t)status < COUNT(status_names) ? status_names[status] : NULL;
}

const char *integration_health_name(enum integration_health health)
{
    return (size_t)health < COUNT(health_names) ? health_names[health] : NULL;
}

pb_err integration_status_parse(const char *name, enum integration_status *out)
{
    for (size_t i = 1; i < COUNT(status_names); i++)
        if (strcmp(name, status_names[i]) == 0) {
            *out = (enum integration_status)i;
            return PB_OK;
        }
    return PB_E_NOT_FOUND;
}

pb_err integration_health_parse(const char *name, enum integration_health *out)
{
    for (size_t i = 1; i < COUNT(health_names); i++)
        if (strcmp(name, health_names[i]) == 0) {
            *out = (enum integration_health)i;
            return PB_OK;
        }
    return PB_E_NOT_FOUND;
}
