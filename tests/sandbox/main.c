/* patchbay-sandbox: a test double that answers as Stripe's and Slack's APIs do, on loopback unless told
 * otherwise. How it answers is chosen by the key a request carries; see --help. It ends on SIGTERM or SIGINT,
 * and when its parent dies.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <getopt.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "behaviour.h"
#include "server.h"

enum { NAMES_MAX = 32, EXIT_USAGE = 2 };

struct options {
    struct server_config server;
    const char *ca_file; /* NULL: not written */
    const char *names[NAMES_MAX];
    size_t name_count;
    bool help;
};

/* ---- options ---- */

static bool read_number(const char *text, unsigned long max, unsigned long *out)
{
    char *end;
    errno = 0;
    unsigned long n = strtoul(text, &end, 10);
    if (errno || end == text || *end || text[0] == '-' || n > max)
        return false;
    *out = n;
    return true;
}

static bool read_port(const char *text, uint16_t *out)
{
    unsigned long n;
    if (!read_number(text, UINT16_MAX, &n))
        return false;
    *out = (uint16_t)n;
    return true;
}

static bool set_address(struct options *o, const char *text)
{
    return inet_pton(AF_INET, text, &o->server.address) == 1;
}

static bool set_https_port(struct options *o, const char *text)
{
    return read_port(text, &o->server.https_port);
}

static bool set_http_port(struct options *o, const char *text)
{
    return read_port(text, &o->server.http_port);
}

static bool set_ca_file(struct options *o, const char *text)
{
    o->ca_file = text;
    return text[0] != '\0';
}

static bool add_host(struct options *o, const char *text)
{
    if (!text[0] || o->name_count == NAMES_MAX)
        return false;
    o->names[o->name_count++] = text;
    return true;
}

static bool set_latency(struct options *o, const char *text)
{
    unsigned long n;
    if (!read_number(text, DELAY_MAX_MS, &n))
        return false;
    o->server.latency_ms = n;
    return true;
}

static bool set_help(struct options *o, const char *text)
{
    (void)text;
    o->help = true;
    return true;
}

static const struct flag {
    const char *name, *argument; /* argument NULL: takes none */
    bool (*set)(struct options *o, const char *text);
    const char *does;
} flags[] = {
    {"listen", "ADDRESS", set_address, "IPv4 address to listen on (127.0.0.1)"},
    {"https-port", "N", set_https_port, "port for HTTPS; 0, the default, for any free one"},
    {"http-port", "N", set_http_port, "port for HTTP; 0, the default, for any free one"},
    {"ca-file", "FILE", set_ca_file, "write the certificate authority's certificate here (PEM)"},
    {"host", "NAME", add_host, "one more name for the server certificate; may be repeated"},
    {"latency-ms", "N", set_latency, "wait this long before each answer"},
    {"help", NULL, set_help, "print this and stop"},
};

enum { FLAG_COUNT = sizeof flags / sizeof flags[0] };

static void print_help(void)
{
    printf("usage: patchbay-sandbox [options]\n"
           "Answers as api.stripe.com (GET /v1/account) and slack.com (POST /api/auth.test) do.\n"
           "Prints {\"https\":PORT,\"http\":PORT,\"caFile\":FILE} when it is ready.\n\n");
    for (size_t i = 0; i < FLAG_COUNT; i++)
        printf("  --%s %s%*s%s\n", flags[i].name, flags[i].argument ? flags[i].argument : "",
               (int)(16 - strlen(flags[i].name) - (flags[i].argument ? strlen(flags[i].argument) : 0)), "",
               flags[i].does);
    printf("\nA key's text after sk_test_, sk_live_, rk_test_, rk_live_, xoxb- or xoxp- begins with a "
           "word:\n\n");
    behaviour_help(stdout);
    printf("\nAn rk_ key with \"scope\" anywhere in it lacks the permission.\n"
           "GET /__sandbox/requests says what was asked; POST /__sandbox/reset begins to count anew.\n");
}

