#include "worker/declarative/plan.h"

#include "common/buf.h"
#include "common/nearest.h"
#include "common/regex.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define DEFAULT_TIMEOUT_MS 10000

/* Where in the manifest the reader is: its pointer is only put together when something is wrong there,
 * because a plan is made for every test. */
struct place {
    const struct place *above; /* NULL: the manifest itself */
    const char *key;           /* NULL: index counts */
    size_t index;
    const struct manifest *manifest;
    struct pb_why *why;
};

static struct place below(const struct place *p, const char *key)
{
    return (struct place){.above = p, .key = key, .manifest = p->manifest, .why = p->why};
}

static struct place nth(const struct place *p, size_t i)
{
    return (struct place){.above = p, .index = i, .manifest = p->manifest, .why = p->why};
}

#define DEPTH_MAX 12

static void put_pointer(const struct place *p, struct buf *out)
{
    const struct place *path[DEPTH_MAX];
    size_t depth = 0;
    for (; p->above && depth < DEPTH_MAX; p = p->above)
        path[depth++] = p;
    while (depth--)
        if (path[depth]->key)
            buf_printf(out, "/%.36s", path[depth]->key);
        else
            buf_printf(out, "/%zu", path[depth]->index);
}

__attribute__((format(printf, 3, 4))) static pb_err wrong(const struct place *p, pb_err err,
                                                          const char *format, ...)
{
    char at[sizeof p->why->at], text[256];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    struct buf pointer;
    buf_init(&pointer, 4096);
    put_pointer(p, &pointer);
    snprintf(at, sizeof at, "%.40s/manifest.json#%.130s", p->manifest->type, buf_peek(&pointer));
    buf_fini(&pointer);
    return pb_fail(p->why, err, at, "%s", text);
}

/* -- members of objects, by a table -- */

enum kind { TEXT, NUMBER, BOOLEAN, OBJECT, TEMPLATES, ARRAY, ANY };

static const char *const kind_names[] = {
    [TEXT] = "a string",
    [NUMBER] = "an integer",
    [BOOLEAN] = "true or false",
    [OBJECT] = "an object",
    [TEMPLATES] = "an object of strings",
    [ARRAY] = "an array",
    [ANY] = "a value",
};

struct member {
    const char *name;
    enum kind kind;
    bool required;
    const json_t **out; /* NULL: allowed, read by others */
};

static bool all_text(const json_t *object)
{
    const char *key;
    json_t *value;
    bool all = true;
    json_object_foreach((json_t *)object, key, value)
    {
        all = all && json_is_string(value);
    }
    return all;
}

static bool is_kind(const json_t *v, enum kind kind)
{
    const bool is[] = {
        [TEXT] = json_is_string(v),
        [NUMBER] = json_is_integer(v),
        [BOOLEAN] = json_is_boolean(v),
        [OBJECT] = json_is_object(v),
        [TEMPLATES] = json_is_object(v) && json_object_size(v) <= LIMIT_TEST_PARAMETERS && all_text(v),
        [ARRAY] = json_is_array(v),
        [ANY] = true,
    };
    return is[kind];
}

static pb_err check_names(const struct place *p, const json_t *object, const struct member *members,
                          size_t count)
{
    const char *key, *known[24];
    json_t *value;
    for (size_t i = 0; i < count; i++)
        known[i] = members[i].name;
    json_object_foreach((json_t *)object, key, value)
    {
        size_t i = 0;
        while (i < count && strcmp(known[i], key) != 0)
            i++;
        const char *near = i == count ? nearest(key, known, count) : NULL;
        struct place q = below(p, key);
        if (i == count)
            return wrong(&q, PB_E_INVALID, "is not a known member%s%s%s", near ? "; did you mean " : "",
                         near ? near : "", near ? "?" : "");
    }
    return PB_OK;
}

/* null counts as absent. */
static pb_err read_members(const struct place *p, const json_t *object, const struct member *members,
                           size_t count)
{
    if (!json_is_object(object))
        return wrong(p, PB_E_INVALID, "must be an object");
    pb_err err = check_names(p, object, members, count);
    for (size_t i = 0; i < count && !err; i++) {
        const json_t *v = json_object_get(object, members[i].name);
        struct place q = below(p, members[i].name);
        if (json_is_null(v))
            v = NULL;
        if (!v && members[i].required)
            err = wrong(&q, PB_E_INVALID, "is required");
        else if (v && !is_kind(v, members[i].kind))
            err = wrong(&q, PB_E_INVALID, "must be %s", kind_names[members[i].kind]);
        else if (members[i].out)
            *members[i].out = v;
    }
    return err;
}

