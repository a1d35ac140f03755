/* Answers as Stripe's API does to GET /v1/account. */
#ifndef SANDBOX_STRIPE_H
#define SANDBOX_STRIPE_H

#include "behaviour.h"

extern const struct provider stripe_provider;

#endif
