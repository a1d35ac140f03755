/* The keywords, in one table: where each exists, which vocabulary has it, what its value may be, and whether
 * schemas stand inside it. */
#ifndef JS_KEYWORD_H
#define JS_KEYWORD_H

#include <stdbool.h>
#include <stdint.h>

enum js_vocabulary {
    VOC_CORE = 1,
    VOC_APPLICATOR = 2,
    VOC_UNEVALUATED = 4,
    VOC_VALIDATION = 8,
    VOC_FORMAT_ANNOTATION = 16,
    VOC_FORMAT_ASSERTION = 32,
    VOC_CONTENT = 64,
    VOC_METADATA = 128,
    VOC_ALL = 0xFF & ~VOC_FORMAT_ASSERTION,
};

enum js_shape { S_NONE, S_ONE, S_MAP, S_LIST, S_ONE_OR_LIST, S_MAP_OR_NAMES };

/* name, drafts (7 = 1, 2019 = 2, 2020 = 4), vocabulary, types of the value, shape. Sorted by name. */
#define JS_KEYWORDS(K)                                                                                       \
    K(ANCHOR, "$anchor", 6, VOC_CORE, T_STR, S_NONE)                                                         \
    K(DEFS, "$defs", 7, VOC_CORE, T_OBJ, S_MAP)                                                              \
    K(DYNAMIC_ANCHOR, "$dynamicAnchor", 4, VOC_CORE, T_STR, S_NONE)                                          \
    K(DYNAMIC_REF, "$dynamicRef", 4, VOC_CORE, T_STR, S_NONE)                                                \
    K(ID, "$id", 7, VOC_CORE, T_STR, S_NONE)                                                                 \
    K(RECURSIVE_ANCHOR, "$recursiveAnchor", 2, VOC_CORE, T_BOOL, S_NONE)                                     \
    K(RECURSIVE_REF, "$recursiveRef", 2, VOC_CORE, T_STR, S_NONE)                                            \
    K(REF, "$ref", 7, VOC_CORE, T_STR, S_NONE)                                                               \
    K(SCHEMA, "$schema", 7, VOC_CORE, T_STR, S_NONE)                                                         \
    K(VOCABULARY, "$vocabulary", 6, VOC_CORE, T_OBJ, S_NONE)                                                 \
    K(ADDITIONAL_ITEMS, "additionalItems", 3, VOC_APPLICATOR, T_OBJ | T_BOOL, S_ONE)                         \
    K(ADDITIONAL_PROPERTIES, "additionalProperties", 7, VOC_APPLICATOR, T_OBJ | T_BOOL, S_ONE)               \
    K(ALL_OF, "allOf", 7, VOC_APPLICATOR, T_ARR, S_LIST)                                                     \
    K(ANY_OF, "anyOf", 7, VOC_APPLICATOR, T_ARR, S_LIST)                                                     \
    K(CONST, "const", 7, VOC_VALIDATION, T_ANY, S_NONE)                                                      \
    K(CONTAINS, "contains", 7, VOC_APPLICATOR, T_OBJ | T_BOOL, S_ONE)                                        \
    K(CONTENT_ENCODING, "contentEncoding", 7, VOC_CONTENT, T_STR, S_NONE)                                    \
    K(CONTENT_MEDIA_TYPE, "contentMediaType", 7, VOC_CONTENT, T_STR, S_NONE)                                 \
    K(CONTENT_SCHEMA, "contentSchema", 6, VOC_CONTENT, T_OBJ | T_BOOL, S_ONE)                                \
    K(DEFINITIONS, "definitions", 7, VOC_CORE, T_OBJ, S_MAP)                                                 \
    K(DEPENDENCIES, "dependencies", 7, VOC_APPLICATOR, T_OBJ, S_MAP_OR_NAMES)                                \
    K(DEPENDENT_REQUIRED, "dependentRequired", 6, VOC_VALIDATION, T_OBJ, S_NONE)                             \
    K(DEPENDENT_SCHEMAS, "dependentSchemas", 6, VOC_APPLICATOR, T_OBJ, S_MAP)                                \
    K(ELSE, "else", 7, VOC_APPLICATOR, T_OBJ | T_BOOL, S_ONE)                                                \
    K(ENUM, "enum", 7, VOC_VALIDATION, T_ARR, S_NONE)                                                        \
    K(EXCLUSIVE_MAXIMUM, "exclusiveMaximum", 7, VOC_VALIDATION, T_NUMBER, S_NONE)                            \
    K(EXCLUSIVE_MINIMUM, "exclusiveMinimum", 7, VOC_VALIDATION, T_NUMBER, S_NONE)                            \
    K(FORMAT, "format", 7, VOC_FORMAT_ANNOTATION | VOC_FORMAT_ASSERTION, T_STR, S_NONE)                      \
    K(IF, "if", 7, VOC_APPLICATOR, T_OBJ | T_BOOL, S_ONE)                                                    \
    K(ITEMS, "items", 7, VOC_APPLICATOR, T_OBJ | T_BOOL | T_ARR, S_ONE_OR_LIST)                              \
    K(MAX_CONTAINS, "maxContains", 6, VOC_VALIDATION, T_INTEGER, S_NONE)                                     \
    K(MAX_ITEMS, "maxItems", 7, VOC_VALIDATION, T_INTEGER, S_NONE)                                           \
    K(MAX_LENGTH, "maxLength", 7, VOC_VALIDATION, T_INTEGER, S_NONE)                                         \
    K(MAX_PROPERTIES, "maxProperties", 7, VOC_VALIDATION, T_INTEGER, S_NONE)                                 \
    K(MAXIMUM, "maximum", 7, VOC_VALIDATION, T_NUMBER, S_NONE)                                               \
    K(MIN_CONTAINS, "minContains", 6, VOC_VALIDATION, T_INTEGER, S_NONE)                                     \
    K(MIN_ITEMS, "minItems", 7, VOC_VALIDATION, T_INTEGER, S_NONE)                                           \
    K(MIN_LENGTH, "minLength", 7, VOC_VALIDATION, T_INTEGER, S_NONE)                                         \
    K(MIN_PROPERTIES, "minProperties", 7, VOC_VALIDATION, T_INTEGER, S_NONE)                                 \
    K(MINIMUM, "minimum", 7, VOC_VALIDATION, T_NUMBER, S_NONE)                                               \
    K(MULTIPLE_OF, "multipleOf", 7, VOC_VALIDATION, T_NUMBER, S_NONE)                                        \
    K(NOT, "not", 7, VOC_APPLICATOR, T_OBJ | T_BOOL, S_ONE)                                                  \
    K(ONE_OF, "oneOf", 7, VOC_APPLICATOR, T_ARR, S_LIST)                                                     \
    K(PATTERN, "pattern", 7, VOC_VALIDATION, T_STR, S_NONE)                                                  \
    K(PATTERN_PROPERTIES, "patternProperties", 7, VOC_APPLICATOR, T_OBJ, S_MAP)                              \
    K(PREFIX_ITEMS, "prefixItems", 4, VOC_APPLICATOR, T_ARR, S_LIST)                                         \
    K(PROPERTIES, "properties", 7, VOC_APPLICATOR, T_OBJ, S_MAP)                                             \
    K(PROPERTY_NAMES, "propertyNames", 7, VOC_APPLICATOR, T_OBJ | T_BOOL, S_ONE)                             \
    K(REQUIRED, "required", 7, VOC_VALIDATION, T_ARR, S_NONE)                                                \
    K(THEN, "then", 7, VOC_APPLICATOR, T_OBJ | T_BOOL, S_ONE)                                                \
    K(TYPE, "type", 7, VOC_VALIDATION, T_STR | T_ARR, S_NONE)                                                \
    K(UNEVALUATED_ITEMS, "unevaluatedItems", 6, VOC_UNEVALUATED, T_OBJ | T_BOOL, S_ONE)                      \
    K(UNEVALUATED_PROPERTIES, "unevaluatedProperties", 6, VOC_UNEVALUATED, T_OBJ | T_BOOL, S_ONE)            \
    K(UNIQUE_ITEMS, "uniqueItems", 7, VOC_VALIDATION, T_BOOL, S_NONE)

#define JS_KEYWORD_ENUM(id, name, drafts, vocabulary, types, shape) KW_##id,
enum js_keyword { JS_KEYWORDS(JS_KEYWORD_ENUM) KW_COUNT, KW_SELF = KW_COUNT, KW_UNKNOWN };

struct js_keyword_row {
    const char *name;
    uint8_t len, drafts, vocabulary, types, shape;
};

extern const struct js_keyword_row js_keywords[KW_COUNT];

/* The keyword's number, or KW_UNKNOWN. */
unsigned js_keyword_find(const char *name, uint32_t len);

#endif
