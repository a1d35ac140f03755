#include "common/json.h"

#include "common/clock.h"

json_t *json_time(int64_t wall_ms)
{
    char text[CLOCK_TEXT_BYTES];
    if (!wall_ms)
        return json_null();
    clock_text(wall_ms, text);
    return json_string(text);
}

json_t *json_id(const struct pb_id *id, const char *prefix)
{
    char text[ID_TEXT_BYTES];
    if (id_is_nil(id))
        return json_null();
    id_text(id, prefix, text);
    return json_string(text);
}
