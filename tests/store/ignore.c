#include "tests/store/ignore.h"

pb_err ignore_job(void *arg, const struct job *job)
{
    (void)arg;
    (void)job;
    return PB_OK;
}

pb_err ignore_integration(void *arg, const struct integration *in)
{
    (void)arg;
    (void)in;
    return PB_OK;
}

pb_err ignore_count(void *arg, const char *type, uint64_t count)
{
    (void)arg;
    (void)type;
    (void)count;
    return PB_OK;
}

pb_err ignore_batch(void *arg, const struct store_batch *batch)
{
    (void)arg;
    (void)batch;
    return PB_OK;
}

pb_err ignore_schedule(void *arg, const struct store_schedule *schedule)
{
    (void)arg;
    (void)schedule;
    return PB_OK;
}

pb_err ignore_token(void *arg, const struct store_token *token)
{
    (void)arg;
    (void)token;
    return PB_OK;
}

pb_err ignore_meta(void *arg, const char *key, const char *value)
{
    (void)arg;
    (void)key;
    (void)value;
    return PB_OK;
}

pb_err ignore_deleted(void *arg, const struct pb_id *id, uint64_t fence)
{
    (void)arg;
    (void)id;
    (void)fence;
    return PB_OK;
}
