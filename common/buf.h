/* A growable run of bytes with a maximum.
 *
 * Appending never has to be checked one by one: after the first failure (no memory, or past max_bytes) the
 * buffer is marked failed, later appends do nothing, and the caller looks once, at the end. */
#ifndef PB_BUF_H
#define PB_BUF_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct buf {
    uint8_t *data; /* NULL while empty; always followed by a NUL byte that len does not count */
    size_t len, cap, max_bytes;
    bool failed;
    bool secret; /* set after buf_init(): memory is wiped before it is given back */
};

void buf_init(struct buf *b, size_t max_bytes);
void buf_fini(struct buf *b);  /* accepts a zeroed one */
void buf_reset(struct buf *b); /* empties it, keeps the memory */
void buf_append(struct buf *b, const void *bytes, size_t len);
void buf_text(struct buf *b, const char *text);
void buf_printf(struct buf *b, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* Appends text as the inside of a JSON string; bytes that are not UTF-8 become U+FFFD. */
void buf_json_escape(struct buf *b, const char *text, size_t len);
/* Appends text, with bytes that are not UTF-8 as U+FFFD. */
void buf_utf8(struct buf *b, const char *text, size_t len);
/* Would buf_utf8() leave text as it is? */
bool buf_is_utf8(const char *text, size_t len);
/* The bytes as a string, owned by the caller (free); NULL if the buffer failed. The buffer is empty after. */
char *buf_take(struct buf *b, size_t *len);
/* The bytes as a string, lent until the next call; "" while empty. */
const char *buf_peek(const struct buf *b);

#endif
