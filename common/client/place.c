#include "common/client/place.h"

#include "common/channel.h"
#include "common/keyring.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

static pb_err no_memory(struct pb_why *why)
{
    return pb_fail(why, PB_E_MEMORY, NULL, "out of memory");
}

static pb_err join(const char *folder, const char *name, char **out, struct pb_why *why)
{
    char *path = NULL;
    if (asprintf(&path, "%s/%s", folder, name) < 0)
        return no_memory(why);
    free(*out);
    *out = path;
    return PB_OK;
}

/* -- folders -- */

static pb_err make_folder(const char *path, struct pb_why *why)
{
    struct stat st;
    if (mkdir(path, 0700) == 0)
        return PB_OK;
    if (errno != EEXIST)
        return pb_fail(why, PB_E_IO, path, "the folder cannot be made: %s", strerror(errno));
    if (stat(path, &st) != 0 || !S_ISDIR(st.st_mode))
        return pb_fail(why, PB_E_IO, path, "is there, but is no folder");
    return PB_OK;
}

static pb_err make_data(const char *data_dir, struct place *p, struct pb_why *why)
{
    pb_err err = make_folder(data_dir, why);
    if (err)
        return err;
    p->data = realpath(data_dir, NULL);
    if (!p->data)
        return pb_fail(why, PB_E_IO, data_dir, "%s", strerror(errno));
    err = join(p->data, "logs", &p->logs, why);
    return err ? err : make_folder(p->logs, why);
}

/* Sockets that a killed broker left; nobody listens behind them, since the folder's lock is ours. */
static void clear_sockets(const char *folder)
{
    DIR *dir = opendir(folder);
    if (!dir)
        return;
    for (struct dirent *e; (e = readdir(dir));) {
        struct stat st;
        if (fstatat(dirfd(dir), e->d_name, &st, AT_SYMLINK_NOFOLLOW) == 0 && S_ISSOCK(st.st_mode))
            unlinkat(dirfd(dir), e->d_name, 0);
    }
    closedir(dir);
}

static pb_err make_temporary(struct place *p, struct pb_why *why)
{
    const char *base = getenv("XDG_RUNTIME_DIR");
    if (!base || base[0] != '/' || strlen(base) > PLACE_SOCKET_FOLDER_MAX - strlen("/patchbay-XXXXXX"))
        base = "/tmp";
    pb_err err = join(base, "patchbay-XXXXXX", &p->run, why);
    if (!err && !mkdtemp(p->run))
        err = pb_fail(why, PB_E_IO, p->run, "the folder of sockets cannot be made: %s", strerror(errno));
    p->run_is_temporary = !err;
    return err;
}

static pb_err make_run(struct place *p, struct pb_why *why)
{
    pb_err err = join(p->data, "run", &p->run, why);
    if (!err && strlen(p->run) > PLACE_SOCKET_FOLDER_MAX)
        return make_temporary(p, why);
    if (!err)
        err = make_folder(p->run, why);
    if (!err)
        clear_sockets(p->run);
    return err;
}

/* -- the lock -- */

static pb_err lock(struct place *p, struct pb_why *why)
{
    char *path = NULL, pid[16] = "";
    pb_err err = join(p->data, "up.lock", &path, why);
    if (err)
        return err;
    int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0) {
        err = pb_fail(why, PB_E_IO, path, "cannot be opened: %s", strerror(errno));
    } else if (flock(fd, LOCK_EX | LOCK_NB) != 0) {
        ssize_t len = pread(fd, pid, sizeof pid - 1, 0);
        pid[len > 0 ? strspn(pid, "0123456789") : 0] = 0;
        err = pb_fail(why, PB_E_BUSY, p->data, "another patchbay up runs on this folder%s%s",
                      pid[0] ? ", process " : "", pid);
        close(fd);
    } else {
        p->lock_fd = fd;
        if (ftruncate(fd, 0) != 0 || dprintf(fd, "%d\n", (int)getpid()) < 0)
            err = pb_fail(why, PB_E_IO, path, "cannot be written: %s", strerror(errno));
    }
    free(path);
    return err;
}

/* -- secrets -- */

