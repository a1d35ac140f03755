/* patchbay-worker: runs the tests that a broker hands out. Keeps nothing of its own; any number may run. */
#include "common/channel.h"
#include "common/config.h"
#include "common/keyring.h"
#include "common/manifest.h"
#include "common/process.h"
#include "worker/link.h"
#include "worker/loop.h"
#include "worker/runner.h"
#include "worker/transfer.h"

#include <curl/curl.h>
#include <sodium.h>
#include <stddef.h>
#include <stdio.h>
#include <unistd.h>

#define END_MS 2000 /* for what is left when all is done */

struct worker_settings {
    char *broker, *cluster_secret, *keyring, *manifests, *name, *ca_file, *log_format;
    struct option_list connect_to, allow_egress;
    int64_t capacity, timeout_ms;
};

#define AT(field) offsetof(struct worker_settings, field)

static const struct option options[] = {
    {"broker", OPTION_TEXT, AT(broker), "ipc://data/run", 0, 0, "URL",
     "the broker's --cluster-listen: ipc://FOLDER or tcp://HOST:PORT"},
    {"cluster-secret", OPTION_TEXT, AT(cluster_secret), "data/cluster.secret", 0, 0, "FILE",
     "file of the secret that every member of the cluster knows"},
    {"keyring", OPTION_TEXT, AT(keyring), "data/keyring", 0, 0, "FILE",
     "file of the master keys (patchbay keys init makes one)"},
    {"manifests", OPTION_TEXT, AT(manifests), "manifests", 0, 0, "DIR", "folder of integration packages"},
    {"name", OPTION_TEXT, AT(name), NULL, 0, 0, "NAME",
     "how it is called in lists and logs (default: host and process id)"},
    {"capacity", OPTION_NUMBER, AT(capacity), "256", 1, LIMIT_CAPACITY, "N", "jobs at a time"},
    {"timeout-ms", OPTION_NUMBER, AT(timeout_ms), "10000", 100, LIMIT_TRANSFER_TIMEOUT_MS, "MS",
     "for a provider request whose package names none"},
    {"ca-file", OPTION_TEXT, AT(ca_file), NULL, 0, 0, "FILE", "PEM file of CAs to trust beside the system's"},
    {"connect-to", OPTION_LIST, AT(connect_to), NULL, 0, 0, "HOST:PORT:ADDRESS:PORT",
     "reach a provider at another address, as curl's option"},
    {"allow-egress", OPTION_LIST, AT(allow_egress), NULL, 0, 0, "CIDR",
     "private addresses that provider requests may go to"},
    {"log-format", OPTION_TEXT, AT(log_format), "json", 0, 0, "FORMAT", "json or text"},
};

static const struct program program = {"patchbay-worker",
                                       "tests connections to third-party services for a patchbay-broker",
                                       options, sizeof options / sizeof options[0]};

struct worker {
    struct worker_settings settings;
    struct log log;
    uint8_t psk[CHANNEL_PSK_BYTES];
    char name[LIMIT_WORKER_NAME + 1];
    struct keyring *keyring;
    struct manifests *types;
    struct transfer *transfer;
    struct runner *runner;
    struct link *link;
};

static void on_attempt(void *arg, const struct wire_attempt *attempt)
{
    struct worker *w = arg;
    runner_start(w->runner, attempt);
}

static void on_cancel(void *arg, uint64_t fence)
{
    struct worker *w = arg;
    runner_cancel(w->runner, fence);
}

static void on_outcome(void *arg, const struct wire_outcome *outcome)
{
    struct worker *w = arg;
    link_outcome(w->link, outcome);
}

static pb_err open_transfer(struct worker *w, struct pb_why *why)
{
    const struct worker_settings *s = &w->settings;
    struct transfer_settings settings = {
        .ca_file = s->ca_file,
        .allow = (const char *const *)s->allow_egress.items,
        .allow_count = s->allow_egress.count,
        .connect_to = (const char *const *)s->connect_to.items,
        .connect_to_count = s->connect_to.count,
        .timeout_ms = (uint32_t)s->timeout_ms,
        .max_in_flight = (size_t)s->capacity,
        .user_agent = "patchbay/" PB_VERSION,
    };
    return transfer_open(&settings, &w->log, &w->transfer, why);
}

static pb_err open_link(struct worker *w, struct pb_why *why)
{
    static const struct link_events events = {.attempt = on_attempt, .cancel = on_cancel};
    struct link_settings settings = {
        .broker = w->settings.broker,
        .psk = w->psk,
        .seal_key = keyring_public(w->keyring),
        .name = w->name,
        .version = PB_VERSION,
        .capacity = (uint32_t)w->settings.capacity,
        .types = w->types,
    };
    return link_open(&settings, &w->log, &events, w, &w->link, why);
}

static pb_err open_parts(struct worker *w, struct pb_why *why)
{
    pb_err err = channel_read_secret(w->settings.cluster_secret, w->psk, why);
    if (!err)
        err = keyring_open(w->settings.keyring, &w->keyring, why);
    if (!err)
        err = manifests_open(w->settings.manifests, &w->log, &w->types, why);
    if (!err)
        err = open_transfer(w, why);
    if (err)
        return err;
    struct runner_settings settings = {.types = w->types, .keyring = w->keyring, .transfer = w->transfer};
    err = runner_open(&settings, &w->log, on_outcome, w, &w->runner);
    return err ? err : open_link(w, why);
}

static void close_parts(struct worker *w)
{
    runner_close(w->runner);
    link_close(w->link);
    transfer_close(w->transfer);
    manifests_close(w->types);
    keyring_close(w->keyring);
    sodium_memzero(w->psk, sizeof w->psk);
}

static pb_err read_settings(struct worker *w, struct pb_why *why)
{
    char host[40] = "worker";
    static const char *const formats[] = {"json", "text", NULL};
    int format = LOG_JSON;
    pb_err err = config_one_of("--log-format", w->settings.log_format, formats, &format, why);
    if (err)
        return err;
    w->log.format = (enum log_format)format;
    gethostname(host, sizeof host - 1);
    if (w->settings.name)
        snprintf(w->name, sizeof w->name, "%s", w->settings.name);
    else
        snprintf(w->name, sizeof w->name, "%s-%d", host, (int)getpid());
    return PB_OK;
}

int main(int argc, char **argv)
{
    struct worker w = {.log = {.fd = 2, .format = LOG_TEXT, .level = LOG_INFO, .program = program.name}};
    struct pb_why why = {0};
    int status;
    if (!process_begin(&program, argc, argv, &w.settings, &status))
        return status;
    pb_err err = curl_global_init(CURL_GLOBAL_DEFAULT) == 0 ? read_settings(&w, &why) : PB_E_MEMORY;
    if (!err)
        err = open_parts(&w, &why);
    if (!err) {
        log_line(&w.log, LOG_INFO, "started", "worker", w.name, "broker", w.settings.broker, NULL);
        err = loop_run(w.link, w.transfer, w.runner, &why);
    }
    if (err)
        log_why(&w.log, LOG_ERROR, "cannot run", err, &why);
    else
        log_line(&w.log, LOG_INFO, "stopped", "worker", w.name, NULL);
    process_end_within(END_MS, err ? 1 : 0);
    close_parts(&w);
    config_fini(&program, &w.settings);
    curl_global_cleanup();
    return err ? 1 : 0;
}
