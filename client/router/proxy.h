// SPDX-License-Identifier: Apache-2.0
// The proxy: a request goes to the engine that the pool chooses, and the answer comes back as it is.
//
//   body ──> blocks ──> SELECT ──> engine ──> client        proxy.c ──> prompt.h ──> forward.c
//              │           ↑          │
//          /tokenize       └──────────┘ nothing has come: another one
//
// Up to the first byte of the body of an answer a request can go to another engine, so the head waits
// for that byte. From then on the client has it: what breaks off is made visible.
//
// The booking in the pool has an id of its own for each try (an id is used once), beginning with the
// request's. It ends with the exchange, whoever ends that.
#ifndef ROUTER_PROXY_H
#define ROUTER_PROXY_H

#include <stdbool.h>
#include <stddef.h>

struct router;
struct router_exchange;
struct proxy;

// NULL: no memory.
struct proxy *proxy_new(struct router *r);
// After the exchanges have ended and before the event base goes. What the pools still owe an answer
// for is given up by their end, so they go first.
void proxy_free(struct proxy *p);
void proxy_reload(struct proxy *p); // after the router's options were replaced

// Handlers of routes.
void proxy_chat(struct router_exchange *x);
void proxy_completion(struct router_exchange *x);
void proxy_embedding(struct router_exchange *x);
void proxy_models(struct router_exchange *x);

#endif
