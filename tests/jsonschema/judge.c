/* Verdicts for scripts/jsonschema-oracle. Each line of the input is "S7", "S2", "F7" or "F2" and a schema (of
 * draft-07 or 2020-12; F: formats asserted), or "D" and a document to be checked against the last schema.
 * Each gets a letter on a line of its own: schemas o (compiled) or x, documents v (valid), i, u (undecided)
 * or p (not JSON), and what refused a schema behind its x. A verdict that the errors' list does not share is
 * an e. */
#include "common/jsonschema/jsonschema.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void take_schema(const char *line, size_t len, struct js_schema **schema)
{
    struct js_options o = {
        .draft = line[1] == '7' ? JS_DRAFT_7 : JS_DRAFT_2020, .formats = line[0] == 'F', .contents = true};
    struct pb_why why = {0};
    js_schema_free(*schema);
    *schema = NULL;
    if (js_schema_compile(line + 2, len - 2, &o, schema, &why) == PB_OK) {
        puts("o");
        return;
    }
    for (char *p = why.at; (p = strchr(p, '\n'));)
        *p = ' ';
    for (char *p = why.text; (p = strchr(p, '\n'));)
        *p = ' ';
    printf("x%s: %s\n", why.at, why.text);
}

/* An invalid document has errors, a valid one none. */
static bool errors_agree(struct js_runner *r, const struct js_schema *schema, enum js_verdict verdict)
{
    const struct js_error *errors;
    size_t count = 0;
    bool more = false;
    if (js_explain(r, schema, 0, &errors, &count, &more) != PB_OK)
        return false;
    return (count > 0) == (verdict == JS_INVALID) || more;
}

static void check_document(const char *text, size_t len, struct js_runner *r, const struct js_schema *schema)
{
    enum js_verdict verdict = JS_UNDECIDED;
    if (!schema)
        puts("x");
    else if (js_check(r, schema, text, len, &verdict, NULL) != PB_OK)
        puts("p");
    else
        puts(verdict == JS_UNDECIDED             ? "u"
             : !errors_agree(r, schema, verdict) ? "e"
             : verdict == JS_VALID               ? "v"
                                                 : "i");
}

int main(void)
{
    struct js_runner *r = js_runner_new();
    struct js_schema *schema = NULL;
    char *line = NULL;
    size_t cap = 0;
    ssize_t len;
    while (r && (len = getline(&line, &cap, stdin)) > 1) {
        line[--len] = '\0';
        if (line[0] == 'D')
            check_document(line + 1, (size_t)len - 1, r, schema);
        else
            take_schema(line, (size_t)len, &schema);
    }
    js_schema_free(schema);
    js_runner_free(r);
    free(line);
    return 0;
}
