/* The result of a connection test: its codes, their classes, and what a code does to an integration's status.
 */
#ifndef PB_RESULT_H
#define PB_RESULT_H

#include "common/err.h"
#include "common/limits.h"

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

enum result_code {
    RESULT_OK = 1,
    RESULT_INVALID_CREDENTIALS,
    RESULT_CREDENTIALS_EXPIRED,
    RESULT_REAUTH_REQUIRED,
    RESULT_CREDENTIALS_REVOKED,
    RESULT_ACCOUNT_DISABLED,
    RESULT_INSUFFICIENT_SCOPE,
    RESULT_MISCONFIGURED,
    RESULT_UNEXPECTED_RESPONSE,
    RESULT_RATE_LIMITED,
    RESULT_QUOTA_EXCEEDED,
    RESULT_PROVIDER_UNAVAILABLE,
    RESULT_TIMEOUT,
    RESULT_DNS_FAILURE,
    RESULT_NETWORK_UNREACHABLE,
    RESULT_TLS_ERROR,
    RESULT_BLOCKED_BY_POLICY,
    RESULT_DECRYPT_FAILED,
    RESULT_MANIFEST_INVALID,
    RESULT_PLUGIN_FAILED,
    RESULT_INTERNAL,
    RESULT_TEST_UNAVAILABLE,
    RESULT_LIMITED_CAPABILITY, /* only as a warning */
};

enum result_class {
    CLASS_OK = 1, /* the test passed */
    CLASS_CREDENTIAL,
    CLASS_PERMISSION,
    CLASS_CONFIG,
    CLASS_TRANSIENT,
    CLASS_POLICY,
    CLASS_OURS,
    CLASS_NONE, /* nothing could be tested: neither passed nor failed */
};

struct result_warning {
    enum result_code code;
    char text[LIMIT_RESULT_MESSAGE + 1];
};

/* Plain data, copied. Zeroed is empty; text that is not there is "". */
struct result {
    enum result_code code;
    int http_status;                        /* 0: no answer */
    char provider_code[64];                 /* the provider's own word for it */
    char message[LIMIT_RESULT_MESSAGE + 1]; /* for a person; redacted, valid UTF-8 */
    char field[LIMIT_FIELD_NAME_CHARS + 1]; /* the credential field at fault */
    char step_id[64];
    bool identity;       /* the step at fault was the identity step */
    int64_t retry_at_ms; /* wall clock; 0: the provider did not say */
    uint32_t attempt, duration_ms;
    char account_id[200], account_label[200];
    char host[256]; /* the provider host that was asked, for the record */
    struct result_warning warnings[LIMIT_RESULT_WARNINGS];
    size_t warning_count;
};

enum result_class result_class(enum result_code code);
const char *result_code_name(enum result_code code); /* NULL for no such */
const char *result_class_name(enum result_class cls);
pb_err result_code_parse(const char *name, enum result_code *out) PB_CHECKED;

/* Does a setup with this result create the integration? ok, and test_unavailable (with a warning). */
bool result_accepts_setup(const struct result *r);

/* Copies text into message (or any buffer of size bytes): cut to fit at a character's boundary, control
 * characters turned to spaces, bytes that are not UTF-8 to U+FFFD. */
void result_text(char *out, size_t size, const char *text, size_t len);

/* As stored and shown: {code, class, httpStatus, ...}. New reference, NULL without memory. */
json_t *result_json(const struct result *r);

struct integration;
/* When and how a result is applied. interval_ms: the type's time between tests. random: uniform over uint64;
 * it spreads the next one (full jitter). fresh: of a setup, whose refusals do not come here. hold_flips: the
 * provider is taken to be down, so nothing is put into the status error. now_ms: the wall clock. */
struct result_terms {
    int64_t now_ms, interval_ms;
    uint64_t random;
    bool fresh, hold_flips;
};
/* What a validation's result does to the record: status, health, failures, first_failed_at, suspect_since,
 * last_validated, next_validation, account and result, by the table in the README ("What a test says"): one
 * bad probe never flips an active integration, transient failures never do. Pure. */
pb_err result_apply(struct integration *in, const struct result *r, const struct result_terms *t) PB_CHECKED;

#endif
