/* A page of a list: what was asked for (limit, after), and its text {items, next}, which is written item by
 * item on the reader's thread. A list embeds it. */
#ifndef PB_HTTP_PAGE_H
#define PB_HTTP_PAGE_H

#include "broker/http/request.h"

struct page {
    struct http_request *r;
    const char *prefix;       /* of the ids */
    struct pb_id after, last; /* nil: from the start; of the last item */
    size_t limit, count;
    bool more;
    struct buf text;
};

/* Reads limit and after from the request. PB_E_INVALID or PB_E_LIMIT: why says which is wrong, for
 * page_refuse(). */
pb_err page_init(struct page *p, struct http_request *r, const char *prefix, struct pb_why *why) PB_CHECKED;
void page_fini(struct page *p);

/* How many rows to ask of the store: one more than the page holds, to know whether there is another. */
size_t page_rows(const struct page *p);
/* Adds an item (takes it; NULL: no memory). Anything but PB_OK ends the list: PB_E_LIMIT when the page is
 * full. */
pb_err page_add(struct page *p, const struct pb_id *id, json_t *item) PB_CHECKED;
/* err: of the list's end. PB_OK: the text is whole, be the page full or the list at its end. */
pb_err page_end(struct page *p, pb_err err) PB_CHECKED;

/* Each of these ends the request, on the loop's thread. */
void page_answer(struct page *p, pb_err err, const struct pb_why *why);
/* The list was not begun: a parameter is wrong (why has text), or err says what. */
void page_refuse(struct http_request *r, pb_err err, const struct pb_why *why);

#endif
