#include "common/message.h"

#include "common/limits.h"

#include <string.h>

/* -- scanning -- */

struct scan {
    const uint8_t *at, *end;
    uint32_t items;
    /* How many objects are still open at each depth; the first is the message itself, in nothing. */
    uint64_t open[LIMIT_MESSAGE_DEPTH + 1];
    int depth;
};

static uint64_t big_endian(const uint8_t *at, size_t len)
{
    uint64_t n = 0;
    for (size_t i = 0; i < len; i++)
        n = n << 8 | at[i];
    return n;
}

/* What follows a type byte: so many bytes of a length, so many fixed bytes, and what the length counts. */
enum counts { BYTES, ITEMS, PAIRS };
struct form {
    uint8_t length_bytes, fixed_bytes;
    enum counts counts;
    bool known;
};

static const struct form forms[] = {
    /* 0xc0 .. 0xdf, msgpack specification, "Formats" */
    {0, 0, BYTES, true},  {0, 0, BYTES, false},  {0, 0, BYTES, true},
    {0, 0, BYTES, true},                                               /* nil, never used, false, true */
    {1, 0, BYTES, true},  {2, 0, BYTES, true},   {4, 0, BYTES, true},  /* bin */
    {1, 1, BYTES, false}, {2, 1, BYTES, false},  {4, 1, BYTES, false}, /* ext: not used here */
    {0, 4, BYTES, true},  {0, 8, BYTES, true},                         /* float */
    {0, 1, BYTES, true},  {0, 2, BYTES, true},   {0, 4, BYTES, true},
    {0, 8, BYTES, true}, /* uint */
    {0, 1, BYTES, true},  {0, 2, BYTES, true},   {0, 4, BYTES, true},
    {0, 8, BYTES, true}, /* int */
    {0, 2, BYTES, false}, {0, 3, BYTES, false},  {0, 5, BYTES, false},
    {0, 9, BYTES, false}, {0, 17, BYTES, false},                      /* fixext */
    {1, 0, BYTES, true},  {2, 0, BYTES, true},   {4, 0, BYTES, true}, /* str */
    {2, 0, ITEMS, true},  {4, 0, ITEMS, true},                        /* array */
    {2, 0, PAIRS, true},  {4, 0, PAIRS, true},                        /* map */
};

static struct form form_of(uint8_t type, uint64_t *count)
{
    *count = 0;
    if (type <= 0x7f || type >= 0xe0) /* small integers */
        return (struct form){0, 0, BYTES, true};
    if (type >= 0xc0)
        return forms[type - 0xc0];
    *count = type >= 0xa0 ? (type & 0x1fu) : (type & 0x0fu);
    return (struct form){0, 0, type >= 0xa0 ? BYTES : type >= 0x90 ? ITEMS : PAIRS, true};
}

static pb_err enter(struct scan *s, uint64_t count)
{
    if (count > (uint64_t)(s->end - s->at)) /* each takes a byte at least */
        return PB_E_INVALID;
    if (s->depth > LIMIT_MESSAGE_DEPTH)
        return PB_E_LIMIT;
    if (count)
        s->open[s->depth++] = count;
    return PB_OK;
}

static pb_err scan_one(struct scan *s)
{
    uint64_t count;
    if (s->at == s->end)
        return PB_E_INVALID;
    if (++s->items > LIMIT_MESSAGE_ITEMS)
        return PB_E_LIMIT;
    struct form f = form_of(*s->at++, &count);
    if (!f.known || (size_t)(s->end - s->at) < (size_t)f.length_bytes + f.fixed_bytes)
        return PB_E_INVALID;
    if (f.length_bytes)
        count = big_endian(s->at, f.length_bytes);
    s->at += f.length_bytes + f.fixed_bytes;
    if (f.counts != BYTES)
        return enter(s, f.counts == PAIRS ? 2 * count : count);
    if (count > (uint64_t)(s->end - s->at))
        return PB_E_INVALID;
    s->at += count;
    return PB_OK;
}

pb_err message_scan(const uint8_t *bytes, size_t len)
{
    struct scan s = {.at = bytes, .end = bytes + len};
    s.open[s.depth++] = 1;
    while (s.depth) {
        if (s.open[s.depth - 1]-- == 0) {
            s.depth--;
            continue;
        }
        pb_err err = scan_one(&s);
        if (err)
            return err;
    }
    return s.at == s.end ? PB_OK : PB_E_INVALID;
}

/* -- unpacking -- */

/* An empty string's pointer may be NULL, which memcmp() must not get. */
static bool is_key(const msgpack_object *o, const char *text, size_t len)
{
    return o->type == MSGPACK_OBJECT_STR && o->via.str.size == len &&
           (len == 0 || memcmp(o->via.str.ptr, text, len) == 0);
}

static bool same_key(const msgpack_object *a, const msgpack_object *b)
{
    return b->type == MSGPACK_OBJECT_STR && is_key(a, b->via.str.ptr, b->via.str.size);
}

