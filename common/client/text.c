#include "common/client/text.h"

#include <assert.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <wchar.h>

#define COUNT(table)      (sizeof(table) / sizeof((table)[0]))
#define LIMIT_TABLE_CELLS 2000000
#define LIMIT_CELL_BYTES  4096
#define TABLE_GAP         2
#define TABLE_FLOOR       8 /* a column that shrinks keeps as much */
#define REPLACEMENT       "\xef\xbf\xbd"
#define ELLIPSIS          "\xe2\x80\xa6"
#define ESCAPE            0x1b
#define CSI               0x9b /* the one-character form of ESC [ */

/* -- characters -- */

/* Reads one character of text, which is valid UTF-8; gives its length. */
static size_t decode(const char *text, uint32_t *out)
{
    const uint8_t *at = (const uint8_t *)text;
    size_t len = at[0] < 0x80 ? 1 : at[0] < 0xe0 ? 2 : at[0] < 0xf0 ? 3 : 4;
    uint32_t c = len == 1 ? at[0] : at[0] & (0x7fu >> len);
    size_t i = 1;
    for (; i < len && (at[i] & 0xc0) == 0x80; i++)
        c = c << 6 | (at[i] & 0x3fu);
    *out = c;
    return i;
}

static bool is_space(uint32_t c)
{
    return c == '\n' || c == '\r' || c == '\t' || c == 0x2028 || c == 0x2029;
}

static bool is_hidden(uint32_t c)
{
    static const struct {
        uint32_t first, last;
    } ranges[] = {
        {0x00, 0x1f},   /* C0 */
        {0x7f, 0x9f},   /* DEL and C1 */
        {0x61c, 0x61c}, /* direction of writing */
        {0x200b, 0x200f}, {0x202a, 0x202e}, {0x2060, 0x2069}, {0xfeff, 0xfeff}, {0xe0000, 0xe007f}, /* tags */
    };
    for (size_t i = 0; i < COUNT(ranges); i++)
        if (c >= ranges[i].first && c <= ranges[i].last)
            return true;
    return false;
}

/* -- escape sequences (ECMA-48) -- */

/* After ESC [ or CSI: parameters, then one final byte. */
static const char *skip_control(const char *at)
{
    while (*at >= 0x20 && *at <= 0x3f)
        at++;
    return *at >= 0x40 && *at <= 0x7e ? at + 1 : at;
}

/* After the start of a string (OSC, DCS, APC, ...): up to BEL or ESC \. One without an end takes all. */
static const char *skip_string(const char *at)
{
    for (; *at; at++) {
        if (*at == '\a')
            return at + 1;
        if (*at == ESCAPE && at[1] == '\\')
            return at + 2;
    }
    return at;
}

static const char *skip_escape(const char *at)
{
    if (*at == '[')
        return skip_control(at + 1);
    if (*at && strchr("]PX^_", *at))
        return skip_string(at + 1);
    while (*at >= 0x20 && *at <= 0x2f)
        at++;
    return *at >= 0x30 && *at <= 0x7e ? at + 1 : at;
}

static const char *append_safe(struct buf *out, const char *at)
{
    uint32_t c;
    size_t len = decode(at, &c);
    if (c == ESCAPE)
        return skip_escape(at + 1);
    if (c == CSI)
        return skip_control(at + len);
    if (is_space(c))
        buf_text(out, " ");
    else if (!is_hidden(c))
        buf_append(out, at, len);
    return at + len;
}

void text_safe(struct buf *out, const char *text)
{
    struct buf clean;
    buf_init(&clean, 3 * strlen(text) + 1); /* a byte becomes U+FFFD's three at most */
    buf_utf8(&clean, text, strlen(text));
    for (const char *at = buf_peek(&clean); *at;)
        at = append_safe(out, at);
    buf_fini(&clean);
}

/* -- widths -- */

static size_t char_width(uint32_t c)
{
    int width = wcwidth((wchar_t)c);
    return width < 0 ? 1 : (size_t)width;
}

size_t text_width(const char *text)
{
    size_t width = 0;
    for (uint32_t c; *text; width += char_width(c))
        text += decode(text, &c);
    return width;
}

void text_cut(struct buf *out, const char *text, size_t width)
{
    if (text_width(text) <= width) {
        buf_text(out, text);
        return;
    }
    uint32_t c;
    size_t used = 1; /* the ellipsis */
    while (width) {
        size_t len = decode(text, &c);
        used += char_width(c);
        if (used > width)
            break;
        buf_append(out, text, len);
        text += len;
    }
    if (width)
        buf_text(out, ELLIPSIS);
}

/* -- styles -- */

const char *style_start(enum style style, bool color)
{
    static const char *const codes[] = {
        [STYLE_PLAIN] = "",       [STYLE_STRONG] = "\x1b[1m", [STYLE_GOOD] = "\x1b[32m",
        [STYLE_BAD] = "\x1b[31m", [STYLE_WARN] = "\x1b[33m",  [STYLE_FAINT] = "\x1b[2m"};
    return color ? codes[style] : "";
}

