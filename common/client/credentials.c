#include "common/client/credentials.h"

#include "common/limits.h"
#include "common/secret.h"

#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CREDENTIALS_JSON_BYTES (8 * LIMIT_CREDENTIALS_BYTES) /* JSON escapes lengthen them */
#define REQUEST_BYTES          (CREDENTIALS_JSON_BYTES + 8 * LIMIT_NAME_CHARS + 1024)

#define REPEAT_MAX 3 /* times a required field is asked for */

/* -- credentials from a file -- */

static pb_err read_all(FILE *f, struct buf *out)
{
    char bytes[4096];
    size_t len;
    while ((len = fread(bytes, 1, sizeof bytes, f)) > 0)
        buf_append(out, bytes, len);
    sodium_memzero(bytes, sizeof bytes);
    return ferror(f) ? PB_E_IO : out->failed ? PB_E_LIMIT : PB_OK;
}

/* The file's JSON object as it stands: the broker says which of its fields are wrong. */
static int read_credentials(struct client *c, struct buf *out)
{
    const char *path = c->settings.credentials, *shown;
    json_error_t where;
    FILE *f;
    int status = client_open_file(c, path, &f, &shown);
    if (status)
        return status;
    pb_err err = read_all(f, out);
    client_close_file(f);
    if (err)
        return client_say(c, CLIENT_USAGE, "%s %s", shown,
                          err == PB_E_LIMIT ? "is larger than credentials may be" : "cannot be read");
    json_t *json = json_loadb(buf_peek(out), out->len, JSON_REJECT_DUPLICATES, &where);
    bool object = json_is_object(json);
    json_decref(json);
    if (object)
        return CLIENT_DONE;
    /* jansson's own text may quote what it read, which may be a secret */
    return client_say(c, CLIENT_USAGE,
                      "%s must hold a JSON object of fields, {\"apiKey\": \"...\"}; see line %d", path,
                      json ? 1 : where.line);
}

/* -- credentials from the terminal -- */

struct asking {
    struct buf *out; /* the JSON object under way */
    json_t *given;   /* what is not secret: visibleWhen looks at it */
    bool some;
};

static bool is_secret(const json_t *field)
{
    const json_t *secret = json_object_get(field, "secret");
    const char *type = json_text_at(field, "type");
    return secret ? json_is_true(secret) : type && strcmp(type, "text") != 0;
}

static bool is_visible(const struct asking *a, const json_t *field)
{
    const json_t *when = json_object_get(field, "visibleWhen");
    const char *other = json_text_at(when, "field"), *wanted = json_text_at(when, "equals");
    if (!other || !wanted)
        return true;
    const char *value = json_text_at(a->given, other);
    return value && strcmp(value, wanted) == 0;
}

static void explain(const json_t *field)
{
    struct buf b;
    size_t i;
    json_t *option;
    const char *help = json_text_at(field, "help");
    buf_init(&b, 16 * 1024);
    if (help) {
        buf_text(&b, "  ");
        text_safe(&b, help);
        buf_text(&b, "\n");
    }
    json_array_foreach(json_object_get(field, "options"), i, option)
    {
        const char *value = json_text_at(option, "value"), *label = json_text_at(option, "label");
        buf_text(&b, "  - ");
        text_safe(&b, value ? value : "");
        buf_text(&b, label ? "  " : "");
        text_safe(&b, label ? label : "");
        buf_text(&b, "\n");
    }
    fputs(buf_peek(&b), stderr);
    buf_fini(&b);
}

/* "API key", "Region [eu]", "Signing secret (may be left out)". */
static void make_label(const char *name, const json_t *field, struct buf *out)
{
    const char *label = json_text_at(field, "label"), *initial = json_text_at(field, "default");
    text_safe(out, label ? label : name);
    if (initial) {
        buf_text(out, " [");
        text_safe(out, initial);
        buf_text(out, "]");
    } else if (!json_is_true(json_object_get(field, "required"))) {
        buf_text(out, " (may be left out)");
    }
}

static void put_field(struct asking *a, const char *name, const json_t *field, const struct secret *value)
{
    if (!is_secret(field))
        json_object_set_new(a->given, name, json_stringn(value->data, value->len));
    buf_text(a->out, a->some ? ",\"" : "\"");
    buf_json_escape(a->out, name, strlen(name));
    buf_text(a->out, "\":\"");
    buf_json_escape(a->out, value->data, value->len);
    buf_text(a->out, "\"");
    a->some = true;
}

