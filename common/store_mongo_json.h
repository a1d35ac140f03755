/* JSON texts of records as parts of BSON documents, so that whoever looks into the database sees documents
 * and not strings: {"code": "ok"} and not "{\"code\":\"ok\"}".
 *
 * What comes back is the same text, byte for byte. So a text that would not (spaces, a key twice, no JSON at
 * all) and one that MongoDB does not take as a document (a key with a dollar or a dot) is kept as a string.
 */
#ifndef PB_STORE_MONGO_JSON_H
#define PB_STORE_MONGO_JSON_H

#include <bson/bson.h>

/* Appends text under key; nothing for NULL. false: no memory, or past BSON's size. */
bool mongo_json_append(bson_t *doc, const char *key, const char *text);
/* The value as text (malloc'ed): a string as it is, documents and arrays as JSON. NULL: of another type, or
 * no memory. What a person has put in that JSON does not know (dates, ObjectIds) becomes null. */
char *mongo_json_text(const bson_iter_t *value);

#endif