static void long_options(struct option out[FLAG_COUNT + 1])
{
    for (size_t i = 0; i < FLAG_COUNT; i++)
        out[i] = (struct option){.name = flags[i].name,
                                 .has_arg = flags[i].argument ? required_argument : no_argument};
    out[FLAG_COUNT] = (struct option){0};
}

static bool read_options(struct options *o, int argc, char **argv)
{
    struct option known[FLAG_COUNT + 1];
    int got, which = 0;
    long_options(known);
    while ((got = getopt_long(argc, argv, "", known, &which)) != -1) {
        if (got == '?')
            return false;
        if (!flags[which].set(o, optarg)) {
            fprintf(stderr, "patchbay-sandbox: --%s: cannot use \"%s\"\n", flags[which].name, optarg);
            return false;
        }
    }
    if (optind < argc)
        fprintf(stderr, "patchbay-sandbox: unexpected argument \"%s\"\n", argv[optind]);
    return optind == argc;
}

/* ---- life ---- */

/* Blocked before the first thread starts, so that only wait_for_end ever takes them. */
static void block_signals(sigset_t *ends)
{
    sigemptyset(ends);
    sigaddset(ends, SIGTERM);
    sigaddset(ends, SIGINT);
    pthread_sigmask(SIG_BLOCK, ends, NULL);
    signal(SIGPIPE, SIG_IGN);
}

/* A test that is killed must not leave its sandbox behind. False if the parent died before this was asked. */
static bool die_with_parent(pid_t parent)
{
    return prctl(PR_SET_PDEATHSIG, SIGTERM) == 0 && getppid() == parent;
}

static bool write_file(const char *path, const char *text)
{
    FILE *f = fopen(path, "we");
    if (!f)
        return false;
    bool written = fputs(text, f) >= 0;
    return fclose(f) == 0 && written;
}

static bool say_ready(const struct server *s, const char *ca_file)
{
    json_t *line = json_pack("{s:i, s:i, s:s?}", "https", (int)server_https_port(s), "http",
                             (int)server_http_port(s), "caFile", ca_file);
    int failed = line ? json_dumpf(line, stdout, JSON_COMPACT) : -1;
    json_decref(line);
    return !failed && putchar('\n') != EOF && fflush(stdout) == 0;
}

static int fail(const char *what, const char *why)
{
    fprintf(stderr, "patchbay-sandbox: %s: %s\n", what, why);
    return EXIT_FAILURE;
}

static int serve(const struct options *o, const struct cert *cert, const sigset_t *ends)
{
    const char *error;
    int signal_number;
    if (o->ca_file && !write_file(o->ca_file, cert->ca_pem))
        return fail(o->ca_file, strerror(errno));
    struct server *s = server_open(&o->server, cert, &error);
    if (!s)
        return fail("start", error);
    bool ready = say_ready(s, o->ca_file);
    if (ready)
        sigwait(ends, &signal_number);
    server_close(s);
    return ready ? EXIT_SUCCESS : fail("standard output", "cannot be written");
}

int main(int argc, char **argv)
{
    pid_t parent = getppid();
    struct options o = {.server.address.s_addr = htonl(INADDR_LOOPBACK),
                        .names = {"api.stripe.com", "slack.com", "localhost"},
                        .name_count = 3};
    struct cert cert = {0};
    sigset_t ends;
    const char *error;
    if (!read_options(&o, argc, argv))
        return EXIT_USAGE;
    if (o.help) {
        print_help();
        return EXIT_SUCCESS;
    }
    block_signals(&ends);
    if (!die_with_parent(parent))
        return EXIT_SUCCESS;
    if (!cert_make(&cert, o.names, o.name_count, &error))
        return fail("certificate", error);
    int status = serve(&o, &cert, &ends);
    cert_fini(&cert);
    return status;
}
