/* Addresses: "ADDRESS, ---, LOCATION, ---, PATTERN". What is taken reads the same when it is read again, by
 * us or by whoever sends the request; and credentials go to no host but those a pattern names. */
#include "tests/fuzz/lib/fuzz.h"

#include "worker/target.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>

static void check(const struct target *t)
{
    struct target again;
    char own[TARGET_HOST_BYTES + 16];
    MUST(t->host[0] && t->port <= 65535);
    for (const char *c = t->host; *c; c++)
        MUST(!isupper((unsigned char)*c) && (unsigned char)*c > ' ' && !strchr("/?#@\\", *c));
    MUST(strlen(t->url.data) == t->url.len && !strchr(t->url.data, '#'));
    MUST(target_parse(t->url.data, &again, NULL) == PB_OK);
    MUST(strcmp(again.host, t->host) == 0 && again.port == t->port && again.https == t->https);
    MUST(strcmp(again.url.data, t->url.data) == 0);
    target_fini(&again);
    snprintf(own, sizeof own, "%s:%u", t->host, t->port);
    MUST(target_matches(t, own));
    MUST(!target_matches(t, "*.example.com") ||
         (strlen(t->host) > 12 && strcmp(t->host + strlen(t->host) - 12, ".example.com") == 0));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct target from = {0}, to = {0};
    struct fuzz_parts p;
    struct pb_why why = {0};
    fuzz_split(data, size, &p);
    pb_err err = target_parse(p.text[0], &from, &why);
    if (!err) {
        check(&from);
        (void)target_matches(&from, p.text[2]);
        err = target_redirect(&from, p.text[1], &to, &why);
    }
    MUST(!err || why.text[0]);
    if (!err) {
        check(&to);
        MUST(to.https || !from.https);
        target_fini(&to);
    }
    target_fini(&from);
    fuzz_split_fini(&p);
    return 0;
}
