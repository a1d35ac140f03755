#include "common/result.h"

#include "common/buf.h"
#include "common/clock.h"
#include "common/integration.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#define MINUTE_MS INT64_C(60000)
#define HOUR_MS   (60 * MINUTE_MS)
#define DAY_MS    (24 * HOUR_MS)

#define CONFIRM_AFTER_MS MINUTE_MS /* a bad key must be seen again this much later */
#define BACKOFF_LEAST_MS MINUTE_MS
#define BACKOFF_MOST_MS  (6 * HOUR_MS)
#define CONFIG_FAILURES  3 /* and over at least a day, before a configuration counts as broken */

/* How a code may put an instance into the status error, and when the next test comes. */
enum flips { NEVER, AT_ONCE, CONFIRMED, IF_IDENTITY, PERSISTENT };
enum again { AT_INTERVAL, DAILY, BACKING_OFF, AT_RETRY_TIME, NOT_AGAIN };

static const struct code {
    const char *name;
    enum result_class cls;
    enum flips flips;
    enum again again;
    enum integration_health health;
} codes[] = {
    [RESULT_OK] = {"ok", CLASS_OK, NEVER, AT_INTERVAL, HEALTH_OK},
    [RESULT_INVALID_CREDENTIALS] = {"invalid_credentials", CLASS_CREDENTIAL, CONFIRMED, AT_INTERVAL,
                                    HEALTH_DEGRADED},
    [RESULT_CREDENTIALS_EXPIRED] = {"credentials_expired", CLASS_CREDENTIAL, AT_ONCE, AT_INTERVAL,
                                    HEALTH_DEGRADED},
    [RESULT_REAUTH_REQUIRED] = {"reauth_required", CLASS_CREDENTIAL, AT_ONCE, AT_INTERVAL, HEALTH_DEGRADED},
    [RESULT_CREDENTIALS_REVOKED] = {"credentials_revoked", CLASS_CREDENTIAL, AT_ONCE, AT_INTERVAL,
                                    HEALTH_DEGRADED},
    [RESULT_ACCOUNT_DISABLED] = {"account_disabled", CLASS_CREDENTIAL, AT_ONCE, DAILY, HEALTH_DEGRADED},
    [RESULT_INSUFFICIENT_SCOPE] = {"insufficient_scope", CLASS_PERMISSION, IF_IDENTITY, AT_INTERVAL,
                                   HEALTH_DEGRADED},
    [RESULT_MISCONFIGURED] = {"misconfigured", CLASS_CONFIG, PERSISTENT, BACKING_OFF, HEALTH_DEGRADED},
    [RESULT_UNEXPECTED_RESPONSE] = {"unexpected_response", CLASS_CONFIG, PERSISTENT, BACKING_OFF,
                                    HEALTH_DEGRADED},
    [RESULT_RATE_LIMITED] = {"rate_limited", CLASS_TRANSIENT, NEVER, AT_RETRY_TIME, HEALTH_DEGRADED},
    [RESULT_QUOTA_EXCEEDED] = {"quota_exceeded", CLASS_TRANSIENT, NEVER, DAILY, HEALTH_DEGRADED},
    [RESULT_PROVIDER_UNAVAILABLE] = {"provider_unavailable", CLASS_TRANSIENT, NEVER, BACKING_OFF,
                                     HEALTH_DEGRADED},
    [RESULT_TIMEOUT] = {"timeout", CLASS_TRANSIENT, NEVER, BACKING_OFF, HEALTH_DEGRADED},
    [RESULT_DNS_FAILURE] = {"dns_failure", CLASS_TRANSIENT, NEVER, BACKING_OFF, HEALTH_DEGRADED},
    [RESULT_NETWORK_UNREACHABLE] = {"network_unreachable", CLASS_TRANSIENT, NEVER, BACKING_OFF,
                                    HEALTH_DEGRADED},
    [RESULT_TLS_ERROR] = {"tls_error", CLASS_TRANSIENT, NEVER, BACKING_OFF, HEALTH_DEGRADED},
    [RESULT_BLOCKED_BY_POLICY] = {"blocked_by_policy", CLASS_POLICY, NEVER, AT_INTERVAL, HEALTH_DEGRADED},
    [RESULT_DECRYPT_FAILED] = {"decrypt_failed", CLASS_OURS, NEVER, BACKING_OFF, HEALTH_UNKNOWN},
    [RESULT_MANIFEST_INVALID] = {"manifest_invalid", CLASS_OURS, NEVER, BACKING_OFF, HEALTH_UNKNOWN},
    [RESULT_PLUGIN_FAILED] = {"plugin_failed", CLASS_OURS, NEVER, BACKING_OFF, HEALTH_UNKNOWN},
    [RESULT_INTERNAL] = {"internal", CLASS_OURS, NEVER, BACKING_OFF, HEALTH_UNKNOWN},
    [RESULT_TEST_UNAVAILABLE] = {"test_unavailable", CLASS_NONE, NEVER, NOT_AGAIN, HEALTH_UNKNOWN},
    [RESULT_LIMITED_CAPABILITY] = {"limited_capability", CLASS_PERMISSION, NEVER, AT_INTERVAL, HEALTH_OK},
};

