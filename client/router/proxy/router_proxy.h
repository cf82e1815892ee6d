// SPDX-License-Identifier: Apache-2.0
// The proxy: a request goes to the engine that the pool chooses, and the answer comes back as it is.
//
//   body ──> blocks ──> SELECT ──> engine ──> client
//              │           ↑          │
//          /tokenize       └──────────┘ nothing has come: another one
//
// router_request.h has the states of a request; router_retry.h when another engine is tried. The booking
// in the pool ends with the exchange, whoever ends that.
#ifndef ROUTER_PROXY_H
#define ROUTER_PROXY_H

#include <stdbool.h>
#include <stddef.h>

struct router;
struct router_exchange;
struct router_circuits;
struct router_kept_total;
struct router_proxy;

// When the router has its connections to engines. NULL: no memory.
struct router_proxy *router_proxy_new(struct router *r);
// After the exchanges have ended and before these connections go. What the pools still have to answer is
// given up when they close, so they close first.
void router_proxy_free(struct router_proxy *p);
const struct router_kept_total *router_proxy_kept(const struct router_proxy *p);
const struct router_circuits *router_proxy_circuits(const struct router_proxy *p);

void router_proxy_handle(struct router_exchange *x); // the route's kind: enum router_prompt_kind

#endif
