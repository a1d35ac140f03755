#include "worker/declarative/request.h"

#include "worker/target.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

/* What a builder works with. */
struct build {
    const struct plan *plan;
    const struct plan_step *step;
    const struct template_env *env;
    struct request *r;
    struct pb_why *why;
};

static void text_init(struct buf *text)
{
    buf_init(text, LIMIT_REQUEST_BYTES);
    text->secret = true;
}

static pb_err too_large(struct build *b, const char *what)
{
    return pb_fail(b->why, PB_E_DENIED, "", "the %s of step %s is longer than %d bytes", what, b->step->id,
                   LIMIT_REQUEST_BYTES);
}

static pb_err keep(struct build *b, const struct buf *from, struct secret *to, const char *what)
{
    return from->failed ? too_large(b, what) : secret_set(to, buf_peek(from), from->len);
}

/* -- headers -- */

/* A header of the step replaces one that all requests have. */
static struct transfer_header *slot_for(struct request *r, const char *name)
{
    for (size_t i = 0; i < r->transfer.header_count; i++)
        if (strcasecmp(r->headers[i].name, name) == 0)
            return &r->headers[i];
    if (r->transfer.header_count == LIMIT_REQUEST_HEADERS)
        return NULL;
    size_t i = r->transfer.header_count++;
    snprintf(r->names[i], sizeof r->names[i], "%s", name);
    r->headers[i].name = r->names[i];
    return &r->headers[i];
}

static bool is_token(const char *name)
{
    size_t len = strlen(name);
    return len > 0 && len <= 100 &&
           strspn(name, "!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ") ==
               len;
}

static pb_err put_header(struct build *b, const char *name, const struct buf *value, bool credential)
{
    if (!is_token(name))
        return pb_fail(b->why, PB_E_INVALID, NULL, "\"%.60s\" is not the name of a header", name);
    struct transfer_header *h = slot_for(b->r, name);
    if (!h)
        return pb_fail(b->why, PB_E_INVALID, NULL, "a request may have at most %d headers",
                       LIMIT_REQUEST_HEADERS);
    h->credential = credential;
    return keep(b, value, &h->value, name);
}

static pb_err put_headers(struct build *b, const json_t *headers)
{
    const char *name;
    json_t *template;
    json_object_foreach((json_t *)headers, name, template)
    {
        struct buf value;
        bool secret = false;
        text_init(&value);
        pb_err err =
            template_expand(json_string_value(template), b->env, PLACE_HEADER, &value, &secret, b->why);
        if (!err)
            err = put_header(b, name, &value, secret);
        buf_fini(&value);
        if (err)
            return err;
    }
    return PB_OK;
}

/* -- auth -- */

static pb_err auth_none(struct build *b, const struct plan_auth *auth, const struct buf *value,
                        const struct buf *password)
{
    (void)b, (void)auth, (void)value, (void)password;
    return PB_OK;
}

static pb_err auth_bearer(struct build *b, const struct plan_auth *auth, const struct buf *value,
                          const struct buf *password)
{
    struct buf line;
    (void)auth, (void)password;
    text_init(&line);
    buf_text(&line, "Bearer ");
    buf_append(&line, value->data, value->len);
    pb_err err = put_header(b, "Authorization", &line, true);
    buf_fini(&line);
    return err;
}

/* RFC 7617 */
static pb_err auth_basic(struct build *b, const struct plan_auth *auth, const struct buf *value,
                         const struct buf *password)
{
    struct buf pair, line;
    (void)auth;
    text_init(&pair);
    text_init(&line);
    buf_append(&pair, value->data, value->len);
    buf_text(&pair, ":");
    buf_append(&pair, password->data, password->len);
    buf_text(&line, "Basic ");
    template_base64(&line, pair.data, pair.len);
    pb_err err = put_header(b, "Authorization", &line, true);
    buf_fini(&pair);
    buf_fini(&line);
    return err;
}

static pb_err auth_header(struct build *b, const struct plan_auth *auth, const struct buf *value,
                          const struct buf *password)
{
    (void)password;
    return put_header(b, auth->name, value, true);
}

typedef pb_err put_auth(struct build *b, const struct plan_auth *auth, const struct buf *value,
                        const struct buf *password);

/* Query parameters are put where the address is made. */
static put_auth *const schemes[] = {
    [AUTH_NONE] = auth_none,     [AUTH_BEARER] = auth_bearer, [AUTH_BASIC] = auth_basic,
    [AUTH_HEADER] = auth_header, [AUTH_QUERY] = auth_none,
};

