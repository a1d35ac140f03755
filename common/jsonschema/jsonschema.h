/* JSON Schema: 2020-12, draft-07 and, where another schema refers to one, 2019-09.
 *
 * A schema is compiled once into a program that never changes and that any number of threads may run. Each
 * thread brings a runner, which owns the parser, scratch memory and the errors of the last document. Nothing
 * here does I/O: references to other files are asked of the caller's loader while compiling, and never after.
 */
#ifndef JS_JSONSCHEMA_H
#define JS_JSONSCHEMA_H

#include "common/err.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct js_schema;
struct js_runner;

/* Finds the schema behind an absolute URI (no fragment). *text is malloc()ed and owned by the compiler after.
 * PB_E_NOT_FOUND if there is none. The meta-schemas of the drafts are known without it. */
typedef pb_err js_loader(void *user, const char *uri, char **text, size_t *len);

enum js_draft {
    JS_DRAFT_AUTO = 0, /* by $schema; 2020-12 without one */
    JS_DRAFT_7 = 1,
    JS_DRAFT_2019 = 2,
    JS_DRAFT_2020 = 4,
};

struct js_options {
    const char *uri;     /* where the schema was found; relative references start here. May be NULL */
    js_loader *load;     /* may be NULL: no other files */
    void *user;          /* load's */
    enum js_draft draft; /* for schemas without $schema */
    bool formats;        /* "format" refuses values; otherwise only where the schema's vocabulary says so */
    bool contents;       /* draft-07: contentEncoding and contentMediaType refuse values */
};

/* why->at is the place in the schema. options may be NULL. PB_E_INVALID, _NOT_FOUND (a reference), _LIMIT,
 * _UNSUPPORTED ($schema, a vocabulary, a pattern's syntax), _MEMORY. */
pb_err js_schema_compile(const char *text, size_t len, const struct js_options *options,
                         struct js_schema **out, struct pb_why *why) PB_CHECKED;
void js_schema_free(struct js_schema *schema);
/* Instructions of the program and the bytes they take. */
void js_schema_size(const struct js_schema *schema, size_t *nodes, size_t *bytes);

/* All memory that a schema holds, in bytes. */
size_t js_schema_memory(const struct js_schema *schema);

/* Whether a schema is what its draft's meta-schema allows, every part of it: for those who write schemas,
 * before they are compiled. why->at is the place, as of js_schema_compile(). Formats are not asserted, and a
 * $schema that is not known here is let pass. One thread at a time. */
struct js_linter;
struct js_linter *js_linter_new(void); /* NULL: no memory */
void js_linter_free(struct js_linter *l);
pb_err js_lint(struct js_linter *l, const char *text, size_t len, const struct js_options *options,
               struct pb_why *why) PB_CHECKED;

enum js_verdict {
    JS_VALID,
    JS_INVALID,
    JS_UNDECIDED, /* a limit on work was reached: neither */
};

/* NULL: no memory. One thread at a time. */
struct js_runner *js_runner_new(void);
void js_runner_free(struct js_runner *r);

/* Parses the text, which must live as long as errors of it are asked for, and checks it. PB_E_INVALID: no
 * JSON (why says where). Allocates nothing once the runner has seen a document as large. */
pb_err js_check(struct js_runner *r, const struct js_schema *schema, const char *text, size_t len,
                enum js_verdict *verdict, struct pb_why *why) PB_CHECKED;
/* The two halves of js_check(). The text is lent until the next parse; one document can be checked against
 * many. */
pb_err js_runner_parse(struct js_runner *r, const char *text, size_t len, struct pb_why *why) PB_CHECKED;
enum js_verdict js_runner_check(struct js_runner *r, const struct js_schema *schema);

/* One error, in the terms of the specification's "basic" output. Strings are lent until the runner's next
 * use. */
struct js_error {
    const char *instance; /* instanceLocation: a JSON pointer */
    const char *keyword;  /* keywordLocation: the way through the schema, references included */
    const char *absolute; /* absoluteKeywordLocation */
    const char *text;     /* a sentence without a full stop */
};

/* The errors of the runner's document against the schema, in document order, at most max (0: the library's
 * limit). *more says that there were others. */
pb_err js_explain(struct js_runner *r, const struct js_schema *schema, size_t max,
                  const struct js_error **errors, size_t *count, bool *more) PB_CHECKED;

#endif
