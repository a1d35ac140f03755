/* Every maximum of the schema engine, with its unit. */
#ifndef JS_LIMITS_H
#define JS_LIMITS_H

#define JS_LIMIT_DOCUMENT_BYTES (64u * 1024 * 1024)
#define JS_LIMIT_SCHEMA_BYTES   (4u * 1024 * 1024) /* one file */
#define JS_LIMIT_DEPTH          512                /* containers within containers, of a document or schema */
#define JS_LIMIT_CALLS          2000               /* schemas within schemas while a document is checked */
#define JS_LIMIT_DOCUMENTS      256                /* files one compiled schema may pull in */
#define JS_LIMIT_SCHEMAS        200000             /* subschemas of one compiled schema */
#define JS_LIMIT_RESOURCES      20000
#define JS_LIMIT_SLOTS          60000 /* properties of one object schema: slot numbers have 16 bits */
#define JS_LIMIT_URI_BYTES      8192
#define JS_LIMIT_PATTERN_BYTES  4096
#define JS_LIMIT_PATTERNS       10000
#define JS_LIMIT_PATTERN_WORK   100000 /* PCRE2's match limit */
#define JS_LIMIT_PATTERN_LIGHT  1000   /* up to here a match costs little fuel */
#define JS_LIMIT_PATTERN_DEPTH  1000
#define JS_LIMIT_PATTERN_KB     1024      /* heap of one match */
#define JS_LIMIT_COMPILE_WORK   300000000 /* names compared while one schema's references are followed */
#define JS_LIMIT_FUEL           20000000  /* steps that one document may take */
#define JS_LIMIT_ERRORS         100
#define JS_LIMIT_ERROR_CHARS    400     /* one sentence */
#define JS_LIMIT_PATH_CHARS     2048    /* one location */
#define JS_LIMIT_EXPLAIN_DEPTH  4096    /* segments of a keyword location */
#define JS_LIMIT_SHOWN_CHARS    48      /* of a value, in a sentence */
#define JS_LIMIT_UNIQUE_PAIRS   16      /* items compared pairwise before hashing pays */
#define JS_LIMIT_MARK_WORDS     4000000 /* 64-bit words of evaluated members, all nested ones together */

#endif
