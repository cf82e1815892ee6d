// SPDX-License-Identifier: Apache-2.0
// Advice for frontends that talk to the engines themselves: the pool's commands as JSON over HTTP.
// docs/openapi.json has the forms.
#ifndef ROUTER_ADVICE_H
#define ROUTER_ADVICE_H

struct router_exchange;

void router_advice(struct router_exchange *x);       // the route's kind: enum router_advice_kind
void router_advice_score(struct router_exchange *x); // whatever the route

#endif
