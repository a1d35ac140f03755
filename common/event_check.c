#include "common/event_check.h"

#include "common/limits.h"
#include "common/result.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define TAIL_BYTES 24  /* what closes an answer: ],"truncated":true} and a newline */
#define CUT_CHARS  120 /* of a sentence, where there is no room for the whole error */

static const char valid[] = "{\"isValid\":true,\"errors\":[]}\n";

struct event_checker {
    struct js_runner *runner;
};

struct event_checker *event_checker_new(void)
{
    struct event_checker *c = calloc(1, sizeof *c);
    if (c && !(c->runner = js_runner_new())) {
        free(c);
        c = NULL;
    }
    return c;
}

void event_checker_free(struct event_checker *c)
{
    if (!c)
        return;
    js_runner_free(c->runner);
    free(c);
}

/* -- where a text is no JSON -- */

/* The bytes of the character that starts here; 0: it is not UTF-8. */
static size_t character(const char *at, size_t left)
{
    unsigned char first = (unsigned char)*at;
    size_t len = first < 0x80 ? 1 : first < 0xe0 ? 2 : first < 0xf0 ? 3 : 4;
    return len == 1 || (len <= left && buf_is_utf8(at, len)) ? len : 0;
}

/* What the engine refuses before it looks at tokens, and where that is. */
static const char *find_fault(const char *text, size_t len, size_t *at)
{
    bool in_string = false;
    size_t opened = 0, step;
    for (size_t i = 0; i < len; i += step) {
        *at = i;
        step = character(text + i, len - i);
        if (!step)
            return "not UTF-8";
        if (in_string && (unsigned char)text[i] < 0x20)
            return "a control character in a string";
        if (text[i] == '"' && !in_string)
            opened = i;
        in_string ^= text[i] == '"';
        if (in_string && text[i] == '\\' && i + 1 < len && (unsigned char)text[i + 1] >= 0x20 &&
            (unsigned char)text[i + 1] < 0x80)
            step = 2;
    }
    *at = in_string ? opened : len;
    return in_string ? "a string without end" : "the document is empty";
}

static void name_place(const char *text, size_t at, char *out, size_t size)
{
    size_t line = 1, start = 0;
    for (size_t i = 0; i < at; i++)
        if (text[i] == '\n') {
            line++;
            start = i + 1;
        }
    snprintf(out, size, "line %zu, column %zu", line, at - start + 1);
}

/* The engine names the byte; people think in lines. */
static void say_no_json(const char *text, size_t len, const struct pb_why *why, char *out, size_t size)
{
    static const char engine[] = "not JSON: ";
    char place[64];
    size_t at = 0;
    const char *fault = why->text;
    if (strncmp(fault, engine, sizeof engine - 1) == 0)
        fault += sizeof engine - 1;
    if (sscanf(why->at, "byte %zu", &at) != 1 || at > len)
        fault = find_fault(text, len, &at);
    name_place(text, at, place, sizeof place);
    snprintf(out, size, "not JSON: %s: %.150s", place, fault);
}

/* -- answers -- */

static void put_member(struct buf *out, const char *name, const char *text)
{
    buf_printf(out, "%s\"%s\":\"", out->data[out->len - 1] == '{' ? "" : ",", name);
    buf_json_escape(out, text, strlen(text));
    buf_text(out, "\"");
}

static void put_error(struct buf *out, const struct js_error *e, bool first)
{
    buf_text(out, first ? "{" : ",{");
    put_member(out, "instanceLocation", e->instance);
    put_member(out, "keywordLocation", e->keyword);
    if (e->absolute && e->absolute[0])
        put_member(out, "absoluteKeywordLocation", e->absolute);
    put_member(out, "message", e->text);
    buf_text(out, "}");
}

