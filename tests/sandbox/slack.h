/* Answers as Slack's Web API does to auth.test: most refusals are HTTP 200 with "ok": false. */
#ifndef SANDBOX_SLACK_H
#define SANDBOX_SLACK_H

#include "behaviour.h"

extern const struct provider slack_provider;

#endif
