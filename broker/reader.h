/* Reads from the store for the loop: a thread with its own read-only handle behind a bounded queue. */
#ifndef PB_READER_H
#define PB_READER_H

#include "common/err.h"
#include "common/store.h"

struct reader;

typedef pb_err reader_read(struct store *store, void *arg, struct pb_why *why); /* on the reader's thread */
typedef void reader_done(void *arg, pb_err err, const struct pb_why *why);      /* on the loop's thread */

/* Opens its handle of the store at url. */
pb_err reader_open(const char *url, struct reader **out, struct pb_why *why) PB_CHECKED;
/* Ends the thread; reads not yet done are answered PB_E_CLOSED, from here. */
void reader_close(struct reader *r);

/* The loop polls it for reading and then calls reader_turn(), which calls done() of what was read. */
int reader_fd(const struct reader *r);
void reader_turn(struct reader *r);

/* Queues read(arg), then done(arg). PB_E_BUSY: LIMIT_READS wait already; nothing will be called. Between the
 * two calls arg belongs to the reader. */
pb_err reader_submit(struct reader *r, reader_read *read, reader_done *done, void *arg) PB_CHECKED;

#endif
