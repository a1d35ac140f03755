#include "broker/spec.h"

#include "broker/broker.h"
#include "common/clock.h"

#include <ctype.h>
#include <sodium.h>
#include <stdio.h>
#include <string.h>

static const char *const keys[KEYS] = {
    [KEY_TENANT] = "tenant", [KEY_TYPE] = "type", [KEY_HOST] = "host", [KEY_KIND] = "kind"};

pb_err spec_key_parse(const char *text, enum board_key *out)
{
    for (int k = 0; k < KEYS; k++)
        if (strcmp(keys[k], text) == 0) {
            *out = (enum board_key)k;
            return PB_OK;
        }
    return PB_E_NOT_FOUND;
}

const char *spec_key_name(enum board_key key)
{
    return keys[key];
}

uint64_t spec_name(const struct broker *b, enum board_key key, const char *text)
{
    uint64_t hash;
    _Static_assert(crypto_shorthash_BYTES == sizeof hash, "SipHash gives 64 bits");
    crypto_shorthash((unsigned char *)&hash, (const unsigned char *)text, strlen(text), b->name_key);
    hash += (uint64_t)key;
    return hash ? hash : 1;
}

uint64_t spec_board_ms(const struct broker *b, int64_t wall_ms)
{
    int64_t from_now_ms = wall_ms - clock_wall_ms();
    if (wall_ms == 0)
        return 0;
    return from_now_ms > 0 || (uint64_t)-from_now_ms < b->now_ms ? b->now_ms + (uint64_t)from_now_ms : 1;
}

struct board_spec spec_of(const struct broker *b, const struct job *job)
{
    struct board_spec s = {
        .priority = job->priority ? job->priority : PRIORITY_NORMAL,
        .attempts = job->attempts,
        .max_attempts = job->max_attempts,
        .crashes = job->crashes,
        .not_before_ms = spec_board_ms(b, job->not_before_ms),
        .deadline_ms = spec_board_ms(b, job->deadline_ms),
        .memory = !job_is_durable(job),
        .retried = job->ephemeral,
        .cancelled = job->cancel_asked,
    };
    const char *const texts[KEYS] = {[KEY_TENANT] = job->tenant,
                                     [KEY_TYPE] = job->type,
                                     [KEY_HOST] = job->host,
                                     [KEY_KIND] = job_kind_name(job->kind)};
    for (int k = 0; k < KEYS; k++)
        if (texts[k] && (texts[k][0] || k == KEY_TENANT))
            s.names[k] = spec_name(b, (enum board_key)k, texts[k]);
    const struct manifest *m = job->host[0] ? manifests_find(b->types, job->type) : NULL;
    if (m)
        s.host_limit = (struct board_limit){
            .interval_us = m->rate.interval_us, .burst = m->rate.burst, .concurrency = m->rate.concurrency};
    return s;
}

/* The host of an address that is no template, in lower case; false: it is one, or too long. */
static bool host_of(const char *url, char *out, size_t size)
{
    const char *at = url ? strstr(url, "://") : NULL;
    size_t len = at ? strcspn(at + 3, "/:?#") : 0;
    if (!len || len >= size || memchr(at + 3, '{', len) || memchr(at + 3, '@', len) || at[3] == '[')
        return false;
    for (size_t i = 0; i < len; i++)
        out[i] = (char)tolower((unsigned char)at[3 + i]);
    out[len] = 0;
    return true;
}

void spec_set_host(struct job *job, const struct manifest *m)
{
    const json_t *http = m ? json_object_get(m->json, "http") : NULL;
    if (!host_of(json_string_value(json_object_get(http, "baseUrl")), job->host, sizeof job->host))
        snprintf(job->host, sizeof job->host, "%s", job->type);
}
