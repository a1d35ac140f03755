/* The configuration's file: what is taken keeps to its option's bounds, and every value stands in the file as
 * it is. */
#include "tests/fuzz/lib/fuzz.h"

#include "common/config.h"

#include <stdio.h>
#include <string.h>

struct settings {
    char *data_dir;
    int64_t lease_ms;
    bool verbose;
    struct option_list allow;
};

#define AT(member) offsetof(struct settings, member)
static const struct option options[] = {
    {"data-dir", OPTION_TEXT, AT(data_dir), NULL, 0, 0, "DIR", "where things lie"},
    {"lease-ms", OPTION_NUMBER, AT(lease_ms), "1000", 200, 60000, "MS", "how long"},
    {"verbose", OPTION_FLAG, AT(verbose), NULL, 0, 0, NULL, "say more"},
    {"allow", OPTION_LIST, AT(allow), NULL, 0, 0, "CIDR", "who may"},
};
static const struct program program = {"fuzz", "A program.", options, sizeof options / sizeof options[0]};

/* Is text what some line begins with, but for the white space before it? */
static bool begins_line(const uint8_t *data, size_t size, const char *text)
{
    size_t len = strlen(text);
    for (const uint8_t *at = data; size && (at = memmem(at, size - (size_t)(at - data), text, len)); at++) {
        const uint8_t *before = at;
        while (before > data && strchr(" \t\r\v\f\xef\xbb\xbf", before[-1]))
            before--;
        if (before == data || before[-1] == '\n')
            return true;
    }
    return false;
}

static void check(const struct settings *s, const uint8_t *data, size_t size)
{
    MUST(s->lease_ms >= 200 && s->lease_ms <= 60000);
    MUST(!s->data_dir || memmem(data, size, s->data_dir, strlen(s->data_dir)));
    MUST(s->allow.count <= OPTION_LIST_MAX);
    for (size_t i = 0; i < s->allow.count; i++)
        MUST(memmem(data, size, s->allow.items[i], strlen(s->allow.items[i])));
    MUST(!memchr(data, 0, size));
    MUST(s->lease_ms == 1000 || begins_line(data, size, "lease-ms"));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct settings s = {0};
    struct pb_why why = {0};
    struct fuzz_file f;
    bool done;
    fuzz_file_open(&f, data, size);
    char name[] = "fuzz", option[] = "--config", *argv[] = {name, option, f.path, NULL};
    if (config_load(&program, 3, argv, &s, &done, &why) == PB_OK)
        check(&s, data, size);
    else
        MUST(why.text[0]);
    config_fini(&program, &s);
    fuzz_file_close(&f);
    return 0;
}
