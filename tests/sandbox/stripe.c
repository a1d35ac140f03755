#include "stripe.h"

#include <string.h>

#define STRIPE_VERSION "2024-06-20"
#define BAD_REQUEST    "invalid_request_error"

enum { MESSAGE_BYTES = KEY_MAX_BYTES + 256 };

struct refusal {
    unsigned status;
    enum { NO_KEY, MASKED, WHOLE } shown; /* how the key follows the text */
    const char *type, *code;              /* code may be NULL */
    const char *text;
};

/* The key as Stripe repeats it: what kind of key it is and the last four characters, the rest as stars. */
static void mask(const char *key, char out[KEY_MAX_BYTES])
{
    size_t length = strlen(key), from = strlen("sk_test_");
    size_t upto = length > 4 ? length - 4 : 0;
    snprintf(out, KEY_MAX_BYTES, "%s", key);
    if (upto <= from) /* too short to show any of it */
        from = 0, upto = length;
    memset(out + from, '*', upto - from);
}

static json_t *error_body(const struct refusal *refusal, const char *message)
{
    json_t *error = json_pack("{s:s, s:s}", "message", message, "type", refusal->type);
    if (error && refusal->code)
        (void)json_object_set_new(error, "code", json_string(refusal->code));
    return json_pack("{s:o}", "error", error);
}

static void common_headers(struct reply *r, const struct ask *ask)
{
    char id[32] = "req_";
    behaviour_derive(ask->key, "request", id + 4, 14);
    reply_header(r, "Request-Id", id);
    reply_header(r, "Stripe-Version", STRIPE_VERSION);
}

static json_t *account(const struct ask *ask)
{
    char id[32] = "acct_", name[KEY_MAX_BYTES + 16], mail[64];
    behaviour_derive(ask->key, "account", id + 5, 16);
    snprintf(name, sizeof name, "Sandbox %s", ask->word);
    snprintf(mail, sizeof mail, "%s@sandbox.example", id);
    return json_pack("{s:s, s:s, s:s, s:s, s:s, s:s, s:i, s:b, s:b, s:b, s:{s:{s:s, s:s}}}", "id", id,
                     "object", "account", "type", "standard", "country", "US", "default_currency", "usd",
                     "email", mail, "created", 1700000000, "charges_enabled", 1, "payouts_enabled", 1,
                     "details_submitted", 1, "settings", "dashboard", "display_name", name, "timezone",
                     "Etc/UTC");
}

static struct reply answer_ok(const struct ask *ask)
{
    return reply_json(MHD_HTTP_OK, account(ask));
}

/* Stripe still answers for an account it has rejected; the account says so itself. */
static struct reply answer_inactive(const struct ask *ask)
{
    json_t *body = account(ask);
    if (body) {
        (void)json_object_set_new(body, "charges_enabled", json_false());
        (void)json_object_set_new(body, "payouts_enabled", json_false());
        (void)json_object_set_new(body, "requirements",
                                  json_pack("{s:s, s:[]}", "disabled_reason", "rejected.fraud", "past_due"));
    }
    return reply_json(MHD_HTTP_OK, body);
}

/* Stripe makes no difference between a key that was deleted and one that never was. */
static const struct refusal refusals[ANSWER_COUNT] = {
    [ANSWER_BAD] = {401, MASKED, BAD_REQUEST, NULL, "Invalid API Key provided"},
    [ANSWER_REVOKED] = {401, MASKED, BAD_REQUEST, NULL, "Invalid API Key provided"},
    [ANSWER_ECHO] = {401, WHOLE, BAD_REQUEST, NULL, "Invalid API Key provided"},
    [ANSWER_EXPIRED] = {401, MASKED, BAD_REQUEST, "api_key_expired", "Expired API Key provided"},
    [ANSWER_MISSING] = {401, NO_KEY, BAD_REQUEST, NULL, "No API key was sent"},
    [ANSWER_SCOPE] = {403, MASKED, BAD_REQUEST, NULL, "The key lacks a permission"},
    [ANSWER_LIMIT] = {429, NO_KEY, BAD_REQUEST, "rate_limit", "Request rate limit exceeded"},
    [ANSWER_ERROR500] = {500, NO_KEY, "api_error", NULL, "An unknown error occurred"},
    [ANSWER_ERROR503] = {503, NO_KEY, "api_error", NULL, "The service is unavailable"},
    [ANSWER_NO_ROUTE] = {404, NO_KEY, BAD_REQUEST, NULL, "Unrecognized request URL"},
};

static struct reply answer_refusal(const struct ask *ask, const struct refusal *refusal)
{
    char masked[KEY_MAX_BYTES], message[MESSAGE_BYTES];
    mask(ask->key, masked);
    if (refusal->shown == NO_KEY)
        snprintf(message, sizeof message, "%s", refusal->text);
    else
        snprintf(message, sizeof message, "%s: %s", refusal->text,
                 refusal->shown == WHOLE ? ask->key : masked);
    return reply_json(refusal->status, error_body(refusal, message));
}

static void refusal_headers(struct reply *r, const struct ask *ask, enum answer answer)
{
    if (r->status == MHD_HTTP_UNAUTHORIZED)
        reply_header(r, MHD_HTTP_HEADER_WWW_AUTHENTICATE, "Bearer realm=\"Stripe\"");
    if (answer == ANSWER_LIMIT) {
        char seconds[16];
        snprintf(seconds, sizeof seconds, "%u", ask->number ? ask->number : 2);
        reply_header(r, MHD_HTTP_HEADER_RETRY_AFTER, seconds);
        reply_header(r, "Stripe-Rate-Limited-Reason", "global-rate");
        reply_header(r, "Stripe-Should-Retry", "true");
    }
}

/* A restricted key may have any behaviour and lack the permission beside: "scope" counts anywhere in it. */
static enum answer answer_for(const struct ask *ask)
{
    bool restricted = strncmp(ask->key, "rk_", 3) == 0;
    return restricted && strstr(ask->word, "scope") ? ANSWER_SCOPE : ask->answer;
}

static struct reply stripe_answer(const struct ask *ask)
{
    enum answer answer = answer_for(ask);
    struct reply r;
    if (answer == ANSWER_OK)
        r = answer_ok(ask);
    else if (answer == ANSWER_INACTIVE)
        r = answer_inactive(ask);
    else
        r = answer_refusal(ask, &refusals[answer]);
    refusal_headers(&r, ask, answer);
    common_headers(&r, ask);
    return r;
}

static const char *const prefixes[] = {"sk_test_", "sk_live_", "rk_test_", "rk_live_", NULL};

const struct provider stripe_provider = {
    .host = "api.stripe.com",
    .path = "/v1/account",
    .methods = {"GET"},
    .prefixes = prefixes,
    .answer = stripe_answer,
};
