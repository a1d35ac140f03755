#include "worker/declarative/redact.h"

#include "common/limits.h"

#include "worker/declarative/template.h"

#include <ctype.h>
#include <sodium.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define FORMS_MAX (4 * LIMIT_PACKAGE_FIELDS + LIMIT_REQUEST_HEADERS * LIMIT_TEST_STEPS)

struct redact {
    struct secret forms[FORMS_MAX];
    size_t count;
    bool
        starts[256]; /* the first bytes of all forms, in both cases: most of a text is passed over by these */
};

pb_err redact_add(struct redact *r, const char *value, size_t len)
{
    if (len < REDACT_LEAST_CHARS)
        return PB_OK;
    for (size_t i = 0; i < r->count; i++)
        if (r->forms[i].len == len && memcmp(r->forms[i].data, value, len) == 0)
            return PB_OK;
    if (r->count == FORMS_MAX)
        return PB_E_LIMIT;
    pb_err err = secret_set(&r->forms[r->count], value, len);
    if (err)
        return err;
    r->count++;
    r->starts[(uint8_t)tolower((uint8_t)value[0])] = r->starts[(uint8_t)toupper((uint8_t)value[0])] = true;
    return PB_OK;
}

static void url_form(struct buf *out, const struct secret *value)
{
    template_urlencode(out, value->data, value->len);
}

static void base64_form(struct buf *out, const struct secret *value)
{
    template_base64(out, value->data, value->len);
    while (out->len && out->data[out->len - 1] == '=')
        out->len--; /* with padding or without, this much is in the text */
}

static void base64url_form(struct buf *out, const struct secret *value)
{
    base64_form(out, value);
    for (size_t i = 0; i < out->len; i++)
        out->data[i] = out->data[i] == '+' ? '-' : out->data[i] == '/' ? '_' : out->data[i];
}

static pb_err learn(struct redact *r, const struct secret *value)
{
    static void (*const forms[])(struct buf *, const struct secret *) = {url_form, base64_form,
                                                                         base64url_form};
    pb_err err = redact_add(r, value->data, value->len);
    for (size_t i = 0; i < sizeof forms / sizeof forms[0] && !err; i++) {
        struct buf form;
        buf_init(&form, 4 * LIMIT_CREDENTIAL_BYTES);
        form.secret = true;
        if (value->len >= REDACT_LEAST_CHARS)
            forms[i](&form, value);
        err = form.failed ? PB_E_LIMIT : redact_add(r, buf_peek(&form), form.len);
        buf_fini(&form);
    }
    return err;
}

pb_err redact_new(const struct manifest *m, const struct credentials *c, struct redact **out)
{
    struct redact *r = calloc(1, sizeof *r);
    pb_err err = r ? PB_OK : PB_E_MEMORY;
    for (size_t i = 0; i < m->field_count && !err; i++) {
        const struct secret *value = m->fields[i].secret ? credentials_get(c, m->fields[i].name) : NULL;
        if (value)
            err = learn(r, value);
    }
    if (err)
        redact_free(r);
    else
        *out = r;
    return err;
}

void redact_free(struct redact *r)
{
    if (!r)
        return;
    for (size_t i = 0; i < r->count; i++)
        secret_fini(&r->forms[i]);
    free(r);
}

/* The longest secret that text begins with; 0: none. */
static size_t secret_at(const struct redact *r, const char *text, size_t left)
{
    size_t longest = 0;
    if (!r->starts[(uint8_t)text[0]])
        return 0;
    for (size_t i = 0; i < r->count; i++) {
        const struct secret *s = &r->forms[i];
        if (s->len > longest && s->len <= left && strncasecmp(text, s->data, s->len) == 0)
            longest = s->len;
    }
    return longest;
}

void redact_text(const struct redact *r, const char *text, size_t len, struct buf *out)
{
    size_t plain = 0; /* where the run that is copied as it is begins */
    size_t i = 0, room = out->max_bytes - out->len;
    while (i < len && i - plain < room) {
        size_t n = secret_at(r, text + i, len - i);
        if (n == 0) {
            i++;
            continue;
        }
        buf_append(out, text + plain, i - plain);
        buf_text(out, REDACTED);
        i += n;
        plain = i;
        room = out->failed ? 0 : out->max_bytes - out->len;
    }
    buf_append(out, text + plain, i - plain);
}
