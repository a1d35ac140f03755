/* Every fuzz target goes through its folder of seeds: what once broke a parser stays mended. The targets are
 * programs of their own (tests/fuzz/lib/replay.c), built beside this one. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>
/* cmocka wants setjmp and stdarg before it */
#include <cmocka.h>

#define SEEDS       "tests/fuzz/seeds"
#define TARGETS_MAX 64

/* BUILD/tests/unit/test_fuzz_seeds is this program; BUILD/tests/fuzz/NAME the target. */
static void path_of(const char *name, char *out, size_t size)
{
    char own[3000];
    ssize_t len = readlink("/proc/self/exe", own, sizeof own - 1);
    assert_true(len > 0);
    own[len] = 0;
    *strrchr(own, '/') = 0;
    snprintf(out, size, "%s/../fuzz/%s", own, name);
}

static void show(const char *log)
{
    char line[512];
    FILE *f = fopen(log, "r");
    while (f && fgets(line, sizeof line, f))
        print_message("%s", line);
    if (f)
        fclose(f);
}

/* In the child: runs the target, all that it says going to the log. */
static void become(char *program, char *seeds, const char *log)
{
    char *argv[] = {program, seeds, NULL};
    int fd = open(log, O_WRONLY | O_CREAT | O_TRUNC, 0600);
    if (fd >= 0 && dup2(fd, 1) == 1 && dup2(fd, 2) == 2)
        execv(program, argv);
    _exit(127);
}

static void target_survives_its_seeds(void **state)
{
    char program[4096], seeds[512], log[64] = "/tmp/fuzz-seeds-XXXXXX";
    const char *name = *state;
    int status = -1, fd = mkstemp(log);
    assert_true(fd >= 0);
    close(fd);
    path_of(name, program, sizeof program);
    snprintf(seeds, sizeof seeds, SEEDS "/%s", name);
    pid_t child = fork();
    if (child == 0)
        become(program, seeds, log);
    assert_int_equal(waitpid(child, &status, 0), child);
    if (status != 0)
        show(log);
    unlink(log);
    if (status != 0)
        fail_msg("%s ended with status 0x%x; the last seed that it named is the one", name, (unsigned)status);
}

static int is_name(const struct dirent *d)
{
    return d->d_name[0] != '.';
}

int main(void)
{
    struct CMUnitTest tests[TARGETS_MAX];
    struct dirent **names = NULL;
    int count = scandir(SEEDS, &names, is_name, alphasort);
    if (count < 1 || count > TARGETS_MAX) {
        fprintf(stderr, SEEDS ": %s; tests run in the top folder\n", strerror(errno));
        return 1;
    }
    for (int i = 0; i < count; i++)
        tests[i] =
            (struct CMUnitTest){names[i]->d_name, target_survives_its_seeds, NULL, NULL, names[i]->d_name};
    int failed = _cmocka_run_group_tests("fuzz_seeds", tests, (size_t)count, NULL, NULL);
    for (int i = 0; i < count; i++)
        free(names[i]);
    free(names);
    return failed;
}
