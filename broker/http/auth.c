#include "broker/http/auth.h"

#include "broker/broker.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/clock.h"

#define TOKEN_FILE      "admin.token"
#define TOKEN_PREFIX    "pb_"
#define TOKEN_BYTES     32
#define TOKEN_CHARS_MAX 200   /* what is longer is no token, and is not hashed */
#define TOKENS_MAX      10000 /* in the store */

struct auth {
    struct store_token *tokens;
    size_t count, capacity;
};

/* -- tokens -- */

void auth_new_token(char out[AUTH_TOKEN_TEXT_BYTES])
{
    uint8_t random[TOKEN_BYTES];
    const size_t prefix = sizeof TOKEN_PREFIX - 1;
    randombytes_buf(random, sizeof random);
    memcpy(out, TOKEN_PREFIX, prefix);
    sodium_bin2base64(out + prefix, AUTH_TOKEN_TEXT_BYTES - prefix, random, sizeof random,
                      sodium_base64_VARIANT_URLSAFE_NO_PADDING);
    sodium_memzero(random, sizeof random);
}

void auth_hash(const char *token, size_t len, uint8_t out[AUTH_HASH_BYTES])
{
    crypto_generichash(out, AUTH_HASH_BYTES, (const unsigned char *)token, len, NULL, 0);
}

enum auth_role auth_role_of(const struct store_token *token)
{
    static const char *const names[] = {[ROLE_VIEWER] = "viewer",
                                        [ROLE_SUBMITTER] = "submitter",
                                        [ROLE_OPERATOR] = "operator",
                                        [ROLE_ADMIN] = "admin"};
    for (size_t i = ROLE_VIEWER; i < sizeof names / sizeof names[0]; i++)
        if (strcmp(names[i], token->role) == 0)
            return (enum auth_role)i;
    return ROLE_NONE;
}

/* The token's text within "Bearer TOKEN" (RFC 6750, section 2.1); the scheme's case does not count. */
static const char *bearer(const char *authorization)
{
    static const char scheme[] = "Bearer ";
    if (!authorization || strncasecmp(authorization, scheme, sizeof scheme - 1) != 0)
        return NULL;
    const char *token = authorization + sizeof scheme - 1;
    return token + strspn(token, " ");
}

const struct store_token *auth_find(const struct auth *a, const char *authorization)
{
    const struct store_token *found = NULL;
    const char *token = bearer(authorization);
    size_t len = token ? strnlen(token, TOKEN_CHARS_MAX + 1) : 0;
    uint8_t hash[AUTH_HASH_BYTES];
    if (!len || len > TOKEN_CHARS_MAX)
        return NULL;
    auth_hash(token, len, hash);
    for (size_t i = 0; i < a->count; i++) /* all of them: the time must not tell how far it got */
        if (sodium_memcmp(a->tokens[i].hash, hash, sizeof hash) == 0)
            found = &a->tokens[i];
    return found;
}

static pb_err keep(void *arg, const struct store_token *token)
{
    struct auth *a = arg;
    if (a->count == TOKENS_MAX)
        return PB_E_LIMIT;
    if (a->count == a->capacity) {
        size_t capacity = a->capacity ? a->capacity * 2 : 16;
        struct store_token *tokens = realloc(a->tokens, capacity * sizeof *tokens);
        if (!tokens)
            return PB_E_MEMORY;
        a->tokens = tokens;
        a->capacity = capacity;
    }
    a->tokens[a->count++] = *token;
    return PB_OK;
}

/* -- the first start -- */

static pb_err cannot_write(struct pb_why *why, const char *path, const char *folder)
{
    int reason = errno;
    return pb_fail(why, PB_E_IO, path,
                   "the first administrator's token cannot be written: %s; make %s a folder that this user "
                   "may write to, or choose another with --data-dir",
                   strerror(reason), folder);
}

static bool write_all(int fd, const char *text, size_t len)
{
    while (len) {
        ssize_t n = write(fd, text, len);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return false;
        text += n;
        len -= (size_t)n;
    }
    return true;
}

/* The rename is what must survive a power cut, so the folder is synced, too. */
static bool sync_folder(const char *folder)
{
    int fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    bool ok = fd >= 0 && fsync(fd) == 0;
    if (fd >= 0)
        close(fd);
    return ok;
}

/* Writes a new file of mode 0600 and gives it its name, so that nobody reads half a token. */
static pb_err write_token(const char *folder, const char *path, const char *token, struct pb_why *why)
{
    char temp[PATH_MAX];
    if (snprintf(temp, sizeof temp, "%s.XXXXXX", path) >= (int)sizeof temp)
        return pb_fail(why, PB_E_INVALID, folder, "the path is too long; choose another with --data-dir");
    int fd = mkostemp(temp, O_CLOEXEC);
    if (fd < 0)
        return cannot_write(why, path, folder);
    bool ok = fchmod(fd, 0600) == 0 && write_all(fd, token, strlen(token)) && write_all(fd, "\n", 1) &&
              fsync(fd) == 0;
    if (close(fd) == 0 && ok && rename(temp, path) == 0 && sync_folder(folder))
        return PB_OK;
    pb_err err = cannot_write(why, path, folder);
    unlink(temp);
    return err;
}

static pb_err store_first(struct store *store, const char *text, struct store_token *out, struct pb_why *why)
{
    struct store_op op = {.kind = STORE_ADD_TOKEN,
                          .token = {.tenant = AUTH_TENANT_ALL,
                                    .role = "admin",
                                    .name = "first start",
                                    .created_at_ms = clock_wall_ms()}};
    struct store_op *ops[] = {&op};
    auth_hash(text, strlen(text), op.token.hash);
    pb_err err = store_commit(store, ops, 1, why);
    if (!err)
        err = op.outcome;
    if (!err)
        *out = op.token;
    return err;
}

/* The file comes first: a token that is stored but that nobody was told would lock everyone out. */
static pb_err make_first(struct broker *b, struct store *store, struct auth *a, struct pb_why *why)
{
    char path[PATH_MAX], text[AUTH_TOKEN_TEXT_BYTES];
    struct store_token token;
    const char *folder = b->settings.data_dir;
    if (snprintf(path, sizeof path, "%s/" TOKEN_FILE, folder) >= (int)sizeof path)
        return pb_fail(why, PB_E_INVALID, folder, "the path is too long; choose another with --data-dir");
    auth_new_token(text);
    pb_err err = write_token(folder, path, text, why);
    if (err)
        goto out;
    err = store_first(store, text, &token, why);
    if (!err)
        err = keep(a, &token);
    if (err)
        unlink(path);
    else
        log_line(&b->log, LOG_INFO, "the first start: an administrator's token was written", "file", path,
                 NULL);
out:
    sodium_memzero(text, sizeof text);
    return err;
}

pb_err auth_open(struct broker *b, struct store *store, struct auth **out, struct pb_why *why)
{
    struct auth *a = calloc(1, sizeof *a);
    if (!a)
        return PB_E_MEMORY;
    pb_err err = store_list_tokens(store, keep, a, why);
    if (err == PB_E_LIMIT)
        err = pb_fail(why, err, "tokens", "the store holds more than %d; remove some", TOKENS_MAX);
    if (!err && a->count == 0)
        err = make_first(b, store, a, why);
    if (err)
        auth_close(a);
    else
        *out = a;
    return err;
}

void auth_close(struct auth *a)
{
    if (!a)
        return;
    free(a->tokens);
    free(a);
}
