/* What fuzz targets need beside the parser they try.
 *
 * A target is one file of tests/fuzz with LLVMFuzzerTestOneInput(): it hands the input to its parser and
 * asserts what must hold of whatever the parser lets through. Linked with libFuzzer it searches (make fuzz);
 * linked with replay.c it goes through its folder of seeds (make test). Failures end the program: nothing
 * here returns an error. */
#ifndef PB_TESTS_FUZZ_H
#define PB_TESTS_FUZZ_H

#include "common/manifest.h"
#include "common/seal.h"

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* assert() that no build can turn off. */
#define MUST(condition) ((condition) ? (void)0 : fuzz_fail(__FILE__, __LINE__, #condition))
void fuzz_fail(const char *file, int line, const char *condition) __attribute__((noreturn));

/* The input's parts, for parsers that take several texts: apart by lines that are "---", so that seeds can be
 * read and written in an editor. What is not there is "". */
#define FUZZ_PARTS_MAX 16
struct fuzz_parts {
    char *text[FUZZ_PARTS_MAX]; /* each with a NUL behind it, in memory of its own length */
    size_t len[FUZZ_PARTS_MAX];
    size_t count;
};
void fuzz_split(const uint8_t *data, size_t size, struct fuzz_parts *out);
void fuzz_split_fini(struct fuzz_parts *p);

/* A file with these bytes that only its owner may read, without a place in any folder. */
struct fuzz_file {
    int fd;
    char path[32];
};
void fuzz_file_open(struct fuzz_file *f, const uint8_t *data, size_t size);
void fuzz_file_close(struct fuzz_file *f);

/* A package of the manifests folder (tests run in the top folder); opened once, kept. */
const struct manifest *fuzz_package(const char *type);

/* What a terminal, a log and a JSON document can hold: UTF-8. */
bool fuzz_is_utf8(const char *text, size_t len);
/* Is needle anywhere in text, in whatever case? */
bool fuzz_holds(const char *text, const char *needle);

/* The JSON of a text that is nested no deeper than what comes over HTTP; NULL: none. */
json_t *fuzz_json(const char *text, size_t len);

#endif
