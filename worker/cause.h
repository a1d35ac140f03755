/* Why there was no answer: curl's error codes as results of a connection test, with a sentence for people. */
#ifndef PB_CAUSE_H
#define PB_CAUSE_H

#include "common/result.h"

#include <curl/curl.h>
#include <stddef.h>

/* detail: curl's own words, used where they say more than the code; may be empty. */
enum result_code cause_of(CURLcode code, const char *host, const char *detail, char *text, size_t size);

#endif
