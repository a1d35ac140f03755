/* What the parts of the suite share: the store under test, and short ways to write to it and look. */
#ifndef PB_TESTS_STORE_SUITE_PARTS_H
#define PB_TESTS_STORE_SUITE_PARTS_H

#include "common/store.h"
#include "tests/store/suite.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
/* cmocka wants the four before it */
#include <cmocka.h>

struct suite {
    const struct suite_subject *subject;
    char url[SUITE_URL_BYTES];
    struct store *store;
};

/* Each part's table of tests; tests get a struct suite as their state. */
struct suite_test {
    const char *name;
    void (*run)(void **state);
};
#define SUITE_TEST(function)                                                                                 \
    {                                                                                                        \
#function, function                                                                                  \
    }

struct suite_part {
    const struct suite_test *tests;
    size_t count;
};
extern const struct suite_part suite_jobs, suite_ends, suite_changes, suite_reads, suite_lists, suite_batches,
    suite_schedules;

struct store *suite_store(void **state);
/* How many steps of a test by model, of the many that a store on this machine takes. */
int suite_steps(void **state, int many);
void suite_reopen(void **state); /* closes the store and opens it again */
void suite_renew(void **state);  /* closes it and opens another, empty one */
struct store *suite_open_reader(void **state);

/* Ids that sort by n. */
struct pb_id suite_id(uint64_t n);

/* A commit of one operation, which must itself succeed; gives the operation's outcome. */
pb_err suite_commit(void **state, struct store_op *op);
/* A commit of several. */
void suite_commit_all(void **state, struct store_op *const *ops, size_t count);

/* A waiting job with a payload. */
struct job suite_job(uint64_t n, const char *tenant, const char *idem);
pb_err suite_append(void **state, const struct job *job);
pb_err suite_finish(void **state, uint64_t n, enum job_state job_state);
/* The job, which must be there; job_fini() it. */
struct job suite_get(void **state, uint64_t n);
/* Its state; 0 if there is no such job. */
enum job_state suite_state_of(void **state, uint64_t n);

/* A record (strings are literals: not to be freed) and changes of it, which ride on the end of a job. */
struct integration suite_record(uint64_t n, const char *tenant, const char *name);
struct store_change suite_change(enum store_change_kind kind, const struct integration *doc, uint64_t fence,
                                 int64_t if_generation);
/* Appends a job of its own and finishes it with the change; gives the outcome. */
pb_err suite_apply(void **state, enum store_change_kind kind, const struct integration *doc, uint64_t fence,
                   int64_t if_generation);
/* Is there such a record, with this name, generation and fence? Is there none at all? */
bool suite_has(void **state, uint64_t n, const char *name, int64_t generation, uint64_t fence);
bool suite_is_gone(void **state, uint64_t n);

#endif
