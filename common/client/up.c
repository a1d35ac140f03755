/* patchbay up: a broker and its workers on this machine, as processes that are watched and stopped together.
 *
 * One loop: signals and the ends of processes wake it; otherwise it looks every TICK_MS at what it waits for.
 * It goes through stages: the broker says in its log that it listens (its own log, so that another program
 * at the same address cannot be mistaken for it), the workers are with it, all is up; then workers are told
 * to end, which drains them, and when the last is gone the broker. A second signal ends all at once. */
#include "common/client/up.h"

#include "common/client/children.h"
#include "common/client/client.h"
#include "common/client/place.h"
#include "common/clock.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <unistd.h>

#define AT(field)       offsetof(struct settings, field)
#define COUNT(t)        (sizeof(t) / sizeof((t)[0]))
#define TICK_MS         50
#define CALM_MS         1000 /* a tick's length when nothing is waited for */
#define START_LIMIT_MS  30000
#define DRAIN_LIMIT_MS  35000 /* a little over the 30 s that a worker gives itself; then it is killed */
#define READY_ANSWER_MS 1000
#define LOG_TAIL_BYTES  4096
#define LOG_TAIL_LINES  10
#define LOG_READ_BYTES  (64 * 1024)
#define WORKERS_MAX     (CHILDREN_MAX - 1)

enum stage { UP_BROKER, UP_WORKERS, UP_RUNNING, UP_DRAINING, UP_STOPPING, UP_OVER };

struct up {
    struct client *client;
    struct place place;
    struct child children[CHILDREN_MAX]; /* the first is the broker */
    size_t count;
    enum stage stage;
    uint64_t since_ms; /* of the stage */
    int signals, status;
    char url[256], types[24];
    struct api *api;
};

static void enter(struct up *u, enum stage stage, uint64_t now_ms)
{
    u->stage = stage;
    u->since_ms = now_ms;
}

/* -- logs -- */

bool log_field(const char *line, const char *key, char *out, size_t size)
{
    char json[64], text[64];
    snprintf(json, sizeof json, ",\"%s\":\"", key);
    snprintf(text, sizeof text, " %s=\"", key);
    const char *at = strstr(line, line[0] == '{' ? json : text);
    if (!at)
        return false;
    at += strlen(line[0] == '{' ? json : text);
    size_t len = strcspn(at, "\"\\");
    if (at[len] != '"' || len >= size)
        return false;
    memcpy(out, at, len);
    out[len] = 0;
    return true;
}

bool log_is_ready(const char *line)
{
    char message[32];
    if (line[0] == '{')
        return log_field(line, "message", message, sizeof message) && strcmp(message, "ready") == 0;
    return strstr(line, "patchbay-broker: ready ") != NULL;
}

