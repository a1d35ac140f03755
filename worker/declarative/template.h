/* Templates: text with {expressions}. An expression is the name of a credential field, account.id or
 * account.label (what an earlier step extracted), now (seconds since 1970), a 'literal', or a function of
 * expressions: base64(x), urlencode(x), after_last(x,'-'), default(a,b). {{ and }} stand for the braces.
 * Every value is escaped for the place it lands in, so it cannot become anything but a value. Pure. */
#ifndef PB_TEMPLATE_H
#define PB_TEMPLATE_H

#include "common/buf.h"
#include "common/err.h"
#include "common/manifest.h"
#include "common/seal.h"

#include <stdbool.h>
#include <stdint.h>

enum template_place {
    PLACE_BASE_URL, /* an expression that begins it is a whole address, elsewhere part of a host name */
    PLACE_PATH,
    PLACE_QUERY, /* of an address, and of a form */
    PLACE_HEADER,
    PLACE_JSON, /* inside a string that is going to be encoded */
};

struct template_env {
    const struct manifest *manifest;
    const struct credentials *credentials;
    const char *account_id, *account_label; /* "" until extracted */
    int64_t now_s;
};

/* Appends to out, whose failed flag the caller looks at. *secret becomes true when a secret field was used
 * and is otherwise left alone. PB_E_INVALID: the template is wrong. PB_E_DENIED: a value cannot stand in this
 * place; why->at is the field's name. */
pb_err template_expand(const char *text, const struct template_env *env, enum template_place place,
                       struct buf *out, bool *secret, struct pb_why *why) PB_CHECKED;

/* Percent-encodes all but the unreserved characters (RFC 3986, section 2.3). */
void template_urlencode(struct buf *out, const void *bytes, size_t len);
void template_base64(struct buf *out, const void *bytes, size_t len);

#endif
