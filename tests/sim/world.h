/* The world that the board is simulated in: clients, a store and its journal, workers and the network
 * between, all driven by one seeded generator, so that a run is named by its seed.
 *
 * The board is the production one (broker/board). Everything else is as small as it can be and still do what
 * real ones do wrong: crash, stall, lose, delay, answer twice. The checks look at the world after every
 * effect and every step, and know what was promised to whom; they look into the board to see where a job is,
 * and judge by a model of their own what may happen to it. */
#ifndef SIM_WORLD_H
#define SIM_WORLD_H

#include "broker/board/parts.h"
#include "common/store.h"

#include <stdbool.h>
#include <stdint.h>

#define JOBS         160
#define INTEGRATIONS 20
#define NAMES        4 /* of tenants, types, hosts and kinds, from 1; the checks' arrays start with 0: none */
#define WORKERS      4
#define CAPACITY     24 /* attempts a worker may hold, at most */
#define OPS          512
#define MESSAGES     512 /* on the way, of one session and direction */
#define LEASE_MS     2000
#define BEAT_MS      500
#define RESEND_MS    1500
#define BACKOFF_MS   200
#define TENANT_JOBS  30 /* a tenant's cap */

/* -- jobs -- */

/* What its client asked for. */
struct plan {
    unsigned integration; /* 0: none */
    unsigned names[KEYS]; /* 0: none */
    enum job_priority priority;
    uint32_t max_attempts;
    uint64_t not_before_ms, deadline_ms;
    bool memory, retried; /* retried: a memory job that outlives its worker */
    bool poison;          /* whoever runs it dies */
};

/* What is durable. */
struct stored {
    bool there, finished, cancel_asked;
    enum job_outcome outcome;
    uint32_t attempts, crashes;
    uint64_t not_before_ms;
    uint64_t appended, ended; /* places in the order of commits */
    unsigned finishes;        /* commits that finished it: more than one is an error */
};

/* What was said of it, and what the checks remember. */
struct seen {
    bool submitted, accepted, refused, over; /* over: the board has said that it has ended */
    bool cancelled;                          /* this broker was asked to */
    bool lost;                               /* a memory job: its broker ended */
    enum slot_state state;                   /* after the last step; FREE: not on the board */
    uint32_t attempts, crashes;              /* as the board counts them */
    uint64_t fence;
    uint64_t newest;                     /* of all dispatches */
    uint64_t alone_fence, alone_session; /* of its last run alone */
    uint64_t dead_fence;                 /* of the run alone that its worker died of */
    unsigned alone_runs, alone_deaths;
    unsigned claims;   /* times that a worker came back with what seemed to have killed it */
    uint64_t known_at; /* commits when the board came to know it; 0: not yet */
    unsigned doubts;   /* marks of which a crash of the broker left open whether they came true */
};

struct sim_job {
    struct plan plan;
    struct stored stored;
    struct seen seen;
};

struct stored_doc {
    uint64_t fence;
    unsigned writes; /* one for each job that is done */
};

enum op_kind { OP_APPEND, OP_FINISH, OP_RETRY, OP_MARK, OP_EPOCH, OP_KINDS };
struct op {
    struct store_op store; /* first: what the production journal's group looks at */
    enum op_kind kind;
    bool used;
    unsigned job;
    uint64_t fence, not_before_ms;
    enum job_outcome outcome;
    uint32_t attempts, crashes, epoch;
    bool cancel_asked, awaited; /* MARK: is somebody told? */
};

/* -- the network -- */

enum message_kind { M_ATTEMPT, M_SETTLED, M_CANCEL, M_STOP, M_ASK, M_REPORT };
struct report_item {
    unsigned job;
    uint64_t fence;
    enum job_outcome outcome;
    uint64_t retry_after_ms;
};
struct report {
    struct board_beat beat;
    struct report_item items[CAPACITY * 2], list[CAPACITY * 2]; /* list: what it holds; job and fence */
    size_t count, listed;
    bool has_list, goodbye;
};
struct message {
    enum message_kind kind;
    unsigned job;
    uint64_t at_ms, fence;
    struct report *report; /* M_REPORT: the message owns it */
};
struct queue {
    struct message items[MESSAGES];
    size_t head, count;
};

/* One session, as either side sees it. */
struct link {
    uint64_t number;  /* 0: none */
    bool broker_open; /* the board has been told JOIN and not LEAVE */
    bool worker_open;
    uint64_t heard_broker_ms, heard_worker_ms; /* when each side last heard of the other */
    struct queue to_worker, to_broker;
    /* the broker's bookkeeping, for the checks */
    uint64_t sent, told_received;
    uint32_t told_free;
};

/* -- workers -- */

enum held_state { H_NONE, H_RUNNING, H_FINISHED };
struct held {
    enum held_state state;
    unsigned job;
    uint64_t fence;
    uint64_t done_ms, sent_ms; /* sent_ms 0: not in this session */
    enum job_outcome outcome;
    uint64_t retry_after_ms;
};
struct worker {
    bool alive;
    uint64_t stalled_until_ms, back_ms, next_beat_ms, next_hello_ms;
    uint64_t dies_ms; /* of poison; 0: not */
    struct held held[CAPACITY * 2];
    uint64_t received; /* attempts, in this session */
    bool asked, draining;
    struct link link;
};

