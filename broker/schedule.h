/* What the files of the schedules share. Nobody else includes this.
 *   schedules.c      when they run, what is written
 *   schedule_json.c  as the store keeps them, and as the API takes and shows them */
#ifndef PB_SCHEDULE_H
#define PB_SCHEDULE_H

#include "broker/schedules.h"

enum schedule_skip { SKIP_NONE, SKIP_UNDER_WAY, SKIP_MISSED, SKIP_REASONS };

/* All times are the wall's, 0 for none. */
struct schedule {
    char tenant[LIMIT_TENANT_CHARS + 1]; /* "*": over all of them */
    char name[LIMIT_SCHEDULE_CHARS + 1];
    int64_t created_at_ms, updated_at_ms;
    struct schedule_spec spec;
    int64_t due_ms;     /* the next time of the expression, jitter not added */
    int64_t planned_ms; /* when that was worked out */
    int64_t run_ms;     /* the last run, and its batch */
    struct pb_id batch;
    bool started; /* the batch is in the store */
    int64_t skipped_ms;
    enum schedule_skip skipped_why;
    bool busy;         /* the run is being written or started */
    uint64_t again_ms; /* monotonic: not to be started before, since it was refused */
    struct schedule *next;
};

/* When it runs next, jitter added; 0: never. */
int64_t schedule_next_ms(const struct schedule *s);

char *schedule_body(const struct schedule *s);
/* PB_E_INVALID: a damaged row. A time zone that is gone leaves spec.zone NULL. */
pb_err schedule_read_body(const struct store_schedule *stored, struct schedule *out) PB_CHECKED;
json_t *schedule_shown(const struct schedule *s);

#endif
