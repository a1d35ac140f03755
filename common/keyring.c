#include "common/keyring.h"

#include "common/clock.h"

#include <errno.h>
#include <fcntl.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define MASTER_BYTES 32
#define LINE_BYTES   256
#define KDF_CONTEXT  "pbkeys01"

enum { KEY_RECORDS = 1, KEY_INBOUND = 2 };

struct key {
    char kid[SEAL_KID_CHARS + 1];
    uint8_t record[32], box_public[crypto_box_PUBLICKEYBYTES], box_secret[crypto_box_SECRETKEYBYTES];
};

struct keyring {
    struct key *keys; /* oldest first; in sodium_malloc memory */
    size_t count;
};

/* -- making one -- */

static pb_err write_keyring(int fd, const char *path, struct pb_why *why)
{
    uint8_t master[MASTER_BYTES];
    char hex[2 * MASTER_BYTES + 1], today[CLOCK_TEXT_BYTES], text[512];
    clock_text(clock_wall_ms(), today);
    randombytes_buf(master, sizeof master);
    sodium_bin2hex(hex, sizeof hex, master, sizeof master);
    int len = snprintf(
        text, sizeof text,
        "# Patchbay's keyring: the master keys of all stored credentials. Only workers read it. Keep a copy "
        "in a safe\n"
        "# place: without it the stored credentials are lost. One line a key, the last one encrypts.\n"
        "key k%.4s%.2s%.2s-%04x %s\n",
        today, today + 5, today + 8, (unsigned)randombytes_uniform(0x10000), hex);
    pb_err err = PB_OK;
    if (write(fd, text, (size_t)len) != len || fsync(fd) != 0)
        err = pb_fail(why, PB_E_IO, path, "cannot be written: %s", strerror(errno));
    sodium_memzero(master, sizeof master);
    sodium_memzero(hex, sizeof hex);
    sodium_memzero(text, sizeof text);
    return err;
}

/* The new name must survive a power cut, too. */
static void sync_folder_of(const char *path)
{
    char folder[4096];
    const char *slash = strrchr(path, '/');
    snprintf(folder, sizeof folder, "%.*s", slash ? (int)(slash - path) : 1, slash ? path : ".");
    int fd = open(folder[0] ? folder : "/", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return;
    fsync(fd);
    close(fd);
}

pb_err keyring_create(const char *path, struct pb_why *why)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (fd < 0 && errno == EEXIST)
        return pb_fail(
            why, PB_E_EXISTS, path,
            "is there already and is left as it is; a new keyring would make stored credentials unreadable");
    if (fd < 0)
        return pb_fail(why, PB_E_IO, path, "cannot be made: %s", strerror(errno));
    pb_err err = write_keyring(fd, path, why);
    close(fd);
    if (err)
        unlink(path);
    else
        sync_folder_of(path);
    return err;
}

/* -- reading one -- */

static pb_err check_file(FILE *f, const char *path, struct pb_why *why)
{
    struct stat st;
    if (fstat(fileno(f), &st) != 0)
        return pb_fail(why, PB_E_IO, path, "cannot be looked at: %s", strerror(errno));
    if (!S_ISREG(st.st_mode))
        return pb_fail(why, PB_E_DENIED, path, "must be a regular file");
    if (st.st_mode & 077)
        return pb_fail(why, PB_E_DENIED, path,
                       "the keyring may be read by others (mode %03o); run: chmod 600 %s",
                       (unsigned)(st.st_mode & 0777), path);
    return PB_OK;
}

static void derive(struct key *k, const uint8_t master[MASTER_BYTES])
{
    uint8_t seed[crypto_box_SEEDBYTES];
    crypto_kdf_derive_from_key(k->record, sizeof k->record, KEY_RECORDS, KDF_CONTEXT, master);
    crypto_kdf_derive_from_key(seed, sizeof seed, KEY_INBOUND, KDF_CONTEXT, master);
    crypto_box_seed_keypair(k->box_public, k->box_secret, seed);
    sodium_memzero(seed, sizeof seed);
}

