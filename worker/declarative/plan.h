/* A package's http, auth and test blocks, checked and laid out for use. Everything is lent from the manifest,
 * which must outlive the plan. Immutable once made; pure. */
#ifndef PB_PLAN_H
#define PB_PLAN_H

#include "common/limits.h"
#include "common/manifest.h"
#include "common/result.h"

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum condition_op { OP_EXISTS = 1, OP_ABSENT, OP_EQ, OP_NE, OP_IN, OP_CONTAINS, OP_REGEX };

struct plan_condition {
    const char *pointer; /* RFC 6901 */
    enum condition_op op;
    const json_t *value; /* of eq, ne, in, contains, regex */
    void *regex;
};
struct plan_conditions {
    struct plan_condition *items;
    size_t count;
};

struct plan_statuses {
    int items[LIMIT_TEST_STATUSES];
    size_t count; /* 0: none are named */
};

/* What an answer that is no success means. Whatever is named must hold; the first rule that matches counts.
 */
struct plan_rule {
    struct plan_statuses statuses;
    const char *header, *header_value; /* NULL: not asked; value NULL: any */
    const char *body_contains;
    struct plan_conditions json;
    enum result_code code;
    const char *message; /* pointer to the provider's sentence, or NULL */
    const char *field;   /* at fault, or NULL */
};

struct plan_warning {
    struct plan_conditions json;
    enum result_code code;
    const char *text;
};

struct plan_step {
    const char *id, *method, *path;
    const json_t *query, *headers, *form; /* objects of templates, or NULL */
    const json_t *json;                   /* a value whose strings are templates, or NULL */
    struct plan_statuses statuses;
    const char *content_type;
    struct plan_conditions expect;
    struct plan_rule *rules;
    size_t rule_count;
    struct plan_warning *warnings;
    size_t warning_count;
    const char *account_id, *account_label; /* pointers, or NULL */
    bool identity;                          /* its refusal means that the credentials are bad */
};

enum auth_scheme { AUTH_NONE, AUTH_BEARER, AUTH_BASIC, AUTH_HEADER, AUTH_QUERY };

struct plan_auth {
    enum auth_scheme scheme;
    const char *name;             /* of a header or query parameter */
    const char *value, *password; /* templates; value is the token or the user name */
};

struct plan {
    const struct manifest *manifest;
    const char *base_url;
    const json_t *headers; /* object of templates, or NULL */
    const char *hosts[LIMIT_TRANSFER_HOSTS];
    size_t host_count; /* 0: the host of base_url */
    uint32_t timeout_ms;
    struct plan_auth auths[LIMIT_TEST_AUTHS];
    size_t auth_count;
    struct plan_step *steps;
    size_t step_count;
    const char *after[8], *at[8]; /* headers that say when to come back: in how long, and at what time */
    size_t after_count, at_count;
};

/* PB_E_NOT_FOUND: the package has no connection test. PB_E_INVALID, PB_E_UNSUPPORTED: why names the place
 * ("stripe/manifest.json#/test/steps/0/id") and what is wrong there. */
pb_err plan_new(const struct manifest *m, struct plan **out, struct pb_why *why) PB_CHECKED;
void plan_free(struct plan *p);

#endif