/* Asks for one field; an empty answer takes the default, or leaves out what is not required. */
static pb_err ask_field(struct asking *a, const char *name, const json_t *field)
{
    struct buf label;
    struct secret value = {0};
    const char *initial = json_text_at(field, "default");
    bool required = json_is_true(json_object_get(field, "required")) && !initial;
    pb_err err = PB_OK;
    buf_init(&label, 1024);
    make_label(name, field, &label);
    explain(field);
    for (int i = 0; i < REPEAT_MAX && !err && !value.len; i++) {
        if (i)
            fputs("  a value is needed\n", stderr);
        err = term_ask(buf_peek(&label), is_secret(field), &value);
        if (!required)
            break;
    }
    if (!err && !value.len && required)
        err = PB_E_CLOSED;
    if (!err && !value.len && initial)
        err = secret_set(&value, initial, strlen(initial));
    if (!err && value.len)
        put_field(a, name, field, &value);
    secret_fini(&value);
    buf_fini(&label);
    return err;
}

struct place {
    const char *name;
    json_int_t order;
    size_t index; /* keeps those without an order as they stand */
};

static int by_order(const void *a, const void *b)
{
    const struct place *x = a, *y = b;
    if (x->order != y->order)
        return x->order < y->order ? -1 : 1;
    return x->index < y->index ? -1 : x->index > y->index;
}

/* The form's order: "order" where it is given, then as the package lists them. */
static size_t sort_fields(const json_t *schema, struct place *places)
{
    const char *name;
    json_t *field;
    size_t count = 0;
    json_object_foreach((json_t *)(uintptr_t)schema, name, field)
    {
        const json_t *order = json_object_get(field, "order");
        if (count < LIMIT_PACKAGE_FIELDS)
            places[count] = (struct place){name, order ? json_integer_value(order) : 1000, count};
        count += count < LIMIT_PACKAGE_FIELDS;
    }
    qsort(places, count, sizeof *places, by_order);
    return count;
}

static int ask_fields(struct client *c, const json_t *schema, struct buf *out)
{
    struct asking a = {.out = out, .given = json_object()};
    struct place places[LIMIT_PACKAGE_FIELDS];
    size_t count = sort_fields(schema, places);
    pb_err err = PB_OK;
    buf_text(out, "{");
    for (size_t i = 0; i < count && !err; i++) {
        const json_t *field = json_object_get(schema, places[i].name);
        if (is_visible(&a, field))
            err = ask_field(&a, places[i].name, field);
    }
    buf_text(out, "}");
    json_decref(a.given);
    if (err == PB_E_CLOSED)
        return client_say(c, CLIENT_NO, "nothing was done");
    return err || out->failed ? client_say(c, CLIENT_USAGE, "the credentials are too long") : CLIENT_DONE;
}

static int ask_credentials(struct client *c, const char *type, struct buf *out)
{
    struct buf path;
    struct api_answer answer = {0};
    if (!c->term.can_ask)
        return client_say(
            c, CLIENT_USAGE,
            "there is no terminal to ask for credentials on; give them as a JSON object: --credentials "
            "FILE, or - for standard input");
    buf_init(&path, 1024);
    buf_text(&path, "/v1/types/");
    api_escape(&path, type);
    struct api_request request = {.method = "GET", .path = buf_peek(&path)};
    int status = client_call(c, &request, &answer);
    if (!status)
        status = ask_fields(c, json_object_get(answer.body, "credentialSchema"), out);
    api_answer_fini(&answer);
    buf_fini(&path);
    return status;
}

static int read_or_ask(struct client *c, struct buf *out)
{
    return c->settings.credentials ? read_credentials(c, out)
                                   : ask_credentials(c, c->settings.operands[0], out);
}

/* -- the request -- */

static void put_text(struct buf *b, const char *name, const char *text)
{
    buf_printf(b, "\"%s\":\"", name);
    buf_json_escape(b, text, strlen(text));
    buf_text(b, "\",");
}

static void make_body(const struct settings *s, const struct buf *credentials, struct buf *out)
{
    buf_text(out, "{");
    put_text(out, "type", s->operands[0]);
    if (s->name)
        put_text(out, "name", s->name);
    buf_text(out, "\"credentials\":");
    buf_append(out, credentials->data, credentials->len);
    buf_text(out, "}");
}

int credentials_send(struct client *c, int (*post)(struct client *c, const struct buf *body))
{
    struct buf credentials, body;
    secret_harden_process();
    buf_init(&credentials, CREDENTIALS_JSON_BYTES);
    buf_init(&body, REQUEST_BYTES);
    credentials.secret = body.secret = true;
    int status = client_open(c);
    if (!status)
        status = read_or_ask(c, &credentials);
    if (!status) {
        make_body(&c->settings, &credentials, &body);
        status = body.failed ? client_say(c, CLIENT_USAGE, "the request would be too long") : post(c, &body);
    }
    buf_fini(&body);
    buf_fini(&credentials);
    return status;
}
