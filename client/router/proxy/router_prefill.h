// SPDX-License-Identifier: Apache-2.0
// PREFILL: one engine computes a request's prompt, another its answer, as the pool has chosen them.
//
//   one after the other    CHOOSE ──> PREFILL ──────────────> SEND ──> HEAD ──> RELAY
//                                     └─ prefill leg ─answer─┘
//   together               CHOOSE ──> PREFILL ──> SEND ──> HEAD ──> RELAY
//                                     └ asks ┘└── prefill leg ───┘
//
// What the engines are told of each other is the connector's business (connectors/router_connector.h). When either
// leg fails before the client has anything, both are ended and the request is tried again as a whole, with new names:
// what the router doesn't close, engines wait for, for minutes. The pool is told PREFILLED when the leg has its
// answer, so that the engine counts as free. An answer without anything for the other engine isn't an error: that
// one computes the prompt itself.
#ifndef ROUTER_PREFILL_H
#define ROUTER_PREFILL_H

#include <event2/buffer.h>
#include <stdbool.h>

#include "client/router/router_metrics.h"

struct kvr_choice;
struct router_request;

// Whether the pool is to be asked for two engines.
bool router_prefill_wanted(const struct router_request *r);
// Whether the choice is one engine that refuses what no other one has computed, and nobody is left to compute it.
bool router_prefill_is_lacking(const struct router_request *r, const struct kvr_choice *c);
// Takes the second engine of a choice, if there is one, or has to be. False: no memory.
bool router_prefill_take(struct router_request *r, const struct kvr_choice *c);
// Whether the request can be done without the engine that was to compute its prompt.
bool router_prefill_can_change(const struct router_request *r);
void router_prefill_enter(struct router_request *r); // PREFILL
void router_prefill_again(struct router_request *r); // on a new connection
// The client gets what the engine says; *r is over.
void router_prefill_answer(struct router_request *r);
void router_prefill_end(
    struct router_request *r); // the leg, whatever it is doing; there may be none
// Whether a stream of the decoding engine begins with an error: the prompt didn't get there.
bool router_prefill_is_error(struct evbuffer *events);
// How the leg has ended, for the metrics; the first word counts.
void router_prefill_count(struct router_request *r, enum router_engine_outcome how);

#endif
