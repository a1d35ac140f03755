#include "common/channel.h"

#include <errno.h>
#include <fcntl.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define SECRET_BYTES 32
#define KDF_CONTEXT  "pbwire01"

enum { KEY_TO_BROKER = 1, KEY_TO_WORKER = 2, KEY_CONFIRM = 3 };

/* -- the secret's file -- */

static void derive_psk(const uint8_t secret[SECRET_BYTES], uint8_t psk[CHANNEL_PSK_BYTES])
{
    static const char label[] = "patchbay cluster secret";
    crypto_generichash_state h;
    crypto_generichash_init(&h, NULL, 0, CHANNEL_PSK_BYTES);
    crypto_generichash_update(&h, (const uint8_t *)label, sizeof label - 1);
    crypto_generichash_update(&h, secret, SECRET_BYTES);
    crypto_generichash_final(&h, psk, CHANNEL_PSK_BYTES);
}

static pb_err check_private(int fd, const char *path, struct pb_why *why)
{
    struct stat st;
    if (fstat(fd, &st) != 0)
        return pb_fail(why, PB_E_IO, path, "cannot be looked at: %s", strerror(errno));
    if (!S_ISREG(st.st_mode))
        return pb_fail(why, PB_E_DENIED, path, "must be a file");
    if (st.st_mode & 077)
        return pb_fail(why, PB_E_DENIED, path, "may be read by others (mode %03o); run: chmod 600 %s",
                       (unsigned)(st.st_mode & 0777), path);
    return PB_OK;
}

static pb_err parse_secret(char *text, ssize_t len, const char *path, uint8_t psk[CHANNEL_PSK_BYTES],
                           struct pb_why *why)
{
    uint8_t secret[SECRET_BYTES];
    size_t got = 0;
    const char *end = text;
    if (len == 2 * SECRET_BYTES + 15) /* there may be more than was read */
        return pb_fail(why, PB_E_INVALID, path, "must hold the cluster secret: 64 hexadecimal digits");
    if (len < 0)
        return pb_fail(why, PB_E_IO, path, "cannot be read: %s", strerror(errno));
    int bad = sodium_hex2bin(secret, sizeof secret, text, (size_t)len, NULL, &got, &end);
    bool clean = !bad && got == SECRET_BYTES && end + strspn(end, "\r\n \t") == text + len;
    if (clean)
        derive_psk(secret, psk);
    sodium_memzero(secret, sizeof secret);
    return clean ? PB_OK
                 : pb_fail(why, PB_E_INVALID, path, "must hold the cluster secret: 64 hexadecimal digits");
}

pb_err channel_read_secret(const char *path, uint8_t psk[CHANNEL_PSK_BYTES], struct pb_why *why)
{
    char text[2 * SECRET_BYTES + 16] = {0};
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0)
        return pb_fail(why, PB_E_IO, path,
                       "cannot be opened: %s; it is the cluster secret, the same on every machine",
                       strerror(errno));
    pb_err err = check_private(fd, path, why);
    if (!err)
        err = parse_secret(text, read(fd, text, sizeof text - 1), path, psk, why);
    sodium_memzero(text, sizeof text);
    close(fd);
    return err;
}

pb_err channel_create_secret(const char *path, struct pb_why *why)
{
    uint8_t secret[SECRET_BYTES];
    char text[2 * SECRET_BYTES + 2];
    int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (fd < 0)
        return pb_fail(why, errno == EEXIST ? PB_E_EXISTS : PB_E_IO, path, "cannot be made: %s",
                       strerror(errno));
    randombytes_buf(secret, sizeof secret);
    sodium_bin2hex(text, sizeof text, secret, sizeof secret);
    text[2 * SECRET_BYTES] = '\n';
    pb_err err = PB_OK;
    if (write(fd, text, sizeof text - 1) != (ssize_t)(sizeof text - 1) || fsync(fd) != 0) {
        err = pb_fail(why, PB_E_IO, path, "cannot be written: %s", strerror(errno));
        unlink(path);
    }
    sodium_memzero(secret, sizeof secret);
    sodium_memzero(text, sizeof text);
    close(fd);
    return err;
}

