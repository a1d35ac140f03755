/* What a provider's answer means: the step's rules, what it expects, and the default for each status. Pure.
 */
#ifndef PB_JUDGE_H
#define PB_JUDGE_H

#include "worker/declarative/plan.h"
#include "worker/declarative/redact.h"
#include "worker/transfer.h"

/* Fills result with the step's verdict: code (RESULT_OK: go on), and with it what belongs to it. What earlier
 * steps found (account, warnings) stays. now_ms is the wall clock. */
void judge_answer(const struct plan *plan, const struct plan_step *step, const struct redact *redact,
                  const struct transfer_answer *answer, int64_t now_ms, struct result *result);

#endif
