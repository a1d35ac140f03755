#include "common/client/answer.h"

#include "common/client/client.h"

#include <stdio.h>
#include <string.h>

#define COUNT(table) (sizeof(table) / sizeof((table)[0]))

/* What to do about a code, as the end of a sentence; NULL: nothing comes to mind. */
static const char *advice_about(const char *code)
{
    static const struct {
        const char *code, *advice;
    } table[] = {
        {"invalid_credentials", "copy the credential from the provider once more"},
        {"credentials_expired", "make a new credential at the provider"},
        {"reauth_required", "authorise the connection again"},
        {"credentials_revoked", "make a new credential at the provider"},
        {"account_disabled", "have the account enabled at the provider"},
        {"insufficient_scope", "give the credential the permissions that it lacks"},
        {"misconfigured", "correct the fields; patchbay types TYPE shows what each is for"},
        {"unexpected_response", "check that the address is the provider's"},
        {"rate_limited", "wait a while, then try again"},
        {"quota_exceeded", "wait until the provider's quota is renewed"},
        {"provider_unavailable", "the trouble is on the provider's side; try again later"},
        {"timeout", "the provider was too slow; try again later"},
        {"dns_failure", "check the host's name"},
        {"network_unreachable", "check that this machine's workers can reach the provider"},
        {"tls_error", "check the provider's certificate, or give the workers its CA: --ca-file"},
        {"blocked_by_policy", "private addresses need --allow-egress CIDR at the workers"},
        {"decrypt_failed", "the workers' keyring lacks the key; set the credentials again"},
        {"name_taken", "choose another --name, or patchbay rm the one that has it"},
        {"invalid_request", "patchbay types TYPE shows the fields"},
        {"no_worker", "start one; patchbay workers shows those there are"},
        {"no_package", "install the type's package on every worker"},
        {"schema_invalid", "patchbay lint names what is wrong with the package"},
        {"busy", "try again in a moment"},
        {"overloaded", "try again in a moment"},
        {"draining", "the broker is stopping; try again when it is back"},
        {"store_unavailable", "see the broker's log for why, and try again"},
        {"tenant_busy", "wait until some of the tenant's jobs have ended; patchbay queue shows the queue"},
        {"job_ended", "patchbay jobs show ID tells how it ended"},
        {"not_dead", "patchbay jobs list --state dead lists those that can be sent again"},
        {"limit_reached", "patchbay queue shows what is paused; patchbay queue resume ends a pause"},
        {"no_outcome",
         "patchbay queue and patchbay workers show what is busy; or try again with a longer --wait"},
        {"worker_lost", "try again"},
        {"deadline_exceeded",
         "patchbay queue and patchbay workers show whether there was room; patchbay jobs retry ID "
         "sends it again"},
        {"attempts_exhausted", "see the workers' logs; patchbay jobs retry ID sends it again"},
        {"poison", "see the workers' logs before patchbay jobs retry ID sends it again"},
        {"forbidden", "use a token of a higher role"},
    };
    for (size_t i = 0; i < COUNT(table); i++)
        if (strcmp(table[i].code, code) == 0)
            return table[i].advice;
    return NULL;
}

/* -- pieces -- */

static void mark(struct buf *out, const char *word, enum style style, bool color)
{
    buf_printf(out, "%s%s%s  ", style_start(style, color), word, style_end(style, color));
}

static void advise(struct buf *out, const char *code)
{
    const char *advice = code ? advice_about(code) : NULL;
    if (advice)
        buf_printf(out, "    %s\n", advice);
}

/* "no  code: text (HTTP 401)". */
static void refuse(struct buf *out, const char *code, const char *text, long long status, bool color)
{
    mark(out, "no", STYLE_BAD, color);
    text_safe(out, code);
    buf_text(out, text && text[0] ? ": " : "");
    text_safe(out, text ? text : "");
    if (status)
        buf_printf(out, " (HTTP %lld)", status);
    buf_text(out, "\n");
}

static void name_field(struct buf *out, const char *field)
{
    if (!field || !field[0])
        return;
    buf_text(out, "    field ");
    text_safe(out, field);
    buf_text(out, "\n");
}

/* "/credentials/apiKey" is shown as the field's name: that is what was typed. */
static void add_fault(struct buf *out, const json_t *fault)
{
    const char *pointer = json_text_at(fault, "pointer"), *message = json_text_at(fault, "message");
    const char prefix[] = "/credentials/";
    if (pointer && strncmp(pointer, prefix, sizeof prefix - 1) == 0)
        pointer += sizeof prefix - 1;
    buf_text(out, "    ");
    text_safe(out, pointer && pointer[0] ? pointer : "the request");
    buf_text(out, ": ");
    text_safe(out, message ? message : "is not right");
    buf_text(out, "\n");
}

