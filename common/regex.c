#include "common/regex.h"

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>
#include <stdio.h>
#include <string.h>

#define MATCH_LIMIT 100000
#define DEPTH_LIMIT 1000

pb_err regex_compile(const char *pattern, void **out, char *reason, size_t reason_size)
{
    int code;
    PCRE2_SIZE offset;
    PCRE2_UCHAR text[120];
    pcre2_code *re =
        pcre2_compile((PCRE2_SPTR)pattern, PCRE2_ZERO_TERMINATED,
                      PCRE2_UTF | PCRE2_DOLLAR_ENDONLY | PCRE2_NEVER_BACKSLASH_C, &code, &offset, NULL);
    if (re) {
        *out = re;
        return PB_OK;
    }
    pcre2_get_error_message(code, text, sizeof text);
    snprintf(reason, reason_size, "%s at position %zu", (const char *)text, (size_t)offset);
    return PB_E_INVALID;
}

void regex_free(void *regex)
{
    pcre2_code_free(regex);
}

pb_err regex_match(const void *regex, const char *text, size_t len)
{
    pcre2_match_data *data = pcre2_match_data_create(1, NULL);
    pcre2_match_context *limits = pcre2_match_context_create(NULL);
    pb_err err = PB_E_MEMORY;
    if (data && limits) {
        pcre2_set_match_limit(limits, MATCH_LIMIT);
        pcre2_set_depth_limit(limits, DEPTH_LIMIT);
        int rc = pcre2_match(regex, (PCRE2_SPTR)text, len, 0, 0, data, limits);
        err = rc >= 0 ? PB_OK : rc == PCRE2_ERROR_NOMATCH ? PB_E_NOT_FOUND : PB_E_LIMIT;
    }
    pcre2_match_context_free(limits);
    pcre2_match_data_free(data);
    return err;
}
