#include "slack.h"

#include <string.h>

/* Slack answers 200 to nearly everything and says in "error" what it meant. */
struct refusal {
    unsigned status;
    const char *error;
};

static const struct refusal refusals[ANSWER_COUNT] = {
    [ANSWER_BAD] = {200, "invalid_auth"},          [ANSWER_MISSING] = {200, "not_authed"},
    [ANSWER_REVOKED] = {200, "token_revoked"},     [ANSWER_EXPIRED] = {200, "token_expired"},
    [ANSWER_INACTIVE] = {200, "account_inactive"}, [ANSWER_SCOPE] = {200, "missing_scope"},
    [ANSWER_NO_ROUTE] = {200, "unknown_method"},   [ANSWER_LIMIT] = {429, "ratelimited"},
    [ANSWER_ERROR500] = {500, "internal_error"},   [ANSWER_ERROR503] = {503, "service_unavailable"},
    [ANSWER_ECHO] = {401, "invalid_auth"},
};

/* An id as Slack makes them: a letter for the kind, then capitals and digits. */
static void derive_id(const char *key, const char *kind, char out[16])
{
    out[0] = kind[0];
    behaviour_derive(key, kind, out + 1, 10);
    for (char *c = out + 1; *c; c++) {
        if (*c >= 'a' && *c <= 'z')
            *c = (char)(*c - 'a' + 'A');
    }
}

static json_t *identity(const struct ask *ask)
{
    char team[16], user[16], bot[16], name[KEY_MAX_BYTES + 16], url[64];
    derive_id(ask->key, "T", team);
    derive_id(ask->key, "U", user);
    derive_id(ask->key, "B", bot);
    snprintf(name, sizeof name, "Sandbox %s", ask->word);
    snprintf(url, sizeof url, "https://sandbox-%s.slack.com/", team);
    json_t *body = json_pack("{s:b, s:s, s:s, s:s, s:s, s:s}", "ok", 1, "url", url, "team", name, "user",
                             "patchbay", "team_id", team, "user_id", user);
    if (body && strncmp(ask->key, "xoxb-", 5) == 0) /* a person's token names no bot */
        (void)json_object_set_new(body, "bot_id", json_string(bot));
    return body;
}

static json_t *refusal_body(const struct ask *ask)
{
    json_t *body = json_pack("{s:b, s:s}", "ok", 0, "error", refusals[ask->answer].error);
    if (!body)
        return NULL;
    if (ask->answer == ANSWER_SCOPE) {
        (void)json_object_set_new(body, "needed", json_string("users:read"));
        (void)json_object_set_new(body, "provided", json_string("chat:write"));
    }
    if (ask->answer == ANSWER_ECHO)
        (void)json_object_set_new(body, "error", json_sprintf("invalid_auth: %s", ask->key));
    return body;
}

static struct reply slack_answer(const struct ask *ask)
{
    if (ask->answer == ANSWER_OK)
        return reply_json(MHD_HTTP_OK, identity(ask));
    struct reply r = reply_json(refusals[ask->answer].status, refusal_body(ask));
    if (ask->answer == ANSWER_LIMIT) {
        char seconds[16];
        snprintf(seconds, sizeof seconds, "%u", ask->number ? ask->number : 2);
        reply_header(&r, MHD_HTTP_HEADER_RETRY_AFTER, seconds);
    }
    return r;
}

static const char *const prefixes[] = {"xoxb-", "xoxp-", NULL};

const struct provider slack_provider = {
    .host = "slack.com",
    .path = "/api/auth.test",
    .methods = {"POST", "GET"},
    .prefixes = prefixes,
    .answer = slack_answer,
};
