/* The broker as a whole: what its parts share. All fields belong to the loop's thread. */
#ifndef PB_BROKER_H
#define PB_BROKER_H

#include "broker/janitor.h"
#include "common/id.h"
#include "common/log.h"
#include "common/manifest.h"
#include "common/seal.h"

#include <stdbool.h>
#include <stdint.h>

#define BROKER_TENANT        "default"  /* of records that a token of the whole cluster makes */
#define BROKER_META_SEAL_KEY "seal_key" /* in the store: the workers' public key, in hex */

struct broker_settings {
    char *store;          /* URL */
    char *manifests;      /* folder */
    char *data_dir;       /* admin.token, cluster.secret, run/ */
    char *http_listen;    /* "127.0.0.1:7400" */
    char *cluster_listen; /* "ipc://DIR" or "tcp://HOST:PORT" */
    char *cluster_secret; /* file */
    char *log_format, *log_level;
    int64_t lease_ms, tenant_jobs, tenant_concurrency;
    int64_t keep_days, keep_dead_days, keep_jobs; /* of jobs that have ended */
    int64_t keeper_jobs;
};

struct broker {
    struct broker_settings settings;
    struct log log;
    struct manifests *types;
    struct journal *journal;
    struct reader *reader;
    struct board *board;
    struct links *links;
    struct payloads *payloads;
    struct effects *effects;
    struct control *control;
    struct batches *batches;
    struct schedules *schedules;
    struct keeper *keeper;
    struct outages *outages;
    struct janitor janitor;
    struct intake *intake;
    struct auth *auth;
    struct http_listener *http;
    struct loop *loop;
    bool have_seal_key; /* a worker has told it, now or before a restart */
    uint8_t seal_key[SEAL_PUBLIC_BYTES];
    uint8_t name_key[16];     /* of the board's names (spec.h) */
    struct id_series job_ids; /* a restarted broker takes jobs up in the order of their ids */
    uint32_t epoch;
    bool draining;   /* a signal came: nothing new is taken in */
    bool stopped;    /* the loop is over: effects are no longer carried out */
    uint64_t now_ms; /* monotonic, of this turn */
};

#endif
