// SPDX-License-Identifier: Apache-2.0
// The answer to POST /kvroute/select. docs/openapi.json has the form.
#ifndef ROUTER_ADVICE_ANSWER_H
#define ROUTER_ADVICE_ANSWER_H

#include <kvroute/client.h>

struct router_exchange;

// What was chosen for the request of this id. repeat: it had been booked before. The exchange is no more.
void router_advice_answer(struct router_exchange *x, struct kvr_bytes request,
                          const struct kvr_result *r, bool repeat);

#endif
