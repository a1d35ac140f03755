/* What a key asks for.
 *
 * The text of a key, after the provider's own prefix, begins with a word of one table; the word says how the
 * sandbox treats every request that carries the key. So a test chooses a provider's mood by choosing a
 * credential, and nothing has to be configured between two tests. The table is also what --help prints. */
#ifndef SANDBOX_BEHAVIOUR_H
#define SANDBOX_BEHAVIOUR_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "reply.h"

#define FOREVER_MS    UINT64_MAX
#define FOLLOWED_ARG  "followed" /* query argument that marks a request as the target of redirectsame */
#define DELAY_MAX_MS  600000u
#define KEY_MAX_BYTES 512

/* What a provider can say in its own words. */
enum answer {
    ANSWER_OK,
    ANSWER_BAD,
    ANSWER_MISSING, /* no key at all */
    ANSWER_LIMIT,
    ANSWER_ERROR500,
    ANSWER_ERROR503,
    ANSWER_REVOKED,
    ANSWER_EXPIRED,
    ANSWER_INACTIVE,
    ANSWER_SCOPE,
    ANSWER_ECHO,
    ANSWER_NO_ROUTE,
    ANSWER_COUNT,
};

struct ask;

struct provider {
    const char *host, *path;
    const char *methods[2];
    const char *const *prefixes; /* of its keys, ends with NULL */
    struct reply (*answer)(const struct ask *ask);
};

/* One request, as far as an answer depends on it. Plain data; the pointers are lent by the request. */
struct ask {
    const struct provider *provider;
    char key[KEY_MAX_BYTES]; /* as sent, "" if none */
    const char *word;        /* key without its prefix, points into key */
    uint64_t nth;            /* this is the nth request with this key, from 1; 0 if it is not being counted */
    bool followed;           /* came here by redirectsame */
    int fd;                  /* the connection's socket */
    /* Decided by behaviour_decide: */
    enum answer answer;
    struct reply (*wire)(const struct ask *ask); /* instead of answer, if set: the same for every provider */
    uint64_t delay_ms;                           /* before answering; FOREVER_MS for never */
    unsigned number;                             /* that followed the word */
};

/* Sets word and the decided fields from key, provider, nth and followed. */
void behaviour_decide(struct ask *ask);
struct reply behaviour_answer(const struct ask *ask);
bool behaviour_counts(const char *word); /* does what the word asks for depend on ask.nth? */
const char *behaviour_word(const struct provider *provider, const char *key);
void behaviour_help(FILE *out);

/* length letters and digits that depend on key and salt only; out has room for length + 1. */
void behaviour_derive(const char *key, const char *salt, char *out, size_t length);

#endif
