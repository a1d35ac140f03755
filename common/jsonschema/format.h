/* The formats of JSON Schema, by number. */
#ifndef JS_FORMAT_H
#define JS_FORMAT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef bool js_format_fn(const char *s, size_t n);

/* 0: unknown, which is never an error. */
uint8_t js_format_find(const char *name, size_t len);
const char *js_format_name(uint8_t format);
bool js_format_check(uint8_t format, const char *s, size_t n);

js_format_fn js_format_uri, js_format_uri_reference, js_format_iri, js_format_iri_reference,
    js_format_uri_template;
js_format_fn js_format_email, js_format_idn_email, js_format_hostname, js_format_idn_hostname, js_format_ipv4,
    js_format_ipv6;

/* Whether IDNA 2008 allows a name of U-labels or A-labels. */
bool js_idn_ok(const char *s, size_t n);

#endif
