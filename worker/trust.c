#include "worker/trust.h"

#include <curl/curl.h>
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define PEM_BEGIN "-----BEGIN CERTIFICATE-----"

struct trust {
    int fd; /* -1: curl's default */
    char path[32];
};

static bool write_all(int fd, const char *bytes, size_t len)
{
    while (len > 0) {
        ssize_t n = write(fd, bytes, len);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return false;
        bytes += n;
        len -= (size_t)n;
    }
    return true;
}

/* Appends a file; *certificates says whether there was one in it. Certificates lie far apart at most by their
 * own length, so each chunk overlaps the next by the marker's. */
static pb_err append_file(int to, const char *path, bool *certificates, struct pb_why *why)
{
    char chunk[8192 + sizeof PEM_BEGIN];
    size_t kept = 0;
    ssize_t n;
    int from = open(path, O_RDONLY | O_CLOEXEC);
    if (from < 0)
        return pb_fail(why, PB_E_IO, path, "cannot be read: %s", strerror(errno));
    while ((n = read(from, chunk + kept, 8192)) > 0 && write_all(to, chunk + kept, (size_t)n)) {
        size_t len = kept + (size_t)n;
        *certificates |= memmem(chunk, len, PEM_BEGIN, strlen(PEM_BEGIN)) != NULL;
        kept = len < sizeof PEM_BEGIN - 1 ? len : sizeof PEM_BEGIN - 1;
        memmove(chunk, chunk + len - kept, kept);
    }
    close(from);
    return n == 0 ? write_all(to, "\n", 1) ? PB_OK : PB_E_IO
                  : pb_fail(why, PB_E_IO, path, "cannot be read: %s", strerror(errno));
}

static const char *system_file(void)
{
    char *path = NULL;
    CURL *easy = curl_easy_init();
    if (easy)
        curl_easy_getinfo(easy, CURLINFO_CAINFO, &path);
    curl_easy_cleanup(easy); /* the path is a constant of the library */
    return path;
}

static pb_err join(struct trust *t, const char *ca_file, struct pb_why *why)
{
    bool certificates = false, ignored = false;
    const char *system = system_file();
    t->fd = memfd_create("trusted-cas", MFD_CLOEXEC);
    if (t->fd < 0)
        return pb_fail(why, PB_E_IO, "--ca-file", "cannot make a file in memory: %s", strerror(errno));
    snprintf(t->path, sizeof t->path, "/proc/self/fd/%d", t->fd);
    pb_err err = append_file(t->fd, ca_file, &certificates, why);
    if (!err && !certificates)
        err = pb_fail(why, PB_E_INVALID, ca_file, "holds no certificate; --ca-file needs a PEM file");
    if (!err && system && access(system, R_OK) == 0)
        err = append_file(t->fd, system, &ignored, why);
    return err;
}

pb_err trust_open(const char *ca_file, struct trust **out, struct pb_why *why)
{
    struct trust *t = calloc(1, sizeof *t);
    if (!t)
        return PB_E_MEMORY;
    t->fd = -1;
    pb_err err = ca_file ? join(t, ca_file, why) : PB_OK;
    if (err)
        trust_close(t);
    else
        *out = t;
    return err;
}

void trust_close(struct trust *t)
{
    if (!t)
        return;
    if (t->fd >= 0)
        close(t->fd);
    free(t);
}

const char *trust_path(const struct trust *t)
{
    return t->fd >= 0 ? t->path : NULL;
}
