#include "tests/fuzz/lib/fuzz.h"

#include "broker/http/parse.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

void fuzz_fail(const char *file, int line, const char *condition)
{
    fprintf(stderr, "%s:%d: this does not hold: %s\n", file, line, condition);
    abort();
}

/* -- parts -- */

static const char separator[] = "\n---\n";

static void add_part(struct fuzz_parts *p, const uint8_t *data, size_t len)
{
    char *text = malloc(len + 1);
    MUST(text);
    if (len)
        memcpy(text, data, len);
    text[len] = 0;
    p->text[p->count] = text;
    p->len[p->count++] = len;
}

void fuzz_split(const uint8_t *data, size_t size, struct fuzz_parts *out)
{
    const uint8_t *end;
    *out = (struct fuzz_parts){0};
    while (size && out->count + 1 < FUZZ_PARTS_MAX &&
           (end = memmem(data, size, separator, sizeof separator - 1))) {
        add_part(out, data, (size_t)(end - data));
        size -= (size_t)(end - data) + sizeof separator - 1;
        data = end + sizeof separator - 1;
    }
    add_part(out, data, size);
    size_t given = out->count;
    while (out->count < FUZZ_PARTS_MAX)
        add_part(out, NULL, 0);
    out->count = given;
}

void fuzz_split_fini(struct fuzz_parts *p)
{
    for (size_t i = 0; i < FUZZ_PARTS_MAX; i++)
        free(p->text[i]);
}

/* -- files -- */

void fuzz_file_open(struct fuzz_file *f, const uint8_t *data, size_t size)
{
    f->fd = memfd_create("fuzz", MFD_CLOEXEC);
    MUST(f->fd >= 0);
    MUST(fchmod(f->fd, 0600) == 0);
    MUST(write(f->fd, data, size) == (ssize_t)size);
    snprintf(f->path, sizeof f->path, "/proc/self/fd/%d", f->fd);
}

void fuzz_file_close(struct fuzz_file *f)
{
    close(f->fd);
}

/* -- packages -- */

const struct manifest *fuzz_package(const char *type)
{
    static struct manifest *kept[8]; /* libFuzzer calls a target again and again, in one thread */
    char folder[128];
    struct pb_why why = {0};
    size_t i = 0;
    for (; kept[i]; i++)
        if (strcmp(kept[i]->type, type) == 0)
            return kept[i];
    MUST(i + 1 < sizeof kept / sizeof kept[0]);
    snprintf(folder, sizeof folder, "manifests/%s", type);
    if (manifest_open(folder, &kept[i], &why) == PB_OK)
        return kept[i];
    fprintf(stderr, "%s: %s; fuzz targets run in the top folder\n", why.at, why.text);
    abort();
}

/* -- what is looked for -- */

bool fuzz_is_utf8(const char *text, size_t len)
{
    json_t *json = json_stringn(text, len); /* checks it */
    json_decref(json);
    return json;
}

bool fuzz_holds(const char *text, const char *needle)
{
    return strcasestr(text, needle);
}

json_t *fuzz_json(const char *text, size_t len)
{
    json_t *json = NULL;
    struct pb_why why;
    return http_json_parse(text, len, &json, &why) == PB_OK ? json : NULL;
}
