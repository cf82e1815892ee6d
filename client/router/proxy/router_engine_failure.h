// SPDX-License-Identifier: Apache-2.0
// Which engine a failure is blamed on, and whether one is thought dead. What comes of it is the circuits'
// business (router_circuit.h).
//
// An engine that can't be reached has failed. An engine that failed after it had read the request may have
// failed because of the request. It is blamed only after another engine has answered the same request.
// What this machine lacks (ROUTER_FAILURE_LOCAL) is nobody's failure: other routers can reach the engine.
#ifndef ROUTER_ENGINE_FAILURE_H
#define ROUTER_ENGINE_FAILURE_H

#include <stdbool.h>
#include <stdint.h>

#include "client/http1/h1_client.h"
#include "router_retry.h"

struct router_request;

enum router_failure router_failure_of_call(enum h1_failure why);
void router_failure_seen(struct router_request *r, enum router_failure what);
// This engine answers what another one failed with.
void router_failure_accused(struct router_request *r);
// It has answered that it dropped the request, in a form that looks well. What it sent has gone to the client, so
// nobody else answers the same; but engines do so when they are paused or told to, not because of a request.
void router_failure_aborted(struct router_request *r);
// It begins to answer, or has answered to the end. Of one that aborted only the end counts.
void router_failure_answers(struct router_request *r, bool to_the_end);
// Its queue is full, or it can't be asked from here: for a while it isn't chosen if another can be.
void router_failure_avoided(struct router_request *r);

// The probes or the pool say that the engine that was chosen is dead.
bool router_failure_is_dead(const struct router_request *r);
// An engine that says nothing for long is probed.
void router_failure_silence(struct router_request *r, int64_t now);
void router_failure_heard(const struct router_request *r, int64_t now); // it has said something

// The same of the engine that computes the prompt (router_prefill.h).
void router_failure_prefill_seen(struct router_request *r, enum router_failure what);
void router_failure_prefill_answers(const struct router_request *r);
void router_failure_prefill_avoided(const struct router_request *r);
bool router_failure_prefill_is_dead(const struct router_request *r);
void router_failure_prefill_silence(const struct router_request *r, int64_t now);
void router_failure_prefill_heard(const struct router_request *r);
// The prompt didn't come to the engine that was to decode: perhaps because the other one is dead, so that is probed.
void router_failure_not_loaded(struct router_request *r);

#endif