const char *style_end(enum style style, bool color)
{
    return color && style != STYLE_PLAIN ? "\x1b[0m" : "";
}

enum style style_of_state(const char *word)
{
    static const struct {
        const char *word;
        enum style style;
    } states[] = {
        {"ok", STYLE_GOOD},       {"active", STYLE_GOOD},   {"error", STYLE_BAD},
        {"degraded", STYLE_WARN}, {"draining", STYLE_WARN}, {"inactive", STYLE_FAINT},
        {"unknown", STYLE_FAINT}, {"done", STYLE_GOOD},     {"failed", STYLE_BAD},
        {"dead", STYLE_BAD},      {"failing", STYLE_BAD},   {"cancelled", STYLE_FAINT},
    };
    for (size_t i = 0; i < COUNT(states); i++)
        if (strcmp(states[i].word, word) == 0)
            return states[i].style;
    return STYLE_PLAIN;
}

/* -- tables -- */

void table_init(struct table *t, const struct column *columns, size_t count)
{
    assert(count > 0 && count <= TABLE_COLUMNS_MAX);
    *t = (struct table){.columns = columns, .column_count = count};
}

void table_fini(struct table *t)
{
    for (size_t i = 0; i < t->cell_count; i++)
        free(t->cells[i]);
    free(t->cells);
    *t = (struct table){0};
}

static bool reserve_cell(struct table *t)
{
    if (t->cell_count < t->cell_cap)
        return true;
    size_t cap = t->cell_cap ? 2 * t->cell_cap : 64;
    char **cells = cap <= LIMIT_TABLE_CELLS ? realloc(t->cells, cap * sizeof *cells) : NULL;
    if (!cells)
        return false;
    t->cells = cells;
    t->cell_cap = cap;
    return true;
}

void table_add(struct table *t, const char *text)
{
    struct buf b;
    buf_init(&b, LIMIT_CELL_BYTES);
    text_safe(&b, text ? text : "-");
    b.failed = false; /* a cell that is too long is cut */
    char *cell = t->failed || !reserve_cell(t) ? NULL : buf_take(&b, NULL);
    if (cell)
        t->cells[t->cell_count++] = cell;
    else
        t->failed = true;
    buf_fini(&b);
}

void table_addf(struct table *t, const char *format, ...)
{
    char text[LIMIT_CELL_BYTES];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    table_add(t, text);
}

void table_add_time(struct table *t, const char *time)
{
    if (time && strlen(time) > 19 && time[10] == 'T')
        table_addf(t, "%.10s %.8s", time, time + 11);
    else
        table_add(t, time);
}

static size_t sum(const size_t *widths, size_t count)
{
    size_t all = TABLE_GAP * (count - 1);
    for (size_t i = 0; i < count; i++)
        all += widths[i];
    return all;
}

/* The widest column that may still shrink; count: there is none. */
static size_t widest(const struct column *columns, const size_t *widths, size_t count)
{
    size_t found = count;
    for (size_t i = 0; i < count; i++)
        if (columns[i].shrinks && widths[i] > TABLE_FLOOR && (found == count || widths[i] > widths[found]))
            found = i;
    return found;
}

void table_layout(const struct column *columns, const size_t *natural, size_t count, size_t max, size_t *out)
{
    memcpy(out, natural, count * sizeof *out);
    while (max && sum(out, count) > max) {
        size_t i = widest(columns, out, count);
        if (i == count)
            return;
        out[i]--;
    }
}

static void render_cell(const struct column *column, const char *text, size_t width, bool last, bool color,
                        enum style style, struct buf *out)
{
    if (style == STYLE_PLAIN && column->state)
        style = style_of_state(text);
    buf_text(out, style_start(style, color));
    size_t before = out->len;
    text_cut(out, text, width);
    size_t used = text_width(buf_peek(out) + before);
    buf_text(out, style_end(style, color));
    for (size_t pad = used; !last && pad < width + TABLE_GAP; pad++)
        buf_text(out, " ");
    if (last)
        buf_text(out, "\n");
}

static void natural_widths(const struct table *t, size_t *natural)
{
    for (size_t i = 0; i < t->column_count; i++)
        natural[i] = text_width(t->columns[i].head);
    for (size_t i = 0; i < t->cell_count; i++) {
        size_t width = text_width(t->cells[i]), *column = &natural[i % t->column_count];
        *column = width > *column ? width : *column;
    }
}

void table_render(const struct table *t, size_t max_width, bool color, struct buf *out)
{
    size_t natural[TABLE_COLUMNS_MAX], widths[TABLE_COLUMNS_MAX], last = t->column_count - 1;
    natural_widths(t, natural);
    table_layout(t->columns, natural, t->column_count, max_width, widths);
    for (size_t i = 0; i <= last; i++)
        render_cell(&t->columns[i], t->columns[i].head, widths[i], i == last, color, STYLE_STRONG, out);
    for (size_t i = 0; i < t->cell_count; i++)
        render_cell(&t->columns[i % t->column_count], t->cells[i], widths[i % t->column_count],
                    i % t->column_count == last, color, STYLE_PLAIN, out);
}
