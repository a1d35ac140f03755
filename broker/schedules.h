/* Recurring batches: each schedule starts its batch when its cron expression says so, in its time zone.
 *
 * What is durable when. The time of a run and the id of its batch are written first; then the batch is
 * started under that id; then that it was started. A crash before the first write leaves the time due, as any
 * time that passes while no broker runs. A crash after it leaves a run that is noted and not started: the
 * next broker looks for a batch with that id, and starts it if there is none. So a run is neither repeated
 * nor forgotten.
 *
 * A time that comes while the batch of the run before is still under way (paused ones, too) is skipped. A
 * time that was missed by more than a minute, because no broker ran or the clock was set forward, counts
 * once, however many they were, or not at all: the schedule's policy. Where the clock is set back by less
 * than a day nothing is repeated: the next time stays as it was; further back than that, the clock was wrong
 * before, and the next time is worked out anew.
 *
 * On the loop's thread. Time zones are read, small files of tzdata, when a schedule is put or loaded; a newer
 * tzdata counts from the next start. */
#ifndef PB_SCHEDULES_H
#define PB_SCHEDULES_H

#include "broker/batches.h"
#include "common/cron.h"
#include "common/fields.h"
#include "common/limits.h"

struct broker;
struct schedules;

enum schedule_missed { MISSED_RUN_ONCE, MISSED_SKIP };

struct schedule_spec {
    char cron_text[LIMIT_CRON_CHARS + 1];
    char zone_name[LIMIT_ZONE_CHARS + 1];
    struct cron cron;
    struct zone *zone; /* owned; NULL: this machine has none of that name (any more), so it never runs */
    struct batch_filter filter;
    uint32_t per_second;
    uint32_t jitter_s; /* each time is put off by up to this, always by the same; what comes meanwhile is left
                          out */
    enum schedule_missed missed;
    bool enabled;
};
void schedule_spec_fini(struct schedule_spec *spec);
/* From {cron, timeZone, kind, filter, ratePerSecond, missed, enabled, jitterSeconds}; a fault for each member
 * that is wrong. tenant "*": the filter may name one. types NULL: the type is not looked up. */
void schedule_spec_read(const json_t *body, const char *tenant, const struct manifests *types,
                        struct schedule_spec *out, struct fields_report *report);
/* ^[a-z0-9][a-z0-9-]{0,62}$ */
bool schedule_name_is_valid(const char *name);

/* Blocks. */
pb_err schedules_open(struct broker *b, struct store *store, struct schedules **out,
                      struct pb_why *why) PB_CHECKED;
void schedules_close(struct schedules *all);

/* Once it is durable, never from within the call that asked. */
typedef void schedules_done(void *arg, pb_err err);

/* Makes or replaces one; its runs so far stay. Takes what spec owns, on PB_OK only. PB_E_LIMIT: there are
 * LIMIT_SCHEDULES, or LIMIT_SCHEDULES_TENANT of this tenant. */
pb_err schedules_put(struct broker *b, const char *tenant, const char *name, struct schedule_spec *spec,
                     schedules_done *done, void *arg) PB_CHECKED;
/* Its batches stay, under way or not. PB_E_NOT_FOUND. */
pb_err schedules_drop(struct broker *b, const char *tenant, const char *name, schedules_done *done,
                      void *arg) PB_CHECKED;

/* As the API shows it: what schedule_spec_read() takes, and {name, tenant, lastRun: {at, batch}, lastSkipped:
 * {at, reason}, nextRun, createdAt, updatedAt}. New reference; NULL: there is none, or no memory. */
json_t *schedules_json(const struct schedules *all, const char *tenant, const char *name);
/* A page of them in order of tenant and name, of one tenant (NULL: of all), after a cursor ("": from the
 * start); *next is the cursor of the page behind it, "" for none. */
#define SCHEDULE_CURSOR_BYTES (LIMIT_TENANT_CHARS + LIMIT_SCHEDULE_CHARS + 2)
json_t *schedules_page(const struct schedules *all, const char *tenant, const char *after, size_t limit,
                       char next[SCHEDULE_CURSOR_BYTES]);

/* Starts what is due; gives the time of the next such need (monotonic). */
uint64_t schedules_tick(struct broker *b);

#endif
