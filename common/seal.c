#include "common/seal.h"

#include "common/keyring.h"
#include "common/limits.h"
#include "common/message.h"

#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define BOX_VERSION 1
#define PLAIN_BYTES (2 * LIMIT_CREDENTIALS_BYTES)
/* So much of it is kept free for what a seal adds: records refuse longer boxes (integration_unpack). */
#define SEALING_BYTES 64

/* -- credentials -- */

void credentials_fini(struct credentials *c)
{
    for (size_t i = 0; i < c->count; i++) {
        free(c->items[i].name);
        secret_fini(&c->items[i].value);
    }
    free(c->items);
    *c = (struct credentials){0};
}

pb_err credentials_add(struct credentials *c, const char *name, const char *value, size_t len)
{
    struct credential item = {.name = strdup(name)};
    struct credential *items = realloc(c->items, (c->count + 1) * sizeof *items);
    if (items)
        c->items = items;
    if (!items || !item.name || secret_set(&item.value, value, len) != PB_OK) {
        free(item.name);
        return PB_E_MEMORY;
    }
    c->items[c->count++] = item;
    return PB_OK;
}

const struct secret *credentials_get(const struct credentials *c, const char *name)
{
    for (size_t i = 0; i < c->count; i++)
        if (strcmp(c->items[i].name, name) == 0)
            return &c->items[i].value;
    return NULL;
}

void seal_box_fini(struct seal_box *box)
{
    free(box->bytes);
    *box = (struct seal_box){0};
}

/* -- the plaintext: {tenant, type, integration, fields} -- */

static void wipe(struct buf *b)
{
    if (b->data)
        sodium_memzero(b->data, b->cap);
    buf_fini(b);
}

/* Reserves all the room at once: a buffer that grew would leave copies behind. */
static pb_err plain_init(struct buf *b)
{
    buf_init(b, PLAIN_BYTES);
    b->data = malloc(PLAIN_BYTES + 1);
    b->cap = b->data ? PLAIN_BYTES + 1 : 0;
    return b->data ? PB_OK : PB_E_MEMORY;
}

/* What opening would refuse is not sealed: credentials must never be stored that nobody can read again. */
static pb_err check_fields(const struct credentials *c)
{
    if (c->count > LIMIT_PACKAGE_FIELDS)
        return PB_E_LIMIT;
    for (size_t i = 0; i < c->count; i++) {
        if (strlen(c->items[i].name) > LIMIT_FIELD_NAME_CHARS ||
            c->items[i].value.len > LIMIT_CREDENTIAL_BYTES)
            return PB_E_LIMIT;
        for (size_t j = 0; j < i; j++)
            if (strcmp(c->items[i].name, c->items[j].name) == 0)
                return PB_E_INVALID;
    }
    return PB_OK;
}

static pb_err pack_plain(const struct seal_owner *owner, const struct credentials *c, struct buf *out)
{
    pb_err err = check_fields(c);
    if (err)
        return err;
    msgpack_packer pk;
    message_packer(&pk, out);
    msgpack_pack_map(&pk, 4);
    message_put_text(&pk, "tenant");
    message_put_text(&pk, owner->tenant);
    message_put_text(&pk, "type");
    message_put_text(&pk, owner->type);
    message_put_text(&pk, "integration");
    message_put_bin(&pk, owner->integration.bytes, sizeof owner->integration.bytes);
    message_put_text(&pk, "fields");
    msgpack_pack_map(&pk, c->count);
    for (size_t i = 0; i < c->count; i++) {
        message_put_text(&pk, c->items[i].name);
        message_put_str(&pk, c->items[i].value.data, c->items[i].value.len);
    }
    return out->failed || out->len > PLAIN_BYTES - SEALING_BYTES ? PB_E_LIMIT : PB_OK;
}

static bool is_text(const msgpack_object *o, const char *text)
{
    const char *got;
    size_t len;
    return message_str(o, LIMIT_NAME_CHARS, &got, &len) && len == strlen(text) && memcmp(got, text, len) == 0;
}

static bool is_owner(const msgpack_object *map, const struct seal_owner *owner)
{
    struct pb_id id;
    return is_text(message_get(map, "tenant"), owner->tenant) &&
           is_text(message_get(map, "type"), owner->type) &&
           message_bin_exact(message_get(map, "integration"), id.bytes, sizeof id.bytes) &&
           id_equal(&id, &owner->integration);
}

static pb_err add_field(struct credentials *c, const msgpack_object_kv *kv)
{
    char name[LIMIT_FIELD_NAME_CHARS + 1];
    const char *value;
    size_t len, name_len = kv->key.via.str.size;
    if (name_len > LIMIT_FIELD_NAME_CHARS || memchr(kv->key.via.str.ptr, 0, name_len) ||
        !message_str(&kv->val, LIMIT_CREDENTIAL_BYTES, &value, &len))
        return PB_E_DENIED;
    memcpy(name, kv->key.via.str.ptr, name_len);
    name[name_len] = 0;
    return credentials_add(c, name, value, len);
}

static pb_err read_fields(const msgpack_object *fields, struct credentials *out)
{
    struct credentials c = {0};
    pb_err err = fields && fields->type == MSGPACK_OBJECT_MAP ? PB_OK : PB_E_DENIED;
    for (uint32_t i = 0; !err && i < fields->via.map.size; i++)
        err = add_field(&c, &fields->via.map.ptr[i]);
    if (err)
        credentials_fini(&c);
    else
        *out = c;
    return err;
}

