/* A test of a stored integration that nobody waits for: a job that lives in memory, with the document in hand
 * and behind everything else, because something else stands for it (a batch, the keeper). What comes of it is
 * written on condition that the record is still the one that was read. */
#ifndef PB_RETEST_H
#define PB_RETEST_H

#include "broker/journal.h"
#include "common/integration.h"
#include "common/limits.h"
#include "common/store.h"

struct broker;

struct retest {
    struct pb_id integration;
    char tenant[LIMIT_TENANT_CHARS + 1], type[LIMIT_TYPE_CHARS + 1];
    enum integration_status before;
    uint8_t *doc; /* packed, as it was read; NULL: it is read when it is sent */
    size_t doc_len;
};

/* Copies what a test needs; the document is the caller's to free. */
pb_err retest_read(const struct integration *in, struct retest *out) PB_CHECKED;
/* The job's operation (op->job.id is its new id), for retest_submit(). Takes the document; NULL: no memory,
 * and it is the caller's still. */
struct store_op *retest_op(struct broker *b, struct retest *r);
/* To the board; its end comes to effects.c, perhaps from within. Takes the operation. */
void retest_submit(struct broker *b, struct store_op *op);
/* Writes what a test came to (the operation of its BOARD_FINISH, which has a change): done() is told as by
 * the journal, op->outcome PB_E_CONFLICT when the record is another by now. PB_E_MEMORY: nothing was done. */
pb_err retest_write(struct broker *b, struct store_op *op, journal_done *done, void *arg) PB_CHECKED;

/* Is it on the board, and with no worker? Then somebody else's job may go first: it is cancelled, and comes
 * again. */
bool retest_is_waiting(const struct broker *b, const struct pb_id *job);
void retest_cancel(struct broker *b, const struct pb_id *job);

#endif
