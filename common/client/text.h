/* Text for a terminal: made harmless, measured in columns, cut, and laid out in tables. Pure: nothing is
 * printed here. Widths need a UTF-8 locale for LC_CTYPE, which main() sets. */
#ifndef PB_CLIENT_TEXT_H
#define PB_CLIENT_TEXT_H

#include "common/buf.h"

#include <stdbool.h>
#include <stddef.h>

/* Appends what of text may go to a terminal on one line: escape sequences, control characters and those that
 * turn the direction of writing are left out, line breaks and tabs become a space, bytes that are not UTF-8
 * U+FFFD. Whoever names an integration must not steer the terminal of whoever lists it. */
void text_safe(struct buf *out, const char *text);

/* The columns that text, made safe before, takes. */
size_t text_width(const char *text);

/* Appends text, cut to width columns; what is cut ends in "…". */
void text_cut(struct buf *out, const char *text, size_t width);

/* Escape sequences by what they mean; "" while colours are off. */
enum style { STYLE_PLAIN, STYLE_STRONG, STYLE_GOOD, STYLE_BAD, STYLE_WARN, STYLE_FAINT };
const char *style_start(enum style style, bool color);
const char *style_end(enum style style, bool color);
/* How a word of a record's status or health, or of a result's code, is shown. */
enum style style_of_state(const char *word);

struct column {
    const char *head;
    bool shrinks; /* gives up columns where the terminal is narrow */
    bool state;   /* its words are coloured by style_of_state() */
};

#define TABLE_COLUMNS_MAX 12

/* A table that is filled cell by cell, row after row. */
struct table {
    const struct column *columns;
    size_t column_count;
    char **cells;
    size_t cell_count, cell_cap;
    bool failed; /* no memory, or past LIMIT_TABLE_CELLS: rows are missing */
};

void table_init(struct table *t, const struct column *columns, size_t count);
void table_fini(struct table *t);
void table_add(struct table *t, const char *text); /* made safe; NULL is "-" */
/* A time of RFC 3339, to the second. */
void table_add_time(struct table *t, const char *time);
void table_addf(struct table *t, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* Shares max columns among natural widths, gap columns between them: what shrinks gives way, widest first,
 * and never below its floor of 8. max 0: no bound. */
void table_layout(const struct column *columns, const size_t *natural, size_t count, size_t max, size_t *out);
void table_render(const struct table *t, size_t max_width, bool color, struct buf *out);

#endif