static pb_err unpack_plain(const uint8_t *plain, size_t len, const struct seal_owner *owner,
                           struct credentials *out)
{
    msgpack_zone zone;
    msgpack_object root;
    if (!msgpack_zone_init(&zone, 2048))
        return PB_E_MEMORY;
    pb_err err = message_unpack(plain, len, &zone, &root);
    if (err == PB_E_INVALID || err == PB_E_LIMIT || (!err && !is_owner(&root, owner)))
        err = PB_E_DENIED;
    if (!err)
        err = read_fields(message_get(&root, "fields"), out);
    msgpack_zone_destroy(&zone);
    return err;
}

/* -- on the way in -- */

pb_err seal_inbound(const uint8_t public_key[SEAL_PUBLIC_BYTES], const struct seal_owner *owner,
                    const struct credentials *c, uint8_t **out, size_t *out_len)
{
    struct buf plain;
    uint8_t *sealed = NULL;
    pb_err err = plain_init(&plain);
    if (!err)
        err = pack_plain(owner, c, &plain);
    if (!err && !(sealed = malloc(plain.len + crypto_box_SEALBYTES)))
        err = PB_E_MEMORY;
    if (!err && crypto_box_seal(sealed, plain.data, plain.len, public_key) != 0)
        err = PB_E_DENIED;
    if (err) {
        free(sealed);
    } else {
        *out = sealed;
        *out_len = plain.len + crypto_box_SEALBYTES;
    }
    wipe(&plain);
    return err;
}

pb_err seal_open_inbound(const struct keyring *ring, const struct seal_owner *owner, const uint8_t *sealed,
                         size_t len, struct credentials *out)
{
    struct buf plain;
    bool open = false;
    if (len < crypto_box_SEALBYTES || len - crypto_box_SEALBYTES > PLAIN_BYTES)
        return PB_E_DENIED;
    pb_err err = plain_init(&plain);
    for (size_t i = 0; !err && !open && i < keyring_count(ring); i++)
        open = crypto_box_seal_open(plain.data, sealed, len, keyring_box_public(ring, i),
                                    keyring_box_secret(ring, i)) == 0;
    if (!err)
        err = open ? unpack_plain(plain.data, len - crypto_box_SEALBYTES, owner, out) : PB_E_DENIED;
    wipe(&plain);
    return err;
}

/* -- at rest -- */

/* Associated data: the owner, each part with its length before it, so that no two owners read the same. */
static void associate(const struct seal_owner *owner, struct buf *out)
{
    msgpack_packer pk;
    message_packer(&pk, out);
    msgpack_pack_array(&pk, 4);
    msgpack_pack_uint8(&pk, BOX_VERSION);
    message_put_bin(&pk, owner->integration.bytes, sizeof owner->integration.bytes);
    message_put_text(&pk, owner->tenant);
    message_put_text(&pk, owner->type);
}

pb_err seal_store(const struct keyring *ring, const struct seal_owner *owner, const struct credentials *c,
                  struct seal_box *out)
{
    struct seal_box box = {.version = BOX_VERSION};
    struct buf plain, data;
    unsigned long long len = 0;
    buf_init(&data, 1024);
    associate(owner, &data);
    snprintf(box.kid, sizeof box.kid, "%s", keyring_current_kid(ring));
    randombytes_buf(box.nonce, sizeof box.nonce);
    pb_err err = plain_init(&plain);
    if (!err)
        err = data.failed ? PB_E_LIMIT : pack_plain(owner, c, &plain);
    if (!err && !(box.bytes = malloc(plain.len + crypto_aead_xchacha20poly1305_ietf_ABYTES)))
        err = PB_E_MEMORY;
    if (!err) {
        crypto_aead_xchacha20poly1305_ietf_encrypt(box.bytes, &len, plain.data, plain.len, data.data,
                                                   data.len, NULL, box.nonce, keyring_record_key(ring, 0));
        box.len = (size_t)len;
        seal_box_fini(out);
        *out = box;
    }
    wipe(&plain);
    buf_fini(&data);
    return err;
}

static const uint8_t *find_key(const struct keyring *ring, const char *kid)
{
    for (size_t i = 0; i < keyring_count(ring); i++)
        if (strcmp(keyring_kid(ring, i), kid) == 0)
            return keyring_record_key(ring, i);
    return NULL;
}

pb_err seal_open_stored(const struct keyring *ring, const struct seal_owner *owner,
                        const struct seal_box *box, struct credentials *out)
{
    const uint8_t *key = find_key(ring, box->kid);
    struct buf plain, data;
    unsigned long long len = 0;
    if (!key)
        return PB_E_NOT_FOUND;
    if (box->version != BOX_VERSION || box->len < crypto_aead_xchacha20poly1305_ietf_ABYTES ||
        box->len > PLAIN_BYTES)
        return PB_E_DENIED;
    buf_init(&data, 1024);
    associate(owner, &data);
    pb_err err = plain_init(&plain);
    if (!err && crypto_aead_xchacha20poly1305_ietf_decrypt(plain.data, &len, NULL, box->bytes, box->len,
                                                           data.data, data.len, box->nonce, key) != 0)
        err = PB_E_DENIED;
    if (!err)
        err = unpack_plain(plain.data, (size_t)len, owner, out);
    wipe(&plain);
    buf_fini(&data);
    return err;
}
