/* The main() of a target without libFuzzer: gives it every seed, and small changes of each, the same in every
 * run. It finds what broke since; make fuzz finds what is new. */
#include "tests/fuzz/lib/fuzz.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SEED_BYTES_MAX (64 * 1024)
#define CHANGES        40 /* of each seed */

static uint64_t next_random(uint64_t *state) /* splitmix64 */
{
    uint64_t z = *state += UINT64_C(0x9e3779b97f4a7c15);
    z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
    return z ^ (z >> 31);
}

/* In memory of its own length, so that sanitizers and valgrind see a read behind its end. */
static void give(const uint8_t *bytes, size_t len)
{
    uint8_t *copy = malloc(len ? len : 1);
    MUST(copy);
    memcpy(copy, bytes, len);
    LLVMFuzzerTestOneInput(copy, len);
    free(copy);
}

static void give_changed(uint8_t *bytes, size_t len)
{
    uint64_t state = len;
    for (int i = 0; len && i < CHANGES; i++) {
        uint8_t *at = &bytes[next_random(&state) % len], before = *at;
        *at = (uint8_t)(before ^ (1u << next_random(&state) % 8));
        give(bytes, len);
        *at = before;
        give(bytes, next_random(&state) % len);
    }
}

static bool replay_file(const char *path)
{
    static uint8_t bytes[SEED_BYTES_MAX];
    FILE *f = fopen(path, "r");
    if (!f) {
        fprintf(stderr, "%s: %s\n", path, strerror(errno));
        return false;
    }
    size_t len = fread(bytes, 1, sizeof bytes, f);
    fclose(f);
    fprintf(stderr, "%s\n", path); /* the last one named is the one that failed */
    give(bytes, len);
    give_changed(bytes, len);
    return true;
}

int main(int argc, char **argv)
{
    DIR *folder = argc == 2 ? opendir(argv[1]) : NULL;
    size_t count = 0;
    if (!folder) {
        fprintf(stderr, "usage: %s FOLDER-OF-SEEDS\n", argv[0]);
        return 2;
    }
    for (struct dirent *d; (d = readdir(folder));) {
        char path[4096];
        snprintf(path, sizeof path, "%s/%s", argv[1], d->d_name);
        if (d->d_name[0] != '.' && !replay_file(path))
            return 1;
        count += d->d_name[0] != '.';
    }
    closedir(folder);
    fprintf(stderr, "%zu seeds\n", count);
    return count ? 0 : 1;
}
