#include "tests/unit/scratch.h"

#include <ftw.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
/* cmocka wants setjmp and stdarg before it */
#include <cmocka.h>

#define OPEN_FOLDERS 16

void scratch_open(struct scratch *s)
{
    snprintf(s->folder, sizeof s->folder, "/tmp/patchbay-test-XXXXXX");
    if (!mkdtemp(s->folder))
        fail_msg("%s cannot be made", s->folder);
}

static int remove_one(const char *path, const struct stat *st, int kind, struct FTW *at)
{
    (void)st;
    (void)kind;
    (void)at;
    return remove(path);
}

void scratch_close(struct scratch *s)
{
    if (nftw(s->folder, remove_one, OPEN_FOLDERS, FTW_DEPTH | FTW_PHYS) != 0)
        fail_msg("%s cannot be removed", s->folder);
}

int scratch_start(void **state)
{
    static struct scratch s;
    scratch_open(&s);
    *state = &s;
    return 0;
}

int scratch_stop(void **state)
{
    scratch_close(*state);
    return 0;
}

const char *scratch_path(const struct scratch *s, const char *name, char out[256])
{
    snprintf(out, 256, "%s/%.180s", s->folder, name);
    return out;
}

void scratch_write(const struct scratch *s, const char *name, const void *bytes, size_t len, unsigned mode)
{
    char path[256];
    scratch_path(s, name, path);
    for (char *slash = path + strlen(s->folder) + 1; (slash = strchr(slash, '/')); *slash++ = '/') {
        *slash = 0;
        mkdir(path, 0700);
    }
    unlink(path);
    FILE *f = fopen(path, "w");
    if (!f)
        fail_msg("%s cannot be written", path);
    if ((len && fwrite(bytes, 1, len, f) != len) || fclose(f) != 0 || chmod(path, (mode_t)mode) != 0)
        fail_msg("%s cannot be written", path);
}

void scratch_text(const struct scratch *s, const char *name, const char *text)
{
    scratch_write(s, name, text, strlen(text), 0600);
}

uint64_t scratch_random(uint64_t *seed)
{
    uint64_t z = *seed += UINT64_C(0x9e3779b97f4a7c15);
    z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
    return z ^ (z >> 31);
}

void scratch_unhex(const char *hex, void *out, size_t len)
{
    uint8_t *to = out;
    unsigned byte;
    assert_int_equal(strlen(hex), 2 * len);
    for (size_t i = 0; i < len; i++) {
        assert_int_equal(sscanf(hex + 2 * i, "%2x", &byte), 1);
        to[i] = (uint8_t)byte;
    }
}

/* The digits behind "name =", or NULL if line is another. Ends them at the line's end. */
static char *digits_of(char *line, const char *name)
{
    size_t len = strlen(name);
    char *at = line + strspn(line, " ");
    if (strncmp(at, name, len) != 0)
        return NULL;
    at += len + strspn(at + len, " ");
    if (*at != '=')
        return NULL;
    at += 1 + strspn(at + 1, " ");
    size_t digits = strspn(at, "0123456789abcdef");
    if (at[digits] != '\n') /* words that explain it */
        return NULL;
    at[digits] = 0;
    return at;
}

size_t scratch_vector(const char *document, const char *name, void *out, size_t max)
{
    char line[4096], *hex = NULL;
    FILE *f = fopen(document, "r");
    if (!f)
        fail_msg("%s cannot be opened; tests run in the top folder", document);
    while (!hex && fgets(line, sizeof line, f))
        hex = digits_of(line, name);
    fclose(f);
    if (!hex)
        fail_msg("%s has no line \"%s = ...\"", document, name);
    assert_true(strlen(hex) / 2 <= max);
    scratch_unhex(hex, out, strlen(hex) / 2);
    return strlen(hex) / 2;
}

/* Bytes that mean much in msgpack: the longest counts, ends of ranges, types that are not used. */
static const uint8_t nasty[] = {0x00, 0x7f, 0x80, 0x8f, 0x90, 0x9f, 0xa0, 0xbf, 0xc0, 0xc1, 0xc4, 0xc6, 0xc7,
                                0xc9, 0xcb, 0xcf, 0xd3, 0xd8, 0xd9, 0xdb, 0xdc, 0xdd, 0xde, 0xdf, 0xe0, 0xff};

static size_t mutate_once(uint64_t *seed, uint8_t *bytes, size_t len, size_t max_len)
{
    uint64_t r = scratch_random(seed);
    size_t at = len ? (size_t)(r >> 32) % len : 0, run;
    switch (len ? r % 6 : 5) {
    case 0:
        bytes[at] ^= (uint8_t)(1u << (r >> 8 & 7));
        return len;
    case 1:
        bytes[at] = (uint8_t)(r >> 16);
        return len;
    case 2:
        bytes[at] = nasty[(r >> 8) % sizeof nasty];
        return len;
    case 3:
        return at;
    case 4: /* take a few out */
        run = (size_t)(r >> 8 & 7) < len - at ? (size_t)(r >> 8 & 7) : len - at;
        memmove(bytes + at, bytes + at + run, len - at - run);
        return len - run;
    default: /* say a few twice */
        run = (size_t)(r >> 8 & 15) < len - at ? (size_t)(r >> 8 & 15) : len - at;
        if (run > max_len - len)
            return len;
        memmove(bytes + at + run, bytes + at, len - at);
        return len + run;
    }
}

size_t scratch_mutate(uint64_t *seed, uint8_t *bytes, size_t len, size_t max_len)
{
    for (uint64_t n = 1 + scratch_random(seed) % 4; n; n--)
        len = mutate_once(seed, bytes, len, max_len);
    return len;
}

static void parse_copy(const uint8_t *bytes, size_t len, void (*parse)(void *, const uint8_t *, size_t),
                       void *arg)
{
    uint8_t *copy = malloc(len ? len : 1);
    assert_non_null(copy);
    if (len)
        memcpy(copy, bytes, len);
    parse(arg, copy, len);
    free(copy);
}

void scratch_fuzz(const uint8_t *bytes, size_t len, uint64_t seed, int rounds,
                  void (*parse)(void *arg, const uint8_t *bytes, size_t len), void *arg)
{
    size_t max_len = 2 * len + 64;
    uint8_t *changed = malloc(max_len);
    assert_non_null(changed);
    for (size_t cut = 0; cut < len; cut++)
        parse_copy(bytes, cut, parse, arg);
    for (int i = 0; i < rounds; i++) {
        memcpy(changed, bytes, len);
        parse_copy(changed, scratch_mutate(&seed, changed, len, max_len), parse, arg);
    }
    free(changed);
}