#define CODES (sizeof codes / sizeof codes[0])

static const struct code *code_of(enum result_code code)
{
    assert(code >= RESULT_OK && (size_t)code < CODES);
    return &codes[code];
}

enum result_class result_class(enum result_code code)
{
    return code_of(code)->cls;
}

const char *result_code_name(enum result_code code)
{
    return (size_t)code < CODES ? codes[code].name : NULL;
}

const char *result_class_name(enum result_class cls)
{
    static const char *const names[] = {NULL,        "ok",     "credential", "permission", "config",
                                        "transient", "policy", "ours",       "none"};
    return (size_t)cls < sizeof names / sizeof names[0] ? names[cls] : NULL;
}

pb_err result_code_parse(const char *name, enum result_code *out)
{
    for (size_t i = RESULT_OK; i < CODES; i++)
        if (strcmp(codes[i].name, name) == 0) {
            *out = (enum result_code)i;
            return PB_OK;
        }
    return PB_E_NOT_FOUND;
}

bool result_accepts_setup(const struct result *r)
{
    return r->code == RESULT_OK || r->code == RESULT_TEST_UNAVAILABLE;
}

void result_text(char *out, size_t size, const char *text, size_t len)
{
    struct buf b;
    size_t cut = len < size * 4 ? len : size * 4;
    char *clean = malloc(cut + 1);
    buf_init(&b, 16 * size + 16);
    out[0] = 0;
    if (clean) {
        for (size_t i = 0; i < cut; i++)
            clean[i] = (unsigned char)text[i] < 0x20 || text[i] == 0x7f ? ' ' : text[i];
        buf_utf8(&b, clean, cut);
        size_t end = b.len < size - 1 ? b.len : size - 1;
        while (end && end < b.len && (b.data[end] & 0xc0) == 0x80)
            end--;
        if (end)
            memcpy(out, b.data, end);
        out[end] = 0;
    }
    free(clean);
    buf_fini(&b);
}

/* -- JSON -- */

static void set_text(json_t *object, const char *key, const char *text)
{
    if (text[0])
        json_object_set_new(object, key, json_string(text));
}

static void set_number(json_t *object, const char *key, int64_t n)
{
    if (n)
        json_object_set_new(object, key, json_integer(n));
}

static void set_account(json_t *json, const struct result *r)
{
    json_t *account = json_object();
    set_text(account, "id", r->account_id);
    set_text(account, "label", r->account_label);
    if (json_object_size(account))
        json_object_set(json, "account", account);
    json_decref(account);
}

static void set_warnings(json_t *json, const struct result *r)
{
    json_t *warnings = json_array();
    for (size_t i = 0; i < r->warning_count; i++)
        json_array_append_new(warnings, json_pack("{s:s, s:s}", "code", result_code_name(r->warnings[i].code),
                                                  "text", r->warnings[i].text));
    if (r->warning_count)
        json_object_set(json, "warnings", warnings);
    json_decref(warnings);
}

json_t *result_json(const struct result *r)
{
    char when[CLOCK_TEXT_BYTES] = "";
    json_t *json = json_pack("{s:s, s:s}", "code", result_code_name(r->code), "class",
                             result_class_name(result_class(r->code)));
    if (!json)
        return NULL;
    if (r->retry_at_ms)
        clock_text(r->retry_at_ms, when);
    set_number(json, "httpStatus", r->http_status);
    set_text(json, "providerCode", r->provider_code);
    set_text(json, "message", r->message);
    set_text(json, "field", r->field);
    set_text(json, "stepId", r->step_id);
    set_text(json, "retryAt", when);
    set_number(json, "attempt", r->attempt);
    json_object_set_new(json, "durationMs", json_integer(r->duration_ms));
    set_account(json, r);
    set_warnings(json, r);
    return json;
}

/* -- what a result does to the record -- */

static void count_failure(struct integration *in, int64_t now_ms)
{
    in->failures++;
    if (!in->first_failed_at_ms)
        in->first_failed_at_ms = now_ms;
}

static bool flips(const struct integration *in, const struct result *r, enum flips how, int64_t now_ms)
{
    switch (how) {
    case AT_ONCE:
        return true;
    case CONFIRMED:
        return in->suspect_since_ms && now_ms - in->suspect_since_ms >= CONFIRM_AFTER_MS;
    case IF_IDENTITY:
        return r->identity;
    case PERSISTENT:
        return in->failures >= CONFIG_FAILURES && in->suspect_since_ms &&
               now_ms - in->suspect_since_ms >= DAY_MS;
    default:
        return false;
    }
}