/* -- the handshake -- */

/* BLAKE2b-256 under key over label, version, session and keys; both sides feed it the same way. */
static void transcript(const uint8_t key[32], const uint8_t *first, size_t first_len, uint8_t version,
                       const uint8_t *session, const uint8_t *key_w, const uint8_t *key_b, uint8_t out[32])
{
    crypto_generichash_state h;
    crypto_generichash_init(&h, key, 32, 32);
    crypto_generichash_update(&h, first, first_len);
    crypto_generichash_update(&h, &version, 1);
    crypto_generichash_update(&h, session, WIRE_SESSION_BYTES);
    crypto_generichash_update(&h, key_w, WIRE_KEY_BYTES);
    if (key_b)
        crypto_generichash_update(&h, key_b, WIRE_KEY_BYTES);
    crypto_generichash_final(&h, out, 32);
}

static void hello_mac(const uint8_t psk[32], const struct wire_hello *h, uint8_t out[WIRE_MAC_BYTES])
{
    static const char label[] = "patchbay hello";
    transcript(psk, (const uint8_t *)label, sizeof label - 1, (uint8_t)h->version, h->session, h->key, NULL,
               out);
}

struct derived {
    uint8_t to_broker[32], to_worker[32], confirm[32];
};

/* PB_E_DENIED: the other side's key is a point of low order. */
static pb_err derive(const uint8_t psk[32], const uint8_t own_secret[32], const uint8_t other[32],
                     uint8_t version, const struct wire_hello *h, const uint8_t *key_b, struct derived *out)
{
    uint8_t shared[32], master[32];
    pb_err err = PB_E_DENIED;
    if (crypto_scalarmult(shared, own_secret, other) == 0) {
        transcript(psk, shared, sizeof shared, version, h->session, h->key, key_b, master);
        crypto_kdf_derive_from_key(out->to_broker, 32, KEY_TO_BROKER, KDF_CONTEXT, master);
        crypto_kdf_derive_from_key(out->to_worker, 32, KEY_TO_WORKER, KDF_CONTEXT, master);
        crypto_kdf_derive_from_key(out->confirm, 32, KEY_CONFIRM, KDF_CONTEXT, master);
        err = PB_OK;
    }
    sodium_memzero(shared, sizeof shared);
    sodium_memzero(master, sizeof master);
    return err;
}

static void welcome_mac(const struct derived *d, const struct wire_hello *h, const struct wire_welcome *w,
                        uint8_t out[WIRE_MAC_BYTES])
{
    static const char label[] = "patchbay welcome";
    transcript(d->confirm, (const uint8_t *)label, sizeof label - 1, (uint8_t)w->version, h->session, h->key,
               w->key, out);
}

static void start_channel(struct channel *c, const uint8_t *session, const uint8_t out[32],
                          const uint8_t in[32])
{
    *c = (struct channel){0};
    memcpy(c->session, session, sizeof c->session);
    memcpy(c->key_out, out, sizeof c->key_out);
    memcpy(c->key_in, in, sizeof c->key_in);
}

void channel_fini(struct channel *c)
{
    sodium_memzero(c, sizeof *c);
}

pb_err channel_greet(const uint8_t psk[CHANNEL_PSK_BYTES], struct channel_hello *out)
{
    *out = (struct channel_hello){.hello.version = WIRE_VERSION};
    randombytes_buf(out->hello.session, sizeof out->hello.session);
    if (crypto_box_keypair(out->hello.key, out->secret_key) != 0)
        return PB_E_IO;
    hello_mac(psk, &out->hello, out->hello.mac);
    return PB_OK;
}

pb_err channel_take_welcome(const uint8_t psk[CHANNEL_PSK_BYTES], const struct channel_hello *h,
                            const struct wire_welcome *w, struct channel *out)
{
    struct derived d;
    uint8_t mac[WIRE_MAC_BYTES];
    if (w->version == 0 || w->version > h->hello.version)
        return PB_E_UNSUPPORTED;
    pb_err err = derive(psk, h->secret_key, w->key, (uint8_t)w->version, &h->hello, w->key, &d);
    if (err)
        return err;
    welcome_mac(&d, &h->hello, w, mac);
    if (sodium_memcmp(mac, w->mac, sizeof mac) != 0)
        err = PB_E_DENIED;
    else
        start_channel(out, h->hello.session, d.to_broker, d.to_worker);
    sodium_memzero(&d, sizeof d);
    return err;
}

