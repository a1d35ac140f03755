#include "tests/unit/canned.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define REQUESTS_MAX 512
#define HANGING_MAX  64

struct canned {
    const struct canned_route *routes;
    size_t route_count;
    int listen_fd, stop[2];
    unsigned port;
    pthread_t thread;
    pthread_mutex_t lock;
    char *requests[REQUESTS_MAX];
    size_t count;
    int hanging[HANGING_MAX];
    size_t hanging_count;
};

static char *read_request(int fd)
{
    char *text = calloc(1, 65536);
    size_t len = 0;
    struct pollfd p = {.fd = fd, .events = POLLIN};
    while (len < 65535 && poll(&p, 1, strstr(text, "\r\n\r\n") ? 20 : 2000) == 1) {
        ssize_t n = read(fd, text + len, 65535 - len);
        if (n <= 0)
            break;
        len += (size_t)n;
    }
    return text;
}

static const struct canned_route *find_route(const struct canned *c, const char *request)
{
    const char *path = strchr(request, ' ');
    size_t len = path ? strcspn(path + 1, " ?") : 0;
    for (size_t i = 0; i < c->route_count; i++)
        if (path && strlen(c->routes[i].path) == len && strncmp(c->routes[i].path, path + 1, len) == 0)
            return &c->routes[i];
    return NULL;
}

static void send_all(int fd, const char *bytes, size_t len)
{
    while (len > 0) {
        ssize_t n = send(fd, bytes, len, MSG_NOSIGNAL);
        if (n <= 0)
            return;
        bytes += n;
        len -= (size_t)n;
    }
}

static void send_filler(int fd, const struct canned_route *r)
{
    const char *text = r->text ? r->text : "x";
    size_t len = strlen(text), all = len * r->filler;
    char *filler = malloc(all + 1);
    for (size_t i = 0; i < r->filler; i++)
        memcpy(filler + i * len, text, len);
    send_all(fd, filler, all);
    free(filler);
}

static void serve(struct canned *c, int fd)
{
    char *request = read_request(fd);
    const struct canned_route *r = find_route(c, request);
    pthread_mutex_lock(&c->lock);
    if (c->count < REQUESTS_MAX)
        c->requests[c->count++] = request;
    else
        free(request);
    pthread_mutex_unlock(&c->lock);
    if (r && !r->answer && c->hanging_count < HANGING_MAX) {
        c->hanging[c->hanging_count++] = fd;
        return;
    }
    if (r && r->answer) {
        send_all(fd, r->answer, strlen(r->answer));
        send_filler(fd, r);
    }
    shutdown(fd, SHUT_WR);
    close(fd);
}

static void *run(void *arg)
{
    struct canned *c = arg;
    struct pollfd p[2] = {{.fd = c->listen_fd, .events = POLLIN}, {.fd = c->stop[0], .events = POLLIN}};
    while (poll(p, 2, -1) > 0 && !p[1].revents) {
        int fd = accept(c->listen_fd, NULL, NULL);
        if (fd >= 0)
            serve(c, fd);
    }
    return NULL;
}

struct canned *canned_open(const struct canned_route *routes, size_t count)
{
    struct canned *c = calloc(1, sizeof *c);
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof at;
    c->routes = routes;
    c->route_count = count;
    c->listen_fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (bind(c->listen_fd, (struct sockaddr *)&at, sizeof at) || listen(c->listen_fd, 256) || pipe(c->stop) ||
        getsockname(c->listen_fd, (struct sockaddr *)&at, &len))
        abort();
    c->port = ntohs(at.sin_port);
    pthread_mutex_init(&c->lock, NULL);
    if (pthread_create(&c->thread, NULL, run, c))
        abort();
    return c;
}

void canned_close(struct canned *c)
{
    ssize_t n = write(c->stop[1], "x", 1);
    (void)n;
    pthread_join(c->thread, NULL);
    for (size_t i = 0; i < c->hanging_count; i++)
        close(c->hanging[i]);
    for (size_t i = 0; i < c->count; i++)
        free(c->requests[i]);
    close(c->stop[0]);
    close(c->stop[1]);
    close(c->listen_fd);
    pthread_mutex_destroy(&c->lock);
    free(c);
}

unsigned canned_port(const struct canned *c)
{
    return c->port;
}

const char *canned_request(struct canned *c, size_t i)
{
    pthread_mutex_lock(&c->lock);
    const char *request = i < c->count ? c->requests[i] : NULL;
    pthread_mutex_unlock(&c->lock);
    return request;
}

size_t canned_count(struct canned *c)
{
    pthread_mutex_lock(&c->lock);
    size_t count = c->count;
    pthread_mutex_unlock(&c->lock);
    return count;
}
