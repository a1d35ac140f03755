#include "worker/declarative/template.h"

#include "common/limits.h"
#include "common/nearest.h"

#include <assert.h>
#include <ctype.h>
#include <sodium.h>
#include <stdio.h>
#include <string.h>

/* One expansion under way. */
struct scan {
    const char *text, *at;
    const struct template_env *env;
    bool *secret;
    const char *field; /* the last field that gave a value, for messages */
    struct pb_why *why;
};

static pb_err wrong(struct scan *s, const char *what)
{
    return pb_fail(s->why, PB_E_INVALID, NULL, "the template \"%.80s\" %s (column %d)", s->text, what,
                   (int)(s->at - s->text) + 1);
}

static void value_init(struct buf *value)
{
    buf_init(value, LIMIT_REQUEST_BYTES);
    value->secret = true;
}

/* -- encodings -- */

void template_urlencode(struct buf *out, const void *bytes, size_t len)
{
    const uint8_t *p = bytes;
    for (size_t i = 0; i < len; i++) {
        if (isalnum(p[i]) || (p[i] && strchr("-._~", p[i])))
            buf_append(out, &p[i], 1);
        else
            buf_printf(out, "%%%02X", p[i]);
    }
}

void template_base64(struct buf *out, const void *bytes, size_t len)
{
    const uint8_t *p = bytes;
    while (len > 0) { /* in pieces whose length divides by three: only the last one is padded */
        char text[128];
        size_t n = len < 60 ? len : 60;
        sodium_bin2base64(text, sizeof text, p, n, sodium_base64_VARIANT_ORIGINAL);
        buf_text(out, text);
        sodium_memzero(text, sizeof text);
        p += n;
        len -= n;
    }
}

/* -- functions -- */

static void fn_base64(const struct buf *args, struct buf *out)
{
    template_base64(out, args[0].data, args[0].len);
}

static void fn_urlencode(const struct buf *args, struct buf *out)
{
    template_urlencode(out, args[0].data, args[0].len);
}

static void fn_after_last(const struct buf *args, struct buf *out)
{
    const char *text = buf_peek(&args[0]), *last = NULL;
    for (const char *p = text; args[1].len && (p = strstr(p, buf_peek(&args[1]))); p++)
        last = p;
    buf_text(out, last ? last + args[1].len : text);
}

static void fn_default(const struct buf *args, struct buf *out)
{
    const struct buf *chosen = args[0].len ? &args[0] : &args[1];
    buf_append(out, chosen->data, chosen->len);
}

#define ARGS_MAX 2

static const struct function {
    const char *name;
    size_t args;
    void (*call)(const struct buf *args, struct buf *out);
} functions[] = {
    {"base64", 1, fn_base64},
    {"urlencode", 1, fn_urlencode},
    {"after_last", 2, fn_after_last},
    {"default", 2, fn_default},
};

static const struct function *find_function(const char *name)
{
    for (size_t i = 0; i < sizeof functions / sizeof functions[0]; i++)
        if (strcmp(functions[i].name, name) == 0)
            return &functions[i];
    return NULL;
}

/* -- names -- */

static const struct field *find_field(const struct template_env *env, const char *name)
{
    for (size_t i = 0; i < env->manifest->field_count; i++)
        if (strcmp(env->manifest->fields[i].name, name) == 0)
            return &env->manifest->fields[i];
    return NULL;
}

static pb_err unknown(struct scan *s, const char *name)
{
    const char *known[LIMIT_PACKAGE_FIELDS + 3];
    size_t count = 0;
    for (; count < s->env->manifest->field_count && count < LIMIT_PACKAGE_FIELDS; count++)
        known[count] = s->env->manifest->fields[count].name;
    known[count++] = "account.id";
    known[count++] = "account.label";
    known[count++] = "now";
    const char *near = nearest(name, known, count);
    char what[160];
    snprintf(what, sizeof what, "names {%.60s}, which is no field%s%s%s", name, near ? "; did you mean " : "",
             near ? near : "", near ? "?" : "");
    return wrong(s, what);
}

static pb_err put_name(struct scan *s, const char *name, struct buf *out)
{
    const struct field *f = find_field(s->env, name);
    if (f) {
        const struct secret *value = credentials_get(s->env->credentials, name);
        *s->secret |= f->secret;
        s->field = f->name;
        if (value)
            buf_append(out, value->data, value->len);
    } else if (strcmp(name, "account.id") == 0) {
        buf_text(out, s->env->account_id);
    } else if (strcmp(name, "account.label") == 0) {
        buf_text(out, s->env->account_label);
    } else if (strcmp(name, "now") == 0) {
        buf_printf(out, "%lld", (long long)s->env->now_s);
    } else {
        return unknown(s, name);
    }
    return PB_OK;
}

/* -- expressions -- */

static pb_err expression(struct scan *s, unsigned depth, struct buf *out);

static void skip_spaces(struct scan *s)
{
    while (*s->at == ' ')
        s->at++;
}

static pb_err expect(struct scan *s, char c, const char *what)
{
    skip_spaces(s);
    if (*s->at != c)
        return wrong(s, what);
    s->at++;
    return PB_OK;
}

static pb_err literal(struct scan *s, struct buf *out)
{
    const char *end = strchr(s->at + 1, '\'');
    if (!end)
        return wrong(s, "has a literal without its closing '");
    buf_append(out, s->at + 1, (size_t)(end - s->at - 1));
    s->at = end + 1;
    return PB_OK;
}