/* An optional field that was left empty takes its part of the authentication with it. */
static pb_err put_one_auth(struct build *b, const struct plan_auth *auth)
{
    struct buf value, password;
    bool secret = false;
    pb_err err = PB_OK;
    text_init(&value);
    text_init(&password);
    if (auth->value)
        err = template_expand(auth->value, b->env, PLACE_HEADER, &value, &secret, b->why);
    if (!err && auth->password)
        err = template_expand(auth->password, b->env, PLACE_HEADER, &password, &secret, b->why);
    if (!err && (value.failed || password.failed))
        err = too_large(b, "authentication");
    if (!err && (value.len || password.len))
        err = schemes[auth->scheme](b, auth, &value, &password);
    buf_fini(&value);
    buf_fini(&password);
    return err;
}

static pb_err put_auths(struct build *b)
{
    pb_err err = PB_OK;
    for (size_t i = 0; i < b->plan->auth_count && !err; i++)
        err = put_one_auth(b, &b->plan->auths[i]);
    return err;
}

/* -- the address -- */

static pb_err put_parameter(struct build *b, struct buf *out, const char *name, const char *template,
                            bool *first, bool *secret)
{
    if (!*first)
        buf_text(out, "&");
    *first = false;
    template_urlencode(out, name, strlen(name));
    buf_text(out, "=");
    return template_expand(template, b->env, PLACE_QUERY, out, secret, b->why);
}

static pb_err put_parameters(struct build *b, struct buf *out, const json_t *parameters, bool *first,
                             bool *secret)
{
    const char *name;
    json_t *template;
    json_object_foreach((json_t *)parameters, name, template)
    {
        pb_err err = put_parameter(b, out, name, json_string_value(template), first, secret);
        if (err)
            return err;
    }
    return PB_OK;
}

static bool has_query_auth(const struct plan *plan)
{
    for (size_t i = 0; i < plan->auth_count; i++)
        if (plan->auths[i].scheme == AUTH_QUERY)
            return true;
    return false;
}

static pb_err put_query(struct build *b, struct buf *url)
{
    bool first = true, *secret = &b->r->transfer.url_has_credential;
    if (json_object_size(b->step->query) == 0 && !has_query_auth(b->plan))
        return PB_OK;
    buf_text(url, strchr(buf_peek(url), '?') ? "&" : "?");
    pb_err err = put_parameters(b, url, b->step->query, &first, secret);
    for (size_t i = 0; i < b->plan->auth_count && !err; i++)
        if (b->plan->auths[i].scheme == AUTH_QUERY) {
            *secret = true;
            err = put_parameter(b, url, b->plan->auths[i].name, b->plan->auths[i].value, &first, secret);
        }
    return err;
}

static pb_err bad_address(struct build *b, pb_err err)
{
    return pb_fail(b->why, err == PB_E_MEMORY ? err : PB_E_DENIED, "",
                   "the provider's address, made from the fields, is not one of http or https with a host");
}

/* Without a list of the package's own, the base address's host is the only one that may see credentials. */
static pb_err put_hosts(struct build *b, const char *base)
{
    struct target t = {0};
    struct request *r = b->r;
    pb_err err = target_parse(base, &t, NULL);
    if (err)
        return bad_address(b, err);
    snprintf(r->host, sizeof r->host, "%s", t.host);
    snprintf(r->own_host, sizeof r->own_host, "%s:%u", t.host, t.port);
    target_fini(&t);
    for (size_t i = 0; i < b->plan->host_count; i++)
        r->hosts[i] = b->plan->hosts[i];
    if (b->plan->host_count == 0)
        r->hosts[0] = r->own_host;
    r->transfer.allowed_hosts = r->hosts;
    r->transfer.allowed_host_count = b->plan->host_count ? b->plan->host_count : 1;
    return PB_OK;
}

static void drop_slash(struct buf *url)
{
    if (url->len && url->data[url->len - 1] == '/')
        url->data[--url->len] = 0;
}

static pb_err put_url(struct build *b)
{
    struct buf url;
    bool *secret = &b->r->transfer.url_has_credential;
    text_init(&url);
    pb_err err = template_expand(b->plan->base_url, b->env, PLACE_BASE_URL, &url, secret, b->why);
    if (!err && !url.failed)
        err = put_hosts(b, buf_peek(&url));
    drop_slash(&url);
    if (!err)
        err = template_expand(b->step->path, b->env, PLACE_PATH, &url, secret, b->why);
    if (!err)
        err = put_query(b, &url);
    if (!err)
        err = keep(b, &url, &b->r->url, "address");
    buf_fini(&url);
    return err;
}

/* -- the body -- */

static pb_err expand_json(struct build *b, const json_t *from, unsigned depth, json_t **out);

