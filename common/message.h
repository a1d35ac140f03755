/* msgpack for messages and records: checked reading, short writing. Pure.
 *
 * msgpack-c can be told by five bytes to reserve 512 MB, so nothing is unpacked that message_scan() has not
 * walked first. */
#ifndef PB_MESSAGE_H
#define PB_MESSAGE_H

#include "common/buf.h"
#include "common/err.h"

#include <msgpack.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Exactly one object fills the bytes; no deeper than LIMIT_MESSAGE_DEPTH, no more objects than
 * LIMIT_MESSAGE_ITEMS, no count larger than the bytes that are left. PB_E_INVALID or PB_E_LIMIT. */
pb_err message_scan(const uint8_t *bytes, size_t len) PB_CHECKED;

/* Scans, then unpacks. Strings and binaries point into bytes. Duplicate keys of a map are refused. */
pb_err message_unpack(const uint8_t *bytes, size_t len, msgpack_zone *zone, msgpack_object *out) PB_CHECKED;

/* A map's value by its string key; NULL if there is none, or map is not a map. */
const msgpack_object *message_get(const msgpack_object *map, const char *key);

/* Each is false if the object is NULL or of another type (or the number out of range), and then leaves *out
 * as it was. */
bool message_u64(const msgpack_object *o, uint64_t max, uint64_t *out);
bool message_i64(const msgpack_object *o, int64_t *out);
bool message_bool(const msgpack_object *o, bool *out);
bool message_str(const msgpack_object *o, size_t max_len, const char **out, size_t *len);
bool message_bin(const msgpack_object *o, size_t max_len, const uint8_t **out, size_t *len);
bool message_bin_exact(const msgpack_object *o, void *out, size_t len); /* copies */
bool message_array(const msgpack_object *o, size_t max_count, const msgpack_object **items, size_t *count);

/* A packer that appends to a buffer; look at the buffer's failed flag at the end. */
void message_packer(msgpack_packer *pk, struct buf *out);
void message_put_str(msgpack_packer *pk, const char *text, size_t len);
void message_put_text(msgpack_packer *pk, const char *text); /* NULL: nil */
void message_put_bin(msgpack_packer *pk, const void *bytes, size_t len);

#endif
