#include "broker/members.h"

#include "broker/broker.h"
#include "broker/effects.h"
#include "broker/journal.h"
#include "broker/outage.h"
#include "broker/verdict.h"

#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void set_seal_key(struct broker *b, const uint8_t key[SEAL_PUBLIC_BYTES]);

static bool is_text(struct wire_text t, const char *text)
{
    return t.len == strlen(text) && memcmp(t.data, text, t.len) == 0;
}

/* A worker without a package, or with another version of it, is no reason to refuse it: packages are updated
 * one worker at a time. But whoever wonders about failing tests must find this in the log. */
static void compare_packages(const struct broker *b, const struct wire_join *join)
{
    char worker[LIMIT_WORKER_NAME + 1];
    snprintf(worker, sizeof worker, "%.*s", (int)join->name.len, join->name.data);
    for (size_t i = 0; i < manifests_count(b->types); i++) {
        const struct manifest *m = manifests_at(b->types, i);
        size_t k = 0;
        while (k < join->type_count && !is_text(join->types[k].type, m->type))
            k++;
        if (k < join->type_count && is_text(join->types[k].hash, m->hash))
            continue;
        log_line(
            &b->log, LOG_WARN,
            "a worker's packages are not the broker's: its tests of this type fail or differ; give both the "
            "same --manifests and start the worker again",
            "worker", worker, "type", m->type, "package", k == join->type_count ? "missing" : "differs",
            NULL);
        return; /* the first one is enough */
    }
}

static pb_err on_joined(void *arg, links_session session, const struct wire_join *join, struct pb_why *why)
{
    struct broker *b = arg;
    bool same = b->have_seal_key && memcmp(b->seal_key, join->seal_key, sizeof b->seal_key) == 0;
    if (!same && b->have_seal_key && links_worker_count(b->links) > 0)
        return pb_fail(why, PB_E_DENIED, "keyring",
                       "this worker's keyring is not the one of the workers that are here already; "
                       "give every worker the same keyring file");
    if (!same && b->have_seal_key)
        log_line(
            &b->log, LOG_WARN,
            "the workers' keyring is another one than before: credentials that were stored with the old one "
            "cannot be opened; if that is not meant, give the workers the old keyring file again",
            NULL);
    if (!same)
        set_seal_key(b, join->seal_key);
    compare_packages(b, join);
    effects_step(b, &(struct board_event){.kind = BOARD_JOIN, .session = session});
    for (size_t i = 0; i < join->held_count; i++) {
        struct board_event held = {
            .kind = BOARD_HELD, .session = session, .job = join->held[i].job, .fence = join->held[i].fence};
        effects_step(b, &held);
    }
    return PB_OK;
}

static void on_meta_set(void *arg, struct store_op *op, pb_err err)
{
    (void)arg;
    (void)err;
    free((void *)(uintptr_t)op->meta_value);
    journal_op_free(op);
}

static void set_seal_key(struct broker *b, const uint8_t key[SEAL_PUBLIC_BYTES])
{
    memcpy(b->seal_key, key, sizeof b->seal_key);
    b->have_seal_key = true;
    struct store_op *op = journal_op_new(STORE_SET_META);
    char *hex = malloc(2 * SEAL_PUBLIC_BYTES + 1);
    if (op && hex) {
        op->meta_key = BROKER_META_SEAL_KEY;
        op->meta_value = sodium_bin2hex(hex, 2 * SEAL_PUBLIC_BYTES + 1, key, SEAL_PUBLIC_BYTES);
        if (journal_submit(b->journal, op, on_meta_set, b) == PB_OK)
            return;
    }
    free(hex);
    journal_op_free(op);
}

/* Validations tell whether a provider is well; setups tell what people type. */
static void watch_provider(struct broker *b, const struct wire_outcome *o, const struct store_op *op)
{
    char name[64];
    enum result_code code;
    snprintf(name, sizeof name, "%.*s", (int)(o->code.len < 63 ? o->code.len : 63),
             o->code.data ? o->code.data : "");
    if (op->change.kind != CHANGE_REPLACE || result_code_parse(name, &code) != PB_OK ||
        !outages_note(b->outages, op->change.doc.type, code, b->now_ms))
        return;
    if (outages_is_on(b->outages, op->change.doc.type, b->now_ms))
        log_line(
            &b->log, LOG_WARN,
            "most tests of a type fail alike: its provider is taken to be down, and no integration is put "
            "into the status error for it",
            "type", op->change.doc.type, "code", name, NULL);
    else
        log_line(&b->log, LOG_INFO, "the tests of a type no longer fail alike", "type", op->change.doc.type,
                 NULL);
}

static void take_outcome(struct broker *b, links_session session, const struct wire_outcome *o)
{
    struct board_event e = {
        .kind = BOARD_OUTCOME,
        .session = session,
        .job = o->job,
        .fence = o->fence,
        .outcome = o->outcome,
        .retry_after_ms = o->retry_after_ms,
    };
    e.cargo = verdict_of_outcome(o);
    if (!e.cargo) {
        log_line(&b->log, LOG_ERROR,
                 "a worker's outcome holds a document that cannot be read; its attempt will be lost", NULL);
        return;
    }
    watch_provider(b, o, e.cargo);
    effects_step(b, &e);
}

static bool is_listed(void *arg, uint64_t fence)
{
    const struct wire_report *r = arg;
    for (size_t i = 0; i < r->list_count; i++)
        if (r->list[i].fence == fence)
            return true;
    return false;
}

static void reconcile(struct broker *b, links_session session, const struct wire_report *report)
{
    effects_reconcile(b, session, is_listed, (void *)(uintptr_t)report);
    for (size_t i = 0; i < report->list_count; i++) {
        struct board_event held = {.kind = BOARD_HELD,
                                   .session = session,
                                   .job = report->list[i].job,
                                   .fence = report->list[i].fence};
        effects_step(b, &held);
    }
}

static void on_report(void *arg, links_session session, const struct wire_report *report)
{
    struct broker *b = arg;
    for (size_t i = 0; i < report->outcome_count; i++)
        take_outcome(b, session, &report->outcomes[i]);
    struct board_event beat = {
        .kind = BOARD_BEAT,
        .session = session,
        .beat = {report->received, report->free, report->running, report->running_sum},
    };
    effects_step(b, &beat);
    if (report->has_list)
        reconcile(b, session, report);
}

/* Its worker drains: no attempt is counted. */
static void on_undelivered(void *arg, links_session session, const struct wire_attempt *attempt)
{
    struct board_event back = {.kind = BOARD_OUTCOME,
                               .session = session,
                               .job = attempt->job,
                               .fence = attempt->fence,
                               .outcome = OUTCOME_RETURNED,
                               .undelivered = true};
    effects_step(arg, &back);
}

static void on_left(void *arg, links_session session, const char *reason, bool goodbye)
{
    (void)reason;
    struct broker *b = arg;
    effects_step(b, &(struct board_event){.kind = BOARD_LEAVE, .session = session, .graceful = goodbye});
}

const struct links_events members_of_links = {
    .joined = on_joined, .report = on_report, .undelivered = on_undelivered, .left = on_left};
