/* patchbay-broker: hands jobs to workers and keeps what they find out. This file is the table of contents:
 * settings, then the parts in the order they need each other, the loop, and the same in reverse. */
#include "broker/batches.h"
#include "broker/board/board.h"
#include "broker/broker.h"
#include "broker/control.h"
#include "broker/effects.h"
#include "broker/http/auth.h"
#include "broker/http/http.h"
#include "broker/intake.h"
#include "broker/journal.h"
#include "broker/keeper.h"
#include "broker/links.h"
#include "broker/loop.h"
#include "broker/members.h"
#include "broker/outage.h"
#include "broker/payloads.h"
#include "broker/reader.h"
#include "broker/schedules.h"
#include "broker/spec.h"
#include "common/channel.h"
#include "common/clock.h"
#include "common/config.h"
#include "common/process.h"
#include "common/store.h"

#include <sodium.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define END_MS 2000 /* for what is left when all is done */

#define AT(field) offsetof(struct broker_settings, field)

static const struct option options[] = {
    {"data-dir", OPTION_TEXT, AT(data_dir), "data", 0, 0, "DIR",
     "folder for admin.token and the embedded store"},
    {"store", OPTION_TEXT, AT(store), NULL, 0, 0, "URL",
     "where everything durable lives: sqlite:FILE (default: patchbay.db in the data folder) or "
     "mongodb://HOSTS/DATABASE?OPTIONS"},
    {"manifests", OPTION_TEXT, AT(manifests), "manifests", 0, 0, "DIR", "folder of integration packages"},
    {"http-listen", OPTION_TEXT, AT(http_listen), "127.0.0.1:7400", 0, 0, "HOST:PORT",
     "address of the HTTP API"},
    {"cluster-listen", OPTION_TEXT, AT(cluster_listen), "ipc://data/run", 0, 0, "URL",
     "where workers say hello: ipc://FOLDER or tcp://HOST:PORT (PORT + 1 takes their reports)"},
    {"cluster-secret", OPTION_TEXT, AT(cluster_secret), "data/cluster.secret", 0, 0, "FILE",
     "file of the secret that every member of the cluster knows"},
    {"lease-ms", OPTION_NUMBER, AT(lease_ms), "10000", 200, 600000, "MS",
     "silence after which a worker's jobs are taken back"},
    {"tenant-jobs", OPTION_NUMBER, AT(tenant_jobs), "200000", 1, LIMIT_JOBS_LIVE, "N",
     "unfinished jobs that one tenant may have; past that it is told to come back later"},
    {"tenant-concurrency", OPTION_NUMBER, AT(tenant_concurrency), "0", 0, 1000000, "N",
     "attempts of one tenant that may run at a time; 0 is any number"},
    {"keeper-jobs", OPTION_NUMBER, AT(keeper_jobs), "1024", 0, 100000, "N",
     "tests of integrations that are due, at a time; 0: none is tested unasked"},
    {"keep-days", OPTION_NUMBER, AT(keep_days), "7", 0, 36500, "DAYS", "how long jobs that ended are kept"},
    {"keep-dead-days", OPTION_NUMBER, AT(keep_dead_days), "30", 0, 36500, "DAYS",
     "how long jobs that were given up are kept, with what they need to be sent again"},
    {"keep-jobs", OPTION_NUMBER, AT(keep_jobs), "100000", 0, INT64_C(1000000000), "N",
     "how many of each are kept at most"},
    {"log-format", OPTION_TEXT, AT(log_format), "json", 0, 0, "FORMAT", "json or text"},
    {"log-level", OPTION_TEXT, AT(log_level), "info", 0, 0, "LEVEL", "debug, info, warn or error"},
};

static const struct program program = {"patchbay-broker",
                                       "hands connection setups and validations to patchbay-worker processes",
                                       options, sizeof options / sizeof options[0]};

/* -- what is in the store already -- */