#define READ(place, object, members) read_members(place, object, members, sizeof members / sizeof members[0])

static const char *text_of(const json_t *v)
{
    return json_string_value(v); /* NULL of NULL */
}

/* Room for an array's elements; its size is checked. */
static pb_err room(const struct place *p, const json_t *array, size_t max, size_t size, void **out,
                   size_t *count)
{
    size_t n = json_array_size(array);
    if (n > max)
        return wrong(p, PB_E_LIMIT, "has %zu elements; at most %zu are allowed", n, max);
    if (n == 0)
        return PB_OK;
    *out = calloc(n, size);
    *count = *out ? n : 0;
    return *out ? PB_OK : PB_E_MEMORY;
}

/* -- conditions and rules -- */

static const char *const op_names[] = {
    [OP_EXISTS] = "exists", [OP_ABSENT] = "absent",     [OP_EQ] = "eq",       [OP_NE] = "ne",
    [OP_IN] = "in",         [OP_CONTAINS] = "contains", [OP_REGEX] = "regex",
};

static pb_err read_op(const struct place *p, const char *name, enum condition_op *out)
{
    for (int op = OP_EXISTS; op <= OP_REGEX; op++)
        if (strcmp(op_names[op], name) == 0) {
            *out = (enum condition_op)op;
            return PB_OK;
        }
    struct place q = below(p, "op");
    return wrong(&q, PB_E_INVALID, "must be one of exists, absent, eq, ne, in, contains, regex");
}

static pb_err check_value(const struct place *p, struct plan_condition *c)
{
    char reason[120] = "";
    struct place q = below(p, "value");
    if (c->op != OP_EXISTS && c->op != OP_ABSENT && !c->value)
        return wrong(&q, PB_E_INVALID, "is required");
    if (c->op == OP_IN && !json_is_array(c->value))
        return wrong(&q, PB_E_INVALID, "must be an array");
    if ((c->op == OP_CONTAINS || c->op == OP_REGEX) && !json_is_string(c->value))
        return wrong(&q, PB_E_INVALID, "must be a string");
    if (c->op == OP_REGEX && regex_compile(text_of(c->value), &c->regex, reason, sizeof reason) != PB_OK)
        return wrong(&q, PB_E_INVALID, "is not a regular expression: %s", reason);
    return PB_OK;
}

static pb_err check_pointer(const struct place *p, const char *pointer)
{
    bool ok = !pointer || pointer[0] == '/' || pointer[0] == 0;
    for (const char *s = pointer; ok && s && (s = strchr(s, '~')); s++)
        ok = s[1] == '0' || s[1] == '1';
    return ok ? PB_OK : wrong(p, PB_E_INVALID, "\"%.60s\" is not a JSON pointer such as /user/id", pointer);
}

static pb_err read_condition(const struct place *p, const json_t *json, struct plan_condition *c)
{
    const json_t *pointer, *op;
    const struct member members[] = {
        {"pointer", TEXT, true, &pointer}, {"op", TEXT, true, &op}, {"value", ANY, false, &c->value}};
    pb_err err = READ(p, json, members);
    if (err)
        return err;
    c->pointer = text_of(pointer);
    if ((err = check_pointer(p, c->pointer)) || (err = read_op(p, text_of(op), &c->op)))
        return err;
    return check_value(p, c);
}

static pb_err read_conditions(const struct place *p, const json_t *array, struct plan_conditions *out)
{
    void *items = NULL;
    pb_err err = room(p, array, LIMIT_TEST_CONDITIONS, sizeof *out->items, &items, &out->count);
    out->items = items;
    for (size_t i = 0; i < out->count && !err; i++) {
        struct place q = nth(p, i);
        err = read_condition(&q, json_array_get(array, i), &out->items[i]);
    }
    return err;
}