static pb_err expand_string(struct build *b, const json_t *from, json_t **out)
{
    struct buf text;
    text_init(&text);
    pb_err err = template_expand(json_string_value(from), b->env, PLACE_JSON, &text,
                                 &b->r->transfer.body_has_credential, b->why);
    if (!err && text.failed)
        err = too_large(b, "body");
    if (!err && !(*out = json_stringn(buf_peek(&text), text.len)))
        err = pb_fail(b->why, PB_E_DENIED, "", "a value that goes into the body is not UTF-8");
    buf_fini(&text);
    return err;
}

static pb_err expand_array(struct build *b, const json_t *from, unsigned depth, json_t **out)
{
    json_t *array = json_array();
    pb_err err = array ? PB_OK : PB_E_MEMORY;
    for (size_t i = 0; i < json_array_size(from) && !err; i++) {
        json_t *item = NULL;
        err = expand_json(b, json_array_get(from, i), depth + 1, &item);
        if (!err && json_array_append_new(array, item) != 0)
            err = PB_E_MEMORY;
    }
    if (err)
        json_decref(array);
    else
        *out = array;
    return err;
}

static pb_err expand_object(struct build *b, const json_t *from, unsigned depth, json_t **out)
{
    const char *key;
    json_t *value, *object = json_object();
    pb_err err = object ? PB_OK : PB_E_MEMORY;
    json_object_foreach((json_t *)from, key, value)
    {
        json_t *item = NULL;
        if (!err)
            err = expand_json(b, value, depth + 1, &item);
        if (!err && json_object_set_new(object, key, item) != 0)
            err = PB_E_MEMORY;
    }
    if (err)
        json_decref(object);
    else
        *out = object;
    return err;
}

static pb_err expand_json(struct build *b, const json_t *from, unsigned depth, json_t **out)
{
    if (depth > LIMIT_JSON_DEPTH)
        return pb_fail(b->why, PB_E_INVALID, NULL, "the body of step %s is nested too deeply", b->step->id);
    if (json_is_string(from))
        return expand_string(b, from, out);
    if (json_is_array(from))
        return expand_array(b, from, depth, out);
    if (json_is_object(from))
        return expand_object(b, from, depth, out);
    *out = json_deep_copy(from);
    return *out ? PB_OK : PB_E_MEMORY;
}

static int append_json(const char *bytes, size_t len, void *body)
{
    buf_append(body, bytes, len);
    return 0;
}

static pb_err put_json(struct build *b, struct buf *body)
{
    json_t *json = NULL;
    pb_err err = expand_json(b, b->step->json, 0, &json);
    if (!err && json_dump_callback(json, append_json, body, JSON_COMPACT | JSON_ENCODE_ANY) != 0)
        err = PB_E_MEMORY;
    json_decref(json);
    return err;
}

static pb_err put_form(struct build *b, struct buf *body)
{
    bool first = true;
    return put_parameters(b, body, b->step->form, &first, &b->r->transfer.body_has_credential);
}

static pb_err put_content_type(struct build *b, const char *type)
{
    struct buf value;
    text_init(&value);
    buf_text(&value, type);
    pb_err err = put_header(b, "Content-Type", &value, false);
    buf_fini(&value);
    return err;
}

static pb_err put_body(struct build *b)
{
    struct buf body;
    bool json = b->step->json;
    if (!json && !b->step->form)
        return PB_OK;
    text_init(&body);
    pb_err err = json ? put_json(b, &body) : put_form(b, &body);
    if (!err)
        err = put_content_type(b, json ? "application/json" : "application/x-www-form-urlencoded");
    if (!err)
        err = keep(b, &body, &b->r->body, "body");
    if (!err) {
        b->r->transfer.body = b->r->body.data;
        b->r->transfer.body_len = b->r->body.len;
    }
    buf_fini(&body);
    return err;
}

/* -- whole -- */

pb_err request_build(const struct plan *plan, const struct plan_step *step, const struct template_env *env,
                     struct request *out, struct pb_why *why)
{
    struct build b = {plan, step, env, out, why};
    *out = (struct request){0};
    pb_err err = put_url(&b);
    if (!err)
        err = put_body(&b);
    if (!err)
        err = put_headers(&b, plan->headers);
    if (!err)
        err = put_headers(&b, step->headers);
    if (!err)
        err = put_auths(&b);
    if (err) {
        request_fini(out);
        return err;
    }
    out->transfer.method = step->method;
    out->transfer.url = out->url;
    out->transfer.headers = out->headers;
    out->transfer.timeout_ms = plan->timeout_ms;
    return PB_OK;
}

void request_fini(struct request *r)
{
    for (size_t i = 0; i < r->transfer.header_count; i++)
        secret_fini(&r->headers[i].value);
    secret_fini(&r->url);
    secret_fini(&r->body);
    *r = (struct request){0};
}
