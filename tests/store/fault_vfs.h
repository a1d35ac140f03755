/* A disk that fails, for SQLite: a layer over its usual files that can refuse writes and syncs, and that
 * knows what a loss of power would leave of them. Killing a process cannot show that, since the system keeps
 * what was written; here everything written to a file since its last successful sync is in doubt, sector by
 * sector.
 *
 * While it is installed it is SQLite's default, and every database opened then lies on it, write-ahead log
 * included; not the shared memory, which no power cut survives. May be used by several threads. Paths are
 * told apart by their text. */
#ifndef PB_TESTS_STORE_FAULT_VFS_H
#define PB_TESTS_STORE_FAULT_VFS_H

#include <pthread.h>
#include <sqlite3.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define FAULT_SECTOR_BYTES 512

struct fault_image; /* of one file: as it is, and as the disk has it */

struct fault_vfs {
    sqlite3_vfs layer, *usual;
    pthread_mutex_t lock;
    struct fault_image *images;

    /* What goes wrong, to be set at will. SQLite's codes (SQLITE_FULL, SQLITE_IOERR_WRITE,
     * SQLITE_IOERR_FSYNC); 0: nothing. */
    int write_error;
    int64_t write_error_after; /* so many bytes are written before; -1: it is over */
    int sync_error; /* as the kernel does it: what was to be synced counts as synced from then on, */
                    /* so that only what is written again will ever reach the disk */
    /* Called before everything that changes the disk (a write, sync, truncation, deletion), with its number:
     * the moments at which the power can fail. Databases opened meanwhile lie on the usual disk. */
    void (*before)(void *arg, struct fault_vfs *v);
    void *arg;
    /* What has been seen. */
    uint64_t steps, writes, syncs;
    bool paused; /* before() runs */
};

void fault_vfs_install(struct fault_vfs *v); /* zeroes it first */
void fault_vfs_remove(struct fault_vfs *v);  /* everything opened on it must be closed */

/* Writes what the disk holds after a loss of power now: each sector in doubt is as before or as written, the
 * latter with a chance of keep in 256, by *seed. Files keep their names; folder NULL: over the files
 * themselves (nothing may use them afterwards). False: the files could not be written. */
bool fault_vfs_power_cut(struct fault_vfs *v, const char *folder, unsigned keep, uint64_t *seed);

#endif