static pb_err read_statuses(const struct place *p, const json_t *array, struct plan_statuses *out)
{
    size_t n = json_array_size(array);
    if (n > LIMIT_TEST_STATUSES)
        return wrong(p, PB_E_LIMIT, "names too many statuses");
    for (size_t i = 0; i < n; i++) {
        json_int_t status = json_integer_value(json_array_get(array, i));
        struct place q = nth(p, i);
        if (status < 100 || status > 599)
            return wrong(&q, PB_E_INVALID, "must be an HTTP status from 100 to 599");
        out->items[out->count++] = (int)status;
    }
    return PB_OK;
}

static pb_err read_code(const struct place *p, const json_t *code, enum result_code *out)
{
    struct place q = below(p, "code");
    return result_code_parse(text_of(code), out) == PB_OK
               ? PB_OK
               : wrong(&q, PB_E_INVALID, "\"%.40s\" is not a result code", text_of(code));
}

static pb_err read_header_rule(const struct place *p, const json_t *header, struct plan_rule *rule)
{
    const json_t *name = NULL, *value = NULL;
    const struct member members[] = {{"name", TEXT, true, &name}, {"value", TEXT, false, &value}};
    struct place q = below(p, "header");
    pb_err err = header ? READ(&q, header, members) : PB_OK;
    if (err)
        return err;
    rule->header = text_of(name);
    rule->header_value = text_of(value);
    return PB_OK;
}

static pb_err check_rule_field(const struct place *p, const char *field)
{
    struct place q = below(p, "field");
    for (size_t i = 0; field && i < p->manifest->field_count; i++)
        if (strcmp(p->manifest->fields[i].name, field) == 0)
            return PB_OK;
    return field ? wrong(&q, PB_E_INVALID, "\"%.40s\" is not in credentialSchema", field) : PB_OK;
}

static pb_err read_rule(const struct place *p, const json_t *json, struct plan_rule *rule)
{
    const json_t *status, *header, *conditions, *body, *code, *message, *field;
    const struct member members[] = {
        {"status", ARRAY, false, &status},   {"header", OBJECT, false, &header},
        {"json", ARRAY, false, &conditions}, {"bodyContains", TEXT, false, &body},
        {"code", TEXT, true, &code},         {"message", TEXT, false, &message},
        {"field", TEXT, false, &field},
    };
    pb_err err = READ(p, json, members);
    if (err)
        return err;
    struct place at_status = below(p, "status"), at_json = below(p, "json"), at_message = below(p, "message");
    rule->body_contains = text_of(body);
    rule->message = text_of(message);
    rule->field = text_of(field);
    if ((err = read_statuses(&at_status, status, &rule->statuses)) ||
        (err = read_header_rule(p, header, rule)) ||
        (err = read_conditions(&at_json, conditions, &rule->json)) ||
        (err = check_pointer(&at_message, rule->message)) || (err = check_rule_field(p, rule->field)))
        return err;
    if (!rule->statuses.count && !rule->header && !rule->json.count && !rule->body_contains)
        return wrong(p, PB_E_INVALID, "needs one of status, header, json and bodyContains");
    return read_code(p, code, &rule->code);
}

static pb_err read_rules(const struct place *p, const json_t *array, struct plan_step *step)
{
    void *items = NULL;
    pb_err err = room(p, array, LIMIT_TEST_RULES, sizeof *step->rules, &items, &step->rule_count);
    step->rules = items;
    for (size_t i = 0; i < step->rule_count && !err; i++) {
        struct place q = nth(p, i);
        err = read_rule(&q, json_array_get(array, i), &step->rules[i]);
    }
    return err;
}

static pb_err read_warning(const struct place *p, const json_t *json, struct plan_warning *w)
{
    const json_t *conditions, *code, *text;
    const struct member members[] = {
        {"json", ARRAY, true, &conditions}, {"code", TEXT, true, &code}, {"text", TEXT, true, &text}};
    pb_err err = READ(p, json, members);
    if (err)
        return err;
    struct place q = below(p, "json");
    w->text = text_of(text);
    err = read_conditions(&q, conditions, &w->json);
    return err ? err : read_code(p, code, &w->code);
}

