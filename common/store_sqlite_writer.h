/* What the operations of a commit do in the embedded store, inside the transaction that store_sqlite.c runs.
 *
 * An operation looks at all its conditions before it writes anything, so what is refused leaves nothing to
 * undo, and the transaction goes on without savepoints. Belongs to its handle's thread. */
#ifndef PB_STORE_SQLITE_WRITER_H
#define PB_STORE_SQLITE_WRITER_H

#include "common/store_sqlite_rows.h"

/* The two groups that a purge knows. */
enum ended_group { ENDED_WELL_OR_NOT, ENDED_DEAD, ENDED_GROUPS };

/* How many jobs of a group the store holds: counted at the first purge, since then kept up to date. This
 * handle is the file's only writer. */
struct ended_count {
    bool known;
    int64_t committed, pending; /* pending: by the transaction that runs */
};

struct writer {
    struct rows *rows; /* lent */
    struct ended_count ended[ENDED_GROUPS];
};

/* Applies one operation and sets its outcome. SQLite's code: SQLITE_DONE while the store itself is well. */
int writer_apply(struct writer *w, struct store_op *op);
/* After the transaction: it was committed; or it was not, and what the operations were told is taken back. */
void writer_committed(struct writer *w);
void writer_undone(struct writer *w, struct store_op *const *ops, size_t count);

#endif
