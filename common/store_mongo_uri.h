/* The URI of a MongoDB store, and what Patchbay asks of it: every option is one that libmongoc knows, what
 * the contract needs (majority, journal, primary) is not turned off, and nothing waits for ever.
 *
 * Also the door to libmongoc itself: it is initialized once, and its log comes out of ours. Errors never hold
 * the URI's user, password or options. */
#ifndef PB_STORE_MONGO_URI_H
#define PB_STORE_MONGO_URI_H

#include "common/err.h"
#include "common/log.h"

#include <mongoc/mongoc.h>

#define MONGO_DATABASE_CHARS 63
#define MONGO_DATABASE       "patchbay" /* where the URI names none */

/* Initializes libmongoc, which lives as long as the process. Any thread. */
void mongo_uri_begin(void);
/* Where libmongoc's warnings and errors go, for the whole process; NULL (the start): nowhere. log is lent for
 * ever. */
void mongo_uri_log(const struct log *log);

/* Parses url and fills in what it leaves out. shown is how url is called in errors. PB_E_INVALID. *out is the
 * caller's (mongoc_uri_destroy). */
pb_err mongo_uri_parse(const char *url, const char *shown, mongoc_uri_t **out, struct pb_why *why) PB_CHECKED;

#endif