/* -- gates, as the checks model them -- */

struct model_gate {
    struct board_limit limit; /* as set; zeros: none */
    bool set, paused;
    uint64_t debt_us, at_ms; /* what was let through and has not been earned back, at that time */
    uint32_t running;        /* counted anew for each look */
};

/* What the board does with an event, for the checks. */
struct step {
    const struct board_event *event;             /* NULL: a reconciliation */
    struct board_effect sent[BOARD_EFFECTS_MAX]; /* dispatches, in order */
    size_t sent_count;
    bool fresh_cancel, written; /* of a job that was not cancelled before; something was to be committed */
    uint64_t charged_fence;     /* of what ran alone in the session that is leaving by a death */
};

struct world {
    uint64_t seed, random, now_ms;
    bool calm; /* no more faults: everything must come to its end */
    bool verbose;
    struct board *board;
    struct board_effects fx;
    struct step step;
    uint32_t epoch, capacity;
    bool broker_up;
    uint64_t broker_back_ms, store_back_ms; /* store: out until then */
    uint64_t order;                         /* commits so far */
    uint64_t last_fence, last_session;
    bool refused; /* the board hears of a commit that its condition refused: that attempt does not count */
    unsigned deaths, leaves, alone_runs; /* leaves: sessions that were lost */
    uint32_t passed[3][3][NAMES + 1];    /* turns of others since a tenant could have had one */
    const char *guarantee;               /* that is being looked at */
    struct sim_job jobs[JOBS + 1];       /* by number, from 1 */
    unsigned submitted;
    struct stored_doc docs[INTEGRATIONS + 1];
    struct op ops[OPS];
    struct group *journal;
    struct board_event returned[BOARD_EFFECTS_MAX]; /* attempts that could not be sent */
    size_t returned_count;
    struct model_gate gates[KEYS][NAMES + 1];
    struct board_limit type_limit; /* of types that nobody has set */
    struct worker workers[WORKERS];
    char failure[256]; /* the first broken promise; empty: none */
};

/* -- chance.c: chance, names, and the story -- */
uint64_t chance(struct world *w, uint64_t n); /* 0 .. n-1 */
bool one_in(struct world *w, uint64_t n);
struct pb_id job_id(unsigned job);
struct pb_id doc_id(unsigned integration);
unsigned number_of(const struct pb_id *id);
__attribute__((format(printf, 2, 3))) void broken(struct world *w, const char *format, ...);
__attribute__((format(printf, 2, 3))) void tell(const struct world *w, const char *format, ...);

/* -- store.c: the store and the journal -- */
struct op *op_new(struct world *w, enum op_kind kind, unsigned job);
void op_submit(struct world *w, struct op *op);
void store_turn(struct world *w);    /* perhaps a commit, perhaps an outage */
void store_deliver(struct world *w); /* tells the board what was committed */
void store_free(struct world *w);
bool store_is_idle(const struct world *w);
void store_crash(struct world *w); /* what was not committed is gone, and nobody is told what was */

/* -- broker.c: the board and its effects -- */
void broker_step(struct world *w, const struct board_event *e);
void broker_turn(struct world *w);
void broker_start(struct world *w);
void broker_crash(struct world *w);
void broker_take(struct world *w, struct worker *from, const struct report *r);
void broker_join(struct world *w, struct worker *worker);
void broker_leave(struct world *w, struct worker *worker, bool graceful);

/* -- clients.c: who submits, cancels, pauses and limits -- */
struct board_spec spec_of(const struct world *w, unsigned job);
void clients_settle(struct world *w); /* what is set before anything runs */
void clients_turn(struct world *w);
void clients_calm(struct world *w);  /* nothing stays paused */
void clients_apply(struct world *w); /* what was set, to a board that has just begun */

/* -- peers.c: workers and the network -- */
void peers_turn(struct world *w);
void peers_free(struct world *w);
void send_to_worker(struct world *w, uint64_t session, const struct message *m);
struct worker *worker_of(struct world *w, uint64_t session);

/* -- check.c, check_runs.c: what each effect and each step must keep -- */
void check_accept(struct world *w, unsigned job);
void check_dispatch(struct world *w, const struct board_effect *fx);
void check_commit(struct world *w, const struct board_effect *fx);
void check_stored(struct world *w, unsigned job, const char *what); /* an operation on a job's record */
void check_finish(struct world *w, const struct board_effect *fx);
void check_dropped(struct world *w, const struct board_effect *fx);
void check_settle(struct world *w, const struct board_effect *fx);
void check_refusal(struct world *w, unsigned job, pb_err err);
void check_before(struct world *w, const struct board_event *e); /* NULL: a reconciliation */
void check_step(struct world *w);                                /* after every step of the board */
void check_restart(struct world *w);
void check_end(struct world *w); /* when everything has come to its end */

typedef void check(struct world *w);
check check_poison, check_attempts, check_jitter, check_deadlines, check_seats; /* check_runs.c */
check check_gates, check_hoarding;                                              /* check_turns.c */
void model_forget(struct world *w);
bool model_open(struct world *w, const struct plan *p);
void model_pass(struct world *w, const struct plan *p);

#endif
