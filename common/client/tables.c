#include "common/client/client.h"

#include <stddef.h>

#define AT(field) offsetof(struct settings, field)

static const struct option common[] = {
    {"url", OPTION_TEXT, AT(url), NULL, 0, 0, "URL",
     "the broker's address (default: " ACCESS_URL_DEFAULT ")"},
    {"data-dir", OPTION_TEXT, AT(data_dir), NULL, 0, 0, "DIR",
     "the data folder of a broker on this machine (default: data)"},
    {"json", OPTION_FLAG, AT(json), NULL, 0, 0, NULL, "print the broker's JSON, for programs"},
    {"no-color", OPTION_FLAG, AT(no_color), NULL, 0, 0, NULL, "no colours (as with NO_COLOR set)"},
};

static const struct command *const commands[] = {
    &command_up,           &command_types,         &command_test,
    &command_setup,        &command_list,          &command_show,
    &command_rm,           &command_validate,      &command_revalidate,
    &command_batch_list,   &command_batch_show,    &command_batch_watch,
    &command_batch_pause,  &command_batch_resume,  &command_batch_cancel,
    &command_batch_rate,   &command_schedule_list, &command_schedule_show,
    &command_schedule_set, &command_schedule_rm,   &command_event_validate,
    &command_schema_check, &command_lint,          &command_jobs_list,
    &command_jobs_show,    &command_jobs_submit,   &command_jobs_cancel,
    &command_jobs_retry,   &command_queue_show,    &command_queue_pause,
    &command_queue_resume, &command_workers_list,  &command_workers_drain,
    &command_keys_init,    &command_store_migrate,
};

const struct args_tables client_tables = {common, sizeof common / sizeof common[0], commands,
                                          sizeof commands / sizeof commands[0]};