/* Maps here have a few keys, so comparing each with each is cheap; a long one is refused. */
static bool keys_are_fine(const msgpack_object *map)
{
    const uint32_t most = 64;
    if (map->via.map.size > most)
        return false;
    for (uint32_t i = 0; i < map->via.map.size; i++) {
        if (map->via.map.ptr[i].key.type != MSGPACK_OBJECT_STR)
            return false;
        for (uint32_t j = 0; j < i; j++)
            if (same_key(&map->via.map.ptr[i].key, &map->via.map.ptr[j].key))
                return false;
    }
    return true;
}

/* The depth is bounded by the scan. */
static bool maps_are_fine(const msgpack_object *o)
{
    if (o->type == MSGPACK_OBJECT_ARRAY)
        for (uint32_t i = 0; i < o->via.array.size; i++)
            if (!maps_are_fine(&o->via.array.ptr[i]))
                return false;
    if (o->type != MSGPACK_OBJECT_MAP)
        return true;
    if (!keys_are_fine(o))
        return false;
    for (uint32_t i = 0; i < o->via.map.size; i++)
        if (!maps_are_fine(&o->via.map.ptr[i].val))
            return false;
    return true;
}

pb_err message_unpack(const uint8_t *bytes, size_t len, msgpack_zone *zone, msgpack_object *out)
{
    size_t off = 0;
    pb_err err = message_scan(bytes, len);
    if (err)
        return err;
    msgpack_unpack_return rv = msgpack_unpack((const char *)bytes, len, &off, zone, out);
    if (rv == MSGPACK_UNPACK_NOMEM_ERROR)
        return PB_E_MEMORY;
    if ((rv != MSGPACK_UNPACK_SUCCESS && rv != MSGPACK_UNPACK_EXTRA_BYTES) || off != len)
        return PB_E_INVALID;
    return maps_are_fine(out) ? PB_OK : PB_E_INVALID;
}

/* -- reading -- */

const msgpack_object *message_get(const msgpack_object *map, const char *key)
{
    size_t len = strlen(key);
    if (!map || map->type != MSGPACK_OBJECT_MAP)
        return NULL;
    for (uint32_t i = 0; i < map->via.map.size; i++) {
        const msgpack_object_kv *kv = &map->via.map.ptr[i];
        if (is_key(&kv->key, key, len))
            return &kv->val;
    }
    return NULL;
}

bool message_u64(const msgpack_object *o, uint64_t max, uint64_t *out)
{
    if (!o || o->type != MSGPACK_OBJECT_POSITIVE_INTEGER || o->via.u64 > max)
        return false;
    *out = o->via.u64;
    return true;
}

bool message_i64(const msgpack_object *o, int64_t *out)
{
    if (!o || (o->type != MSGPACK_OBJECT_POSITIVE_INTEGER && o->type != MSGPACK_OBJECT_NEGATIVE_INTEGER))
        return false;
    if (o->type == MSGPACK_OBJECT_POSITIVE_INTEGER && o->via.u64 > INT64_MAX)
        return false;
    *out = o->type == MSGPACK_OBJECT_POSITIVE_INTEGER ? (int64_t)o->via.u64 : o->via.i64;
    return true;
}

bool message_bool(const msgpack_object *o, bool *out)
{
    if (!o || o->type != MSGPACK_OBJECT_BOOLEAN)
        return false;
    *out = o->via.boolean;
    return true;
}

bool message_str(const msgpack_object *o, size_t max_len, const char **out, size_t *len)
{
    if (!o || o->type != MSGPACK_OBJECT_STR || o->via.str.size > max_len ||
        !buf_is_utf8(o->via.str.ptr, o->via.str.size))
        return false;
    *out = o->via.str.ptr;
    *len = o->via.str.size;
    return true;
}

bool message_bin(const msgpack_object *o, size_t max_len, const uint8_t **out, size_t *len)
{
    if (!o || o->type != MSGPACK_OBJECT_BIN || o->via.bin.size > max_len)
        return false;
    *out = (const uint8_t *)o->via.bin.ptr;
    *len = o->via.bin.size;
    return true;
}

bool message_bin_exact(const msgpack_object *o, void *out, size_t len)
{
    const uint8_t *bytes;
    size_t got;
    if (!message_bin(o, len, &bytes, &got) || got != len)
        return false;
    memcpy(out, bytes, len);
    return true;
}

bool message_array(const msgpack_object *o, size_t max_count, const msgpack_object **items, size_t *count)
{
    if (!o || o->type != MSGPACK_OBJECT_ARRAY || o->via.array.size > max_count)
        return false;
    *items = o->via.array.ptr;
    *count = o->via.array.size;
    return true;
}

/* -- writing -- */

static int append(void *data, const char *bytes, size_t len)
{
    buf_append(data, bytes, len);
    return 0;
}

void message_packer(msgpack_packer *pk, struct buf *out)
{
    msgpack_packer_init(pk, out, append);
}

void message_put_str(msgpack_packer *pk, const char *text, size_t len)
{
    msgpack_pack_str(pk, len);
    msgpack_pack_str_body(pk, text, len);
}

void message_put_text(msgpack_packer *pk, const char *text)
{
    if (text)
        message_put_str(pk, text, strlen(text));
    else
        msgpack_pack_nil(pk);
}

void message_put_bin(msgpack_packer *pk, const void *bytes, size_t len)
{
    msgpack_pack_bin(pk, len);
    msgpack_pack_bin_body(pk, bytes, len);
}