/* What the child has logged since it was started, the last max bytes of it. */
static pb_err read_log(const struct child *c, size_t max, struct buf *out)
{
    int fd = open(c->log, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return PB_E_IO;
    off_t end = lseek(fd, 0, SEEK_END), from = (off_t)c->log_from;
    if (end - from > (off_t)max)
        from = end - (off_t)max;
    char *bytes = malloc(max);
    ssize_t len = bytes ? pread(fd, bytes, max, from) : -1;
    if (len > 0)
        buf_append(out, bytes, (size_t)len);
    free(bytes);
    close(fd);
    return PB_OK;
}

/* A log line as a person reads it: its message, place and reason; a line of another form as it stands. */
static void print_log_line(const char *line)
{
    char message[128], at[256], reason[600];
    struct buf b;
    buf_init(&b, LOG_TAIL_BYTES * 3);
    buf_text(&b, "    ");
    if (line[0] == '{' && log_field(line, "message", message, sizeof message)) {
        text_safe(&b, message);
        if (log_field(line, "at", at, sizeof at)) {
            buf_text(&b, ": ");
            text_safe(&b, at);
        }
        if (log_field(line, "reason", reason, sizeof reason)) {
            buf_text(&b, ": ");
            text_safe(&b, reason);
        }
    } else {
        text_safe(&b, line);
    }
    fprintf(stderr, "%s\n", buf_peek(&b));
    buf_fini(&b);
}

/* Prints the last lines that it logged. */
static void print_log_tail(const struct child *c)
{
    struct buf log;
    buf_init(&log, LOG_TAIL_BYTES + 1);
    if (read_log(c, LOG_TAIL_BYTES, &log) == PB_OK && log.len) {
        char *lines[LOG_TAIL_LINES] = {0}, *rest = (char *)log.data;
        size_t count = 0;
        for (char *line; (line = strsep(&rest, "\n"));)
            if (*line)
                lines[count++ % LOG_TAIL_LINES] = line;
        for (size_t i = count > LOG_TAIL_LINES ? count - LOG_TAIL_LINES : 0; i < count; i++)
            print_log_line(lines[i % LOG_TAIL_LINES]);
    }
    buf_fini(&log);
}

/* -- addresses -- */

pb_err up_address(const char *listen, const char *port, char *out, size_t size)
{
    const char *colon = strrchr(listen, ':');
    char host[128];
    size_t len = colon ? (size_t)(colon - listen) : 0;
    if (!colon || len >= sizeof host)
        return PB_E_INVALID;
    memcpy(host, listen, len);
    host[len] = 0;
    const char *shown = host;
    if (!len || strcmp(host, "0.0.0.0") == 0 || strcmp(host, "*") == 0)
        shown = "127.0.0.1";
    else if (strcmp(host, "[::]") == 0)
        shown = "[::1]";
    int n = snprintf(out, size, "http://%s:%s", shown, port);
    return n > 0 && (size_t)n < size ? PB_OK : PB_E_LIMIT;
}

/* -- the children's arguments -- */

static const char *number(char out[24], int64_t n)
{
    snprintf(out, 24, "%lld", (long long)n);
    return n ? out : NULL; /* 0: left to the program's own default */
}

static void init_child(struct up *u, const char *program, const char *name)
{
    struct child *c = &u->children[u->count++];
    child_init(c, program);
    snprintf(c->name, sizeof c->name, "%s", name);
    if (asprintf(&c->log, "%s/%s.log", u->place.logs, c->name) < 0) {
        c->log = NULL;
        c->args_failed = true;
    }
}

static void add_broker(struct up *u, const char *cluster)
{
    const struct settings *s = &u->client->settings;
    char lease[24];
    init_child(u, u->place.broker, "broker");
    struct child *c = &u->children[0];
    child_option(c, "--data-dir", u->place.data);
    child_option(c, "--manifests", u->place.manifests);
    child_option(c, "--http-listen", s->http_listen);
    child_option(c, "--cluster-listen", cluster);
    child_option(c, "--cluster-secret", u->place.cluster_secret);
    child_option(c, "--lease-ms", number(lease, s->lease_ms));
    child_option(c, "--log-format", s->log_format);
}

static void add_list(struct child *c, const char *name, const struct option_list *list)
{
    for (size_t i = 0; i < list->count; i++)
        child_option(c, name, list->items[i]);
}

static void add_worker(struct up *u, const char *cluster)
{
    const struct settings *s = &u->client->settings;
    char name[16];
    snprintf(name, sizeof name, "worker-%u", (unsigned)u->count % 1000);
    init_child(u, u->place.worker, name);
    struct child *c = &u->children[u->count - 1];
    child_option(c, "--broker", cluster);
    child_option(c, "--cluster-secret", u->place.cluster_secret);
    child_option(c, "--keyring", u->place.keyring);
    child_option(c, "--manifests", u->place.manifests);
    child_option(c, "--name", name);
    child_option(c, "--ca-file", s->ca_file);
    child_option(c, "--log-format", s->log_format);
    add_list(c, "--connect-to", &s->connect_to);
    add_list(c, "--allow-egress", &s->allow_egress);
}

static void add_children(struct up *u)
{
    char cluster[PLACE_SOCKET_FOLDER_MAX + 16];
    snprintf(cluster, sizeof cluster, "ipc://%s", u->place.run);
    add_broker(u, cluster);
    for (int64_t i = 0; i < u->client->settings.workers; i++)
        add_worker(u, cluster);
}

/* -- starting and ending -- */

static size_t running(const struct up *u, size_t from)
{
    size_t n = 0;
    for (size_t i = from; i < u->count; i++)
        n += u->children[i].pid != 0;
    return n;
}

static void signal_from(const struct up *u, size_t from, int number)
{
    for (size_t i = from; i < u->count; i++)
        child_signal(&u->children[i], number);
}

/* Workers first: they hand what they hold back while the broker is there to take it. */
static void stop(struct up *u, uint64_t now_ms)
{
    for (size_t i = 0; i < u->count; i++)
        u->children[i].start_at_ms = 0;
    signal_from(u, 1, SIGTERM);
    enter(u, UP_DRAINING, now_ms);
}

static void fail(struct up *u, const struct pb_why *why, uint64_t now_ms)
{
    u->status = client_fail(u->client, CLIENT_NO, why);
    stop(u, now_ms);
}

/* Before all is up, what cannot be started ends it; later it is tried again. */
static void start(struct up *u, struct child *c, uint64_t now_ms)
{
    struct pb_why why = {0};
    if (child_start(c, now_ms, &why) == PB_OK)
        return;
    if (u->stage < UP_RUNNING) {
        fail(u, &why, now_ms);
        return;
    }
    c->started_ms = now_ms;
    child_plan_restart(c, now_ms);
    client_fail(u->client, CLIENT_NO, &why);
}

/* It ended though nobody told it to. While starting that is the end of it all; later it starts again. */
static void on_death(struct up *u, struct child *c, uint64_t now_ms)
{
    char how[64];
    child_how_ended(c, how, sizeof how);
    if (u->stage >= UP_DRAINING)
        return;
    if (u->stage == UP_RUNNING) {
        child_plan_restart(c, now_ms);
        printf("%s ended by itself (%s) and starts again in %.1f s; see %s\n", c->name, how,
               c->pause_ms / 1000.0, c->log);
        fflush(stdout);
        return;
    }
    u->status = client_say(u->client, CLIENT_NO, "%s ended while starting (%s); the end of %s:", c->name, how,
                           c->log);
    print_log_tail(c);
    stop(u, now_ms);
}

static void tend_children(struct up *u, uint64_t now_ms)
{
    for (size_t i = 0; i < u->count; i++) {
        struct child *c = &u->children[i];
        if (child_reap(c))
            on_death(u, c, now_ms);
        if (c->start_at_ms && c->start_at_ms <= now_ms && u->stage == UP_RUNNING)
            start(u, c, now_ms);
    }
}

/* -- the stages -- */

/* A port that the broker chose is its own after a restart, too: the later of two options counts. */
static void keep_port(struct up *u, const char *port)
{
    const char *listen = u->client->settings.http_listen, *colon = strrchr(listen, ':');
    char fixed[160];
    if (!colon || strcmp(colon, ":0") != 0)
        return;
    snprintf(fixed, sizeof fixed, "%.*s:%s", (int)(colon - listen), listen, port);
    child_option(&u->children[0], "--http-listen", fixed);
}

/* The broker's "ready" line names its port, also where it chose one. */
static bool find_ready(struct up *u)
{
    struct buf log;
    char port[8];
    bool found = false;
    buf_init(&log, LOG_READ_BYTES + 1);
    if (read_log(&u->children[0], LOG_READ_BYTES, &log) == PB_OK && log.len) {
        char *rest = (char *)log.data;
        for (char *line; !found && (line = strsep(&rest, "\n"));) {
            found = rest && log_is_ready(line) && log_field(line, "port", port, sizeof port) &&
                    up_address(u->client->settings.http_listen, port, u->url, sizeof u->url) == PB_OK;
            if (found && !log_field(line, "types", u->types, sizeof u->types))
                u->types[0] = 0;
            if (found)
                keep_port(u, port);
        }
    }
    buf_fini(&log);
    return found;
}

static void await_broker(struct up *u, uint64_t now_ms)
{
    struct pb_why why = {0};
    struct secret none = {0};
    if (!find_ready(u))
        return;
    if (api_open(u->url, &none, &u->api, &why) != PB_OK) {
        fail(u, &why, now_ms);
        return;
    }
    enter(u, UP_WORKERS, now_ms);
    for (size_t i = 1; i < u->count && u->stage == UP_WORKERS; i++)
        start(u, &u->children[i], now_ms);
}

static void print_token(const struct up *u)
{
    char token[128] = "";
    FILE *f = fopen(u->place.admin_token, "re");
    if (!f || !fgets(token, sizeof token, f))
        token[0] = 0;
    if (f)
        fclose(f);
    token[strcspn(token, "\r\n")] = 0;
    if (u->place.first_time && token[0])
        printf("  token    %s (kept in %s)\n", token, u->place.admin_token);
    else
        printf("  token    in %s\n", u->place.admin_token);
}

static void print_banner(const struct up *u)
{
    const struct settings *s = &u->client->settings;
    bool color = u->client->term.color, usual = strcmp(u->url, ACCESS_URL_DEFAULT) == 0;
    printf("%spatchbay %s is up at %s%s\n", style_start(STYLE_STRONG, color), PB_VERSION, u->url,
           style_end(STYLE_STRONG, color));
    print_token(u);
    if (u->types[0])
        printf("  types    %s\n", u->types);
    printf("  workers  %lld\n  logs     %s\n", (long long)s->workers, u->place.logs);
    printf("  next     %s%s%spatchbay types%s%s\n", usual ? "" : "PATCHBAY_URL=", usual ? "" : u->url,
           usual ? "" : " ", strcmp(s->data_dir, "data") == 0 ? "" : " --data-dir ",
           strcmp(s->data_dir, "data") == 0 ? "" : s->data_dir);
    printf("Ctrl-C stops it all.\n");
    fflush(stdout);
}

static void await_workers(struct up *u, uint64_t now_ms)
{
    struct pb_why why = {0};
    struct api_answer answer = {0};
    struct api_request request = {.method = "GET", .path = "/readyz", .limit_ms = READY_ANSWER_MS};
    if (api_call(u->api, &request, &answer, &why) != PB_OK)
        return;
    const json_t *workers = json_object_get(answer.body, "workers");
    if (answer.status == 200 && (!workers || json_integer_value(workers) >= u->client->settings.workers)) {
        enter(u, UP_RUNNING, now_ms);
        print_banner(u);
        api_close(u->api); /* its connection is not for children that start later */
        u->api = NULL;
    }
    api_answer_fini(&answer);
}

static void check_limit(struct up *u, uint64_t now_ms)
{
    if (u->stage > UP_WORKERS || now_ms < u->since_ms + START_LIMIT_MS)
        return;
    const struct child *c = &u->children[u->stage == UP_BROKER ? 0 : 1];
    u->status = client_say(u->client, CLIENT_NO, "%s within %d s; the end of %s:",
                           u->stage == UP_BROKER ? "the broker does not listen" : "the workers did not join",
                           START_LIMIT_MS / 1000, c->log);
    print_log_tail(c);
    stop(u, now_ms);
}

static void drain(struct up *u, uint64_t now_ms)
{
    bool broker = u->stage == UP_STOPPING;
    size_t from = broker ? 0 : 1;
    if (now_ms >= u->since_ms + DRAIN_LIMIT_MS)
        signal_from(u, from, SIGKILL);
    if (running(u, from))
        return;
    if (broker) {
        enter(u, UP_OVER, now_ms);
    } else {
        child_signal(&u->children[0], SIGTERM);
        enter(u, UP_STOPPING, now_ms);
    }
}

static void idle(struct up *u, uint64_t now_ms)
{
    (void)u;
    (void)now_ms;
}

static void step(struct up *u, uint64_t now_ms)
{
    static void (*const steps[])(struct up *, uint64_t) = {
        [UP_BROKER] = await_broker, [UP_WORKERS] = await_workers, [UP_RUNNING] = idle,
        [UP_DRAINING] = drain,      [UP_STOPPING] = drain,        [UP_OVER] = idle};
    steps[u->stage](u, now_ms);
    check_limit(u, now_ms);
}

/* -- the loop -- */

static void on_signals(struct up *u, uint64_t now_ms)
{
    struct signalfd_siginfo info;
    while (read(u->signals, &info, sizeof info) == (ssize_t)sizeof info) {
        if (info.ssi_signo == SIGCHLD)
            continue; /* the children are looked at anyway */
        if (u->stage >= UP_DRAINING) {
            signal_from(u, 0, SIGKILL);
        } else {
            printf("stopping ...\n");
            fflush(stdout);
            stop(u, now_ms);
        }
    }
}

static int pause_of(const struct up *u, uint64_t now_ms)
{
    uint64_t pause_ms = u->stage == UP_RUNNING ? CALM_MS : TICK_MS;
    for (size_t i = 0; i < u->count; i++) {
        uint64_t at_ms = u->children[i].start_at_ms;
        if (at_ms && at_ms < now_ms + pause_ms)
            pause_ms = at_ms > now_ms ? at_ms - now_ms : 0;
    }
    return (int)pause_ms;
}

static void await_events(const struct up *u, uint64_t now_ms)
{
    struct pollfd fds[CHILDREN_MAX + 1] = {{.fd = u->signals, .events = POLLIN}};
    for (size_t i = 0; i < u->count; i++)
        fds[i + 1] = (struct pollfd){.fd = u->children[i].pidfd, .events = POLLIN}; /* -1 is passed over */
    poll(fds, u->count + 1, pause_of(u, now_ms));
}

static void loop(struct up *u)
{
    enter(u, UP_BROKER, clock_mono_ms());
    start(u, &u->children[0], u->since_ms);
    while (u->stage != UP_OVER) {
        await_events(u, clock_mono_ms());
        uint64_t now_ms = clock_mono_ms();
        on_signals(u, now_ms);
        tend_children(u, now_ms);
        step(u, now_ms);
    }
}

static pb_err open_signals(struct up *u, struct pb_why *why)
{
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGINT);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGHUP);
    sigaddset(&set, SIGCHLD);
    sigprocmask(SIG_BLOCK, &set, NULL);
    u->signals = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
    return u->signals < 0 ? pb_fail(why, PB_E_IO, NULL, "signals: %s", strerror(errno)) : PB_OK;
}

