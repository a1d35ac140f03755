/* The contract on MongoDB, and what is its own. Runs where PATCHBAY_TEST_MONGODB_URI names a server. */
#include "common/store.h"
#include "tests/store/mongo_place.h"
#include "tests/store/suite.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
/* cmocka wants setjmp and stdarg before it */
#include <cmocka.h>

int main(void)
{
    struct mongo_place place;
    if (!mongo_place_open(&place))
        return 0;
    const struct suite_subject subject = {.name = "mongo", .fresh = mongo_place_fresh, .arg = &place, .remote = true};
    int failed = suite_run(&subject);
    mongo_place_close(&place);
    return failed;
}
