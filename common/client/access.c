#include "common/client/access.h"

#include "common/nearest.h"

#include <ctype.h>
#include <errno.h>
#include <ini.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define LIMIT_TOKEN_BYTES 512

static const char *const keys[] = {"url", "token"};

struct reading {
    struct access *access;
    const char *path;
    struct pb_why *why;
    pb_err err;
};

/* -- values -- */

static const char *environment(const char *name)
{
    const char *value = getenv(name);
    return value && value[0] ? value : NULL;
}

static pb_err take_url(struct access *a, const char *url, const char *from, struct pb_why *why)
{
    size_t len = strlen(url);
    if (a->url)
        return PB_OK;
    if (strncmp(url, "http://", 7) != 0 && strncmp(url, "https://", 8) != 0)
        return pb_fail(why, PB_E_INVALID, from,
                       "the address must begin with http:// or https://; it is \"%s\"", url);
    while (len && url[len - 1] == '/')
        len--;
    a->url = strndup(url, len);
    return a->url ? PB_OK : PB_E_MEMORY;
}

/* Spaces and line breaks around a token are dropped; within one they would end a header line. */
static pb_err take_token(struct access *a, const char *text, const char *from, struct pb_why *why)
{
    if (a->token.data)
        return PB_OK;
    text += strspn(text, " \t\r\n");
    size_t len = strcspn(text, " \t\r\n");
    if (text[len + strspn(text + len, " \t\r\n")] || !len || len > LIMIT_TOKEN_BYTES)
        return pb_fail(why, PB_E_INVALID, from, "holds no token: one word of at most %d characters",
                       LIMIT_TOKEN_BYTES);
    for (size_t i = 0; i < len; i++)
        if (!isgraph((unsigned char)text[i]))
            return pb_fail(why, PB_E_INVALID, from, "holds no token: character %zu cannot be part of one",
                           i + 1);
    a->token_from = strdup(from);
    return a->token_from ? secret_set(&a->token, text, len) : PB_E_MEMORY;
}

/* -- the configuration file -- */

static pb_err unknown_key(const struct reading *r, const char *name)
{
    const char *near = nearest(name, keys, sizeof keys / sizeof keys[0]);
    return pb_fail(r->why, PB_E_INVALID, r->path, "there is no setting %s%s%s; there are url and token", name,
                   near ? "; did you mean " : "", near ? near : "");
}

static int on_ini(void *arg, const char *section, const char *name, const char *value)
{
    struct reading *r = arg;
    (void)section;
    if (strcmp(name, "url") == 0)
        r->err = take_url(r->access, value, r->path, r->why);
    else if (strcmp(name, "token") == 0)
        r->err = take_token(r->access, value, r->path, r->why);
    else
        r->err = unknown_key(r, name);
    return r->err == PB_OK;
}

static bool is_exposed(const char *path)
{
    struct stat st;
    return stat(path, &st) == 0 && (st.st_mode & 077);
}

pb_err access_read_file(const char *path, struct access *a, struct pb_why *why)
{
    struct reading r = {.access = a, .path = path, .why = why};
    bool had_token = a->token.data;
    int line = ini_parse(path, on_ini, &r);
    if (line == -1)
        return errno == ENOENT || errno == ENOTDIR
                   ? PB_E_NOT_FOUND
                   : pb_fail(why, PB_E_INVALID, path, "cannot be read: %s", strerror(errno));
    if (r.err)
        return r.err;
    if (line)
        return pb_fail(why, PB_E_INVALID, path, "line %d is neither a [section] nor NAME = VALUE", line);
    a->token_exposed = !had_token && a->token.data && is_exposed(path);
    return PB_OK;
}

static pb_err read_home(struct access *a, struct pb_why *why)
{
    const char *base = environment("XDG_CONFIG_HOME"), *home = environment("HOME");
    char *path = NULL;
    if (!base && !home)
        return PB_OK;
    if (asprintf(&path, "%s%s/patchbay/config", base ? base : home, base ? "" : "/.config") < 0)
        return PB_E_MEMORY;
    pb_err err = access_read_file(path, a, why);
    free(path);
    return err == PB_E_NOT_FOUND ? PB_OK : err;
}

/* -- what `patchbay up` left -- */

bool access_is_local(const char *url)
{
    static const char *const hosts[] = {"127.", "localhost", "[::1]"};
    const char *host = strstr(url, "://");
    host = host ? host + 3 : url;
    size_t len = strcspn(host, "/?#");
    if (memchr(host, '@', len))
        return false;
    for (size_t i = 0; i < sizeof hosts / sizeof hosts[0]; i++) {
        size_t n = strlen(hosts[i]);
        if (strncasecmp(host, hosts[i], n) != 0)
            continue;
        if (i == 0) /* 127.0.0.1, not 127.example.com */
            return strspn(host, "0123456789.") == strcspn(host, ":/?#");
        return !host[n] || strchr(":/?#", host[n]);
    }
    return false;
}

static pb_err read_admin_token(struct access *a, const char *data_dir, struct pb_why *why)
{
    char *path = NULL, text[LIMIT_TOKEN_BYTES + 2] = "";
    if (a->token.data || !access_is_local(a->url))
        return PB_OK;
    if (asprintf(&path, "%s/admin.token", data_dir) < 0)
        return PB_E_MEMORY;
    FILE *f = fopen(path, "re");
    pb_err err = PB_OK;
    if (f && fgets(text, sizeof text, f))
        err = take_token(a, text, path, why);
    if (f)
        fclose(f);
    sodium_memzero(text, sizeof text);
    free(path);
    return err;
}

pb_err access_open(const struct settings *settings, struct access *out, struct pb_why *why)
{
    struct access a = {0};
    const char *url = environment("PATCHBAY_URL"), *token = environment("PATCHBAY_TOKEN");
    pb_err err = PB_OK;
    if (settings->url)
        err = take_url(&a, settings->url, "--url", why);
    else if (url)
        err = take_url(&a, url, "PATCHBAY_URL", why);
    if (!err && token)
        err = take_token(&a, token, "PATCHBAY_TOKEN", why);
    if (!err)
        err = read_home(&a, why);
    if (!err)
        err = take_url(&a, ACCESS_URL_DEFAULT, NULL, why);
    if (!err)
        err = read_admin_token(&a, settings->data_dir, why);
    if (err)
        access_fini(&a);
    else
        *out = a;
    return err;
}

void access_fini(struct access *a)
{
    free(a->url);
    free(a->token_from);
    secret_fini(&a->token);
    *a = (struct access){0};
}
