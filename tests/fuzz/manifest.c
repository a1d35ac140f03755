/* Packages: "MANIFEST, ---, SCHEMA", as manifest.json and schemas/a.json of a folder "demo". What is taken
 * has fields and events as they should be, can be shown, and its connection test ends, whatever its plan
 * says. */
#include "tests/fuzz/lib/fuzz.h"

#include "worker/declarative/exam.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define NOW_MS INT64_C(1767225600000)

static char folder[128]; /* FOLDER/demo: the process's one */

static void write_file(const char *name, const char *text, size_t len)
{
    char path[160];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    MUST(fd >= 0 && write(fd, text, len) == (ssize_t)len);
    close(fd);
}

static void remove_folder(void)
{
    static const char *const names[] = {"schemas/a.json", "schemas", "manifest.json", ""};
    char path[160];
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        snprintf(path, sizeof path, "%s/%s", folder, names[i]);
        remove(path);
    }
    *strrchr(folder, '/') = 0;
    rmdir(folder);
}

/* In memory, where there is such a file system. */
static void make_folder(void)
{
    char base[64], path[160];
    snprintf(base, sizeof base, "%s/fuzz-XXXXXX", access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp");
    MUST(mkdtemp(base));
    snprintf(folder, sizeof folder, "%s/demo", base);
    snprintf(path, sizeof path, "%s/schemas", folder);
    MUST(mkdir(folder, 0700) == 0 && mkdir(path, 0700) == 0);
    atexit(remove_folder);
}

static void check_exam(const struct manifest *m)
{
    struct credentials c = {0};
    struct exam *e = NULL;
    for (size_t i = 0; i < m->field_count; i++)
        MUST(credentials_add(&c, m->fields[i].name, "value", 5) == PB_OK);
    MUST(exam_new(m, &c, NOW_MS, &e) == PB_OK);
    const struct transfer_answer a = {
        .status = 200, .headers = "", .body = "{\"id\":\"a\"}", .body_len = sizeof "{\"id\":\"a\"}" - 1};
    for (int i = 0; i < LIMIT_TEST_STEPS && exam_request(e); i++)
        exam_answer(e, &a, NOW_MS);
    MUST(!exam_request(e) && exam_result(e)->code);
    exam_free(e);
    credentials_fini(&c);
}

static void check(const struct manifest *m)
{
    char *schema = NULL, *events = manifest_supported_events(m);
    json_t *shown = manifest_json(m), *list = json_loads(events ? events : "", 0, NULL);
    size_t len;
    MUST(shown && json_array_size(list) == m->event_count);
    MUST(strcmp(m->type, "demo") == 0 && strlen(m->hash) == 64 && m->interval_ms > 0);
    MUST(m->field_count <= LIMIT_PACKAGE_FIELDS && m->event_count <= LIMIT_PACKAGE_EVENTS);
    for (size_t i = 0; i < m->field_count; i++)
        MUST(m->fields[i].label && m->fields[i].type && !m->fields[i].pattern == !m->fields[i].regex);
    if (m->event_count)
        MUST(manifest_schema(m, m->events[0].event_type, &schema, &len) == PB_OK);
    check_exam(m);
    json_decref(shown);
    json_decref(list);
    free(schema);
    free(events);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct manifest *m = NULL;
    struct pb_why why = {0};
    struct fuzz_parts p;
    fuzz_split(data, size, &p);
    if (!folder[0])
        make_folder();
    write_file("manifest.json", p.text[0], p.len[0]);
    write_file("schemas/a.json", p.text[1], p.len[1]);
    if (manifest_open(folder, &m, &why) == PB_OK)
        check(m);
    else
        MUST(why.at[0] && why.text[0]);
    manifest_close(m);
    fuzz_split_fini(&p);
    return 0;
}
