/* URI references, RFC 3986 section 5.2. */
#ifndef JS_URI_H
#define JS_URI_H

#include <stddef.h>

/* reference against base, both without NUL; malloc()ed. The fragment stays. NULL: no memory. */
char *js_uri_resolve(const char *base, const char *reference, size_t len);

#endif