static pb_err read_warnings(const struct place *p, const json_t *array, struct plan_step *step)
{
    void *items = NULL;
    pb_err err = room(p, array, LIMIT_RESULT_WARNINGS, sizeof *step->warnings, &items, &step->warning_count);
    step->warnings = items;
    for (size_t i = 0; i < step->warning_count && !err; i++) {
        struct place q = nth(p, i);
        err = read_warning(&q, json_array_get(array, i), &step->warnings[i]);
    }
    return err;
}

/* -- steps -- */

static pb_err check_method(const struct place *p, const char *method)
{
    static const char *const methods[] = {"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"};
    struct place q = below(p, "method");
    for (size_t i = 0; i < sizeof methods / sizeof methods[0]; i++)
        if (strcmp(methods[i], method) == 0)
            return PB_OK;
    return wrong(&q, PB_E_INVALID, "must be GET, HEAD, POST, PUT, PATCH, DELETE or OPTIONS");
}

static pb_err read_request(const struct place *p, const json_t *json, struct plan_step *step)
{
    const json_t *method, *path;
    const struct member members[] = {
        {"method", TEXT, true, &method},           {"path", TEXT, true, &path},
        {"query", TEMPLATES, false, &step->query}, {"headers", TEMPLATES, false, &step->headers},
        {"json", ANY, false, &step->json},         {"form", TEMPLATES, false, &step->form},
    };
    pb_err err = READ(p, json, members);
    if (err)
        return err;
    step->method = text_of(method);
    step->path = text_of(path);
    if (step->json && step->form)
        return wrong(p, PB_E_INVALID, "has both json and form; a request has one body");
    return check_method(p, step->method);
}

static pb_err read_expect(const struct place *p, const json_t *json, struct plan_step *step)
{
    const json_t *status = NULL, *content_type = NULL, *conditions = NULL;
    const struct member members[] = {{"status", ARRAY, false, &status},
                                     {"contentType", TEXT, false, &content_type},
                                     {"json", ARRAY, false, &conditions}};
    pb_err err = json ? READ(p, json, members) : PB_OK;
    if (err)
        return err;
    struct place at_status = below(p, "status"), at_json = below(p, "json");
    step->content_type = text_of(content_type);
    err = read_statuses(&at_status, status, &step->statuses);
    return err ? err : read_conditions(&at_json, conditions, &step->expect);
}

static pb_err read_extract(const struct place *p, const json_t *json, struct plan_step *step)
{
    const json_t *id = NULL, *label = NULL;
    const struct member members[] = {{"accountId", TEXT, false, &id}, {"accountLabel", TEXT, false, &label}};
    pb_err err = json ? READ(p, json, members) : PB_OK;
    if (err)
        return err;
    step->account_id = text_of(id);
    step->account_label = text_of(label);
    err = check_pointer(p, step->account_id);
    return err ? err : check_pointer(p, step->account_label);
}

static pb_err read_step(const struct place *p, const json_t *json, struct plan_step *step)
{
    const json_t *id, *identity, *request, *expect, *errors, *extract, *warnings;
    const struct member members[] = {
        {"id", TEXT, true, &id},
        {"identity", BOOLEAN, false, &identity},
        {"request", OBJECT, true, &request},
        {"expect", OBJECT, false, &expect},
        {"errors", ARRAY, false, &errors},
        {"extract", OBJECT, false, &extract},
        {"warnings", ARRAY, false, &warnings},
    };
    pb_err err = READ(p, json, members);
    if (err)
        return err;
    struct place at_request = below(p, "request"), at_expect = below(p, "expect"),
                 at_errors = below(p, "errors"), at_extract = below(p, "extract"),
                 at_warnings = below(p, "warnings");
    step->id = text_of(id);
    step->identity = json_is_true(identity);
    if ((err = read_request(&at_request, request, step)) || (err = read_expect(&at_expect, expect, step)) ||
        (err = read_rules(&at_errors, errors, step)) || (err = read_extract(&at_extract, extract, step)))
        return err;
    return read_warnings(&at_warnings, warnings, step);
}

static pb_err read_steps(const struct place *p, const json_t *array, struct plan *plan)
{
    void *items = NULL;
    bool identity = false;
    pb_err err = room(p, array, LIMIT_TEST_STEPS, sizeof *plan->steps, &items, &plan->step_count);
    plan->steps = items;
    for (size_t i = 0; i < plan->step_count && !err; i++) {
        struct place q = nth(p, i);
        err = read_step(&q, json_array_get(array, i), &plan->steps[i]);
        identity |= plan->steps[i].identity;
    }
    if (!err && plan->step_count == 0)
        err = wrong(p, PB_E_INVALID, "needs at least one step");
    if (!err && !identity)
        plan->steps[0].identity = true;
    return err;
}

