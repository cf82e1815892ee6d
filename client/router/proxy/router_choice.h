// SPDX-License-Identifier: Apache-2.0
// CHOOSE: the pool chooses an engine and books the request there. Where the pool can't, the router
// chooses by itself (router_degraded.h). Where no engine has room the request may wait for it in the pool's queue,
// for as long as the settings say of its class (router_service.h), all its tries together.
#ifndef ROUTER_CHOICE_H
#define ROUTER_CHOICE_H

#include <stdbool.h>
#include <stdint.h>

struct router_request;

void router_choice_enter(struct router_request *r);
// In CHOOSE: a stream in its middle for which nobody could be chosen asks again, if it is time to. *r may be over.
void router_choice_again(struct router_request *r, int64_t now);
// Whether such a stream is to do so, in a while.
bool router_choice_rests(struct router_request *r);
// Its client has left: if it waits for room, that is counted.
void router_choice_left(const struct router_request *r);
// Whether there may be a worker that this request hasn't been to.
bool router_choice_has_another(const struct router_request *r);

#endif
