#include "common/job.h"

#include <stdlib.h>

#define NAME_OF(names, value)                                                                                \
    ((size_t)(value) < sizeof(names) / sizeof((names)[0]) ? (names)[(size_t)(value)] : NULL)

void job_fini(struct job *job)
{
    free(job->payload);
    free(job->result);
    *job = (struct job){0};
}

bool job_is_durable(const struct job *job)
{
    return job->kind != JOB_TEST && job->kind != JOB_VALIDATE_EVENT && !job->ephemeral;
}

const char *job_kind_name(enum job_kind kind)
{
    static const char *const names[] = {
        [JOB_SETUP] = "setup", [JOB_VALIDATE] = "validate", [JOB_DELETE] = "delete",
        [JOB_TEST] = "test",   [JOB_PING] = "ping",         [JOB_VALIDATE_EVENT] = "validate_event",
    };
    return NAME_OF(names, kind);
}

const char *job_state_name(enum job_state state)
{
    static const char *const names[] = {[JOB_WAITING] = "waiting",
                                        [JOB_DONE] = "done",
                                        [JOB_FAILED] = "failed",
                                        [JOB_CANCELLED] = "cancelled",
                                        [JOB_DEAD] = "dead"};
    return NAME_OF(names, state);
}

const char *job_priority_name(enum job_priority priority)
{
    static const char *const names[] = {
        [PRIORITY_HIGH] = "high", [PRIORITY_NORMAL] = "normal", [PRIORITY_LOW] = "low"};
    return NAME_OF(names, priority);
}

const char *job_outcome_name(enum job_outcome outcome)
{
    static const char *const names[] = {
        [OUTCOME_DONE] = "done",         [OUTCOME_FAILED] = "failed",       [OUTCOME_RETRY] = "retry",
        [OUTCOME_RETURNED] = "returned", [OUTCOME_CANCELLED] = "cancelled", [OUTCOME_DEAD] = "dead",
    };
    return NAME_OF(names, outcome);
}