pb_err channel_welcome(const uint8_t psk[CHANNEL_PSK_BYTES], const struct wire_hello *hello,
                       struct wire_welcome *w, struct channel *out)
{
    uint8_t mac[WIRE_MAC_BYTES], secret_key[32];
    struct derived d;
    if (hello->version == 0 || hello->version > UINT8_MAX)
        return PB_E_UNSUPPORTED;
    hello_mac(psk, hello, mac);
    if (sodium_memcmp(mac, hello->mac, sizeof mac) != 0)
        return PB_E_DENIED;
    *w = (struct wire_welcome){.version = hello->version < WIRE_VERSION ? hello->version : WIRE_VERSION};
    crypto_box_keypair(w->key, secret_key);
    pb_err err = derive(psk, secret_key, hello->key, (uint8_t)w->version, hello, w->key, &d);
    sodium_memzero(secret_key, sizeof secret_key);
    if (err)
        return err;
    welcome_mac(&d, hello, w, w->mac);
    start_channel(out, hello->session, d.to_worker, d.to_broker);
    sodium_memzero(&d, sizeof d);
    return PB_OK;
}

/* -- frames -- */

struct framing {
    uint8_t nonce[crypto_aead_xchacha20poly1305_ietf_NPUBBYTES];
    uint8_t data[WIRE_SESSION_BYTES + 8];
};

static void frame(const struct channel *c, uint64_t counter, struct framing *f)
{
    *f = (struct framing){0};
    memcpy(f->data, c->session, WIRE_SESSION_BYTES);
    for (int i = 0; i < 8; i++)
        f->nonce[16 + i] = f->data[WIRE_SESSION_BYTES + i] = (uint8_t)(counter >> (8 * i));
}

pb_err channel_seal(struct channel *c, const uint8_t *plain, size_t len, struct buf *out)
{
    struct framing f;
    struct wire_sealed sealed = {.counter = c->sent + 1};
    if (len > LIMIT_MESSAGE_BYTES - CHANNEL_OVERHEAD)
        return PB_E_LIMIT;
    uint8_t *box = malloc(len + crypto_aead_xchacha20poly1305_ietf_ABYTES);
    if (!box)
        return PB_E_MEMORY;
    frame(c, sealed.counter, &f);
    unsigned long long box_len;
    crypto_aead_xchacha20poly1305_ietf_encrypt(box, &box_len, plain, len, f.data, sizeof f.data, NULL,
                                               f.nonce, c->key_out);
    memcpy(sealed.session, c->session, sizeof sealed.session);
    sealed.box = (struct wire_bytes){box, (size_t)box_len};
    pb_err err = wire_pack_sealed(&sealed, out);
    if (!err)
        c->sent++;
    free(box);
    return err;
}

pb_err channel_open(struct channel *c, const struct wire_sealed *sealed, struct buf *plain)
{
    struct framing f;
    if (memcmp(sealed->session, c->session, sizeof c->session) != 0 || sealed->counter <= c->seen ||
        sealed->box.len < crypto_aead_xchacha20poly1305_ietf_ABYTES)
        return PB_E_DENIED;
    uint8_t *bytes = malloc(sealed->box.len);
    if (!bytes)
        return PB_E_MEMORY;
    frame(c, sealed->counter, &f);
    unsigned long long len = 0;
    pb_err err = PB_OK;
    if (crypto_aead_xchacha20poly1305_ietf_decrypt(bytes, &len, NULL, sealed->box.data, sealed->box.len,
                                                   f.data, sizeof f.data, f.nonce, c->key_in) != 0) {
        err = PB_E_DENIED;
    } else {
        buf_reset(plain);
        buf_append(plain, bytes, (size_t)len);
        err = plain->failed ? PB_E_MEMORY : PB_OK;
    }
    if (!err)
        c->seen = sealed->counter;
    free(bytes);
    return err;
}
