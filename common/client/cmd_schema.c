/* patchbay schema check: is this a JSON Schema, and are these documents valid by it? Without a broker. */
#include "common/client/client.h"
#include "common/event_check.h"
#include "common/jsonschema/jsonschema.h"
#include "common/jsonschema/limits.h"
#include "common/limits.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define URI_BYTES 8192

static const char scheme[] = "file://";

/* -- files -- */

static pb_err read_file(const char *path, size_t max_bytes, struct buf *out)
{
    char bytes[16384];
    size_t n;
    FILE *f = fopen(path, "re");
    buf_init(out, max_bytes);
    if (!f)
        return errno == ENOENT ? PB_E_NOT_FOUND : PB_E_IO;
    while ((n = fread(bytes, 1, sizeof bytes, f)) > 0 && !out->failed)
        buf_append(out, bytes, n);
    pb_err err = out->failed ? PB_E_LIMIT : ferror(f) ? PB_E_IO : PB_OK;
    fclose(f);
    if (err)
        buf_fini(out);
    return err;
}

static int say_unread(struct client *c, const char *path, pb_err err, size_t max_bytes)
{
    if (err == PB_E_LIMIT)
        return client_say(c, CLIENT_USAGE, "%s is larger than %zu bytes", path, max_bytes);
    return client_say(c, CLIENT_USAGE, "%s cannot be read: %s", path, strerror(errno));
}

/* -- addresses -- */

/* As file:///path, escaped but for slashes: references start there. */
static bool make_uri(const char *path, struct buf *out)
{
    char *whole = realpath(path, NULL);
    if (!whole)
        return false;
    buf_text(out, scheme);
    for (char *part = whole, *slash; part; part = slash) {
        slash = strchr(part, '/');
        if (slash)
            *slash++ = 0;
        api_escape(out, part);
        buf_text(out, slash ? "/" : "");
    }
    free(whole);
    return !out->failed;
}

static bool decode(const char *uri, char out[PATH_MAX])
{
    size_t len = 0;
    for (const char *at = uri; *at; at++) {
        char digits[3] = {at[0] == '%' ? at[1] : 0, at[0] == '%' && at[1] ? at[2] : 0, 0};
        char *end = digits;
        long byte = digits[0] ? strtol(digits, &end, 16) : (unsigned char)*at;
        if (len == PATH_MAX - 1 || (*at == '%' && (*end || !digits[1] || !byte)))
            return false;
        out[len++] = (char)byte;
        at += *at == '%' ? 2 : 0;
    }
    out[len] = 0;
    return true;
}

static pb_err load(void *user, const char *uri, char **text, size_t *len)
{
    char path[PATH_MAX];
    struct buf content;
    (void)user;
    if (strncmp(uri, scheme, sizeof scheme - 1) != 0 || !decode(uri + sizeof scheme - 1, path))
        return PB_E_NOT_FOUND;
    pb_err err = read_file(path, JS_LIMIT_SCHEMA_BYTES, &content);
    if (err)
        return PB_E_NOT_FOUND;
    *text = buf_take(&content, len);
    return *text ? PB_OK : PB_E_MEMORY;
}

/* -- the schema -- */

static pb_err compile(const struct buf *text, const char *uri, struct js_schema **out, struct pb_why *why)
{
    struct js_options options = {.uri = uri, .load = load, .formats = true};
    struct js_linter *linter = js_linter_new();
    pb_err err = linter ? js_lint(linter, buf_peek(text), text->len, &options, why) : PB_E_MEMORY;
    if (!err)
        err = js_schema_compile(buf_peek(text), text->len, &options, out, why);
    js_linter_free(linter);
    return err;
}

/* In the form of a check, so that it is shown as one. What is in the file itself is named without it. */
static json_t *as_check(const struct pb_why *why, const char *uri)
{
    const char *at = why ? why->at : "";
    at += strncmp(at, uri, strlen(uri)) == 0 ? strlen(uri) : 0;
    json_t *json = why ? json_pack("{s:b, s:[{s:s, s:s, s:s}]}", "isValid", 0, "errors", "instanceLocation",
                                   at, "keywordLocation", "", "message", why->text)
                       : json_pack("{s:b, s:[]}", "isValid", 1, "errors");
    return json;
}

static int print_check(struct client *c, const char *file, json_t *check)
{
    json_object_set_new(check, "file", json_string(file));
    int status = client_show_check(c, check, file);
    json_decref(check);
    return status;
}

/* -- documents -- */

static int check_document(struct client *c, struct event_checker *checker, const struct js_schema *schema,
                          const char *path)
{
    struct buf text, answer;
    pb_err err = read_file(path, LIMIT_EVENT_BYTES, &text);
    if (err)
        return say_unread(c, path, err, LIMIT_EVENT_BYTES);
    buf_init(&answer, 2 * LIMIT_EVENT_ANSWER_BYTES);
    err = event_check(checker, schema, buf_peek(&text), text.len, LIMIT_EVENT_ANSWER_BYTES, &answer);
    json_t *check = err ? NULL : json_loadb(buf_peek(&answer), answer.len, JSON_ALLOW_NUL, NULL);
    int status = check ? print_check(c, path, check) : client_say(c, CLIENT_NO, "out of memory");
    buf_fini(&answer);
    buf_fini(&text);
    return status;
}

static int check_documents(struct client *c, const struct js_schema *schema)
{
    struct event_checker *checker = event_checker_new();
    int worst = checker ? CLIENT_DONE : client_say(c, CLIENT_NO, "out of memory");
    for (size_t i = 1; checker && i < c->settings.operand_count; i++) {
        int status = check_document(c, checker, schema, c->settings.operands[i]);
        worst = status > worst ? status : worst;
    }
    event_checker_free(checker);
    return worst;
}

static int check_schema(struct client *c, const char *path, const struct buf *text)
{
    struct js_schema *schema = NULL;
    struct pb_why why = {0};
    struct buf uri;
    buf_init(&uri, URI_BYTES);
    int status =
        make_uri(path, &uri) ? CLIENT_DONE : client_say(c, CLIENT_USAGE, "%s has too long a path", path);
    if (!status) {
        pb_err err = compile(text, buf_peek(&uri), &schema, &why);
        status = print_check(c, path, as_check(err ? &why : NULL, buf_peek(&uri)));
    }
    if (!status)
        status = check_documents(c, schema);
    js_schema_free(schema);
    buf_fini(&uri);
    return status;
}

static int run(struct client *c)
{
    const char *path = c->settings.operands[0];
    struct buf text;
    pb_err err = read_file(path, JS_LIMIT_SCHEMA_BYTES, &text);
    if (err)
        return say_unread(c, path, err, JS_LIMIT_SCHEMA_BYTES);
    int status = check_schema(c, path, &text);
    buf_fini(&text);
    return status;
}

const struct command command_schema_check = {
    .name = "schema check",
    .arguments = "SCHEMA [DOCUMENT...]",
    .summary = "check a JSON Schema file, and documents against it",
    .details = "Needs no broker. The schema is checked against the meta-schema of its draft (2020-12 without "
               "$schema)\n"
               "and compiled; it may refer to other files by their relative path. Formats are asserted.",
    .operands_min = 1,
    .operands_max = ARGS_OPERANDS_MAX,
    .run = run,
};
