/* A page of a list: what was asked for (limit, after), and its text {items, next}, which is written item by
 * item on the reader's thread. A list begins with it. */
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
 * page_serve(). */
pb_err page_init(struct page *p, struct http_request *r, const char *prefix, struct pb_why *why) PB_CHECKED;

/* How many rows to ask of the store: one more than the page holds, to know whether there is another. */
size_t page_rows(const struct page *p);
/* Adds an item (takes it; NULL: no memory). Anything but PB_OK ends the list: PB_E_LIMIT when the page is
 * full. */
pb_err page_add(struct page *p, const struct pb_id *id, json_t *item) PB_CHECKED;
/* err: of the list's end. PB_OK: the text is whole, be the page full or the list at its end. */
pb_err page_end(struct page *p, pb_err err) PB_CHECKED;

/* Answers the request with the list that read writes, on the reader's thread. The list is malloc'ed, begins
 * with its page, and is freed with it. err: of making it ready, when that is answered alone (a parameter is
 * wrong where why has text). On the loop's thread. */
void page_serve(struct http_request *r, struct page *list, pb_err err, reader_read *read,
                const struct pb_why *why);

#endif
