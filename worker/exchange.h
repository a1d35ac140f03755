/* One exchange with a provider: a request, its hops over redirects, and the answer. Which address may be
 * connected to (the egress guard, asked for each connection) and which host may see the credentials is
 * decided here; when and how many at a time is worker/transfer.h's business.
 *
 * On the loop's thread, nothing blocks. Each hop is an easy handle inside the multi handle of its owner, who
 * drives that and tells of each handle that has finished. */
#ifndef PB_EXCHANGE_H
#define PB_EXCHANGE_H

#include "common/err.h"
#include "common/limits.h"
#include "worker/transfer.h"

#include <curl/curl.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct exchange;

/* What all exchanges of one owner have in common. The owner fills and frees it, and lends it to them. */
struct exchange_shared {
    CURLM *multi;
    struct egress *egress;
    struct trust *trust;
    struct curl_slist *connect_to;
    char *user_agent;
    size_t finding; /* hops without a connection yet: each may hold a thread with its name lookup */
    CURL *pool[LIMIT_TRANSFER_POOL]; /* idle handles */
    size_t pooled;
};
void exchange_shared_fini(struct exchange_shared *s); /* the pool alone */

/* Copies the request; owner is what exchange_owner() gives. PB_E_LIMIT: too many headers or hosts. A request
 * that may not be sent at all (a target that is not allowed) is an exchange that has failed. */
pb_err exchange_new(struct exchange_shared *shared, const struct transfer_request *request,
                    uint32_t timeout_ms, void *owner, struct exchange **out) PB_CHECKED;
void exchange_free(struct exchange *x); /* ends a hop that is under way */

/* The first hop. false: it cannot begin, and the exchange has failed. */
bool exchange_begin(struct exchange *x);
/* The hop under way has finished with this code. true: it led to a next one; false: the exchange is over. */
bool exchange_go_on(struct exchange *x, CURLcode code);
/* Its time ran out before it began: it has failed. */
void exchange_expire(struct exchange *x);

bool exchange_has_failed(const struct exchange *x);
uint64_t exchange_until_ms(const struct exchange *x); /* monotonic; then its time is over */
/* Of one that is over; lent until it is freed. */
void exchange_answer(struct exchange *x, struct transfer_answer *out);
/* Whose handle it is. */
void *exchange_owner(CURL *easy);

#endif
