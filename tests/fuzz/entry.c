/* A job as POST /v1/jobs takes it: "JOB, ---, TIME". */
#include "tests/fuzz/lib/fuzz.h"

#include "broker/http/entry.h"
#include "common/clock.h"
#include "common/limits.h"

#include <string.h>

static void check_job(const struct job *job)
{
    MUST(job->kind == JOB_PING && job->state == JOB_WAITING && job->created_at_ms > 0);
    MUST(job->not_before_ms == 0 || job->not_before_ms > job->created_at_ms);
    MUST(job->deadline_ms == 0 || job->deadline_ms > job->created_at_ms);
    MUST(job->deadline_ms == 0 || job->deadline_ms > job->not_before_ms);
    MUST(job->max_attempts <= LIMIT_JOB_ATTEMPTS && job->payload_len <= LIMIT_PING_BYTES);
    MUST(job->priority >= PRIORITY_HIGH && job->priority <= PRIORITY_LOW);
    MUST((job->payload_len > 0) == (job->payload != NULL));
}

static void check_refusal(const struct entry *e)
{
    json_t *problem = entry_problem(e, 9999);
    MUST(e->detail[0] && json_is_object(problem));
    MUST(json_array_size(json_object_get(problem, "errors")) == (e->faults ? e->fault_count : 1));
    json_decref(problem);
}

/* Other kinds ask the store and the packages, and are tried by tests that have them. */
static bool is_alone(const json_t *json)
{
    const char *kind = json_string_value(json_object_get(json, "kind"));
    return !kind ||
           (strcmp(kind, "setup") != 0 && strcmp(kind, "validate") != 0 && strcmp(kind, "delete") != 0);
}

static void check_entry(const char *text, size_t len)
{
    static const struct entry_context context = {.tenant = "fuzz"};
    struct entry e = {0};
    json_t *json = fuzz_json(text, len);
    if (!json || !is_alone(json)) {
        json_decref(json);
        return;
    }
    MUST(entry_read(&e, json, &context, NULL, NULL) == PB_OK);
    if (e.code)
        check_refusal(&e);
    else
        check_job(&e.job);
    entry_fini(&e);
    json_decref(json);
}

/* What is taken can be written, and then reads the same; but for the year 10000, which a time zone can bring.
 */
static void check_time(const char *text)
{
    int64_t ms = 0, again = 0;
    char written[CLOCK_TEXT_BYTES];
    if (!form_parse_time(text, &ms))
        return;
    clock_text(ms, written);
    if (ms >= -INT64_C(62135596800000) && ms <= INT64_C(253402300799999))
        MUST(form_parse_time(written, &again) && again == ms);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct fuzz_parts p;
    fuzz_split(data, size, &p);
    check_entry(p.text[0], p.len[0]);
    check_time(p.text[1]);
    fuzz_split_fini(&p);
    return 0;
}