static pb_err load_job(void *arg, const struct job *job)
{
    struct broker *b = arg;
    struct board_event e = {
        .kind = BOARD_LOADED, .job = job->id, .integration = job->integration, .spec = spec_of(b, job)};
    effects_step(b, &e);
    return PB_OK;
}

struct page {
    struct broker *broker;
    struct pb_id last;
    size_t count;
};

static pb_err load_one(void *arg, const struct job *job)
{
    struct page *page = arg;
    page->last = job->id;
    page->count++;
    return load_job(page->broker, job);
}

static pb_err load_jobs(struct broker *b, struct store *store, struct pb_why *why)
{
    const size_t page_size = 1000;
    const struct store_job_filter waiting = {.state = JOB_WAITING};
    struct page page = {.broker = b};
    pb_err err;
    do {
        struct pb_id after = page.last;
        page.count = 0;
        err = store_list_jobs(store, &waiting, &after, page_size, load_one, &page, why);
    } while (!err && page.count == page_size);
    return err;
}

static pb_err load_seal_key(struct broker *b, struct store *store, struct pb_why *why)
{
    char *hex = NULL;
    size_t len = 0;
    pb_err err = store_get_meta(store, BROKER_META_SEAL_KEY, &hex, why);
    if (err)
        return err == PB_E_NOT_FOUND ? PB_OK : err;
    b->have_seal_key =
        sodium_hex2bin(b->seal_key, sizeof b->seal_key, hex, strlen(hex), NULL, &len, NULL) == 0 &&
        len == sizeof b->seal_key;
    free(hex);
    return PB_OK;
}

/* -- the parts -- */

static pb_err open_store(struct broker *b, struct store **store, struct pb_why *why)
{
    store_log(&b->log);
    pb_err err = store_open(b->settings.store, false, store, why);
    if (!err)
        err = store_next_epoch(*store, &b->epoch, why);
    if (!err)
        err = auth_open(b, *store, &b->auth, why);
    if (!err)
        err = load_seal_key(b, *store, why);
    return err;
}

static pb_err open_board(struct broker *b, struct store *store, struct pb_why *why)
{
    struct board_settings settings = {
        .epoch = b->epoch,
        .recovery_ms = (uint32_t)b->settings.lease_ms,
        .backoff_ms = 500,
        .backoff_max_ms = 300000,
        .jobs_max = LIMIT_JOBS_LIVE,
        .defaults[KEY_TENANT] = {.jobs_max = (uint32_t)b->settings.tenant_jobs,
                                 .concurrency = (uint32_t)b->settings.tenant_concurrency},
    };
    randombytes_buf(&settings.seed, sizeof settings.seed);
    randombytes_buf(b->name_key, sizeof b->name_key);
    b->now_ms = clock_mono_ms(); /* no turn of the loop has set it yet, and loading takes it */
    pb_err err = board_new(&settings, &b->board);
    if (!err)
        err = effects_open(&b->effects);
    if (!err)
        err = intake_open(&b->intake);
    if (!err)
        err = payloads_open(b, &b->payloads);
    if (!err)
        err = control_open(b, store, &b->control, why);
    if (!err)
        err = batches_open(b, store, &b->batches, why);
    if (!err)
        err = schedules_open(b, store, &b->schedules, why);
    if (!err)
        err = keeper_open(b, (size_t)b->settings.keeper_jobs, &b->keeper);
    if (!err)
        err = outages_open(&b->outages);
    return err ? err : load_jobs(b, store, why);
}

static pb_err open_links(struct broker *b, const uint8_t *psk, struct pb_why *why)
{
    uint32_t lease_ms = (uint32_t)b->settings.lease_ms;
    struct links_settings settings = {
        .listen = b->settings.cluster_listen,
        .secret = psk,
        .lease_ms = lease_ms,
        .beat_ms = lease_ms / 4,
        .epoch = b->epoch,
        .store = "sqlite",
    };
    return links_open(&settings, &b->log, &members_of_links, b, &b->links, why);
}

