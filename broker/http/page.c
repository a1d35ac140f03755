#include "broker/http/page.h"

#include <stdlib.h>

#define PAGE_BYTES (8 * 1024 * 1024) /* a page ends early when its text passes this */

pb_err page_init(struct page *p, struct http_request *r, const char *prefix, struct pb_why *why)
{
    struct http_page asked;
    *p = (struct page){.r = r, .prefix = prefix};
    pb_err err = http_page_parse(&r->target, &asked, why);
    if (!err && *asked.after && id_parse(asked.after, prefix, &p->after) != PB_OK)
        err = pb_fail(why, PB_E_INVALID, "after", "must be the next of the page before");
    if (err)
        return err;
    p->limit = asked.limit;
    buf_init(&p->text, 2 * PAGE_BYTES);
    return PB_OK;
}

size_t page_rows(const struct page *p)
{
    return p->limit + 1;
}

pb_err page_add(struct page *p, const struct pb_id *id, json_t *item)
{
    p->more = p->count == p->limit || p->text.len > PAGE_BYTES;
    char *text = item && !p->more ? json_dumps(item, JSON_COMPACT) : NULL;
    json_decref(item);
    if (!text)
        return p->more ? PB_E_LIMIT : PB_E_MEMORY;
    buf_text(&p->text, p->count ? "," : "{\"items\":[");
    buf_text(&p->text, text);
    free(text);
    p->last = *id;
    p->count++;
    return p->text.failed ? PB_E_MEMORY : PB_OK;
}

pb_err page_end(struct page *p, pb_err err)
{
    if (err && !p->more)
        return err;
    char next[ID_TEXT_BYTES];
    id_text(&p->last, p->prefix, next);
    buf_text(&p->text, p->count ? "" : "{\"items\":[");
    buf_printf(&p->text, p->more ? "],\"next\":\"%s\"}\n" : "],\"next\":null}\n", next);
    return p->text.failed ? PB_E_MEMORY : PB_OK;
}

static void list_free(struct page *list)
{
    if (list)
        buf_fini(&list->text);
    free(list);
}

static void list_done(void *arg, pb_err err, const struct pb_why *why)
{
    struct page *p = arg;
    size_t len = 0;
    char *text = err ? NULL : buf_take(&p->text, &len);
    if (text)
        http_answer_text(p->r, 200, "application/json", text, len);
    else
        http_refuse_error(p->r, err ? err : PB_E_MEMORY, why);
    list_free(p);
}

void page_serve(struct http_request *r, struct page *list, pb_err err, reader_read *read,
                const struct pb_why *why)
{
    if (!err)
        err = http_read(r, read, list_done, list);
    if (!err)
        return;
    list_free(list);
    if (why->text[0])
        http_refuse(r, "invalid_parameter", "%s %s", why->at, why->text);
    else
        http_refuse_error(r, err, NULL);
}
