// SPDX-License-Identifier: Apache-2.0
// CHOOSE: the pool chooses an engine and books the request there. Where the pool can't, the router
// chooses by itself (router_degraded.h).
#ifndef ROUTER_CHOICE_H
#define ROUTER_CHOICE_H

#include <stdbool.h>

struct router_request;

void router_choice_enter(struct router_request *r);
// Whether there may be a worker that this request hasn't been to.
bool router_choice_has_another(const struct router_request *r);

#endif