static pb_err make_secrets(struct place *p, struct pb_why *why)
{
    struct stat st;
    pb_err err = join(p->data, "cluster.secret", &p->cluster_secret, why);
    if (!err)
        err = channel_create_secret(p->cluster_secret, why);
    if (err == PB_E_EXISTS)
        err = PB_OK;
    if (!err)
        err = join(p->data, "keyring", &p->keyring, why);
    if (!err)
        err = keyring_create(p->keyring, why);
    if (err == PB_E_EXISTS)
        err = PB_OK;
    if (!err)
        err = join(p->data, "admin.token", &p->admin_token, why);
    p->first_time = !err && stat(p->admin_token, &st) != 0;
    return err;
}

/* -- programs and packages -- */

static pb_err own_folder(char **out, struct pb_why *why)
{
    char *exe = realpath("/proc/self/exe", NULL), *slash = exe ? strrchr(exe, '/') : NULL;
    if (!slash) {
        free(exe);
        return pb_fail(why, PB_E_IO, "/proc/self/exe", "cannot be read: %s", strerror(errno));
    }
    *slash = 0;
    *out = exe;
    return PB_OK;
}

static pb_err find_in_path(const char *name, char **out, struct pb_why *why)
{
    const char *at = getenv("PATH");
    for (size_t len; at && *at && !*out; at += len + (at[len] == ':')) {
        len = strcspn(at, ":");
        if (!len)
            continue;
        if (asprintf(out, "%.*s/%s", (int)len, at, name) < 0) {
            *out = NULL;
            return no_memory(why);
        }
        if (access(*out, X_OK) != 0) {
            free(*out);
            *out = NULL;
        }
    }
    return *out
               ? PB_OK
               : pb_fail(why, PB_E_NOT_FOUND, name, "is neither beside patchbay nor in PATH; make builds it");
}

static pb_err find_program(const char *folder, const char *name, char **out, struct pb_why *why)
{
    pb_err err = join(folder, name, out, why);
    if (err || access(*out, X_OK) == 0)
        return err;
    free(*out);
    *out = NULL;
    return find_in_path(name, out, why);
}

static pb_err find_manifests(const char *folder, const char *wanted, struct place *p, struct pb_why *why)
{
    char *shared = NULL;
    const char *tried = wanted ? wanted : "manifests";
    p->manifests = realpath(tried, NULL);
    if (p->manifests || wanted)
        return p->manifests ? PB_OK : pb_fail(why, PB_E_NOT_FOUND, wanted, "%s", strerror(errno));
    pb_err err = join(folder, "../share/patchbay/manifests", &shared, why);
    if (!err)
        p->manifests = realpath(shared, NULL);
    if (!err && !p->manifests)
        err = pb_fail(why, PB_E_NOT_FOUND, shared,
                      "there are no packages here, nor in ./manifests; name their folder: --manifests DIR");
    free(shared);
    return err;
}

static pb_err find_parts(const char *manifests, struct place *p, struct pb_why *why)
{
    char *folder = NULL;
    pb_err err = own_folder(&folder, why);
    if (!err)
        err = find_program(folder, "patchbay-broker", &p->broker, why);
    if (!err)
        err = find_program(folder, "patchbay-worker", &p->worker, why);
    if (!err)
        err = find_manifests(folder, manifests, p, why);
    free(folder);
    return err;
}

/* -- all of it -- */

pb_err place_open(const char *data_dir, const char *manifests, struct place *out, struct pb_why *why)
{
    out->lock_fd = -1;
    pb_err err = find_parts(manifests, out, why);
    if (!err)
        err = make_data(data_dir, out, why);
    if (!err)
        err = lock(out, why);
    if (!err)
        err = make_run(out, why);
    return err ? err : make_secrets(out, why);
}

void place_close(struct place *p)
{
    if (p->run_is_temporary) {
        clear_sockets(p->run);
        rmdir(p->run);
    }
    if (p->lock_fd >= 0)
        close(p->lock_fd);
    char *all[] = {p->data,        p->run,    p->logs,   p->cluster_secret, p->keyring,
                   p->admin_token, p->broker, p->worker, p->manifests};
    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++)
        free(all[i]);
    *p = (struct place){.lock_fd = -1};
}
