#include "common/err.h"

#include <stdarg.h>
#include <stdio.h>

pb_err pb_fail(struct pb_why *why, pb_err err, const char *at, const char *format, ...)
{
    if (why) {
        va_list args;
        va_start(args, format);
        snprintf(why->at, sizeof why->at, "%s", at ? at : "");
        vsnprintf(why->text, sizeof why->text, format, args);
        va_end(args);
    }
    return err;
}

const char *pb_err_name(pb_err err)
{
    static const char *const names[] = {
        [PB_OK] = "ok",
        [PB_E_MEMORY] = "out_of_memory",
        [PB_E_INVALID] = "invalid",
        [PB_E_LIMIT] = "limit",
        [PB_E_NOT_FOUND] = "not_found",
        [PB_E_EXISTS] = "exists",
        [PB_E_CONFLICT] = "conflict",
        [PB_E_BUSY] = "busy",
        [PB_E_AGAIN] = "again",
        [PB_E_CLOSED] = "closed",
        [PB_E_DENIED] = "denied",
        [PB_E_IO] = "io",
        [PB_E_STORE] = "store",
        [PB_E_UNSUPPORTED] = "unsupported",
    };
    return (unsigned)err < sizeof names / sizeof names[0] ? names[err] : "unknown";
}