static pb_err open_parts(struct broker *b, uint8_t psk[CHANNEL_PSK_BYTES], struct pb_why *why)
{
    struct store *store = NULL;
    pb_err err = channel_read_secret(b->settings.cluster_secret, psk, why);
    if (!err)
        err = manifests_open(b->settings.manifests, &b->log, &b->types, why);
    if (!err)
        err = open_store(b, &store, why);
    if (!err)
        err = open_board(b, store, why);
    if (!err)
        err = reader_open(b->settings.store, &b->reader, why);
    if (!err)
        err = journal_open(store, &b->log, &b->journal, why);
    if (err) {
        store_close(store);
        return err;
    }
    err = open_links(b, psk, why);
    if (!err)
        err = http_open(b, b->settings.http_listen, &b->http, why);
    return err ? err : loop_open(b, &b->loop, why);
}

static void close_parts(struct broker *b)
{
    b->draining = b->stopped = true;
    loop_close(b->loop);
    if (b->intake)
        intake_close(b);
    reader_close(b->reader);
    journal_close(b->journal);
    batches_close(b->batches);
    schedules_close(b->schedules); /* the batches that it has asked for have answered it */
    keeper_close(b->keeper);
    http_close(b->http); /* by now whoever waited for one of the above has been answered */
    links_close(b->links);
    control_close(b->control);
    payloads_close(b->payloads);
    effects_close(b->effects);
    board_free(b->board);
    outages_close(b->outages);
    auth_close(b->auth);
    manifests_close(b->types);
}

/* -- settings -- */

static pb_err read_settings(struct broker *b, struct pb_why *why)
{
    static const char *const formats[] = {"json", "text", NULL}, *const levels[] = {"debug", "info", "warn",
                                                                                    "error", NULL};
    int format = LOG_JSON, level = LOG_INFO;
    pb_err err = config_one_of("--log-format", b->settings.log_format, formats, &format, why);
    if (!err)
        err = config_one_of("--log-level", b->settings.log_level, levels, &level, why);
    if (err)
        return err;
    b->log = (struct log){
        .fd = 2, .format = (enum log_format)format, .level = (enum log_level)level, .program = program.name};
    if (!b->settings.store && asprintf(&b->settings.store, "sqlite:%s/patchbay.db", b->settings.data_dir) < 0)
        return PB_E_MEMORY;
    return PB_OK;
}

static void say_ready(struct broker *b)
{
    char store[STORE_SHOWN_BYTES];
    store_shown(b->settings.store, store);
    log_line(&b->log, LOG_INFO, "ready", "http", b->settings.http_listen, "port",
             log_int((char[24]){0}, http_port(b->http)), "cluster", b->settings.cluster_listen, "store",
             store, "types", log_int((char[24]){0}, (long long)manifests_count(b->types)), "waitingJobs",
             log_int((char[24]){0}, (long long)board_live(b->board)), NULL);
}

int main(int argc, char **argv)
{
    struct broker b = {.log = {.fd = 2, .format = LOG_TEXT, .level = LOG_INFO, .program = program.name}};
    struct pb_why why = {0};
    uint8_t psk[CHANNEL_PSK_BYTES];
    int status;
    if (!process_begin(&program, argc, argv, &b.settings, &status))
        return status;
    pb_err err = read_settings(&b, &why);
    if (!err)
        err = open_parts(&b, psk, &why);
    if (!err) {
        say_ready(&b);
        loop_run(&b);
        log_line(&b.log, LOG_INFO, "stopping", NULL);
    } else {
        log_why(&b.log, LOG_ERROR, "cannot start", err, &why);
    }
    close_parts(&b);
    process_end_within(END_MS, err ? 1 : 0);
    sodium_memzero(psk, sizeof psk);
    config_fini(&program, &b.settings);
    return err ? 1 : 0;
}