/* -- http, auth, rateLimit -- */

static pb_err read_names(const struct place *p, const json_t *array, size_t max, const char **out,
                         size_t *count)
{
    if (json_array_size(array) > max)
        return wrong(p, PB_E_LIMIT, "names more than %zu", max);
    for (size_t i = 0; i < json_array_size(array); i++) {
        const char *name = text_of(json_array_get(array, i));
        struct place q = nth(p, i);
        if (!name)
            return wrong(&q, PB_E_INVALID, "must be a string");
        out[(*count)++] = name;
    }
    return PB_OK;
}

/* Is the host of this address made from a template? */
static bool host_is_template(const char *base_url)
{
    const char *host = strstr(base_url, "://");
    host = host ? host + 3 : base_url;
    return memchr(host, '{', strcspn(host, "/?#")) != NULL;
}

static pb_err read_http(const struct place *p, const json_t *json, struct plan *plan)
{
    const json_t *base, *hosts, *timeout, *user_host;
    const struct member members[] = {
        {"baseUrl", TEXT, true, &base},
        {"allowedHosts", ARRAY, false, &hosts},
        {"headers", TEMPLATES, false, &plan->headers},
        {"timeoutMs", NUMBER, false, &timeout},
        {"userHost", BOOLEAN, false, &user_host},
    };
    pb_err err = READ(p, json, members);
    if (err)
        return err;
    struct place at_hosts = below(p, "allowedHosts"), at_timeout = below(p, "timeoutMs");
    json_int_t timeout_ms = timeout ? json_integer_value(timeout) : DEFAULT_TIMEOUT_MS;
    if (timeout_ms < 1)
        return wrong(&at_timeout, PB_E_INVALID, "must be at least 1");
    plan->timeout_ms =
        (uint32_t)(timeout_ms < LIMIT_TRANSFER_TIMEOUT_MS ? timeout_ms : LIMIT_TRANSFER_TIMEOUT_MS);
    plan->base_url = text_of(base);
    if ((err = read_names(&at_hosts, hosts, LIMIT_TRANSFER_HOSTS, plan->hosts, &plan->host_count)))
        return err;
    if (!plan->host_count && host_is_template(plan->base_url) && !json_is_true(user_host))
        return wrong(&at_hosts, PB_E_INVALID,
                     "is needed where the host is a template, unless userHost says that people may name any");
    return PB_OK;
}

static const struct scheme {
    const char *name;
    enum auth_scheme scheme;
    const char *members[3]; /* name, value, password */
} schemes[] = {
    {"none", AUTH_NONE, {NULL, NULL, NULL}},
    {"bearer", AUTH_BEARER, {NULL, "token", NULL}},
    {"basic", AUTH_BASIC, {NULL, "username", "password"}},
    {"header", AUTH_HEADER, {"name", "value", NULL}},
    {"query", AUTH_QUERY, {"name", "value", NULL}},
};

static const struct scheme *find_scheme(const char *name)
{
    for (size_t i = 0; i < sizeof schemes / sizeof schemes[0]; i++)
        if (strcmp(schemes[i].name, name) == 0)
            return &schemes[i];
    return NULL;
}

static pb_err read_one_auth(const struct place *p, const json_t *json, struct plan *plan)
{
    const json_t *found[3] = {NULL};
    struct member members[5] = {{"scheme", TEXT, true, NULL}, {"also", ARRAY, false, NULL}};
    size_t count = 2;
    const char *name = text_of(json_object_get(json, "scheme"));
    const struct scheme *scheme = name ? find_scheme(name) : NULL;
    if (name && !scheme)
        return wrong(p, PB_E_UNSUPPORTED,
                     "the scheme \"%.30s\" cannot be carried out by this version; it knows "
                     "none, bearer, basic, header and query",
                     name);
    if (plan->auth_count == LIMIT_TEST_AUTHS)
        return wrong(p, PB_E_LIMIT, "has more than %d parts", LIMIT_TEST_AUTHS);
    for (size_t i = 0; scheme && i < 3; i++)
        if (scheme->members[i])
            members[count++] = (struct member){scheme->members[i], TEXT, true, &found[i]};
    pb_err err = read_members(p, json, members, count);
    if (err)
        return err;
    plan->auths[plan->auth_count++] =
        (struct plan_auth){scheme->scheme, text_of(found[0]), text_of(found[1]), text_of(found[2])};
    return PB_OK;
}

