/* Makes the broker it is linked to one whose disk fails when a test says so, and whose power can be cut. The
 * broker itself knows nothing of it: before its main() the layer of tests/store/fault_vfs.h becomes SQLite's
 * default. The file that FAULTS_FILE names is read before everything that changes the disk; it says one of
 *
 *   none             all is well (as when there is no such file)
 *   full, write      writes fail: no space left, input/output error
 *   sync             syncs fail
 *   cut KEEP SEED    the power is cut: the process ends at once, and of what was not synced each sector is
 *                    kept with a chance of KEEP in 256 */
#include "tests/store/fault_vfs.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static struct fault_vfs disk;

struct fault {
    const char *name;
    int write_error, sync_error;
};
static const struct fault faults[] = {
    {"none", 0, 0},
    {"full", SQLITE_FULL, 0},
    {"write", SQLITE_IOERR_WRITE, 0},
    {"sync", 0, SQLITE_IOERR_FSYNC},
};

static void cut_power(struct fault_vfs *v, const char *how)
{
    unsigned keep = 0;
    uint64_t seed = 1;
    if (sscanf(how, "cut %u %" SCNu64, &keep, &seed) != 2)
        abort();
    if (!fault_vfs_power_cut(v, NULL, keep, &seed))
        abort();
    _exit(99);
}

static void before(void *arg, struct fault_vfs *v)
{
    char line[64] = "none";
    FILE *f = fopen(arg, "r");
    if (f && !fgets(line, sizeof line, f))
        line[0] = 0;
    if (f)
        fclose(f);
    if (strncmp(line, "cut", 3) == 0)
        cut_power(v, line);
    for (size_t i = 0; i < sizeof faults / sizeof faults[0]; i++)
        if (strncmp(line, faults[i].name, strlen(faults[i].name)) == 0) {
            v->write_error = faults[i].write_error;
            v->sync_error = faults[i].sync_error;
        }
}

__attribute__((constructor)) static void plug_in(void)
{
    char *path = getenv("FAULTS_FILE");
    if (!path)
        return;
    fault_vfs_install(&disk);
    disk.before = before;
    disk.arg = path;
}