static int run(struct client *c)
{
    struct up *u = calloc(1, sizeof *u);
    struct pb_why why = {0};
    int status = CLIENT_NO;
    if (!u)
        return client_say(c, CLIENT_NO, "out of memory");
    u->client = c;
    u->signals = -1;
    unsetenv("PATCHBAY_TOKEN"); /* no business of the children */
    if (c->settings.store)      /* may hold a password: arguments are everybody's to read */
        setenv("PATCHBAY_STORE", c->settings.store, 1);
    pb_err err = place_open(c->settings.data_dir, c->settings.manifests, &u->place, &why);
    if (!err)
        err = open_signals(u, &why);
    if (err) {
        status = client_fail(c, CLIENT_NO, &why);
    } else {
        add_children(u);
        loop(u);
        status = u->status;
    }
    for (size_t i = 0; i < u->count; i++)
        child_fini(&u->children[i]);
    api_close(u->api);
    if (u->signals >= 0)
        close(u->signals);
    place_close(&u->place);
    free(u);
    return status;
}

static const struct option options[] = {
    {"workers", OPTION_NUMBER, AT(workers), "2", 1, WORKERS_MAX, "N", "how many workers"},
    {"http-listen", OPTION_TEXT, AT(http_listen), "127.0.0.1:7400", 0, 0, "HOST:PORT",
     "address of the HTTP API"},
    {"manifests", OPTION_TEXT, AT(manifests), NULL, 0, 0, "DIR",
     "folder of packages (default: ./manifests, else the installed ones)"},
    {"store", OPTION_TEXT, AT(store), NULL, 0, 0, "URL",
     "sqlite:FILE (default: patchbay.db in the data folder) or mongodb://HOSTS/DATABASE?OPTIONS"},
    {"ca-file", OPTION_TEXT, AT(ca_file), NULL, 0, 0, "FILE", "CAs that workers trust beside the system's"},
    {"connect-to", OPTION_LIST, AT(connect_to), NULL, 0, 0, "H:P:A:P",
     "reach a provider elsewhere, as with curl"},
    {"allow-egress", OPTION_LIST, AT(allow_egress), NULL, 0, 0, "CIDR",
     "private addresses that tests may go to"},
    {"lease-ms", OPTION_NUMBER, AT(lease_ms), NULL, 200, 600000, "MS",
     "silence after which a worker is given up"},
    {"log-format", OPTION_TEXT, AT(log_format), "json", 0, 0, "FORMAT", "of the log files: json or text"},
};

const struct command command_up = {
    .name = "up",
    .arguments = "",
    .summary = "start a broker and workers here, and stop them together",
    .details =
        "Makes the data folder with its keys where there is none. A process that dies is started again.\n"
        "Ctrl-C lets the workers finish, then stops the broker; once more ends all at once.",
    .options = options,
    .option_count = COUNT(options),
    .run = run,
};