/* "key KID HEX" and the line's end, nothing else: fills *k; false if the line is not that. */
static bool parse_key(const char *line, struct key *k)
{
    static const char kid_chars[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-";
    uint8_t master[MASTER_BYTES];
    size_t len = 0;
    const char *kid = line + 4, *end = NULL;
    if (strncmp(line, "key ", 4) != 0)
        return false;
    size_t kid_len = strspn(kid, kid_chars);
    const char *hex = kid + kid_len + 1;
    bool ok = kid_len > 0 && kid_len <= SEAL_KID_CHARS && kid[kid_len] == ' ' &&
              sodium_hex2bin(master, sizeof master, hex, strlen(hex), NULL, &len, &end) == 0 &&
              len == sizeof master && end[strspn(end, " \t\r\n")] == 0;
    if (ok) {
        memcpy(k->kid, kid, kid_len);
        k->kid[kid_len] = 0;
        derive(k, master);
    }
    sodium_memzero(master, sizeof master);
    return ok;
}

static bool is_known(const struct keyring *ring, const char *kid)
{
    for (size_t i = 0; i < ring->count; i++)
        if (strcmp(ring->keys[i].kid, kid) == 0)
            return true;
    return false;
}

static pb_err take_line(struct keyring *ring, const char line[LINE_BYTES], const char *path, int number,
                        struct pb_why *why)
{
    char at[192];
    snprintf(at, sizeof at, "%.170s:%d", path, number);
    if (strlen(line) == LINE_BYTES - 1 && line[LINE_BYTES - 2] != '\n')
        return pb_fail(why, PB_E_LIMIT, at, "is longer than %d bytes", LINE_BYTES - 2);
    if (memrchr(line, 0, LINE_BYTES) != line + strlen(line)) /* what is behind it would go unread */
        return pb_fail(why, PB_E_INVALID, at, "has a NUL in it");
    if (line[0] == '#' || line[strspn(line, " \t\r\n")] == 0)
        return PB_OK;
    if (ring->count == KEYRING_KEYS_MAX)
        return pb_fail(why, PB_E_LIMIT, at, "holds more than %d keys", KEYRING_KEYS_MAX);
    struct key *k = &ring->keys[ring->count];
    if (!parse_key(line, k))
        return pb_fail(why, PB_E_INVALID, at, "must be: key NAME and 64 hexadecimal digits");
    if (is_known(ring, k->kid))
        return pb_fail(why, PB_E_INVALID, at, "names a key that is there already: %s", k->kid);
    ring->count++;
    return PB_OK;
}

static bool next_line(char line[LINE_BYTES], FILE *f)
{
    memset(line, '#', LINE_BYTES); /* so that the last NUL in it is the one that fgets() puts */
    return fgets(line, LINE_BYTES, f);
}

static pb_err take_lines(struct keyring *ring, FILE *f, const char *path, struct pb_why *why)
{
    char line[LINE_BYTES];
    pb_err err = PB_OK;
    for (int number = 1; !err && next_line(line, f); number++)
        err = take_line(ring, line, path, number, why);
    sodium_memzero(line, sizeof line);
    if (!err && ferror(f))
        err = pb_fail(why, PB_E_IO, path, "cannot be read: %s", strerror(errno));
    if (!err && ring->count == 0)
        err = pb_fail(why, PB_E_INVALID, path, "holds no key; `patchbay keys init` makes a keyring");
    return err;
}

static pb_err ring_new(struct keyring **out)
{
    struct keyring *ring = calloc(1, sizeof *ring);
    if (ring)
        ring->keys = sodium_allocarray(KEYRING_KEYS_MAX, sizeof *ring->keys);
    if (!ring || !ring->keys) {
        free(ring);
        return PB_E_MEMORY;
    }
    *out = ring;
    return PB_OK;
}

pb_err keyring_open(const char *path, struct keyring **out, struct pb_why *why)
{
    struct keyring *ring = NULL;
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    FILE *f = fd >= 0 ? fdopen(fd, "r") : NULL;
    if (!f) {
        const char *remedy = errno == ENOENT ? "; `patchbay keys init` makes one" : "";
        pb_err err =
            pb_fail(why, PB_E_IO, path, "the keyring cannot be opened: %s%s", strerror(errno), remedy);
        if (fd >= 0)
            close(fd);
        return err;
    }
    setvbuf(f, NULL, _IONBF, 0); /* no copy of the keys in a buffer of stdio's */
    pb_err err = check_file(f, path, why);
    if (!err)
        err = ring_new(&ring);
    if (!err)
        err = take_lines(ring, f, path, why);
    fclose(f);
    if (err) {
        keyring_close(ring);
        return err;
    }
    sodium_mprotect_readonly(ring->keys);
    *out = ring;
    return PB_OK;
}

void keyring_close(struct keyring *ring)
{
    if (!ring)
        return;
    sodium_free(ring->keys); /* wipes */
    free(ring);
}

/* -- keys, newest first -- */

static const struct key *key_at(const struct keyring *ring, size_t i)
{
    return &ring->keys[ring->count - 1 - i];
}

size_t keyring_count(const struct keyring *ring)
{
    return ring->count;
}

const uint8_t *keyring_public(const struct keyring *ring)
{
    return key_at(ring, 0)->box_public;
}

const char *keyring_current_kid(const struct keyring *ring)
{
    return key_at(ring, 0)->kid;
}

const char *keyring_kid(const struct keyring *ring, size_t i)
{
    return key_at(ring, i)->kid;
}

const uint8_t *keyring_record_key(const struct keyring *ring, size_t i)
{
    return key_at(ring, i)->record;
}

const uint8_t *keyring_box_public(const struct keyring *ring, size_t i)
{
    return key_at(ring, i)->box_public;
}

const uint8_t *keyring_box_secret(const struct keyring *ring, size_t i)
{
    return key_at(ring, i)->box_secret;
}
