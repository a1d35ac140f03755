#include "common/id.h"

#include <sodium.h>
#include <stdio.h>
#include <string.h>

/* The first 48 bits are the time (RFC 9562, section 5.7). */
static void put_ms(struct pb_id *id, int64_t wall_ms)
{
    for (int i = 0; i < 6; i++)
        id->bytes[i] = (uint8_t)((uint64_t)wall_ms >> (40 - 8 * i));
}

void id_new(struct pb_id *out, int64_t wall_ms)
{
    randombytes_buf(out->bytes, sizeof out->bytes);
    put_ms(out, wall_ms);
    out->bytes[6] = (uint8_t)(0x70 | (out->bytes[6] & 0x0f));
    out->bytes[8] = (uint8_t)(0x80 | (out->bytes[8] & 0x3f));
}

void id_next(struct id_series *s, int64_t wall_ms, struct pb_id *out)
{
    if (wall_ms > s->ms)
        *s = (struct id_series){.ms = wall_ms};
    if (s->n == 4096)
        *s = (struct id_series){.ms = s->ms + 1};
    id_new(out, s->ms);
    out->bytes[6] = (uint8_t)(0x70 | s->n >> 8);
    out->bytes[7] = (uint8_t)s->n++;
}

uint64_t id_ms(const struct pb_id *id)
{
    uint64_t ms = 0;
    for (int i = 0; i < 6; i++)
        ms = ms << 8 | id->bytes[i];
    return ms;
}

struct pb_id id_last_of(int64_t wall_ms)
{
    struct pb_id id;
    memset(&id, 0xff, sizeof id);
    put_ms(&id, wall_ms);
    return id;
}

void id_text(const struct pb_id *id, const char *prefix, char out[ID_TEXT_BYTES])
{
    char hex[33];
    sodium_bin2hex(hex, sizeof hex, id->bytes, sizeof id->bytes);
    snprintf(out, ID_TEXT_BYTES, "%.7s%s", prefix, hex);
}

pb_err id_parse(const char *text, const char *prefix, struct pb_id *out)
{
    size_t prefix_len = strlen(prefix), got = 0;
    struct pb_id id;
    if (strncmp(text, prefix, prefix_len) != 0 || strlen(text) != prefix_len + 32)
        return PB_E_INVALID;
    if (strspn(text + prefix_len, "0123456789abcdef") != 32) /* one id, one text */
        return PB_E_INVALID;
    if (sodium_hex2bin(id.bytes, sizeof id.bytes, text + prefix_len, 32, NULL, &got, NULL) != 0 ||
        got != sizeof id.bytes)
        return PB_E_INVALID;
    *out = id;
    return PB_OK;
}

bool id_equal(const struct pb_id *a, const struct pb_id *b)
{
    return memcmp(a->bytes, b->bytes, sizeof a->bytes) == 0;
}

bool id_is_nil(const struct pb_id *id)
{
    static const struct pb_id nil;
    return id_equal(id, &nil);
}
