#include "worker/target.h"

#include <ctype.h>
#include <curl/curl.h>
#include <sodium.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

void target_fini(struct target *t)
{
    secret_fini(&t->url);
    *t = (struct target){0};
}

static bool is_default_port(const struct target *t)
{
    return t->port == (t->https ? 443u : 80u);
}

static pb_err read_host(CURLU *u, struct target *out)
{
    char *host = NULL;
    if (curl_url_get(u, CURLUPART_HOST, &host, 0) != CURLUE_OK)
        return PB_E_INVALID;
    size_t len = strlen(host);
    bool fits = len > 0 && len < sizeof out->host;
    for (size_t i = 0; fits && i <= len; i++)
        out->host[i] = (char)tolower((unsigned char)host[i]);
    curl_free(host);
    return fits ? PB_OK : PB_E_INVALID;
}

static pb_err read_scheme_and_port(CURLU *u, struct target *out)
{
    char *scheme = NULL, *port = NULL;
    pb_err err = PB_E_INVALID;
    if (curl_url_get(u, CURLUPART_SCHEME, &scheme, 0) == CURLUE_OK &&
        curl_url_get(u, CURLUPART_PORT, &port, CURLU_DEFAULT_PORT) == CURLUE_OK) {
        out->https = strcasecmp(scheme, "https") == 0;
        out->port = (unsigned)strtoul(port, NULL, 10);
        err = out->https || strcasecmp(scheme, "http") == 0 ? PB_OK : PB_E_INVALID;
    }
    curl_free(scheme);
    curl_free(port);
    return err;
}

static bool has_part(CURLU *u, CURLUPart part)
{
    char *text = NULL;
    bool has = curl_url_get(u, part, &text, 0) == CURLUE_OK;
    curl_free(text);
    return has;
}

static pb_err read_url(CURLU *u, struct target *out)
{
    char *url = NULL;
    curl_url_set(u, CURLUPART_FRAGMENT, NULL, 0);
    if (curl_url_get(u, CURLUPART_URL, &url, 0) != CURLUE_OK)
        return PB_E_INVALID;
    pb_err err = secret_set(&out->url, url, strlen(url));
    sodium_memzero(url, strlen(url));
    curl_free(url);
    return err;
}

static pb_err read_all(CURLU *u, struct target *out, struct pb_why *why)
{
    struct target t = {0};
    pb_err err = read_scheme_and_port(u, &t);
    if (!err)
        err = read_host(u, &t);
    if (!err)
        err = read_url(u, &t);
    if (err) {
        target_fini(&t);
        return pb_fail(why, err, NULL, "the address is not one of http or https with a host");
    }
    *out = t;
    return PB_OK;
}

pb_err target_parse(const char *url, struct target *out, struct pb_why *why)
{
    CURLU *u = curl_url();
    if (!u)
        return PB_E_MEMORY;
    pb_err err;
    if (curl_url_set(u, CURLUPART_URL, url, 0) != CURLUE_OK)
        err = pb_fail(why, PB_E_INVALID, NULL, "the address is not one of http or https with a host");
    else if (has_part(u, CURLUPART_USER) || has_part(u, CURLUPART_PASSWORD))
        err = pb_fail(why, PB_E_DENIED, NULL, "the address must not hold a user or password before its host");
    else
        err = read_all(u, out, why);
    curl_url_cleanup(u);
    return err;
}

pb_err target_redirect(const struct target *from, const char *location, struct target *out,
                       struct pb_why *why)
{
    struct target to = {0};
    CURLU *u = curl_url();
    if (!u)
        return PB_E_MEMORY;
    pb_err err = PB_OK;
    if (curl_url_set(u, CURLUPART_URL, from->url.data, 0) != CURLUE_OK ||
        curl_url_set(u, CURLUPART_URL, location, 0) != CURLUE_OK)
        err = pb_fail(why, PB_E_INVALID, NULL, "the provider redirects to what is no address");
    if (!err) {
        curl_url_set(u, CURLUPART_USER, NULL, 0);
        curl_url_set(u, CURLUPART_PASSWORD, NULL, 0);
        err = read_all(u, &to, why);
    }
    if (!err && from->https && !to.https) {
        err =
            pb_fail(why, PB_E_DENIED, NULL, "the provider redirects from https to plain http (%s)", to.host);
        target_fini(&to);
    }
    if (!err)
        *out = to;
    curl_url_cleanup(u);
    return err;
}

/* -- allowed hosts -- */

static bool host_matches(const char *host, const char *pattern, size_t len)
{
    size_t host_len = strlen(host);
    if (len > 2 && pattern[0] == '*' && pattern[1] == '.')
        return host_len > len - 1 && strncasecmp(host + host_len - (len - 1), pattern + 1, len - 1) == 0;
    return host_len == len && strncasecmp(host, pattern, len) == 0;
}

/* The colon before a port; those inside an IPv6 address's brackets are none. */
static const char *port_of(const char *pattern)
{
    const char *colon = strrchr(pattern, ':');
    return colon && !strchr(colon, ']') ? colon : NULL;
}

bool target_matches(const struct target *t, const char *pattern)
{
    const char *colon = port_of(pattern);
    size_t len = colon ? (size_t)(colon - pattern) : strlen(pattern);
    bool port = colon ? t->port == strtoul(colon + 1, NULL, 10) : is_default_port(t);
    return port && host_matches(t->host, pattern, len);
}
