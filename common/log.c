#include "common/log.h"

#include "common/buf.h"
#include "common/clock.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define LINE_BYTES 8192

static const char *const level_names[] = {"debug", "info", "warn", "error"};

static void pair_json(struct buf *b, const char *key, const char *value)
{
    buf_printf(b, ",\"%s\":\"", key);
    buf_json_escape(b, value, strlen(value));
    buf_text(b, "\"");
}

static void pair_text(struct buf *b, const char *key, const char *value)
{
    buf_printf(b, " %s=\"", key);
    buf_json_escape(b, value, strlen(value));
    buf_text(b, "\"");
}

static void line_start(const struct log *l, struct buf *b, enum log_level level, const char *message)
{
    char now[CLOCK_TEXT_BYTES];
    clock_text(clock_wall_ms(), now);
    if (l->format == LOG_TEXT) {
        buf_printf(b, "%s %-5s %s: %s", now, level_names[level], l->program, message);
        return;
    }
    buf_printf(b, "{\"time\":\"%s\",\"level\":\"%s\",\"program\":\"%s\"", now, level_names[level],
               l->program);
    pair_json(b, "message", message);
}

void log_line(const struct log *l, enum log_level level, const char *message, ...)
{
    if (level < l->level)
        return;
    struct buf b;
    buf_init(&b, LINE_BYTES);
    line_start(l, &b, level, message);
    va_list args;
    va_start(args, message);
    for (const char *key; (key = va_arg(args, const char *));) {
        const char *value = va_arg(args, const char *);
        if (value)
            (l->format == LOG_TEXT ? pair_text : pair_json)(&b, key, value);
    }
    va_end(args);
    buf_text(&b, l->format == LOG_TEXT ? "\n" : "}\n");
    ssize_t written = write(l->fd, buf_peek(&b), b.len);
    (void)written; /* nowhere left to say it */
    buf_fini(&b);
}

void log_why(const struct log *l, enum log_level level, const char *message, pb_err err,
             const struct pb_why *why)
{
    log_line(l, level, message, "error", pb_err_name(err), "at", why->at[0] ? why->at : NULL, "reason",
             why->text[0] ? why->text : NULL, NULL);
}

const char *log_int(char out[24], long long value)
{
    snprintf(out, 24, "%lld", value);
    return out;
}
