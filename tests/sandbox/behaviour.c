#include "behaviour.h"

#include <stdlib.h>
#include <string.h>

#include "wire.h"

struct word {
    const char *text;
    enum { BARE, NUMBER_MUST, NUMBER_MAY } number;
    enum answer answer;
    struct reply (*wire)(const struct ask *ask);
    void (*adjust)(struct ask *ask);
    const char *does;
};

static void wait_number(struct ask *ask)
{
    ask->delay_ms = ask->number < DELAY_MAX_MS ? ask->number : DELAY_MAX_MS;
}

static void wait_forever(struct ask *ask)
{
    ask->delay_ms = FOREVER_MS;
}

static void fail_first(struct ask *ask)
{
    if (ask->nth && ask->nth <= ask->number)
        ask->answer = ANSWER_ERROR503;
}

static void refuse_later(struct ask *ask)
{
    if (ask->nth > ask->number)
        ask->answer = ANSWER_REVOKED;
}

static void answer_followed(struct ask *ask)
{
    if (ask->followed)
        ask->wire = NULL;
}

/* The first row that begins the key's text counts, so no row may begin a later one. */
static const struct word words[] = {
    {"ok", BARE, ANSWER_OK, NULL, NULL, "200, an account made from the key"},
    {"bad", BARE, ANSWER_BAD, NULL, NULL, "refused as invalid, as is any other"},
    {"limit", NUMBER_MAY, ANSWER_LIMIT, NULL, NULL, "429; limit<s> sets Retry-After (2)"},
    {"error500", BARE, ANSWER_ERROR500, NULL, NULL, "500"},
    {"error503", BARE, ANSWER_ERROR503, NULL, NULL, "503"},
    {"slow", NUMBER_MUST, ANSWER_OK, NULL, wait_number, "slow<ms>: ok after so many milliseconds"},
    {"hang", BARE, ANSWER_OK, NULL, wait_forever, "never answers"},
    {"reset", BARE, ANSWER_OK, wire_reset, NULL, "connection reset in mid-body"},
    {"truncated", BARE, ANSWER_OK, wire_truncated, NULL, "body ends before its Content-Length"},
    {"html", BARE, ANSWER_OK, wire_html, NULL, "200 with an HTML page"},
    {"empty", BARE, ANSWER_OK, wire_empty, NULL, "200 without a body"},
    {"huge", BARE, ANSWER_OK, wire_huge, NULL, "200 with a body of 64 MiB"},
    {"bomb", BARE, ANSWER_OK, wire_bomb, NULL, "200 with gzip that inflates to 256 MiB"},
    {"redirectsame", BARE, ANSWER_OK, wire_redirect_same, answer_followed, "302 to the same host, then ok"},
    {"redirectother", BARE, ANSWER_OK, wire_redirect_other, NULL, "302 to http://169.254.169.254/..."},
    {"redirecthost", BARE, ANSWER_OK, wire_redirect_host, NULL, "302 to https://evil.example/steal"},
    {"redirectloop", BARE, ANSWER_OK, wire_redirect_loop, NULL, "302 to itself"},
    {"flaky", NUMBER_MUST, ANSWER_OK, NULL, fail_first, "flaky<n>: 503 n times, then ok"},
    {"turns", NUMBER_MUST, ANSWER_OK, NULL, refuse_later, "turns<n>: ok n times, then refused as revoked"},
    {"revoked", BARE, ANSWER_REVOKED, NULL, NULL, "refused as revoked"},
    {"expired", BARE, ANSWER_EXPIRED, NULL, NULL, "refused as expired"},
    {"inactive", BARE, ANSWER_INACTIVE, NULL, NULL, "the account is disabled"},
    {"scope", BARE, ANSWER_SCOPE, NULL, NULL, "the key may not do this"},
    {"echo", BARE, ANSWER_ECHO, NULL, NULL, "401 that repeats the whole key"},
};

enum { WORD_COUNT = sizeof words / sizeof words[0] };

void behaviour_help(FILE *out)
{
    static const char *const suffix[] = {[BARE] = "", [NUMBER_MUST] = "<n>", [NUMBER_MAY] = "[n]"};
    for (size_t i = 0; i < WORD_COUNT; i++) {
        char text[32];
        snprintf(text, sizeof text, "%s%s", words[i].text, suffix[words[i].number]);
        fprintf(out, "  %-18s %s\n", text, words[i].does);
    }
}

static bool begins(const struct word *w, const char *text)
{
    size_t length = strlen(w->text);
    if (strncmp(text, w->text, length) != 0)
        return false;
    char next = text[length];
    return w->number != NUMBER_MUST || (next >= '0' && next <= '9');
}

static const struct word *word_find(const char *text)
{
    for (size_t i = 0; i < WORD_COUNT; i++) {
        if (begins(&words[i], text))
            return &words[i];
    }
    return NULL;
}

static unsigned number_after(const struct word *w, const char *text)
{
    if (w->number == BARE)
        return 0;
    unsigned long n = strtoul(text + strlen(w->text), NULL, 10);
    return n < UINT32_MAX ? (unsigned)n : UINT32_MAX;
}

const char *behaviour_word(const struct provider *provider, const char *key)
{
    for (const char *const *prefix = provider->prefixes; *prefix; prefix++) {
        size_t length = strlen(*prefix);
        if (strncmp(key, *prefix, length) == 0)
            return key + length;
    }
    return ""; /* not a key of this provider's: unknown, therefore bad */
}

bool behaviour_counts(const char *word)
{
    const struct word *w = word_find(word);
    return w && (w->adjust == fail_first || w->adjust == refuse_later);
}

void behaviour_decide(struct ask *ask)
{
    ask->word = behaviour_word(ask->provider, ask->key);
    const struct word *w = word_find(ask->word);
    ask->wire = NULL;
    ask->delay_ms = 0;
    ask->number = 0;
    if (!w) {
        ask->answer = ask->key[0] ? ANSWER_BAD : ANSWER_MISSING;
        return;
    }
    ask->answer = w->answer;
    ask->wire = w->wire;
    ask->number = number_after(w, ask->word);
    if (w->adjust)
        w->adjust(ask);
}

struct reply behaviour_answer(const struct ask *ask)
{
    return ask->wire ? ask->wire(ask) : ask->provider->answer(ask);
}

/* FNV-1a; names have to be distinct and stable, not hard to guess. */
static uint64_t hash_text(uint64_t hash, const char *text)
{
    for (; *text; text++)
        hash = (hash ^ (uint8_t)*text) * UINT64_C(0x100000001b3);
    return hash;
}

/* splitmix64: spreads the hash over every bit, and goes on as a sequence. */
static uint64_t mix_next(uint64_t *state)
{
    uint64_t z = *state += UINT64_C(0x9e3779b97f4a7c15);
    z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
    return z ^ (z >> 31);
}

void behaviour_derive(const char *key, const char *salt, char *out, size_t length)
{
    static const char digits[] = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
    uint64_t state = hash_text(hash_text(UINT64_C(0xcbf29ce484222325), salt), key);
    for (size_t i = 0; i < length; i++)
        out[i] = digits[mix_next(&state) % (sizeof digits - 1)];
    out[length] = '\0';
}
