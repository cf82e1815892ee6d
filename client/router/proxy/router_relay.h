// SPDX-License-Identifier: Apache-2.0
// RELAY: the answer goes to the client as it comes. What breaks off from here on is made visible.
#ifndef ROUTER_RELAY_H
#define ROUTER_RELAY_H

#include <event2/buffer.h>
#include <stdbool.h>

struct h1_exchange;
struct router_request;

void router_relay_enter(struct router_request *r); // the head
// A piece of the body, also the first one. False: no memory.
bool router_relay_data(struct router_request *r, struct evbuffer *bytes);
void router_relay_end(struct router_request *r);   // the engine has said all; *r is over
void router_relay_break(struct router_request *r); // it broke off; *r is over
void router_relay_room(struct h1_exchange *x);     // the client takes more

#endif
