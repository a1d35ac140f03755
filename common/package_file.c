#include "common/package_file.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* One step of a path, from dir, which it closes. */
static int step_into(int dir, const char *name, int flags)
{
    int fd = openat(dir, name, flags | O_RDONLY | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK);
    int saved = errno;
    close(dir);
    errno = saved;
    return fd;
}

static bool is_climbing(const char *name, size_t len)
{
    return len > NAME_MAX || (len == 2 && memcmp(name, "..", 2) == 0);
}

static int open_inside(const char *folder, const char *path)
{
    int fd = *path == '/' ? -1 : open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    errno = *path == '/' ? EXDEV : errno;
    while (fd >= 0) {
        char name[NAME_MAX + 1];
        size_t len = strcspn(path, "/");
        if (is_climbing(path, len)) {
            close(fd);
            errno = EXDEV;
            return -1;
        }
        snprintf(name, sizeof name, "%.*s", len ? (int)len : 1, len ? path : ".");
        bool last = !path[len];
        fd = step_into(fd, name, last ? 0 : O_DIRECTORY);
        if (last)
            return fd;
        path += len + 1;
    }
    return fd;
}

static pb_err read_all(int fd, size_t max_bytes, struct buf *out)
{
    char chunk[16384];
    ssize_t n;
    buf_init(out, max_bytes);
    while ((n = read(fd, chunk, sizeof chunk)) > 0)
        buf_append(out, chunk, (size_t)n);
    pb_err err = n < 0 ? PB_E_IO : out->failed ? PB_E_LIMIT : PB_OK;
    if (err)
        buf_fini(out);
    return err;
}

pb_err package_file_read(const char *folder, const char *path, size_t max_bytes, struct buf *out)
{
    struct stat st;
    int fd = open_inside(folder, path);
    if (fd < 0)
        return errno == ENOENT                                        ? PB_E_NOT_FOUND
               : errno == EXDEV || errno == ELOOP || errno == ENOTDIR ? PB_E_DENIED
                                                                      : PB_E_IO;
    pb_err err = fstat(fd, &st) == 0 && S_ISREG(st.st_mode) ? read_all(fd, max_bytes, out) : PB_E_DENIED;
    close(fd);
    return err;
}
