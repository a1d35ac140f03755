/* One job: read, cancelled, sent again. The store says what it is and whose; the board, while it is live,
 * what becomes of it. */
#include "broker/board/board.h"
#include "broker/broker.h"
#include "broker/control.h"
#include "broker/http/jobs.h"
#include "broker/http/routes.h"
#include "broker/intake.h"

#include <stdlib.h>

#define MS_PER_SECOND 1000
#define CANCEL_WAIT_MS                                                                                       \
    1000 /* until a cancellation is durable or its worker has reported; usually milliseconds */

struct lookup;
typedef void found_job(struct lookup *l);

struct lookup {
    struct http_request *r;
    struct pb_id id;
    found_job *found; /* with the job as the store has it; ends the lookup, or goes on with it */
    bool acts;  /* found() asks the board or the intake for something, which end before the reader does */
    bool again; /* it was read before, and waited for or acted upon */
    struct job job;
};

static void look_free(struct lookup *l)
{
    job_fini(&l->job);
    free(l);
}

static pb_err look_read(struct store *store, void *arg, struct pb_why *why)
{
    struct lookup *l = arg;
    return store_get_job(store, &l->id, &l->job, why);
}

static void look_done(void *arg, pb_err err, const struct pb_why *why)
{
    struct lookup *l = arg;
    if (!err && !http_sees(l->r, l->job.tenant))
        err = PB_E_NOT_FOUND;
    if (!err && l->acts && l->r->broker->stopped)
        err = PB_E_CLOSED;
    if (!err) {
        l->found(l);
        return;
    }
    if (err == PB_E_NOT_FOUND)
        http_refuse(l->r, "not_found", "there is no such job; GET /v1/jobs lists them");
    else
        http_refuse_error(l->r, err, why);
    look_free(l);
}

static void look(struct lookup *l)
{
    job_fini(&l->job);
    pb_err err = http_read(l->r, look_read, look_done, l);
    if (!err)
        return;
    http_refuse_error(l->r, err, NULL);
    look_free(l);
}

static void look_again(void *arg, const struct intake_answer *a)
{
    struct lookup *l = arg;
    (void)a; /* over, or the wait is: either way the store knows */
    look(l);
}

static void look_up(struct http_request *r, found_job *found, bool acts)
{
    struct pb_id id;
    if (!http_arg_id(r, ID_JOB, &id))
        return;
    struct lookup *l = calloc(1, sizeof *l);
    if (!l) {
        http_refuse_error(r, PB_E_MEMORY, NULL);
        return;
    }
    *l = (struct lookup){.r = r, .id = id, .found = found, .acts = acts};
    look(l);
}

/* -- as it is -- */

/* What the store does not know of a job that waits. It may have ended since the store was read: then the
 * board knows nothing of it any more, or is committing what it came to. */
static json_t *with_phase(const struct lookup *l, json_t *json)
{
    bool cancelled = false;
    const char *phase = board_state_of(l->r->broker->board, &l->id, &cancelled);
    if (!json || l->job.state != JOB_WAITING)
        return json;
    if (phase)
        json_object_set_new(json, "phase", json_string(phase));
    json_object_set_new(json, "cancelRequested", json_boolean(cancelled || l->job.cancel_asked));
    return json;
}

static void show(struct lookup *l)
{
    http_answer_json(l->r, 200, with_phase(l, jobs_json(&l->job)));
    look_free(l);
}

/* With Prefer: wait, once, for a job that was not over when the store was read. Meanwhile it may be: then the
 * store is asked again. */
static bool wait_for(struct lookup *l)
{
    struct http_request *r = l->r;
    if (!r->wait_seconds || l->again || l->job.state != JOB_WAITING || r->broker->stopped)
        return false;
    l->again = true;
    http_say_waits(r);
    pb_err err = intake_wait(r->broker, &l->id, r->wait_seconds * MS_PER_SECOND, look_again, l);
    if (err == PB_E_NOT_FOUND)
        look(l);
    return err == PB_OK || err == PB_E_NOT_FOUND;
}

static void get(struct lookup *l)
{
    if (!wait_for(l))
        show(l);
}

void jobs_get(struct http_request *r)
{
    look_up(r, get, false);
}

/* -- cancelling -- */

static void refuse_ended(struct lookup *l)
{
    http_refuse(l->r, "job_ended", "the job has ended already, as %s%s", job_state_name(l->job.state),
                l->job.state == JOB_DEAD ? "; dead ones can only be sent again" : "");
    look_free(l);
}

/* What was asked for is durable by now, or the store is in trouble; the job says how far it is. */
static void show_accepted(struct lookup *l)
{
    http_answer_json(l->r, 202, with_phase(l, jobs_json_accepted(&l->job)));
    look_free(l);
}

static void cancel(struct lookup *l)
{
    struct broker *b = l->r->broker;
    if (l->job.state != JOB_WAITING) {
        refuse_ended(l);
        return;
    }
    bool was_asked = l->again;
    l->again = true;
    pb_err err = control_cancel(b, &l->id);
    if (!err) {
        l->found = show_accepted;
        l->acts = false;
        err = intake_wait(b, &l->id, CANCEL_WAIT_MS, look_again, l);
    }
    if (!err)
        return;
    if (err == PB_E_NOT_FOUND && !was_asked) { /* it has ended meanwhile, or just now */
        look(l);
        return;
    }
    http_refuse_error(l->r, err == PB_E_NOT_FOUND ? PB_E_BUSY : err, NULL);
    look_free(l);
}

void jobs_cancel(struct http_request *r)
{
    look_up(r, cancel, true);
}

/* -- sending a dead one again -- */

static void revived(void *arg, const struct intake_answer *a)
{
    struct lookup *l = arg;
    if (a->err == PB_E_CONFLICT)
        http_refuse(l->r, "not_dead", "%s", a->why);
    else if (a->err)
        http_refuse(l->r, jobs_refusal_code(a->err), "%s", a->why ? a->why : "the job was refused");
    if (a->err) {
        look_free(l);
        return;
    }
    l->found = a->finished ? show : show_accepted;
    l->acts = false;
    look(l);
}

static void retry(struct lookup *l)
{
    struct http_request *r = l->r;
    if (l->job.state != JOB_DEAD) {
        http_refuse(r, "not_dead",
                    "only a job that was given up (state dead) can be sent again; this one is %s",
                    job_state_name(l->job.state));
        look_free(l);
        return;
    }
    http_say_waits(r);
    intake_revive(r->broker, &l->job, 0, r->wait_seconds * MS_PER_SECOND, revived, l);
}

void jobs_retry(struct http_request *r)
{
    look_up(r, retry, true);
}