/* In as few bytes as there always are. */
static void put_cut(struct buf *out, const struct js_error *e)
{
    char message[CUT_CHARS + 1];
    result_text(message, sizeof message, e->text, strlen(e->text));
    struct js_error cut = {
        .instance = strlen(e->instance) <= 60 ? e->instance : "", .keyword = "", .text = message};
    size_t before = out->len;
    put_error(out, &cut, true);
    if (out->len - before <= EVENT_ANSWER_MIN - 64)
        return;
    out->len = before; /* nothing but quotes and backslashes */
    cut.instance = "";
    put_error(out, &cut, true);
}

static pb_err answer(struct buf *out, const struct js_error *errors, size_t count, bool more, size_t room)
{
    size_t start = out->len;
    buf_text(out, "{\"isValid\":false,\"errors\":[");
    for (size_t i = 0; i < count && !out->failed; i++) {
        size_t before = out->len;
        put_error(out, &errors[i], i == 0);
        if (out->len - start + TAIL_BYTES <= room)
            continue;
        out->len = before;
        more = true;
        if (i == 0)
            put_cut(out, &errors[i]);
        break;
    }
    buf_text(out, more ? "],\"truncated\":true}\n" : "]}\n");
    return out->failed ? PB_E_MEMORY : PB_OK;
}

static pb_err answer_one(struct buf *out, const char *message, size_t room)
{
    struct js_error e = {.instance = "", .keyword = "", .text = message};
    return answer(out, &e, 1, false, room);
}

static pb_err explain(struct event_checker *c, const struct js_schema *schema, size_t room, struct buf *out)
{
    const struct js_error *errors;
    size_t count;
    bool more;
    pb_err err = js_explain(c->runner, schema, 0, &errors, &count, &more);
    if (!err && count)
        return answer(out, errors, count, more, room);
    return err == PB_E_MEMORY ? err
                              : answer_one(out, "is not valid; why took too much work to find out", room);
}

pb_err event_check(struct event_checker *c, const struct js_schema *schema, const char *text, size_t len,
                   size_t room, struct buf *out)
{
    char message[256];
    struct pb_why why = {0};
    enum js_verdict verdict = JS_UNDECIDED;
    if (len > LIMIT_EVENT_BYTES) {
        snprintf(message, sizeof message, "the payload has more than the %d bytes that are checked",
                 LIMIT_EVENT_BYTES);
        return answer_one(out, message, room);
    }
    pb_err err = js_check(c->runner, schema, text, len, &verdict, &why);
    if (err == PB_E_MEMORY)
        return err;
    if (err) {
        say_no_json(text, len, &why, message, sizeof message);
        return answer_one(out, message, room);
    }
    if (verdict == JS_INVALID)
        return explain(c, schema, room, out);
    if (verdict == JS_UNDECIDED)
        return answer_one(
            out, "undecided: the check was given up, because it takes more work than one payload may", room);
    buf_append(out, valid, sizeof valid - 1);
    return out->failed ? PB_E_MEMORY : PB_OK;
}

/* -- lines -- */

static bool is_blank(const char *line, size_t len)
{
    size_t i = 0;
    while (i < len && (line[i] == ' ' || line[i] == '\t' || line[i] == '\r'))
        i++;
    return i == len;
}

bool event_lines_next(struct event_lines *lines, const char **line, size_t *len)
{
    while (lines->left) {
        const char *at = lines->at, *end = memchr(at, '\n', lines->left);
        size_t n = end ? (size_t)(end - at) : lines->left, step = n + (end != NULL);
        lines->at += step;
        lines->left -= step;
        if (is_blank(at, n))
            continue;
        *line = at;
        *len = n - (at[n - 1] == '\r');
        return true;
    }
    return false;
}

size_t event_lines_count(struct event_lines lines)
{
    const char *line;
    size_t count = 0, len;
    while (event_lines_next(&lines, &line, &len))
        count++;
    return count;
}

size_t event_share(size_t room, size_t count)
{
    size_t share = room / (count ? count : 1);
    if (share < EVENT_ANSWER_MIN)
        return EVENT_ANSWER_MIN;
    return share < LIMIT_EVENT_LINE_ANSWER ? share : LIMIT_EVENT_LINE_ANSWER;
}