static int64_t spread(int64_t least_ms, int64_t most_ms, uint64_t random)
{
    return least_ms + (int64_t)(random % (uint64_t)(most_ms - least_ms + 1));
}

/* Full jitter over a ceiling that doubles with every failure in a row. */
static int64_t backoff(uint32_t failures, uint64_t random)
{
    int64_t most_ms = 2 * BACKOFF_LEAST_MS;
    for (uint32_t i = 1; i < failures && most_ms < BACKOFF_MOST_MS; i++)
        most_ms *= 2;
    return spread(BACKOFF_LEAST_MS, most_ms < BACKOFF_MOST_MS ? most_ms : BACKOFF_MOST_MS, random);
}

/* Tests of one type that were set up or imported together drift apart, because each next one comes at a
 * random place in the last quarter of the interval. */
static int64_t next_validation(const struct integration *in, const struct result *r, enum again again,
                               const struct result_terms *t)
{
    int64_t now_ms = t->now_ms;
    uint64_t random = t->random;
    switch (again) {
    case NOT_AGAIN:
        return 0;
    case DAILY:
        return now_ms + spread(DAY_MS * 3 / 4, DAY_MS, random);
    case BACKING_OFF:
        return now_ms + backoff(in->failures, random);
    case AT_RETRY_TIME:
        if (r->retry_at_ms > now_ms)
            return r->retry_at_ms + spread(0, MINUTE_MS, random);
        return now_ms + backoff(in->failures, random);
    default:
        return now_ms + spread(t->interval_ms * 3 / 4, t->interval_ms, random);
    }
}

static void apply_success(struct integration *in, const struct result *r)
{
    in->failures = 0;
    in->first_failed_at_ms = in->suspect_since_ms = 0;
    if (in->status != STATUS_INACTIVE && r->code == RESULT_OK)
        in->status = STATUS_ACTIVE;
}

/* suspect_since is when this kind of verdict came first, of those that came since without another between: a
 * bad key and a broken configuration do not confirm each other, and a provider that is down confirms neither.
 */
static void apply_failure(struct integration *in, const struct result *r, enum flips how, enum flips before,
                          const struct result_terms *t)
{
    int64_t now_ms = t->now_ms;
    bool suspicion = how == CONFIRMED || how == PERSISTENT;
    count_failure(in, now_ms);
    if (how != before || !suspicion)
        in->suspect_since_ms = 0;
    bool flip = flips(in, r, how, now_ms) && !t->hold_flips;
    if (suspicion && !in->suspect_since_ms)
        in->suspect_since_ms = now_ms;
    if (flip && in->status != STATUS_INACTIVE)
        in->status = STATUS_ERROR;
}

static pb_err replace(char **field, const char *text)
{
    char *copy = strdup(text);
    if (!copy)
        return PB_E_MEMORY;
    free(*field);
    *field = copy;
    return PB_OK;
}

static pb_err store_texts(struct integration *in, const struct result *r)
{
    json_t *json = result_json(r);
    char *text = json ? json_dumps(json, JSON_COMPACT) : NULL;
    json_decref(json);
    if (!text)
        return PB_E_MEMORY;
    free(in->result);
    in->result = text;
    pb_err err = r->account_id[0] ? replace(&in->account_id, r->account_id) : PB_OK;
    if (!err && r->account_label[0])
        err = replace(&in->account_label, r->account_label);
    return !err && r->host[0] ? replace(&in->host, r->host) : err;
}

/* What the result that the record holds (of the test before) could do. */
static enum flips flips_of_stored(const struct integration *in)
{
    enum result_code code;
    json_t *json = in->result ? json_loads(in->result, 0, NULL) : NULL;
    const char *name = json_string_value(json_object_get(json, "code"));
    enum flips how = name && result_code_parse(name, &code) == PB_OK ? codes[code].flips : NEVER;
    json_decref(json);
    return how;
}

pb_err result_apply(struct integration *in, const struct result *r, const struct result_terms *t)
{
    const struct code *c = code_of(r->code);
    enum flips before = flips_of_stored(in);
    pb_err err = store_texts(in, r);
    if (err)
        return err;
    if (t->fresh)
        in->status = STATUS_ACTIVE;
    if (c->cls == CLASS_OK || c->cls == CLASS_NONE)
        apply_success(in, r);
    else
        apply_failure(in, r, c->flips, before, t);
    in->health = c->health;
    in->last_validated_ms = t->now_ms;
    bool held = t->hold_flips && c->flips != NEVER; /* whether it is the key will be seen when the provider is back */
    bool confirming = c->flips == CONFIRMED && in->status == STATUS_ACTIVE && !held;
    in->next_validation_ms = confirming
                                 ? t->now_ms + spread(CONFIRM_AFTER_MS, CONFIRM_AFTER_MS * 3 / 2, t->random)
                                 : next_validation(in, r, held ? BACKING_OFF : c->again, t);
    return PB_OK;
}
