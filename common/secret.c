#include "common/secret.h"

#include <sodium.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>

pb_err secret_set(struct secret *s, const void *bytes, size_t len)
{
    char *copy = malloc(len + 1);
    if (!copy)
        return PB_E_MEMORY;
    if (len)
        memcpy(copy, bytes, len);
    copy[len] = 0;
    secret_fini(s);
    *s = (struct secret){.data = copy, .len = len};
    return PB_OK;
}

void secret_fini(struct secret *s)
{
    if (s->data)
        sodium_memzero(s->data, s->len);
    free(s->data);
    *s = (struct secret){0};
}

void secret_harden_process(void)
{
    struct rlimit none = {0, 0};
    setrlimit(RLIMIT_CORE, &none);
#ifndef __SANITIZE_ADDRESS__ /* its leak checker attaches like a debugger */
    prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
#endif
}
