/* The terminal: what it can, questions, a line that says what goes on, progress. One thread. */
#ifndef PB_CLIENT_TERM_H
#define PB_CLIENT_TERM_H

#include "common/buf.h"
#include "common/client/text.h"
#include "common/err.h"
#include "common/secret.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct term {
    bool out_tty, err_tty;
    bool can_ask; /* standard input and standard error are a terminal */
    bool color;   /* on standard output */
};

/* Colours need a terminal that is not "dumb", and neither no_color nor NO_COLOR (no-color.org). */
void term_open(struct term *t, bool no_color);
/* Columns of standard output; 0 where it is no terminal. */
size_t term_width(const struct term *t);
/* Writes what the buffer holds to standard output, and empties it. */
void term_print(struct buf *b);

/* Asks on the terminal for one line: a secret one shows a star for each character. PB_E_CLOSED: the user gave
 * up (^C, ^D, the terminal went away); the terminal is as it was. PB_E_LIMIT: longer than a credential may
 * be. */
pb_err term_ask(const char *label, bool secret, struct secret *out) PB_CHECKED;
/* Asks yes or no; what is not "y" or "yes" is no. */
bool term_confirm(const char *question);

/* A passing line on standard error, where that is a terminal; NULL takes it away. */
void term_status(const struct term *t, const char *text);

/* Progress on standard error: a bar on a terminal; elsewhere a line now and then. */
struct progress {
    const struct term *term;
    const char *what; /* "validated" */
    size_t total, done;
    uint64_t started_ms, shown_ms, plain_every_ms;
};
void progress_show(struct progress *p, uint64_t now_ms, bool last);
/* The bar's line, for a terminal of width columns. Pure. */
void progress_text(const struct progress *p, uint64_t now_ms, size_t width, struct buf *out);

#endif
