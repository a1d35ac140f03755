/* The log: one line an event, on standard error, as JSON or text. Each line is one write(2), so threads and
 * processes that share the descriptor do not mix their lines. Secrets never come here: they are struct
 * secret, which no format can print, and providers' messages are redacted by the worker before anyone logs
 * them. */
#ifndef PB_LOG_H
#define PB_LOG_H

#include "common/err.h"

enum log_level { LOG_DEBUG, LOG_INFO, LOG_WARN, LOG_ERROR };
enum log_format { LOG_JSON, LOG_TEXT };

struct log {
    int fd;
    enum log_format format;
    enum log_level level; /* lines below it are dropped */
    const char *program;
};

/* Writes message with key, value string pairs up to a NULL key: log_line(l, LOG_WARN, "session lost",
 * "worker", name, "reason", text, NULL). A NULL value is left out. Any thread. */
void log_line(const struct log *l, enum log_level level, const char *message, ...) __attribute__((sentinel));
/* The same for an error and its why. */
void log_why(const struct log *l, enum log_level level, const char *message, pb_err err,
             const struct pb_why *why);
/* An integer as a value for log_line: log_int((char[24]){0}, n). */
const char *log_int(char out[24], long long value);

#endif
