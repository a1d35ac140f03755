#include "tests/store/must.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
/* cmocka wants the three before it */
#include <cmocka.h>

struct store *must_open(const char *url, bool read_only)
{
    struct store *s = NULL;
    struct pb_why why = {0};
    if (store_open(url, read_only, &s, &why) != PB_OK)
        fail_msg("%s: %s", why.at, why.text);
    return s;
}

void must_commit(struct store *s, struct store_op *const *ops, size_t count)
{
    struct pb_why why = {0};
    if (store_commit(s, ops, count, &why) != PB_OK)
        fail_msg("%s: %s", why.at, why.text);
}
