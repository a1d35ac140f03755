/* What comes to the intake after its end: a read that was under way when the broker stopped may still bring
 * something to submit. */
#include "broker/broker.h"
#include "broker/intake.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

struct heard {
    int times;
    pb_err err;
};

static void hear(void *arg, const struct intake_answer *a)
{
    struct heard *h = arg;
    h->times++;
    h->err = a->err;
}

static void stopped(struct broker *b)
{
    assert_int_equal(intake_open(&b->intake), PB_OK);
    b->draining = b->stopped = true;
    intake_close(b);
}

static void intake_refuses_at_once_when_the_broker_has_stopped(void **state)
{
    struct broker b = {0};
    struct heard h = {0};
    struct job job = {.kind = JOB_PING, .state = JOB_WAITING, .payload = malloc(1), .payload_len = 1};
    (void)state;
    stopped(&b);
    intake_submit(&b, &job, 1000, hear, &h);
    assert_int_equal(h.times, 1);
    assert_int_equal(h.err, PB_E_CLOSED);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(intake_refuses_at_once_when_the_broker_has_stopped),
    };
    return cmocka_run_group_tests_name("intake", tests, NULL, NULL);
}