static pb_err call(struct scan *s, const struct function *f, unsigned depth, struct buf *out)
{
    struct buf args[ARGS_MAX];
    pb_err err = PB_OK;
    for (size_t i = 0; i < ARGS_MAX; i++)
        value_init(&args[i]);
    s->at++; /* the parenthesis */
    for (size_t i = 0; i < f->args && !err; i++) {
        err = expression(s, depth + 1, &args[i]);
        if (!err && i + 1 < f->args)
            err = expect(s, ',', "needs a comma and another value here");
        if (!err && args[i].failed)
            err = PB_E_LIMIT;
    }
    if (!err)
        err = expect(s, ')', "needs a closing parenthesis here");
    if (!err)
        f->call(args, out);
    for (size_t i = 0; i < ARGS_MAX; i++)
        buf_fini(&args[i]);
    return err;
}

static pb_err expression(struct scan *s, unsigned depth, struct buf *out)
{
    char name[LIMIT_FIELD_NAME_CHARS + 1];
    if (depth > LIMIT_TEMPLATE_DEPTH)
        return wrong(s, "nests functions too deeply");
    skip_spaces(s);
    if (*s->at == '\'')
        return literal(s, out);
    size_t len = 0;
    while (isalnum((unsigned char)s->at[len]) || s->at[len] == '_' || s->at[len] == '.')
        len++;
    if (len == 0 || len >= sizeof name)
        return wrong(s, "needs the name of a field here; {{ stands for a brace");
    memcpy(name, s->at, len);
    name[len] = 0;
    if (s->at[len] != '(') {
        pb_err err = put_name(s, name, out);
        s->at += err ? 0 : len;
        return err;
    }
    const struct function *f = find_function(name);
    if (!f)
        return wrong(s, "uses a function that is not one of base64, urlencode, after_last, default");
    s->at += len;
    return call(s, f, depth, out);
}

/* -- places -- */

static pb_err refuse(struct scan *s, const char *what)
{
    return pb_fail(s->why, PB_E_DENIED, s->field ? s->field : "", "%s", what);
}

static pb_err put_base_url(struct scan *s, bool first, const struct buf *value, struct buf *out)
{
    const char *text = buf_peek(value);
    for (size_t i = 0; i < value->len && !first; i++)
        if (!isalnum((unsigned char)text[i]) && !strchr("-._", text[i]))
            return refuse(
                s, "may hold only letters, digits, dots and hyphens, as it becomes part of a host name");
    for (size_t i = 0; i < value->len && first; i++)
        if (text[i] <= ' ' || text[i] == 0x7f || strchr("?#\\", text[i]))
            return refuse(s, "must be an address such as https://service.example.com, without ? and #");
    if (value->len == 0)
        return refuse(s, "is empty, and the provider's address is made from it");
    buf_append(out, text, value->len);
    return PB_OK;
}

static pb_err put_path(struct scan *s, bool first, const struct buf *value, struct buf *out)
{
    const char *text = buf_peek(value);
    (void)first;
    if (strcmp(text, ".") == 0 || strcmp(text, "..") == 0)
        return refuse(s, "must not be . or .., as it becomes part of a path");
    template_urlencode(out, value->data, value->len);
    return PB_OK;
}

static pb_err put_query(struct scan *s, bool first, const struct buf *value, struct buf *out)
{
    (void)s, (void)first;
    template_urlencode(out, value->data, value->len);
    return PB_OK;
}

static pb_err put_header(struct scan *s, bool first, const struct buf *value, struct buf *out)
{
    (void)first;
    for (size_t i = 0; i < value->len; i++)
        if ((value->data[i] < ' ' && value->data[i] != '\t') || value->data[i] == 0x7f)
            return refuse(s, "must not hold line breaks or other control characters");
    buf_append(out, value->data, value->len);
    return PB_OK;
}

static pb_err put_json(struct scan *s, bool first, const struct buf *value, struct buf *out)
{
    (void)s, (void)first;
    buf_append(out, value->data, value->len);
    return PB_OK;
}

typedef pb_err put(struct scan *s, bool first, const struct buf *value, struct buf *out);

static put *const places[] = {
    [PLACE_BASE_URL] = put_base_url, [PLACE_PATH] = put_path, [PLACE_QUERY] = put_query,
    [PLACE_HEADER] = put_header,     [PLACE_JSON] = put_json,
};

static pb_err braces(struct scan *s, enum template_place place, struct buf *out)
{
    struct buf value;
    bool first = s->at == s->text;
    value_init(&value);
    s->at++;
    s->field = NULL;
    pb_err err = expression(s, 0, &value);
    if (!err)
        err = expect(s, '}', "needs a closing brace here");
    if (!err && value.failed)
        err = PB_E_LIMIT;
    if (!err)
        err = places[place](s, first, &value, out);
    buf_fini(&value);
    return err;
}

pb_err template_expand(const char *text, const struct template_env *env, enum template_place place,
                       struct buf *out, bool *secret, struct pb_why *why)
{
    struct scan s = {.text = text, .at = text, .env = env, .secret = secret, .why = why};
    pb_err err = PB_OK;
    while (*s.at && !err) {
        bool brace = *s.at == '{' || *s.at == '}';
        if (brace && s.at[1] == s.at[0]) {
            buf_append(out, s.at, 1);
            s.at += 2;
        } else if (*s.at == '{') {
            err = braces(&s, place, out);
        } else if (brace) {
            err = wrong(&s, "has a closing brace without an opening one; }} stands for a brace");
        } else {
            size_t plain = strcspn(s.at, "{}");
            buf_append(out, s.at, plain);
            s.at += plain;
        }
    }
    return err;
}