/* -- problems -- */

void answer_problem(const json_t *body, int status, bool color, struct buf *out)
{
    const json_t *result = json_object_get(body, "result"), *errors = json_object_get(body, "errors"), *fault;
    const char *code = json_text_at(body, "code"), *text = json_text_at(body, "detail");
    size_t i;
    if (json_text_at(result, "code")) {
        answer_result(result, color, out);
        return;
    }
    if (!text)
        text = json_text_at(body, "title");
    refuse(out, code ? code : "refused", text, code ? 0 : status, color);
    json_array_foreach(errors, i, fault) add_fault(out, fault);
    advise(out, code);
}

/* -- results -- */

static void add_warnings(struct buf *out, const json_t *result, bool color)
{
    const json_t *warnings = json_object_get(result, "warnings"), *warning;
    size_t i;
    json_array_foreach(warnings, i, warning)
    {
        const char *text = json_text_at(warning, "text");
        mark(out, "!!", STYLE_WARN, color);
        text_safe(out, text ? text : "");
        buf_text(out, "\n");
    }
}

static void accept(struct buf *out, const json_t *result, bool color)
{
    const char *id = json_text_in(result, "account", "id"), *label = json_text_in(result, "account", "label");
    const char *shown = id ? id : label;
    mark(out, "ok", STYLE_GOOD, color);
    buf_text(out, shown ? "connected to " : "connected");
    text_safe(out, shown ? shown : "");
    if (id && label && strcmp(id, label) != 0) {
        buf_text(out, " (");
        text_safe(out, label);
        buf_text(out, ")");
    }
    buf_printf(out, ", %lld ms\n", json_int_at(result, "durationMs"));
}

bool answer_passed(const json_t *result)
{
    const char *cls = json_text_at(result, "class"), *code = json_text_at(result, "code");
    if (!cls)
        return code && strcmp(code, "ok") == 0;
    return strcmp(cls, "ok") == 0 || strcmp(cls, "none") == 0;
}

void answer_result(const json_t *result, bool color, struct buf *out)
{
    const char *code = json_text_at(result, "code"), *message = json_text_at(result, "message");
    if (!answer_passed(result)) {
        refuse(out, code ? code : "unknown", message, json_int_at(result, "httpStatus"), color);
        name_field(out, json_text_at(result, "field"));
        advise(out, code);
    } else if (code && strcmp(code, "ok") == 0) {
        accept(out, result, color);
    } else {
        mark(out, "--", STYLE_WARN, color);
        text_safe(out, message && message[0] ? message
                                             : "nothing could be tested: the type has no connection test");
        buf_text(out, "\n");
    }
    add_warnings(out, result, color);
}

/* -- events -- */

static void add_check_error(struct buf *out, const json_t *error, bool color)
{
    static const char *const schemes[] = {"package://", "file://"};
    const char *at = json_text_at(error, "instanceLocation"), *text = json_text_at(error, "message");
    const char *from = json_text_at(error, "absoluteKeywordLocation");
    buf_text(out, "    ");
    text_safe(out, at && at[0] ? at : "the payload");
    buf_text(out, ": ");
    text_safe(out, text ? text : "is not valid");
    buf_text(out, "\n");
    if (!from || !from[0])
        return;
    for (size_t i = 0; i < COUNT(schemes); i++)
        from += strncmp(from, schemes[i], strlen(schemes[i])) == 0 ? strlen(schemes[i]) : 0;
    buf_printf(out, "        %sby ", style_start(STYLE_FAINT, color));
    text_safe(out, from);
    buf_printf(out, "%s\n", style_end(STYLE_FAINT, color));
}

void answer_check(const json_t *check, const char *name, bool color, struct buf *out)
{
    bool valid = json_is_true(json_object_get(check, "isValid"));
    json_t *error;
    size_t i;
    mark(out, valid ? "ok" : "no", valid ? STYLE_GOOD : STYLE_BAD, color);
    text_safe(out, name);
    buf_text(out, "\n");
    json_array_foreach(json_object_get(check, "errors"), i, error) add_check_error(out, error, color);
    if (json_is_true(json_object_get(check, "truncated")))
        buf_text(out, "    and more\n");
}