static pb_err read_auth(const struct place *p, const json_t *json, struct plan *plan)
{
    if (!json)
        return PB_OK;
    pb_err err = read_one_auth(p, json, plan);
    const json_t *also = json_object_get(json, "also");
    struct place q = below(p, "also");
    for (size_t i = 0; i < json_array_size(also) && !err; i++) {
        struct place r = nth(&q, i);
        err = read_one_auth(&r, json_array_get(also, i), plan);
    }
    return err;
}

/* perSecond, concurrency and remaining are for whoever hands tests out. Retry-After (RFC 9110, section
 * 10.2.3) is every provider's unless the package says otherwise. */
static pb_err read_rate_limit(const struct place *p, const json_t *json, struct plan *plan)
{
    const json_t *after = NULL, *at = NULL;
    const struct member members[] = {{"perSecond", ANY, false, NULL},
                                     {"concurrency", NUMBER, false, NULL},
                                     {"after", ARRAY, false, &after},
                                     {"at", ARRAY, false, &at},
                                     {"remaining", TEXT, false, NULL}};
    pb_err err = json ? READ(p, json, members) : PB_OK;
    struct place at_after = below(p, "after"), at_at = below(p, "at");
    if (!err && after)
        err = read_names(&at_after, after, 8, plan->after, &plan->after_count);
    else
        plan->after[plan->after_count++] = "retry-after";
    return err ? err : read_names(&at_at, at, 8, plan->at, &plan->at_count);
}

static pb_err read_test(const struct place *p, const json_t *json, struct plan *plan)
{
    const json_t *steps, *rate;
    const struct member members[] = {{"steps", ARRAY, true, &steps},
                                     {"rateLimit", OBJECT, false, &rate},
                                     {"sideEffects", TEXT, false, NULL},
                                     {"intervalHours", ANY, false, NULL}};
    pb_err err = READ(p, json, members);
    struct place at_steps = below(p, "steps"), at_rate = below(p, "rateLimit");
    if (!err)
        err = read_steps(&at_steps, steps, plan);
    return err ? err : read_rate_limit(&at_rate, rate, plan);
}

pb_err plan_new(const struct manifest *m, struct plan **out, struct pb_why *why)
{
    const json_t *http = json_object_get(m->json, "http"), *auth = json_object_get(m->json, "auth"),
                 *test = json_object_get(m->json, "test");
    struct place root = {.manifest = m, .why = why};
    if (!http || !test)
        return PB_E_NOT_FOUND;
    struct plan *p = calloc(1, sizeof *p);
    if (!p)
        return PB_E_MEMORY;
    struct place at_http = below(&root, "http"), at_auth = below(&root, "auth"),
                 at_test = below(&root, "test");
    p->manifest = m;
    pb_err err = read_http(&at_http, http, p);
    if (!err)
        err = read_auth(&at_auth, auth, p);
    if (!err)
        err = read_test(&at_test, test, p);
    if (err)
        plan_free(p);
    else
        *out = p;
    return err;
}

/* -- the end -- */

static void free_conditions(struct plan_conditions *c)
{
    for (size_t i = 0; i < c->count; i++)
        regex_free(c->items[i].regex);
    free(c->items);
}

static void free_step(struct plan_step *step)
{
    free_conditions(&step->expect);
    for (size_t i = 0; i < step->rule_count; i++)
        free_conditions(&step->rules[i].json);
    for (size_t i = 0; i < step->warning_count; i++)
        free_conditions(&step->warnings[i].json);
    free(step->rules);
    free(step->warnings);
}

void plan_free(struct plan *p)
{
    if (!p)
        return;
    for (size_t i = 0; i < p->step_count; i++)
        free_step(&p->steps[i]);
    free(p->steps);
    free(p);
}
