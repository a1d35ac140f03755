/* JSON Pointer (RFC 6901). Pure. */
#ifndef PB_POINTER_H
#define PB_POINTER_H

#include <jansson.h>

/* The value that pointer names within json, lent; NULL if there is none, or pointer is malformed. */
const json_t *pointer_get(const json_t *json, const char *pointer);

#endif
