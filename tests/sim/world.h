/* The world that the board is simulated in: a store, a journal, workers and the network between, all driven
 * by one seeded generator, so that a run is named by its seed.
 *
 * The board is the production one (broker/board.c). Everything else is as small as it can be and still do
 * what real ones do wrong: crash, stall, lose, delay, answer twice. check.c looks at the world after every
 * effect and every step, and knows what was promised to whom. */
#ifndef SIM_WORLD_H
#define SIM_WORLD_H

#include "broker/board.h"

#include <stdbool.h>
#include <stdint.h>

#define JOBS         240
#define INTEGRATIONS 24
#define WORKERS      4
#define CAPACITY     12 /* attempts a worker may hold */
#define OPS          4096
#define MESSAGES     512 /* on the way, of one session and direction */
#define LEASE_MS     2000
#define BEAT_MS      500
#define RESEND_MS    1500
#define BACKOFF_MS   200

/* -- what is durable -- */

struct stored_job {
    bool durable, accepted; /* in the store; its client was told so */
    bool finished;
    enum job_outcome outcome;
    unsigned integration; /* 0: none */
    uint32_t attempts;
    uint64_t appended, ended; /* places in the order of commits */
    unsigned finishes;        /* commits that finished it: more than one is an error */
};
struct stored_doc {
    uint64_t fence;
    unsigned writes; /* one for each job that is done */
};

enum op_kind { OP_APPEND, OP_FINISH, OP_RETRY };
enum op_stage { OP_FREE, OP_GIVEN, OP_PENDING, OP_DONE };
struct op {
    enum op_kind kind;
    enum op_stage stage;
    unsigned job, integration;
    uint64_t fence;
    enum job_outcome outcome;
    uint32_t attempts;
    pb_err verdict;
};

/* -- the network -- */

enum message_kind { M_ATTEMPT, M_SETTLED, M_CANCEL, M_ASK, M_REPORT };
struct report_item {
    unsigned job;
    uint64_t fence;
    enum job_outcome outcome;
    uint64_t retry_after_ms;
};
struct message {
    enum message_kind kind;
    uint64_t at_ms;
    unsigned job;
    uint64_t fence;
    struct board_beat beat;
    struct report_item items[CAPACITY * 2];
    size_t item_count;
    bool has_list;
    uint64_t list[CAPACITY * 2];
    unsigned list_jobs[CAPACITY * 2];
    size_t list_count;
};
struct queue {
    struct message *items;
    size_t head, count;
};

/* One session, as either side sees it. */
struct link {
    uint64_t number;  /* 0: none */
    bool broker_open; /* the board has been told JOIN and not LEAVE */
    bool worker_open;
    uint64_t heard_broker_ms, heard_worker_ms; /* when each side last heard of the other */
    struct queue to_worker, to_broker;
    /* the broker's bookkeeping, for check.c */
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
    struct held held[CAPACITY * 2];
    uint64_t received; /* attempts, in this session */
    bool asked, draining;
    struct link link;
};

struct world {
    uint64_t seed, random, now_ms;
    bool calm; /* no more faults: everything must come to its end */
    bool verbose;
    struct board *board;
    struct board_effects fx;
    uint32_t epoch;
    bool broker_up;
    uint64_t broker_back_ms, store_back_ms; /* store: out until then */
    uint64_t order;                         /* commits so far */
    uint64_t last_fence, last_session;
    bool refused; /* the board hears of a commit that its condition refused: that attempt does not count */
    uint64_t started_ms;              /* the broker */
    size_t released, released_ran;    /* by this tick, of what a restart had found; and dispatched at once */
    struct stored_job jobs[JOBS + 1]; /* by number, from 1 */
    unsigned submitted;
    struct stored_doc docs[INTEGRATIONS + 1];
    struct op ops[OPS], *queue[OPS]; /* the journal's, in order */
    size_t queued;
    struct worker workers[WORKERS];
    char failure[256]; /* the first broken promise; empty: none */
};

/* -- chance -- */
uint64_t chance(struct world *w, uint64_t n); /* 0 .. n-1 */
bool one_in(struct world *w, uint64_t n);

/* -- names -- */
struct pb_id job_id(unsigned job);
struct pb_id doc_id(unsigned integration);
unsigned number_of(const struct pb_id *id);

__attribute__((format(printf, 2, 3))) void broken(struct world *w, const char *format, ...);
__attribute__((format(printf, 2, 3))) void tell(struct world *w, const char *format, ...);

/* -- store.c: the store and the journal -- */
struct op *op_new(struct world *w, enum op_kind kind, unsigned job);
void op_submit(struct world *w, struct op *op);
void store_turn(struct world *w);    /* perhaps a commit, perhaps an outage */
void store_deliver(struct world *w); /* tells the board what was committed */
void store_crash(struct world *w);   /* what was not committed is gone, and nobody is told what was */

/* -- broker.c: the board and its effects -- */
void broker_step(struct world *w, const struct board_event *e);
void broker_turn(struct world *w);
void broker_start(struct world *w);
void broker_crash(struct world *w);
void broker_take(struct world *w, struct worker *from, const struct message *m);
void broker_join(struct world *w, struct worker *worker);
void broker_leave(struct world *w, struct worker *worker);

/* -- peers.c: workers and the network -- */
void peers_turn(struct world *w);
void send_to_worker(struct world *w, uint64_t session, const struct message *m);
struct worker *worker_of(struct world *w, uint64_t session);

/* -- check.c -- */
void check_accept(struct world *w, unsigned job);
void check_dispatch(struct world *w, const struct board_effect *fx);
void check_finish(struct world *w, const struct board_effect *fx);
void check_settle(struct world *w, const struct board_effect *fx);
void check_tick(struct world *w); /* around a tick */
void check_step(struct world *w); /* after every step of the board */
void check_end(struct world *w);  /* when everything has come to its end */

#endif
