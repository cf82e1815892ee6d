// SPDX-License-Identifier: Apache-2.0
// SEND, HEAD and RELAY: one try of a request at the engine that was chosen. Up to the first byte of the
// answer's body it can go to another engine, so the head waits for that byte. From then on the answer goes
// to the client as it comes.
#ifndef ROUTER_ATTEMPT_H
#define ROUTER_ATTEMPT_H

#include "client/router/router_metrics.h"
#include "router_retry.h"

struct router_request;

void router_attempt_enter(struct router_request *r); // SEND
// The other engine, which was to compute the prompt, has failed, or refuses the request (NONE): both are left.
void router_attempt_prefill_failed(struct router_request *r, enum router_failure what);
void router_attempt_relay(struct router_request *r); // RELAY: the head
// Looks after an engine that has said nothing of a body yet: a silent one is probed, a dead one is left
// for another. *r may be over then.
void router_attempt_watch(struct router_request *r, int64_t now);
// In RELAY: a stream that can go on elsewhere leaves an engine that is silent and dead, or that is to be left.
// *r may be over then.
void router_attempt_watch_stream(struct router_request *r, int64_t now);
// How this try has ended, for the metrics; the first word counts.
void router_attempt_count(struct router_request *r, enum router_engine_outcome how);

#endif
